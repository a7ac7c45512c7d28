"""The parts of a benchmark: each asks worker processes and gives rows of plain numbers.

Processes take turns, so that what else the machine does hits all of them alike; only one works at a time. A way that
fails gets a row with an ``error`` in place of figures, and the others go on.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphflow.cli.bench.child import Child, ChildError
from graphflow.cli.bench.ways import OWN, PEERS, WAYS, cache_folders
from graphflow.cli.bench.workloads import WORKLOADS

Row = dict[str, Any]
Say = Callable[[str], None]
"""Shows what is being measured."""

SETTLE = 0.03  # seconds between two turns: threads of OpenMP and OpenBLAS spin for a while after their work


@dataclass(frozen=True)
class Settings:
    """What to measure, and for how long."""

    workloads: tuple[str, ...]
    threads: tuple[int, ...]
    peers: tuple[str, ...]
    seconds: float = 2.0  # of each way, workload and number of threads
    rounds: int = 10
    starts: int = 3  # processes started for each first call and import
    graph_sizes: tuple[int, ...] = (100, 1000, 10_000)
    batch_sizes: int = 100

    @property
    def ways(self) -> tuple[str, ...]:
        return (*OWN, *self.peers)


def limits(settings: Settings, say: Say) -> list[Row]:
    """What the machine can do at most, for each number of threads."""
    rows = []
    for threads in settings.threads:
        say(f"limits of the machine, {_threads(threads)}")
        with Child(threads) as child:
            rows.append({"threads": threads, **_figures(child.ask("limits", threads=threads))})
    return rows


# -- steps -----------------------------------------------------------------------------------------------------------
def steps(settings: Settings, say: Say) -> list[Row]:
    """The time of a step of each workload, in each way, with each number of threads."""
    rows: list[Row] = []
    for threads in settings.threads:
        with ExitStack() as stack:
            children: dict[str, Child] = {}
            broken: dict[str, str] = {}
            for way in settings.ways:
                say(f"starting {WAYS[way].title}, {_threads(threads)}")
                child = stack.enter_context(Child(threads))
                try:
                    child.ask("load", way=way, threads=threads)
                    children[way] = child
                except ChildError as error:
                    broken[way] = str(error)
            for workload in settings.workloads:
                found = _take_turns(workload, threads, children, settings, say)
                for way in settings.ways:
                    row = found.get(way) or {"error": broken[way]}
                    rows.append({"workload": workload, "way": way, "threads": threads, **row})
    _compare(rows)
    return rows


def _take_turns(
    workload: str, threads: int, children: dict[str, Child], settings: Settings, say: Say
) -> dict[str, Row]:
    """Bursts of one workload in turn, in a new order each round; a row for each way."""
    rows: dict[str, Row] = {}
    times: dict[str, list[int]] = {}
    idle: dict[str, float] = {}
    for way, child in children.items():
        say(f"{workload}: first call of {WAYS[way].title}, {_threads(threads)}")
        try:
            child.ask("build", workload=workload)
            rows[way] = {"value": child.ask("first")["value"]}
            times[way], idle[way] = [], 0.0
        except ChildError as error:
            rows[way] = {"error": str(error)}
    order = random.Random(0)
    started = time.perf_counter()
    for number in range(settings.rounds):
        say(f"{workload}: round {number + 1} of {settings.rounds}, {_threads(threads)}")
        for way in order.sample(list(times), len(times)):
            try:
                answer = children[way].ask("burst", seconds=settings.seconds / settings.rounds)
            except ChildError as error:
                rows[way] = {"error": str(error)}
                del times[way]
                continue
            times[way] += answer["ns"]
            idle[way] += answer["idle_cpu"] if number else 0.0  # the wait before the first round is for other things
            time.sleep(SETTLE)
    wall = time.perf_counter() - started
    for way, measured in times.items():
        rows[way] |= _summary(np.array(measured) / 1e3) | {"idle_cpu_share": idle[way] / wall}
    return rows


def _summary(us: np.ndarray) -> Row:
    low, middle, high = np.percentile(us, (25, 50, 75))
    return {
        "calls": len(us),
        "median_us": float(middle),
        "min_us": float(us.min()),
        "q1_us": float(low),
        "q3_us": float(high),
    }


def _compare(rows: list[Row]) -> None:
    """Add to each row its ratio to the best peer's median and to that of PyTorch's eager mode, where there are such."""
    medians = {(r["workload"], r["threads"], r["way"]): r["median_us"] for r in rows if "median_us" in r}
    for row in rows:
        if "median_us" not in row:
            continue
        place = (row["workload"], row["threads"])
        peers = {way: medians[(*place, way)] for way in PEERS if (*place, way) in medians}
        if peers:
            best = min(peers, key=peers.__getitem__)
            row |= {"best_peer": best, "over_best_peer": row["median_us"] / peers[best]}
        if "torch" in peers:
            row["over_torch_eager"] = row["median_us"] / peers["torch"]


def better(first: list[Row], second: list[Row]) -> list[Row]:
    """The larger figures of two measurements of the limits: noise only ever takes away."""
    return [{k: max(a[k], b[k]) for k in a} for a, b in zip(first, second)]


def add_shares(step_rows: Iterable[Row], limit_rows: Iterable[Row]) -> None:
    """Add to each row of `steps` its share of the machine's limit: multiply-adds, or bytes copied."""
    by_threads = {row["threads"]: row for row in limit_rows}
    for row in step_rows:
        limit = by_threads.get(row["threads"])
        if limit is None or "median_us" not in row:
            continue
        workload = WORKLOADS[row["workload"]]
        if workload.bytes:
            row |= {"limit": "copy", "share": workload.bytes / row["median_us"] / 1e3 / limit["copy_gbs"]}
        else:
            row |= {"limit": "fma", "share": workload.flops / row["median_us"] / 1e3 / limit["fma_gflops"]}


# -- starts ----------------------------------------------------------------------------------------------------------
def starts(settings: Settings, say: Say) -> list[Row]:
    """First calls with an empty cache on disk and with a filled one, each in a new process; the memory of a step."""
    threads = max(settings.threads)
    samples: dict[tuple[str, str], list[Row]] = {}
    failed: dict[tuple[str, str], str] = {}
    places = [(workload, way) for workload in settings.workloads for way in settings.ways]
    for number in range(settings.starts):
        for workload, way in places:
            if (workload, way) in failed or (number and way == "torch-compile"):  # half a minute each
                continue
            say(f"{workload}: starts of {WAYS[way].title}, {number + 1} of {settings.starts}")
            try:
                samples.setdefault((workload, way), []).append(_start(workload, way, threads))
            except ChildError as error:
                failed[workload, way] = str(error)
    rows = []
    for workload, way in places:
        figures = {"error": failed[workload, way]} if (workload, way) in failed else _medians(samples[workload, way])
        rows.append({"workload": workload, "way": way, "threads": threads, **figures})
    return rows


def _start(workload: str, way: str, threads: int) -> Row:
    """One cold and one warm start, and a third process for the memory."""
    with tempfile.TemporaryDirectory() as folder:
        row: Row = {}
        for kind in ("cold", "warm"):
            with Child(threads, cache_folders(folder)) as child:
                child.ask("load", way=way, threads=threads)
                built = child.ask("build", workload=workload)
                first = child.ask("first")
            row |= {f"{kind}_build_s": built["seconds"], f"{kind}_first_s": first["seconds"]}
            if WAYS[way].family == "graphflow":
                row |= {f"{kind}_numba": first["numba"], f"{kind}_kernels_compiled": first["compiled"]}
        with Child(threads, cache_folders(folder)) as child:
            child.ask("load", way=way, threads=threads)
            memory = child.ask("peak", workload=workload)
        row |= {"rss_bytes": memory["rss"], "rss_exact": memory["exact"], "temporary_bytes": memory["temporary"]}
        return row


def _medians(rows: Sequence[Row]) -> Row:
    """The median of each figure; the first row's word on what is no number."""
    numbers = {k for k, v in rows[0].items() if isinstance(v, (int, float)) and not isinstance(v, bool)}
    return {k: float(np.median([r[k] for r in rows])) if k in numbers else v for k, v in rows[0].items()}


def imports(settings: Settings, say: Say) -> list[Row]:
    """Seconds that ``import`` takes in a new process, the files in the system's cache."""
    modules = ["numpy", "graphflow", *dict.fromkeys(WAYS[peer].module for peer in settings.peers)]
    seconds: dict[str, list[float]] = {module: [] for module in modules}
    for number in range(-1, max(settings.starts, 5)):
        say(f"imports, {number + 1} of {max(settings.starts, 5)}")
        for module in modules:
            code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
            done = subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, env=Child.environment(1)
            )
            if done.returncode == 0 and number >= 0:  # the first reads the files from disk
                seconds[module].append(float(done.stdout.split()[-1]))
    return [{"module": m, "seconds": float(np.median(s)) if s else None} for m, s in seconds.items()]


# -- GraphFlow alone -------------------------------------------------------------------------------------------------
def growth(settings: Settings, say: Say) -> list[Row]:
    """Compile time against graph size, with an empty cache."""
    rows = []
    for kind in ("chain", "layers"):
        for nodes in settings.graph_sizes:
            say(f"compiling {kind} of {nodes} operations")
            with tempfile.TemporaryDirectory() as folder, Child(max(settings.threads), cache_folders(folder)) as child:
                rows.append({"graph": kind, "nodes": nodes, **_try(child, "growth", kind=kind, nodes=nodes)})
    return rows


def batches(settings: Settings, say: Say) -> list[Row]:
    """Traces and compilations of one step for many batch sizes."""
    say(f"batch sizes 1 to {settings.batch_sizes}")
    with Child(max(settings.threads)) as child:
        return [_try(child, "batches", count=settings.batch_sizes)]


def session(settings: Settings, say: Say) -> list[Row]:
    """The overhead of running next to nothing."""
    rows = []
    for threads in settings.threads:
        say(f"Session.run of x + 1, {_threads(threads)}")
        with Child(threads) as child:
            rows.append({"threads": threads, **_try(child, "session", seconds=settings.seconds / 4)})
    return rows


def _try(child: Child, do: str, **arguments: Any) -> Row:
    try:
        return _figures(child.ask(do, **arguments))
    except ChildError as error:
        return {"error": str(error)}


def _figures(answer: Row) -> Row:
    return {k: v for k, v in answer.items() if k != "idle_cpu"}


def _threads(count: int) -> str:
    return f"{count} thread{'s' * (count > 1)}"


PARTS: dict[str, Callable[[Settings, Say], list[Row]]] = {
    "limits": limits,
    "steps": steps,
    "starts": starts,
    "imports": imports,
    "growth": growth,
    "batches": batches,
    "session": session,
}


def different_results(rows: Iterable[Row]) -> list[str]:
    """Where the first steps of two frameworks gave different results: then they did not do the same work."""
    problems: list[str] = []
    seen: dict[str, tuple[float, str]] = {}
    for row in rows:
        if "value" not in row:
            continue
        value, name = row["value"], WAYS[row["way"]].title
        first, first_name = seen.setdefault(row["workload"], (value, name))
        if not abs(value - first) <= 1e-3 * max(abs(first), 1e-3):
            problems.append(
                f"{row['workload']}: the first step gives {value:.6g} in {name}, {first:.6g} in {first_name}"
            )
    return problems
