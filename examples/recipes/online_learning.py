"""Online learning: samples come one at a time from a source that changes; the model follows with ``partial_fit``.

python examples/recipes/online_learning.py [--samples 4000]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np

import graphflow as gf
from graphflow import nn
from graphflow.nn import functional as F


class OnlineClassifier:
    """Logistic regression that learns from each sample once."""

    def __init__(self, features: int, lr: float = 0.05) -> None:
        self.model = nn.Linear(features, 1)
        self._optimizer = gf.optim.SGD(self.model.parameters(), lr=lr)
        self._step = gf.compile(self._train)

    def _train(self, x: gf.Tensor, y: gf.Tensor) -> gf.Tensor:
        logits = self.model(x)
        loss = F.binary_cross_entropy_with_logits(logits, y)
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        return logits

    def partial_fit(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Learn from a few samples; gives what was predicted of them before."""
        return self._step(x, y).numpy() > 0


def stream(samples: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Samples of a rule that turns round in the middle."""
    random = np.random.default_rng(0)
    rule = random.normal(size=8)
    for number in range(samples):
        if number == samples // 2:
            rule = -rule
        x = random.normal(size=(1, 8)).astype(np.float32)
        yield x, (x @ rule > 0).astype(np.float32)[:, None]


def main(argv: list[str] | None = None) -> list[float]:
    """Print the accuracy in each tenth of the stream, always before learning from the sample; gives them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=4000)
    options = parser.parse_args(argv)
    gf.random.seed(0)
    classifier = OnlineClassifier(8)
    right = [bool((classifier.partial_fit(x, y) == y).all()) for x, y in stream(options.samples)]
    shares = [float(np.mean(part)) for part in np.array_split(right, 10)]
    print("right in each tenth of the stream: " + " ".join(f"{s:.0%}" for s in shares))
    print("the rule turns round after the fifth")
    return shares


if __name__ == "__main__":
    main()
