"""What an idle sandbox takes beyond the service in it: processes that stay, their memory, the kernel's."""

import os
import pathlib
import statistics
import subprocess
import time

from common import OUT, command, in_turns, say, table
from parts import Gateway, Starter, bubblewrap, kill, oci_bundle, plan_text
from start import BARE, FILTER_FD, GATEWAY, PEERS, RUN

COUNT = 100
SETTLE_S = 1.0
NETWORK = "no sandbox, an empty network namespace alone"
# What the kernel takes for itself, proc_meminfo(5). Stacks are in VmallocUsed.
KERNEL = ("Slab", "PageTables", "Percpu", "VmallocUsed")


def kernel_kib():
    """Memory of the kernel, KiB."""
    lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
    facts = dict(line.split(":", 1) for line in lines)
    return sum(int(facts[name].split()[0]) for name in KERNEL if name in facts)


def descendants():
    """Number and name of each process below this one."""
    parents, names = {}, {}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            text = (entry / "stat").read_text()
        except OSError:
            continue  # it has ended
        name, rest = text[text.index("(") + 1 :].rsplit(")", 1)
        names[int(entry.name)] = name
        parents.setdefault(int(rest.split()[1]), []).append(int(entry.name))
    found, look = {}, [os.getpid()]
    while look:
        below = parents.get(look.pop(), [])
        found.update({pid: names[pid] for pid in below})
        look += below
    return found


def pss_kib(pid):
    """A process's proportional share of memory, KiB."""
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


class Held:
    """Sandboxes that were started and are idle."""

    def __init__(self, start, stop, own=()):
        self.stop = stop
        before = kernel_kib()
        start()
        time.sleep(SETTLE_S)
        self.kernel = kernel_kib() - before
        found = descendants()
        self.services = sum(name == "nothing" for name in found.values())
        helpers = [pid for pid, name in found.items() if name != "nothing" and pid not in own]
        self.helpers = len(helpers)
        self.helpers_kib = sum(map(pss_kib, helpers))


def ways(folder, peers):
    """Functions by name: each starts COUNT idle services, looks, ends them, and returns what it saw."""
    root = OUT / "root-x86_64"
    launcher = folder / "hearth-sandbox"
    starter = Starter()
    run = [launcher, "run", "--as-pid-1", "--without-limits", "--root", root, "--", "/nothing", "idle"]
    plan = plan_text(launcher, root)
    files = [(FILTER_FD, OUT / "filter.bpf")]

    def processes(words, files=()):
        pids = []

        def stop():
            for pid in pids:
                kill(pid)

        def look():
            pids.clear()
            held = Held(lambda: pids.extend(starter.spawn(words, files) for _ in range(COUNT)), stop)
            stop()
            time.sleep(SETTLE_S)
            return held

        return look

    def gateway():
        starts = Gateway(folder, root, ["/nothing", "idle"], hold=True)
        started = lambda: [starts.start() for _ in range(COUNT)]
        held = Held(started, starts.close, own=(starts.process.pid,))
        starts.close()
        time.sleep(SETTLE_S)
        return held

    def crun():
        bundle = oci_bundle(root, plan, ["/nothing", "idle"])
        base = ["crun", "--root", OUT / "crun", "--cgroup-manager=disabled"]
        names = [f"idle-{number}" for number in range(COUNT)]
        run_one = lambda name: subprocess.run(
            [*base, "run", "--detach", "--bundle", bundle, name],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True,
        )
        held = Held(lambda: [run_one(name) for name in names], None)
        for name in names:
            command([*base, "delete", "--force", name])
        time.sleep(SETTLE_S)
        return held

    found = {
        BARE: processes([root / "nothing", "idle"]),
        NETWORK: processes(["unshare", "--net", root / "nothing", "idle"]),
        GATEWAY: gateway,
        RUN: processes(run),
    }
    if "bubblewrap" in peers:
        found[PEERS["bubblewrap"]] = processes([*bubblewrap(root, FILTER_FD), "/nothing", "idle"], files)
        covered = [*bubblewrap(root, FILTER_FD, plan), "/nothing", "idle"]
        found[PEERS["covered"]] = processes(covered, files)
    if "crun" in peers:
        found[PEERS["crun"]] = crun
    return found


def measure(folder, peers, rounds):
    """For each way, of one sandbox: helper processes, their memory, the kernel's."""
    say(f"memory: {COUNT} idle sandboxes of each kind, {rounds} rounds")
    found = in_turns(ways(folder, peers), rounds)
    bare = statistics.median(held.kernel for held in found[BARE])
    result = {}
    for name, rounds_of_it in found.items():
        kernel = sorted((held.kernel - bare) / COUNT for held in rounds_of_it)
        result[name] = {
            "helper_processes": rounds_of_it[-1].helpers / COUNT,
            "helper_pss_kib": statistics.median(held.helpers_kib for held in rounds_of_it) / COUNT,
            "kernel_kib": {"min": kernel[0], "median": statistics.median(kernel), "max": kernel[-1]},
        }
    return result


def as_table(result):
    """For people."""
    rows = [
        [
            name,
            f"{one['helper_processes']:.0f}",
            f"{one['helper_pss_kib']:.0f}",
            f"{one['kernel_kib']['median']:.0f} ({one['kernel_kib']['min']:.0f} to {one['kernel_kib']['max']:.0f})",
        ]
        for name, one in result.items()
        if name != BARE
    ]
    head = ["one idle service", "processes beside it", "their memory, KiB (PSS)", "the kernel's, KiB"]
    return table(head, rows)
