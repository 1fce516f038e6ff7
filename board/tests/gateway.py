"""What a test does on the gateway: commands on its console, and questions to its API."""

import base64
import hashlib
import json
import os
import pathlib
import subprocess
import time

CHUNK = 480  # bytes of base64 a line: the shell of the console takes 1023 characters

REPO = pathlib.Path(__file__).resolve().parents[2]
KEY = pathlib.Path(os.environ.get("HEARTH_KEY", REPO / "target/keys/hearth.pem"))
PACKAGES = "/data/hearth/packages"


def signature(manifest, key=KEY):
    """The signature of a manifest as a vendor makes it who has only openssl."""

    def openssl(*words, data=None):
        return subprocess.run(["openssl", *words], input=data, stdout=subprocess.PIPE, check=True).stdout

    public = openssl("pkey", "-in", key, "-pubout", "-outform", "DER")
    signed = openssl("dgst", "-sha256", "-sign", key, data=manifest)
    return f"ecdsa-p256-sha256 {hashlib.sha256(public).hexdigest()[:16]} {signed.hex()}\n"


class Gateway:
    """A gateway with a shell on its console."""

    def __init__(self, strategy):
        self.strategy = strategy
        self.shell = strategy.shell

    def run(self, command, timeout=60):
        """What a command printed, and its exit status."""
        lines, _, code = self.shell.run(command, timeout=timeout, decodeerrors="replace")
        return "\n".join(lines), code

    def check(self, command, timeout=60):
        """What a command printed that must succeed."""
        text, code = self.run(command, timeout)
        assert code == 0, f"{command}: exit status {code}\n{text}"
        return text

    def json(self, command):
        """The answer of a command of `hearth` for programs."""
        return json.loads(self.check(f"hearth {command} --json"))

    def ps(self):
        """The rows of `hearth ps`, by name."""
        return {row["name"]: row for row in self.json("ps")}

    def pids(self):
        """The process of each row, by name."""
        return {name: row["pid"] for name, row in self.ps().items()}

    def status(self):
        """The answer of `hearth status`."""
        return self.json("status")

    def logs(self, name):
        """The lines that a service printed."""
        return self.check(f"hearth logs {name}").splitlines()

    def read(self, path):
        """The text of a small file."""
        return self.check(f"cat {path}")

    def data(self, path):
        """The bytes of a small file."""
        return base64.b64decode("".join(self.check(f"base64 {path}").split()))

    def write(self, path, data):
        """Makes a file of these bytes."""
        text = base64.b64encode(data).decode()
        self.check(f": >{path}.base64")
        for at in range(0, len(text), CHUNK):
            self.check(f"echo {text[at : at + CHUNK]} >>{path}.base64")
        self.check(f"base64 -d {path}.base64 >{path} && rm {path}.base64")

    def sign(self, name):
        """Signs the package of this name, whose manifest has changed."""
        data = self.data(f"{PACKAGES}/{name}/manifest.toml")
        self.write(f"{PACKAGES}/{name}/signature", signature(data).encode())

    def wait(self, what, seconds, question):
        """Asks until the answer is true, and returns it. A gateway that does not answer yet is asked again."""
        deadline, last = time.monotonic() + seconds, None
        while time.monotonic() < deadline:
            try:
                last = question()
                if last:
                    return last
            except AssertionError as error:
                last = error
            time.sleep(1)
        raise AssertionError(f"not within {seconds} s: {what}; last answer: {last}\n{self.run('hearth ps')[0]}")

    def wait_active(self, name, seconds=60):
        """The row of a service, as soon as it is active."""

        def row():
            found = self.ps().get(name)
            return found if found and found["state"] == "Active" else None

        return self.wait(f"{name} is active", seconds, row)

    def restart_manager(self):
        """Makes the manager look at its packages again."""
        before = self.pids()["hearth-manager"]
        self.check(f"kill -9 {before}")
        self.wait(
            "the manager is back",
            60,
            lambda: self.ps()["hearth-manager"]["pid"] not in (0, before),
        )

    def log_in(self):
        """Waits for the end of a boot that has begun; what the console said."""
        return self.strategy.log_in()

    def log_in_again(self):
        """Goes on with a new shell on the console, in place of one that has ended."""
        self.strategy.target.deactivate(self.shell)
        self.strategy.target.activate(self.strategy.console)
        self.strategy.target.activate(self.shell)
        self.check("dmesg -n 1")

    def reboot(self, command="hearth reboot"):
        """Boots anew by this command; what the console said."""
        before = self.read("/proc/sys/kernel/random/boot_id")
        self.shell.console.sendline(command)
        self.said = self.log_in()
        assert self.read("/proc/sys/kernel/random/boot_id") != before
        return self.said
