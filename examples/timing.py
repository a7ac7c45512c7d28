"""What a step takes, compiled and eager: measured in turns, so that noise hits both alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

WARM, SECONDS = 40, 0.4  # steps before the clock starts (eager code is compiled, too, when it is used often); time


def compare(**ways: Callable[[], Any]) -> dict[str, float]:
    """Print and give the median microseconds of a step of each way, as in ``compare(compiled=..., eager=...)``."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for step in ways.values():
        for _ in range(WARM):
            step()
    until = time.perf_counter() + SECONDS * len(ways)
    while time.perf_counter() < until:
        for name, step in ways.items():
            started = time.perf_counter()
            step()
            times[name].append((time.perf_counter() - started) * 1e6)
    medians = {name: float(np.median(t)) for name, t in times.items()}
    print("time per step: " + ", ".join(f"{name} {us:.0f} us" for name, us in medians.items()))
    return medians
