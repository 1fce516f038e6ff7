"""Life of a service by the household's commands, and the limits it lives in."""

import re
import secrets

import pytest

GROUP = "/sys/fs/cgroup/services"


def test_what_a_service_prints_is_in_its_log(lan, gateway):
    # when a page is asked for that nobody asked for before
    mark = secrets.token_hex(8)
    lan.run(f"curl -s --max-time 30 http://192.168.1.1:8080/{mark}")
    # then nginx's access log has it, for people and for programs
    gateway.wait("the line", 20, lambda: any(mark in line for line in gateway.logs("nginx")))
    rows = gateway.check("hearth logs nginx --json").splitlines()
    assert any(mark in row and row.startswith("{") for row in rows)


def test_a_log_is_followed_as_it_grows(lan, gateway):
    # when somebody follows the log while a page is asked for
    mark = secrets.token_hex(8)
    gateway.check("hearth logs nginx -f >/tmp/followed & echo $! >/tmp/follower")
    lan.run(f"curl -s --max-time 30 http://192.168.1.1:8080/{mark}")
    # then the line comes without asking again
    gateway.wait("the line", 20, lambda: mark in gateway.read("/tmp/followed"))
    gateway.check("kill $(cat /tmp/follower); rm /tmp/follower /tmp/followed")


def test_restart_is_another_process_and_touches_no_other(lan, gateway):
    before = gateway.pids()
    # when
    text = gateway.check("hearth restart nginx")
    # then
    after = gateway.pids()
    assert f"nginx is active, process {after['nginx']}." in text
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"nginx"}
    assert "nginx" in lan.get("http://192.168.1.1:8080/")


def test_a_stopped_service_is_gone_until_it_is_started(lan, gateway):
    pid = gateway.pids()["nginx"]
    # when
    assert "nginx is stopped." in gateway.check("hearth stop nginx")
    # then no process, no answer, and the household's wish is known
    row = gateway.ps()["nginx"]
    assert (row["state"], row["pid"], row["wanted"]) == ("Idle", 0, False)
    assert gateway.run(f"test -d /proc/{pid}")[1] != 0
    assert lan.run("curl -s --max-time 5 http://192.168.1.1:8080/").returncode != 0
    # and when it is started again
    assert "nginx is active" in gateway.check("hearth start nginx")
    assert "nginx" in lan.get("http://192.168.1.1:8080/")


def test_a_wrong_name_is_a_clear_refusal(gateway):
    text, code = gateway.run("hearth start ngnix 2>&1")
    assert code == 1 and "ngnix" in text and "nginx" in text, text
    text, code = gateway.run("hearth start NGINX 2>&1")
    assert code == 2 and "NGINX" in text, text


def test_the_kernel_has_each_limit_of_the_manifest(gateway):
    # given nginx's manifest: memory 16 to 64 MiB, no ceiling of processor time, 16 processes; and the thread of its link
    gateway.wait_active("nginx")
    group = f"{GROUP}/nginx"
    expected = {
        "memory.max": str(64 << 20),
        "memory.min": str(16 << 20),
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "pids.max": "17",
        "cpu.max": "max 100000",
    }
    found = {name: gateway.read(f"{group}/{name}") for name in expected if gateway.run(f"test -e {group}/{name}")[1] == 0}
    expected = {name: value for name, value in expected.items() if name in found or name != "memory.swap.max"}
    assert found == expected
    # then all its processes are in that group, and nobody else is
    inside = set(gateway.check(f"find {group} -name cgroup.procs -exec cat {{}} +").split())
    assert str(gateway.pids()["nginx"]) in inside and len(inside) == 3, inside  # master and worker, and the thread


@pytest.fixture
def hog(gateway):
    """The glutton, stopped afterwards."""
    yield "hog"
    gateway.run("hearth stop hog")


def test_a_service_over_its_memory_is_killed_and_its_neighbour_is_not(lan, gateway, hog):
    before = gateway.pids()
    # when it takes 128 of its 32 MiB
    gateway.run(f"hearth start {hog} 2>&1", timeout=120)
    row = gateway.wait("killed", 60, lambda: (r := gateway.ps()[hog])["oom_kills"] and r["state"] == "Idle" and r)
    # then the kernel killed it at its own limit, and the household is told why
    assert gateway.read(f"{GROUP}/hog/memory.max") == str(32 << 20)
    assert "memory" in row["message"], row
    taken = [int(found[1]) for line in gateway.logs(hog) if (found := re.match(r"MEMORY (\d+)", line))]
    assert 16 <= max(taken) < 32, taken[-3:]
    # and nobody else was touched
    after = gateway.pids()
    assert {name for name in before if name != hog and before[name] != after[name]} == set()
    assert gateway.ps()["nginx"]["oom_kills"] == 0
    assert "nginx" in lan.get("http://192.168.1.1:8080/")
