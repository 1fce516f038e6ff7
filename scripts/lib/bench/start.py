"""How long a static program takes from start to end, in each sandbox."""

import shutil
import subprocess

from common import OUT, Series, in_turns, ratios, say, table
from parts import POLICY, Gateway, Starter, bubblewrap, image, oci_bundle, plan_text

FILTER_FD = 10
RUN = "hearth-sandbox run"
GATEWAY = "hearth-sandbox, as PID 1 starts it"
BARE = "bare exec"
PEERS = {
    "bubblewrap": "bubblewrap",
    "covered": "bubblewrap, /proc covered as well",
    "crun": "crun",
}


def cases_of(word, folder, peers, closing):
    """Functions by name. bubblewrap and crun are of the machine's word size, and compared with ours of it."""
    root = image(word, folder)
    starter = Starter()
    launcher = folder / "hearth-sandbox"
    gateway = Gateway(folder, root, ["/nothing"])
    closing.append(gateway.close)
    cases = {
        BARE: starter.timed([root / "nothing"]),
        GATEWAY: gateway.start,
        RUN: starter.timed([launcher, "run", "--as-pid-1", "--without-limits", "--root", root, "--", "/nothing"]),
    }
    if word != "x86_64":
        return cases
    plan = plan_text(launcher, root)
    program = OUT / "filter.bpf"
    with program.open("wb") as file:
        subprocess.run([folder / "examples" / "starts", "filter", POLICY], stdout=file, check=True)
    files = [(FILTER_FD, program)]
    if "bubblewrap" in peers:
        cases[PEERS["bubblewrap"]] = starter.timed([*bubblewrap(root, FILTER_FD), "/nothing"], files)
        cases[PEERS["covered"]] = starter.timed([*bubblewrap(root, FILTER_FD, plan), "/nothing"], files)
    if "crun" in peers:
        bundle = oci_bundle(root, plan, ["/nothing"])
        words = ["crun", "--root", OUT / "crun", "--cgroup-manager=disabled", "run", "--bundle", bundle, "bench"]
        cases[PEERS["crun"]] = starter.timed(words)
    return cases


def measure(folders, peers, rounds):
    """Series and ratios by word size."""
    result = {}
    for word, folder in folders.items():
        closing = []
        cases = cases_of(word, folder, peers, closing)
        say(f"start and end, {word}: {len(cases)} ways, {rounds} rounds")
        found = in_turns(cases, rounds, warm_up=3)
        for close in closing:
            close()
        result[word] = {
            name: {
                "microseconds": Series(values).as_json(),
                "to_bubblewrap": compare(found, name, PEERS["bubblewrap"]),
                "to_covered": compare(found, name, PEERS["covered"]),
            }
            for name, values in found.items()
        }
    shutil.rmtree(OUT / "crun", ignore_errors=True)
    return result


def compare(found, name, peer):
    """Ours to a peer's, if it was measured."""
    return ratios(found[name], found[peer]).as_json() if peer in found else None


def as_table(result):
    """For people."""
    rows = []
    for word, ways in result.items():
        for name, one in ways.items():
            took = one["microseconds"]
            ratio = lambda of: f"{of['median']:.2f}" if of else ""
            rows.append(
                [word, name, f"{took['min'] / 1000:.2f}", f"{took['median'] / 1000:.2f}", f"{took['max'] / 1000:.2f}"]
                + [ratio(one["to_bubblewrap"]), ratio(one["to_covered"])]
            )
    head = ["word size", "start and end of a static program", "min ms", "median", "max", "to bubblewrap", "to it, covered"]
    return table(head, rows)
