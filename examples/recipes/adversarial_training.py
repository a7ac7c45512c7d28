"""Adversarial training: pictures changed along the gradient of the loss (FGSM), and a network that learns from them.

    python examples/recipes/adversarial_training.py [--epochs 15]

Source: Goodfellow et al., Explaining and Harnessing Adversarial Examples, 2014.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import graphflow as gf
from graphflow import nn
from graphflow.nn import functional as F

STRENGTH = 0.12  # how far a pixel may be moved, of 1


def attack(model: nn.Module, x: Any, y: Any, strength: float = STRENGTH) -> Any:
    """The pictures, each pixel moved in the direction that makes the loss grow."""
    slope = gf.grad(lambda v: F.cross_entropy(model(v), y))(x)
    return gf.clip(x + strength * gf.sign(slope), 0.0, 1.0)


def train(x: np.ndarray, y: np.ndarray, epochs: int, *, adversarial: bool) -> nn.Module:
    gf.random.seed(0)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = gf.optim.Adam(model.parameters(), lr=3e-3)

    @gf.compile  # the attack is part of the same native program
    def step(images: Any, labels: Any) -> Any:
        loss = F.cross_entropy(model(images), labels)
        if adversarial:
            loss = 0.5 * loss + 0.5 * F.cross_entropy(model(attack(model, images, labels)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    loader = gf.data.DataLoader(gf.data.TensorDataset(x, y), batch_size=32, shuffle=True)
    for _ in range(epochs):
        for images, labels in loader:
            step(images, labels)
    return model


def main(argv: list[str] | None = None) -> dict[str, tuple[float, float]]:
    """Print the accuracy of both networks on pictures as they are and under attack; gives them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=15)
    options = parser.parse_args(argv)
    images, labels = gf.datasets.load_digits("train")
    x, y = map(gf.tensor, gf.datasets.load_digits("test"))
    results = {}
    for name, adversarial in (("usual", False), ("adversarial", True)):
        model = train(images, labels, options.epochs, adversarial=adversarial)
        clean = gf.metrics.accuracy(model(x), y).item()
        attacked = gf.metrics.accuracy(model(attack(model, x, y)), y).item()
        results[name] = clean, attacked
        print(f"{name:11} training: {clean:.1%} right, {attacked:.1%} under attack")
    return results


if __name__ == "__main__":
    main()
