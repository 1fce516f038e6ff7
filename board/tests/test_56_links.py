"""What a service's link lets out, on the gateway's own kernel: its guard, and the policy of who is on the bridge.

Root on the console enters a service's network namespace, where the service itself could change nothing, and is as
hostile as it likes. netpath/tests/forwarding/hostile.rs does the same with every kind of frame.
"""

import re

import pytest

ROUTER, GATEWAY, CLIENT = "10.213.0.1", "192.168.1.1", "192.168.1.77"


class Inside:
    """The network namespace of a service."""

    def __init__(self, gateway, name):
        self.gateway = gateway
        self.enter = f"nsenter -t {gateway.pids()[name]} -n"

    def run(self, command):
        return self.gateway.run(f"{self.enter} {command}")

    def check(self, command):
        return self.gateway.check(f"{self.enter} {command}")

    def address(self):
        return re.search(r"inet ([0-9.]+)/", self.check("ip -4 addr show dev eth0"))[1]

    def pings(self, to, source):
        return self.run(f"ping -c 1 -W 3 -I {source} {to}")[1] == 0


def dropped(gateway, link):
    """What the guard of a link has dropped, by reason."""
    gateway.check(f"dmesg -c >/dev/null; kill -USR1 {gateway.pids()['hearth-netpath']}")
    text = gateway.wait("a report", 10, lambda: f"hearth-netpath: {link} guard" in (t := gateway.check("dmesg")) and t)
    return {name: int(count) for name, count in re.findall(rf"hearth-netpath: {link} (guard_\w+)=(\d+)", text)}


@pytest.fixture
def routed(gateway):
    """nginx's namespace, as it was before."""
    inside = Inside(gateway, "nginx")
    inside.own = inside.address()
    inside.link = re.search(rf"{inside.own} dev (sv\d+)", gateway.check("ip route"))[1]
    yield inside
    inside.run("sh -c 'echo 1 >/proc/sys/net/ipv6/conf/eth0/disable_ipv6'")
    for address in re.findall(r"inet ([0-9.]+)/", inside.check("ip -4 addr show dev eth0")):
        if address != inside.own:
            inside.check(f"ip addr del {address}/32 dev eth0")


@pytest.fixture
def bridged(gateway):
    """dnsmasq's namespace, as it was before."""
    inside = Inside(gateway, "dnsmasq")
    yield inside
    inside.run(f"ip addr del {CLIENT}/32 dev eth0")


def test_a_routed_link_lets_out_its_own_address_only(gateway, routed):
    other = Inside(gateway, "web").address()
    assert routed.pings(ROUTER, routed.own)
    # when it takes another service's address, or a home host's
    for address in (other, CLIENT):
        routed.check(f"ip addr add {address}/32 dev eth0")
        # then nobody answers
        assert not routed.pings(ROUTER, address), address
    # and when it asks by ARP, or speaks IPv6
    assert routed.run(f"arping -c 1 -w 2 -I eth0 {ROUTER}")[1] != 0
    routed.check("sh -c 'echo 0 >/proc/sys/net/ipv6/conf/eth0/disable_ipv6'")

    # then the guard has counted each
    def counted():
        found = dropped(gateway, routed.link)
        return found if found.get("guard_protocol_frames", 0) >= 2 else None

    found = gateway.wait("counts", 30, counted)
    assert found["guard_source_frames"] >= 2, found
    assert routed.pings(ROUTER, routed.own)


def test_the_gateway_speaks_no_ipv6(gateway):
    rows = gateway.check("cat /proc/net/if_inet6 2>/dev/null || true").splitlines()
    assert [row for row in rows if not row.endswith(" lo")] == []


def test_a_bridged_service_is_itself_and_has_no_way_to_the_console(lan, gateway, bridged):
    own = bridged.address()
    assert bridged.pings(GATEWAY, own)
    # when it takes a home host's address, then nobody answers
    bridged.check(f"ip addr add {CLIENT}/32 dev eth0")
    assert not bridged.pings(GATEWAY, CLIENT)
    # when it asks for the console, which every host of the home gets, then it is told that it may not
    assert "Hearth" in lan.get(f"http://{GATEWAY}/")
    text, code = bridged.run(f"wget -T 10 -q -O - http://{GATEWAY}/ 2>&1")
    assert code != 0 and "timed out" not in text, text
    # and its own work goes on
    assert lan.resolve("gateway.lan", own) == [GATEWAY]
