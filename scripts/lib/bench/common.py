"""What the benches share: series of measurements, turns, tables, files of results."""

import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
OUT = ROOT / "target" / "bench"


def say(text):
    """Tells how far it is; the results go to standard output."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def fail(text):
    """Ends the bench: a figure that is not measured is not guessed."""
    say(text)
    raise SystemExit(1)


def command(words, **more):
    """Runs a command to its end and returns what it printed; its failure is ours."""
    done = subprocess.run(words, capture_output=True, text=True, **more)
    if done.returncode != 0:
        fail(f"{' '.join(map(str, words))}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def in_own_mount_namespace():
    """Goes on in one, where mounts are ours and end with us. Where the machine has cgroup v1 it shows v2 in its usual
    place: crun runs with nothing else."""
    if os.environ.get("HEARTH_BENCH") == "inside":
        return
    os.environ["HEARTH_BENCH"] = "inside"
    script = (
        "[ -e /sys/fs/cgroup/cgroup.controllers ] || mount -t cgroup2 none /sys/fs/cgroup || exit 1; "
        'exec "$0" "$@"'
    )
    words = ["unshare", "--mount", "sh", "-c", script, sys.executable, *sys.argv]
    os.execvp(words[0], words)


def before_others():
    """Lets this process and all that it starts run before what else the machine does: a figure is then of what is
    measured. Each load is bounded, and the kernel keeps a twentieth of the time for others (sched(7))."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except OSError as error:
        say(f"not measured before others: {error}")


class Series:
    """One thing measured many times."""

    def __init__(self, values):
        self.values = sorted(values)
        self.min, self.max = self.values[0], self.values[-1]
        self.median = statistics.median(self.values)

    def as_json(self):
        return {"rounds": len(self.values), "min": self.min, "median": self.median, "max": self.max}


def in_turns(cases, rounds, warm_up=1):
    """Measures each of `cases` (name: function that returns a number) once a round, in an order that shifts, so that
    whatever else the machine does meets all of them alike. Returns a list for each name, by round."""
    names = list(cases)
    found = {name: [] for name in names}
    for turn in range(-warm_up, rounds):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            value = cases[name]()
            if turn >= 0:
                found[name].append(value)
    return found


def ratios(ours, theirs):
    """Ours to theirs, round by round: what both met alike cancels out."""
    return Series([a / b for a, b in zip(ours, theirs, strict=True)])


def table(head, rows):
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def machine():
    """Where this was measured."""
    model = "unknown"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    commit = subprocess.run(
        ["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True
    ).stdout.strip()
    return {
        "date": time.strftime("%Y-%m-%d"),
        "kernel": platform.release(),
        "processor": model,
        "processors": os.cpu_count(),
        "load_average_before": os.getloadavg()[0],
        "commit": commit,
    }


def write(name, results, text):
    """Keeps the results for machines and for people."""
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")
    (OUT / f"{name}.md").write_text(text + "\n")
    say(f"kept in target/bench/{name}.json and target/bench/{name}.md")


def draw(script, *pictures):
    """Pictures of the results, by a Python of its own that has matplotlib."""
    here = pathlib.Path(__file__).parent
    python = OUT / "venv/bin/python"
    wants, has = here / "requirements.txt", OUT / "venv/installed.txt"
    if not has.exists() or has.read_text() != wants.read_text():
        say("matplotlib, into target/bench/venv")
        command([sys.executable, "-m", "venv", OUT / "venv"])
        command([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", wants])
        has.write_text(wants.read_text())
    command([python, here / script, OUT])
    say("drawn in " + " and ".join(f"target/bench/{name}" for name in pictures))
