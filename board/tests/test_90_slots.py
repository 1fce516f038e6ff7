"""A damaged root slot, a kernel that lacks something: the gateway comes up as far as it can and says why."""

import shutil

import pytest
from home import REPO

pytestmark = pytest.mark.lg_feature("emulated")
MIB = 1 << 20
SLOT_A = 1 * MIB  # scripts/lib/disk


@pytest.fixture
def disk():
    """A copy of the disk to damage."""
    copy = REPO / "target/test/damaged.img"
    shutil.copyfile(REPO / "target/image/disk-test.img", copy)
    yield copy
    copy.unlink()


def test_a_damaged_slot_falls_back_to_the_other(gateway, disk):
    # given noise where the first slot begins
    with open(disk, "r+b") as image:
        image.seek(SLOT_A)
        image.write(b"\xa5" * MIB)
    # when
    said = gateway.strategy.boot(f"--disk {disk}")
    # then it runs from the other slot, and says so
    gateway.wait_active("nginx", 120)
    assert "slot" in said + gateway.check("dmesg | grep -i slot"), said[-3000:]


def test_a_kernel_without_memory_limits_starts_no_service_and_says_why(gateway):
    # when the kernel can not limit memory
    gateway.strategy.boot("--append cgroup_disable=memory")
    # then no service runs without its limit, and the gateway says what is missing
    row = gateway.wait("a message", 120, lambda: (r := gateway.ps()["nginx"])["message"] and r)
    assert row["pid"] == 0 and "memory" in row["message"], row
    assert gateway.ps()["hearth-netpath"]["state"] == "Active"
