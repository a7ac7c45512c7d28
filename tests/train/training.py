"""A training run that saves a checkpoint after each step and goes on from the latest: to be killed by the tests.

    python training.py FOLDER STEPS WORKERS [--native]

It appends "step loss" (the loss in hexadecimal) to FOLDER/log before each checkpoint, and prints "saving STEP" when it
begins to write one. With --native the step is compiled; else it runs eagerly, without native code.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import graphflow as gf
from graphflow import data, nn
from graphflow.data import transforms


class Digits(data.Dataset):
    """Noise with labels, augmented: each draw depends on the epoch and the place in it."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.images = rng.integers(0, 256, (44, 8, 8)).astype(np.uint8)
        self.labels = rng.integers(0, 4, 44)
        self.prepare = transforms.Compose([transforms.RandomCrop(8, padding=1), transforms.ToTensor()])

    def __getitem__(self, index: int) -> tuple[gf.Tensor, int]:
        return self.prepare(self.images[index]), int(self.labels[index])

    def __len__(self) -> int:
        return 44


def run(folder: Path, steps: int, workers: int, native: bool) -> list[str]:
    """Train until ``steps`` steps have been made; gives the lines of this process."""
    gf.random.seed(1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 4))
    optimizer = gf.optim.Adam(model.parameters(), lr=0.01)
    schedule = gf.optim.lr_scheduler.ExponentialLR(optimizer, 0.99)
    loader = data.DataLoader(Digits(), 8, shuffle=True, num_workers=workers, generator=3)
    ballast = gf.Variable(np.zeros(1 << 18, np.float32), trainable=False)  # so that writing takes a while
    checkpoint = gf.train.Checkpoint(
        folder, 3, model=model, optimizer=optimizer, schedule=schedule, loader=loader, ballast=ballast
    )

    def train_step(x: gf.Tensor, y: gf.Tensor) -> gf.Tensor:
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    step = gf.compile(train_step) if native else train_step
    restored = checkpoint.restore()
    number = restored.step if restored else 0
    lines = []
    while number < steps:
        for x, y in loader:
            loss = step(x, y)
            schedule.step()
            number += 1
            lines.append(f"{number} {loss.item().hex()}")
            with open(folder / "log", "a") as log:
                log.write(lines[-1] + "\n")
            print(f"saving {number}", flush=True)
            checkpoint.save(number, extra={"loss": loss.item()})
            if number == steps:
                break
    return lines


if __name__ == "__main__":
    with gf.config(native_after=-1):
        run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), "--native" in sys.argv)
