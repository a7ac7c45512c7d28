"""Elementwise operations on large tensors: native code gives what NumPy gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.runtime import elementwise

RNG = np.random.default_rng(0)
BIG = elementwise.LARGE
X, Y = (RNG.uniform(0.1, 2.0, BIG).astype(np.float32) for _ in range(2))


def both(function: Any, *arrays: Any) -> tuple[Any, Any]:
    """With NumPy, and natively."""
    results = []
    for after in (-1, 0):
        with gf.config(native_after=after):
            results.append(function(*(gf.tensor(a) for a in arrays)).numpy())
    return results[0], results[1]


def programs() -> int:
    return sum(hasattr(p, "run") for p in elementwise._programs.values())


@pytest.mark.parametrize("name", ["add", "multiply", "sigmoid", "tanh", "exp", "sqrt", "erf", "relu", "abs", "greater"])
def test_agrees_with_numpy(name: str) -> None:
    function = getattr(gf, name)
    operands = (X, Y) if name in ("add", "multiply", "greater") else (X,)
    expected, found = both(function, *operands)
    assert programs() == 1 and found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, 3e-6)


def test_numbers_and_ranks() -> None:
    for function in (
        lambda x: x * 2.0,
        lambda x: 1.0 / x,
        lambda x: x.astype(gf.float64),
        lambda x: gf.where(x > 1, x, 0.0),
    ):
        expected, found = both(function, X.reshape(4, -1))
        assert found.shape == expected.shape and found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, 1e-6)
    assert programs() == 5


def test_what_does_not_fit_stays_with_numpy() -> None:
    wide = X.reshape(4, -1)
    for function in (lambda x: x + x[:1], lambda x: x.T + x.T, lambda x: gf.sin(x)):
        expected, found = both(function, wide)
        np.testing.assert_array_equal(found, expected)
    assert programs() == 0


def test_slow_functions_of_numpy_are_native_sooner() -> None:
    expected, found = both(gf.sigmoid, X[:5000])
    assert programs() == 1
    np.testing.assert_allclose(found, expected, 1e-6)
    both(gf.exp, X[:5000])
    assert programs() == 1


def test_gradients_and_counting() -> None:
    x = gf.tensor(X, requires_grad=True)
    with gf.config(native_after=2):
        for count in range(4):
            y = gf.sigmoid(x)
            assert programs() == (0 if count < 2 else 1)
        y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), y.numpy() * (1.0 - y.numpy()), 1e-5)
