"""What real programs lose inside: nginx, ssh forwarding, ffmpeg and files, each outside and inside in turns."""

import json
import os
import pathlib
import re
import resource
import shutil
import subprocess
import tempfile
import time

from common import command, fail, in_turns, ratios, say, table

SERVER, CLIENT = "hearth-bench-s", "hearth-bench-c"
SERVER_ADDRESS, CLIENT_ADDRESS = "10.213.77.1", "10.213.77.2"
USER = 33  # www-data of Debian: ssh wants a name for its own id
DEADLINE_S = 120
PROGRAMS = ("nginx", "ab", "ssh", "sshd", "ssh-keygen", "iperf3", "ffmpeg", "setpriv")
REQUESTS = {1: 6000, 1000: 10000}  # by connections at a time
WORKERS = 2  # one has fewer descriptors than connections: a sandbox of `run` gets 1024
FORWARDED_MIB = 128
CLIP_SECONDS = 30
FILE_MIB = 64
FILE_TURNS = 8  # or the start of the sandbox, some milliseconds, were a part of the figure

NGINX = """
daemon off; worker_processes {workers}; error_log stderr crit; pid {tmp}/nginx-{port}.pid;
events {{ worker_connections 1012; }}
http {{
  access_log off; keepalive_timeout 0;
  client_body_temp_path {tmp}/b{port}; proxy_temp_path {tmp}/p{port}; fastcgi_temp_path {tmp}/f{port};
  uwsgi_temp_path {tmp}/u{port}; scgi_temp_path {tmp}/s{port};
  server {{ listen {address}:{port} backlog=2048 reuseport; root {folder}/www; }}
}}
"""
SSHD = """
Port 2222
ListenAddress {address}
HostKey {folder}/host-key
AuthorizedKeysFile {folder}/authorized
StrictModes no
PermitRootLogin yes
PasswordAuthentication no
UsePAM no
PidFile none
"""


def cpu_ns(pids):
    """Processor time of processes with one thread each, nanoseconds."""
    return sum(int(pathlib.Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in pids)


def children_of(pid, count):
    """The processes that this one has started, when they are as many."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if len(children) == count:
            return [int(child) for child in children]
        time.sleep(0.05)
    return fail(f"process {pid} has not started {count} others")


class Lab:
    """Two network namespaces with a link, a folder, and the processes in them; all of it goes with it."""

    def __init__(self, launcher):
        self.launcher = launcher
        self.processes = []
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hearth-bench-", dir="/var/tmp"))

    def __enter__(self):
        self.folder.chmod(0o755)
        for name in (SERVER, CLIENT):
            command(["ip", "netns", "add", name])
        command(["ip", "-n", SERVER, "link", "add", "eth0", "type", "veth", "peer", "eth0", "netns", CLIENT])
        for name, address in ((SERVER, SERVER_ADDRESS), (CLIENT, CLIENT_ADDRESS)):
            command(["ip", "-n", name, "address", "add", f"{address}/30", "dev", "eth0"])
            for device in ("eth0", "lo"):
                command(["ip", "-n", name, "link", "set", device, "up"])
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for name in (SERVER, CLIENT):
            subprocess.run(["ip", "netns", "delete", name], check=False)
        shutil.rmtree(self.folder)

    def outside(self, words, network=None):
        """The words for the same user without a sandbox."""
        words = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", *words]
        return ["ip", "netns", "exec", network, *words] if network else words

    def inside(self, words, network=None, flags=()):
        """The words for the sandbox."""
        base = [self.launcher, "run", "--as-pid-1", "--without-limits", "--uid", USER, *flags]
        if network:
            base += ["--network", f"/run/netns/{network}"]
        return [*base, "--", shutil.which(words[0]), *words[1:]]

    def stay(self, words):
        """Starts a server and returns the number of its process."""
        log = (self.folder / "log").open("a")
        words = [str(word) for word in words]
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.processes.append(process)
        return process.pid

    def wait_for(self, network, port):
        """Until somebody listens on a port."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            found = command(["ip", "netns", "exec", network, "ss", "-Hltn", f"sport = :{port}"])
            if found.strip():
                return
            time.sleep(0.1)
        fail(f"nobody listens on port {port}: {(self.folder / 'log').read_text()[-2000:]}")


def nginx(lab):
    """Requests to two servers, one of them in a sandbox: microseconds a request."""
    (lab.folder / "www").mkdir()
    (lab.folder / "www" / "index.html").write_bytes(b"x" * 10240)
    ports = {"outside": 8080, "inside": 8081}
    servers = {}
    for side, port in ports.items():
        tmp = "/tmp" if side == "inside" else lab.folder / "tmp"
        config = lab.folder / f"{side}.conf"
        config.write_text(NGINX.format(workers=WORKERS, tmp=tmp, port=port, folder=lab.folder, address=SERVER_ADDRESS))
        words = ["nginx", "-e", "stderr", "-c", config]
        if side == "outside":
            tmp.mkdir()
            os.chown(tmp, USER, USER)
        pid = lab.stay(getattr(lab, side)(words, SERVER))
        lab.wait_for(SERVER, port)
        first = children_of(pid, 1)[0] if side == "inside" else pid
        servers[side] = children_of(first, WORKERS)

    def load(side, connections):
        def run():
            url = f"http://{SERVER_ADDRESS}:{ports[side]}/index.html"
            count = REQUESTS[connections]
            before = cpu_ns(servers[side])
            words = ["ip", "netns", "exec", CLIENT, "ab", "-q", "-r", "-s", "20", "-n", count, "-c", connections, url]
            text = command([str(word) for word in words], timeout=DEADLINE_S)
            failed = int(re.search(r"Failed requests: +(\d+)", text).group(1))
            if failed:
                fail(f"ab: {failed} requests failed")
            rate = float(re.search(r"Requests per second: +([\d.]+)", text).group(1))
            return 1e6 / rate, (cpu_ns(servers[side]) - before) / count / 1000

        return run

    for connections in REQUESTS:
        name = f"nginx, ab with {connections} connection{'s' if connections > 1 else ''}"
        yield name, {side: load(side, connections) for side in ports}


def forwarding(lab):
    """A TCP stream through ssh -L: the client is sandboxed, the server is not."""
    for key in ("host-key", "key"):
        command(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", lab.folder / key])
    shutil.copy(lab.folder / "key.pub", lab.folder / "authorized")
    # ssh refuses a key of its own user that others can read; this one is root's.
    (lab.folder / "key").chmod(0o644)
    (lab.folder / "sshd.conf").write_text(SSHD.format(address=SERVER_ADDRESS, folder=lab.folder))
    pathlib.Path("/run/sshd").mkdir(exist_ok=True)
    enter = ["ip", "netns", "exec", SERVER]
    lab.stay([*enter, shutil.which("sshd"), "-D", "-e", "-f", lab.folder / "sshd.conf"])
    lab.stay([*enter, "iperf3", "--server", "--bind", "127.0.0.1"])
    lab.wait_for(SERVER, 2222)
    ports = {"outside": 9001, "inside": 9002}
    clients = {}
    for side, port in ports.items():
        words = ["ssh", "-F", "none", "-i", lab.folder / "key", "-p", 2222, "-N", "-o", "BatchMode=yes"]
        words += ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
        words += ["-L", f"{port}:127.0.0.1:5201", f"root@{SERVER_ADDRESS}"]
        pid = lab.stay(getattr(lab, side)(words, CLIENT))
        lab.wait_for(CLIENT, port)
        clients[side] = children_of(pid, 1) if side == "inside" else [pid]

    def send(side):
        def run():
            before = cpu_ns(clients[side])
            words = ["ip", "netns", "exec", CLIENT, "iperf3", "--json", "--client", "127.0.0.1"]
            words += ["--port", str(ports[side]), "--bytes", f"{FORWARDED_MIB}M"]
            report = json.loads(command(words, timeout=DEADLINE_S))
            seconds = report["end"]["sum_received"]["seconds"]
            return seconds, (cpu_ns(clients[side]) - before) / 1e9

        return run

    yield f"ssh -L, {FORWARDED_MIB} MiB", {side: send(side) for side in ports}


def timed(words):
    """A function that runs words to their end: seconds, and seconds of processor time."""
    words = [str(word) for word in words]

    def run():
        before, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE_S)
        took = time.perf_counter() - before
        now = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode != 0:
            fail(f"{' '.join(words)}: status {done.returncode}\n{done.stderr[-2000:]}")
        return took, now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime

    return run


def decode(lab):
    """ffmpeg decodes a clip in one thread."""
    clip = lab.folder / "clip.mkv"
    make = ["ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=25"]
    command([*make, "-t", str(CLIP_SECONDS), "-c:v", "libx264", "-preset", "ultrafast", clip])
    words = ["ffmpeg", "-nostdin", "-v", "error", "-threads", 1, "-i", clip, "-f", "null", "-"]
    yield "ffmpeg, decode", {"outside": timed(lab.outside(words)), "inside": timed(lab.inside(words))}


def files(lab):
    """Write, fsync and read a file in a service's data folder."""
    data = lab.folder / "data"
    data.mkdir()
    data.chmod(0o777)
    script = (
        "set -e; for turn in {turns}; do dd if=/dev/zero of=$0/file bs=64k count={count} conv=fsync 2>/dev/null; "
        "dd if=$0/file of=/dev/null bs=64k 2>/dev/null; rm $0/file; done"
    ).format(turns=" ".join(map(str, range(FILE_TURNS))), count=FILE_MIB * 16)
    outside = lab.outside(["sh", "-c", script, data])
    inside = lab.inside(["sh", "-c", script, "/run/data"], flags=("--bind", data, "/run/data"))
    yield f"file, write, fsync, read {FILE_TURNS} x {FILE_MIB} MiB", {"outside": timed(outside), "inside": timed(inside)}


def measure(launcher, rounds):
    """For each workload: inside to outside, by time and by processor time."""
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    if missing:
        say(f"work inside is not measured, missing: {' '.join(missing)}; scripts/bench --peers sandbox installs them")
        return {}
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))  # ab opens one for each connection
    result = {}
    for workload in (nginx, forwarding, decode, files):
        with Lab(launcher) as lab:
            for name, sides in workload(lab):
                say(f"inside and outside, {rounds} rounds: {name}")
                found = in_turns(sides, rounds)
                pick = lambda side, which: [one[which] for one in found[side]]
                result[name] = {
                    kind: ratios(pick("inside", which), pick("outside", which)).as_json()
                    for which, kind in enumerate(("time", "processor_time"))
                }
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return result


def as_table(result):
    """For people."""
    percent = lambda value: f"{(value - 1) * 100:+.1f} %"
    spread = lambda one: f"{percent(one['median'])} ({percent(one['min'])} to {percent(one['max'])})"
    rows = [[name, spread(one["processor_time"]), spread(one["time"])] for name, one in result.items()]
    return table(["inside to outside", "processor time of the program", "time"], rows)
