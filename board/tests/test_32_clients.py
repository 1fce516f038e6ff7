"""What people run to see whether the Internet works, through the image: its resolver, its kernel, its netpath."""

import pytest
from home import SERVER

RESOLVER = "192.168.1.2"


@pytest.fixture(autouse=True)
def internet(lan, gateway):
    """The gateway has its WAN address, and its resolver knows those of the WAN's lease."""
    gateway.wait("resolvers", 60, lambda: gateway.status()["wan"]["resolvers"])
    gateway.wait("an answer", 30, lambda: lan.resolve("server.test", RESOLVER) == [SERVER])


@pytest.mark.parametrize("server", [RESOLVER, SERVER], ids=["resolver", "internet"])
@pytest.mark.parametrize("how", ["+notcp", "+tcp"])
def test_dig(lan, server, how):
    assert lan.check(f"dig @{server} +short {how} +tries=3 +timeout=5 server.test") == f"{SERVER}\n"


@pytest.mark.parametrize("how", ["", "-I", "-T -p 80"], ids=["udp", "icmp", "tcp"])
def test_traceroute_names_the_gateway_and_the_server(lan, how):
    said = lan.check(f"traceroute -n -q 1 -w 5 {how} {SERVER}")
    hops = [line.split()[1] for line in said.splitlines()[1:]]
    assert hops == ["192.168.1.1", SERVER], said


@pytest.mark.parametrize("size", [1472, 4000], ids=["one packet", "fragments"])
def test_ping_gets_every_echo(lan, size):
    said = lan.check(f"ping -n -c 3 -i 0.5 -W 5 -s {size} {SERVER}")
    assert "3 packets transmitted, 3 received" in said, said


def test_streams_side_by_side_all_get_through(lan):
    # given four streams up, when they end
    end = lan.iperf3("--parallel 4")
    # then each has carried something
    carried = [stream["receiver"]["bytes"] for stream in end["streams"]]
    assert len(carried) == 4 and min(carried) > 0, carried
