"""A damaged root slot, a kernel that lacks something: the gateway comes up as far as it can and says why."""

import shutil
import subprocess

import pytest
from home import REPO

pytestmark = pytest.mark.lg_feature("emulated")
MIB = 1 << 20
SLOT_A, SLOT_B, DATA = 1 * MIB, 97 * MIB, 193 * MIB  # scripts/lib/disk


def damage(disk, *places):
    with open(disk, "r+b") as image:
        for place in places:
            image.seek(place)
            image.write(b"\xa5" * MIB)


@pytest.fixture
def disk():
    """A copy of the disk to damage."""
    copy = REPO / "target/test/damaged.img"
    shutil.copyfile(REPO / "target/image/disk-test.img", copy)
    yield copy
    copy.unlink()


def test_a_damaged_slot_falls_back_to_the_other(gateway, disk):
    # given noise where the first slot begins
    damage(disk, SLOT_A)
    # when
    said = gateway.strategy.boot(f"--disk {disk}")
    # then it runs from the other slot, and says so
    gateway.wait_active("nginx", 120)
    assert "slot-a: damaged or empty" in said and "trying slot-b instead" in said, said[-3000:]


def test_without_any_slot_a_technician_gets_a_shell(gateway, disk):
    # given noise in both slots
    damage(disk, SLOT_A, SLOT_B)
    # when
    gateway.strategy.power_up(f"--disk {disk}")
    console = gateway.strategy.console
    said = console.expect("this is the recovery shell", timeout=120)[1].decode()
    # then both were tried, and the shell answers
    assert "slot-a: damaged or empty" in said and "slot-b: damaged or empty" in said, said
    console.expect("# ", timeout=60)
    console.sendline("echo $((6 * 7)) is the answer")
    console.expect("42 is the answer", timeout=60)


def test_damaged_data_is_gone_without_and_said(gateway, disk):
    damage(disk, DATA)
    said = gateway.strategy.boot(f"--disk {disk}")
    assert "data: " in said and "going on without" in said, said[-3000:]
    gateway.wait_active("nginx", 120)


def test_data_of_an_older_image_is_kept_and_gets_quotas_by_an_update(gateway, disk):
    data = f"{disk}?offset={DATA}"
    # given a data partition without quotas
    subprocess.run(["tune2fs", "-O", "^quota,^project", data], check=True, capture_output=True)
    said = gateway.strategy.boot(f"--disk {disk}")
    assert "data: mounted without quotas" in said, said[-3000:]
    # then no service runs without its limit, and the household is told what to do
    row = gateway.wait("a message", 120, lambda: (r := gateway.ps()["nginx"])["message"] and r)
    assert row["pid"] == 0 and "resources.storage.max" in row["message"] and "tune2fs" in row["message"], row
    # and an update of the disk does that
    subprocess.run([REPO / "scripts/lib/disk", "update", REPO / "target/image/root.squashfs", disk], check=True)
    found = subprocess.run(["dumpe2fs", "-h", data], check=True, capture_output=True, text=True).stdout
    assert "Project quota inode" in found, found


def test_a_kernel_without_memory_limits_starts_no_service_and_says_why(gateway):
    # when the kernel can not limit memory
    gateway.strategy.boot("--append cgroup_disable=memory")
    # then no service runs without its limit, and the gateway says what is missing
    row = gateway.wait("a message", 120, lambda: (r := gateway.ps()["nginx"])["message"] and r)
    assert row["pid"] == 0 and "memory" in row["message"], row
    assert gateway.ps()["hearth-netpath"]["state"] == "Active"
