"""Draws what `scripts/bench starvation` has measured: target/bench/starvation.png of target/bench/starvation.json.

Run by the Python of target/bench/venv, which has matplotlib. Exit: 0 drawn, 1 with the reason.
"""

import json
import pathlib
import sys

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402: it wants to know first that there is no screen

KINDS = {"nft": ("nftables", "tab:orange"), "softirq": ("fast path, no threads", "tab:blue"), "hearth": ("Hearth", "tab:red")}
FLOODS = {"alone": 0, "flood 1": 1, "flood 3": 3}


def band(axes, places, series, kind):
    """A line of medians, with how far the rounds were apart."""
    name, colour = KINDS[kind]
    axes.plot(places, [one["median"] for one in series], "o-", color=colour, label=name)
    axes.fill_between(places, [one["min"] for one in series], [one["max"] for one in series], color=colour, alpha=0.2)


def percent(series, whole):
    """Of the median of the whole."""
    return {what: series[what] / whole["median"] * 100 for what in ("min", "median", "max")}


def main(folder):
    """A picture: what a service and what forwarding keep while the flood grows."""
    kinds = json.loads((folder / "starvation.json").read_text())["kinds"]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4))
    for kind in KINDS:
        requests, forwarded = kinds[kind]["requests"], kinds[kind]["forwarded"]
        band(left, list(FLOODS.values()), [percent(requests[step], requests["alone"]) for step in FLOODS], kind)
        band(right, list(map(float, forwarded)), list(forwarded.values()), kind)
    requests = kinds["hearth"]["requests"]
    promised = percent(requests["removed"], requests["alone"])["median"]
    left.axhline(promised, color="tab:red", linestyle=":", label="Hearth, forwarding's share taken by a loop")
    left.set_title("a service beside a flood of small packets")
    left.set_ylabel("nginx, % of the requests without a flood")
    right.set_title("forwarding, with nothing beside it")
    right.set_ylabel("64-byte packets a second")
    for axes in (left, right):
        axes.set_xlabel("flood, in capacities of the gateway")
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(folder / "starvation.png", dpi=80)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
