"""Initial values: their distributions, and what they set."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.nn import Parameter, init


def weight(*shape: int, dtype: str = "float32") -> Parameter:
    return Parameter(np.zeros(shape, dtype))


def even(bound: float) -> tuple[float, float]:
    return bound / math.sqrt(3), bound


# standard deviation and greatest magnitude for a weight of 120 outputs and 80 inputs
CASES: list[tuple[Callable[[Any], Any], tuple[float, float]]] = [
    (lambda w: init.uniform_(w, -2, 2), even(2.0)),
    (lambda w: init.normal_(w, std=3.0), (3.0, math.inf)),
    (init.xavier_uniform_, even(math.sqrt(6 / 200))),
    (lambda w: init.xavier_uniform_(w, gain=2.0), even(2 * math.sqrt(6 / 200))),
    (init.xavier_normal_, (math.sqrt(2 / 200), math.inf)),
    (init.kaiming_uniform_, even(math.sqrt(6 / 80))),
    (lambda w: init.kaiming_uniform_(w, a=math.sqrt(5)), even(1 / math.sqrt(80))),
    (lambda w: init.kaiming_normal_(w, mode="fan_out", nonlinearity="relu"), (math.sqrt(2 / 120), math.inf)),
    (lambda w: init.trunc_normal_(w), (0.8796, 2.0)),
    (lambda w: init.trunc_normal_(w, std=0.02), (0.02, 0.1)),
]


@pytest.mark.parametrize("fill, expected", CASES)
def test_distribution(fill: Callable[[Any], Any], expected: tuple[float, float]) -> None:
    w = weight(120, 80)
    assert fill(w) is w
    std, bound = expected
    data = w.numpy()
    assert data.std() == pytest.approx(std, rel=0.03)
    assert abs(data.mean()) < 4 * std / math.sqrt(data.size)
    assert np.abs(data).max() <= bound * (1 + 1e-6)


def test_truncated_normal_follows_its_distribution() -> None:
    w = weight(20000, dtype="float64")
    init.trunc_normal_(w, mean=1.0, std=2.0, a=0.0, b=4.0)
    data = w.numpy()
    assert data.min() >= 0 and data.max() <= 4

    def phi(x: float) -> float:
        return 0.5 * (1 + math.erf((x - 1.0) / 2.0 / math.sqrt(2)))

    for x in (0.5, 1.0, 2.0, 3.5):
        assert (data < x).mean() == pytest.approx((phi(x) - phi(0)) / (phi(4) - phi(0)), abs=0.015)


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (4, 2, 3)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    w = weight(*shape, dtype="float64")
    init.orthogonal_(w, gain=2.0)
    matrix = w.numpy().reshape(shape[0], -1)
    square = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(square, 4 * np.eye(len(square)), atol=1e-12)


def test_constants_are_what_initialize_goes_back_to() -> None:
    w = weight(2, 3)
    for fill, expected in ((init.ones_, 1.0), (init.zeros_, 0.0), (lambda w: init.constant_(w, 0.3), 0.3)):
        fill(w)
        w.assign(gf.full((2, 3), 9.0))
        w.initialize()
        np.testing.assert_array_equal(w.numpy(), np.full((2, 3), expected, "float32"))
    np.testing.assert_array_equal(init.eye_(w).numpy(), np.eye(2, 3))


def test_seeds() -> None:
    a, b, c = weight(3, 4), weight(3, 4), weight(3, 4)
    init.normal_(a, generator=gf.random.Generator(5))
    init.normal_(b, generator=gf.random.Generator(5))
    init.normal_(c)
    np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert (a.numpy() != c.numpy()).all()
    gf.random.seed(3)
    first = gf.nn.Linear(3, 4).weight.numpy()
    gf.random.seed(3)
    np.testing.assert_array_equal(gf.nn.Linear(3, 4).weight.numpy(), first)


def test_gains_and_fans() -> None:
    assert init.calculate_gain("linear") == init.calculate_gain("conv2d") == init.calculate_gain("sigmoid") == 1
    assert init.calculate_gain("tanh") == 5 / 3
    assert init.calculate_gain("leaky_relu", 0.2) == math.sqrt(2 / 1.04)
    assert init.calculate_fan_in_and_fan_out(weight(4, 3, 5, 5)) == (75, 100)
    with pytest.raises(ValueError, match="no gain known for 'swish'"):
        init.calculate_gain("swish")


@pytest.mark.parametrize("shape, groups", [((4, 2, 3), 2), ((2, 4, 3, 3), 1), ((6, 2, 3, 2, 5), 3)])
def test_dirac(shape: tuple[int, ...], groups: int) -> None:
    w = init.dirac_(weight(*shape), groups).numpy()
    middle = tuple(n // 2 for n in shape[2:])
    for group in np.split(w, groups):
        np.testing.assert_array_equal(group[(slice(None), slice(None), *middle)], np.eye(len(group), shape[1]))
    assert w.sum() == groups * min(shape[0] // groups, shape[1])


def test_sparse() -> None:
    w = init.sparse_(weight(200, 30), 0.333, std=2.0).numpy()
    assert ((w == 0).sum(axis=0) == 67).all()
    assert w[w != 0].std() == pytest.approx(2.0, rel=0.05)
    assert len({tuple(column) for column in (w == 0).T}) == 30


def test_mistakes() -> None:
    with pytest.raises(TypeError, match="fills Variables and Parameters .p, not p.data., got a Tensor"):
        init.zeros_(gf.zeros(2))  # type: ignore[arg-type]
    for fill in (init.xavier_uniform_, init.kaiming_normal_, init.orthogonal_, init.eye_):
        with pytest.raises(ValueError, match=r"\(3,\)"):
            fill(weight(3))
    for fill, message in ((lambda w: init.dirac_(w, 3), "not 3 equal groups"), (init.sparse_, "needs a matrix")):
        with pytest.raises(ValueError, match=message):
            fill(weight(4, 2, 3), *([0.5] if fill is init.sparse_ else []))
    with pytest.raises(ValueError, match="'fan_in' or 'fan_out'"):
        init.kaiming_normal_(weight(3, 2), mode="fan")
