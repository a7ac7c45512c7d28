"""Sorting, searching, unique values, running sums: values, gradients to second order, modes, errors, kernels."""

from __future__ import annotations

import ctypes
import hashlib
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.codegen.jit import Unit, compile_units
from graphflow.core.aval import AVal
from graphflow.core.dtypes import as_dtype
from graphflow.core.errors import ShapeError, TraceError
from graphflow.core.op import OPS
from graphflow.testing import assert_close, check_grad, check_parity
from graphflow_kernels.cpu.library import KERNELS, chunks

RNG = np.random.default_rng(0)
MESSY = np.array([[3.0, np.nan, -1.0, 3.0, np.inf, 0.0, 3.0], [0.0, -0.0, np.nan, np.nan, -np.inf, 2.0, 1.0]])


def test_sort_and_argsort() -> None:
    x = gf.tensor(MESSY)
    np.testing.assert_array_equal(gf.sort(x).numpy(), np.sort(MESSY))
    np.testing.assert_array_equal(gf.argsort(x).numpy(), np.argsort(MESSY, kind="stable"))
    np.testing.assert_array_equal(gf.argsort(x, axis=0).numpy(), np.argsort(MESSY, 0, kind="stable"))
    np.testing.assert_array_equal(gf.sort(x, descending=True).numpy(), np.sort(MESSY)[:, ::-1])
    ties = gf.tensor([2, 1, 2, 1])
    assert gf.argsort(ties).tolist() == [1, 3, 0, 2]
    assert gf.argsort(ties, descending=True).tolist() == [0, 2, 1, 3]
    assert gf.sort(gf.zeros((0, 3)), axis=0).shape == (0, 3)
    check_grad(lambda x: gf.sort(x, axis=0) ** 3, RNG.permutation(12.0 * np.arange(12) / 50).reshape(4, 3))


def test_topk() -> None:
    x = gf.tensor([[1.0, 9.0, 5.0], [7.0, 2.0, 8.0]])
    values, indices = x.topk(2)
    assert values.tolist() == [[9.0, 5.0], [8.0, 7.0]]
    assert indices.tolist() == [[1, 2], [2, 0]]
    assert gf.topk(x, 1, axis=0, largest=False).values.tolist() == [[1.0, 2.0, 5.0]]
    check_grad(lambda x: gf.topk(x, 2).values ** 2, x)


@pytest.mark.parametrize("side", ["left", "right"])
def test_searchsorted(side: str) -> None:
    x, v = np.array([1.0, 2.0, 2.0, 5.0, np.nan]), np.array([[0.0, 2.0], [6.0, np.nan]])
    np.testing.assert_array_equal(
        gf.searchsorted(gf.tensor(x), gf.tensor(v), side=side).numpy(), np.searchsorted(x, v, side)
    )
    order = np.array([2, 0, 1])
    found = gf.searchsorted(gf.tensor([20, 30, 10]), gf.tensor(20), side=side, sorter=gf.tensor(order))
    assert found.item() == (1 if side == "left" else 2)


def test_unique() -> None:
    x = np.array([[3, 1, 3], [2, 1, 1]])
    found = gf.unique_all(gf.tensor(x))
    values, indices, inverse, counts = np.unique(x, return_index=True, return_inverse=True, return_counts=True)
    for have, want in zip(found, (values, indices, inverse.reshape(x.shape), counts), strict=True):
        np.testing.assert_array_equal(have.numpy(), want)
    assert gf.unique_values(gf.tensor([np.nan, 1.0, np.nan])).shape == (3,)  # every NaN is a value of its own
    assert gf.unique(gf.tensor(x)).tolist() == [1, 2, 3]
    assert gf.unique_counts(gf.tensor(x)).counts.tolist() == [3, 1, 2]
    assert gf.unique_inverse(gf.tensor(x)).inverse_indices.shape == (2, 3)
    with gf.Graph(), pytest.raises(TraceError, match="unique_values"):
        gf.unique_values(gf.placeholder((3,), name="x"))


def test_running_sums_and_products() -> None:
    x = RNG.uniform(0.5, 1.5, (3, 4))
    for axis in (0, 1, -1):
        assert_close(gf.cumulative_sum(gf.tensor(x), axis=axis).numpy(), np.cumsum(x, axis))
        assert_close(gf.cumulative_prod(gf.tensor(x), axis=axis).numpy(), np.cumprod(x, axis))
    assert_close(gf.cumsum(gf.tensor(x)).numpy(), np.cumsum(x))
    found = gf.cumulative_sum(gf.tensor(x), axis=1, include_initial=True).numpy()
    assert_close(found, np.concatenate([np.zeros((3, 1)), np.cumsum(x, 1)], 1))
    assert gf.cumulative_prod(gf.tensor([2, 3], dtype=gf.int8), include_initial=True).tolist() == [1, 2, 6]
    assert gf.cumulative_sum(gf.ones(3, dtype=gf.uint8)).dtype == gf.uint64
    assert gf.cumulative_sum(gf.ones(3, dtype=gf.bool)).tolist() == [1, 2, 3]
    assert gf.cumulative_sum(gf.full((3000,), 0.001, dtype=gf.float16))[-1].item() == pytest.approx(3.0, rel=2e-3)
    check_grad(lambda x: [gf.cumsum(x, 0) ** 2, gf.cumprod(x, 1) ** 2], x)


def test_the_gradient_of_a_running_product_through_zeros() -> None:
    for x in ([2.0, 0.0, 3.0, 4.0], [0.0, 2.0, 0.0, 3.0], [1.0, 2.0, 3.0, 0.0]):
        check_grad(lambda x: gf.cumprod(x, 0) * gf.tensor([1.0, 2.0, 3.0, 4.0]), np.array(x), order=1)


def test_running_extremes() -> None:
    x = gf.tensor(MESSY)
    values, places = gf.cummax(x, 1)
    np.testing.assert_array_equal(values.numpy(), np.maximum.accumulate(MESSY, 1))
    assert places.tolist() == [[0, 1, 1, 1, 1, 1, 1], [0, 1, 2, 3, 3, 3, 3]]  # NaN stays, of equal ones the last
    np.testing.assert_array_equal(x.cummin(dim=0).values.numpy(), np.minimum.accumulate(MESSY, 0))
    assert gf.cummin(gf.tensor([3, 1, 2, 1]), 0).indices.tolist() == [0, 1, 1, 3]
    check_grad(lambda x: [gf.cummax(x, 0).values ** 2, gf.cummin(x, 1).values ** 3], RNG.random((4, 3)))


def test_running_sums_of_exponentials() -> None:
    x = RNG.normal(0, 300, (3, 4))
    assert_close(gf.logcumsumexp(gf.tensor(x), 1).numpy(), np.logaddexp.accumulate(x, 1))
    x = np.array([[-np.inf, -np.inf, 0.0, 1000.0], [np.inf, 0.0, np.nan, 1.0]])
    want = [[-np.inf, -np.inf, 0.0, 1000.0], [np.inf, np.inf, np.nan, np.nan]]
    np.testing.assert_array_equal(gf.logcumsumexp(gf.tensor(x), -1).numpy(), want)
    assert gf.logcumsumexp(gf.zeros((0, 3)), 0).shape == (0, 3)
    assert gf.logcumsumexp(gf.tensor([0, 0]), 0).dtype is gf.float32
    check_grad(lambda x: gf.logcumsumexp(x, 1), RNG.normal(size=(3, 4)))


def test_diff() -> None:
    x = RNG.random((3, 5))
    for n in (0, 1, 2, 7):
        assert_close(gf.diff(gf.tensor(x), n=n).numpy(), np.diff(x, n))
    found = gf.diff(gf.tensor(x), axis=0, prepend=gf.zeros((1, 5), dtype=gf.float64), append=gf.tensor(x[:1]))
    assert_close(found.numpy(), np.diff(x, axis=0, prepend=np.zeros((1, 5)), append=x[:1]))


@pytest.mark.parametrize("symbolic", [False, True])
def test_all_modes_agree(symbolic: bool) -> None:
    def function(x: Any, i: Any) -> list[Any]:
        return [
            *(gf.sort(x), gf.argsort(x, axis=0, descending=True), gf.topk(x, 2).values, gf.sort(i)),
            *(gf.cumsum(x, 0), gf.cumprod(x, 1), gf.cumsum(i), gf.diff(x, axis=0)),
            *(gf.searchsorted(gf.sort(x[0]), x), gf.cumulative_sum(x, axis=1, include_initial=True)),
            *(gf.cummax(x, 1).values, gf.cummin(i, 0).indices, gf.logcumsumexp(x, 0)),
        ]

    check_parity(function, RNG.random((3, 4)).astype(np.float32), np.array([3, 1, 2]), symbolic=symbolic)


def test_errors() -> None:
    with pytest.raises(ShapeError, match="rank 1 or more"):
        gf.sort(gf.tensor(1.0))
    with pytest.raises(ShapeError, match="4 elements along axis 0 of size 3"):
        gf.topk(gf.ones(3), 4)
    with pytest.raises(ShapeError, match="needs an axis"):
        gf.cumulative_sum(gf.ones((2, 2)))
    with pytest.raises(ValueError, match="'left' or 'right'"):
        gf.searchsorted(gf.ones(2), gf.ones(2), side="middle")
    with pytest.raises(ShapeError, match="one axis"):
        gf.searchsorted(gf.ones((2, 2)), gf.ones(2))


# -- the native kernels, with large operands cut into chunks -----------------------------------------------------------
NATIVE = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 2, ctypes.c_void_p)


def call_kernel(name: str, arrays: Sequence[Any], attrs: dict[str, Any], backwards: bool) -> tuple[Any, Any, int]:
    """Run an op's library kernel chunk by chunk: its result, the status buffer, and the number of chunks."""
    op = OPS[name]
    avals = [AVal(a.shape, as_dtype(a.dtype)) for a in arrays]
    result = op.infer(*avals, **attrs)
    kernel, params = op.emit(*avals, **attrs)
    dtypes = [a.dtype.name for a in (*avals, result)]
    unit = Unit.python(
        hashlib.sha256(f"test {kernel} {dtypes} {params}".encode()).hexdigest()[:40], KERNELS[kernel](dtypes, params)
    )
    function = NATIVE(compile_units([unit])[unit.key])
    out, status = np.empty(result.shape, result.dtype.np), np.zeros(2, np.int64)
    buffers = [*map(np.ascontiguousarray, arrays), out, status]
    table = np.array([b.ctypes.data for b in buffers])
    shapes = [a.shape for a in (*avals, result)]
    args = np.array([*range(len(buffers)), 7, *(n for s in shapes for n in s)])
    count = chunks(kernel, shapes)
    for chunk in range(count)[:: -1 if backwards else 1]:
        function(table.ctypes.data, args.ctypes.data, chunk, chunk + 1, None)
    return out, status, count


def large_cases() -> list[tuple[str, list[Any], dict[str, Any]]]:
    x = RNG.random((120, 1000)).astype(np.float32)
    index = RNG.integers(-120, 120, 300)
    updates = RNG.random((300, 1000)).astype(np.float32)
    parts = np.stack([updates] * 4)
    scatters = [(f"scatter_{mode}", [x, index, updates], {"axis": 0}) for mode in ("set", "add", "mul", "min", "max")]
    return [
        *scatters,
        ("scatter_add", [x.reshape(4, 30, 1000), index % 30, parts], {"axis": 1}),
        ("argsort", [np.where(x < 0.1, np.nan, np.round(x, 2))], {}),
        ("cumsum", [x], {"axis": 0}),
        ("cumsum", [x.reshape(12, 100, 100)], {"axis": 1}),
        ("cumprod", [x + 0.5], {"axis": 1}),
        ("cumargmax", [np.round(x, 2)], {"axis": 0}),
        ("cumargmin", [np.round(x, 2).reshape(12, 100, 100)], {"axis": 1}),
        ("searchsorted", [np.sort(x[0]), x], {"right": True}),
    ]  # fmt: skip


@pytest.mark.parametrize("backwards", [False, True])
def test_kernels_give_the_same_bits_however_the_chunks_are_done(backwards: bool) -> None:
    for name, arrays, attrs in large_cases():
        out, status, count = call_kernel(name, arrays, attrs, backwards)
        assert count > 1
        assert not status.any()
        np.testing.assert_array_equal(out, OPS[name].ref(*arrays, **attrs), err_msg=name)


def test_kernels_report_an_index_out_of_range() -> None:
    out, status, _ = call_kernel("scatter_add", [np.zeros(3), np.array([0, 9]), np.ones(2)], {"axis": 0}, False)
    assert status.tolist() == [7, 9]
    assert out.tolist() == [1.0, 0.0, 1.0]


def test_kernels_found_in_the_cache_need_no_numba() -> None:
    script = """
import sys, graphflow as gf
f = gf.compile(lambda x, i: (gf.cumsum(x, 0), x.at[i].add(1.0), gf.argsort(x)))
f(gf.ones((4, 3)), gf.tensor([1, 1]))
print("numba" in sys.modules)
"""
    runs = [
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True) for _ in range(2)
    ]
    assert runs[1].stdout.strip() == "False"
