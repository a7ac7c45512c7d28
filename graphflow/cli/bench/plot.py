"""The times of the steps as a picture."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from graphflow.cli.bench.ways import WAYS
from graphflow.cli.errors import UsageError

FORMATS = (".svg", ".png", ".pdf")
_COLOURS = {
    "static": "#d95f02",
    "eager": "#fdb462",
    "torch": "#1b6ca8",
    "torch-compile": "#7fb3d5",
    "jax": "#4d9221",
    "tf": "#999999",
}


def check(path: str) -> None:
    """Raise UsageError if no picture can be written there: before an hour of measuring, not after it."""
    if not path.endswith(FORMATS):
        raise UsageError(f"--plot writes {', '.join(FORMATS)}; {path!r} is none of them")
    if find_spec("matplotlib") is None:
        raise UsageError("--plot needs matplotlib, which is not installed: pip install 'graphflow[bench]'")


def plot(results: dict[str, Any], path: str) -> None:
    """Bars: each workload's medians over the best peer's (or GraphFlow's static one); a row for each thread count.

    Lines through the bars' ends span the quartiles.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows = [r for r in results["steps"] if "median_us" in r]
    threads = list(dict.fromkeys(r["threads"] for r in rows))
    figure, axes = plt.subplots(len(threads), 1, figsize=(9, 3.2 * len(threads)), squeeze=False, layout="constrained")
    for axis, count in zip(axes[:, 0], threads):
        _bars(axis, [r for r in rows if r["threads"] == count])
        axis.set_title(f"{count} thread{'s' * (count > 1)}", loc="left")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize="small")
    unit = "the best peer's" if any("over_best_peer" in r for r in rows) else "the static one's"
    figure.suptitle(f"Time of a step over {unit}, lower is better ({results['machine']['cpu']})", fontsize="medium")
    figure.savefig(path)
    plt.close(figure)


def _bars(axis: Any, rows: list[dict[str, Any]]) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    workloads = list(dict.fromkeys(r["workload"] for r in rows))
    ways = list(dict.fromkeys(r["way"] for r in rows))
    width = 0.8 / len(ways)
    for number, way in enumerate(ways):
        mine = [r for r in rows if r["way"] == way]
        units = [_unit(r, rows) for r in mine]
        heights = [r["median_us"] / u for r, u in zip(mine, units)]
        low = [(r["median_us"] - r["q1_us"]) / u for r, u in zip(mine, units)]
        high = [(r["q3_us"] - r["median_us"]) / u for r, u in zip(mine, units)]
        places = [workloads.index(r["workload"]) + (number - (len(ways) - 1) / 2) * width for r in mine]
        label, colour = WAYS[way].title, _COLOURS.get(way)
        bars = axis.bar(places, heights, width, yerr=[low, high], label=label, color=colour, ecolor="#444444")
        axis.bar_label(bars, [f"{h:.2f}" for h in heights], fontsize="x-small", padding=2)
    axis.axhline(1.0, color="#444444", linewidth=0.8, linestyle=":")
    axis.set_xticks(range(len(workloads)), workloads)
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_locator(NullLocator())
    axis.margins(y=0.15)
    axis.spines[["top", "right"]].set_visible(False)


def _unit(row: dict[str, Any], rows: list[dict[str, Any]]) -> float:
    """The time that a row is drawn in units of."""
    same = {r["way"]: r["median_us"] for r in rows if r["workload"] == row["workload"]}
    peers = [median for way, median in same.items() if WAYS[way].family != "graphflow"]
    return float(min(peers) if peers else same.get("static", row["median_us"]))
