"""Along an axis, for each element, what came before it: running sums, products and extremes, and differences."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphflow.core.aval import AVal
from graphflow.core.dims import Size, normalize_axis, shape_str
from graphflow.core.dispatch import apply
from graphflow.core.dtypes import as_dtype, float32, int64, uint64
from graphflow.core.errors import ShapeError, at_line, user_origin
from graphflow.core.op import Op, Sample
from graphflow.ops.arrange import moveaxis
from graphflow.ops.creation import beside, full
from graphflow.ops.define import cast, primitive, public
from graphflow.ops.elementwise import where
from graphflow.ops.fused import fused
from graphflow.ops.loops import scan
from graphflow.ops.mathematical import logaddexp
from graphflow.ops.movement import concat, part, reshape, reverse
from graphflow.ops.picking import take_along_axis
from graphflow.ops.reduce import floating
from graphflow.ops.sorting import Sorted
from graphflow.ops.spelling import takes_dim
from graphflow.tensor import Tensor, as_tensor


# -- running sums and products -----------------------------------------------------------------------------------------
def _backwards(x: Tensor, axis: int) -> Tensor:
    """The running sum from the end."""
    return reverse(apply(CUMSUM, (reverse(x, (axis,)),), {"axis": axis}), (axis,))


def _cumprod_vjp(g: Tensor, out: Tensor, x: Tensor, axis: int) -> tuple[Tensor]:
    """Before the first zero of a line (sum of g * out from here on) / x; at it the same with 1 in its place; then 0."""
    zero = x == 0.0
    zeros = apply(CUMSUM, (cast(zero, x.dtype),), {"axis": axis})
    first = zero & (zeros == 1.0)
    rest = where(first, 1.0, x)
    at_first = _backwards(g * apply(CUMPROD, (rest,), {"axis": axis}), axis)
    before = _backwards(g * out, axis) / where(zero, 1.0, x)
    return (where(zeros == 0.0, before, where(first, at_first, 0.0)),)


def _cumulative(name: str, ufunc: Any, vjp: Any, doc: str) -> Op:
    samples = [
        Sample(((3, 4),), {"axis": 1}, low=0.5),
        Sample(((2, 3, 2),), {"axis": 1}, low=0.5, high=1.5),
        Sample(((0,),), {"axis": 0}),
    ]
    return primitive(
        name,
        "library",
        lambda x, axis: x,
        lambda x, axis: ufunc.accumulate(x, axis, dtype=x.dtype),
        vjp,
        lambda x, axis: (name, {"axis": axis, "rank": x.ndim}),
        samples=lambda: samples,
        dtypes="numeric",
        doc=doc,
    )


CUMSUM = _cumulative("cumsum", np.add, lambda g, out, x, axis: (_backwards(g, axis),), "Running sums along an axis.")
CUMPROD = _cumulative("cumprod", np.multiply, _cumprod_vjp, "Running products along an axis.")


def _running(op: Op, x: Any, axis: int | None, dtype: Any, initial: int | None) -> Tensor:
    x = as_tensor(x)
    if axis is None:
        if x.ndim != 1:
            raise ShapeError(at_line(f"{op.name} of shape {shape_str(x.shape)} needs an axis", user_origin()))
        axis = 0
    where_ = normalize_axis(axis, x.ndim)
    if dtype is not None:
        kind = as_dtype(dtype)
    else:  # whole numbers are added up in 64 bits
        kind = x.dtype if x.dtype.is_float else uint64 if x.dtype.kind == "uint" else int64
    wide = float32 if kind.is_float and kind.bits == 16 else kind  # so that sums of many do not lose digits
    out = cast(apply(op, (cast(x, wide),), {"axis": where_}), kind)
    if initial is None:
        return out
    with beside(x):
        first = full(tuple(1 if a == where_ else n for a, n in enumerate(x.shape)), initial, dtype=kind)
    return concat([first, out], where_)


@public
def cumulative_sum(x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Tensor:
    """The sums of all elements up to each, along an axis (needed above rank 1); integers in 64 bits.

    ``include_initial`` puts a 0 in front.

    >>> import graphflow as gf
    >>> gf.cumulative_sum(gf.tensor([1, 2, 3]), include_initial=True).tolist()
    [0, 1, 3, 6]
    """
    return _running(CUMSUM, x, axis, dtype, 0 if include_initial else None)


@public
def cumulative_prod(x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Tensor:
    """The products of all elements up to each, along an axis (needed above rank 1); integers in 64 bits.

    >>> import graphflow as gf
    >>> gf.cumulative_prod(gf.tensor([1, 2, 3])).tolist()
    [1, 2, 6]
    """
    return _running(CUMPROD, x, axis, dtype, 1 if include_initial else None)


@public(methods=("cumsum",))
@takes_dim
def cumsum(x: Any, /, axis: int | None = None, *, dtype: Any = None) -> Tensor:
    """``cumulative_sum`` as NumPy and PyTorch call it; without axis x is flattened."""
    return _running(CUMSUM, x if axis is not None else reshape(x, -1), axis, dtype, None)


@public(methods=("cumprod",))
@takes_dim
def cumprod(x: Any, /, axis: int | None = None, *, dtype: Any = None) -> Tensor:
    """``cumulative_prod`` as NumPy and PyTorch call it; without axis x is flattened."""
    return _running(CUMPROD, x if axis is not None else reshape(x, -1), axis, dtype, None)


# -- running extremes --------------------------------------------------------------------------------------------------
def _cumarg_ref(reaches: Any) -> Any:
    def ref(x: Any, axis: int) -> Any:
        lines = np.moveaxis(x, axis, 0)
        places = np.zeros(lines.shape, np.int64)
        best = lines[:1].copy()
        for i in range(1, len(lines)):
            takes = (lines[i] != lines[i]) | ((best[0] == best[0]) & reaches(lines[i], best[0]))
            best[0] = np.where(takes, lines[i], best[0])
            places[i] = np.where(takes, i, places[i - 1])
        return np.moveaxis(places, 0, axis)

    return ref


def _cumarg(name: str, reaches: Any, doc: str) -> Op:
    samples = [
        Sample(((3, 4),), {"axis": 1}, grad=False),
        Sample(((2, 3, 2),), {"axis": 1}, grad=False),
        Sample((np.array([1.0, 1.0, np.nan, 3.0, np.nan, 0.0], np.float32),), {"axis": 0}, grad=False),
        Sample(((0,),), {"axis": 0}, grad=False),
    ]
    return primitive(
        name,
        "library",
        lambda x, axis: AVal(x.shape, int64),
        _cumarg_ref(reaches),
        None,
        lambda x, axis: (name, {"axis": axis, "rank": x.ndim}),
        samples=lambda: samples,
        doc=doc,
    )


CUMARGMAX = _cumarg("cumargmax", np.greater_equal, "Where the greatest element so far along an axis is, the last such.")
CUMARGMIN = _cumarg("cumargmin", np.less_equal, "Where the least element so far along an axis is, the last such.")


def _running_extreme(op: Op, x: Any, axis: int) -> Sorted:
    x = as_tensor(x)
    where_ = normalize_axis(axis, x.ndim)
    places = apply(op, (x,), {"axis": where_})
    return Sorted(take_along_axis(x, places, where_), places)


@public(methods=("cummax",))
@takes_dim
def cummax(x: Any, /, axis: int) -> Sorted:
    """The greatest element so far along an axis, and where it is: of equal ones the last (PyTorch). NaN stays.

    >>> import graphflow as gf
    >>> values, indices = gf.cummax(gf.tensor([1.0, 3.0, 2.0, 3.0]), 0)
    >>> values.tolist(), indices.tolist()
    ([1.0, 3.0, 3.0, 3.0], [0, 1, 1, 3])
    """
    return _running_extreme(CUMARGMAX, x, axis)


@public(methods=("cummin",))
@takes_dim
def cummin(x: Any, /, axis: int) -> Sorted:
    """The least element so far along an axis, and where it is: of equal ones the last (PyTorch). NaN stays.

    >>> import graphflow as gf
    >>> gf.cummin(gf.tensor([2, 3, 1]), 0).values.tolist()
    [2, 2, 1]
    """
    return _running_extreme(CUMARGMIN, x, axis)


@public(methods=("logcumsumexp",))
@takes_dim
def logcumsumexp(x: Any, /, axis: int) -> Tensor:
    """The logarithm of the sum of the exponentials of all elements up to each, without overflow.

    >>> import graphflow as gf
    >>> gf.logcumsumexp(gf.tensor([1000.0, 1000.0]), 0).numpy().round(3)
    array([1000.   , 1000.693], dtype=float32)
    """
    x = floating(as_tensor(x))
    return _logcumsumexp(x, normalize_axis(axis, x.ndim))


@fused("batch", "x")
def _logcumsumexp(x: Tensor, axis: int) -> Tensor:
    lines = moveaxis(x, axis, 0)
    with beside(x):
        none = full(lines.shape[1:], -np.inf, dtype=x.dtype)

    def step(total: Tensor, element: Tensor) -> tuple[Tensor, Tensor]:
        total = logaddexp(total, element)
        return total, total

    return moveaxis(scan(step, none, lines)[1], 0, axis)


# -- differences -------------------------------------------------------------------------------------------------------
@public(methods=("diff",))
@takes_dim
def diff(x: Any, /, *, axis: int = -1, n: int = 1, prepend: Any = None, append: Any = None) -> Tensor:
    """The differences of neighbours along an axis, taken n times; ``prepend`` and ``append`` are put around x first.

    >>> import graphflow as gf
    >>> gf.diff(gf.tensor([1, 4, 9, 16])).tolist(), gf.diff(gf.tensor([1, 4, 9, 16]), n=2).tolist()
    ([3, 5, 7], [2, 2])
    """
    x = as_tensor(x)
    where_ = normalize_axis(axis, x.ndim)
    around = [as_tensor(t) for t in (prepend, x, append) if t is not None]
    if len(around) > 1:
        x = concat(around, where_)
    for _ in range(n):
        size: Size = x.shape[where_]
        if size == 0:
            break
        after, before = part(x, where_, 1, size - 1), part(x, where_, 0, size - 1)
        x = after != before if x.dtype.kind == "bool" else after - before
    return x
