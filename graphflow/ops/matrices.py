"""Functions of matrices and vectors made of other ops: diagonals, traces, norms, the cross product."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

from graphflow.core.dims import Dim, Shape, normalize_axes, normalize_axis, shape_str
from graphflow.core.dtypes import bool_
from graphflow.core.errors import ShapeError, at_line, user_origin
from graphflow.ops.arrange import moveaxis, roll
from graphflow.ops.creation import beside, iota
from graphflow.ops.define import cast, promote, public
from graphflow.ops.elementwise import abs as absolute
from graphflow.ops.elementwise import pow as power
from graphflow.ops.elementwise import sqrt, square, where
from graphflow.ops.movement import place, reshape, strided
from graphflow.ops.reduce import floating
from graphflow.ops.reduce import max as greatest
from graphflow.ops.reduce import min as least
from graphflow.ops.reduce import sum as total
from graphflow.tensor import Operators, Tensor, as_tensor


def _fail(message: str) -> ShapeError:
    return ShapeError(at_line(message, user_origin()))


# -- diagonals ---------------------------------------------------------------------------------------------------------
@public(methods=("diagonal",))
def diagonal(x: Any, /, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonal of two axes as the last axis (NumPy, PyTorch); ``offset`` counts diagonals to the right.

    >>> import graphflow as gf
    >>> gf.diagonal(gf.tensor([[1, 2], [3, 4]])).tolist(), gf.diagonal(gf.tensor([[1, 2], [3, 4]]), 1).tolist()
    ([1, 4], [2])
    """
    x = as_tensor(x)
    if x.ndim < 2 or normalize_axis(dim1, x.ndim) == normalize_axis(dim2, x.ndim):
        raise _fail(f"diagonal needs two different axes, got {dim1} and {dim2} of shape {shape_str(x.shape)}")
    x = moveaxis(x, (dim1, dim2), (-2, -1))
    rows, columns = x.shape[-2:]
    if isinstance(columns, Dim) and rows == columns and offset == 0:  # no fixed step, but a mask can tell
        here = _on_diagonal(x, (rows, columns))
        return total(where(here, x, cast(as_tensor(0), x.dtype)), axis=-1, dtype=x.dtype)
    rows, columns = operator.index(rows), operator.index(columns)  # a symbolic size raises
    count = max(0, min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns))
    start = 0 if count == 0 else offset if offset >= 0 else -offset * columns
    batch = x.shape[:-2]
    flat = reshape(x, (*batch, rows * columns))
    keep = (0,) * len(batch), (1,) * len(batch)
    return strided(flat, (*keep[0], start), (*batch, count), (*keep[1], columns + 1))


@public(methods=("diag",))
def diag(x: Any, /, k: int = 0) -> Tensor:
    """A matrix with the vector x as its k-th diagonal, or the k-th diagonal of the matrix x.

    >>> import graphflow as gf
    >>> gf.diag(gf.tensor([1, 2])).tolist(), gf.diag(gf.tensor([[1, 2], [3, 4]])).tolist()
    ([[1, 0], [0, 2]], [1, 4])
    """
    x = as_tensor(x)
    if x.ndim == 2:
        return diagonal(x, k)
    if x.ndim != 1:
        raise _fail(f"diag needs a vector or a matrix, got shape {shape_str(x.shape)}")
    square_ = where(_on_diagonal(x, x.shape * 2), x, cast(as_tensor(0), x.dtype))
    return place(square_, (max(0, -k), max(0, k)), (max(0, k), max(0, -k)), (0, 0)) if k else square_


def _on_diagonal(x: Tensor, shape: Shape) -> Tensor:
    """Which elements of matrices of ``shape`` lie on the diagonal; beside x in the graph."""
    with beside(x):
        return iota(shape, 0) == iota(shape, 1)


def trace(x: Any, /, offset: int = 0, *, dtype: Any = None) -> Tensor:
    """The sum of the diagonal of the last two axes (``x.trace()``; ``gf.trace`` records functions).

    >>> import graphflow as gf
    >>> gf.tensor([[1.0, 2.0], [3.0, 4.0]]).trace().item()
    5.0
    """
    return total(diagonal(x, offset, -2, -1), axis=-1, dtype=dtype)


Operators.trace = trace  # type: ignore[attr-defined]


# -- norms -------------------------------------------------------------------------------------------------------------
@public(methods=("vector_norm",))
def vector_norm(
    x: Any, /, *, axis: int | Sequence[int] | None = None, keepdims: bool = False, ord: float = 2
) -> Tensor:
    """The ``ord`` norm of the elements along ``axis``: 2, 1, inf, -inf, 0 (how many are not zero), or any number.

    The gradient of the 2-norm is 0 where the norm is 0, as in PyTorch.

    >>> import graphflow as gf
    >>> gf.vector_norm(gf.tensor([3.0, -4.0])).item(), gf.vector_norm(gf.tensor([3.0, -4.0]), ord=1).item()
    (5.0, 7.0)
    """
    x = as_tensor(x)
    kind = x.dtype if x.dtype.is_float else None
    x = floating(x)
    axes = normalize_axes(axis, x.ndim)
    if ord == math.inf:
        out = greatest(absolute(x), axes, keepdims)
    elif ord == -math.inf:
        out = least(absolute(x), axes, keepdims)
    elif ord == 0:
        out = total(cast(x != 0, x.dtype), axes, keepdims)
    elif ord == 1:
        out = total(absolute(x), axes, keepdims)
    elif ord == 2:
        out = _root(total(square(x), axes, keepdims))
    else:
        out = power(total(power(absolute(x), ord), axes, keepdims), 1.0 / ord)
    return cast(out, kind) if kind is not None else out


def _root(x: Tensor) -> Tensor:
    """The square root, with gradient 0 at 0."""
    zero = x == 0
    return where(zero, 0.0, sqrt(where(zero, 1.0, x)))


@public
def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Tensor:
    """The norm of the matrices in the last two axes: "fro", or 1, -1, inf, -inf (sums of columns and rows).

    >>> import graphflow as gf
    >>> gf.matrix_norm(gf.tensor([[3.0, 0.0], [0.0, 4.0]])).item()
    5.0
    """
    x = as_tensor(x)
    if x.ndim < 2:
        raise _fail(f"matrix_norm needs rank 2 or more, got shape {shape_str(x.shape)}")
    if ord == "fro":
        return vector_norm(x, axis=(-2, -1), keepdims=keepdims)
    if ord not in (1, -1, math.inf, -math.inf):
        raise ValueError(f"matrix_norm has ord 'fro', 1, -1, inf and -inf, not {ord!r}")
    summed, chosen = (-2, -1) if abs(ord) == 1 else (-1, -2)
    sums = total(absolute(x), summed, True)
    out = greatest(sums, chosen, True) if ord > 0 else least(sums, chosen, True)
    return out if keepdims else reshape(out, x.shape[:-2])


@public(methods=("norm",))
def norm(
    x: Any,
    ord: Any = 2,
    axis: Any = None,
    keepdims: bool = False,
    *,
    p: Any = None,
    dim: Any = None,
    keepdim: bool = False,
) -> Tensor:
    """``vector_norm`` with positional arguments (``p`` is PyTorch's ``ord``); "fro" is the 2-norm of all elements.

    >>> import graphflow as gf
    >>> gf.norm(gf.tensor([[3.0], [4.0]])).item()
    5.0
    """
    ord = ord if p is None else p
    axes = axis if dim is None else dim
    return vector_norm(x, axis=axes, keepdims=keepdims or keepdim, ord=2 if ord in ("fro", None) else ord)


@public(methods=("cross",))
def cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Tensor:
    """The cross product of vectors of three elements along ``axis``; the other axes broadcast.

    >>> import graphflow as gf
    >>> gf.cross(gf.tensor([1, 0, 0]), gf.tensor([0, 1, 0])).tolist()
    [0, 0, 1]
    """
    a, b = promote(x1, x2)
    if a.dtype is bool_ or a.shape[axis] != 3 or b.shape[axis] != 3:
        raise _fail(f"cross needs 3 numbers on axis {axis}, got {shape_str(a.shape)} and {shape_str(b.shape)}")
    return roll(a, -1, axis) * roll(b, 1, axis) - roll(a, 1, axis) * roll(b, -1, axis)
