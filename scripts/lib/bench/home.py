"""Homes to measure: each a gateway of one kind between a home and its Internet, in three network namespaces."""

import contextlib
import itertools
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

from common import ROOT, command, fail

CPU = "1" if (os.cpu_count() or 1) > 1 else "0"  # where packets are made and forwarded
ALONE = ("chrt", "-f", "10")  # before whatever else this machine does: wall time is then CPU time
FIRST = ("nice", "-n", "-19")  # the same for several that wait for each other
OTHER_CPU = "0"  # where hearth-netpath runs while the kernel forwards
MAC = "52:54:00:68:74:01"
PEER = "203.0.113.1"
PLACES = itertools.count()  # two may be of one kind
PATIENCE = 60  # seconds for anything
HOSTS = 8  # home hosts of 32,000 flows (netpath/examples/load.rs)
WARM_RATE = 20_000  # packets a second while flows are opened
CONFIG = """
[lan]
interface = "eth0"
address = "192.168.1.1"
prefix = 24
pool-first = "192.168.1.100"
pool-last = "192.168.1.199"
resolver = "192.168.1.2"
[wan]
interface = "eth1"
mode = "static"
address = "203.0.113.50"
prefix = 24
router = "203.0.113.1"
resolvers = ["203.0.113.1"]
[services]
subnet = "10.213.0.0"
prefix = 22
[reserve]
memory-mib = 192
cpu-milli = 300
"""
MASQUERADE = """
table ip nat {
    chain postrouting {
        type nat hook postrouting priority srcnat;
        oifname "eth1" masquerade
    }
}
"""


def build(*more):
    """The release programs: hearth-netpath and what makes the load."""
    env = {name: value for name, value in os.environ.items() if name != "CARGO_TARGET_DIR"}
    words = ["cargo", "build", "--release", "--quiet", "-p", "hearth-netpath", "--bin", "hearth-netpath"]
    command([*words, "--example", "load", *more], cwd=ROOT, env=env)
    return ROOT / "target" / "release"


def versions():
    """What the peers say of themselves."""
    for program in ("nft", "iperf3"):
        if not shutil.which(program):
            fail(f"{program} is missing: scripts/setup installs it")
    return {program: command([program, "--version"]).splitlines()[0] for program in ("nft", "iperf3")}


class Place:
    """Network namespaces with processes in them."""

    def __init__(self, case, names):
        self.case = case
        self.prefix = f"hb{os.getpid()}-{next(PLACES)}-{case}"
        self.names = names
        self.kept = []
        for name in names:
            command(["ip", "netns", "add", self.space(name)])
            for setting in ("ipv6.conf.all.disable_ipv6=1", "ipv6.conf.default.disable_ipv6=1"):
                self.run(name, f"sysctl -qe net.{setting}")
            # Where this machine's bridges show their frames to its firewall, no gateway's does.
            self.run(name, "sysctl -qe net.bridge.bridge-nf-call-iptables=0")
            self.run(name, "ip link set lo up")

    def space(self, name):
        """The namespace of a side."""
        return f"{self.prefix}-{name}"

    def words(self, name, line):
        """A command on a side, in one line or as words."""
        words = line.split() if isinstance(line, str) else [str(word) for word in line]
        return ["ip", "netns", "exec", self.space(name), *words]

    def run(self, name, line, **more):
        """Runs a command on a side to its end."""
        return command(self.words(name, line), timeout=PATIENCE, **more)

    def keep(self, name, line, **more):
        """Starts a command on a side that runs until `close`."""
        null = subprocess.DEVNULL
        process = subprocess.Popen(self.words(name, line), stdin=null, **{"stdout": null, "stderr": null, **more})
        self.kept.append(process)
        return process

    def cable(self, here, there, mac):
        """A cable between two sides' interfaces, each (side, interface)."""
        command(
            ["ip", "link", "add", there[1], "netns", self.space(there[0]), "type", "veth"]
            + ["peer", "name", here[1], "address", mac, "netns", self.space(here[0])]
        )

    def until(self, what, question):
        """Waits until something is so."""
        end = time.monotonic() + 20
        while not question():
            if time.monotonic() > end:
                fail(f"{self.case}: no {what}")
            time.sleep(0.05)

    def serve(self, name):
        """An iperf3 server on a side, on the CPU where everything is measured."""
        self.keep(name, [*FIRST, "taskset", "-c", CPU, "iperf3", "-s"])
        self.until("iperf3", lambda: self.run(name, "ss -Hlnt sport = :5201"))

    def iperf(self, client, seconds):
        """A transfer to the server: nanoseconds of the CPU a kilobyte, as it has nothing else to do."""
        words = [*FIRST, "taskset", "-c", CPU, "iperf3", "-c", PEER, "-t", str(max(1, round(seconds))), "-f", "k"]
        text = self.run(client, words)
        line = next(line for line in text.splitlines() if line.endswith("receiver"))
        words = line.split()
        kilobits = float(words[words.index("Kbits/sec") - 1])
        # 8 kilobits are a kilobyte.
        return 8e9 / kilobits if kilobits else fail("iperf3 has sent nothing")

    def close(self):
        """Ends all that runs there, and removes it."""
        for process in self.kept:
            process.kill()
            process.wait()
        for name in self.names:
            pids = subprocess.run(["ip", "netns", "pids", self.space(name)], capture_output=True, text=True, check=False)
            for pid in pids.stdout.split():
                os.kill(int(pid), signal.SIGKILL)
            subprocess.run(["ip", "netns", "del", self.space(name)], check=False)


class Cable(Place):
    """The home on the same cable as the Internet: what a transfer costs without a gateway."""

    def __init__(self):
        super().__init__("cable", ("lan", "wan"))
        self.cable(("lan", "l0"), ("wan", "w0"), MAC)
        for name, link, address in (("lan", "l0", "203.0.113.50/24"), ("wan", "w0", f"{PEER}/24")):
            self.run(name, f"ip address add {address} dev {link}")
            self.run(name, f"ip link set {link} up")
        self.serve("wan")

    def transfer(self, seconds):
        """Nanoseconds a kilobyte, and the mean packet."""
        return self.iperf("lan", seconds), 0


class Home(Place):
    """A gateway: `drop` lets nothing pass, `forward` routes, `nft` routes and masquerades, `hearth` is ours."""

    config = CONFIG
    queues = ROOT / "board/common/queues.toml"
    more = ()  # words for hearth-netpath

    def __init__(self, case, programs):
        super().__init__(case, ("gw", "lan", "wan"))
        self.programs = programs
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hearth-bench-"))
        self.netpath = None
        self.port = 20_000
        self.cable(("gw", "eth0"), ("lan", "l0"), MAC)
        self.cable(("gw", "eth1"), ("wan", "w0"), "52:54:00:68:74:02")
        for line in ("ip address add 192.168.1.50/24 dev l0", "ip link set l0 up", "ip route add default via 192.168.1.1"):
            self.run("lan", line)
        for line in (f"ip address add {PEER}/24 dev w0", "ip link set w0 up"):
            self.run("wan", line)
        # The same bridge in each, since a home has one; a packet is caught or routed behind it.
        if case == "hearth":
            self.start()
        else:
            self.route()
        self.run("wan", "ip route add 192.168.1.0/24 via 203.0.113.50")
        # The hosts that `load` is, as if they had asked for the gateway.
        for host in range(2, 2 + HOSTS):
            self.run("gw", f"ip neigh replace 192.168.1.{host} lladdr 02:00:00:00:00:01 dev br-lan nud permanent")
        if case != "drop":
            self.until("echo", lambda: self.pings())
        self.serve("wan")
        # Its sysfs shows the Internet's link.
        self.watcher = self.keep("wan", "sleep infinity")

    def route(self):
        """The kernel's own forwarding."""
        for line in (
            "ip link add br-lan type bridge",
            "ip address add 192.168.1.1/24 dev br-lan",
            f"ip link set br-lan address {MAC} up",
            "ip link set eth0 master br-lan up",
            "ip address add 203.0.113.50/24 dev eth1",
            "ip link set eth1 up",
            "sysctl -q net.ipv4.ip_forward=1",
        ):
            self.run("gw", line)
        if self.case == "nft":
            self.run("gw", ["nft", "-f", "-"], input=MASQUERADE)
        if self.case == "drop":
            self.run("gw", [self.programs / "examples" / "load", "drop", "br-lan"])

    def start(self):
        """hearth-netpath, without flows."""
        config = self.folder / "gateway.toml"
        config.write_text(self.config)
        # Its own mount of a bpf file system, where PID 1 has one for it; maps go with it.
        words = 'mount -t bpf bpf /sys/fs/bpf && exec "$@"'
        program = [self.programs / "hearth-netpath", "--config", config, "--queues", self.queues, "--run-dir", self.folder]
        program += self.more
        with open(self.folder / "log", "w", encoding="utf-8") as log:
            self.netpath = self.keep("gw", ["sh", "-c", words, "sh", *program], stderr=log)
        self.pin(OTHER_CPU)
        self.until("WAN address", lambda: "wan: address" in self.log())
        if "fast path: on" not in self.log():
            fail(f"hearth-netpath has no fast path:\n{self.log()}")

    def log(self):
        """What hearth-netpath has said."""
        return (self.folder / "log").read_text(encoding="utf-8")

    def pin(self, cpu):
        """Lets hearth-netpath run on one CPU, and there as soon as what is measured with it."""
        command(["taskset", "-cp", cpu, str(self.netpath.pid)])
        command(["renice", *FIRST[1:], "-p", str(self.netpath.pid)])

    def restart(self):
        """Begins without flows; returns when they may come."""
        self.netpath.kill()
        self.netpath.wait()
        self.kept.remove(self.netpath)
        self.start()
        self.answer()
        self.until("echo", lambda: self.pings())

    def pings(self):
        """Whether the Internet answers."""
        words = self.words("lan", f"ping -n -c 1 -W 1 {PEER}")
        return subprocess.run(words, capture_output=True, check=False).returncode == 0

    def counter(self, name):
        """A counter of the Internet's link."""
        return pathlib.Path(f"/proc/{self.watcher.pid}/root/sys/class/net/w0/statistics/{name}")

    def load(self, words, first=ALONE):
        """Makes load out of the home; the two numbers that it prints."""
        program = self.programs / "examples" / "load"
        text = self.run("lan", [*first, "taskset", "-c", CPU, program, *words])
        return [int(word) for word in text.split()]

    def warm(self, flows):
        """Opens flows and lets each last."""
        # A new port: an earlier number of flows is not in the way.
        self.port += 1
        if self.case == "hearth":
            self.restart()
        for _ in range(4):
            self.load(["send", "l0", MAC, flows, self.port, max(0.2, flows / WARM_RATE), WARM_RATE])

    def flood(self, flows, seconds):
        """As many packets as one CPU can: sent, nanoseconds, arrived in the Internet."""
        self.sink()
        before = int(self.counter("rx_packets").read_text())
        sent, took = self.load(["send", "l0", MAC, flows, self.port, seconds])
        return sent, took, int(self.counter("rx_packets").read_text()) - before

    def sink(self):
        """The Internet drops what it gets."""
        self.run("wan", [self.programs / "examples" / "load", "drop", "w0"])

    def answer(self):
        """The Internet takes what it gets again."""
        subprocess.run(self.words("wan", "tc qdisc del dev w0 clsact"), capture_output=True, check=False)

    def transfer(self, seconds):
        """Nanoseconds a kilobyte, and the mean packet on the way to the Internet."""
        self.answer()
        before = [int(self.counter(name).read_text()) for name in ("rx_bytes", "rx_packets")]
        took = self.iperf("lan", seconds)
        after = [int(self.counter(name).read_text()) for name in ("rx_bytes", "rx_packets")]
        return took, (after[0] - before[0]) / (after[1] - before[1])

    def opened(self):
        """New flows a second."""
        self.port += 1
        flows = 24_000
        if self.case == "hearth":
            self.restart()
            self.pin(CPU)
        self.sink()
        arrived, took = self.load(["open", "l0", MAC, flows, self.port, self.counter("rx_packets")], FIRST)
        if arrived < 0.99 * flows:
            fail(f"{self.case}: only {arrived} of {flows} new flows arrived")
        return arrived / took * 1e9

    def memory(self):
        """Of hearth-netpath and of its maps."""
        status = pathlib.Path(f"/proc/{self.netpath.pid}/status").read_text(encoding="utf-8")
        process = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
        maps = 0
        for file in pathlib.Path(f"/proc/{self.netpath.pid}/fdinfo").iterdir():
            text = file.read_text(encoding="utf-8")
            if "map_type" in text:
                maps += next(int(line.split()[1]) for line in text.splitlines() if line.startswith("memlock"))
        return {"process_kib": process, "maps_kib": maps / 1024}

    def close(self):
        """Ends and removes all of it."""
        super().close()
        shutil.rmtree(self.folder)


@contextlib.contextmanager
def cable():
    """A home without a gateway."""
    made = Cable()
    try:
        yield made
    finally:
        made.close()


@contextlib.contextmanager
def homes(programs, cases):
    """A home of each kind."""
    with contextlib.ExitStack() as stack:
        made = []
        for case in cases:
            home = Home(case, programs)
            stack.callback(home.close)
            made.append(home)
        yield made
