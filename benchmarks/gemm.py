"""Measures generated matrix multiplications: their share of the FMA peak, and NumPy beside them.

``python benchmarks/gemm.py [--threads 2] [--dtype float64] [--run-time-m] [--quick] [--json FILE]``. Times are CPU time
of one thread (the least of many runs), so that other work on the machine disturbs them little; with ``--threads`` also
how many times less the busiest of so many threads would have to do.
"""
# ruff: noqa: E402

from __future__ import annotations

import os

for _name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # before NumPy: one thread against one thread

import argparse
import ctypes
import itertools
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from llvmlite import ir

from graphflow_kernels.cpu import ScalarBuilder, Target, host
from graphflow_kernels.cpu.emitter import I64
from graphflow_kernels.cpu.gemm_tile import INDEPENDENT_SUMS
from graphflow_kernels.cpu.memory import POINTER
from graphflow_kernels.tools.native import Native
from graphflow_kernels.tools.products import EVERYTHING, Product

SQUARES = [(1, n, n, n) for n in (256, 512, 1024, 2048)]
WORKLOADS = [
    (1, 256, 512, 784),
    (1, 256, 10, 512),
    (1, 784, 512, 256),
    (1, 32, 128, 784),
    (64, 64, 64, 32),
    (64, 64, 32, 64),
]
SMALL = [(1, 1, 128, 784), (1, 1, 10, 128), (1, 8, 512, 784), (16, 100, 100, 100), (256, 16, 16, 16)]
LAYOUTS = ("nn", "nt", "tn", "tt")


def fma_peak(target: Target, dtype: str) -> float:
    """GFLOP/s of fused multiply-adds (or products and sums) with nothing else to do, on one thread."""
    module = ir.Module("peak")
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER, I64]), "peak")
    output, count = function.args
    entry, loop, done = (function.append_basic_block(name) for name in ("entry", "loop", "done"))
    builder = ir.IRBuilder(entry)
    b = ScalarBuilder(builder, target, target.lanes(dtype))
    sums = 3 * INDEPENDENT_SUMS if target.registers >= 32 else INDEPENDENT_SUMS + 4
    x = b.splat(b.load_element(output, 0, dtype))
    builder.branch(loop)
    builder.position_at_end(loop)
    i = builder.phi(I64)
    phis = [builder.phi(x.ir.type) for _ in range(sums)]
    new = [b.fma(x, x, b.value(phi, dtype)) for phi in phis]
    for number, (phi, value) in enumerate(zip(phis, new)):
        phi.add_incoming(b.const(float(number), dtype).ir, entry)
        phi.add_incoming(value.ir, loop)
    i.add_incoming(I64(0), entry)
    following = builder.add(i, I64(1))
    i.add_incoming(following, loop)
    builder.cbranch(builder.icmp_signed("<", following, count), loop, done)
    builder.position_at_end(done)
    b.store(sum(new[1:], new[0]), output, 0, dtype)
    builder.ret_void()
    call = Native(module, target, opt=0).function("peak", ctypes.c_void_p, ctypes.c_int64)
    memory = np.full(64, 0.5, dtype)
    rounds = 1_000_000
    flops = 2 * sums * target.lanes(dtype) * rounds
    return flops / least_time(lambda: call(memory.ctypes.data, rounds), 0.3) / 1e9


def least_time(call: Callable[[], Any], seconds: float) -> float:
    """The least CPU time of a call, in runs of a millisecond or more."""
    start = time.thread_time()
    call()
    repeat = max(1, int(1e-3 / max(time.thread_time() - start, 1e-7)))
    best, end = float("inf"), time.thread_time() + seconds
    while time.thread_time() < end:
        start = time.thread_time()
        for _ in range(repeat):
            call()
        best = min(best, (time.thread_time() - start) / repeat)
    return best


def operands(sizes: tuple[int, ...], layout: str, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """A and B, each stored as it is (n) or transposed (t)."""
    batch, m, n, k = sizes
    rng = np.random.default_rng(0)
    shapes = [(m, k), (k, n)]
    stored = [rng.normal(size=(batch, *(s[::-1] if t == "t" else s))).astype(dtype) for s, t in zip(shapes, layout)]
    a, b = (x.transpose(0, 2, 1) if t == "t" else x for x, t in zip(stored, layout))
    return a, b


def measure(
    target: Target, sizes: tuple[int, ...], layout: str, options: argparse.Namespace, peak: float
) -> dict[str, Any]:
    """One row of the table."""
    a, b = operands(sizes, layout, options.dtype)
    known = set(EVERYTHING)
    if options.run_time_m:
        # A symbolic batch: m, and the stride that is m where A is transposed.
        known -= {"m", "a_col" if layout[0] == "t" else "m"}
    start = time.process_time()
    product = Product(target, a, b, known)
    compiled = time.process_time() - start
    output, plan, call = product.prepared(a, b)
    flops = 2 * float(np.prod(sizes))
    seconds = 0.05 if options.quick else 0.3
    ours = least_time(lambda: call(0, plan.nchunks), seconds)
    reference = np.empty_like(output)
    # NumPy is quicker with matrices than with a batch of one.
    x, y, z = (v[0] if sizes[0] == 1 else v for v in (a, b, reference))
    theirs = least_time(lambda: np.matmul(x, y, out=z), seconds)
    if not np.allclose(output, reference, rtol=1e-3, atol=1e-3):
        raise AssertionError(f"wrong product for {sizes} {layout}")
    row = {"batch": sizes[0], "m": sizes[1], "n": sizes[2], "k": sizes[3], "layout": layout, "nchunks": plan.nchunks}
    row |= {"tile": list(product.gemm.tile), "compile_ms": round(compiled * 1e3, 1)}
    row |= {"gflops": round(flops / ours / 1e9, 1), "numpy_gflops": round(flops / theirs / 1e9, 1)}
    row["share_of_peak"] = round(flops / ours / 1e9 / peak, 3)
    if options.threads > 1:
        row["speedup"] = round(ours / longest_share(call, plan.nchunks, options.threads, seconds), 2)
    return row


def longest_share(call: Callable[[int, int], None], nchunks: int, threads: int, seconds: float) -> float:
    """The CPU time of the thread that has most to do, each on a core of its own."""
    cuts = [t * nchunks // threads for t in range(threads + 1)]
    return max(least_time(partial(call, *cut), seconds / threads) for cut in itertools.pairwise(cuts))


def main() -> None:
    """Print the table; write it as JSON where asked to."""
    parser = argparse.ArgumentParser(description="Generated matrix multiplications against the FMA peak and NumPy.")
    parser.add_argument("--threads", type=int, default=1, help="also measure the speedup of this many threads")
    parser.add_argument("--dtype", default="float32", choices=["float32", "float64"])
    parser.add_argument("--run-time-m", action="store_true", help="m is a number known at run time only")
    parser.add_argument("--quick", action="store_true", help="less time, and no squares above 512")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    options = parser.parse_args()
    target = host()
    peak = fma_peak(target, options.dtype)
    print(f"{target.name} ({target.cpu}), {options.dtype}: FMA peak {peak:.0f} GFLOP/s on one thread\n")
    print(
        "| batch m n k | layout | tile | GFLOP/s | of peak | NumPy | compile ms | chunks | speedup |\n"
        + "|---" * 9
        + "|"
    )
    rows = []
    squares = SQUARES[:2] if options.quick else SQUARES
    for sizes in squares + WORKLOADS + SMALL:
        for layout in LAYOUTS:
            row = measure(target, sizes, layout, options, peak)
            rows.append(row)
            name, tile = " ".join(map(str, sizes)), "x".join(map(str, row["tile"]))
            cells = [name, layout, tile, row["gflops"], f"{row['share_of_peak']:.0%}", row["numpy_gflops"]]
            cells += [row["compile_ms"], row["nchunks"], row.get("speedup", "")]
            print("| " + " | ".join(map(str, cells)) + " |", flush=True)
    if options.json:
        about = {"target": target.name, "cpu": target.cpu, "dtype": options.dtype, "peak_gflops": round(peak, 1)}
        options.json.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
