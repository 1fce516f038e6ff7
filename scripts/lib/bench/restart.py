"""How long a service is away that was killed, below hearth-init and below other supervisors.

Each service is one program that notes when it began. It is killed after it has run long enough for every supervisor to
start it again at once.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import time

from common import OUT, Series, command, fail, in_turns, say, table
from memory import pss_kib
from parts import POLICY, bubblewrap, build, plan_text

HERE = pathlib.Path(__file__).parent
FILTER_FD = 9  # dash(1) knows one digit
SERVICES = 12  # below each supervisor
# Every service runs for so long before it is killed, seconds: runit and s6 start none more often than once a second,
# hearth-init none more often than twice.
RUNS = 1.15
LOOK = 0.004  # seconds between two looks for a new process
PATIENCE = 20
STAND_INS = ("holds", "sleep", "sh")  # what runs in the place of others below hearth-init
OURS = "hearth-init, in its sandbox"
SCANS = {"runit": ["runsvdir"], "s6": ["s6-svscan"]}
IN_BUBBLEWRAP = ("runit",)  # s6 waits for a second after each end, with a sandbox as without


def stamp():
    """A root with the program that notes when it began, and the address of its note."""
    root = OUT / "root-stamp"
    for name in ("proc", "sys", "dev", "tmp", "run", "data"):
        (root / name).mkdir(parents=True, exist_ok=True)
    program = root / "stamp"
    command(["cc", "-static", "-nostdlib", "-no-pie", "-o", program, HERE / "stamp.S"])
    symbols = [line.split() for line in command(["nm", program]).splitlines()]
    return root, next(int(words[0], 16) for words in symbols if words[2] == "stamp")


def children(pid):
    """The processes that a process has made."""
    try:
        return [int(word) for word in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []  # it has ended


def below(pid):
    """A process and all of its descendants."""
    found = [pid]
    for one in found:
        found += children(one)
    return found


def name(pid):
    """Of the program of a process."""
    with contextlib.suppress(OSError):  # it has ended
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def lives(pid):
    """Whether a process is there, and no zombie."""
    with contextlib.suppress(OSError):
        return ") Z " not in pathlib.Path(f"/proc/{pid}/stat").read_text()
    return False


def began(pid, address):
    """When the program of a process began, nanoseconds of CLOCK_MONOTONIC; None where it is another, or has not."""
    if name(pid) not in ("stamp", "run"):
        return None
    try:
        with open(f"/proc/{pid}/mem", "rb") as file:
            file.seek(address)
            seconds, nanoseconds = struct.unpack("qq", file.read(16))
    except (OSError, struct.error):
        return None  # a shell on its way to it, or one that has ended
    return seconds * 1_000_000_000 + nanoseconds or None


class Supervised:
    """Services below a supervisor, which is PID 1 of a namespace."""

    def __init__(self, words, address, log):
        self.address, self.log, self.running = address, log, {}
        with open(log, "a", encoding="utf-8") as file:
            null = subprocess.DEVNULL
            self.process = subprocess.Popen([str(word) for word in words], stdin=null, stdout=null, stderr=file)

    def ready(self):
        """Waits until all services run."""
        self.until("all services", lambda: len(self.look()) == SERVICES)
        return self

    def look(self):
        """When each service began, by its process."""
        found = {pid: began(pid, self.address) for pid in below(self.process.pid)}
        self.running = {pid: at for pid, at in found.items() if at}
        return self.running

    def until(self, what, question):
        """Waits until something is so."""
        end = time.monotonic() + PATIENCE
        while not question():
            if time.monotonic() > end or self.process.poll() is not None:
                fail(f"{' '.join(self.process.args)}: no {what}; see {self.log}")
            time.sleep(LOOK)

    def kill(self):
        """Kills the service that has run for the longest; milliseconds until its next run began."""
        before = dict(self.running)
        pid = min(before, key=before.get)
        time.sleep(max(0, before[pid] / 1e9 + RUNS - time.monotonic()))
        killed = time.monotonic_ns()
        os.kill(pid, signal.SIGKILL)
        time.sleep(LOOK)
        self.until("next run", lambda: len(self.look().keys() - before.keys()) == 1 and len(self.running) == SERVICES)
        (new,) = self.running.keys() - before.keys()
        return (self.running[new] - killed) / 1e6

    def costs(self):
        """Processes of the supervisor's own, and their memory in KiB (PSS)."""
        own = [pid for pid in below(self.process.pid)[1:] if pid not in self.running and name(pid) not in STAND_INS]
        return {"processes": len(own), "pss_kib": sum(map(pss_kib, own))}

    def close(self):
        """Ends it, and with it all that its namespace holds."""
        pids = below(self.process.pid)
        self.process.kill()
        self.process.wait()
        end = time.monotonic() + PATIENCE
        while any(map(lives, pids)):
            if time.monotonic() > end:
                fail("what was killed is still there")
            time.sleep(LOOK)


UNSHARE = ("unshare", "--pid", "--fork", "--kill-child")


def ours(folder, root, address, closing):
    """hearth-init as PID 1, with a program in the manager's place that asks it for the services."""
    home = OUT / "pid1"
    (OUT / "pid1.log").write_text("")
    shutil.rmtree(home, ignore_errors=True)
    place = home / "root"
    for folder_of in ("sbin", "etc/hearth", "root"):
        (place / folder_of).mkdir(parents=True)
    closing.callback(shutil.rmtree, home)
    for program in ("hearth-init", "hearth-sandbox", "examples/holds"):
        shutil.copy(folder / program, place / "sbin")
    shutil.copytree(root, place / "image")
    (place / "plan").write_bytes(subprocess.check_output([folder / "examples/starts", "plan", "/image", "/stamp"]))
    stand_ins = {"hearth-manager": f"/sbin/holds /plan {SERVICES}", "hearth-netpath": "sleep 100000"}
    for program, words in stand_ins.items():
        (place / "sbin" / program).write_text(f"#!/bin/sh\nexec {words}\n")
        (place / "sbin" / program).chmod(0o755)
    group = pathlib.Path(f"/sys/fs/cgroup/hearth-bench-{os.getpid()}")
    group.mkdir()
    closing.callback(remove_groups, group)
    script = 'echo 0 >"$0/cgroup.procs" && exec "$@"'
    apart = [*UNSHARE, "--mount", "--uts", "--net", "--ipc", "--cgroup", HERE / "pid1", place, OUT / "pid1.log"]
    supervised = Supervised(["sh", "-c", script, group, *apart], address, OUT / "pid1.log")
    closing.callback(supervised.close)
    return supervised.ready()


def remove_groups(top):
    """Removes a cgroup and those below it, in which nothing runs any more."""
    for path, _, _ in os.walk(top, topdown=False):
        os.rmdir(path)


def peer(case, scan, run, closing, address):
    """Another supervisor with a folder of services; `run` makes the program of each."""
    home = OUT / f"services-{case.replace(', ', '-').replace(' ', '-')}"
    shutil.rmtree(home, ignore_errors=True)
    closing.callback(shutil.rmtree, home)
    for number in range(SERVICES):
        service = home / f"bench{number}"
        service.mkdir(parents=True)
        run(service / "run")
        (service / "run").chmod(0o755)
    supervised = Supervised([*UNSHARE, "--mount-proc", *scan, home], address, home.with_suffix(".log"))
    closing.callback(supervised.close)
    return supervised.ready()


def peers():
    """Versions of the installed peers by name; says what is missing."""
    found = {}
    for word in SCANS:
        asked = subprocess.run(["dpkg-query", "-Wf", "${Version}", word], capture_output=True, text=True, check=False)
        if shutil.which(SCANS[word][0]):
            found[word] = asked.stdout if asked.returncode == 0 else "of unknown version"
        else:
            say(f"{word} is not installed and not compared: scripts/bench --peers manager installs it")
    return found


def all_of(installed, closing):
    """Every supervisor, running, by name."""
    folder = build("x86_64")
    build("x86_64", "hearth-init", ["holds"])
    root, address = stamp()
    found = {OURS: ours(folder, root, address, closing)}
    sandboxed = lambda run: run.write_text(f"#!/bin/sh\nexec {words} {FILTER_FD}<{OUT / 'filter.bpf'}\n")
    if shutil.which("bwrap"):
        words = " ".join([*bubblewrap(root, FILTER_FD, plan_text(folder / "hearth-sandbox", root)), "/stamp"])
        (OUT / "filter.bpf").write_bytes(subprocess.check_output([folder / "examples/starts", "filter", POLICY]))
    for word in installed:
        bare = lambda run: shutil.copy(root / "stamp", run)
        found[f"{word}, no sandbox"] = peer(f"{word}, no sandbox", SCANS[word], bare, closing, address)
        if word in IN_BUBBLEWRAP and shutil.which("bwrap"):
            case = f"{word}, in bubblewrap"
            found[case] = peer(case, SCANS[word], sandboxed, closing, address)
    return found


def measure(installed, rounds, kills):
    """Times and costs by supervisor."""
    with contextlib.ExitStack() as closing:
        sides = all_of(installed, closing)
        say(f"restart after SIGKILL: {len(sides)} supervisors, {rounds} rounds of {kills} kills")
        took = in_turns({case: lambda side=side: [side.kill() for _ in range(kills)] for case, side in sides.items()}, rounds)
        costs = {case: side.costs() for case, side in sides.items()}
    every = {case: Series([one for of in by_round for one in of]).as_json() for case, by_round in took.items()}
    medians = {case: Series([Series(of).median for of in by_round]).as_json() for case, by_round in took.items()}
    return {
        case: {"milliseconds": every[case], "medians_of_rounds": medians[case], "costs": costs[case]} for case in every
    }


def as_table(result):
    """For people."""
    rows = []
    for case, one in result.items():
        took, medians, costs = one["milliseconds"], one["medians_of_rounds"], one["costs"]
        rows.append(
            [case, took["rounds"], f"{took['min']:.2f}", f"{took['median']:.2f}", f"{took['max']:.2f}"]
            + [f"{medians['min']:.2f} to {medians['max']:.2f}", costs["processes"], costs["pss_kib"]]
        )
    head = ["SIGKILL until the next run has begun", "kills", "min ms", "median", "max", "medians of the rounds"]
    return table([*head, f"its processes for {SERVICES} services", "their KiB (PSS)"], rows)
