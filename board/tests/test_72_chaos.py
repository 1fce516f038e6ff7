"""Any process dies at any moment, again and again; disks fill up, memory ends, the clock is set. After each round
the gateway is whole: see gateway-core/cli/examples/chaos/world.rs.

`--chaos-rounds N` (200) and `--chaos-seed S` (1): the same seed is the same faults in the same order.
"""

import pathlib
import time

import pytest
from home import REPO

VICTIMS = 8
BATCH = 25  # rounds between two looks from outside
ROUND_SECONDS = 90  # longest time of one
REPORT = pathlib.Path(REPO / "target/test/chaos.txt")


@pytest.fixture
def victims(gateway):
    """Services that are there to be killed, and the program that does it in /tmp/chaos, from a boot of its own."""
    gateway.reboot()
    names = [f"victim{n}" for n in range(1, VICTIMS + 1)]
    for name in names:
        gateway.check(f"hearth start {name}", timeout=120)
    gateway.check("cp /run/hearth/images/victim1/chaos /tmp/chaos")
    yield names
    for name in names:
        gateway.run(f"hearth stop {name}; rm -r /data/services/{name}", timeout=120)
    gateway.run("rm /tmp/chaos")


def kill_the_console(gateway):
    """Even the shell that the tests type into comes back."""
    before = gateway.pids()["console"]
    gateway.shell.console.sendline("kill -9 $$")
    time.sleep(3)
    gateway.log_in_again()
    gateway.wait("another shell", 30, lambda: gateway.pids()["console"] not in (0, before))


def test_whatever_dies_or_fills_up_the_gateway_is_whole_again(lan, gateway, victims, pytestconfig, capsys):
    rounds = pytestconfig.getoption("chaos_rounds")
    seed = pytestconfig.getoption("chaos_seed")
    with capsys.disabled():
        print(f"\nchaos: {rounds} rounds, --chaos-seed {seed}", flush=True)
    REPORT.write_text(f"seed {seed}\n")
    for first in range(1, rounds + 1, BATCH):
        last = min(rounds, first + BATCH - 1)
        # given a gateway that is whole, when a round's fault comes, then it is whole again
        text, code = gateway.run(f"/tmp/chaos rounds {seed} {first} {last}", timeout=ROUND_SECONDS * BATCH)
        with REPORT.open("a") as report:
            report.write(text + "\n")
        done = sum(line.startswith("ROUND ") for line in text.splitlines())
        events = "" if code == 0 else gateway.run("hearth events | tail -n 30; dmesg | tail -n 40")[0]
        assert (code, done) == (0, last - first + 1), f"--chaos-seed {seed}\n{text}\n{events}"
        # and the home reaches the Internet and its services
        gateway.wait("the Internet", 30, lambda: lan.run("ping -c 1 -W 5 203.0.113.1").returncode == 0)
        gateway.wait("names", 30, lambda: lan.resolve("server.test", "192.168.1.2") == ["203.0.113.1"])
        assert "nginx" in lan.get("http://192.168.1.1:8080/")
        kill_the_console(gateway)
    # and what was used is in whole records
    text = gateway.check("hearth usage verify", timeout=120)
    assert "none is changed, removed or moved" in text or "No record yet" in text, text
    # and PID 1 has had no trouble of its own
    assert "allocations after start-up" not in gateway.check("dmesg")
