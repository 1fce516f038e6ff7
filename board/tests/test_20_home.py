"""What a client of the home gets from the gateway itself."""


def test_a_client_gets_an_address_by_dhcp(lease):
    *network, host = lease["ip"].split(".")
    assert network == ["192", "168", "1"] and 100 <= int(host) <= 199, lease
    assert lease["mask"] == "24"
    assert lease["router"] == "192.168.1.1"
    assert lease["dns"] == "192.168.1.2"
    assert lease["serverid"] == "192.168.1.2"


def test_the_resolver_knows_the_internet_and_the_gateway(lan, gateway):
    # given the resolver that DHCP named, which learns its own from the WAN's lease
    gateway.wait("a WAN address", 60, lambda: gateway.status()["wan"]["resolvers"])
    gateway.wait("an answer", 30, lambda: lan.resolve("server.test", "192.168.1.2") == ["203.0.113.1"])
    assert lan.resolve("gateway.lan", "192.168.1.2") == ["192.168.1.1"]


def test_a_client_fetches_the_page_of_nginx(lan, gateway):
    gateway.wait_active("nginx", 120)
    assert "served by nginx, in its own sandbox" in lan.get("http://192.168.1.1:8080/")
    # and through its name
    assert "nginx" in lan.get("http://gateway.lan:8080/", "--resolve gateway.lan:8080:192.168.1.1")


def test_a_client_fetches_the_household_console(lan, gateway):
    gateway.wait_active("web", 120)
    assert gateway.status()["console_url"] == "http://192.168.1.1/"
    page = lan.get("http://192.168.1.1/")
    assert "<html" in page and "nginx" in page


def test_a_port_that_nobody_listens_on_is_refused(lan):
    done = lan.run("curl -sS --max-time 10 http://192.168.1.1:8081/")
    assert done.returncode == 7, done  # refused, not silent


def test_the_internet_can_not_open_what_is_for_the_home(lan, wan, gateway):
    address = gateway.status()["wan"]["address"].split("/")[0]
    for port in (80, 8080, 53):
        done = wan.run(f"curl -sS --max-time 3 http://{address}:{port}/")
        assert done.returncode in (7, 28), f"port {port}: {done}"
