"""A home whose gateway also has a sandboxed nginx: what forwards and what serves share one CPU, the rest of the world is
on another."""

import contextlib
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import time

import home
from common import ROOT, command, fail

CPU, OTHER_CPU = home.CPU, home.OTHER_CPU
SERVICE = "10.213.0.2"
WHOLE = 262_144  # cpu.shares of the groups together: the most there is, so that other work of this machine has no part
ONE = 1024  # cpu.shares of a group that counts as one
CONNECTIONS = 256  # of wrk: enough that somebody always waits for nginx
USER = 33
SETTLE = 0.3  # seconds before anything is counted
OPENING = 1.5  # seconds in which the clients' connections open; longer where they are not, which is not counted,
OPENED = 5.0  # but not for more than this
NGINX = """
daemon off; worker_processes 1; error_log stderr crit; pid /tmp/nginx.pid;
events {{ worker_connections 1000; }}
http {{
  access_log off; keepalive_requests 1000000;
  client_body_temp_path /tmp/b; proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f;
  uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s;
  gzip on; default_type text/html;
  server {{ listen 80 backlog=2048; location / {{ return 200 "{page}"; }} }}
  server {{ listen unix:/tmp/count; location / {{ stub_status; }} }}
}}
"""
# nginx packs it for each client: its CPU, not that of the clients, says how many it serves.
PAGE = " ".join(f"device {number} is at 192.168.1.{number * 7 % 199} and {number * number % 977} s old" for number in range(80))
DNAT = """
table ip nat {
    chain prerouting {
        type nat hook prerouting priority dstnat;
        iifname "eth1" tcp dport 80 dnat to 10.213.0.2
    }
}
"""
# ETHTOOL_SGRO and ETHTOOL_STSO: a veth polls like a port's driver where it may join packets, for senders that cut theirs.
FEATURES = """
import array, fcntl, socket, struct, sys
for number, on in ((0x2C, 1), (0x1F, 0)):
    value = array.array("B", struct.pack("II", number, on))
    request = struct.pack("16sP8x", sys.argv[1].encode(), value.buffer_info()[0])
    fcntl.ioctl(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 0x8946, request)
"""


class Group:
    """A group of processes: its weight in one hierarchy of cgroup v1, its processor time in another."""

    def __init__(self, name, parent=None):
        names = ("cpu", "cpuacct")
        above = parent.folders if parent else [pathlib.Path(f"/sys/fs/cgroup/{kind}") for kind in names]
        self.folders = [folder / name for folder in above]
        for folder in self.folders:
            try:
                folder.mkdir()
            except OSError as error:
                fail(f"{folder}: {error.strerror}: wants the controllers cpu and cpuacct of cgroup v1, each mounted there")

    def take(self, pid, weighed=True):
        """A process moves in, and to our CPU; its children follow. Not weighed, its time is only counted."""
        for folder in self.folders if weighed else self.folders[1:]:
            (folder / "cgroup.procs").write_text(str(pid))
        command(["taskset", "-acp", CPU, str(pid)])

    def weigh(self, shares):
        (self.folders[0] / "cpu.shares").write_text(str(shares))

    def used(self):
        """Nanoseconds."""
        return int((self.folders[1] / "cpuacct.usage").read_text())

    def close(self):
        for folder in self.folders:
            top = next(one for one in folder.parents if (one / "release_agent").exists())
            for _ in range(40):
                for pid in (folder / "cgroup.procs").read_text().split():
                    with contextlib.suppress(OSError):
                        (top / "cgroup.procs").write_text(pid)
                with contextlib.suppress(OSError):
                    folder.rmdir()
                    break
                time.sleep(0.05)


class Guarded(home.Home):
    """One kind of gateway: `nft` and `softirq` (our fast path) the kernel's usual way, `hearth` with threads in groups."""

    def __init__(self, kind, programs):
        self.kind = kind
        self.pages = pathlib.Path(f"/var/tmp/hearth-bench-{os.getpid()}-{kind}")
        self.whole = Group(f"hearth-bench-{os.getpid()}-{kind}")
        self.forwarding, self.service = (Group(name, self.whole) for name in ("forwarding", "service"))
        self.whole.weigh(WHOLE)
        # The program sees another /sys: that of its network namespace.
        self.more = ("--cgroup", f"/proc/{os.getpid()}/root{self.forwarding.folders[0]}")
        super().__init__("nft" if kind == "nft" else "hearth", programs)
        self.internet()
        for line in ("ip link add idle0 type veth peer name idle1", "ip link set idle0 up", "ip link set idle1 up"):
            self.run("lan", line)
        for side, link in (("gw", "eth0"), ("gw", "eth1"), ("lan", "l0"), ("net", "m1"), ("wan", "m0")):
            self.run(side, [sys.executable, "-c", FEATURES, link])
        network = self.link()
        for side, link in (("lan", "l0"), ("net", "m1")):
            self.far(side, link)
        if kind != "hearth":
            for link in ("eth0", "eth1"):
                self.run("gw", ["sh", "-c", f"echo 0 >/sys/class/net/{link}/threaded"])
                self.run("gw", ["sh", "-c", f"echo {1 << int(CPU)} >/sys/class/net/{link}/queues/rx-0/rps_cpus"])
        self.serve_pages(network)
        self.flooding(20_000, 1).communicate()

    def internet(self):
        """The flood ends where it leaves the gateway's port, as on a cable; nginx's clients are behind that."""
        mac = self.run("wan", "cat /sys/class/net/w0/address").strip()
        command(["ip", "netns", "add", self.space("net")])
        self.names = (*self.names, "net")
        self.cable(("wan", "m0"), ("net", "m1"), "52:54:00:68:74:04")
        for side, line in (
            ("wan", "ip link set m0 up"),
            ("net", f"ip link set m1 address {mac} up"),
            ("net", f"ip address add {home.PEER}/24 dev m1"),
            # Only IPv4 goes through: w0 answers ARP.
            ("net", "ip neigh add 203.0.113.50 lladdr 52:54:00:68:74:02 dev m1 nud permanent"),
        ):
            self.run(side, line)
        load = self.programs / "examples" / "load"
        self.run("wan", [load, "wire", "w0", "m0"])
        self.run("wan", [load, "wire", "m0", "w0"])

    def far(self, side, link):
        """The far end of a cable takes its packets on the other CPU, before whoever else runs there."""
        before = self.pollers()
        self.run(side, ["sh", "-c", f"echo 1 >/sys/class/net/{link}/threaded"])
        for pid in self.pollers() - before:
            command(["taskset", "-cp", OTHER_CPU, str(pid)])
            command(["chrt", "-f", "-p", "20", str(pid)])

    def pollers(self):
        """The kernel threads that take a device's packets."""
        found = set()
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (folder / "comm").read_text().startswith("napi/"):
                    found.add(int(folder.name))
        return found

    def pin(self, cpu):
        """hearth-netpath is a part of forwarding."""
        self.forwarding.take(self.netpath.pid, self.kind == "hearth")

    def link(self):
        """Makes the service's link; the file of its network namespace."""
        if self.kind == "nft":
            command(["ip", "netns", "add", self.space("svc")])
            self.names = (*self.names, "svc")
            self.cable(("gw", "sv0"), ("svc", "eth0"), "52:54:00:68:74:03")
            for side, line in (
                ("gw", "ip address add 10.213.0.1/32 dev sv0"),
                ("gw", "ip link set sv0 up"),
                ("gw", f"ip route add {SERVICE}/32 dev sv0"),
                ("svc", f"ip address add {SERVICE}/32 dev eth0"),
                ("svc", "ip link set eth0 up"),
                ("svc", "ip route add 10.213.0.1/32 dev eth0"),
                ("svc", "ip route add default via 10.213.0.1"),
                ("svc", "sysctl -q net.ipv4.ip_unprivileged_port_start=0"),
            ):
                self.run(side, line)
            self.run("gw", ["nft", "-f", "-"], input=DNAT)
            return f"/run/netns/{self.space('svc')}"
        told = "its packets are charged to forwarding"
        self.until("threads", lambda: self.log().count(told) == 2)
        text = self.run("gw", [self.programs / "examples" / "attach", self.folder / "netpath.sock"])
        network = f"/proc/{self.netpath.pid}/root{self.folder}/netns/0"
        if self.kind == "hearth":
            for pid in (self.forwarding.folders[0] / "cgroup.procs").read_text().split():
                self.forwarding.take(pid)
            self.service.take(int(text))
        else:
            words = "mount -t sysfs sysfs /sys && echo 0 >/sys/class/net/eth0/threaded"
            command(["unshare", "-m", "nsenter", f"--net={network}", "sh", "-c", words])
        return network

    def serve_pages(self, network):
        """nginx, started as PID 1 starts a service."""
        self.pages.mkdir()
        (self.pages / "nginx.conf").write_text(NGINX.format(page=PAGE))
        sandbox = ROOT / "target/release/hearth-sandbox"
        words = [sandbox, "run", "--as-pid-1", "--without-limits", "--uid", USER, "--network", network]
        words += ["--", shutil.which("nginx"), "-c", self.pages / "nginx.conf"]
        log = open(self.folder / "nginx.log", "w", encoding="utf-8")
        with log:
            server = subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.kept.append(server)
        self.until("page", self.fetches)
        family = self.family(server.pid)
        self.server = family[-1]
        for pid in (server.pid, *family):
            self.service.take(pid, self.kind == "hearth")

    def family(self, pid):
        found = []
        for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            found += [int(child), *self.family(int(child))]
        return found

    def fetches(self):
        words = self.words("net", "curl -sS -m 1 http://203.0.113.50/")
        return subprocess.run(words, capture_output=True, check=False).returncode == 0

    def flooding(self, rate, seconds, link="l0"):
        """A flood of so many packets a second on its way, out of a link."""
        program = self.programs / "examples" / "load"
        words = ["chrt", "-f", "10", "taskset", "-c", OTHER_CPU, program, "flood", link, home.MAC, self.port, seconds]
        words = self.words("lan", [*words, int(rate)])
        return subprocess.Popen([str(word) for word in words], stdout=subprocess.PIPE, text=True)

    def hog(self, group):
        """A process that takes all the time there is."""
        process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        group.take(process.pid, self.kind == "hearth")
        return process

    def measure(self, seconds, rate, weights=(1, 1), requests=False, hog=None, lost=False):
        """What is served and forwarded a second, and the CPU that forwarding and the service are charged for, beside a
        flood of this rate; with a hog in one of the groups. A flood that is lost is made all the same: it costs the
        machine the same, but for what the gateway does."""
        self.forwarding.weigh(ONE * weights[0])
        self.service.weigh(ONE * weights[1])
        wait = OPENING if requests else SETTLE
        begun = []
        if hog:
            begun.append(self.hog(hog))
        begun.append(self.flooding(rate, seconds + wait + 10, "idle0" if lost else "l0"))
        if requests:
            begun.append(self.clients())
        try:
            time.sleep(wait)
            if requests:
                self.open()
            before = self.now(requests)
            time.sleep(seconds)
            after = self.now(requests)
            for process in begun:
                if process.poll() is not None:
                    fail(f"{self.kind}: {process.args}: ended with {process.returncode}")
        finally:
            for process in begun:
                process.kill()
                process.wait()
        # A moment, in which what is on its way ends.
        time.sleep(0.1)
        return {what: (after[what][0] - was) / (after[what][1] - at) for what, (was, at) in before.items()}

    def open(self):
        """Waits until as many requests are served as there are connections, each of which has one at a time."""
        first, end = self.served(), time.monotonic() + OPENED
        while self.served() < first + CONNECTIONS and time.monotonic() < end:
            time.sleep(0.1)

    def now(self, requests):
        """Counters, each with when it was read."""
        return {
            "requests": (self.served() if requests else 0, time.monotonic()),
            "packets": (int(self.counter("rx_packets").read_text()), time.monotonic()),
            "forwarding": (self.forwarding.used() / 1e9, time.monotonic()),
            "service": (self.service.used() / 1e9, time.monotonic()),
        }

    def served(self):
        """Requests that nginx has answered, as it says past the network."""
        with socket.socket(socket.AF_UNIX) as asked:
            asked.settimeout(home.PATIENCE)
            asked.connect(f"/proc/{self.server}/root/tmp/count")
            asked.sendall(b"GET / HTTP/1.0\r\n\r\n")
            text = b""
            while more := asked.recv(4096):
                text += more
        return int(re.search(rb"requests\s+\d+ \d+ (\d+)", text)[1])

    def clients(self):
        """Clients in the Internet that ask nginx again and again."""
        words = ["chrt", "-f", "15", "taskset", "-c", OTHER_CPU, "wrk", "-t", "1", "-c", CONNECTIONS, "-d", "60s"]
        words = self.words("net", [*words, "--timeout", "5s", "-H", "Accept-Encoding: gzip", "http://203.0.113.50/"])
        return subprocess.Popen(words, stdout=subprocess.DEVNULL)

    def close(self):
        super().close()
        shutil.rmtree(self.pages, ignore_errors=True)
        for group in (self.forwarding, self.service, self.whole):
            group.close()
