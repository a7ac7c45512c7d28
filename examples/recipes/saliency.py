"""What a network looked at: input gradients and integrated gradients of digits, as pictures.

python examples/recipes/saliency.py [--epochs 15] [--out examples/out]
"""

from __future__ import annotations

import argparse
import pathlib
from importlib.util import find_spec
from typing import Any

import numpy as np

import graphflow as gf
from graphflow import nn
from graphflow.nn import functional as F


def main(argv: list[str] | None = None) -> float:
    """Print how well the parts add up to the scores, draw them; gives the largest error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parents[1] / "out")
    options = parser.parse_args(argv)
    gf.random.seed(0)
    model = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 10))
    optimizer = gf.optim.Adam(model.parameters(), lr=3e-3)

    @gf.compile
    def step(x: Any, y: Any) -> Any:
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    loader = gf.data.DataLoader(gf.data.TensorDataset(*gf.datasets.load_digits("train")), batch_size=32, shuffle=True)
    for _ in range(options.epochs):
        for x, y in loader:
            step(x, y)

    images, labels = gf.datasets.load_digits("test")
    digits = np.array([np.flatnonzero(labels == digit)[0] for digit in range(10)])
    x, y = gf.tensor(images[digits]), gf.tensor(labels[digits])
    gradients = gf.viz.saliency(model, x, y)
    parts = gf.viz.integrated_gradients(model, x, y)
    gained = model(x) - model(gf.zeros_like(x))  # scores, compared with those of an empty picture
    error = float(np.abs(parts.sum(1).numpy() - gained.numpy()[np.arange(10), labels[digits]]).max())
    print(f"integrated gradients add up to the scores within {error:.4f}")
    if find_spec("matplotlib") is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        rows = [a / np.abs(a).max() for a in (x.numpy(), np.abs(gradients.numpy()), np.maximum(parts.numpy(), 0))]
        path = options.out / "saliency.png"
        gf.viz.plot_images(np.concatenate(rows).reshape(-1, 8, 8), path=path, columns=10)
        print(f"digits, absolute gradients, what spoke for the digit: {path}")
    return error


if __name__ == "__main__":
    main()
