"""Packages are signed, and what is read of them is checked: who changes a bit gets an error, never data."""

import subprocess

import pytest
from gateway import PACKAGES, REPO, signature

NAME = "copied"


@pytest.fixture
def copied(gateway):
    """The package `neighbour` under another name, at rest."""
    folder = f"{PACKAGES}/{NAME}"
    gateway.check(f"mkdir {folder} && cp {PACKAGES}/neighbour/image.squashfs {folder}/")
    gateway.check(f"sed 's/\"neighbour\"/\"{NAME}\"/' {PACKAGES}/neighbour/manifest.toml >{folder}/manifest.toml")
    gateway.sign(NAME)
    gateway.restart_manager()
    yield folder
    gateway.run(f"hearth stop {NAME}", timeout=120)
    gateway.check(f"rm -r {folder}")
    gateway.restart_manager()


def start(gateway):
    gateway.check(f"hearth start {NAME}", timeout=120)
    return gateway.wait_active(NAME)


def test_a_flipped_bit_is_an_error_and_not_data(gateway, copied):
    # given a service whose program is read from a device that checks it
    start(gateway)
    program = f"/run/hearth/images/{NAME}/glutton"
    whole = gateway.check(f"sha256sum {program}")
    assert gateway.read("/proc/mounts").count(f"/run/hearth/images/{NAME} squashfs ro") == 1
    device = next(line for line in gateway.read("/proc/mounts").splitlines() if f"/images/{NAME} " in line)
    assert device.startswith("/dev/dm-"), device
    gateway.check(f"hearth stop {NAME}", timeout=120)
    # when a byte in the middle of its image changes on the disk, and nothing of it is in memory any more
    image = f"{copied}/image.squashfs"
    at = int(gateway.check(f"stat -c %s {image}")) // 2
    old = gateway.check(f"dd if={image} bs=1 skip={at} count=1 2>/dev/null | od -An -tu1").strip()
    flipped = f"\\{int(old) ^ 1:03o}"
    gateway.check(f"printf '{flipped}' | dd of={image} bs=1 seek={at} conv=notrunc 2>/dev/null && sync")
    gateway.check("echo 3 >/proc/sys/vm/drop_caches")
    # then whoever reads it gets an error
    gateway.run(f"hearth start {NAME}", timeout=120)
    text, code = gateway.run(f"sha256sum {program}")
    assert code != 0 and "Input/output error" in text, text
    gateway.check(f"dmesg | grep -q 'device-mapper: verity: .* is corrupted'")
    # and with the old bit it is whole again
    gateway.run(f"hearth stop {NAME}", timeout=120)
    gateway.check(f"printf '\\{int(old):03o}' | dd of={image} bs=1 seek={at} conv=notrunc 2>/dev/null && sync")
    gateway.check("echo 3 >/proc/sys/vm/drop_caches")
    start(gateway)
    assert gateway.check(f"sha256sum {program}") == whole


def test_nothing_is_left_of_a_verified_device_after_a_stop(gateway, copied):
    devices = "ls /sys/block | grep -c -e '^dm-'; losetup | wc -l"
    before = gateway.run(devices)[0]
    start(gateway)
    assert gateway.run(devices)[0] != before
    gateway.check(f"hearth stop {NAME}", timeout=120)
    gateway.wait("the devices are gone", 30, lambda: gateway.run(devices)[0] == before)


def test_who_is_not_trusted_does_not_run(gateway, copied, tmp_path):
    key = tmp_path / "other.pem"
    subprocess.run([REPO / "target/debug/hearth-vendor", "key", key], check=True, stdout=subprocess.DEVNULL)
    manifest = gateway.read(f"{copied}/manifest.toml").encode() + b"\n"
    good = gateway.read(f"{copied}/signature")
    for text, told in (
        (None, "it is not signed"),
        ("noise\n", "its signature is damaged"),
        (signature(manifest, key), "which this gateway does not know"),
        (signature(manifest + b"# more"), "it was changed after it was signed"),
    ):
        if text is None:
            gateway.check(f"rm {copied}/signature")
        else:
            gateway.write(f"{copied}/signature", text.encode())
        gateway.restart_manager()
        # then it is told, and there is no such service
        problems = [line for line in gateway.status()["problems"] if copied in line]
        assert len(problems) == 1 and told in problems[0], problems
        assert NAME not in gateway.ps()
    gateway.write(f"{copied}/signature", (good + "\n").encode())


STICK = "/run/stick"
NEW = "carried"


@pytest.fixture
def stick(gateway):
    """A package on a stick: the programs of `neighbour` under another name."""
    folder = f"{STICK}/{NEW}"
    gateway.check(f"mkdir -p {folder} && cp {PACKAGES}/neighbour/image.squashfs {folder}/")
    gateway.check(f"sed 's/\"neighbour\"/\"{NEW}\"/' {PACKAGES}/neighbour/manifest.toml >{folder}/manifest.toml")
    gateway.write(f"{folder}/signature", signature(gateway.data(f"{folder}/manifest.toml")).encode())
    yield folder
    gateway.run(f"hearth remove {NEW} --purge", timeout=120)
    gateway.check(f"rm -r {STICK}")


def test_a_package_is_installed_runs_and_is_removed(gateway, stick):
    before = gateway.pids()
    said = gateway.check(f"hearth install {stick} --dry-run")
    assert f"{NEW} " in said and "of hearth can be installed" in said
    assert NEW not in gateway.ps()
    # when it is installed, then it is a service like any other, and the others never noticed
    said = gateway.check(f"hearth install {stick}", timeout=120)
    assert f"{NEW} " in said and "is installed" in said, said
    gateway.check(f"hearth start {NEW}", timeout=120)
    after = gateway.pids()
    assert {name for name in before if before[name] != after[name]} == {"hearth-manager"}
    # and while it runs nothing takes its place
    said, code = gateway.run(f"hearth install {stick} 2>&1")
    assert code == 1 and f"hearth stop {NEW}" in said, said
    # when it is removed, then nothing of it is left
    said = gateway.check(f"hearth remove {NEW} --purge", timeout=120)
    assert "is removed, with its data" in said, said
    assert NEW not in gateway.ps()
    left = gateway.check(f"find /data/hearth/packages /data/services -name '*{NEW}*'")
    assert left == "", left


def test_what_is_refused_leaves_nothing(gateway, stick):
    listing = f"ls -A {PACKAGES}; df -k /data | tail -n 1"
    before = gateway.check(listing)

    def refused(words):
        said, code = gateway.run(f"hearth install {stick} 2>&1", timeout=120)
        assert code == 1 and words in " ".join(said.split()), said

    # a byte of its image, which is found while it is copied
    image = f"{stick}/image.squashfs"
    gateway.check(f"cp {image} {STICK}/good && printf X | dd of={image} bs=1 seek=9999 conv=notrunc 2>/dev/null")
    refused("was changed after it was signed")
    gateway.check(f"truncate -s 9999 {image}")
    refused("is cut off")
    gateway.check(f"mv {STICK}/good {image}")
    # a full disk
    free = int(gateway.check("df -k /data | awk 'END { print $4 }'"))
    gateway.check(f"fallocate -l {free - 6 * 1024}k /data/filler")
    refused("have to stay free")
    gateway.check("rm /data/filler")
    gateway.check(f"rm {stick}/signature")
    refused("it is not signed")
    assert gateway.check(listing).split()[:-5] == before.split()[:-5]
    assert NEW not in gateway.ps()
