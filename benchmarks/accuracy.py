"""Prints how accurate the elementary functions of the kernels are, for every CPU target this machine can run.

``python benchmarks/accuracy.py [--json FILE] [--count N]``: the greatest error in ulp against float64 (for float32) and
long double (for float64), over all magnitudes and the special values; and the time of one element.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from graphflow_kernels.cpu import Target, host, named
from graphflow_kernels.tools import reference
from graphflow_kernels.tools.native import compile_rules


def measure(target: Target, dtype: str, count: int) -> list[dict[str, Any]]:
    """One row for each function."""
    functions = compile_rules(reference.rules(dtype), target, target.lanes(dtype), opt=3)
    rows = []
    for case in reference.CASES:
        values = reference.arguments(case, dtype, count)
        got = functions[case.name](*values)
        error, wrong = reference.errors(case, got, reference.expected(case, values))
        best = min(_seconds(functions[case.name], values) for _ in range(5))
        worst = int(np.argmax(error))
        rows.append(
            {
                "target": target.name,
                "dtype": dtype,
                "function": case.name,
                "max_ulp": round(float(error[worst]), 3),
                "at": [float(v[worst]) for v in values],
                "wrong_special_values": int(wrong.sum()),
                "ns_per_element": round(best / got.size * 1e9, 2),
            }
        )
    return rows


def _seconds(function: Any, values: tuple[np.ndarray, ...]) -> float:
    start = time.perf_counter()
    function(*values)
    return time.perf_counter() - start


def main() -> None:
    """Print the table; write it as JSON where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    parser.add_argument("--count", type=int, default=40_000, help="arguments of each kind")
    options = parser.parse_args()
    best = host()
    lesser = {"avx512": ("avx2", "sse2"), "avx2": ("sse2",)}.get(best.name, ())
    rows = []
    for target in (best, *map(named, lesser)):
        for dtype in ("float32", "float64"):
            rows += measure(target, dtype, options.count)
    print("| function | " + " | ".join(f"{t} {d}" for t, d in _columns(rows)) + " |")
    print("|---" * (1 + len(_columns(rows))) + "|")
    for case in reference.CASES:
        cells = {(r["target"], r["dtype"]): r for r in rows if r["function"] == case.name}
        text = [f"{r['max_ulp']:.2f} ulp, {r['ns_per_element']:.2f} ns" for r in (cells[c] for c in _columns(rows))]
        print(f"| {case.name} | " + " | ".join(text) + " |")
    print(f"special values that are wrong: {sum(r['wrong_special_values'] for r in rows)}")
    if options.json:
        options.json.write_text(json.dumps({"cpu": best.cpu, "rows": rows}, indent=1) + "\n")


def _columns(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((r["target"], r["dtype"]) for r in rows))


if __name__ == "__main__":
    main()
