"""Functions that rearrange tensors. All are made of the movement primitives, which have the gradients and kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.core.dims import (
    Dim,
    Shape,
    Size,
    broadcast_shapes,
    normalize_axes,
    normalize_axis,
    product,
    shape_str,
)
from graphflow.core.errors import AxisError, ShapeError, at_line, user_origin
from graphflow.ops.define import public
from graphflow.ops.movement import (
    broadcast_to,
    concat,
    expand_dims,
    part,
    permute_dims,
    reshape,
    reverse,
)
from graphflow.ops.spelling import as_shape, takes_dim
from graphflow.tensor import Operators, Tensor, as_tensor


# -- the order of axes -------------------------------------------------------------------------------------------------
@public(methods=("squeeze",))
@takes_dim
def squeeze(x: Any, /, axis: int | Sequence[int] | None = None) -> Tensor:
    """x without the given axes, which must be of size 1; by default without all axes of size 1.

    >>> gf.ones((1, 3, 1)).squeeze(0).shape
    (3, 1)
    """
    x = as_tensor(x)
    gone = normalize_axes(axis, x.ndim) if axis is not None else tuple(i for i, s in enumerate(x.shape) if s == 1)
    for a in gone:
        size = x.shape[a]
        if size != 1 and not isinstance(size, Dim):
            raise ShapeError(
                at_line(f"cannot squeeze axis {a} of size {size} (shape {shape_str(x.shape)})", user_origin())
            )
    return reshape(x, tuple(s for i, s in enumerate(x.shape) if i not in gone))


@public(methods=("swapaxes",))
def swapaxes(x: Any, axis1: int, axis2: int, /) -> Tensor:
    """x with two axes exchanged.

    >>> gf.ones((2, 3, 4)).swapaxes(0, -1).shape
    (4, 3, 2)
    """
    x = as_tensor(x)
    order = list(range(x.ndim))
    a, b = normalize_axis(axis1, x.ndim), normalize_axis(axis2, x.ndim)
    order[a], order[b] = b, a
    return permute_dims(x, order)


@public(methods=("transpose",))
def transpose(x: Any, /, *axes: Any) -> Tensor:
    """x with two axes exchanged (PyTorch), all axes reversed (none given), or in a given order (a tuple).

    >>> x = gf.ones((2, 3, 4))
    >>> x.transpose(0, 1).shape, x.transpose().shape, x.transpose((1, 2, 0)).shape
    ((3, 2, 4), (4, 3, 2), (3, 4, 2))
    """
    x = as_tensor(x)
    if len(axes) == 2:
        return swapaxes(x, *axes)
    return permute_dims(x, *axes) if axes else permute_dims(x, tuple(range(x.ndim))[::-1])


@public(methods=("matrix_transpose",))
def matrix_transpose(x: Any, /) -> Tensor:
    """x with its last two axes exchanged (also ``x.mT``). Raises ShapeError below rank 2.

    >>> gf.ones((2, 3, 4)).mT.shape
    (2, 4, 3)
    """
    x = as_tensor(x)
    if x.ndim < 2:
        raise ShapeError(
            at_line(f"a matrix transpose needs rank 2 or more, got shape {shape_str(x.shape)}", user_origin())
        )
    return swapaxes(x, -2, -1)


def _transposed(x: Any) -> Tensor:
    """The transpose of a matrix. Raises ShapeError for other ranks."""
    if x.ndim != 2:
        raise ShapeError(
            at_line(f".T is for matrices, this has shape {shape_str(x.shape)}; use .mT or permute()", user_origin())
        )
    return matrix_transpose(x)


Operators.T = property(_transposed)  # type: ignore[attr-defined]
Operators.mT = property(matrix_transpose)  # type: ignore[attr-defined]
Operators.t = _transposed  # type: ignore[attr-defined]


@public(methods=("moveaxis",))
def moveaxis(x: Any, source: int | Sequence[int], destination: int | Sequence[int], /) -> Tensor:
    """x with some axes moved to other positions; the others keep their order.

    >>> gf.ones((2, 3, 4)).moveaxis(0, -1).shape
    (3, 4, 2)
    """
    x = as_tensor(x)
    src = [normalize_axis(a, x.ndim, "source axis") for a in as_shape(source)]  # type: ignore[arg-type]
    dst = [normalize_axis(a, x.ndim, "destination axis") for a in as_shape(destination)]  # type: ignore[arg-type]
    if len(src) != len(dst) or len(set(src)) != len(src) or len(set(dst)) != len(dst):
        raise AxisError(at_line(f"moveaxis needs as many different axes to as from, got {src} to {dst}", user_origin()))
    order = [a for a in range(x.ndim) if a not in src]
    for to, a in sorted(zip(dst, src)):
        order.insert(to, a)
    return permute_dims(x, order)


# -- fewer or other axes -----------------------------------------------------------------------------------------------
@public(methods=("flatten",))
def flatten(x: Any, /, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """x with the axes from ``start_dim`` to ``end_dim`` made one; a scalar becomes one element.

    >>> gf.ones((2, 3, 4)).flatten(1).shape
    (2, 12)
    """
    x = as_tensor(x)
    if x.ndim == 0:
        return reshape(x, 1)
    first, last = normalize_axis(start_dim, x.ndim), normalize_axis(end_dim, x.ndim)
    if first > last:
        raise AxisError(
            at_line(f"flatten from axis {first} to axis {last}: the first comes after the last", user_origin())
        )
    return reshape(x, (*x.shape[:first], product(x.shape[first : last + 1]), *x.shape[last + 1 :]))


@public(methods=("ravel",))
def ravel(x: Any, /) -> Tensor:
    """x's elements as one axis.

    >>> gf.ones((2, 3)).ravel().shape
    (6,)
    """
    return reshape(x, -1)


@public(methods=("unflatten",))
def unflatten(x: Any, /, dim: int, sizes: Sequence[Any]) -> Tensor:
    """x with one axis made several; one of their sizes may be -1.

    >>> gf.ones((2, 12)).unflatten(1, (3, -1)).shape
    (2, 3, 4)
    """
    x = as_tensor(x)
    axis = normalize_axis(dim, x.ndim)
    return reshape(x, (*x.shape[:axis], *split_size(x.shape[axis], as_shape(sizes)), *x.shape[axis + 1 :]))


def split_size(size: Size, sizes: Shape) -> Shape:
    """``sizes`` with its -1 replaced so that their product is ``size``."""
    known = product(s for s in sizes if s != -1)
    return tuple(size // known if s == -1 and known != 0 else s for s in sizes)


@public(methods=("expand",))
def expand(x: Any, /, shape: Any, *sizes: Any) -> Tensor:
    """``broadcast_to`` as PyTorch spells it: separate sizes, and -1 keeps a size.

    >>> gf.ones((3, 1)).expand(-1, 4).shape
    (3, 4)
    """
    x = as_tensor(x)
    target = as_shape(shape, sizes)
    lead = len(target) - x.ndim
    return broadcast_to(x, tuple(x.shape[i - lead] if s == -1 and i >= lead else s for i, s in enumerate(target)))


@public
def broadcast_arrays(*arrays: Any) -> list[Tensor]:
    """The tensors, each broadcast to their common shape; their dtypes stay.

    >>> [t.shape for t in gf.broadcast_arrays(gf.ones((3, 1)), gf.ones(4))]
    [(3, 4), (3, 4)]
    """
    tensors = [as_tensor(a) for a in arrays]
    shape = broadcast_shapes(*(t.shape for t in tensors))
    return [broadcast_to(t, shape) for t in tensors]


public(broadcast_arrays, name="broadcast_tensors")
public(broadcast_shapes, name="broadcast_shapes")


# -- taking apart ------------------------------------------------------------------------------------------------------
@public(methods=("narrow",))
@takes_dim
def narrow(x: Any, /, axis: int, start: Size, length: Size) -> Tensor:
    """``length`` elements of one axis, from ``start`` on. Raises ShapeError if they reach past its end.

    >>> gf.arange(6).narrow(0, 2, 3).tolist()
    [2, 3, 4]
    """
    x = as_tensor(x)
    where = normalize_axis(axis, x.ndim)
    size = x.shape[where]
    if not isinstance(start, Dim) and start < 0:
        start = size + start
    if not any(isinstance(n, Dim) for n in (start, length, size)) and not 0 <= start <= start + length <= size:
        raise ShapeError(
            at_line(
                f"narrow takes elements {start} to {start + length - 1} of axis {where} of size {size}", user_origin()
            )
        )
    return part(x, where, start, length)


@public(methods=("split",))
@takes_dim
def split(x: Any, /, split_size_or_sections: int | Sequence[int], axis: int = 0) -> tuple[Tensor, ...]:
    """x cut along an axis into pieces of one size (the last may be smaller), or of the sizes in a list (as in PyTorch).

    >>> [t.shape[0] for t in gf.arange(7).split(3)], [t.shape[0] for t in gf.arange(7).split([2, 5])]
    ([3, 3, 1], [2, 5])
    """
    x = as_tensor(x)
    where = normalize_axis(axis, x.ndim)
    total = x.shape[where]
    if isinstance(split_size_or_sections, int):
        each = split_size_or_sections
        if each <= 0:
            raise ShapeError(at_line(f"split needs pieces of at least one element, got {each}", user_origin()))
        sizes = [min(each, total - at) for at in range(0, total, each)] or [0]  # type: ignore[arg-type, type-var]
    else:
        sizes = list(as_shape(split_size_or_sections))
        if sum(sizes) != total:  # type: ignore[arg-type]
            raise ShapeError(
                at_line(f"split sizes {sizes} do not add up to {total}, the size of axis {where}", user_origin())
            )
    starts = [sum(sizes[:i]) for i in range(len(sizes))]  # type: ignore[arg-type]
    return tuple(part(x, where, start, size) for start, size in zip(starts, sizes))


@public(methods=("chunk",))
@takes_dim
def chunk(x: Any, /, chunks: int, axis: int = 0) -> tuple[Tensor, ...]:
    """x cut along an axis into ``chunks`` pieces of equal size (the last may be smaller or missing, as in PyTorch).

    >>> [t.shape[0] for t in gf.arange(7).chunk(3)]
    [3, 3, 1]
    """
    x = as_tensor(x)
    if chunks <= 0:
        raise ShapeError(at_line(f"chunk needs a positive number of pieces, got {chunks}", user_origin()))
    size = x.shape[normalize_axis(axis, x.ndim)]
    if isinstance(size, Dim) and (size // chunks) * chunks == size:
        return split(x, [size // chunks] * chunks, axis)
    return split(x, max(1, -(-size // chunks)), axis)


@public(methods=("unstack", "unbind"))
@takes_dim
def unstack(x: Any, /, axis: int = 0) -> tuple[Tensor, ...]:
    """The slices of x along an axis, without it. The axis needs a static size.

    >>> [t.tolist() for t in gf.tensor([[1, 2], [3, 4]]).unbind(1)]
    [[1, 3], [2, 4]]
    """
    x = as_tensor(x)
    where = normalize_axis(axis, x.ndim)
    return tuple(squeeze(part(x, where, i, 1), where) for i in range(x.shape[where]))  # type: ignore[arg-type]


public(unstack, name="unbind")


# -- other places ------------------------------------------------------------------------------------------------------
@public(methods=("flip",))
@takes_dim
def flip(x: Any, /, axis: int | Sequence[int] | None = None) -> Tensor:
    """x with the order of its elements turned round along some axes (default: all).

    >>> gf.arange(3).flip().tolist()
    [2, 1, 0]
    """
    x = as_tensor(x)
    return reverse(x, normalize_axes(axis, x.ndim))


@public(methods=("roll",))
@takes_dim
def roll(x: Any, /, shift: int | Sequence[int], axis: int | Sequence[int] | None = None) -> Tensor:
    """x with its elements moved ``shift`` places on along an axis, those past the end coming in at the start.

    Without ``axis`` the flattened elements are rolled. Raises ShapeError if there are not as many shifts as axes.

    >>> gf.arange(5).roll(2).tolist()
    [3, 4, 0, 1, 2]
    """
    x = as_tensor(x)
    if axis is None:
        return reshape(_rolled(reshape(x, -1), 0, sum(as_shape(shift))), x.shape)  # type: ignore[arg-type]
    axes = [normalize_axis(a, x.ndim) for a in as_shape(axis)]  # type: ignore[arg-type]
    shifts = as_shape(shift)
    if len(shifts) == 1:
        shifts = shifts * len(axes)
    if len(shifts) != len(axes):
        raise ShapeError(
            at_line(f"roll needs as many shifts as axes, got {len(shifts)} and {len(axes)}", user_origin())
        )
    for a, s in zip(axes, shifts):
        x = _rolled(x, a, s)  # type: ignore[arg-type]
    return x


def _rolled(x: Tensor, axis: int, shift: int) -> Tensor:
    size = x.shape[axis]
    if not isinstance(size, Dim):
        shift = shift % size if size else 0
    if shift == 0:
        return x
    cut = size - shift if shift > 0 else -shift  # the element that comes first
    return concat([part(x, axis, cut, size - cut), part(x, axis, 0, cut)], axis)


@public(methods=("tile",))
def tile(x: Any, repetitions: Any, /, *more: int) -> Tensor:
    """x repeated as a whole along its axes (and new leading ones).

    >>> gf.tensor([1, 2]).tile((2, 2)).tolist()
    [[1, 2, 1, 2], [1, 2, 1, 2]]
    """
    x = as_tensor(x)
    times = as_shape(repetitions, more)
    rank = max(x.ndim, len(times))
    times = (1,) * (rank - len(times)) + times
    shape = (1,) * (rank - x.ndim) + x.shape
    paired = tuple(s for pair in zip((1,) * rank, shape) for s in pair)
    stretched = tuple(s for pair in zip(times, shape) for s in pair)
    result = tuple(t * s for t, s in zip(times, shape))
    return reshape(broadcast_to(reshape(x, paired), stretched), result)


@public(methods=("repeat", "repeat_interleave"))
@takes_dim
def repeat(x: Any, repeats: Any, /, axis: int | None = None, *more: int) -> Tensor:
    """Each element of x along an axis repeated, by one number or by a number for each; without axis x is flattened.

    (PyTorch's ``x.repeat`` is ``tile`` here.) Counts for each element must be known: a list, array or concrete tensor.

    >>> gf.tensor([1, 2]).repeat(2).tolist(), gf.tensor([1, 2]).repeat([1, 3]).tolist()
    ([1, 1, 2, 2], [1, 2, 2, 2])
    """
    x = as_tensor(x)
    if more:
        times = ", ".join(map(str, (repeats, axis, *more)))
        message = f"x.repeat repeats elements along one axis, as NumPy's; PyTorch's is x.tile({times}) here"
        raise TypeError(at_line(message, user_origin()))
    if axis is None:
        x, axis = reshape(x, -1), 0
    where = normalize_axis(axis, x.ndim)
    if isinstance(repeats, (int, Dim)):
        wide = broadcast_to(expand_dims(x, where + 1), (*x.shape[: where + 1], repeats, *x.shape[where + 1 :]))
        return reshape(wide, (*x.shape[:where], x.shape[where] * repeats, *x.shape[where + 1 :]))
    counts = np.asarray(as_tensor(repeats)._concrete("gf.repeat with a tensor of counts", "one number of repeats"))
    if counts.size == 1:
        return repeat(x, int(counts.reshape(())), axis=where)
    if counts.shape != x.shape[where : where + 1]:
        raise ShapeError(
            at_line(f"repeat needs a count for each of {x.shape[where]} elements, got {counts.shape}", user_origin())
        )
    from graphflow.ops.picking import take

    return take(x, as_tensor(np.repeat(np.arange(counts.size), counts)), axis=where)


public(repeat, name="repeat_interleave")
