"""``graphflow bench``: GraphFlow's static and eager modes beside each other and beside other frameworks."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from graphflow.cli.errors import UsageError

DESCRIPTION = """\
Run the workloads statically (gf.compile) and eagerly, and in the installed peers. Each way and number of threads has a
process of its own; they take turns in short bursts, so that noise hits all alike. Reports medians, spread, ratios to
the best peer and the share of the machine's limits; first calls, memory, compile times and overheads."""

_FILE_WIDTH = 120  # columns of tables that are not printed to a terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``graphflow bench``."""
    parser.description = DESCRIPTION
    parser.add_argument("--workloads", metavar="LIST", help="comma-separated; all by default")
    parser.add_argument(
        "--threads", metavar="LIST", help="numbers of threads, comma-separated; 1 and all CPUs by default"
    )
    parser.add_argument("--peers", metavar="LIST", default="auto", help="torch, torch-compile, jax, tf, auto or none")
    parser.add_argument(
        "--parts", metavar="LIST", help="limits, steps, starts, imports, growth, batches, session; all by default"
    )
    parser.add_argument("--seconds", type=float, default=None, help="of each way, workload and number of threads (2)")
    parser.add_argument("--quick", action="store_true", help="a rough look in a fraction of the time")
    parser.add_argument("--note", metavar="TEXT", default="", help="what to remember about this run")
    parser.add_argument("--json", metavar="FILE", help="write all figures")
    parser.add_argument("--markdown", metavar="FILE", help="write the tables")
    parser.add_argument("--plot", metavar="FILE", help="write a picture of the steps (.svg or .png; needs matplotlib)")


def run(options: argparse.Namespace) -> int:
    """Measure, print, write. 1 if GraphFlow failed somewhere or frameworks computed different things."""
    from rich.console import Console

    from graphflow.cli.bench import plot, report

    settings, parts = choose(options)
    outputs = [path for path in (options.json, options.markdown, options.plot) if path]
    for path in outputs:
        if not Path(path).parent.is_dir():
            raise UsageError(f"there is no folder {str(Path(path).parent)!r} to write {Path(path).name} into")
    if options.plot:
        plot.check(options.plot)
    results = measure(settings, parts, Console(stderr=True), options.note)
    console = Console()
    if not console.is_terminal:
        console = Console(width=_FILE_WIDTH)
    report.show(results, console)
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if options.markdown:
        Path(options.markdown).write_text(report.markdown(results), encoding="utf-8")
    if options.plot and results.get("steps"):
        plot.plot(results, options.plot)
    return 1 if results["problems"] else 0


def choose(options: argparse.Namespace) -> tuple[Any, list[str]]:
    """What the options ask for: Settings and the names of the parts. Raises UsageError, naming what there is."""
    from graphflow.cli.bench.parts import PARTS, Settings
    from graphflow.cli.bench.ways import choose_peers
    from graphflow.cli.bench.workloads import WORKLOADS
    from graphflow.codegen.host import num_cpus

    peers = choose_peers(_names(options.peers))
    threads = [_count(text) for text in _names(options.threads)] or sorted({1, num_cpus()})
    workloads = _known("workload", _names(options.workloads), WORKLOADS)
    parts = _known("part", _names(options.parts), PARTS)
    quick = options.quick
    seconds = options.seconds if options.seconds is not None else (0.3 if quick else 2.0)
    if not 0 < seconds <= 3600:
        raise UsageError(f"--seconds is a number above 0 and up to 3600, got {seconds:g}")
    return (
        Settings(
            workloads=tuple(workloads),
            threads=tuple(threads),
            peers=tuple(peers),
            seconds=seconds,
            rounds=3 if quick else 10,
            starts=1 if quick else 3,
            graph_sizes=(100, 1000) if quick else (100, 1000, 10_000),
            batch_sizes=10 if quick else 100,
        ),
        parts,
    )


def measure(settings: Any, parts: list[str], console: Any, note: str = "") -> dict[str, Any]:
    """All figures of the chosen parts, with the machine, the settings, the date and what went wrong."""
    from dataclasses import asdict

    from graphflow.cli import machine
    from graphflow.cli.bench.parts import PARTS, add_shares, better, different_results

    results: dict[str, Any] = {
        "format": 1,
        "date": time.strftime("%Y-%m-%d %H:%M:%S%z"),
        "note": note,
        "machine": machine.describe(),
        "settings": asdict(settings),
    }
    bystanders = machine.Bystanders()
    with console.status("") as status:
        say = lambda text: status.update(f"[dim]{text}")
        for part in parts:
            results[part] = PARTS[part](settings, say)
        if "limits" in parts:
            results["limits"] = better(results["limits"], PARTS["limits"](settings, say))
    results["others_cpu_share"] = bystanders.share()
    add_shares(results.get("steps", ()), results.get("limits", ()))
    ours = [(part, row) for part in parts for row in results[part] if row.get("way") in (None, "static", "eager")]
    failed = [f"{part} {_place(row)}: {row['error']}" for part, row in ours if "error" in row]
    results["problems"] = failed + different_results(results.get("steps", ()))
    return results


def _place(row: dict[str, Any]) -> str:
    return " ".join(f"{k} {row[k]}" for k in ("workload", "way", "threads", "graph", "nodes") if k in row)


def _names(text: str | None) -> list[str]:
    return list(dict.fromkeys(name.strip() for name in (text or "").split(",") if name.strip()))


def _known(kind: str, names: list[str], known: Any) -> list[str]:
    """The names, or all known ones if there are none."""
    for name in names:
        if name not in known:
            raise UsageError(f"no {kind} {name!r}; there are: {', '.join(known)}")
    return names or list(known)


def _count(text: str) -> int:
    from graphflow.runtime.gang import MAXIMUM_THREADS

    if not text.isdecimal() or not 1 <= int(text) <= MAXIMUM_THREADS:
        raise UsageError(f"--threads takes numbers of 1 to {MAXIMUM_THREADS}, got {text!r}")
    return int(text)
