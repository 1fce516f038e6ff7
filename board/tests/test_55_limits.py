"""Each limit of a manifest: the kernel has it, and it holds. A glutton with a limit of each kind, on order, beside a
neighbour with none but those that must be given."""

import re

import pytest
from glutton import GROUPS, Glutton

PACKAGES = "/data/hearth/packages"
MIB = 1 << 20
EAGAIN, EXDEV, EINVAL, ENOSPC, EDQUOT = 11, 18, 22, 28, 122


@pytest.fixture(scope="module")
def both(booted):
    """The glutton with limits and its neighbour."""
    for name in ("glutton", "neighbour"):
        booted.check(f"hearth start {name}", timeout=120)
    yield Glutton(booted, "glutton"), Glutton(booted, "neighbour")
    for name in ("glutton", "neighbour"):
        booted.run(f"hearth stop {name}")


@pytest.fixture
def glutton(both):
    return both[0]


@pytest.fixture
def neighbour(both):
    return both[1]


def test_the_kernel_keeps_each_value_of_the_manifest(glutton, gateway):
    data = next(line.split()[2] for line in gateway.read("/proc/self/mountinfo").splitlines() if " /data " in line)
    disk = gateway.check(f"cat $(readlink -f /sys/dev/block/{data})/../dev").strip()
    expected = {
        "memory.max": str(24 * MIB),
        "memory.high": "max",
        "memory.min": str(MIB),
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "cpu.max": "20000 100000",
        "cpuset.cpus": "0",
        "cpuset.cpus.effective": "0",
        "io.max": f"{disk} rbps={MIB // 2} wbps={MIB // 2} riops=max wiops=max",
        "pids.max": "8",
    }
    assert {file: glutton.read(file) for file in expected} == expected
    # and what its rank gives it beyond its reserves, as the manager tells it
    rank = next(row for row in gateway.json("rank") if row["service"] == "glutton")
    ranked = {
        "cpu.weight": str(rank["cpu_weight"]),
        "io.bfq.weight": f"default {rank['io_weight']}",
        "io.weight": f"default {rank['io_weight']}",
        "memory.low": str(rank["memory_low_bytes"]),
    }
    assert {file: glutton.read(file) for file in ranked} == ranked
    # 2 % of one core, where a weight is a ten-thousandth; 5 % of the disk's time; 1 MiB
    assert rank["cpu_weight"] >= 200 and rank["io_weight"] >= 50 and rank["memory_low_bytes"] >= MIB, rank
    # and its share counts: the disk is shared out by weight
    assert "[bfq]" in gateway.check("cat /sys/block/*/queue/scheduler")
    # and the household sees its storage
    row = gateway.ps()["glutton"]
    assert row["storage_max_bytes"] == 4 * MIB and 0 < row["storage_bytes"] < MIB, row


def test_processes_end_at_pids_max(glutton, neighbour):
    # its first process is the eighth
    assert glutton.does("fork 30") == {"children": 7, "errno": EAGAIN}
    assert neighbour.does("fork 30") == {"children": 30, "errno": 0}


def test_processor_time_ends_at_cpu_max(glutton, neighbour):
    def share(service):
        before = service.count("cpu.stat", "usage_usec")
        wall = service.does("spin 2000")["ms"]
        return (service.count("cpu.stat", "usage_usec") - before) / wall / 1000

    # 20 % and what a period rounds; more than twice as much without the limit
    limited, free = share(glutton), share(neighbour)
    assert limited < 0.3 and free > 2 * limited, (limited, free)
    assert glutton.count("cpu.stat", "nr_throttled") > 0


def test_writing_is_as_slow_as_io_max_says(glutton, neighbour):
    def rate(service):
        done = service.does("write /data/rate 2")
        assert done["errno"] == 0 and service.does("remove /data/rate")["errno"] == 0
        return done["bytes"] / MIB / (done["ms"] / 1000)

    # 0.5 MiB/s, give or take what the kernel lets pass at once; more than twice as much without the limit
    limited, free = rate(glutton), rate(neighbour)
    assert limited < 0.75 and free > 2 * limited, (limited, free)


def test_temporary_files_are_charged_to_the_service_and_end_at_their_size(glutton, gateway):
    for folder in ("/tmp", "/dev/shm"):
        before = glutton.count("memory.stat", "shmem")
        # when it writes more than half of its memory, which is what each may hold
        done = glutton.does(f"write {folder}/full 24")
        # then it came to that size, and its own group pays for it
        assert (done["bytes"], done["errno"]) == (12 * MIB, ENOSPC), done
        assert glutton.count("memory.stat", "shmem") - before >= 12 * MIB
        assert glutton.count("memory.current") >= 12 * MIB
        assert glutton.does(f"remove {folder}/full")["errno"] == 0
    assert gateway.ps()["glutton"]["oom_kills"] == 0


def test_full_storage_is_full_for_one_service_only(glutton, neighbour, gateway):
    # when it writes more than its 4 MiB
    done = glutton.does("write /data/full 16")
    # then that is where it ends, and nobody else feels it
    assert done["errno"] == EDQUOT and 3 * MIB < done["bytes"] <= 4 * MIB, done
    assert gateway.ps()["glutton"]["storage_bytes"] >= done["bytes"]
    assert neighbour.does("write /data/more 8")["errno"] == 0
    gateway.check("echo written >/data/hearth/state/test && rm /data/hearth/state/test")
    # and it has room again once it makes some
    assert glutton.does("remove /data/full")["errno"] == 0
    assert glutton.does("write /data/small 1")["errno"] == 0
    assert glutton.does("remove /data/small")["errno"] == neighbour.does("remove /data/more")["errno"] == 0


def test_many_empty_files_fill_a_service_too(glutton):
    done = glutton.does("files /data/many 1000")
    # 4 MiB are 256 files and folders
    assert done["errno"] == EDQUOT and 200 < done["made"] < 256, done
    assert glutton.does("remove /data/many")["errno"] == 0


def test_nobody_leaves_the_project_that_is_counted(glutton, neighbour, gateway):
    # given the number of its project, the first of its user ids
    uid = int(gateway.check(f"stat -c %u {glutton.data}"))
    done = glutton.does("project /data")
    assert (done["get"], done["project"]) == (0, uid - 1000), done
    # then it can neither change it nor stop handing it down
    assert (done["set"], done["inherit"]) == (EINVAL, EINVAL), done
    # and a file is no way out, even for root: links and renames between projects are refused
    gateway.check(f"touch {glutton.data}/mine")
    text, code = gateway.run(f"ln {glutton.data}/mine {neighbour.data}/theirs 2>&1")
    assert code != 0 and "cross-device" in text.lower(), text
    assert glutton.does("remove /data/mine")["errno"] == 0


def test_memory_beyond_the_limit_ends_all_its_processes_and_nobody_elses(glutton, neighbour, gateway):
    # given a glutton of four processes
    assert glutton.does("keep 3") == {"children": 3, "errno": 0}
    assert len(glutton.read("cgroup.procs").split()) == 4
    before = gateway.pids()
    # when a child takes more than the service may
    glutton.order("memory 64")
    row = gateway.wait("killed", 30, lambda: (r := gateway.ps()["glutton"])["state"] == "Idle" and r)
    # then all of them ended at once, by their own limit
    assert row["oom_kills"] and "memory" in row["message"], row
    taken = [int(found[1]) for line in gateway.logs("glutton") if (found := re.match(r"MEMORY (\d+)", line))]
    assert 12 <= max(taken) < 24, taken[-3:]
    assert gateway.run(f"cat {glutton.group}/cgroup.procs 2>/dev/null")[0] == ""
    after = gateway.pids()
    assert {name for name in before if before[name] != after[name]} == {"glutton"}
    assert neighbour.does("spin 1")["ms"] >= 1


@pytest.fixture
def impossible(gateway):
    """A package that asks for a core that this machine does not have."""
    folder = f"{PACKAGES}/impossible"
    manifest = f"sed 's/\"glutton\"/\"impossible\"/; s/cores = .*/cores = [63]/' {PACKAGES}/glutton/manifest.toml"
    gateway.check(f"mkdir {folder} && {manifest} >{folder}/manifest.toml")
    gateway.check(f"ln {PACKAGES}/glutton/image.squashfs {folder}/")
    gateway.sign("impossible")
    gateway.restart_manager()
    yield "impossible"
    gateway.check(f"rm -r {folder}")
    gateway.restart_manager()


def test_a_limit_that_can_not_be_applied_fails_the_start_and_leaves_nothing(gateway, impossible):
    text, code = gateway.run(f"hearth start {impossible} 2>&1", timeout=120)
    assert code != 0, text
    # then the household reads which, why and what to do
    row = gateway.ps()[impossible]
    told = "could not apply the limit cpuset.cpus = 63 (resources.cpu.cores): "
    assert told in row["message"] and "change resources.cpu.cores in its manifest" in row["message"], row
    assert (row["state"], row["pid"]) == ("Idle", 0), row
    # and neither its group nor its image is there
    assert gateway.run(f"test -e {GROUPS}/{impossible}")[1] != 0
    assert f"/images/{impossible} " not in gateway.read("/proc/mounts")
