"""Hostile services find every door shut, nothing of each other, and an end to everything; fifty starts leave nothing
behind. The tests of sandbox/ prove that each attempt works outside."""

import re

import attempts
import pytest

STARTS = 50


@pytest.fixture(scope="module")
def results(booted):
    """What each attempt of the service came to."""
    booted.check("hearth start probe", timeout=120)
    booted.wait("its end", 120, lambda: "RESULT end" in booted.logs("probe"))
    yield attempts.results(booted.logs("probe"))
    booted.run("hearth stop probe")


def test_every_attempt_comes_to_its_errno(results):
    assert attempts.wrong(attempts.rows(), results) == {}


def test_nobody_above_is_root_to_it(results, booted):
    # given the user its process has outside
    pid = booted.ps()["probe"]["pid"]
    uid = int(booted.check(f"grep Uid: /proc/{pid}/status").split()[1])
    # then it is one of its own, far from every person's and system's
    assert uid >= 0x100000, uid
    first = int(results["uid_map"].removeprefix("value=").split()[1])
    assert first == uid - 1000


def test_the_gateway_outlived_it(results, booted):
    row = booted.ps()["probe"]
    assert (row["state"], row["restarts"], row["oom_kills"]) == ("Active", 0, 0)
    assert booted.check("hostname") == "hearth"


def outcomes(gateway, name):
    """What the attempts of a service that ends by itself came to."""
    gateway.check(f"hearth start {name}", timeout=120)
    gateway.wait(f"the end of {name}", 180, lambda: "RESULT end" in gateway.logs(name))
    gateway.run(f"hearth stop {name}")
    return attempts.results(gateway.logs(name))


@pytest.fixture
def running(booted):
    """Starts services that go on, and stops them afterwards."""
    started = []

    def start(name, line):
        started.append(name)
        booted.check(f"hearth start {name}", timeout=120)
        booted.wait(f"{name} says {line}", 120, lambda: line in booted.logs(name))

    yield start
    for name in started:
        booted.run(f"hearth stop {name}")


def test_a_service_finds_nothing_of_another(running, booted):
    # given a service that has left its secrets everywhere, and one that knows the number of its process
    running("secrets", "READY")
    folder = "/data/services/spy"
    booted.check(f"mkdir -p {folder} && echo {booted.ps()['secrets']['pid']} >{folder}/target")
    # when it looks for them, then it finds none
    assert attempts.wrong(attempts.rows("spying"), outcomes(booted, "spy")) == {}


def test_everything_has_an_end(booted):
    assert attempts.wrong(attempts.rows("exhaustion"), outcomes(booted, "greedy")) == {}


def test_who_takes_all_leaves_the_others_theirs(running, booted):
    running("holder", "HELD all")
    found = outcomes(booted, "needy")
    assert found and set(found.values()) == {"ok"}, (found, booted.logs("holder"))


def left(gateway):
    """What a start may leave behind: how much there is of each kind."""
    namespaces = "for n in /proc/[0-9]*/ns/*; do readlink $n; done 2>/dev/null | sort -u | wc -l"
    count = {
        "mounts": "wc -l </proc/self/mountinfo",
        "groups": "grep ^nr_descendants /sys/fs/cgroup/cgroup.stat | cut -d ' ' -f 2",
        "namespaces": namespaces,
        "network namespaces": "ls /run/hearth/netns | wc -l",
        "links": "ls /sys/class/net | wc -l",
        "loop devices": "cat /sys/block/loop*/loop/backing_file 2>/dev/null | wc -l",
        "children of PID 1": "grep -l '^PPid:[[:space:]]*1$' /proc/[0-9]*/status | wc -l",
    }
    count |= {f"descriptors of {name}": f"ls /proc/{pid}/fd | wc -l" for name, pid in system(gateway).items()}
    return {what: int(gateway.check(command)) for what, command in count.items()}


def system(gateway):
    """The processes that take part in each start."""
    pids = gateway.pids()
    return {"hearth-init": 1, "hearth-manager": pids["hearth-manager"], "hearth-netpath": pids["hearth-netpath"]}


def memory(gateway):
    """Kibibytes of the kernel's caches, and of each process that takes part in a start."""
    gateway.check("echo 2 >/proc/sys/vm/drop_caches")
    files = {"kernel": ("/proc/meminfo", "SUnreclaim")}
    files |= {name: (f"/proc/{pid}/status", "VmRSS") for name, pid in system(gateway).items()}
    return {what: int(re.search(rf"^{key}:\s*(\d+) kB", gateway.read(path), re.M)[1]) for what, (path, key) in files.items()}


def test_fifty_starts_leave_nothing_behind(booted):
    # given a service that has been started and stopped once: what is kept for the next time is there
    again = "hearth start secrets >/dev/null && hearth stop secrets >/dev/null"
    booted.check(again, timeout=120)
    before, used = left(booted), memory(booted)
    # when it is started and stopped again and again
    booted.check(f"for n in $(seq {STARTS}); do {again} || exit 1; done", timeout=600)
    # then all is as before: namespaces and groups go a moment later
    def as_before():
        assert left(booted) == before
        return True

    booted.wait("all is as before", 60, as_before)
    # and no memory has gone with each start: 8 KiB each would be 400
    grown = {what: now - used[what] for what, now in memory(booted).items() if now - used[what] > 8 * STARTS}
    # The kernel frees groups and namespaces late, in their own time, and keeps some caches per processor.
    assert grown.pop("kernel", 0) < 64 * STARTS and grown == {}, (grown, used)
