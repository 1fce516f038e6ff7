"""What is short is named, with who is in the way and who waits, within seconds; nothing is named where nobody waits, and
nobody looks for it then."""

import contextlib

import pytest
from glutton import GROUPS, POUR_PORT, Glutton, pouring
from home import SERVER
from line import Line

MIB = 1 << 20
LOAD_MS = 25_000
LINE = 1  # Mbit/s, both ways
TAKES, WANTS = 2000, 800  # kbit/s: more than the line carries, and more than is left of it
DISK = MIB  # bytes a second that a slow card or stick reads; the emulated disk is as fast as memory
TAKES_KIB, WANTS_KIB = 256, 4  # of the disk at once
LEFT_MIB, FILE_MIB = 24, 64  # memory that is left, and what somebody wants to keep in it
WITHIN_MS = 5_000  # from the beginning of the load to the manager's word, by the gateway's clock


@pytest.fixture(scope="module")
def parties(booted):
    """Who takes, and who waits. The household wants the first one, and has said nothing of the other."""
    for name in ("taker", "waiter"):
        booted.check(f"hearth start {name}", timeout=120)
    booted.check("hearth rank taker")
    booted.wait("both settled", 90, lambda: booted.ps()["waiter"]["since_seconds"] > 21)
    yield Glutton(booted, "taker"), Glutton(booted, "waiter")
    booted.check("hearth rank --clear")
    for name in ("taker", "waiter"):
        booted.run(f"hearth stop {name}", timeout=60)


def congested(gateway):
    """What is short now: resource, culprit, victims."""
    return {one["resource"]: (one["culprit"], one["victims"]) for one in gateway.status()["congestion"]}


def uptime_ms(gateway):
    """The gateway's clock."""
    return int(float(gateway.read("/proc/uptime").split()[0]) * 1000)


def load(gateway, parties, taking, waiting, ms=LOAD_MS):
    """Both begin; when, and what they are told."""
    taker, waiter = parties
    first = (taker, taker.order(f"{taking} {ms}"))
    # Nobody waits before both are there.
    since = uptime_ms(gateway)
    return since, [first, (waiter, waiter.order(f"{waiting} {ms}"))]


def wait_named(gateway, resource, since_ms):
    """Waits until it is told with the right names, and looks how long that took."""

    def named():
        culprit, victims = congested(gateway).get(resource, ("", []))
        return culprit == "taker" and "waiter" in victims

    gateway.wait(f"{resource} named", 60, named)
    told = [one for one in gateway.json("events") if one["object"] == resource and one["uptime_ms"] > since_ms]
    assert told[0]["text"].startswith("taker takes so much"), told
    late = told[0]["uptime_ms"] - since_ms
    print(f"{resource}: named after {late} ms")
    assert late < WITHIN_MS, told[0]


def wait_over(gateway, resource, tags=()):
    """Waits for the end of the loads, and of what they came to."""
    for one, tag in tags:
        gateway.wait("the end of the load", 120, lambda one=one, tag=tag: one.result(tag))
    gateway.wait(f"{resource} free again", 60, lambda: resource not in congested(gateway))
    told = [one for one in gateway.json("events") if one["object"] == resource]
    assert told[-1]["text"] == "enough for all again", told[-1]


def words(gateway, command):
    """What a command printed, as one line."""
    return " ".join(gateway.run(command)[0].split())


def woken(gateway, seconds):
    """How often the manager has slept meanwhile."""
    look = f"grep ^voluntary /proc/{gateway.pids()['hearth-manager']}/status"
    before, after = [int(line.split()[1]) for line in gateway.check(f"{look}; sleep {seconds}; {look}").splitlines()]
    return after - before


def test_nothing_is_named_where_nobody_waits_and_nobody_looks(parties, gateway):
    gateway.wait("nothing named", 60, lambda: congested(gateway) == {})
    # given a calm, then the manager lets everyone be: it glances at line and disk every 1.5 s, and keeps accounts every 10 s
    assert "refuses a trigger" not in gateway.check("dmesg")
    gateway.wait("a calm", 90, lambda: woken(gateway, 10) < 10)
    # given somebody who takes all there is, alone, then nothing is short
    taker, _ = parties
    tag = taker.order("spin 8000")
    gateway.wait("the end of the load", 60, lambda: taker.result(tag))
    assert congested(gateway) == {}
    text, code = gateway.run("hearth why taker")
    assert (code, text.strip()) == (0, "taker runs, and waits for nothing.")


def test_a_processor_that_two_want_has_a_culprit(parties, gateway):
    since, tags = load(gateway, parties, "spin", "spin")
    wait_named(gateway, "cpu", since)
    # then people are told what it is, and what to do
    cause = "taker takes so much of the processor that waiter waits"
    assert cause in words(gateway, "hearth why waiter")
    assert "it is in the way of others" in words(gateway, "hearth why taker")
    assert cause in words(gateway, "hearth status")
    wait_over(gateway, "cpu", tags)


@contextlib.contextmanager
def slow_disk(gateway):
    """All services share a disk of that rate."""
    partition = next(line.split()[0] for line in gateway.read("/proc/mounts").splitlines() if " /data " in line)
    disk = gateway.read(f"/sys/class/block/{partition.removeprefix('/dev/')}/../dev").strip()
    gateway.check(f"echo '{disk} rbps={DISK}' >{GROUPS}/io.max")
    try:
        yield
    finally:
        gateway.check(f"echo '{disk} rbps=max' >{GROUPS}/io.max")


def test_a_disk_that_two_want_has_a_culprit(parties, gateway):
    for one in parties:
        assert one.does("write /data/file 8")["errno"] == 0
    with slow_disk(gateway):
        since, tags = load(gateway, parties, f"seek /data/file {TAKES_KIB}", f"seek /data/file {WANTS_KIB}")
        wait_named(gateway, "io", since)
        wait_over(gateway, "io", tags)
    for one in parties:
        one.does("remove /data/file")


@pytest.fixture
def squeezed(parties, gateway):
    """One who uses a large file again and again, and another one who has nearly all else that services may have."""
    taker, waiter = parties
    gateway.check(f"dd if=/dev/zero of={waiter.data}/large bs=1M count={FILE_MIB} conv=fsync 2>/dev/null", 120)
    gateway.check("echo 1 >/proc/sys/vm/drop_caches")
    waiter.does("wander /data/large 5000")
    most, now = (int(gateway.read(f"{GROUPS}/memory.{file}")) for file in ("max", "current"))
    takes = (most - now) // MIB + FILE_MIB - LEFT_MIB
    assert taker.does(f"memory {takes}") == {"errno": 0}
    gateway.wait("the memory taken", 180, lambda: taker.count("memory.current") > (takes - 8) * MIB)
    # What comes back soon after it was taken away is known as wanted from then on (workingset).
    waiter.does("wander /data/large 8000")
    gateway.wait("a calm", 60, lambda: "memory" not in congested(gateway))
    yield
    waiter.does("remove /data/large")


def test_memory_that_two_want_has_a_culprit(parties, gateway, squeezed):
    _, waiter = parties
    with slow_disk(gateway):
        since = uptime_ms(gateway)
        tag = waiter.order(f"wander /data/large {LOAD_MS}")
        wait_named(gateway, "memory", since)
    gateway.check("hearth restart taker", 120)
    wait_over(gateway, "memory", [(waiter, tag)])


@pytest.fixture(scope="module")
def line(booted, home):
    """Shaped, and as before afterwards."""
    line = Line(booted, LINE)
    line.set()
    with pouring(home.wan):
        yield line
    line.as_before()


@pytest.mark.parametrize("order, resource, name", [("send", "uplink", "to"), ("pour", "downlink", "from")])
def test_a_line_that_two_want_has_a_culprit(parties, gateway, line, order, resource, name):
    since, tags = load(gateway, parties, f"{order} {SERVER} {POUR_PORT} {TAKES}", f"{order} {SERVER} {POUR_PORT} {WANTS}")
    wait_named(gateway, resource, since)
    # then the cause is told with the advice that helps, by all who are asked
    cause = f"taker takes so much of the line {name} the Internet that waiter waits"
    advice = "hearth rank waiter taker: waiter then comes before taker"
    assert f"{cause}; {advice}" in words(gateway, "hearth why waiter")
    said = words(gateway, "hearth doctor")
    assert f"Cause: {cause}" in said and f"To do: {advice}" in said, said
    wait_over(gateway, resource, tags)


def test_a_full_data_partition_has_a_culprit(parties, gateway):
    taker, waiter = parties
    gateway.check(f"dd if=/dev/zero of={taker.data}/much bs=1M count=40 conv=fsync 2>/dev/null", 120)
    waiter.does("write /data/some 1", 60)
    # given that the rest of the partition is filled by the gateway itself
    left = int(gateway.check("df -k /data | awk 'NR==2 {print $4}'")) // 1024
    since = uptime_ms(gateway)
    gateway.check(f"fallocate -l {max(left - 12, 1)}M /data/ballast", 60)
    try:
        gateway.wait("storage named", 60, lambda: congested(gateway).get("storage", ("",))[0] == "taker")
        assert "waiter" in congested(gateway)["storage"][1]
        told = [one for one in gateway.json("events") if one["object"] == "storage" and one["uptime_ms"] > since]
        assert told[0]["uptime_ms"] - since < WITHIN_MS, told
    finally:
        gateway.check("rm /data/ballast; sync")
        for one, file in ((waiter, "some"), (taker, "much")):
            one.does(f"remove /data/{file}")
    wait_over(gateway, "storage")
