"""A worker process: imports one framework and does what the parent asks, a line of JSON each way.

    {"do": "build", "workload": "mlp_s"}  ->  {"seconds": 0.01}

Between questions it waits for the next line and uses no CPU, unless the framework's own threads do: each answer says
how much they used (``idle_cpu``). ``ACTIONS`` lists the questions.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from graphflow.cli.bench import memory, probes
from graphflow.cli.bench.ways import WAYS
from graphflow.cli.bench.workloads import WORKLOADS
from graphflow.cli.bench.workloads.mlp import PRIMER

WARM = 0.1  # the share of a burst's time that is not recorded: the others have used the caches meanwhile
MOST = 20_000  # calls recorded in a burst
PRIMED = 12  # steps before memory is measured: by then every way has loaded what it computes with, eager ones, too

state = SimpleNamespace(way=None, compile=None, compiled=[], step=None)


def load(way: str, threads: int) -> dict[str, Any]:
    """Import a framework."""
    started = time.perf_counter()
    state.way = WAYS[way]
    version, state.compile = state.way.load(threads)
    return {"seconds": time.perf_counter() - started, "version": version}


def build(workload: str) -> dict[str, Any]:
    """Make a workload's model and step; the one before is dropped."""
    state.step, state.compiled = None, []
    record = PRIMER if workload == PRIMER.name else WORKLOADS[workload]
    data = record.data()
    started = time.perf_counter()
    state.step = record.build[state.way.family](data, _compile)
    return {"seconds": time.perf_counter() - started}


def _compile(*args: Any, **options: Any) -> Any:
    """The framework's compiler; what it gives is kept, to be asked about later."""
    state.compiled.append(state.compile(*args, **options))
    return state.compiled[-1]


def first() -> dict[str, Any]:
    """The first call of a step, compilation included; the mean of its result, to compare with the others'."""
    started = time.perf_counter()
    result = state.step()
    seconds = time.perf_counter() - started
    jit = sys.modules.get("graphflow.codegen.jit")
    return {
        "seconds": seconds,
        "value": _mean(result),
        "numba": "numba" in sys.modules,
        "compiled": getattr(jit, "compiled", 0),
    }


def burst(seconds: float) -> dict[str, Any]:
    """Call the step for a while; the nanoseconds that each call took, the first few left out."""
    step, clock = state.step, time.perf_counter_ns
    begun = clock()
    while True:
        step()
        if clock() - begun >= WARM * seconds * 1e9:
            break
    times: list[int] = []
    end = begun + int(seconds * 1e9)
    now = clock()
    while len(times) < MOST:
        step()
        after = clock()
        times.append(after - now)
        now = clock()
        if now >= end:
            break
    return {"ns": times}


def peak(workload: str, steps: int = 5) -> dict[str, Any]:
    """The memory of a workload, from its data to its fifth step; GraphFlow also says what its program asks for."""
    if state.way.family == "graphflow":
        import llvmlite.binding  # noqa: F401 - some programs need it, as others need what PyTorch loads when imported
    build(PRIMER.name)
    for _ in range(PRIMED):
        state.step()
    state.step, state.compiled = None, []
    memory.give_back()
    before = memory.resident_bytes()
    exact = memory.reset_peak()
    build(workload)
    for _ in range(steps):
        state.step()
    grown = max(0, memory.peak_bytes() - before)
    return {"rss": grown, "exact": exact, "temporary": probes.temporary_bytes(state.compiled)}


def _mean(result: Any) -> float:
    """The mean of a step's result, whatever framework it comes from."""
    if hasattr(result, "detach"):
        result = result.detach()
    return float(np.mean(np.asarray(result), dtype=np.float64))


ACTIONS: dict[str, Callable[..., dict[str, Any]]] = {
    "load": load,
    "build": build,
    "first": first,
    "burst": burst,
    "peak": peak,
    "limits": probes.limits,
    "growth": probes.growth,
    "batches": probes.batches,
    "session": probes.session,
}


def main() -> None:
    """Answer questions until there are no more."""
    # Frameworks print what they like: to the log, not among the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    used = time.process_time()
    for line in sys.stdin:
        idle = time.process_time() - used
        question = json.loads(line)
        try:
            answer = ACTIONS[question.pop("do")](**question)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
            _log(error)
        answers.write(json.dumps({**answer, "idle_cpu": idle}) + "\n")
        answers.flush()
        used = time.process_time()


def _log(error: Exception) -> None:
    import traceback

    traceback.print_exception(type(error), error, error.__traceback__)


if __name__ == "__main__":
    main()
