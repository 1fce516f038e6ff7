"""The sides of the gateway: a client in the home, a guest, and the Internet. Each is a network namespace of scripts/lib/lab."""

import json
import os
import pathlib
import shlex
import subprocess

REPO = pathlib.Path(__file__).resolve().parents[2]
SERVER = "203.0.113.1"


class Side:
    """A place to run commands in."""

    def __init__(self, namespace):
        self.namespace = namespace

    def run(self, command, timeout=60, **environment):
        """A finished command (a line for the shell), with what it printed."""
        return subprocess.run(
            ["ip", "netns", "exec", self.namespace, *shlex.split(command)],
            capture_output=True,
            timeout=timeout,
            check=False,
            env={**os.environ, **environment},
        )

    def check(self, command, timeout=60, **environment):
        """What a command printed that must succeed."""
        done = self.run(command, timeout, **environment)
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout!r}\n{done.stderr!r}"
        return done.stdout.decode("utf-8", "replace")

    def get(self, url, *options):
        """The body at an URL. A service that has only just started may need a moment until it listens."""
        patience = "--retry 15 --retry-delay 1 --retry-connrefused --max-time 60"
        return self.check(f"curl -sS --fail {patience} {' '.join(options)} {url}", timeout=90)

    def start(self, command):
        """A command that goes on; the caller ends it."""
        return subprocess.Popen(
            ["ip", "netns", "exec", self.namespace, *shlex.split(command)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )


class Client(Side):
    """A client in the home, or a guest."""

    def lease(self):
        """Asks for an address, takes it, and returns what the DHCP server said."""
        out = REPO / "target/test/lease"
        out.unlink(missing_ok=True)
        self.check(
            f"busybox udhcpc -f -n -q -t 10 -T 3 -i eth0 -s {REPO}/board/tests/take-lease",
            timeout=90,
            LEASE=str(out),
        )
        return dict(line.split("=", 1) for line in out.read_text().splitlines())

    def resolve(self, name, resolver):
        """The addresses of a name."""
        text = self.check(f"busybox nslookup -type=a {name} {resolver}")
        answers = text.split(name, 1)[1]
        return [line.split()[-1] for line in answers.splitlines() if line.startswith("Address")]

    def iperf3(self, *options):
        """A transfer of some seconds with the Internet's server; the end of its report."""
        done = self.run(f"iperf3 --client {SERVER} --connect-timeout 10000 --time 3 --json {' '.join(options)}", 90)
        report = json.loads(done.stdout)
        assert done.returncode == 0, report.get("error")
        return report["end"]


class Home:
    """All sides, and the namespace in which the emulated gateway runs."""

    def __init__(self, name):
        self.name = name
        self.state = REPO / "target/lab" / name
        self.lan = Client(f"{name}-lan")
        self.wan = Side(f"{name}-wan")
        self.guest = Client(f"{name}-guest")

    def up(self, *ports):
        """Makes it. `ports`: the two network ports of this machine that lead to a real gateway."""
        subprocess.run([REPO / "scripts/lib/lab", "up", self.name, *ports], check=True, timeout=60)

    def down(self):
        """Removes it and ends all that runs in it."""
        subprocess.run([REPO / "scripts/lib/lab", "down", self.name], check=True, timeout=60)
