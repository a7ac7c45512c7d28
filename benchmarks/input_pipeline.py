"""Prints how busy the input pipeline keeps the compiled training step of LeNet, and what limits it.

``python benchmarks/input_pipeline.py [--seconds S] [--batch N] [--json FILE]``: the digits as MNIST files, augmented
(crop, affine, normalise), read by a DataLoader with 0, 1 and 2 workers, for a step on one thread and on all CPUs.
A step is busy while the program runs; the rest of the time it waits for its batch. The limit is what the CPUs could do
at best if step and workers, at the speed that each has alone on one CPU, shared them without a loss.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import graphflow as gf
from graphflow import data, datasets, nn
from graphflow.data import transforms as T
from graphflow.runtime.gang import get_num_threads, set_num_threads

PIPELINES: dict[str, Callable[[], Any]] = {
    "normalise": lambda: T.Compose([T.ToTensor(), T.Normalize((0.1307,), (0.3081,))]),
    "crop": lambda: T.Compose([T.RandomCrop(28, padding=2), T.ToTensor(), T.Normalize((0.1307,), (0.3081,))]),
    "affine": lambda: T.Compose(
        [T.RandomAffine(10, (0.1, 0.1), (0.9, 1.1)), T.ToTensor(), T.Normalize((0.1307,), (0.3081,))]
    ),
}


def make_step() -> Callable[[Any, Any], Any]:
    gf.random.seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
    )
    optimizer = gf.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    @gf.compile
    def train_step(x: gf.Tensor, y: gf.Tensor) -> gf.Tensor:
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return train_step


def endless(loader: data.DataLoader) -> Iterator[Any]:
    while True:
        yield from loader


def measure(step: Callable[[Any, Any], Any], loader: data.DataLoader, seconds: float) -> dict[str, float]:
    """Batches in a while, after some to warm up: how long the step ran, and how long it waited."""
    batches = endless(loader)
    for _ in range(8):
        step(*next(batches))
    busy, count, started = 0.0, 0, time.perf_counter()
    while (now := time.perf_counter()) - started < seconds:
        x, y = next(batches)
        before = time.perf_counter()
        step(x, y)
        busy += time.perf_counter() - before
        count += 1
    return {"busy": busy / (now - started), "step_us": busy / count * 1e6, "batches_per_s": count / (now - started)}


def median_us(function: Callable[[], Any], count: int = 60) -> float:
    """Microseconds of a call."""
    times = []
    for _ in range(count):
        before = time.perf_counter()
        function()
        times.append(time.perf_counter() - before)
    return sorted(times)[count // 2] * 1e6


def limit(step_us: float, loader_us: float, workers: int, threads: int) -> float:
    """Batches per second: as many as all CPUs have time for, as fast as the step is, as fast as the workers are."""
    if not workers:
        return 1e6 / (step_us / threads + loader_us)
    total = get_num_threads() * 1e6 / (step_us + loader_us)
    return min(total, threads * 1e6 / step_us, workers * 1e6 / loader_us)


def rows(batch: int, seconds: float, pipelines: list[str]) -> Iterator[dict[str, Any]]:
    folder = datasets.digits_as_mnist(tempfile.mkdtemp())
    for name in pipelines:
        digits = datasets.MNIST(folder, transform=PIPELINES[name]())
        batches = endless(data.DataLoader(digits, batch, shuffle=True, drop_last=True))
        loader_us = median_us(lambda: next(batches))  # noqa: B023 - called at once
        step_us = _alone(make_step(), batch, 1)
        for workers in (0, 1, 2):
            options = {"persistent_workers": True, "prefetch_factor": 4} if workers else {}
            order = data.RandomSampler(digits, num_samples=60_000, generator=0)  # an epoch as long as MNIST's
            loader = data.DataLoader(digits, batch, sampler=order, num_workers=workers, drop_last=True, **options)
            for threads in sorted({1, get_num_threads()}):
                set_num_threads(threads)
                step = make_step()
                found = measure(step, loader, seconds)
                set_num_threads(None)
                yield {
                    **{"pipeline": name, "workers": workers, "threads": threads},
                    **{"loader_us": loader_us, "step_alone_us": _alone(step, batch, threads), **found},
                    "limit": limit(step_us, loader_us, workers, threads),
                }


def _alone(step: Callable[[Any, Any], Any], batch: int, threads: int) -> float:
    """Microseconds of the step when nothing else runs."""
    x, y = np.zeros((batch, 1, 28, 28), np.float32), np.zeros(batch, np.int64)
    set_num_threads(threads)
    found = median_us(lambda: step(x, y))
    set_num_threads(None)
    return found


def main() -> None:
    """Print the table; write it as JSON where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each case is measured")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--pipelines", nargs="+", default=list(PIPELINES), choices=list(PIPELINES))
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    options = parser.parse_args()
    print(f"{os.cpu_count()} CPUs, batches of {options.batch}")
    print(
        "| pipeline | workers | threads of the step | loader alone | step alone | step | batches per s | limit "
        "| step busy |\n|---|---|---|---|---|---|---|---|---|"
    )
    found = []
    for row in rows(options.batch, options.seconds, options.pipelines):
        found.append(row)
        print(
            f"| {row['pipeline']} | {row['workers']} | {row['threads']} | {row['loader_us']:.0f} us "
            f"| {row['step_alone_us']:.0f} us | {row['step_us']:.0f} us | {row['batches_per_s']:.0f} "
            f"| {row['limit']:.0f} | {row['busy']:.0%} |",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps({"cpus": os.cpu_count(), "batch": options.batch, "rows": found}, indent=1))


if __name__ == "__main__":
    main()
