"""Draws what `scripts/bench nat` has measured: target/bench/nat-*.png of target/bench/nat.json.

Run by the Python of target/bench/venv, which has matplotlib. Exit: 0 drawn, 1 with the reason.
"""

import json
import pathlib
import sys

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402: it wants to know first that there is no screen

COLOURS = {"drop": "0.7", "forward": "tab:blue", "nft": "tab:orange", "flowtable": "tab:green", "hearth": "tab:red"}


def spread(series):
    """Below and above the median."""
    return [[series["median"] - series["min"]], [series["max"] - series["median"]]]


def bars(axes, title, unit, found):
    """A bar a case, with how far the rounds were apart."""
    for case, series in found.items():
        axes.bar(case, series["median"], yerr=spread(series), capsize=4, color=COLOURS[case])
    axes.set_title(title)
    axes.set_ylabel(unit)


def main(folder):
    """Two pictures: costs, and how they stay as flows become many."""
    found = json.loads((folder / "nat.json").read_text())
    figure, (left, middle, right) = pyplot.subplots(1, 3, figsize=(14, 4.5))
    packets = found["packets"]
    bars(left, "64-byte UDP, x86-64, 1,024 flows", "ns a packet, net of dropping it", packets["1024"]["net_ns_per_packet"])
    guest = found["guest"]["net_instructions_per_packet"]
    bars(middle, "64-byte UDP, i686", "instructions a packet, net of dropping it", guest)
    flows = found["new_flows"]["flows_per_second"]
    bars(right, "maximum connection establishment rate", "flows a second", flows)
    figure.tight_layout()
    figure.savefig(folder / "nat-cost.png", dpi=110)

    figure, axes = pyplot.subplots(figsize=(7, 4.5))
    counts = sorted(map(int, packets))
    for case in ("forward", "nft", "hearth"):
        of = [packets[str(count)]["net_ns_per_packet"][case] for count in counts]
        middles = [series["median"] for series in of]
        axes.plot(counts, middles, "o-", color=COLOURS[case], label=case)
        axes.fill_between(counts, [s["min"] for s in of], [s["max"] for s in of], color=COLOURS[case], alpha=0.2)
    axes.set_xscale("log", base=2)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("flows")
    axes.set_ylabel("ns a packet, net of dropping it")
    axes.set_title("64-byte UDP, by the number of flows")
    axes.legend()
    figure.tight_layout()
    figure.savefig(folder / "nat-flows.png", dpi=110)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
