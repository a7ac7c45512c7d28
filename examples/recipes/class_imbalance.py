"""Class imbalance: one picture in thirty is an eight. Plain, weighted and focal loss, and what each of them finds.

python examples/recipes/class_imbalance.py [--epochs 30]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np

import graphflow as gf
from graphflow import nn
from graphflow.nn import functional as F


def train(loss_of: Callable[[Any, Any], Any], x: np.ndarray, y: np.ndarray, epochs: int) -> nn.Module:
    gf.random.seed(0)
    model = nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 1))
    optimizer = gf.optim.Adam(model.parameters(), lr=2e-3)

    @gf.compile
    def step(images: Any, labels: Any) -> Any:
        loss = loss_of(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    loader = gf.data.DataLoader(gf.data.TensorDataset(x, y), batch_size=64, shuffle=True)
    for _ in range(epochs):
        for images, labels in loader:
            step(images, labels)
    return model


def found(model: nn.Module, x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Precision and recall of the eights."""
    with gf.no_grad():
        yes = model(gf.tensor(x)).numpy() > 0
    hits = float((yes & (y > 0)).sum())
    return hits / max(float(yes.sum()), 1.0), hits / float(y.sum())


def main(argv: list[str] | None = None) -> dict[str, tuple[float, float]]:
    """Print precision and recall for each loss; gives them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=30)
    options = parser.parse_args(argv)
    images, labels = gf.datasets.load_digits("train")
    eights = np.flatnonzero(labels == 8)
    kept = np.sort(np.concatenate([np.flatnonzero(labels != 8), eights[: len(labels) // 30]]))
    x, y = images[kept], (labels[kept] == 8).astype(np.float32)[:, None]
    test_images, test_labels = gf.datasets.load_digits("test")
    test_y = (test_labels == 8).astype(np.float32)[:, None]

    weight = float((1 - y).sum() / y.sum())  # how many others there are for each eight
    losses: dict[str, Callable[[Any, Any], Any]] = {
        "plain": lambda z, t: F.binary_cross_entropy_with_logits(z, t),
        "weighted": lambda z, t: F.binary_cross_entropy_with_logits(z, t, pos_weight=weight),
        "focal": lambda z, t: F.sigmoid_focal_loss(z, t, alpha=0.9, gamma=2.0, reduction="mean"),
    }
    results = {}
    for name, loss in losses.items():
        results[name] = found(train(loss, x, y, options.epochs), test_images, test_y)
        print(f"{name:8} precision {results[name][0]:.1%}, recall {results[name][1]:.1%}")
    return results


if __name__ == "__main__":
    main()
