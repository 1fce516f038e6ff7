"""What a sandbox is made of on the gateway's own kernel, seen from outside of it."""

import pytest

NAMESPACES = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time"]
NOTHING = "0000000000000000"


@pytest.fixture(scope="module")
def probe(booted):
    """The process of a service that is at rest."""
    booted.check("hearth start probe", timeout=120)
    booted.wait("its end", 60, lambda: "RESULT end" in booted.logs("probe"))
    yield booted.ps()["probe"]["pid"]
    booted.run("hearth stop probe")


def test_the_level_of_landlock_is_told(booted):
    # given a kernel that has it, and it is switched on
    sandbox = booted.status()["sandbox"]
    # then people and programs read which level services get
    assert sandbox["landlock_level"] >= 2, sandbox  # Linux 6.1 has 2
    assert f"Landlock level {min(sandbox['landlock_level'], 6)} of 6" in booted.check("hearth status")


def test_each_namespace_is_its_own(booted, probe):
    for kind in NAMESPACES:
        own, first = (booted.check(f"readlink /proc/{pid}/ns/{kind}") for pid in (probe, 1))
        assert own.startswith(f"{kind}:[") and own != first, (kind, own)


def test_no_privilege_is_left(booted, probe):
    status = dict(line.split(":\t", 1) for line in booted.read(f"/proc/{probe}/status").splitlines() if ":\t" in line)
    assert {name: status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == dict.fromkeys(
        ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), NOTHING
    )
    assert (status["NoNewPrivs"].strip(), status["Seccomp"].strip()) == ("1", "2")
    # no terminal: field 7 of proc_pid_stat(5), after the name in brackets
    stat = booted.read(f"/proc/{probe}/stat").rsplit(")", 1)[1].split()
    assert stat[4] == "0", stat


def test_an_image_that_runs_the_launcher_again_does_not_start(booted):
    # given what the launcher is
    before = booted.check("sha256sum /sbin/hearth-sandbox /sbin/hearth-init")
    # when a service's program is "whoever executes me"
    _, code = booted.run("hearth start again", timeout=60)
    # then Landlock refuses it: the launcher is no file of the image
    assert code != 0
    row = booted.ps()["again"]
    assert "could not execute the service's program: permission denied" in row["message"], row
    assert booted.check("sha256sum /sbin/hearth-sandbox /sbin/hearth-init") == before
    booted.run("hearth stop again")


def test_a_command_line_can_have_a_sandbox_with_limits_too(booted):
    # given a command in a sandbox of the gateway's own root
    limits = "--memory 24 --pids 7 --cpu 50"
    booted.check(f"hearth-sandbox run {limits} -- /bin/sleep 20 2>/tmp/said & echo $! >/tmp/started", timeout=30)
    group = f"/sys/fs/cgroup/hearth-sandbox-{booted.read('/tmp/started').strip()}"
    booted.wait("it runs", 30, lambda: booted.read(f"{group}/cgroup.procs").strip())
    # then its limits hold
    found = [booted.read(f"{group}/{file}").strip() for file in ("memory.max", "pids.max", "cpu.max")]
    assert found == [str(24 << 20), "7", "50000 100000"]
    # and a signal has its usual effect, and leaves nothing
    booted.check("kill $(cat /tmp/started); for i in 1 2 3 4 5 6 7 8 9; do [ -e %s ] && sleep 1; done; [ ! -e %s ]" % (group, group))


def test_its_exit_status_is_the_commands(booted):
    for words, status in [("exit 9", 9), ("cat /data/hearth/state/* 2>/dev/null; kill -l >/dev/null; exit 4", 4)]:
        text, code = booted.run(f"hearth-sandbox run -- /bin/sh -c '{words}'")
        assert code == status, text
