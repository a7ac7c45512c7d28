"""NaN, infinities, and sizes of none and one, in every kind of kernel: what NumPy's interpreter gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.runtime.executor import Interpreted, Native
from tests.native.common import record

INF, NAN = np.inf, np.nan
VALUES = [0.0, -0.0, 1.0, -2.5, INF, -INF, NAN, 1e-40, 3e38, -3e38, 0.5]
rng = np.random.default_rng(0)


def same(
    function: Callable[..., Any],
    *arrays: np.ndarray,
    symbolic: bool = False,
    tolerance: float = 2e-5,
    absolute: float = 1e-30,
) -> list[Any]:
    """Native code and interpreter agree, NaN for NaN and infinity for infinity."""
    graph, inputs = record(function, list(arrays), symbolic)
    with np.errstate(all="ignore"):
        want = Interpreted(graph, inputs).run(arrays)
    have = Native(graph, inputs).run(arrays)
    for h, w in zip(have, want, strict=True):
        assert h.dtype == w.dtype and h.shape == w.shape
        np.testing.assert_allclose(h.astype(np.float64), w.astype(np.float64), rtol=tolerance, atol=absolute)
    return have


def special(rows: int, columns: int, dtype: type = np.float32) -> np.ndarray:
    """Rows without, with one and with many special values."""
    rng = np.random.default_rng(columns)
    x = rng.normal(size=(rows, columns)).astype(dtype)
    for row in range(1, rows):
        where = rng.integers(0, columns, row)
        x[row, where] = rng.choice(np.array(VALUES), row)
    return x


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_maps(dtype: type) -> None:
    a, b = (m.astype(dtype).ravel() for m in np.meshgrid(VALUES, VALUES))
    same(lambda x, y: (x + y, x - y, x * y, x / y, gf.maximum(x, y), gf.minimum(x, y)), a, b)
    same(lambda x, y: (x < y, x <= y, x == y, x != y, x > y, x >= y), a, b)
    same(lambda x, y: (gf.where(x > y, x, y), gf.clip(x, -1.0, 1.0), gf.relu(x), gf.sign(x), gf.abs(x)), a, b)
    same(lambda x, y: (gf.isnan(x), gf.isinf(x), gf.isfinite(y), gf.copysign(x, y), gf.signbit(x)), a, b)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_functions(dtype: type) -> None:
    x = np.array(VALUES * 3, dtype)
    functions = [gf.exp, gf.expm1, gf.log, gf.log1p, gf.log2, gf.sin, gf.cos, gf.tan, gf.tanh, gf.sigmoid, gf.erf]
    functions += [gf.sqrt, gf.rsqrt, gf.square, gf.floor, gf.ceil, gf.round, gf.trunc]
    same(lambda t: tuple(f(t) for f in functions), x)


@pytest.mark.parametrize("columns", [1, 3, 16, 37, 300])
@pytest.mark.parametrize("axis", [0, 1, None])
def test_reductions(columns: int, axis: int | None) -> None:
    x = special(12, columns)
    same(lambda t: (gf.max(t, axis=axis), gf.min(t, axis=axis)), x)
    same(lambda t: (gf.any(t > 1e38, axis=axis), gf.all(t == t, axis=axis)), x)
    tame = np.where(np.abs(x) > 1e30, INF, x).astype(np.float32)  # else the order decides what overflows
    tame[np.abs(x) < 0.1] = 0.5
    same(
        lambda t: (gf.sum(t, axis=axis), gf.mean(t, axis=axis), gf.prod(t, axis=axis)),
        tame,
        tolerance=1e-4,
        absolute=1e-6,
    )
    if axis is not None:
        same(lambda t: (gf.argmax(t, axis=axis), gf.argmin(t, axis=axis)), x)


def test_a_large_reduction_keeps_one_nan() -> None:
    x = np.ones((600, 300), np.float32)
    x[411, 17] = NAN
    for out in same(lambda t: (gf.sum(t), gf.max(t), gf.min(t), gf.sum(t, axis=0)), x)[:3]:
        assert np.isnan(out)


@pytest.mark.parametrize("symbolic", [False, True])
@pytest.mark.parametrize("columns", [1, 2, 16, 45])
def test_rows(columns: int, symbolic: bool) -> None:
    x = special(9, columns)
    x[0] = -INF  # all masked
    x[1:3, : columns // 2] = -INF  # some masked
    same(
        lambda t: (gf.softmax(t, axis=-1), gf.log_softmax(t, axis=-1), gf.logsumexp(t, axis=-1)),
        x,
        symbolic=symbolic,
    )

    def norm(t: gf.Tensor) -> gf.Tensor:
        mean = gf.mean(t, axis=-1, keepdims=True)
        return (t - mean) * gf.rsqrt(gf.mean(gf.square(t - mean), axis=-1, keepdims=True) + 1e-5)

    x[np.abs(x) > 1e30] = INF  # squares of large numbers overflow in one order and not in another
    same(norm, x, symbolic=symbolic, tolerance=1e-3, absolute=1e-6)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (1, 1), (1, 7), (7, 1), (0, 0)])
def test_sizes_of_none_and_one(shape: tuple[int, int]) -> None:
    x = rng.normal(size=shape).astype(np.float32)
    same(lambda t: (t * 2.0, gf.exp(t), gf.sum(t), gf.sum(t, axis=0), gf.sum(t, axis=1), gf.prod(t)), x)
    same(lambda t: (gf.any(t > 0), gf.all(t > 0), t @ t.T, t.T @ t), x)
    if shape != (0, 0):
        same(lambda t: gf.softmax(t, axis=0 if shape[0] else 1), x)
    if 0 not in shape:
        same(lambda t: (gf.max(t), gf.argmax(t, axis=1), gf.logsumexp(t, axis=1)), x)


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("sizes", [(1, 5, 3), (4, 4, 4), (33, 17, 50), (6, 10, 1), (64, 64, 64)])
def test_products(value: float, side: int, sizes: tuple[int, int, int]) -> None:
    m, k, n = sizes
    operands = [rng.normal(size=(m, k)).astype(np.float32), rng.normal(size=(k, n)).astype(np.float32)]
    operands[side][operands[side].shape[0] // 2, operands[side].shape[1] - 1] = value
    (out,) = same(lambda a, b: a @ b, *operands, absolute=1e-5)
    touched = ~np.isfinite(out)
    assert touched.sum() == (n if side == 0 else m), "one row or one column, no more"
    zeros = np.zeros_like(operands[1 - side])
    pair = [operands[0], zeros] if side == 0 else [zeros, operands[1]]
    (out,) = same(lambda a, b: a @ b, *pair)
    assert np.isnan(out).sum() == (n if side == 0 else m), "infinity times zero"


def test_products_over_nothing_are_zero() -> None:
    (out,) = same(lambda a, b: gf.exp(a @ b), np.zeros((3, 0), np.float32), np.zeros((0, 4), np.float32))
    assert (out == 1).all()


@pytest.mark.parametrize("target", ["int8", "int32", "int64", "uint8", "bool"])
def test_casts_of_what_no_integer_holds_do_no_harm(target: str) -> None:
    x = np.array(VALUES * 3, np.float32)
    graph, inputs = record(lambda t: gf.astype(t, getattr(gf, target)), [x])
    (out,) = Native(graph, inputs).run([x])
    inside = np.isfinite(x) & (np.abs(x) < 100) & ((x >= 0) | (target != "uint8"))
    assert (out[inside] == x[inside].astype(out.dtype)).all()


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_16_bit_floats(name: str) -> None:
    dtype = getattr(gf, name)
    x, y = special(13, 40), special(13, 40)[:, ::-1].copy()
    small = lambda t: gf.astype(t, dtype)
    step = 2.0**-7 if name == "bfloat16" else 2.0**-10

    def maps(a: gf.Tensor, b: gf.Tensor) -> tuple[gf.Tensor, ...]:
        a, b = gf.astype(a, dtype), gf.astype(b, dtype)
        return a * b, gf.exp(a), gf.maximum(a, b), gf.relu(a) / b

    same(maps, x, y, tolerance=step)
    same(lambda a, b: (gf.max(small(a), axis=1), gf.min(small(b), axis=0), small(a) < small(b)), x, y)
    a, b = rng.normal(size=(20, 300)).astype(np.float32), rng.normal(size=(300, 30)).astype(np.float32)
    (out,) = same(lambda p, q: gf.astype(small(p) @ small(q), gf.float32), a, b, tolerance=3 * step, absolute=1e-4)
    graph, inputs = record(lambda p, q: (gf.astype(small(p), gf.float32), gf.astype(small(q), gf.float32)), [a, b])
    rounded = Native(graph, inputs).run([a, b])
    exact = rounded[0].astype(np.float64) @ rounded[1].astype(np.float64)
    np.testing.assert_allclose(out, exact, rtol=1.01 * step, atol=2e-4)  # one rounding, at the end
    ones = np.ones((1, 4096), np.float32)
    (total,) = same(lambda t: gf.astype(gf.sum(small(t)), gf.float32), ones)
    assert total == 4096
