"""S10. A GRU that goes on with a wave: it reads 32 values and says the next, then its own words are read back.

python examples/s10_gru.py [--epochs 12] [--out examples/out]
"""

from __future__ import annotations

import argparse
import pathlib
from importlib.util import find_spec
from typing import Any

import numpy as np
from timing import compare

import graphflow as gf
from graphflow import nn

WINDOW, AHEAD = 32, 20


class Forecaster(nn.Module):
    def __init__(self, units: int = 24) -> None:
        super().__init__()
        self.gru = nn.GRU(1, units, batch_first=True)
        self.head = nn.Linear(units, 1)

    def forward(self, x: Any) -> Any:
        out, _ = self.gru(x)
        return self.head(out[:, -1])


def make_wave(count: int) -> np.ndarray:
    """Two waves over each other, with a little noise."""
    t = np.arange(count)
    noise = np.random.default_rng(0).normal(0, 0.02, count)
    return (0.6 * np.sin(t / 5) + 0.4 * np.sin(t / 11 + 1) + noise).astype(np.float32)


def main(argv: list[str] | None = None) -> float:
    """Train, print the errors of one step and of 20 steps ahead, and the time of a step; gives the first error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent / "out")
    options = parser.parse_args(argv)
    gf.random.seed(0)
    wave = make_wave(1000)
    windows = np.lib.stride_tricks.sliding_window_view(wave, WINDOW + 1)
    x, y = windows[:, :-1, None].copy(), windows[:, -1:].copy()
    at = 800
    model = Forecaster()
    optimizer = gf.optim.Adam(model.parameters(), lr=5e-3)

    def train_step(inputs: Any, targets: Any) -> Any:
        loss = nn.functional.mse_loss(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    compiled = gf.compile(train_step)
    loader = gf.data.DataLoader(gf.data.TensorDataset(x[:at], y[:at]), batch_size=32, shuffle=True)
    with gf.viz.Progress(options.epochs, "GRU") as bar:
        for _ in range(options.epochs):
            for inputs, targets in loader:
                loss = compiled(inputs, targets)
            bar.update(samples=at, loss=loss)

    predict = gf.compile(lambda v: model(v))
    with gf.no_grad():
        error = float(np.sqrt(np.mean((predict(x[at:]).numpy() - y[at:]) ** 2)))
        seen = list(wave[at : at + WINDOW])
        for _ in range(AHEAD):
            seen.append(float(predict(np.array(seen[-WINDOW:], np.float32).reshape(1, -1, 1)).item()))
    ahead = float(np.sqrt(np.mean((np.array(seen[WINDOW:]) - wave[at + WINDOW : at + WINDOW + AHEAD]) ** 2)))
    print(f"error {error:.3f} one step ahead, {ahead:.3f} over {AHEAD} steps of its own; the noise is 0.02")
    if find_spec("matplotlib") is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        curves = {"wave": wave[at : at + WINDOW + AHEAD], "val_wave": seen}
        gf.viz.plot_history(curves, options.out / "s10_gru.png")
    inputs, targets = next(iter(loader))
    compare(compiled=lambda: compiled(inputs, targets), eager=lambda: train_step(inputs, targets))
    return error


if __name__ == "__main__":
    main()
