"""Elementwise functions: what the walk over the registry cannot know (tests/ops/test_registry.py does the rest)."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.core.errors import DTypeError, ShapeError

NAN, INF = math.nan, math.inf
ARRAY_API = """
    abs acos acosh add asin asinh atan atan2 atanh bitwise_and bitwise_left_shift bitwise_invert bitwise_or
    bitwise_right_shift bitwise_xor ceil clip conj copysign cos cosh divide equal exp expm1 floor floor_divide
    greater greater_equal hypot imag isfinite isinf isnan less less_equal log log1p log2 log10 logaddexp logical_and
    logical_not logical_or logical_xor maximum minimum multiply negative nextafter not_equal positive pow real
    reciprocal remainder round sign signbit sin sinh square sqrt subtract tan tanh trunc where
"""


@pytest.mark.parametrize("name", ARRAY_API.split())
def test_array_api_function_exists(name: str) -> None:
    assert callable(getattr(gf, name))


def _derivative(f: Callable[..., Any], at: Any) -> list[float]:
    x = gf.tensor(at, requires_grad=True)
    f(x).sum().backward()
    return x.grad.tolist()


# -- operators and methods ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "op",
    [operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod, operator.pow],
)
def test_operators_and_their_reflections(op: Callable[[Any, Any], Any]) -> None:
    x, y = np.float32([1.5, -2.0, 4.0]), np.float32([2.0, 3.0, 0.5])
    np.testing.assert_allclose(op(gf.tensor(x), gf.tensor(y)), op(x, y), rtol=1e-6)
    np.testing.assert_allclose(op(gf.tensor(x), 3.0), op(x, 3.0), rtol=1e-6)
    np.testing.assert_allclose(op(3.0, gf.tensor(x)), op(3.0, x), rtol=1e-6)
    np.testing.assert_allclose(op(x, gf.tensor(y)), op(x, y), rtol=1e-6)  # NumPy gives way to the tensor
    assert isinstance(op(x, gf.tensor(y)), gf.Tensor)
    np.testing.assert_allclose(op(gf.Variable(x), y), op(x, y), rtol=1e-6)


@pytest.mark.parametrize("op", [operator.and_, operator.or_, operator.xor, operator.lshift, operator.rshift])
def test_integer_operators(op: Callable[[Any, Any], Any]) -> None:
    x, y = np.array([12, 7, 255]), np.array([3, 1, 2])
    assert op(gf.tensor(x), gf.tensor(y)).tolist() == op(x, y).tolist()
    assert op(5, gf.tensor(y)).tolist() == op(5, y).tolist()


def test_comparisons_give_bool_tensors() -> None:
    x = gf.tensor([1.0, 2.0, NAN])
    for result, want in (
        (x == 2, [False, True, False]),
        (x != 2, [True, False, True]),
        (x < 2, [True, False, False]),
        (gf.tensor(2.0) > x, [True, False, False]),
        (x >= gf.tensor([0.0, 9.0, 0.0]), [True, False, False]),
    ):
        assert result.dtype == gf.bool and result.tolist() == want
    assert (x == None) is False  # noqa: E711 - comparing with what is no operand must not raise
    assert x != "text"


def test_methods_of_both_styles() -> None:
    x = gf.tensor([1.0, 4.0])
    assert x.sqrt().tolist() == [1.0, 2.0]
    assert x.add(1).mul(2).sub(3).div(1).neg().abs().tolist() == [1.0, 7.0]
    assert x.pow(2).tolist() == x.square().tolist() == [1.0, 16.0]
    assert x.clamp(2, 3).tolist() == x.clip(2, 3).tolist() == [2.0, 3.0]
    assert x.where(x > 2, 0.0).tolist() == [0.0, 4.0]
    assert x.eq(1.0).logical_not().tolist() == [False, True]
    assert (-x).relu().tolist() == [0.0, 0.0]
    assert (
        math.floor(gf.tensor(1.7)).item() == 1.0
        and round(gf.tensor(1.5)).item() == 2.0
        and abs(x).tolist() == [1.0, 4.0]
    )


# -- dtypes ------------------------------------------------------------------------------------------------------------
def test_result_dtypes() -> None:
    i8, u8, f32 = gf.ones(2, dtype=gf.int8), gf.ones(2, dtype=gf.uint8), gf.ones(2)
    assert (i8 + u8).dtype == gf.int16
    assert (i8 + 1).dtype == gf.int8 and (i8 + 1.0).dtype == gf.float32
    assert (i8 * f32).dtype == gf.float32 and (gf.ones(2, dtype=gf.bfloat16) * 2.5).dtype == gf.bfloat16
    assert (i8 / i8).dtype == gf.float32 and gf.sin(i8).dtype == gf.float32
    assert (f32 + np.float64(1)).dtype == gf.float64
    assert (f32 > 0).dtype == gf.bool and gf.floor(i8).dtype == gf.int8


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: gf.tensor([1.5]) & 1,
        lambda: -gf.tensor([True]),
        lambda: gf.tensor([1.5]) << 1,
        lambda: +gf.tensor([True]),
        lambda: gf.tensor([1], dtype=gf.uint64) + gf.tensor([1]),
    ],
)
def test_wrong_dtypes_are_errors(wrong: Callable[[], Any]) -> None:
    with pytest.raises(DTypeError):
        wrong()


def test_shape_errors_name_the_users_line() -> None:
    with pytest.raises(ShapeError, match=r"(?s)\(2, 3\) and \(4,\).*test_elementwise.py:\d+"):
        gf.ones((2, 3)) + gf.ones(4)


# -- values ------------------------------------------------------------------------------------------------------------
def test_nan_goes_through_order_and_rounding() -> None:
    x = gf.tensor([NAN, 1.0])
    for f in (gf.relu, gf.sign, gf.floor, gf.abs, gf.sigmoid, lambda t: gf.clip(t, 0, 1), lambda t: gf.maximum(t, 0.0)):
        assert math.isnan(f(x)[0].item()), f
    assert gf.minimum(gf.tensor(0.0), NAN).isnan().item()


def test_integer_division_and_powers() -> None:
    x = gf.tensor([7, -7, 7, -7])
    y = gf.tensor([2, 2, -2, -2])
    assert (x // y).tolist() == [3, -4, -4, 3] and (x % y).tolist() == [1, 1, -1, -1]
    assert (x // 0).tolist() == [0, 0, 0, 0] and (x % 0).tolist() == [0, 0, 0, 0]
    assert gf.pow(gf.tensor([2, 1, -1, -1, 0]), gf.tensor([-1, -5, -3, -2, -1])).tolist() == [0, 1, -1, 1, 0]
    assert (gf.tensor([3, -2]) ** 3).tolist() == [27, -8]


def test_error_function_is_accurate() -> None:
    x = np.concatenate([np.linspace(-6.5, 6.5, 4001), [0.0, -0.0, 1e-300, 28.0]])
    erf, erfc = ([f(v) for v in x] for f in (math.erf, math.erfc))
    np.testing.assert_allclose(gf.erf(gf.tensor(x)), erf, rtol=4e-16)
    np.testing.assert_allclose(gf.erfc(gf.tensor(x)), erfc, rtol=2e-15)
    np.testing.assert_allclose(gf.erf(gf.tensor(x.astype("f"))), erf, rtol=6e-7, atol=1e-30)
    assert gf.erf(gf.tensor([INF, -INF])).tolist() == [1.0, -1.0] and gf.erf(gf.tensor(NAN)).isnan().item()


def test_sigmoid_and_logaddexp_do_not_overflow() -> None:
    x = gf.tensor([-1000.0, 0.0, 1000.0])
    assert gf.sigmoid(x).tolist() == [0.0, 0.5, 1.0]
    assert gf.logaddexp(x, x).tolist() == pytest.approx([-1000 + math.log(2), math.log(2), 1000 + math.log(2)])
    assert _derivative(lambda t: gf.logaddexp(t, 0.0), [-INF, 0.0, INF]) == [0.0, 0.5, 1.0]


def test_clip_with_open_and_crossed_bounds() -> None:
    x = gf.tensor([-5.0, 0.0, 5.0])
    assert gf.clip(x, min=1).tolist() == [1.0, 1.0, 5.0] and gf.clip(x, max=1).tolist() == [-5.0, 0.0, 1.0]
    assert gf.clip(x, 2, 1).tolist() == [1.0, 1.0, 1.0] and gf.clip(x).tolist() == x.tolist()
    assert gf.clip(gf.tensor([1, 300]), max=255).tolist() == [1, 255]


def test_where_takes_numbers_and_keeps_the_untaken_branch_out_of_the_gradient() -> None:
    assert gf.where([True, False], 1, 2.5).tolist() == [1.0, 2.5]
    x = [0.0, 4.0]
    assert _derivative(lambda t: gf.where(t > 0, gf.sqrt(gf.where(t > 0, t, 1.0)), 0.0), x) == [0.0, 0.25]


# -- gradients where there is a choice (all as PyTorch) ---------------------------------------------------------------
def test_subgradients() -> None:
    assert _derivative(gf.relu, [-1.0, 0.0, 1.0]) == [0.0, 0.0, 1.0]
    assert _derivative(gf.abs, [-1.0, 0.0, 1.0]) == [-1.0, 0.0, 1.0]
    assert _derivative(lambda t: gf.maximum(t, 0.0), [-1.0, 0.0, 1.0]) == [0.0, 0.5, 1.0]
    assert _derivative(lambda t: gf.clip(t, 0, 1), [-1.0, 0.0, 0.5, 1.0, 2.0]) == [0.0, 1.0, 1.0, 1.0, 0.0]
    assert _derivative(gf.floor, [1.5]) == _derivative(gf.sign, [1.5]) == [0.0]
    assert _derivative(lambda t: t**2, [0.0, 3.0]) == _derivative(lambda t: gf.pow(t, gf.tensor(2.0)), [0.0, 3.0])
    assert _derivative(lambda t: t**0.0, [0.0]) == [0.0]
    assert _derivative(lambda t: 0.0**t, [2.0]) == [0.0]
    assert _derivative(lambda t: gf.hypot(t, 0.0), [0.0, 2.0]) == [0.0, 1.0]
    assert _derivative(lambda t: gf.copysign(t, -1.0), [2.0, -2.0]) == [-1.0, 1.0]


def test_gradients_pass_casts_between_floats_only() -> None:
    assert _derivative(lambda t: t.astype(gf.float64) * 3, [1.0]) == [3.0]
    x = gf.tensor([1.5], requires_grad=True)
    (x * x.astype(gf.int32)).sum().backward()
    assert x.grad.tolist() == [1.0]


# -- composites --------------------------------------------------------------------------------------------------------
ACTIVATIONS: dict[str, Callable[[float], float]] = {
    "silu": lambda x: x / (1 + math.exp(-x)),
    "gelu": lambda x: x * 0.5 * (1 + math.erf(x / math.sqrt(2))),
    "softplus": lambda x: math.log1p(math.exp(x)),
    "logsigmoid": lambda x: -math.log1p(math.exp(-x)),
    "mish": lambda x: x * math.tanh(math.log1p(math.exp(x))),
    "elu": lambda x: x if x > 0 else math.expm1(x),
    "selu": lambda x: 1.0507009873554805 * (x if x > 0 else 1.6732632423543772 * math.expm1(x)),
    "celu": lambda x: x if x > 0 else math.expm1(x),
    "leaky_relu": lambda x: x if x > 0 else 0.01 * x,
    "relu6": lambda x: min(max(x, 0), 6),
    "hardtanh": lambda x: min(max(x, -1), 1),
    "hardsigmoid": lambda x: min(max(x + 3, 0), 6) / 6,
    "hardswish": lambda x: x * min(max(x + 3, 0), 6) / 6,
    "softsign": lambda x: x / (1 + abs(x)),
    "tanhshrink": lambda x: x - math.tanh(x),
    "hardshrink": lambda x: x if abs(x) > 0.5 else 0.0,
    "softshrink": lambda x: math.copysign(max(abs(x) - 0.5, 0), x),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(name: str) -> None:
    x = np.array([-7.0, -2.2, -0.7, -0.3, 0.1, 0.4, 1.3, 3.7, 8.0])
    f = getattr(gf, name)
    np.testing.assert_allclose(f(gf.tensor(x)), [ACTIVATIONS[name](v) for v in x], rtol=1e-12, atol=1e-15)
    gf.testing.check_grad(f, x, directions=1)
    assert all(math.isfinite(v) for v in _derivative(f, [-1000.0, 0.0, 1000.0]))
    assert f(gf.tensor(NAN)).isnan().item()


def test_softmax_of_large_and_infinite_numbers() -> None:
    x = gf.tensor([[1000.0, 1000.0], [-INF, 0.0]])
    assert gf.softmax(x, axis=1).tolist() == [[0.5, 0.5], [0.0, 1.0]]
    np.testing.assert_allclose(gf.log_softmax(x, axis=1), [[math.log(0.5)] * 2, [-INF, 0.0]], rtol=1e-6)
    gf.testing.check_grad(
        lambda t: (gf.softmax(t, axis=0), gf.log_softmax(t, dim=-1)), np.random.default_rng(0).normal(size=(3, 4))
    )


def test_dropout_keeps_the_expectation_and_the_scale() -> None:
    x = gf.ones((100, 100))
    y = gf.dropout(x, 0.25)
    assert set(np.unique(y).tolist()) == {0.0, np.float32(1 / 0.75)} and abs(y.mean().item() - 1) < 0.05
    assert (gf.dropout(x, 1.0) == 0).all() and (gf.dropout(x, 0.5, training=False) == x).all()
    with pytest.raises(ValueError, match="from 0 to 1"):
        gf.dropout(x, 1.5)


def test_closeness() -> None:
    x = gf.tensor([1.0, NAN, INF])
    assert gf.isclose(x, gf.tensor([1.0 + 1e-7, NAN, INF])).tolist() == [True, False, True]
    assert gf.allclose(x, x, equal_nan=True).item() and not gf.allclose(x, x).item()
    assert gf.nan_to_num(x, posinf=9.0).tolist() == [1.0, 0.0, 9.0]
