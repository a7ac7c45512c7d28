"""Profiles: the time of each kernel (or, on the interpreter, of each node) of one run, with the user's lines."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from graphflow.core.dims import bind_sizes, evaluate
from graphflow.core.errors import Origin
from graphflow.runtime.build import RUN_LOCK


class Measured(NamedTuple):
    """One step of a run: a kernel with the ops in it, or a node."""

    name: str
    ops: tuple[str, ...]
    seconds: float
    start: float  # seconds from the beginning of the run
    origins: tuple[Origin, ...]
    label: str = ""  # of the kernel, as in pictures
    nbytes: int = 0  # that it reads and writes, each buffer once

    @property
    def counted(self) -> str:
        """The ops by name, those that come several times with their number."""
        counts: dict[str, int] = {}
        for op in self.ops:
            counts[op] = counts.get(op, 0) + 1
        return " ".join(f"{op} x{n}" if n > 1 else op for op, n in counts.items())

    @property
    def lines(self) -> str:
        """The user's lines that it comes from."""
        return ", ".join(f"{os.path.basename(o.file)}:{o.line}" for o in self.origins)


class Profile:
    """What one run gave (``values``), and how long each part of it took.

    The parts run one by one, with a clock around each: that adds a few microseconds to every one of them.

    >>> with gf.Graph() as graph:
    ...     y = gf.exp(gf.placeholder((2,), name="x")) + 1
    >>> profile = gf.Session(graph).profile(y, {"x": [0.0, 0.0]})
    >>> profile.values, [entry.ops for entry in profile]
    (array([2., 2.], dtype=float32), [('exp', 'add')])
    """

    def __init__(self, values: Any, entries: Sequence[Measured], executable: Any = None) -> None:
        self.values = values
        self.entries = list(entries)
        self.executable = executable  # what ran

    def __iter__(self) -> Iterator[Measured]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def seconds(self) -> float:
        """The time of all parts together."""
        return sum(e.seconds for e in self.entries)

    def __str__(self) -> str:
        total = self.seconds or 1.0
        lines = [f"{self.seconds * 1e6:.1f} us in {len(self.entries)} parts, the slowest first"]
        for e in sorted(self.entries, key=lambda e: -e.seconds):
            share = 100 * e.seconds / total
            lines.append(
                f"{e.seconds * 1e6:10.1f} us {share:5.1f} %  {e.label or e.name:<12} {e.counted}  {e.lines}".rstrip()
            )
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from graphflow.viz.notebook import graph_html

        return graph_html(self)

    def to_chrome_trace(self, path: Any) -> None:
        """Write the run as JSON for chrome://tracing or Perfetto."""
        events = [
            {
                "name": " ".join(e.ops) or e.name,
                "cat": e.name,
                "ph": "X",
                "ts": e.start * 1e6,
                "dur": e.seconds * 1e6,
                "pid": 0,
                "tid": 0,
                "args": {"ops": list(e.ops), "lines": [str(o) for o in e.origins]},
            }
            for e in self.entries
        ]
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"traceEvents": events, "displayTimeUnit": "ms"}, file)


def profile_plan(plan: Any, values: Sequence[Any]) -> Profile:
    """Run a Session's plan once, measured."""
    arrays = plan.feeds.arrays(values)
    executable = plan.executable
    if executable is None:
        return Profile(plan.pack(*plan.outputs(arrays)), [])
    with RUN_LOCK:
        before = [v.numpy().copy() for v in plan.variables]
        outputs, times = _run(executable, arrays)
    return Profile(plan.pack(outputs, before), _entries(times, executable, arrays), executable)


def profile_trace(trace: Any, arrays: Sequence[Any], originals: Sequence[Any]) -> Profile:
    """Run a compiled function's trace once, measured."""
    executable = trace.executable
    measured = _Measuring(executable)
    trace.executable = measured
    try:
        values = trace(arrays, originals)
    finally:
        trace.executable = executable
    return Profile(values, _entries(measured.times, executable, measured.arrays), executable)


class _Measuring:
    """Stands for an executable and measures its run."""

    def __init__(self, executable: Any) -> None:
        self._executable = executable
        self.times: list[tuple[Any, float]] = []
        self.arrays: Sequence[Any] = ()

    def run(self, arrays: Sequence[Any]) -> list[Any]:
        self.arrays = arrays
        outputs, self.times = _run(self._executable, arrays)
        return outputs


def _run(executable: Any, arrays: Sequence[Any]) -> tuple[list[Any], list[tuple[Any, float]]]:
    """The outputs, and (kernel or node, seconds) in order."""
    if hasattr(executable, "profile"):
        return executable.profile(arrays)  # type: ignore[no-any-return]
    return _by_node(executable, arrays)


def _by_node(executable: Any, arrays: Sequence[Any]) -> tuple[list[Any], list[tuple[Any, float]]]:
    """Run on the interpreter, with the time of each node."""
    times: list[tuple[Any, float]] = []
    last = time.perf_counter()

    def observe(node: Any, value: Any) -> None:
        nonlocal last
        now = time.perf_counter()
        times.append((node, now - last))
        last = time.perf_counter()

    return executable.run(arrays, observe), times


def _entries(times: Sequence[tuple[Any, float]], executable: Any, arrays: Sequence[Any]) -> list[Measured]:
    sizes: dict[str, int] = {}
    for node, array in zip(executable.inputs, arrays):
        bind_sizes(node.aval.shape, array.shape, sizes)
    kernels = executable.program.kernels if hasattr(executable, "program") else ()
    labels = {id(kernel): f"{number} {kernel.kind}" for number, kernel in enumerate(kernels)}
    entries = []
    start = 0.0
    for part, seconds in times:
        nodes = getattr(part, "nodes", None) or [getattr(part, "node", part)]  # of a kernel, a host step, or itself
        name = getattr(part, "kind", None) or "node"
        origins = tuple(dict.fromkeys(n.origin for n in nodes if n.origin is not None))
        ops = tuple(n.op.name for n in nodes)
        entries.append(
            Measured(str(name), ops, seconds, start, origins, labels.get(id(part), ""), _nbytes(part, sizes))
        )
        start += seconds
    return entries


def _nbytes(part: Any, sizes: Mapping[str, int]) -> int:
    """Bytes of the buffers that a kernel reads and writes."""
    buffers = {*part.reads(), *part.writes()} if hasattr(part, "reads") else ()
    return sum(math.prod(evaluate(s, sizes) for s in b.shape) * b.dtype.itemsize for b in buffers)
