"""The hostile program of the escape suite, in each sandbox: what gets through."""

import subprocess
import tomllib

from common import OUT, ROOT, fail, say, table
from parts import bubblewrap, oci_bundle, plan_text
from start import PEERS

EXPECTED = ROOT / "sandbox" / "tests" / "data" / "attempts.toml"
DEADLINE_S = 300
OURS = "hearth-sandbox"
# How many descriptors a service may open is a limit that whoever starts it chooses.
CHOICE = ("more_open_files",)


def forbidden():
    """Names of the attempts that a sandbox has to stop: those that end with an errno or a signal in ours."""
    names, others = set(), set(CHOICE)
    for rows in tomllib.loads(EXPECTED.read_text()).values():
        for name, row in rows.items():
            inside = row if isinstance(row, str) else row.get("x86_64", row["inside"])
            (names if inside.startswith(("errno=", "signal=")) else others).add(name)
    return names - others


def outcomes(words, pass_fds=()):
    """What each attempt came to."""
    words = [str(word) for word in words]
    done = subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE_S, pass_fds=pass_fds
    )
    lines = [line.split(" ", 2) for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines or lines[-1][1] != "end":
        fail(f"{words[0]}: the hostile program did not come to its end\n{done.stderr[-2000:]}")
    return {line[1]: line[2] for line in lines if len(line) == 3}


def measure(folder, peers):
    """For each sandbox, which of the forbidden attempts got through."""
    root = OUT / "root-x86_64"
    launcher = folder / "hearth-sandbox"
    plan = plan_text(launcher, root)
    hostile = ["/hostile", "once"]
    say("escape: the hostile program in each sandbox")
    found = {OURS: outcomes([launcher, "run", "--as-pid-1", "--without-limits", "--uid", 1000, "--root", root, "--", *hostile])}
    if "bubblewrap" in peers:
        for key, one in (("bubblewrap", None), ("covered", plan)):
            with (OUT / "filter.bpf").open("rb") as program:
                fd = program.fileno()
                found[PEERS[key]] = outcomes([*bubblewrap(root, fd, one), *hostile], pass_fds=(fd,))
    if "crun" in peers:
        bundle = oci_bundle(root, plan, hostile)
        base = ["crun", "--root", OUT / "crun", "--cgroup-manager=disabled"]
        found[PEERS["crun"]] = outcomes([*base, "run", "--bundle", bundle, "hostile"])
    stopped = forbidden()
    result = {}
    for name, seen in found.items():
        tried = {attempt for attempt in stopped if attempt in seen}
        through = sorted(attempt for attempt in tried if seen[attempt].startswith(("ok", "value=")))
        result[name] = {"tried": len(tried), "got_through": through}
    return result


def as_table(result):
    """For people."""
    rows = [
        [name, one["tried"], len(one["got_through"]), ", ".join(one["got_through"]) or "none"]
        for name, one in result.items()
    ]
    return table(["escape suite", "forbidden attempts", "got through", "which"], rows)
