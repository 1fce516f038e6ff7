"""System calls that a service may not make: who makes one is killed, and the household is told which and what to do."""

import pytest


@pytest.fixture
def forbidden(booted):
    """The row of a service that makes a forbidden call, at rest again."""
    booted.run("hearth start forbidden 2>&1", timeout=120)

    def row():
        found = booted.ps()["forbidden"]
        return found if found["state"] == "Idle" and "ptrace" in found["message"] else None

    yield booted.wait("it is killed and told", 60, row)
    booted.run("hearth stop forbidden")


def test_a_service_that_makes_a_dangerous_call_is_killed_and_told_by_name(booted, forbidden):
    # given a service that starts a thread, which it may, and then traces
    remedy = 'its manifest needs [[sandbox.syscall]] with name = "ptrace" and a reason'
    # then its row says which call it was and which line would allow it
    assert "made the system call ptrace" in forbidden["message"], forbidden
    assert remedy in forbidden["message"], forbidden
    # and its own log has it behind what it printed, and the manager's log with its name
    said = booted.logs("forbidden")
    assert "CALLED thread ok" in said and not any("ptrace" in line and "CALLED" in line for line in said), said
    assert any(line.startswith("hearth: process") and remedy in line for line in said), said
    kernel = booted.check("dmesg")
    assert any("service forbidden" in line and remedy in line for line in kernel.splitlines()), kernel[-2000:]


def test_a_killed_child_is_told_and_its_service_lives(booted):
    # given a service whose children try everything
    booted.check("hearth start probe", timeout=120)

    def told():
        return [line for line in booted.logs("probe") if line.startswith("hearth: process")]

    # then some of their ends are told (the kernel keeps 10 records in 5 s), with what no manifest can allow
    lines = booted.wait("a child's end", 60, told)
    assert all("made the system call" in line for line in lines), lines
    assert any("no manifest can allow it" in line for line in lines), lines
    row = booted.ps()["probe"]
    assert (row["state"], row["message"]) == ("Active", ""), row
    booted.run("hearth stop probe")
