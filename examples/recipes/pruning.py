"""Pruning: the smallest weights are set to zero, step by step, and the rest is trained on.

    python examples/recipes/pruning.py [--epochs 12]

Source: Han et al., Learning both Weights and Connections for Efficient Neural Networks, 2015.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import graphflow as gf
from graphflow import nn
from graphflow.nn import functional as F

LEFT = (0.5, 0.25, 0.1)  # shares of the weights that are kept


class MaskedLinear(nn.Linear):
    """A Linear whose weights count only where its mask is 1."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.register_buffer("mask", np.ones((outputs, inputs), np.float32))

    def forward(self, x: Any) -> Any:
        return F.linear(x, self.weight * self.mask, self.bias)

    def prune(self, left: float) -> None:
        """Keep this share of the weights, the largest."""
        size = np.abs(self.weight.numpy() * self.mask.numpy())
        self.mask.assign((size >= np.quantile(size, 1 - left)).astype(np.float32))


def main(argv: list[str] | None = None) -> list[float]:
    """Print the accuracy for each share of weights that is left; gives them, the whole network's first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=12)
    options = parser.parse_args(argv)
    gf.random.seed(0)
    model = nn.Sequential(MaskedLinear(64, 128), nn.ReLU(), MaskedLinear(128, 10))
    optimizer = gf.optim.Adam(model.parameters(), lr=2e-3)

    @gf.compile  # the masks are state: pruning needs no new trace
    def step(x: Any, y: Any) -> Any:
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    loader = gf.data.DataLoader(gf.data.TensorDataset(*gf.datasets.load_digits("train")), batch_size=32, shuffle=True)
    test_x, test_y = map(gf.tensor, gf.datasets.load_digits("test"))

    def train(epochs: int) -> float:
        for _ in range(epochs):
            for x, y in loader:
                step(x, y)
        with gf.no_grad():
            return gf.metrics.accuracy(model(test_x), test_y).item()

    scores = [train(options.epochs)]
    print(f"100% of the weights: {scores[0]:.1%} right")
    for left in LEFT:
        for layer in (model[0], model[2]):
            layer.prune(left)
        scores.append(train(max(1, options.epochs // 3)))
        print(f"{left:4.0%} of the weights: {scores[-1]:.1%} right")
    assert step.cache_info().traces == 1
    return scores


if __name__ == "__main__":
    main()
