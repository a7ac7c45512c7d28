"""A GPT learns to sort: after six digits and a bar it writes them in order.

python examples/train_gpt.py [--steps 400]
"""

from __future__ import annotations

import argparse

import numpy as np

import graphflow as gf
from graphflow.nn import functional as F

DIGITS, BAR = 6, 10


def make_batch(random: np.random.Generator, count: int) -> np.ndarray:
    """Digits, a bar, the same digits sorted: (count, 2 * DIGITS + 1)."""
    digits = random.integers(0, 10, (count, DIGITS))
    return np.concatenate([digits, np.full((count, 1), BAR), np.sort(digits, 1)], 1)


def main(arguments: list[str] | None = None) -> float:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=400)
    steps = parser.parse_args(arguments).steps

    gf.random.seed(0)
    random = np.random.default_rng(0)
    model = gf.models.GPT(BAR + 1, length=2 * DIGITS + 1, width=64, heads=4, layers=2)
    optimizer = gf.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    schedule = gf.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps)

    @gf.compile
    def train(x: gf.Tensor) -> gf.Tensor:
        logits = model(x[:, :-1])[:, DIGITS:]  # only what follows the bar can be known
        loss = F.cross_entropy(logits.flatten(0, 1), x[:, DIGITS + 1 :].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    for step in range(steps):
        loss = train(gf.tensor(make_batch(random, 128)))
        schedule.step()
        if step % 100 == 0 or step == steps - 1:
            print(f"step {step}: loss {loss.item():.4f}")

    test = make_batch(random, 500)
    written = model.generate(test[:, : DIGITS + 1], DIGITS).numpy()
    right = (written == test).all(1)
    accuracy = float(right.mean())
    row = written[0].tolist()
    print(f"{' '.join(map(str, row[:DIGITS]))} sorted: {' '.join(map(str, row[DIGITS + 1 :]))}")
    print(f"{accuracy:.1%} of 500 new rows are sorted without a mistake")
    return accuracy


if __name__ == "__main__":
    main()
