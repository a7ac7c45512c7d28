"""Stabilisation: the formulas as people write them, where they overflow, and their gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.ir.graph import Graph
from graphflow.passes import optimize
from tests.passes.tools import assert_same_values, record, values

X = np.array([[-1000.0, 0.5, 1000.0], [1e-9, -1e-9, 88.0], [-200.0, -300.0, 0.0]], np.float32)
WIDE = X.astype(np.float64)


def naive_softmax(x: Any, axis: int = 1) -> Any:
    powers = gf.exp(x)
    return powers / gf.sum(powers, axis=axis, keepdims=True)


def true_log_softmax(x: Any, axis: int = 1) -> Any:
    shifted = x - x.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


def true_softplus(x: Any) -> Any:
    return np.logaddexp(x, 0.0)


def true_sigmoid(x: Any) -> Any:
    return np.exp(-np.logaddexp(-x, 0.0))


FORMULAS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "log(exp(x))": (lambda x: gf.log(gf.exp(x)), lambda x: x),
    "log(1 + x)": (lambda x: gf.log(1.0 + gf.abs(x)), lambda x: np.log1p(np.abs(x))),
    "log(1 - x)": (lambda x: gf.log(1.0 - -gf.abs(x)), lambda x: np.log1p(np.abs(x))),
    "exp(x) - 1": (lambda x: gf.exp(-gf.abs(x)) - 1.0, lambda x: np.expm1(-np.abs(x))),
    "1 - exp(x)": (lambda x: 1.0 - gf.exp(-gf.abs(x)), lambda x: -np.expm1(-np.abs(x))),
    "log(sigmoid(x))": (lambda x: gf.log(gf.sigmoid(x)), lambda x: -true_softplus(-x)),
    "log(1 - sigmoid(x))": (lambda x: gf.log(1.0 - gf.sigmoid(x)), lambda x: -true_softplus(x)),
    "log(1 + exp(x))": (lambda x: gf.log(1.0 + gf.exp(x)), true_softplus),
    "log1p(exp(x))": (lambda x: gf.log1p(gf.exp(x)), true_softplus),
    "log(exp(x) + exp(y))": (lambda x: gf.log(gf.exp(x) + gf.exp(2.0 * x)), lambda x: np.logaddexp(x, 2.0 * x)),
    "exp(x) / (1 + exp(x))": (lambda x: gf.exp(x) / (1.0 + gf.exp(x)), true_sigmoid),
    "1 / (1 + exp(-x))": (lambda x: 1.0 / (1.0 + gf.exp(-x)), true_sigmoid),
    "log(softmax(x))": (lambda x: gf.log(gf.softmax(x, axis=1)), true_log_softmax),
    "log(softmax(x)), axis 0": (lambda x: gf.log(gf.softmax(x, axis=0)), lambda x: true_log_softmax(x, 0)),
    "softmax written out": (naive_softmax, lambda x: np.exp(true_log_softmax(x))),
    "log of softmax written out": (lambda x: gf.log(naive_softmax(x)), true_log_softmax),
    "log of softmax written out, axis 0": (lambda x: gf.log(naive_softmax(x, 0)), lambda x: true_log_softmax(x, 0)),
    "log(sum(exp(x)))": (
        lambda x: gf.log(gf.sum(gf.exp(x), axis=1)),
        lambda x: np.logaddexp.reduce(x, axis=1),
    ),
    "log(sum(exp(x)), keepdims)": (
        lambda x: gf.log(gf.sum(gf.exp(x), axis=(0, 1), keepdims=True)),
        lambda x: np.logaddexp.reduce(x, axis=(0, 1)).reshape(1, 1),
    ),
}


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("operand", ["float32[3, 3]", "float32[n, 3]"])
def test_formulas_as_people_write_them(name: str, operand: str) -> None:
    formula, truth = FORMULAS[name]
    graph = record(formula, operand)
    (have,) = values(optimize(graph), {"x0": X})
    np.testing.assert_allclose(have, truth(WIDE), rtol=2e-6, atol=1e-37)
    (raw,) = values(graph, {"x0": X})
    assert not np.allclose(raw, truth(WIDE), rtol=2e-6, atol=0.0, equal_nan=False), "the formula is stable as it is"
    assert_same_values(graph, optimize(graph), exact=False, special=False)


def gradient(formula: Callable[..., Any]) -> Callable[..., Any]:
    """The gradient of the sum of ``formula`` weighed by a second operand."""
    return lambda x, w: gf.gradients(gf.sum(formula(x) * w), [x])[0]


def true_gradient_of_log_softmax(x: Any, w: Any, axis: int = 1) -> Any:
    return w - np.exp(true_log_softmax(x, axis)) * w.sum(axis=axis, keepdims=True)


def true_gradient_of_softmax(x: Any, w: Any, axis: int = 1) -> Any:
    p = np.exp(true_log_softmax(x, axis))
    return p * (w - (w * p).sum(axis=axis, keepdims=True))


GRADIENTS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "log(softmax(x))": (lambda x: gf.log(gf.softmax(x, axis=1)), true_gradient_of_log_softmax),
    "log(softmax(x)), axis 0": (
        lambda x: gf.log(gf.softmax(x, axis=0)),
        lambda x, w: true_gradient_of_log_softmax(x, w, 0),
    ),
    "log of softmax written out": (lambda x: gf.log(naive_softmax(x)), true_gradient_of_log_softmax),
    "softmax written out": (naive_softmax, true_gradient_of_softmax),
    "log(sigmoid(x))": (lambda x: gf.log(gf.sigmoid(x)), lambda x, w: w * true_sigmoid(-x)),
    "log(1 - sigmoid(x))": (lambda x: gf.log(1.0 - gf.sigmoid(x)), lambda x, w: -w * true_sigmoid(x)),
    "binary cross-entropy": (
        lambda x: 0.25 * gf.log(gf.sigmoid(x)) + 0.75 * gf.log(1.0 - gf.sigmoid(x)),
        lambda x, w: w * (0.25 * true_sigmoid(-x) - 0.75 * true_sigmoid(x)),
    ),
}
WEIGHTS = np.array([[0.3, -1.2, 2.0], [1.0, 1.0, 0.5], [-0.7, 0.2, 0.1]], np.float32)


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_are_stable_too(name: str) -> None:
    formula, truth = GRADIENTS[name]
    graph = record(gradient(formula), "float32[n, 3]", "float32[n, 3]")
    (have,) = values(optimize(graph), {"x0": X, "x1": WEIGHTS})
    np.testing.assert_allclose(have, truth(WIDE, WEIGHTS.astype(np.float64)), rtol=1e-5, atol=1e-6)
    (raw,) = values(graph, {"x0": X, "x1": WEIGHTS})
    assert not np.isfinite(raw).all(), "the gradient is stable as it is"
    assert_same_values(graph, optimize(graph), exact=False, special=False)


def test_the_gradient_of_log_sum_exp_written_out() -> None:
    formula = lambda x: gf.gradients(gf.sum(gf.log(gf.sum(gf.exp(x), axis=1))), [x])[0]
    graph = record(formula, "float32[n, 3]")
    (have,) = values(optimize(graph), {"x0": X})
    np.testing.assert_allclose(have, np.exp(true_log_softmax(WIDE)), rtol=1e-5, atol=1e-30)


def test_gradients_that_start_from_one() -> None:
    formula = lambda x: gf.gradients(gf.sum(gf.log(naive_softmax(x))), [x])[0]
    (have,) = values(optimize(record(formula, "float32[n, 3]")), {"x0": X})
    np.testing.assert_allclose(have, 1 - 3 * np.exp(true_log_softmax(WIDE)), rtol=1e-5, atol=1e-6)


def structure_of(graph: Graph) -> list[str]:
    return [n.op.name for n in graph.nodes]


def test_log_softmax_is_what_log_of_softmax_becomes() -> None:
    have = structure_of(optimize(record(lambda x: gf.log(gf.softmax(x, axis=1)), "float32[n, 3]")))
    assert have == structure_of(optimize(record(lambda x: gf.log_softmax(x, axis=1), "float32[n, 3]")))


def test_what_is_stable_already_is_left_alone() -> None:
    for formula in (gf.logsumexp, gf.softmax, gf.log_softmax, gf.softplus, gf.logsigmoid):
        graph = record(formula, "float32[n, 3]")
        passes = tuple(n for n in gf.passes.names() if n != "stabilize")
        assert structure_of(optimize(graph)) == structure_of(optimize(graph, passes)), formula


def test_nan_and_infinite_rows_stay_what_they_are() -> None:
    rows = np.array([[np.nan, 1.0, 2.0], [-np.inf, -np.inf, -np.inf], [np.inf, 1.0, 2.0]], np.float32)
    for formula in (lambda x: gf.log(gf.sum(gf.exp(x), axis=1)), lambda x: gf.log(gf.softmax(x)), naive_softmax):
        graph = record(formula, "float32[3, 3]")
        np.testing.assert_array_equal(values(optimize(graph), {"x0": rows})[0], values(graph, {"x0": rows})[0])


def test_division_by_a_softmax_is_only_cancelled_where_it_is_one() -> None:
    graph = record(lambda g, p: g / p * p, "float32[n, 3]", "float32[n, 3]")
    assert structure_of(optimize(graph)) == ["placeholder", "placeholder", "divide", "multiply"]
