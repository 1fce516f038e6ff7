"""Instructions per packet on the gateway's own kernel and word size: a guest of QEMU that counts them."""

import os
import pathlib
import shutil
import subprocess

from common import ROOT, Series, command, fail, ratios, say
from home import CONFIG

HERE = pathlib.Path(__file__).parent
TRIPLE = "i686-unknown-linux-musl"
MODULES = """
tun bridge veth sch_ingress cls_bpf
nf_tables nft_chain_nat nft_masq nf_conntrack nf_flow_table nf_flow_table_inet nft_flow_offload
"""
# Linux 6.1 states of a map its keys and values alone; of each of the 65,536 entries, there are 24 bytes of head and 8 of
# a bucket beside (i686, kernel/bpf/hashtab.c).
HEADS_KIB = 65_536 * (24 + 8) / 1024
PATIENCE = 1500  # seconds for the whole run, on an emulated core
CASES = ("drop", "forward", "nft", "flowtable", "hearth")


def initramfs(folder, rounds, seconds):
    """The guest's root: Debian's kernel modules, busybox, iproute2 and nftables, and our programs for i686."""
    env = {name: value for name, value in os.environ.items() if name != "CARGO_TARGET_DIR"}
    words = ["cargo", "build", "--release", "--quiet", "--target", TRIPLE, "-p", "hearth-netpath"]
    command([*words, "--bin", "hearth-netpath", "--example", "load"], cwd=ROOT, env=env)
    kernel = command(["scripts/lib/kernel-package"], cwd=ROOT).strip()
    version = kernel.removeprefix("linux-image-")
    debs = ROOT / "target/debs/unpacked"
    for how, name, *packages in (
        ("download", "busybox", "busybox-static"),
        ("download", "kernel", kernel),
        ("closure", "bench-nat", "iproute2", "nftables"),
    ):
        command(["scripts/lib/debs", how, debs / name, *packages], cwd=ROOT)
    command(["/sbin/depmod", "-b", debs / "kernel", version])
    root = folder / "root"
    shutil.rmtree(folder, ignore_errors=True)
    root.mkdir(parents=True)
    wanted = ["/sbin/ip", "/usr/sbin/nft"]
    command(["python3", ROOT / "scripts/lib/elf-closure.py", debs / "bench-nat", root, *wanted])
    for name in ("proc", "sys", "dev", "run", "tmp", "etc", "bin", "usr/bin", "usr/sbin"):
        (root / name).mkdir(parents=True, exist_ok=True)
    shutil.copy(debs / "busybox/bin/busybox", root / "bin/busybox")
    for name in ("sh", "mount", "insmod"):
        (root / "bin" / name).symlink_to("busybox")
    built = ROOT / "target" / TRIPLE / "release"
    for program in (built / "hearth-netpath", built / "examples/load"):
        shutil.copy(program, root / "bin")
    (folder / "modules").write_text(MODULES)
    paths = command(["scripts/lib/modules", debs / "kernel", version, folder / "modules", root], cwd=ROOT)
    (root / "etc/modules").write_text(paths)
    (root / "etc/gateway.toml").write_text(CONFIG)
    (root / "etc/bench").write_text(f"ROUNDS={rounds}\nSECONDS_EACH={seconds}\n")
    shutil.copy(HERE / "guest-init", root / "init")
    archive = folder / "initramfs"
    with open(archive, "wb") as out:
        files = subprocess.run(["find", "."], cwd=root, capture_output=True, check=True).stdout
        subprocess.run(["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"], cwd=root, input=files, stdout=out, check=True)
    return debs / "kernel" / "boot" / f"vmlinuz-{version}", archive


def run(rounds, seconds=0.1):
    """Boots the guest; instructions a packet for each kind of gateway, net of dropping it, and the memory of a full
    table there."""
    say("instructions a packet on i686, in QEMU")
    folder = ROOT / "target/bench/guest"
    kernel, archive = initramfs(folder, rounds, seconds)
    words = ["qemu-system-i386", "-accel", "tcg", "-cpu", "n270", "-m", "768", "-icount", "shift=0,sleep=off"]
    words += ["-kernel", kernel, "-initrd", archive, "-append", "console=ttyS0 loglevel=3 panic=-1 mitigations=off"]
    words += ["-nographic", "-monitor", "none", "-serial", "stdio", "-display", "none", "-no-reboot", "-nic", "none"]
    with open(folder / "console", "wb") as console:
        null = subprocess.DEVNULL
        subprocess.run(words, stdin=null, stdout=console, stderr=console, timeout=PATIENCE, check=False)
    found = {case: [] for case in CASES}
    memory = None
    for line in (folder / "console").read_text(errors="replace").splitlines():
        match line.split():
            case ["RESULT", case, sent, took, arrived]:
                passed = int(sent) if case == "drop" else int(arrived)
                found[case].append(int(took) / max(passed, 1))
            case ["MEMORY", process, maps]:
                memory = {"process_kib": int(process), "maps_kib": int(maps) / 1024 + HEADS_KIB}
    if any(len(of) != rounds for of in found.values()) or memory is None:
        fail(f"the guest did not measure all: see {folder / 'console'}")
    net = {case: [a - b for a, b in zip(found[case], found["drop"], strict=True)] for case in CASES[1:]}
    return {
        "instructions_per_packet": {case: Series(found[case]).as_json() for case in CASES},
        "net_instructions_per_packet": {case: Series(net[case]).as_json() for case in net},
        "net_hearth_to_nft": ratios(net["hearth"], net["nft"]).as_json(),
        "net_hearth_to_flowtable": ratios(net["hearth"], net["flowtable"]).as_json(),
        "net_hearth_to_forward": ratios(net["hearth"], net["forward"]).as_json(),
        "memory": {"flows": 32_000, **memory},
    }
