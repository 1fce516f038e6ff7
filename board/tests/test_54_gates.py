"""The gates at a service's cgroup: devices, sockets, ports; and that they outlive whoever made them."""

import pytest

OK, EPERM, ECONNREFUSED = "0", "1", "111"
GROUP = "/sys/fs/cgroup/services/fenced"
REASONS = ["device", "protocol", "port", "ipv6", "no-network", "gateway", "other-service", "outside-home"]
EXPECTED = {
    "open r /dev/urandom": OK,
    "open w /dev/net/tun": OK,
    "bind tcp 0.0.0.0 80": OK,
    "bind tcp 0.0.0.0 81": EPERM,
    "bind tcp 127.0.0.1 81": OK,
    "bind udp 0.0.0.0 0": OK,
    "bind udp 0.0.0.0 53": EPERM,
    "bind tcp 0.0.0.0 32767": EPERM,
    "bind tcp 0.0.0.0 32768": OK,
    "bind udp 0.0.0.0 60999": OK,
    "bind udp 0.0.0.0 61000": EPERM,
    "connect tcp 0 127.0.0.1 9": ECONNREFUSED,
    "connect udp 0 192.168.1.2 53": OK,
    "connect udp 0 192.168.1.199 9": OK,
    "send udp 0 192.168.1.199 9": OK,
    "connect tcp 0 192.168.1.1 80": EPERM,
    "connect tcp 0 192.168.1.2 80": EPERM,
    "connect udp 0 10.213.0.1 53": EPERM,
    "connect udp 0 10.213.0.250 53": EPERM,
    "send udp 0 198.51.100.7 53": EPERM,
}
COUNTS = {"port": 4, "gateway": 2, "other-service": 2, "outside-home": 1}


def refused(gateway):
    """What the gates have refused, where there is something."""
    counts = gateway.ps()["fenced"]["refused"]
    assert sorted(counts) == sorted(REASONS)
    return {reason: count for reason, count in counts.items() if count}


def inside(gateway, command):
    """What root comes to that is in the service's cgroup, and in nothing else of its sandbox."""
    return gateway.run(f"sh -c 'echo $$ >{GROUP}/cgroup.procs && {command} 2>&1'")


@pytest.fixture(scope="module")
def fenced(booted):
    """The service, at its gates."""
    booted.check("hearth start fenced", timeout=120)
    booted.wait("its end", 60, lambda: "RESULT end" in booted.logs("fenced"))
    yield booted
    booted.run("hearth stop fenced")


def test_each_request_comes_to_what_the_manifest_says_and_is_counted(fenced):
    lines = [line.split(" ", 2)[1:] for line in fenced.logs("fenced") if line.startswith("RESULT ")]
    results = {line[1]: line[0] for line in lines if len(line) > 1}
    own = fenced.ps()["fenced"]["address"]
    expected = EXPECTED | {f"connect udp 0 {own} 9": OK}
    wrong = {name: results.get(name) for name, errno in expected.items() if results.get(name) != errno}
    assert wrong == {}
    assert refused(fenced) == COUNTS


def test_not_even_root_in_its_cgroup_opens_or_makes_another_device(fenced):
    # given a node made outside
    fenced.check("mknod /dev/hearth/test-memory c 1 1 && head -c 1 /dev/hearth/test-memory >/dev/null")
    # when root in the cgroup opens it or makes one, then it is refused and counted
    for command in ["head -c 1 /dev/hearth/test-memory", "mknod /dev/hearth/test-null c 1 3"]:
        text, code = inside(fenced, command)
        assert code != 0 and "Operation not permitted" in text, text
    assert refused(fenced) == COUNTS | {"device": 2}
    # and what every program needs is there
    fenced.check("rm /dev/hearth/test-memory")
    text, code = inside(fenced, "echo x >/dev/null && head -c 1 /dev/urandom | wc -c")
    assert (text, code) == ("1", 0)


def test_a_killed_manager_leaves_the_gates_and_finds_them(fenced):
    before = refused(fenced)
    # when
    fenced.check("kill -9 $(pidof hearth-manager)")
    text, code = inside(fenced, "wget -q -O - http://192.168.1.1/")
    # then nothing was open meanwhile
    assert code != 0 and "Operation not permitted" in text, text
    fenced.wait_active("fenced", 60)
    assert refused(fenced) == before | {"gateway": before["gateway"] + 1}


def test_nothing_is_left_after_a_stop(fenced):
    node = "/dev/hearth/fenced/net-tun"
    assert "10, 200" in " ".join(fenced.check(f"ls -l {node}").split())
    fenced.check("hearth stop fenced")
    assert fenced.run(f"test -e {node} || test -e {GROUP}")[1] != 0


def test_a_gate_that_the_kernel_would_interpret_fails_the_start_by_name(fenced):
    # given a kernel whose compiler is off
    fenced.check("hearth stop fenced; echo 0 >/proc/sys/net/core/bpf_jit_enable")
    # when
    text, code = fenced.run("hearth start fenced 2>&1", timeout=120)
    fenced.check("echo 1 >/proc/sys/net/core/bpf_jit_enable")
    # then
    assert code != 0 and "the gate device can not be attached" in text, text
    # and with it, it runs
    fenced.check("hearth start fenced", timeout=120)


def test_a_command_that_root_runs_stands_at_the_same_gates(gateway):
    # given a command without a network that may make sockets, when it connects outside or to itself
    run = "hearth-sandbox run --policy network-client -- /bin/busybox wget -q -O - http://"
    far, near = gateway.run(f"{run}198.51.100.7/ 2>&1"), gateway.run(f"{run}127.0.0.1:9/ 2>&1")
    # then the gate refuses what the empty network could only not reach
    assert far[1] != 0 and "Operation not permitted" in far[0], far
    assert near[1] != 0 and "Connection refused" in near[0], near
    assert not [line for line in (far[0] + near[0]).splitlines() if "gates" in line]
    # and nothing is left
    assert gateway.run("ls -d /sys/fs/cgroup/hearth-sandbox*")[1] != 0


def test_the_home_has_its_names_and_addresses_behind_the_gates(fenced, lan):
    # dnsmasq serves at 53 and 67 and asks the Internet; nginx answers
    assert lan.resolve("gateway.lan", "192.168.1.2") == ["192.168.1.1"]
    assert fenced.ps()["dnsmasq"]["refused"] == dict.fromkeys(REASONS, 0)
    assert "nginx" in lan.get("http://192.168.1.1:8080/")
    assert fenced.ps()["nginx"]["refused"] == dict.fromkeys(REASONS, 0)
