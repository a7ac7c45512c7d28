"""What only GraphFlow is asked: compile time against size, batch sizes, the Session's overhead, the machine's limits.

Runs in a worker process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from graphflow.cli import machine


def limits(threads: int) -> dict[str, Any]:
    """The machine's limits with so many threads."""
    return {"fma_gflops": machine.fma_gflops(threads), "copy_gbs": machine.copy_gbs(threads)}


# -- compile time against size ---------------------------------------------------------------------------------------
def _chain(nodes: int) -> Callable[..., Any]:
    """So many elementwise operations, one after the other."""
    import graphflow as gf

    steps = (lambda h, x: h * x, lambda h, x: h + x, lambda h, x: gf.tanh(h), lambda h, x: gf.maximum(h, x))

    def function(x: Any) -> Any:
        h = x
        for i in range(nodes):
            h = steps[i % len(steps)](h, x)
        return h

    return function


def _layers(nodes: int) -> Callable[..., Any]:
    """So many operations in layers of a product, a bias and a ReLU, that share one weight."""
    import graphflow as gf

    weight, bias = gf.Variable(np.eye(32, dtype=np.float32)), gf.Variable(np.zeros(32, np.float32))
    steps = (lambda h: h @ weight, lambda h: h + bias, gf.relu)

    def function(x: Any) -> Any:
        h = x
        for i in range(nodes):
            h = steps[i % len(steps)](h)
        return h

    return function


GRAPHS: dict[str, Callable[[int], Callable[..., Any]]] = {"chain": _chain, "layers": _layers}


def growth(kind: str, nodes: int) -> dict[str, Any]:
    """Seconds from the first call of a compiled function of so many operations to its result."""
    import graphflow as gf

    function = gf.compile(GRAPHS[kind](nodes))
    x = gf.ones((16, 32))
    started = time.perf_counter()
    function(x)
    seconds = time.perf_counter() - started
    event = function.cache_info().events[0]
    return {"seconds": seconds, "trace_seconds": event.trace_seconds, "compile_seconds": event.compile_seconds}


# -- batch sizes -----------------------------------------------------------------------------------------------------
def batches(count: int) -> dict[str, Any]:
    """What `count` batch sizes cost one compiled training step: traces, compilations, and the time of a new size."""
    import graphflow as gf
    from graphflow.nn import functional as F

    model = gf.nn.Sequential(gf.nn.Linear(784, 128), gf.nn.ReLU(), gf.nn.Linear(128, 10))
    optimizer = gf.optim.SGD(model.parameters(), lr=0.01)

    @gf.compile
    def step(x: gf.Tensor, y: gf.Tensor) -> gf.Tensor:
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    seconds = []
    for batch in range(1, count + 1):
        x, y = gf.zeros((batch, 784)), gf.zeros((batch,), dtype=gf.int64)
        started = time.perf_counter()
        step(x, y)
        seconds.append(time.perf_counter() - started)
    info = step.cache_info()
    return {
        "sizes": count,
        "traces": info.traces,
        "compiles": info.compiles,
        "first_seconds": seconds[0],
        "new_size_us": float(np.median(seconds[1:])) * 1e6 if count > 1 else None,
    }


# -- overhead --------------------------------------------------------------------------------------------------------
def session(seconds: float) -> dict[str, Any]:
    """Microseconds of ``x + 1`` on a scalar, fed and fetched: Session.run, make_callable, a compiled function."""
    import graphflow as gf

    with gf.Graph() as graph:
        x = gf.placeholder((), name="x")
        y = x + 1
    compiled = gf.compile(lambda x: x + 1)
    one, tensor = np.float32(1), gf.asarray(1.0)
    with gf.Session(graph) as sess:
        call = sess.make_callable(y, [x])
        ways: dict[str, Callable[[], Any]] = {
            "session_us": lambda: sess.run(y, {x: one}),
            "callable_us": lambda: call(one),
            "compiled_us": lambda: compiled(tensor),
        }
        return {name: _median(run, seconds) for name, run in ways.items()}


def _median(run: Callable[[], Any], seconds: float) -> float:
    """The median of a call's microseconds."""
    clock = time.perf_counter_ns
    for _ in range(10):
        run()
    times: list[int] = []
    end = clock() + int(seconds * 1e9)
    while len(times) < 10 or clock() < end:
        started = clock()
        run()
        times.append(clock() - started)
    return float(np.median(times)) / 1e3


def temporary_bytes(compiled: Iterable[Any]) -> int | None:
    """The bytes of temporary memory that the programs of compiled functions use at most; None if there are none."""
    executables = [trace.executable for function in compiled for trace in getattr(function, "_traces", ())]
    return max((e.peak_bytes for e in executables), default=None)
