"""Elements picked by integer tensors, and written to such places: take, scatter, and the functions made of them.

Two kinds of primitive do all of it: ``take`` reads along one axis, ``scatter_*`` combine updates into one axis.
Whatever indexes several axes computes positions in the flattened tensor first. Negative indices count from the end; an
index out of range raises IndexingError, also from compiled code.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphflow.core.aval import AVal
from graphflow.core.dims import Dim, Shape, Size, broadcast_shapes, normalize_axis, product, same_size, shape_str
from graphflow.core.dispatch import apply
from graphflow.core.dtypes import bool_, float32, int64
from graphflow.core.errors import DTypeError, IndexingError, ShapeError, at_line, user_origin
from graphflow.core.op import Op, Sample
from graphflow.ops.arrange import moveaxis
from graphflow.ops.creation import beside, filled_like, iota, zeros
from graphflow.ops.define import cast, primitive, promote, public
from graphflow.ops.elementwise import needs_gradient, where
from graphflow.ops.movement import broadcast_to, reshape, strided
from graphflow.ops.special import size_of
from graphflow.ops.spelling import takes_dim
from graphflow.tensor import Array, Operators, Tensor, as_tensor


def as_index(index: Any) -> Tensor:
    """An integer tensor as int64, which is what kernels read. Raises DTypeError for other dtypes."""
    tensor = as_tensor(index)
    if not tensor.dtype.is_int:
        raise DTypeError(at_line(f"indices must be integers, got {tensor.dtype}", user_origin()))
    return cast(tensor, int64)


def checked(index: Array, size: int, axis: int) -> Array:
    """Indices counted from the start. Raises IndexingError if one is out of range."""
    bad = index[(index < -size) | (index >= size)]
    if bad.size:
        raise IndexingError(f"index {bad.flat[0]} is out of range for axis {axis} of size {size}")
    return np.where(index < 0, index + size, index)


# -- take --------------------------------------------------------------------------------------------------------------
def _take_infer(x: AVal, indices: AVal, axis: int) -> AVal:
    if indices.dtype is not int64:
        raise DTypeError(f"indices must be int64, got {indices.dtype}")
    return AVal(x.shape[:axis] + indices.shape + x.shape[axis + 1 :], x.dtype)


def _take_ref(x: Array, indices: Array, axis: int) -> Array:
    try:
        return np.take(x, indices, axis)
    except IndexError:
        return np.take(x, checked(indices, x.shape[axis], axis), axis)


TAKE = primitive(
    "take",
    "gather",
    _take_infer,
    _take_ref,
    lambda g, out, x, indices, axis: (scatter_into(filled_like(x, 0), indices, g, axis, "add"), None),
    samples=lambda: [
        Sample(((4, 3), np.array([1, -1, 1, 0])), {"axis": 0}),
        Sample(((2, 3, 2), np.array([[2, 0], [1, 1]])), {"axis": 1}),
        Sample(((3,), np.array(2)), {"axis": 0}),
        Sample(((3, 2), np.zeros((0,), np.int64)), {"axis": 1}),
    ],
    doc="The elements of one axis that an integer tensor names.",
)


def pick(x: Tensor, indices: Tensor, axis: int) -> Tensor:
    """``take`` with everything normalised: an int64 tensor of indices and a non-negative axis."""
    return apply(TAKE, (x, indices), {"axis": axis})  # type: ignore[no-any-return]


@public(methods=("take",))
def take(x: Any, indices: Any, /, axis: int | None = None) -> Tensor:
    """The elements of x along ``axis`` at ``indices`` (of any shape, which takes the axis' place).

    Without ``axis`` x must have one axis, or is flattened. Raises IndexingError for an index out of range.

    >>> import graphflow as gf
    >>> gf.take(gf.tensor([[1, 2, 3], [4, 5, 6]]), gf.tensor([2, 0]), axis=1).tolist()
    [[3, 1], [6, 4]]
    """
    x = as_tensor(x)
    if axis is None:
        x, axis = reshape(x, -1), 0
    return pick(x, as_index(indices), normalize_axis(axis, x.ndim))


@public(methods=("index_select",))
def index_select(x: Any, dim: int, index: Any) -> Tensor:
    """PyTorch's spelling of ``take`` with one axis of indices.

    >>> import graphflow as gf
    >>> gf.index_select(gf.tensor([10, 20, 30]), 0, gf.tensor([2, 2])).tolist()
    [30, 30]
    """
    return take(x, index, axis=dim)


# -- scatter -----------------------------------------------------------------------------------------------------------
def _scatter_infer(x: AVal, indices: AVal, updates: AVal, axis: int) -> AVal:
    if indices.dtype is not int64:
        raise DTypeError(f"indices must be int64, got {indices.dtype}")
    if updates.dtype is not x.dtype:
        raise DTypeError(f"updates are {updates.dtype}, the tensor is {x.dtype}; cast one with .astype")
    want = x.shape[:axis] + indices.shape + x.shape[axis + 1 :]
    if len(want) != updates.ndim or not all(map(same_size, want, updates.shape)):
        raise ShapeError(f"updates have shape {shape_str(updates.shape)}, the indexed part {shape_str(want)}")
    return x


def _scatter_ref(combine: Any) -> Any:
    """In order of the updates, so that the last of several for one element wins and sums are deterministic."""

    def ref(x: Array, indices: Array, updates: Array, axis: int) -> Array:
        out = x.copy()
        rows = np.moveaxis(out, axis, 0)
        rank = indices.ndim
        updates = np.moveaxis(updates, range(axis, axis + rank), range(rank))
        indices = checked(indices, x.shape[axis], axis)
        if combine is None:
            rows[indices] = updates
        else:
            combine.at(rows, indices, updates)
        return out

    return ref


def _set_vjp(g: Tensor, out: Tensor, x: Tensor, indices: Tensor, updates: Tensor, axis: int) -> tuple[Any, ...]:
    gx = scatter_into(g, indices, filled_like(updates, 0), axis, "set")
    if not needs_gradient(updates):
        return gx, None, None
    # Only the last update of an element shows in the result: number the updates and see whose number is left there.
    with beside(g):
        numbers = reshape(iota((indices.size,)), indices.shape)
        places = zeros((x.shape[axis],), dtype=int64)
    left = pick(scatter_into(places, indices, numbers, 0, "set"), indices, 0)
    shown = reshape(left == numbers, (*indices.shape, *(1,) * (x.ndim - axis - 1)))
    return gx, None, where(shown, pick(g, indices, axis), 0.0)


def _add_vjp(g: Tensor, out: Tensor, x: Tensor, indices: Tensor, updates: Tensor, axis: int) -> tuple[Any, ...]:
    return g, None, pick(g, indices, axis)


def _mul_vjp(g: Tensor, out: Tensor, x: Tensor, indices: Tensor, updates: Tensor, axis: int) -> tuple[Any, ...]:
    """The factor of each update is the product of x and the other updates, also where some of them are zero."""
    ones, zeros = filled_like(x, 1), filled_like(x, 0)
    gx = g * scatter_into(ones, indices, updates, axis, "mul")
    if not needs_gradient(updates):
        return gx, None, None
    is_zero = updates == 0.0
    nonzero = where(is_zero, 1.0, updates)
    rest = pick(g * scatter_into(x, indices, nonzero, axis, "mul"), indices, axis)
    count = pick(scatter_into(zeros, indices, cast(is_zero, x.dtype), axis, "add"), indices, axis)
    others_nonzero = count == where(is_zero, 1.0, filled_like(updates, 0))
    return gx, None, where(others_nonzero, rest / nonzero, 0.0)


def _extremum_vjp(g: Tensor, out: Tensor, x: Tensor, indices: Tensor, updates: Tensor, axis: int) -> tuple[Any, ...]:
    """The elements equal to the extremum share its gradient, as in PyTorch."""
    x_wins = cast(x == out, g.dtype)
    wins = cast(updates == pick(out, indices, axis), g.dtype)
    share = g / scatter_into(x_wins, indices, wins, axis, "add")
    return where(x == out, share, 0.0), None, pick(share, indices, axis) * wins


def _scatter_op(mode: str, combine: Any, vjp: Any, doc: str) -> Op:
    def emit(x: AVal, indices: AVal, updates: AVal, axis: int) -> tuple[str, dict[str, Any]]:
        return f"scatter_{mode}", {"axis": axis, "rank": x.ndim, "index_rank": indices.ndim}

    samples = [
        Sample(((4, 2), np.array([1, 3, 0]), (3, 2)), {"axis": 0}),
        Sample(((2, 3), np.array([[2, -2], [2, 2]]), (2, 2, 2)), {"axis": 1}, low=0.5, high=2.0),
        Sample(((3,), np.zeros((0,), np.int64), (0,)), {"axis": 0}),
    ]
    ref = _scatter_ref(combine)
    return primitive(f"scatter_{mode}", "library", _scatter_infer, ref, vjp, emit, samples=lambda: samples, doc=doc)


SCATTER: dict[str, Op] = {
    "set": _scatter_op("set", None, _set_vjp, "Updates written to places along an axis."),
    "add": _scatter_op("add", np.add, _add_vjp, "Updates added to places along an axis."),
    "mul": _scatter_op("mul", np.multiply, _mul_vjp, "Places along an axis multiplied by updates."),
    "min": _scatter_op("min", np.minimum, _extremum_vjp, "The lesser of updates and places along an axis."),
    "max": _scatter_op("max", np.maximum, _extremum_vjp, "The greater of updates and places along an axis."),
}


def scatter_into(x: Tensor, indices: Tensor, updates: Tensor, axis: int, mode: str) -> Tensor:
    """x with ``updates`` combined into the places ``indices`` of an axis; shapes as ``take`` gives them.

    16-bit floats are combined in float32 and rounded at the end.
    """
    if x.dtype.is_float and x.dtype.bits == 16 and updates.dtype is x.dtype:
        wide = scatter_into(cast(x, float32), indices, cast(updates, float32), axis, mode)
        return cast(wide, x.dtype)
    if x.dtype is bool_ and mode in ("add", "mul"):
        raise DTypeError(at_line(f"a bool tensor cannot be updated by {mode}; use set, min or max", user_origin()))
    return apply(SCATTER[mode], (x, indices, updates), {"axis": axis})  # type: ignore[no-any-return]


# -- positions in flattened tensors ------------------------------------------------------------------------------------
def _strides(shape: Shape) -> list[Size]:
    return [product(shape[i + 1 :]) for i in range(len(shape))]


def linear_index(indices: list[Tensor], shape: Shape, near: Tensor) -> Tensor:
    """Positions in a flattened tensor of ``shape``, from an index tensor for each axis (all broadcast together).

    An index out of range raises where its number is known; otherwise it gives a position past the end, which the op
    that uses it reports. ``near`` is the indexed tensor.
    """
    symbolic = [t for t in (near, *indices) if t._node is not None]
    if not symbolic or (not any(isinstance(s, Dim) for s in shape) and symbolic == [near]):
        arrays = [checked(i._data, n, axis) for axis, (i, n) in enumerate(zip(indices, shape))]  # type: ignore[arg-type]
        try:
            return Tensor(np.asarray(sum(a * s for a, s in zip(arrays, _strides(shape))), np.int64))
        except ValueError:
            shapes = " and ".join(shape_str(a.shape) for a in arrays)
            message = f"index tensors of shapes {shapes} do not broadcast together"
            raise IndexingError(at_line(message, user_origin())) from None
    position, inside = None, None
    with beside(symbolic[0]):
        for index, size, stride in zip(indices, shape, _strides(shape)):
            extent = size_of(size)
            index = where(index < 0, index + extent, index)
            fits = (index >= 0) & (index < extent)
            inside = fits if inside is None else inside & fits
            position = index * size_of(stride) if position is None else position + index * size_of(stride)
        return where(inside, position, size_of(product(shape)))


def _positions(x: Tensor, axis: int, index: Tensor) -> Tensor:
    """Where in the flattened x its elements lie that have ``index`` on ``axis`` and its own coordinates elsewhere."""
    with beside(index if index._node is not None else x):
        indices = [index if a == axis else iota(index.shape, a) for a in range(x.ndim)]
    return linear_index(indices, x.shape, x)


def _along(x: Any, dim: int, index: Any) -> tuple[Tensor, int, Tensor]:
    x, index = as_tensor(x), as_index(index)
    axis = normalize_axis(dim, x.ndim)
    fits = index.ndim == x.ndim and all(
        a == axis or isinstance(i, Dim) or isinstance(n, Dim) or i <= n
        for a, (i, n) in enumerate(zip(index.shape, x.shape))
    )
    if not fits:
        message = (
            f"index of shape {shape_str(index.shape)} does not fit a tensor of shape {shape_str(x.shape)}: "
            f"it needs the same rank and no larger sizes except on axis {axis}"
        )
        raise ShapeError(at_line(message, user_origin()))
    return x, axis, index


@public(methods=("gather",))
def gather(x: Any, dim: int, index: Any) -> Tensor:
    """``out[i][j] = x[index[i][j]][j]`` for ``dim=0``, and so on (PyTorch's ``gather``); shaped like ``index``.

    >>> import graphflow as gf
    >>> gf.gather(gf.tensor([[1, 2], [3, 4]]), 1, gf.tensor([[0], [1]])).tolist()
    [[1], [4]]
    """
    x, axis, index = _along(x, dim, index)
    return pick(reshape(x, -1), _positions(x, axis, index), 0)


@public(methods=("take_along_axis",))
@takes_dim
def take_along_axis(x: Any, indices: Any, /, axis: int = -1) -> Tensor:
    """The elements that ``indices`` names along an axis; the other axes of both broadcast.

    >>> import graphflow as gf
    >>> x = gf.tensor([[3, 1, 2]])
    >>> gf.take_along_axis(x, gf.argsort(x), axis=1).tolist()
    [[1, 2, 3]]
    """
    x, indices = as_tensor(x), as_index(indices)
    where_ = normalize_axis(axis, x.ndim)
    if indices.ndim != x.ndim:
        message = f"indices of rank {indices.ndim} for a tensor of rank {x.ndim}: the ranks must be equal"
        raise ShapeError(at_line(message, user_origin()))
    shape = broadcast_shapes(*(t.shape[:where_] + (1,) + t.shape[where_ + 1 :] for t in (x, indices)))
    x, indices = (
        broadcast_to(t, shape[:where_] + t.shape[where_ : where_ + 1] + shape[where_ + 1 :]) for t in (x, indices)
    )
    return gather(x, where_, indices)


def _scatter_along(x: Any, dim: int, index: Any, src: Any, mode: str) -> Tensor:
    x, axis, index = _along(x, dim, index)
    src = as_tensor(src, None if isinstance(src, Operators) else x.dtype)
    if src.ndim == 0:
        src = broadcast_to(src, index.shape)
    elif src.shape != index.shape:
        src = strided(src, (0,) * src.ndim, index.shape, (1,) * src.ndim)
    positions = reshape(_positions(x, axis, index), -1)
    return reshape(scatter_into(reshape(x, -1), positions, reshape(src, -1), 0, mode), x.shape)


@public(methods=("scatter",))
def scatter(x: Any, dim: int, index: Any, src: Any) -> Tensor:
    """x with ``src`` at ``x[index[i][j]][j]`` for ``dim=0``, and so on (PyTorch); the last of equal places wins.

    >>> import graphflow as gf
    >>> gf.scatter(gf.zeros((2, 3)), 1, gf.tensor([[2], [0]]), 1.0).tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    return _scatter_along(x, dim, index, src, "set")


@public(methods=("scatter_add",))
def scatter_add(x: Any, dim: int, index: Any, src: Any) -> Tensor:
    """x with ``src`` added at ``x[index[i][j]][j]`` for ``dim=0``, and so on (PyTorch), always in the same order.

    >>> import graphflow as gf
    >>> gf.scatter_add(gf.zeros(3), 0, gf.tensor([2, 0, 2]), gf.ones(3)).tolist()
    [1.0, 0.0, 2.0]
    """
    return _scatter_along(x, dim, index, src, "add")


@public(methods=("index_add",))
def index_add(x: Any, dim: int, index: Any, source: Any) -> Tensor:
    """x with the slices of ``source`` along ``dim`` added to those of x that ``index`` names (PyTorch).

    >>> import graphflow as gf
    >>> gf.index_add(gf.zeros((2, 2)), 0, gf.tensor([1, 1]), gf.ones((2, 2))).tolist()
    [[0.0, 0.0], [2.0, 2.0]]
    """
    x, source = promote(x, source)
    return scatter_into(x, as_index(index), source, normalize_axis(dim, x.ndim), "add")


@public(methods=("index_copy",))
def index_copy(x: Any, dim: int, index: Any, source: Any) -> Tensor:
    """x with the slices of ``source`` along ``dim`` in place of those that ``index`` names (PyTorch).

    >>> import graphflow as gf
    >>> gf.index_copy(gf.zeros(3), 0, gf.tensor([2, 0]), gf.tensor([1.0, 5.0])).tolist()
    [5.0, 0.0, 1.0]
    """
    x, source = promote(x, source)
    return scatter_into(x, as_index(index), source, normalize_axis(dim, x.ndim), "set")


@public(methods=("index_fill",))
def index_fill(x: Any, dim: int, index: Any, value: Any) -> Tensor:
    """x with one number in the slices along ``dim`` that ``index`` names (PyTorch)."""
    x, index, axis = as_tensor(x), as_index(index), normalize_axis(dim, as_tensor(x).ndim)
    shape = x.shape[:axis] + index.shape + x.shape[axis + 1 :]
    return scatter_into(x, index, broadcast_to(as_tensor(value, x.dtype), shape), axis, "set")


@public(methods=("unfold",))
def unfold(x: Any, dimension: int, size: int, step: int) -> Tensor:
    """The windows of ``size`` elements along an axis, ``step`` apart, along a new last axis (PyTorch's ``x.unfold``).

    >>> import graphflow as gf
    >>> gf.arange(5).unfold(0, 3, 2).tolist()
    [[0, 1, 2], [2, 3, 4]]
    """
    x = as_tensor(x)
    axis = normalize_axis(dimension, x.ndim)
    have = x.shape[axis]
    if step < 1 or size < 0 or (not isinstance(have, Dim) and size > have):
        message = f"unfold: windows of {size} elements, {step} apart, along axis {axis} of size {have}"
        raise ShapeError(at_line(message, user_origin()))
    with beside(x):
        starts, offsets = iota(((have - size) // step + 1, 1)) * step, iota((1, size), 1)
    return moveaxis(pick(x, starts + offsets, axis), axis + 1, -1)
