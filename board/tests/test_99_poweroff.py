"""The way down."""

import pytest
from home import REPO


@pytest.mark.lg_feature("emulated")
def test_poweroff_stops_everything_in_order_and_switches_off(gateway):
    # given a gateway on a disk that is kept
    disk = REPO / "target/test/kept.img"
    disk.write_bytes((REPO / "target/image/disk-test.img").read_bytes())
    gateway.strategy.boot(f"--disk {disk} --keep")
    gateway.wait_active("nginx", 120)
    # when
    gateway.shell.console.sendline("hearth poweroff")
    # then the machine is off, by itself and without a complaint
    code, said = gateway.strategy.console.wait_off(120)
    assert code == 0, said[-2000:]
    assert "panic" not in said.lower(), said[-2000:]
    # and its file system was unmounted
    data_start = 193  # MiB, scripts/lib/disk
    with open(disk, "rb") as image:
        image.seek((data_start << 20) + 1024)
        superblock = image.read(1024)
    state = int.from_bytes(superblock[58:60], "little")
    needs_recovery = int.from_bytes(superblock[96:100], "little") & 4
    assert (state, needs_recovery) == (1, 0)
    disk.unlink()
