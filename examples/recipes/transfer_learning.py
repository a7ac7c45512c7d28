"""Transfer learning: a network that knows the digits 0 to 4 learns 5 to 9 from few pictures, its first layers frozen.

python examples/recipes/transfer_learning.py [--epochs 20]
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import graphflow as gf
from graphflow import nn

FEW = 2  # pictures of each digit for the new task
LOOPS = (0, 6, 8, 9)


def make_network(classes: int) -> nn.Sequential:
    body = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU())
    return nn.Sequential(body, nn.Linear(32, classes))


def train(model: nn.Module, x: np.ndarray, y: np.ndarray, epochs: int) -> None:
    """Train the parameters that are not frozen."""
    optimizer = gf.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=3e-3)

    @gf.compile
    def step(images: Any, labels: Any) -> Any:
        loss = nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    loader = gf.data.DataLoader(gf.data.TensorDataset(x, y), batch_size=20, shuffle=True)
    for _ in range(epochs):
        for images, labels in loader:
            step(images, labels)


def accuracy(model: nn.Module, x: np.ndarray, y: np.ndarray) -> float:
    with gf.no_grad():
        return gf.metrics.accuracy(model(gf.tensor(x)), gf.tensor(y)).item()


def main(argv: list[str] | None = None) -> tuple[float, float]:
    """Print the accuracy on the new task with and without what was learned before; gives both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=12)
    options = parser.parse_args(argv)
    images, labels = gf.datasets.load_digits("train")
    test_images, test_labels = gf.datasets.load_digits("test")
    few = np.concatenate([np.flatnonzero(labels == digit)[:FEW] for digit in range(10)])
    x, y = images[few], np.isin(labels[few], LOOPS).astype(np.int64)
    test_y = np.isin(test_labels, LOOPS).astype(np.int64)

    gf.random.seed(0)
    knows_digits = make_network(classes=10)
    train(knows_digits, images, labels, options.epochs)

    transferred = make_network(classes=2)
    state = {name: value for name, value in knows_digits.state_dict().items() if name.startswith("0.")}
    transferred.load_state_dict(state, strict=False)  # the body; the head stays as it is
    for parameter in transferred[0].parameters():
        parameter.requires_grad = False
    before = transferred[0][0].weight.numpy().copy()
    train(transferred, x, y, 5 * options.epochs)
    assert (before == transferred[0][0].weight.numpy()).all(), "what is frozen stays"

    scratch = make_network(classes=2)
    train(scratch, x, y, 5 * options.epochs)
    results = accuracy(transferred, test_images, test_y), accuracy(scratch, test_images, test_y)
    print(f"from {len(few)} pictures: {results[0]:.1%} right with frozen layers, {results[1]:.1%} from nothing")
    return results


if __name__ == "__main__":
    main()
