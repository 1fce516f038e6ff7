"""Forwarding and services share the processor by weight, and neither starves the other.

Threads take the packets of the ports in forwarding's cgroup, and those of a service in the service's own. Shares are
compared within one run, under a flood of small packets that is more than this machine forwards.
"""

import contextlib
import time

import pytest
from home import SERVER

GROUPS = "/sys/fs/cgroup"
FORWARDING, SERVICES = f"{GROUPS}/forwarding", f"{GROUPS}/services"
SECONDS = 5
RATE = 80_000  # packets a second: some times what an emulated Atom forwards
FLOOD = """
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(("{server}", 9))
sent, begun = 0, time.monotonic()
while (now := time.monotonic() - begun) < {seconds}:
    if sent > now * {rate}:
        time.sleep(0.0005)
        continue
    for _ in range(16):
        try:
            s.send(bytes(18))
        except OSError:
            pass
    sent += 16
"""


def threads(gateway, group, device):
    """The kernel threads of a cgroup that take packets from a device."""
    script = f"for p in $(cat {group}/cgroup.procs); do echo $p $(cat /proc/$p/comm); done"
    rows = [line.split(" ", 1) for line in gateway.check(script).splitlines()]
    return [int(pid) for pid, name in rows if name.startswith(f"napi/{device}-")]


def test_threads_of_the_ports_are_forwardings_and_have_a_weight(gateway):
    # then the ports' threads and hearth-netpath share a cgroup, beside two others
    assert len(threads(gateway, FORWARDING, "eth0")) == len(threads(gateway, FORWARDING, "eth1")) == 1
    assert str(gateway.pids()["hearth-netpath"]) in gateway.read(f"{FORWARDING}/cgroup.procs").split()
    # with weights in thousandths of a core, as gateway.toml reserves them
    weights = {name: gateway.read(f"{GROUPS}/{name}/cpu.weight") for name in ("forwarding", "system", "services")}
    assert weights == {"forwarding": "200", "system": "100", "services": "700"}
    # and the household is told
    said = gateway.status()["forwarding"]
    assert said["weight"] == 200 and said["lacking"] == [], said
    assert {"dnsmasq", "nginx", "web"} <= set(said["charged"]), said
    assert "forwarding keeps 20 % of a core" in gateway.check("hearth status")


def test_a_services_thread_is_in_its_cgroup_whoever_starts_anew(lan, gateway):
    gateway.wait_active("nginx")
    (port,) = threads(gateway, FORWARDING, "eth0")
    (before,) = threads(gateway, f"{SERVICES}/nginx", "eth0")
    # when hearth-netpath, the manager and the service start anew, then it is the same one
    gateway.check(f"kill -9 {gateway.pids()['hearth-netpath']}")
    gateway.wait("hearth-netpath", 60, lambda: gateway.status()["forwarding"]["weight"] == 200)
    gateway.restart_manager()
    gateway.check("hearth restart nginx", 120)
    gateway.wait_active("nginx")
    gateway.wait("threads", 60, lambda: "nginx" in gateway.status()["forwarding"]["charged"])
    assert threads(gateway, f"{SERVICES}/nginx", "eth0") == [before]
    assert threads(gateway, FORWARDING, "eth0") == [port]
    # when it is stopped, then nothing of it stays; when it is started, then there is a new one
    gateway.check("hearth stop nginx", 120)
    gateway.wait("its cgroup is gone", 30, lambda: gateway.run(f"test -e {SERVICES}/nginx")[1] != 0)
    gateway.check("hearth start nginx", 120)
    (after,) = threads(gateway, f"{SERVICES}/nginx", "eth0")
    assert after != before
    assert "nginx" in lan.get("http://192.168.1.1:8080/")


@contextlib.contextmanager
def flood(lan):
    """Small packets from the home to the Internet, more than can be forwarded."""
    process = lan.start(f"python3 -c '{FLOOD.format(server=SERVER, seconds=SECONDS + 12, rate=RATE)}'")
    try:
        yield
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def hog(gateway):
    """A service that takes all the processor it gets for so long; stopped afterwards."""
    gateway.check("hearth start neighbour", 120)

    def spin(seconds):
        order = "/data/services/neighbour/order"
        gateway.check(f"echo 37{seconds} spin {seconds * 1000} >{order}.new && mv {order}.new {order}")

    yield spin
    gateway.run("hearth stop neighbour", 120)


class Meter:
    """What is used and forwarded meanwhile."""

    def __init__(self, gateway, wan):
        self.gateway, self.wan = gateway, wan

    def now(self):
        used = self.gateway.check(
            f"cut -d' ' -f1 /proc/uptime; for g in forwarding services; do sed -n 's/usage_usec //p' {GROUPS}/$g/cpu.stat; done"
        ).split()
        arrived = self.wan.check("cat /sys/class/net/eth0/statistics/rx_packets")
        return [float(word) for word in used], int(arrived)

    def over(self, seconds):
        """Seconds, shares of the processor of forwarding and of services, packets a second."""
        (begun, *before), arrived = self.now()
        time.sleep(seconds)
        (end, *after), more = self.now()
        wall = end - begun
        forwarding, services = [(b - a) / 1e6 / wall for a, b in zip(before, after, strict=True)]
        return forwarding, services, (more - arrived) / wall


@contextlib.contextmanager
def weights(gateway, forwarding, services):
    """Other weights than the configuration's, for a while."""
    group = f"{FORWARDING}/cpu.weight", f"{SERVICES}/cpu.weight"
    before = [gateway.read(file) for file in group]
    for file, weight in zip(group, (forwarding, services), strict=True):
        gateway.check(f"echo {weight} >{file}")
    try:
        yield
    finally:
        for file, weight in zip(group, before, strict=True):
            gateway.check(f"echo {weight} >{file}")


def measure(lan, wan, gateway, hog):
    """What a flood and a hog get of the processor beside each other."""
    with flood(lan):
        hog(SECONDS + 6)
        time.sleep(2)
        found = Meter(gateway, wan).over(SECONDS)
    # What the hog was told to take is over.
    time.sleep(5)
    return found


@pytest.mark.parametrize("weight", [100, 200, 400])
def test_a_flood_and_a_hog_get_what_their_weights_say(lan, wan, gateway, hog, weight):
    # given weights of forwarding to services of 1:1, 1:2 and 1:4 in favour of forwarding
    with weights(gateway, weight, 100):
        forwarding, services, arrived = measure(lan, wan, gateway, hog)
    # then the processor was busy with them, and the hog, which always wants more, has what its weight says
    busy, share = forwarding + services, weight / (weight + 100)
    assert busy > 0.85, (forwarding, services, arrived)
    assert services / busy > 1 - share - 0.06, (forwarding, services, arrived)
    # and it does not starve forwarding, which sleeps whenever the host is late with packets: how much it takes of its
    # share is the host's to say
    assert forwarding / busy > 0.3, (forwarding, services, arrived)


def test_without_threads_forwarding_takes_what_is_charged_to_others(lan, wan, gateway, hog):
    # given the kernel's usual way
    ports = "for p in eth0 eth1; do echo {} >/sys/class/net/$p/threaded; done"
    gateway.check(ports.format(0))
    try:
        forwarding, _, arrived = measure(lan, wan, gateway, hog)
    finally:
        gateway.check(ports.format(1))
    # then its group is charged for next to nothing of thousands of packets a second: this is what threads cure
    assert arrived > 1_000 and forwarding < 0.1, (forwarding, arrived)
    # and with threads again it pays for them
    forwarding, _, arrived = measure(lan, wan, gateway, hog)
    assert arrived > 100 and forwarding > 0.15, (forwarding, arrived)
