"""A booted gateway (the firmware's image in QEMU, i686) with many services: how long each start takes, what its
processes hold, how often they wake up."""

import pathlib
import re
import shutil
import statistics
import time

from board import Machine, disk, program
from common import OUT, Series, command, say, table

HERE = pathlib.Path(__file__).parent
MOST = 200
COUNTS = (0, 50, 200)  # services beside the image's own, for which memory and wake-ups are told
SETTLE = 20  # seconds from the last start to a look
IDLE = 90  # seconds over which wake-ups are counted
PROCESSES = {"hearth-init": "1", "hearth-manager": "", "hearth-netpath": ""}
# Each has a link, limits of every kind and a folder for data, and promises of what 200 of it can have.
MANIFEST = """
[service]
name = "{name}"
version = "1"
title = "One of many"
vendor = "Hearth"
exec = ["/waits"]
autostart = false

[resources.memory]
reserve = "1 MiB"
max = "4 MiB"

[resources.cpu]
reserve = "0.2 %"

[resources.storage]
reserve = "64 KiB"
max = "1 MiB"

[resources.pids]
max = 4

[access]
network = "lan"
"""


def image():
    """A disk with the packages, and the program that starts them."""
    root = OUT / "crowd/root"
    shutil.rmtree(root.parent, ignore_errors=True)
    root.mkdir(parents=True)
    command(["cc", "-m32", "-static", "-nostdlib", "-no-pie", "-o", root / "waits", HERE / "waits.S"])
    say(f"{MOST} packages")
    names = [f"crowd{number}" for number in range(1, MOST + 1)]
    return disk("crowd", root, {name: MANIFEST.format(name=name) for name in names}, [program("hearth", "crowd")])


def crowd(machine, verb, first, last):
    """Starts or stops them; seconds of each."""
    text = machine.run(f"/tmp/crowd {verb} crowd {first} {last}", 20 * (last - first + 2))
    return [int(words[1]) / 1e6 for words in map(str.split, text.splitlines()) if len(words) == 2]


def status(machine):
    """Facts of our processes, by name: RssAnon and the like in KiB, times that they slept."""
    found = {}
    for name, pid in PROCESSES.items():
        at = f"/proc/{pid or f'$(pidof {name})'}"
        text = machine.run(f"grep -h -E '^(Rss|Pss:|voluntary)' {at}/status {at}/smaps_rollup; cat /proc/uptime")
        found[name] = {key: int(value) for key, value in re.findall(r"^(\w+):\s+(\d+)", text, re.MULTILINE)}
        found[name]["at"] = float(text.strip().splitlines()[-1].split()[0])
    return found


def looked(machine):
    """Memory and wake-ups, after a while without anything to do."""
    time.sleep(SETTLE)
    before = status(machine)
    time.sleep(IDLE)
    after = status(machine)
    found = {}
    for name, one in after.items():
        woken = one["voluntary_ctxt_switches"] - before[name]["voluntary_ctxt_switches"]
        found[name] = {
            "anonymous_kib": one["RssAnon"],
            "file_kib": one["RssFile"],
            "pss_kib": one["Pss"],
            "wakeups_per_second": woken / (one["at"] - before[name]["at"]),
        }
    return found


def slope(values):
    """Seconds a start takes more for each service that runs already: the median of all pairs' (Theil, Sen)."""
    pairs = ((later - earlier) / (j - i) for i, earlier in enumerate(values) for j, later in enumerate(values) if j > i)
    return statistics.median(pairs)


def measure(rounds):
    """Starts by round, memory and wake-ups by the number of services."""
    machine = Machine(image(), "crowd")
    try:
        say("a gateway boots in QEMU")
        machine.boot()
        machine.run("cp /data/crowd /tmp/")
        held, starts = {}, []
        for turn in range(rounds):
            took = []
            for fewer, count in zip((0, *COUNTS), COUNTS):
                if count > fewer:
                    took += crowd(machine, "start", fewer + 1, count)
                if turn == 0:
                    say(f"{count} services: memory, and wake-ups over {IDLE} s")
                    held[str(count)] = looked(machine)
            starts.append(took)
            say(f"round {turn + 1}: start {took[0]:.3f} s, number {MOST} {took[-1]:.3f} s")
            crowd(machine, "stop", 1, MOST)
    finally:
        machine.close()
    medians = [statistics.median(of) for of in zip(*starts, strict=True)]
    return {
        "starts_s": starts,
        "median_by_number_s": medians,
        "first_20_s": Series([one for of in starts for one in of[:20]]).as_json(),
        "last_20_s": Series([one for of in starts for one in of[-20:]]).as_json(),
        "slope_s_per_service": slope(medians),
        "held": held,
    }


def as_table(result):
    """For people."""
    ms = lambda one: f"{one['median'] * 1000:.0f} ({one['min'] * 1000:.0f} to {one['max'] * 1000:.0f})"
    growth = result["slope_s_per_service"] * 1000
    head = [f"{MOST} services, each with a link, admitted and started", "ms, median (least to most)"]
    rows = [
        ["the first 20", ms(result["first_20_s"])],
        ["the last 20", ms(result["last_20_s"])],
        ["more for each that runs already", f"{growth:.2f}"],
    ]
    text = [table(head, rows)]
    rows = []
    for count, by_name in result["held"].items():
        for name, one in by_name.items():
            rows.append(
                [count, name, one["anonymous_kib"], one["file_kib"], one["anonymous_kib"] + one["file_kib"]]
                + [one["pss_kib"], f"{one['wakeups_per_second']:.2f}"]
            )
    head = ["services", "process", "anonymous KiB", "of its file", "resident", "PSS", "wake-ups a second, idle"]
    text.append(table(head, rows))
    return "\n\n".join(text)
