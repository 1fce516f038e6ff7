"""A service of sandbox/examples/glutton.rs, which takes what it is ordered to."""

import contextlib
import re
import subprocess

GROUPS = "/sys/fs/cgroup/services"


class Glutton:
    """A service of examples/glutton, and what it answers to orders."""

    tag = 0

    def __init__(self, gateway, name):
        self.gateway = gateway
        self.name = name
        self.data = f"/data/services/{name}"
        self.group = f"{GROUPS}/{name}"

    def order(self, words):
        """Gives an order; its tag."""
        Glutton.tag += 1
        order = f"{self.data}/order"
        self.gateway.check(f"echo {Glutton.tag} {words} >{order}.new && mv {order}.new {order}")
        return Glutton.tag

    def result(self, tag):
        """The numbers that an order came to, by name; none while it goes on."""
        lines = [line for line in self.gateway.logs(self.name) if line.startswith(f"RESULT {tag} ")]
        return {key: int(value) for key, value in re.findall(r"(\w+)=(-?\d+)", lines[0])} if lines else None

    def does(self, words, seconds=60):
        """Gives an order and waits for what it comes to."""
        tag = self.order(words)
        return self.gateway.wait(f"{self.name}: {words}", seconds, lambda: self.result(tag))

    def read(self, file):
        """A file of its group."""
        return self.gateway.read(f"{self.group}/{file}").strip()

    def count(self, file, key=""):
        """A number in a file of its group."""
        return int(re.search(rf"^{key} ?(\d+)", self.read(file), re.M)[1])


# Takes datagrams, and sends as many as it is asked for by `KBIT MS`.
POUR = """
import socket, sys, threading, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", int(sys.argv[1])))
def pour(who, kbit, ms):
    sent, begun = 0, time.monotonic()
    while (now := time.monotonic() - begun) * 1000 < ms:
        while sent < now * kbit * 125:
            sent += s.sendto(bytes(1200), who)
        time.sleep(0.005)
while True:
    words, who = s.recvfrom(2000)
    if len(words) < 30 and len(words.split()) == 2:
        threading.Thread(target=pour, args=(who, *map(int, words.split())), daemon=True).start()
"""
POUR_PORT = 7009


@contextlib.contextmanager
def pouring(side):
    """A peer of `send` and `pour` in a namespace."""
    peer = subprocess.Popen(["ip", "netns", "exec", side.namespace, "python3", "-c", POUR, str(POUR_PORT)])
    try:
        yield
    finally:
        peer.kill()
        peer.wait()
