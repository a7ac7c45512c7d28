"""A step of linear regression that the tests of gf.compile share."""

from __future__ import annotations

from typing import Any

import numpy as np

import graphflow as gf


def make_step(compiled: bool = True) -> tuple[Any, gf.Variable, gf.Variable]:
    """One step of linear regression, written by hand."""
    w, b = gf.Variable(np.zeros((3, 1), np.float32), name="w"), gf.Variable(np.zeros(1, np.float32), name="b")

    def step(x: Any, y: Any) -> Any:
        w.grad = b.grad = None
        loss = ((x @ w + b - y) ** 2).mean()
        loss.backward()
        with gf.no_grad():
            for v in (w, b):
                v.assign_sub(v.grad * 0.1)
        return loss

    return (gf.compile(step) if compiled else step), w, b


def data(n: int, seed: int = 0) -> tuple[Any, Any]:
    x = np.random.default_rng(seed).normal(size=(n, 3)).astype(np.float32)
    return x, x @ np.array([[1.0], [2.0], [-1.0]], np.float32) + 0.5
