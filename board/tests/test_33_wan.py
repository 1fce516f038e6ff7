"""The Internet's side has the home's network (RFC 4787 REQ-7), or another address: who makes way, and who hears of it."""

import pathlib
import shlex
import time

import pytest

MOVED = "/data/hearth/state/networks.toml"
SERVER = (
    "dnsmasq --keep-in-foreground --log-facility=- --conf-file=/dev/null --user=root --pid-file --interface=eth0 "
    "--bind-interfaces --except-interface=lo --no-resolv --no-hosts --no-ping --dhcp-authoritative "
    "--dhcp-leasefile=/dev/null --dhcp-range=192.168.1.150,192.168.1.160,255.255.255.0,1h "
    "--dhcp-option=option:router,192.168.1.1 --address=/server.test/203.0.113.1"
)


def address_server(wan):
    """The Internet's address server: its process, and how it was started."""
    for pid in wan.check(f"ip netns pids {wan.namespace}").split():
        words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1]
        if words and words[0].endswith("dnsmasq"):
            return pid, shlex.join(words)
    raise AssertionError("the Internet has no address server")


def serves(wan):
    """Whether an address server listens."""
    return bool(wan.check("ss -Hlnu 'sport = :67'").strip())


def wait(what, question):
    """Asks until the answer is true."""
    deadline = time.monotonic() + 20
    while not question():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.1)


def address_of(gateway):
    """The gateway's address in the Internet."""
    return (gateway.status()["wan"]["address"] or "").split("/")[0]


@pytest.fixture
def other_provider(home, gateway, lease):
    """An Internet whose network is the home's; afterwards all is as it was."""
    pid, started = address_server(home.wan)
    home.wan.check(f"kill {pid}")
    wait("the end of the address server", lambda: not serves(home.wan))
    home.wan.check("ip address add 192.168.1.1/24 dev eth0")
    other = home.wan.start(SERVER)
    wait("another address server", lambda: serves(home.wan))
    yield
    other.terminate()
    other.wait(10)
    home.wan.check("ip address del 192.168.1.1/24 dev eth0")
    home.wan.started = home.wan.start(started)
    wait("the address server", lambda: serves(home.wan))
    gateway.check(f"rm -f {MOVED}")
    gateway.check("hearth restart hearth-netpath")
    gateway.wait("the home is where it was", 90, lambda: gateway.status()["lan"] == "192.168.1.1/24")
    gateway.wait("a WAN address", 90, lambda: address_of(gateway).startswith("203.0.113."))
    for name in ("dnsmasq", "nginx", "web"):
        gateway.wait_active(name, 120)
    gateway.wait("an address for the client", 120, lambda: home.lan.lease()["router"] == "192.168.1.1")


def reaches_everything(gateway, client):
    """The client of the home asks anew, and reaches services, names and the Internet."""
    for name in ("dnsmasq", "nginx", "web"):
        gateway.wait_active(name, 120)
    got = gateway.wait("an address of the new network", 120, lambda: client.lease())
    assert got["ip"].startswith("192.168.44.") and got["router"] == "192.168.44.1", got
    assert got["dns"] == "192.168.44.2"
    assert "nginx" in client.get("http://192.168.44.1:8080/")
    assert "<html" in client.get("http://192.168.44.1/")
    gateway.wait("a name", 60, lambda: client.resolve("gateway.lan", "192.168.44.2") == ["192.168.44.1"])
    # a host of the Internet that has the home's old network, and one beyond it
    client.check("ping -n -c 3 -W 5 192.168.1.1")
    assert client.get("http://203.0.113.1/data.bin.sha256")


def test_a_home_makes_way_for_an_internet_that_has_its_network(other_provider, home, gateway):
    # given an Internet whose network is the home's, when the gateway asks for its address again
    assert gateway.status()["lan"] == "192.168.1.1/24"
    gateway.check("hearth restart hearth-netpath")
    # then the home moves by itself, and the offer is taken
    gateway.wait("another network", 90, lambda: gateway.status()["lan"] == "192.168.44.1/24")
    gateway.wait("a WAN address", 90, lambda: address_of(gateway).startswith("192.168.1."))
    # and status says what, why and how to choose, and where the console is now
    status = gateway.status()
    assert status["console_url"] == "http://192.168.44.1/"
    (note,) = status["notes"]
    for part in ("from 192.168.1.0/24 to 192.168.44.0/24", "the Internet side has 192.168.1.0/24", "gateway.toml"):
        assert part in note, note
    told = gateway.check("hearth status")
    assert "To know:" in told and "was moved" in told, told
    # and the home's client, which asks anew, reaches everything
    reaches_everything(gateway, home.lan)
    # and all of it survives a reboot
    gateway.reboot()
    gateway.wait("the same network", 60, lambda: gateway.status()["lan"] == "192.168.44.1/24")
    gateway.wait("a WAN address", 90, lambda: address_of(gateway).startswith("192.168.1."))
    reaches_everything(gateway, home.lan)
    assert "192.168.44.1/24" in gateway.said or "192.168.44.1/24" in gateway.check("hearth banner")


def test_another_address_in_the_internet_is_told_in_events(gateway):
    # given the moves of the test before
    events = gateway.check("hearth events")
    # then each change of the address is there
    assert "the Internet address was 192.168.1." in events, events
