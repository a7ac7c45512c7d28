"""The ground everything stands on: sizes, dtypes, views, nesting, memory placement."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import graphflow as gf
from graphflow.core.dims import Dim, broadcast_shapes, collecting_assumptions, evaluate
from graphflow.core.dtypes import REAL, as_dtype, promote_types
from graphflow.core.tree import flatten, unflatten
from graphflow.core.view import View
from graphflow.schedule.memory import Lifetime, place

SIZES = {"n": 7, "m": 12}


@st.composite
def sizes(draw: st.DrawFn, depth: int = 3) -> Any:
    """A symbolic size and the same arithmetic on its numbers."""
    if depth == 0 or draw(st.booleans()):
        leaf = draw(st.sampled_from(["n", "m", 1, 2, 3]))
        return (Dim(leaf), SIZES[leaf]) if isinstance(leaf, str) else (leaf, leaf)
    (a, x), (b, y) = draw(sizes(depth - 1)), draw(sizes(depth - 1))
    op = draw(st.sampled_from(["+", "-", "*", "//"]))
    if op == "//":
        k = draw(st.integers(1, 5))
        return a // k, x // k
    return {"+": (a + b, x + y), "-": (a - b, x - y), "*": (a * b, x * y)}[op]


@given(sizes())
def test_symbolic_arithmetic_is_arithmetic(pair: Any) -> None:
    symbolic, number = pair
    assert evaluate(symbolic, SIZES) == number


def test_exact_division_and_equality() -> None:
    n = Dim("n")
    assert (n * 28 * 28) // 28 == n * 28 and n * 2 + n == 3 * n and (n + 1) - n == 1 and (n * n) // n == n


def test_a_symbolic_size_has_no_number() -> None:
    with pytest.raises(gf.errors.SymbolicDimError, match=r"test_foundations\.py"):
        range(Dim("n"))  # type: ignore[arg-type]


def test_broadcasting_of_symbolic_sizes() -> None:
    n, m = Dim("n"), Dim("m")
    assert broadcast_shapes((n, 1), (5,)) == (n, 5)
    with pytest.raises(gf.errors.ShapeError, match="do not broadcast"):
        broadcast_shapes((n,), (m,))
    assumed: list[Any] = []
    with collecting_assumptions(assumed):
        assert broadcast_shapes((n,), (m,)) == (n,)
    assert assumed == [(n, m)]


@pytest.mark.parametrize("a", REAL, ids=str)
@pytest.mark.parametrize("b", REAL, ids=str)
def test_promotion_holds_both_and_commutes(a: Any, b: Any) -> None:
    if {a.kind, b.kind} == {"int", "uint"} and max(x.bits for x in (a, b) if x.kind == "uint") == 64:
        with pytest.raises(gf.errors.DTypeError):
            promote_types(a, b)
        return
    out = promote_types(a, b)
    assert out is promote_types(b, a) and promote_types(out, a) is out
    same_kind = a.kind == b.kind or {a.kind, b.kind} == {"int", "uint"}
    if same_kind and "bfloat16" not in (a.name, b.name):
        assert out == np.promote_types(a.np, b.np)


def test_dtypes_are_numpys_where_numpy_has_them() -> None:
    assert as_dtype(np.float32) is gf.float32 and as_dtype("int8") is gf.int8 and np.dtype(gf.uint16) == np.uint16
    with pytest.raises(TypeError, match="no GraphFlow dtype"):
        as_dtype("datetime64[s]")


@given(st.data())
def test_views_agree_with_numpy(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    buffer = np.arange(int(np.prod(shape)))
    array, view = buffer.reshape(shape), View.contiguous(shape)
    for _ in range(data.draw(st.integers(1, 4))):
        rank = array.ndim
        kind = data.draw(st.sampled_from(["permute", "slice", "flip", "reshape"]))
        if kind == "permute":
            axes = tuple(data.draw(st.permutations(range(rank))))
            array, view = array.transpose(axes), view.permute(axes)
        elif kind == "reshape":
            flat = (array.size,)
            wanted = data.draw(st.sampled_from([flat, (1, *array.shape), (*array.shape, 1), array.shape]))
            moved = view.reshape(wanted)
            if moved is None:
                assert not np.shares_memory(array.reshape(wanted), buffer), "NumPy found strides where View did not"
                continue
            array, view = array.reshape(wanted), moved
        else:
            step = -1 if kind == "flip" else 1
            starts = tuple(n - 1 if step < 0 else data.draw(st.integers(0, n - 1)) for n in array.shape)
            counts = tuple(n if step < 0 else n - s for n, s in zip(array.shape, starts, strict=True))
            array = array[tuple(slice(None, None, -1) if step < 0 else slice(s, None) for s in starts)]
            view = view.slice(starts, counts, (step,) * rank)
    indices = np.indices(array.shape).reshape(array.ndim, -1)
    offsets = view.offset + sum(i * s for i, s in zip(indices, view.strides, strict=True))
    assert view.shape == array.shape
    assert np.array_equal(buffer[offsets], array.reshape(-1))


class Pair(NamedTuple):
    left: Any
    right: Any


def test_nesting_survives_a_round_trip() -> None:
    nested = {"a": [1, (2, Pair(3, 4))], "b": {}, "c": ()}
    leaves, tree = flatten(nested)
    assert leaves == [1, 2, 3, 4] and unflatten(tree, leaves) == nested
    assert type(unflatten(tree, leaves)["a"][1][1]) is Pair


@given(st.lists(st.tuples(st.integers(1, 300), st.integers(0, 9), st.integers(0, 5)), max_size=20))
def test_buffers_that_live_together_do_not_overlap(raw: list[tuple[int, int, int]]) -> None:
    lifetimes = [Lifetime(size, first, first + span) for size, first, span in raw]
    offsets, total = place(lifetimes)
    for i, (a, x) in enumerate(zip(lifetimes, offsets, strict=True)):
        assert x % 64 == 0 and x + a.size <= total
        for b, y in zip(lifetimes[:i], offsets[:i], strict=True):
            if a.first <= b.last and b.first <= a.last:
                assert x + a.size <= y or y + b.size <= x
