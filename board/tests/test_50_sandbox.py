"""A hostile service finds every door shut. sandbox/tests/escape.rs proves each attempt works outside."""

import pytest

EPERM, ENOENT, ESRCH, EACCES, EROFS, ENOSYS = "errno=1", "errno=2", "errno=3", "errno=13", "errno=30", "errno=38"
KILLED = "signal=31"
NO_POWER = ",".join(["0000000000000000"] * 5)

EXPECTED = {
    # It sees itself only.
    "processes": "value=1",
    "kill_outside": ESRCH,
    "proc_1_environ": "value=own",
    "descriptors": "value=0,1,2",
    "capabilities": f"value={NO_POWER}",
    "no_new_privs": "value=1",
    "seccomp": "value=2",
    "host_name": "value=probe",
    "folder_sys": "value=",
    "control_group": "value=/",
    "interrupts": "value=0",
    # No file of the gateway's, and none to write but its own.
    "host_file": ENOENT,
    "host_file_above_root": ENOENT,
    "kernel_log": ENOENT,
    "write_root": EROFS,
    "write_dev": EROFS,
    "write_sysctl": EROFS,
    "write_tmp": "ok",
    "execute_from_tmp": EACCES,
    # No call that reaches the kernel's powers.
    "clone3": ENOSYS,
    "call_newer_than_policy": ENOSYS,
    **dict.fromkeys(
        """mount umount chroot mknod unshare_user clone_user clone_net perf_event_open userfaultfd io_uring_setup keyctl
        add_key syslog settimeofday sethostname become_root personality type_into_terminal raw_socket packet_socket
        netlink_socket internet_socket ipc socketcall_raw""".split(),
        EPERM,
    ),
    # And none that no honest program makes: whoever tries is killed.
    **dict.fromkeys(
        """pivot_root setns ptrace process_vm_readv bpf init_module kexec_load open_by_handle_at reboot swapon
        iopl""".split(),
        KILLED,
    ),
}


@pytest.fixture(scope="module")
def results(booted):
    """What each attempt of the service came to."""
    booted.check("hearth start probe", timeout=120)
    booted.wait("its end", 60, lambda: "RESULT end" in booted.logs("probe"))
    lines = [line.split(" ", 2)[1:] for line in booted.logs("probe") if line.startswith("RESULT ")]
    yield {line[0]: line[1] if len(line) > 1 else "" for line in lines}
    booted.run("hearth stop probe")


def test_every_attempt_comes_to_its_errno(results):
    wrong = {name: results.get(name) for name, outcome in EXPECTED.items() if results.get(name) != outcome}
    assert wrong == {}


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
