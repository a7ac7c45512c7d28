"""Elementwise ops between products walk the products' axes."""

from __future__ import annotations

import numpy as np
import pytest

import graphflow as gf
from graphflow.passes.pipeline import optimize
from graphflow.runtime.executor import Interpreted, Native
from tests.native.common import record

rng = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32)


def kernels(function: object, *arrays: np.ndarray, symbolic: bool) -> list[str]:
    """The kernels of a function after all passes, once its results are the interpreter's of the graph as recorded."""
    graph, inputs = record(function, list(arrays), symbolic)  # type: ignore[arg-type]
    better = optimize(graph)
    made = Native(better, [better.find(n.name) for n in inputs])
    for have, want in zip(made.run(arrays), Interpreted(graph, inputs).run(arrays), strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-5, atol=1e-5)
    return [k.kind for k in made.program.kernels]


def weight(*shape: int) -> gf.Variable:
    return gf.Variable(normal(*shape))


@pytest.mark.parametrize("symbolic", [False, True])
def test_a_linear_layer_on_sequences_is_one_kernel(symbolic: bool) -> None:
    w, b = weight(7, 6), weight(6)
    assert kernels(lambda x: gf.relu(x @ w + b) * 2.0, normal(3, 5, 7), symbolic=symbolic) == ["Contract"]


@pytest.mark.parametrize("symbolic", [False, True])
def test_a_residual_is_added_by_the_product(symbolic: bool) -> None:
    w = weight(7, 7)
    assert kernels(lambda x: x + x @ w, normal(3, 5, 7), symbolic=symbolic) == ["Contract"]


def test_values_along_the_leading_axes_stay_where_they_are() -> None:
    w, p = weight(7, 6), weight(5, 6)
    kernels(lambda x, q: (x @ w + p) * q, normal(3, 5, 7), normal(3, 5, 1), symbolic=True)


def test_a_sum_over_the_leading_axes_follows() -> None:
    w, v = weight(7, 6), weight(6, 4)

    def function(x: gf.Tensor) -> tuple[gf.Tensor, ...]:
        hidden = gf.tanh(x @ w)
        return hidden @ v, gf.sum(hidden, axis=(0, 1))

    assert kernels(function, normal(3, 5, 7), symbolic=True) == ["Contract", "Contract", "Reduce"]


def test_a_smaller_operand_that_is_a_product_itself() -> None:
    w = weight(7, 6)
    kernels(lambda x, y: gf.exp(y @ w) + x @ w, normal(3, 5, 7), normal(1, 5, 7), symbolic=False)
