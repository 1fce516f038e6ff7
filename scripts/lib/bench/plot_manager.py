"""Draws what `scripts/bench manager` has measured: target/bench/manager.png of target/bench/manager.json.

Run by the Python of target/bench/venv, which has matplotlib. Exit: 0 drawn, 1 with the reason.
"""

import json
import pathlib
import sys

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402: it wants to know first that there is no screen


def main(folder):
    """One picture: how long each start takes, by the number of services that run already."""
    starts = json.loads((folder / "manager.json").read_text())["crowd"]["starts_s"]
    figure, axes = pyplot.subplots(figsize=(7, 4))
    for took in starts:
        axes.plot(range(len(took)), [1000 * one for one in took], ".", color="tab:blue", alpha=0.25)
    medians = [1000 * sorted(of)[len(of) // 2] for of in zip(*starts, strict=True)]
    axes.plot(range(len(medians)), medians, "-", color="tab:red", label="median of the rounds")
    axes.set_xlabel("services that run already")
    axes.set_ylabel("ms until it is Active")
    axes.set_title("Start of a service (QEMU, i686, one processor)")
    axes.set_ylim(bottom=0)
    axes.legend()
    figure.tight_layout()
    figure.savefig(folder / "manager.png", dpi=110)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
