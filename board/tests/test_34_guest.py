"""Guests: an address, names and the Internet, and nothing of the home, its services or the gateway; nor the other way."""

import contextlib

import pytest

pytestmark = pytest.mark.lg_feature("emulated")  # a third port

FILE = "/data/hearth/gateway.toml"
WITH_GUESTS = "sed '/^#.guest/,/^#resolver/s/^#//' /etc/hearth/gateway.toml"  # as README says
PORT = 8099
SERVER = "203.0.113.1"


def apply(gateway, guest):
    """Restarts what reads the configuration, and waits until the gateway has these guests."""
    gateway.check("hearth restart hearth-netpath")
    gateway.wait(f"guests: {guest}", 90, lambda: gateway.status()["guest"] == guest)
    gateway.wait(f"names of guests: {guest}", 90, lambda: ("dnsmasq-guest" in gateway.ps()) == bool(guest))
    gateway.wait("a WAN address", 90, lambda: gateway.status()["wan"]["address"])


@pytest.fixture(scope="module")
def guest(booted, home, lease):
    """A guest with an address, and what the DHCP server said; afterwards the gateway has none."""
    booted.check(f"{WITH_GUESTS} >{FILE}")
    apply(booted, "192.168.2.1/24")
    booted.wait_active("dnsmasq-guest", 120)
    home.guest.got = home.guest.lease()
    yield home.guest
    booted.check(f"rm {FILE}")
    apply(booted, None)
    for name in ("dnsmasq", "nginx", "web"):
        booted.wait_active(name, 120)
    booted.wait("the home as it was", 60, lambda: "nginx" in home.lan.get("http://192.168.1.1:8080/"))


@pytest.fixture
def pages(guest, lan, lease, tmp_path):
    """A page on a host of each side: their URLs."""
    (tmp_path / "index.html").write_text("a page")
    servers = [side.start(f"python3 -m http.server {PORT} --directory {tmp_path}") for side in (guest, lan)]
    for side in (guest, lan):
        side.get(f"http://127.0.0.1:{PORT}/")
    yield {"guest": f"http://{guest.got['ip']}:{PORT}/", "home": f"http://{lease['ip']}:{PORT}/"}
    for server in servers:
        server.kill()
        server.wait(10)


@contextlib.contextmanager
def also(side, address):
    """A host that claims one more address."""
    side.check(f"ip addr add {address}/32 dev eth0")
    try:
        yield
    finally:
        side.check(f"ip addr del {address}/32 dev eth0")


def reaches(side, url):
    return side.run(f"curl -sS -o /dev/null --max-time 3 {url}").returncode == 0


def pings(side, to, *options):
    return side.run(f"ping -n -c 1 -W 2 {' '.join(options)} {to}").returncode == 0


def dropped(gateway):
    """Packets that netpath has dropped, by reason."""
    rows = [row for row in gateway.json("net")["drops"] if row["place"] == "netpath"]
    return {row["reason"]: row["packets"] for row in rows}


def grown(gateway, before, reason):
    assert dropped(gateway).get(reason, 0) > before.get(reason, 0), (reason, before, dropped(gateway))


def test_a_guest_has_an_address_names_and_the_internet(gateway, guest):
    got = guest.got
    assert got["ip"].startswith("192.168.2.1") and got["router"] == "192.168.2.1", got
    assert got["dns"] == "192.168.2.2"
    gateway.wait("a name", 60, lambda: guest.resolve("server.test", "192.168.2.2") == [SERVER])
    # what passes is whole
    wanted = guest.get(f"http://{SERVER}/data.bin.sha256").split()[0]
    assert guest.check(f"sh -c 'curl -sS http://{SERVER}/data.bin | sha256sum'").split()[0] == wanted
    # and the household sees them
    assert "Guests   192.168.2.1/24" in gateway.check("hearth status")
    links = {link["name"]: link for link in gateway.json("net")["links"]}
    assert links["eth2"]["kind"] == "guest" and links["eth2"]["up"]
    assert links["br-guest"]["address"] == "192.168.2.1/24"
    rows = gateway.json(f"net sessions --host {got['ip']}")["sessions"]
    assert any(row["remote"].startswith(SERVER) for row in rows), rows


def test_a_guest_reaches_nothing_of_the_home_or_the_gateway(gateway, guest, pages):
    # given that all of it is there for the home
    before = dropped(gateway)
    outside = gateway.status()["wan"]["address"].split("/")[0]
    gateway.check("hearth forward add tcp 8022 nginx 80")
    # then a guest reaches no host of the home, and no service, and not the gateway by any of its addresses
    for url in (
        pages["home"],
        "http://192.168.1.2:53/",
        "http://192.168.1.1/",
        "http://192.168.2.1/",
        "http://192.168.1.1:8080/",
        "http://192.168.2.1:8080/",
        "http://10.213.0.1/",
        f"http://{outside}:8022/",
    ):
        assert not reaches(guest, url), url
    gateway.check("hearth forward remove tcp 8022")
    assert not pings(guest, "192.168.1.1") and not pings(guest, "192.168.1.2")
    # and it is counted by what it wanted
    grown(gateway, before, "guest_to_home_packets")
    grown(gateway, before, "guest_to_gateway_packets")
    # and the home does not know of it: no name of the home is told there
    assert "192.168.1" not in guest.run("busybox nslookup gateway.lan 192.168.2.2").stdout.decode().replace(
        "192.168.2.2", ""
    )


def test_a_guest_who_lies_about_its_address_reaches_nothing_either(gateway, guest, lan, lease, pages):
    before = dropped(gateway)
    home = lease["ip"]
    for claimed in ("192.168.1.77", home):
        with also(guest, claimed):
            assert claimed == home or not pings(guest, home, f"-I {claimed}")
            assert not pings(guest, SERVER, f"-I {claimed}")
            guest.check(f"busybox arping -U -c 2 -I eth0 {claimed}")
            # the home's client is still who it is
            assert lan.get(f"http://{SERVER}/data.bin.sha256")
    grown(gateway, before, "reverse_path_packets")


def test_the_home_reaches_nothing_of_the_guests(gateway, guest, lan, pages):
    before = dropped(gateway)
    assert not reaches(lan, pages["guest"])
    assert not pings(lan, "192.168.2.1") and not pings(lan, "192.168.2.2")
    grown(gateway, before, "to_guest_packets")


@pytest.mark.parametrize(
    "source, destination, verdict, reason",
    [
        ("192.168.2.150", f"{SERVER} 80", "forwarded", None),
        ("192.168.2.150", "192.168.1.50 80", "dropped", "guest_to_home_packets"),
        ("192.168.2.150", "nginx 80", "dropped", "guest_to_home_packets"),
        ("192.168.2.150", "gateway 80", "dropped", "guest_to_gateway_packets"),
        ("192.168.1.50", "192.168.2.150 80", "dropped", "to_guest_packets"),
        ("192.168.1.77", f"{SERVER} 80 --from guest", "dropped", "reverse_path_packets"),
    ],
)
def test_a_trace_says_what_becomes_of_guests_packets(gateway, guest, source, destination, verdict, reason):
    trace = gateway.json(f"net trace {source} {destination}")
    assert (trace["verdict"], trace["reason"]) == (verdict, reason), trace
