"""Multi-task learning: one body, two heads (which digit; how much ink), one loss of both.

python examples/recipes/multi_task.py [--epochs 15]
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import graphflow as gf
from graphflow import nn
from graphflow.nn import functional as F


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(64, 64), nn.ReLU())
        self.digit = nn.Linear(64, 10)
        self.ink = nn.Linear(64, 1)
        # How much each task counts is learned: the log of its variance (Kendall et al., 2018).
        self.log_variance = nn.Parameter(np.zeros(2, np.float32))

    def forward(self, x: Any) -> tuple[Any, Any]:
        shared = self.body(x)
        return self.digit(shared), self.ink(shared)

    def loss(self, x: Any, digit: Any, ink: Any) -> Any:
        scores, amount = self(x)
        losses = gf.stack([F.cross_entropy(scores, digit), F.mse_loss(amount, ink)])
        return (losses * gf.exp(-self.log_variance) + self.log_variance).sum()


def main(argv: list[str] | None = None) -> tuple[float, float]:
    """Print the accuracy of one head and the error of the other; gives them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=15)
    options = parser.parse_args(argv)

    def with_ink(split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        images, labels = gf.datasets.load_digits(split)
        ink = images.mean(axis=1, keepdims=True)
        return images, labels, (ink - 0.3) / 0.05

    gf.random.seed(0)
    model = TwoHeads()
    optimizer = gf.optim.Adam(model.parameters(), lr=3e-3)

    @gf.compile
    def step(x: Any, digit: Any, ink: Any) -> Any:
        loss = model.loss(x, digit, ink)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    loader = gf.data.DataLoader(gf.data.TensorDataset(*with_ink("train")), batch_size=32, shuffle=True)
    for _ in range(options.epochs):
        for batch in loader:
            step(*batch)
    x, digit, ink = map(gf.tensor, with_ink("test"))
    with gf.no_grad():
        scores, amount = model(x)
    results = gf.metrics.accuracy(scores, digit).item(), gf.metrics.rmse(amount, ink).item()
    weights = np.exp(-model.log_variance.numpy())
    print(f"digits {results[0]:.1%} right; ink off by {results[1]:.3f} standard deviations")
    print(f"learned weights of the tasks: {weights[0]:.2f} and {weights[1]:.2f}")
    return results


if __name__ == "__main__":
    main()
