"""Any process may die at any moment: it comes back, and nothing else stops."""

import secrets

import pytest


def kill(gateway, name):
    """Kills a process the hard way; the pids of all before, and after it is back."""
    before = gateway.pids()
    gateway.check(f"kill -9 {before[name]}")
    gateway.wait(
        f"{name} is back",
        90,
        lambda: (row := gateway.ps()[name])["state"] == "Active" and row["pid"] not in (0, before[name]),
    )
    return before, gateway.pids()


@pytest.mark.parametrize("name", ["nginx", "hearth-manager", "hearth-netpath", "dnsmasq", "web"])
def test_a_killed_process_is_back_and_nothing_else_stopped(lan, gateway, name):
    # given a service whose log has a line that nobody wrote before
    mark = secrets.token_hex(8)
    lan.run(f"curl -s --max-time 30 http://192.168.1.1:8080/{mark}")
    gateway.wait("the line", 20, lambda: any(mark in line for line in gateway.logs("nginx")))
    # when
    before, after = kill(gateway, name)
    # then only that one has another process
    assert {one for one in before if before[one] != after[one]} == {name}
    # and the gateway tells what happened
    told = [event for event in gateway.json("events") if event["object"] in (name, f"service {name}")]
    assert any(event["text"].startswith(f"Active pid={after[name]}") for event in told), told
    # and the line is still there, and new ones arrive
    mark_after = secrets.token_hex(8)
    gateway.wait(
        "the page",
        60,
        lambda: lan.run(f"curl -s --max-time 5 http://192.168.1.1:8080/{mark_after}").returncode == 0,
    )
    gateway.wait("the new line", 20, lambda: any(mark_after in line for line in gateway.logs("nginx")))
    assert any(mark in line for line in gateway.logs("nginx"))
    # and the home reaches the Internet, its names and the console
    gateway.wait("the Internet", 60, lambda: lan.run("ping -c 1 -W 5 203.0.113.1").returncode == 0)
    gateway.wait("names", 60, lambda: lan.resolve("server.test", "192.168.1.2") == ["203.0.113.1"])
    gateway.wait("the console", 60, lambda: lan.run("curl -sf --max-time 5 http://192.168.1.1/").returncode == 0)


def test_forwarding_goes_on_without_the_manager(lan, home, gateway):
    # given a download on its way, slow enough to last
    done = lan.start("curl -sS --fail --limit-rate 200k --max-time 120 -o /dev/null http://203.0.113.1/data.bin")
    # when the manager dies meanwhile
    kill(gateway, "hearth-manager")
    # then the download never noticed
    assert done.poll() is None, "the download was over before the manager was back"
    text, _ = done.communicate(timeout=120)
    assert done.returncode == 0, text


def test_pid_1_can_not_be_killed(gateway):
    before = gateway.pids()
    gateway.run("kill -9 1; kill -11 1; kill -6 1; kill -1 1")
    assert gateway.check("readlink /proc/1/exe").endswith("/hearth-init")
    assert gateway.pids() == before


def test_nothing_was_left_behind_by_all_of_this(gateway):
    # then no zombie is left, and each service has one image mounted and one namespace
    zombies = gateway.check("grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null || :").split()
    assert zombies == []
    running = sorted(row["name"] for row in gateway.ps().values() if row["kind"] == "service" and row["pid"])
    mounted = sorted(
        line.split()[1].rsplit("/", 1)[1]
        for line in gateway.read("/proc/mounts").splitlines()
        if " /run/hearth/images/" in line
    )
    assert mounted == running
