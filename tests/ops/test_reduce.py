"""Reductions, statistics and creation functions (tests/ops/test_registry.py walks their records)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.core.errors import AxisError, DTypeError, ShapeError
from graphflow.testing import check_grad, check_parity

X = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32)
AXES: list[Any] = [None, 0, -1, (0, 2), (), (-2, 0, 2)]


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("name", ["sum", "prod", "max", "min", "any", "all", "mean", "var", "std", "count_nonzero"])
def test_reductions_match_numpy(name: str, axis: Any, keepdims: bool) -> None:
    got = getattr(gf, name)(gf.tensor(X), axis=axis, keepdims=keepdims)
    want = getattr(np, name)(X, axis=axis, keepdims=keepdims)
    assert got.shape == want.shape
    np.testing.assert_allclose(got.numpy(), want, rtol=2e-5, atol=1e-6)


def test_pytorchs_spelling() -> None:
    x = gf.tensor(X)
    assert x.sum(dim=1, keepdim=True).shape == (3, 1, 2) == x.sum(1, True).shape
    assert x.mean((1, 2)).shape == (3,) == x.amax(dim=(1, 2)).shape
    assert x.argmax(dim=-1).tolist() == X.argmax(-1).tolist()


def test_result_dtypes() -> None:
    assert (
        gf.sum(gf.ones(3, dtype=gf.int8)).dtype == gf.int64 and gf.prod(gf.ones(3, dtype=gf.uint8)).dtype == gf.uint64
    )
    assert gf.sum(gf.tensor([True, True])).item() == 2 and gf.sum(gf.ones(3), dtype=gf.float64).dtype == gf.float64
    assert gf.max(gf.ones(3, dtype=gf.int8)).dtype == gf.int8 and gf.mean(gf.ones(3, dtype=gf.int8)).dtype == gf.float32
    assert gf.mean(gf.full((70000,), 2.0, dtype=gf.float16)).item() == 2.0  # their sum is no float16
    for name in ("mean", "var", "std", "logsumexp", "softmax", "sum"):
        assert getattr(gf, name)(gf.ones(3, dtype=gf.bfloat16)).dtype == gf.bfloat16


def test_empty_and_nan() -> None:
    empty = gf.zeros((0, 3))
    assert gf.sum(empty, axis=0).tolist() == [0.0] * 3 and gf.prod(empty).item() == 1.0
    assert gf.all(empty).item() and not gf.any(empty).item()
    assert gf.max(empty, axis=1).shape == (0,)
    for f in (gf.max, gf.argmin):
        with pytest.raises(ShapeError, match="no elements"):
            f(empty)
    x = gf.tensor([[1.0, math.nan, 3.0], [4.0, 5.0, 5.0]])
    assert np.isnan(gf.max(x, axis=1).numpy()).tolist() == [True, False]
    assert gf.argmax(x, axis=1).tolist() == gf.argmin(x, axis=1).tolist()[:1] + [1] == [1, 1]


def test_positions_of_ties_and_without_axis() -> None:
    x = gf.tensor([[0, 7, 7], [7, 0, 0]])
    assert gf.argmax(x).item() == 1 and gf.argmin(x, axis=0).tolist() == [0, 1, 1]
    assert gf.argmax(x, keepdims=True).shape == (1, 1) and gf.argmax(x, axis=1, keepdims=True).tolist() == [[1], [0]]


def test_wrong_arguments() -> None:
    with pytest.raises(AxisError, match="axis 3 is out of range"):
        gf.sum(gf.tensor(X), axis=3)
    with pytest.raises(AxisError, match="twice"):
        gf.sum(gf.tensor(X), axis=(0, -3))
    with pytest.raises(DTypeError, match=r"any\(\) or all\(\)"):
        gf.max(gf.tensor([True]))


def test_logsumexp_at_the_limits() -> None:
    assert gf.logsumexp(gf.tensor([1000.0, 1000.0])).item() == pytest.approx(1000 + math.log(2))
    assert gf.logsumexp(gf.tensor([-math.inf, -math.inf])).item() == -math.inf
    assert gf.logsumexp(gf.tensor([math.inf, 1.0])).item() == math.inf


# -- gradients ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["mean", "var", "std", "logsumexp", "prod", "max", "softmax"])
def test_gradients(name: str) -> None:
    check_grad(lambda x: getattr(gf, name)(x, axis=(0, 2)), X, directions=1)


@pytest.mark.parametrize("x", [[0.0, 2.0, 3.0], [0.0, 0.0, 3.0], [0.0, 0.0, 0.0], [2.0], [1.0, 2.0, 0.0, 4.0, 5.0]])
def test_the_gradient_of_prod_is_right_at_zeros_to_third_order(x: list[float]) -> None:
    check_grad(gf.prod, gf.tensor(x), order=3)


def test_ties_share_the_gradient() -> None:
    x = gf.tensor([1.0, 3.0, 3.0], requires_grad=True)
    x.max().backward()
    assert x.grad.tolist() == [0.0, 0.5, 0.5]


def test_the_gradient_of_std_is_finite_where_nothing_varies() -> None:
    x = gf.ones(4, dtype=gf.float32)
    assert gf.grad(gf.std)(x).tolist() == [0.0] * 4


# -- symbolic sizes ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_symbolic_sizes(axis: int | None) -> None:
    names = ("mean", "var", "std", "logsumexp", "argmax", "prod", "count_nonzero")
    check_parity(lambda x: [getattr(gf, name)(x, axis=axis) for name in names], X[..., 0], symbolic=True)


# -- creation ----------------------------------------------------------------------------------------------------------
def test_literals() -> None:
    assert gf.tensor(1.5).dtype == gf.float32 and gf.tensor(np.ones(2)).dtype == gf.float64
    assert gf.tensor([1, 2]).dtype == gf.int64 and gf.tensor(True).dtype == gf.bool
    data = np.zeros(3)
    x = gf.asarray(data)
    data[:] = 7
    assert x.tolist() == [0.0, 0.0, 0.0], "a tensor must not see what others write to their array"
    assert gf.asarray(x) is x and gf.asarray(x, dtype=gf.int8).dtype == gf.int8
    with pytest.raises(ValueError, match="without a copy"):
        gf.asarray(data, copy=False)
    with pytest.raises(ValueError, match="no device"):
        gf.zeros(2, device="tpu")


@pytest.mark.parametrize(
    "args", [(5,), (2, 7), (2, 9, 3), (9, 2, -2), (3, 3), (0, 1, 0.25), (5, 1), (0.5,), (1, 2.0, 0.3)]
)
def test_arange(args: tuple[Any, ...]) -> None:
    got, want = gf.arange(*args), np.arange(*args)
    assert got.shape == want.shape and got.dtype == (gf.float32 if want.dtype.kind == "f" else gf.int64)
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-6)


def test_arange_of_narrow_integers_does_not_overflow_on_the_way() -> None:
    assert gf.arange(5, 0, -2, dtype=gf.uint8).tolist() == [5, 3, 1]
    assert gf.arange(-128, 128, 85, dtype=gf.int8).tolist() == [-128, -43, 42, 127]


def test_patterns() -> None:
    np.testing.assert_array_equal(gf.eye(3, 4, k=1), np.eye(3, 4, k=1))
    np.testing.assert_array_equal(gf.tril(gf.tensor(X), k=-1), np.tril(X, -1))
    np.testing.assert_array_equal(gf.triu(gf.tensor(X[0] > 0)), np.triu(X[0] > 0))
    np.testing.assert_array_equal(gf.linspace(0, 1, 4, endpoint=False), np.linspace(0, 1, 4, endpoint=False, dtype="f"))
    for mode in ("xy", "ij"):
        grids = gf.meshgrid(gf.arange(2), gf.arange(3), gf.arange(4), indexing=mode)
        for got, want in zip(grids, np.meshgrid(np.arange(2), np.arange(3), np.arange(4), indexing=mode)):
            np.testing.assert_array_equal(got, want)
    assert gf.full_like(gf.zeros((2, 1)), 3, dtype=gf.int16).tolist() == [[3], [3]]
    assert gf.full((2,), gf.tensor(4)).tolist() == [4, 4] and gf.ones(2, 3).shape == (2, 3)
    with pytest.raises(ShapeError, match="negative"):
        gf.zeros((2, -1))


def test_creation_is_recorded_without_large_literals() -> None:
    graph = gf.Graph()
    with graph:
        made = [gf.zeros((100, 100)), gf.arange(1000) * 2, gf.eye(50), gf.tril(gf.ones((9, 9))), gf.tensor([1.0])]
    assert all(t.graph is graph for t in made)
    assert max(n.attrs["value"].size for n in graph.nodes if n.op.name == "constant") == 1


def test_filled_like_symbolic_tensors() -> None:
    check_parity(lambda x: (gf.zeros_like(x), gf.full_like(x, 2, dtype=gf.int64), x.tril()), X[0], symbolic=True)
