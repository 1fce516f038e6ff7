"""A gateway booted in QEMU (the firmware's image, i686), between a home and an Internet in namespaces."""

import json
import os
import re
import select
import shutil
import socket
import subprocess
import time

from common import OUT, ROOT, command, fail

TRIPLE = "i686-unknown-linux-musl"
BOOT_SECONDS = 240
READY = b"Type 'hearth help' for commands"


def program(package, example):
    """An example for the gateway's processor."""
    env = {name: value for name, value in os.environ.items() if name != "CARGO_TARGET_DIR"}
    words = ["cargo", "build", "--release", "--quiet", "--target", TRIPLE, "-p", package, "--example", example]
    command(words, cwd=ROOT, env=env)
    return ROOT / "target" / TRIPLE / "release/examples" / example


def disk(name, root, manifests, beside=()):
    """A disk of the image whose data partition has packages, signed, with what is in the folder `root`: one for each of
    `manifests` (text by name). Files `beside` them are in /data."""
    command(["scripts/image", "--test"], cwd=ROOT)
    tool, key = (command(["scripts/lib/vendor", what], cwd=ROOT).strip() for what in ("tool", "key"))
    folder = OUT / name
    data = folder / "data"
    shutil.rmtree(data, ignore_errors=True)
    for place in ("hearth/state", "hearth/packages", "services"):
        (data / place).mkdir(parents=True)
    file = folder / "manifest.toml"
    for service, text in manifests.items():
        file.write_text(text)
        package = data / "hearth/packages" / service
        command([tool, "pack", "--vendor", "hearth", file, root, package], cwd=ROOT)
        command([tool, "sign", "--key", key, package], cwd=ROOT)
    for one in beside:
        shutil.copy(one, data)
    made = folder / "disk.img"
    command(["scripts/lib/disk", "make", ROOT / "target/image/root.squashfs", data, made], cwd=ROOT)
    return made


class Machine:
    """A gateway between the namespaces of scripts/lib/lab, with a shell on its serial console."""

    def __init__(self, image, name):
        self.lab = f"bench-{os.getpid()}"
        self.log = open(OUT / f"{name}.console", "wb")
        command(["scripts/lib/lab", "up", self.lab], cwd=ROOT)
        words = ["ip", "netns", "exec", f"{self.lab}-gw", ROOT / "scripts/run", "--headless", "--disk", image]
        words += ["--lan-tap", "tap-lan", "--wan-tap", "tap-wan"]
        self.monitor = OUT / f"{name}.qmp"
        self.monitor.unlink(missing_ok=True)
        words += ["--qemu-arg", "-qmp", "--qemu-arg", f"unix:{self.monitor},server=on,wait=off"]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self.text = b""

    def until(self, wanted, seconds):
        """Reads until this expression; the match, and what came before."""
        end = time.monotonic() + seconds
        while not (match := re.search(wanted, self.text)):
            if not select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0]:
                fail(f"the gateway did not say {wanted} within {seconds} s; see {self.log.name}")
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                fail(f"the gateway went off; see {self.log.name}")
            self.log.write(data)
            self.text += data
        before, self.text = self.text[: match.start()], self.text[match.end() :]
        return match, before

    def run(self, line, seconds=120):
        """What a command prints that must succeed."""
        # The echo of the line itself has the quotes.
        self.process.stdin.write(f"echo '<''<'begin'>'; {line}; echo '<''<'$?'>'\n".encode())
        self.until(rb"<<begin>\r?\n", seconds)
        match, before = self.until(rb"<<(\d+)>", seconds)
        text = before.decode("ascii", "replace").replace("\r", "")
        if match[1] != b"0":
            fail(f"{line}: status {match[1].decode()}\n{text}")
        return text

    def boot(self):
        """Waits for the prompt and for what the boot still does."""
        self.until(re.escape(READY), BOOT_SECONDS)
        self.run("dmesg -n 1")  # the kernel's words would stand among the answers

    def slow_disk(self, rate):
        """Lets the disk read and write so many bytes a second; it is as fast as memory otherwise."""
        asked = {"device": "virtio0", "bps": rate}
        asked |= dict.fromkeys(("bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"), 0)
        with socket.socket(socket.AF_UNIX) as qemu:
            qemu.connect(str(self.monitor))
            answers = qemu.makefile()
            for name, words in (("", {}), ("qmp_capabilities", {}), ("block_set_io_throttle", asked)):
                if name:  # the greeting comes unasked
                    qemu.sendall(json.dumps({"execute": name, "arguments": words}).encode())
                answer = json.loads(answers.readline())
                if "error" in answer:
                    fail(f"QEMU refuses {name}: {answer['error']['desc']}")

    def close(self):
        """Takes the power away."""
        self.process.kill()
        self.process.wait()
        command(["scripts/lib/lab", "down", self.lab], cwd=ROOT)
        self.log.close()
