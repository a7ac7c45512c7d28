"""Matrix products by wall clock through the public API, beside NumPy, PyTorch and JAX where these are installed.

``python benchmarks/products.py [--threads 1 2] [--seconds 0.3] [--json FILE]``. Each library and number of threads has
a process of its own, on as many CPUs: idle threads of one library would take the CPU from another. The least time
counts. GraphFlow's product is a compiled function (static sizes) that takes and gives tensors; JAX's is jitted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SQUARES = [(1, n, n, n) for n in (64, 128, 256, 512, 1024, 2048)]
WORKLOADS = [(1, 256, 512, 784), (1, 256, 10, 512), (1, 32, 128, 784), (1, 32, 10, 128)]
SMALL = [(1, 1, 128, 784), (1, 1, 10, 128), (1, 8, 512, 784), (64, 64, 64, 32), (16, 100, 100, 100), (256, 16, 16, 16)]
TRANSPOSED = [(1, 256, 512, 784, "nt"), (1, 256, 512, 784, "tn"), (1, 256, 512, 784, "tt")]
LIBRARIES = ("GraphFlow", "NumPy", "PyTorch", "JAX")
SHAPES = [(*shape, "nn") for shape in SQUARES + WORKLOADS] + TRANSPOSED + [(*shape, "nn") for shape in SMALL]


def libraries(threads: int) -> dict[str, Callable[..., Callable[[], Any]]]:
    """For each library a function from the operands (as stored) and their transposition to the call to be timed."""
    import numpy as np

    import graphflow as gf

    def turned(x: Any, flag: str) -> Any:
        return x.swapaxes(-1, -2) if flag == "t" else x

    def ours(a: Any, b: Any, layout: str) -> Callable[[], Any]:
        def product(x: Any, y: Any) -> Any:
            x = gf.matrix_transpose(x) if layout[0] == "t" else x
            return x @ (gf.matrix_transpose(y) if layout[1] == "t" else y)

        f = gf.compile(product, dynamic=False)
        x, y = gf.asarray(a), gf.asarray(b)
        return lambda: f(x, y)

    def numpy(a: Any, b: Any, layout: str) -> Callable[[], Any]:
        x, y = turned(a, layout[0]), turned(b, layout[1])
        return lambda: np.matmul(x, y)

    found: dict[str, Callable[..., Callable[[], Any]]] = {"GraphFlow": ours, "NumPy": numpy}
    try:
        import torch

        torch.set_num_threads(threads)

        def pytorch(a: Any, b: Any, layout: str) -> Callable[[], Any]:
            x, y = turned(torch.from_numpy(a), layout[0]), turned(torch.from_numpy(b), layout[1])
            return lambda: torch.matmul(x, y)

        found["PyTorch"] = pytorch
    except ImportError:
        pass
    try:
        import jax
        import jax.numpy as jnp

        def with_jax(a: Any, b: Any, layout: str) -> Callable[[], Any]:
            f = jax.jit(lambda x, y: jnp.matmul(turned(x, layout[0]), turned(y, layout[1])))
            x, y = jnp.asarray(a), jnp.asarray(b)
            return lambda: f(x, y).block_until_ready()

        found["JAX"] = with_jax
    except ImportError:
        pass
    return found


def least(call: Callable[[], Any], seconds: float) -> float:
    """Microseconds of the quickest of many calls."""
    best = float("inf")
    call()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        started = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - started)
    return 1e6 * best


def measure(library: str, threads: int, seconds: float) -> list[float]:
    """Microseconds of each shape; nothing where the library is not installed."""
    import numpy as np

    make = libraries(threads).get(library)
    if make is None:
        return []
    times = []
    rng = np.random.default_rng(0)
    for batch, m, n, k, layout in SHAPES:
        first = (k, m) if layout[0] == "t" else (m, k)
        second = (n, k) if layout[1] == "t" else (k, n)
        lead = () if batch == 1 else (batch,)
        a, b = (rng.normal(size=lead + shape).astype(np.float32) for shape in (first, second))
        times.append(least(make(a, b, layout), seconds))
    return times


def table(rows: list[dict[str, Any]]) -> str:
    names = list(rows[0]["microseconds"])
    lines = [f"{'batch  m x n x k':24}{'threads':>8}" + "".join(f"{n:>12}" for n in names) + "   GFLOP/s  / best other"]
    for row in rows:
        batch, m, n, k = row["shape"]
        times = row["microseconds"]
        other = min((t for name, t in times.items() if name != "GraphFlow"), default=float("nan"))
        gflops = 2e-3 * batch * m * n * k / times["GraphFlow"]
        name = f"{batch}  {m}x{n}x{k} {row['layout']}"
        lines.append(
            f"{name:24}{row['threads']:>8}"
            + "".join(f"{times[library]:>12.1f}" for library in names)
            + f"{gflops:>10.1f}{times['GraphFlow'] / other:>10.2f}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=0.3, help="for each library and shape")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--library", help=argparse.SUPPRESS)  # the process for one of them
    arguments = parser.parse_args()
    if arguments.library:
        json.dump(measure(arguments.library, arguments.threads[0], arguments.seconds), sys.stdout)
        return
    rows: list[dict[str, Any]] = []
    for count in arguments.threads:
        new = [{"shape": s[:4], "layout": s[4], "threads": count, "microseconds": {}} for s in SHAPES]
        for library in LIBRARIES:
            for row, time_taken in zip(new, in_process(library, count, arguments.seconds)):
                row["microseconds"][library] = time_taken
        rows += new
    print(table(rows))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


def in_process(library: str, count: int, seconds: float) -> list[float]:
    """What `measure` gives in a process with so many threads, on as many CPUs."""
    environment = {**os.environ, "GRAPHFLOW_NUM_THREADS": str(count)}
    environment |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(count))
    pin = None
    if hasattr(os, "sched_setaffinity"):
        cpus = sorted(os.sched_getaffinity(0))[-count:]  # JAX takes as many threads as it has CPUs
        pin = lambda: os.sched_setaffinity(0, cpus)
    command = [sys.executable, __file__, "--library", library, "--threads", str(count), "--seconds", str(seconds)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, preexec_fn=pin)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


if __name__ == "__main__":
    main()
