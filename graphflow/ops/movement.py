"""Movement ops: the elements of a tensor in other places. The primitives, and the functions that are one of them.

Views (reshape, permute, broadcast_to, slice) copy nothing in compiled code; concat and pad lay operands into a new
value. Functions made of these are in arrange.py, ``x[...]`` is in indexing.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.core.aval import AVal
from graphflow.core.dims import (
    Dim,
    Shape,
    Size,
    broadcast_shapes,
    normalize_axes,
    normalize_axis,
    product,
    same_size,
    shape_str,
)
from graphflow.core.dispatch import apply
from graphflow.core.errors import DTypeError, ShapeError, at_line, user_origin
from graphflow.core.op import Sample
from graphflow.ops.define import primitive, promote, public
from graphflow.ops.sizes import assume_not_negative
from graphflow.ops.spelling import as_shape, takes_dim
from graphflow.tensor import Tensor, as_tensor


# -- reshape -----------------------------------------------------------------------------------------------------------
def _reshape_infer(x: AVal, shape: Shape) -> AVal:
    if not same_size(x.size, product(shape)):
        raise ShapeError(f"a tensor of shape {shape_str(x.shape)} ({x.size} elements) cannot become {shape_str(shape)}")
    return AVal(shape, x.dtype)


RESHAPE = primitive(
    "reshape",
    "view",
    _reshape_infer,
    lambda x, shape: x.reshape(shape),
    lambda g, out, x, shape: (reshape(g, x.shape),),
    lambda view, shape: view.reshape(shape),
    samples=lambda: [
        Sample(((2, 6),), {"shape": (3, 4)}),
        Sample(((),), {"shape": (1, 1)}),
        Sample(((0, 3),), {"shape": (3, 0)}),
    ],
)


@public(methods=("reshape", "view"))
def reshape(x: Any, /, shape: Any, *sizes: Any, copy: bool | None = None) -> Tensor:
    """x's elements, in row-major order, under another shape; one size may be -1: what is left.

    The shape is one tuple or separate sizes. ``copy`` is the Array API's: tensors are immutable, so a copy cannot be
    told from a view. Raises ShapeError if the sizes do not fit.

    >>> gf.arange(6).reshape(2, -1).shape
    (2, 3)
    """
    x = as_tensor(x)
    target = as_shape(shape, sizes)
    if any(not isinstance(s, Dim) and s < 0 for s in target):
        target = _fill_in(x.shape, target)
    return x if target == x.shape else apply(RESHAPE, (x,), {"shape": target})


def _fill_in(old: Shape, shape: Shape) -> Shape:
    """``shape`` with its -1 replaced by the size that is left."""
    known = product(s for s in shape if s != -1)
    total = product(old)
    unknown = sum(1 for s in shape if s == -1)
    fits = unknown == 1 and not any(not isinstance(s, Dim) and s < -1 for s in shape) and known != 0
    if not fits or (not isinstance(total, Dim) and not isinstance(known, Dim) and total % known):
        why = "only one size may be -1" if unknown > 1 else f"{total} elements do not divide into it"
        raise ShapeError(at_line(f"shape {shape_str(old)} cannot become {shape_str(shape)}: {why}", user_origin()))
    return tuple(total // known if s == -1 else s for s in shape)


# -- permute -----------------------------------------------------------------------------------------------------------
PERMUTE = primitive(
    "permute",
    "view",
    lambda x, axes: AVal(tuple(x.shape[a] for a in axes), x.dtype),
    lambda x, axes: x.transpose(axes),
    lambda g, out, x, axes: (permute_dims(g, np.argsort(axes).tolist()),),
    lambda view, axes: view.permute(axes),
    samples=lambda: [Sample(((2, 3, 4),), {"axes": (2, 0, 1)}), Sample(((),), {"axes": ()})],
)


@public(methods=("permute", "permute_dims"))
def permute_dims(x: Any, /, axes: Any, *more: int) -> Tensor:
    """x with its axes in the order ``axes``, given as one tuple or as separate numbers.

    Raises AxisError for an axis out of range, ShapeError if ``axes`` is not a permutation of all of them.

    >>> gf.zeros((2, 3, 4)).permute(2, 0, 1).shape
    (4, 2, 3)
    """
    x = as_tensor(x)
    order = tuple(normalize_axis(a, x.ndim) for a in as_shape(axes, more))  # type: ignore[arg-type]
    if sorted(order) != list(range(x.ndim)):
        raise ShapeError(
            at_line(f"permute of a tensor of rank {x.ndim} needs each of its axes once, got {order}", user_origin())
        )
    return x if order == tuple(range(x.ndim)) else apply(PERMUTE, (x,), {"axes": order})


# -- broadcast_to ------------------------------------------------------------------------------------------------------
def _broadcast_infer(x: AVal, shape: Shape) -> AVal:
    out = broadcast_shapes(x.shape, shape)
    if len(out) != len(shape) or any(not same_size(have, want) for have, want in zip(out, shape)):
        raise ShapeError(f"shape {shape_str(x.shape)} does not broadcast to {shape_str(shape)}")
    return AVal(shape, x.dtype)


def _broadcast_vjp(g: Tensor, out: Tensor, x: Tensor, shape: Shape) -> tuple[Tensor]:
    lead = len(shape) - x.ndim
    stretched = tuple(lead + i for i, s in enumerate(x.shape) if s == 1 and shape[lead + i] != 1)
    return (reshape(g.sum(axis=(*range(lead), *stretched)), x.shape),)


BROADCAST = primitive(
    "broadcast_to",
    "view",
    _broadcast_infer,
    lambda x, shape: np.broadcast_to(x, shape),
    _broadcast_vjp,
    lambda view, shape: view.broadcast_to(shape),
    samples=lambda: [
        Sample(((3, 1),), {"shape": (2, 3, 4)}),
        Sample(((),), {"shape": (2,)}),
        Sample(((1, 3),), {"shape": (0, 3)}),
    ],
)


@public(methods=("broadcast_to",))
def broadcast_to(x: Any, /, shape: Any) -> Tensor:
    """x repeated along axes of size 1 and new leading axes until it has ``shape``. Raises ShapeError if it cannot.

    >>> gf.tensor([1, 2]).broadcast_to((2, 2)).tolist()
    [[1, 2], [1, 2]]
    """
    x = as_tensor(x)
    target = as_shape(shape)
    return x if target == x.shape else apply(BROADCAST, (x,), {"shape": target})


# -- slice -------------------------------------------------------------------------------------------------------------
def _slice_infer(x: AVal, starts: Shape, sizes: Shape, steps: tuple[int, ...]) -> AVal:
    for axis, (length, start, size, step) in enumerate(zip(x.shape, starts, sizes, steps)):
        if isinstance(length, Dim) or isinstance(start, Dim) or isinstance(size, Dim):
            past_end = length - start - size if step == 1 else length - start - (step < 0)
            inside: tuple[Size, ...] = (size, past_end, start if step > 0 else start + (size - 1) * step)
        elif size > 0:
            inside = (start, start + (size - 1) * step, length - 1 - start, length - 1 - start - (size - 1) * step)
        else:
            inside = (size,)
        if not all(map(assume_not_negative, inside)):
            raise ShapeError(
                f"{size} elements from {start} in steps of {step} do not lie in axis {axis} of size {length}"
            )
    return AVal(sizes, x.dtype)


def _slice_ref(x: Any, starts: Any, sizes: Any, steps: Any) -> Any:
    cut = []
    for start, size, step in zip(starts, sizes, steps):
        stop = start + size * step
        cut.append(slice(0, 0) if size == 0 else slice(start, None if stop < 0 else stop, step))
    out = x[tuple(cut)]
    if out.shape != sizes:  # NumPy cuts slices short; sizes that were symbolic are checked nowhere else
        raise ShapeError(
            f"a slice of shape {shape_str(x.shape)} from {starts} in steps {steps} has no {sizes} elements"
        )
    return out


def _slice_vjp(g: Tensor, out: Tensor, x: Tensor, starts: Shape, sizes: Shape, steps: tuple[int, ...]) -> tuple[Tensor]:
    return (unslice(g, x.shape, starts, sizes, steps),)


SLICE = primitive(
    "slice",
    "view",
    _slice_infer,
    _slice_ref,
    _slice_vjp,
    lambda view, starts, sizes, steps: view.slice(starts, sizes, steps),
    samples=lambda: [
        Sample(((5, 6),), {"starts": (1, 5), "sizes": (3, 3), "steps": (1, -2)}),
        Sample(((4,),), {"starts": (0,), "sizes": (0,), "steps": (1,)}),
    ],
)


def strided(x: Tensor, starts: Shape, sizes: Shape, steps: tuple[int, ...]) -> Tensor:
    """``sizes[i]`` elements of each axis, from ``starts[i]`` on in steps of ``steps[i]`` (which may be negative)."""
    if sizes == x.shape and all(k == 1 for k in steps):
        return x
    return apply(SLICE, (x,), {"starts": starts, "sizes": sizes, "steps": steps})  # type: ignore[no-any-return]


def unslice(
    part: Tensor, shape: Shape, starts: Shape, sizes: Shape, steps: tuple[int, ...], value: float = 0
) -> Tensor:
    """A tensor of ``shape`` whose slice is ``part`` and which is ``value`` elsewhere: the reverse of ``strided``."""
    backwards = tuple(i for i, step in enumerate(steps) if step < 0)
    if backwards:  # turned round, it is a slice with positive steps
        part = reverse(part, backwards)
        starts = tuple(st + (n - 1) * k if k < 0 else st for st, n, k in zip(starts, sizes, steps))
        steps = tuple(abs(k) for k in steps)
    low = tuple(0 if n == 0 else st for st, n in zip(starts, sizes))
    high = tuple(
        length - 1 + k if n == 0 else length - (st + (n - 1) * k + 1)
        for length, st, n, k in zip(shape, starts, sizes, steps)
    )
    return place(part, low, high, tuple(k - 1 for k in steps), value)


def part(x: Tensor, axis: int, start: Size, size: Size) -> Tensor:
    """``size`` elements of one axis, from ``start`` on."""
    starts = tuple(start if i == axis else 0 for i in range(x.ndim))
    sizes = tuple(size if i == axis else s for i, s in enumerate(x.shape))
    return strided(x, starts, sizes, (1,) * x.ndim)


def reverse(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """x with the order of elements turned round along some axes."""
    starts = tuple(s - 1 if i in axes and s != 0 else 0 for i, s in enumerate(x.shape))
    steps = tuple(-1 if i in axes else 1 for i in range(x.ndim))
    return strided(x, starts, x.shape, steps)


# -- concat ------------------------------------------------------------------------------------------------------------
def _concat_infer(*avals: AVal, axis: int) -> AVal:
    first = avals[0]
    sizes = list(first.shape)
    for i, a in enumerate(avals[1:], 1):
        if a.dtype is not first.dtype:
            raise DTypeError(f"concat needs operands of one dtype, got {first.dtype} and {a.dtype}")
        fits = a.ndim == first.ndim and all(
            k == axis or same_size(s, t) for k, (s, t) in enumerate(zip(first.shape, a.shape))
        )
        if not fits:
            raise ShapeError(
                f"operand {i} has shape {shape_str(a.shape)}, operand 0 has {shape_str(first.shape)}; "
                f"they may differ only on axis {axis}"
            )
        for k, size in enumerate(a.shape):
            sizes[k] = sizes[k] + size if k == axis else size if isinstance(sizes[k], Dim) else sizes[k]
    return AVal(tuple(sizes), first.dtype)


def _concat_vjp(g: Tensor, out: Tensor, *xs: Tensor, axis: int) -> tuple[Tensor, ...]:
    grads = []
    start: Size = 0
    for x in xs:
        grads.append(part(g, axis, start, x.shape[axis]))
        start = start + x.shape[axis]
    return tuple(grads)


def _concat_places(*avals: AVal, axis: int) -> list[tuple[Shape, tuple[int, ...]]]:
    places: list[tuple[Shape, tuple[int, ...]]] = []
    start: Size = 0
    for a in avals:
        places.append((tuple(start if i == axis else 0 for i in range(a.ndim)), (1,) * a.ndim))
        start = start + a.shape[axis]
    return places


CONCAT = primitive(
    "concat",
    "place",
    _concat_infer,
    lambda *xs, axis: np.concatenate(xs, axis),
    _concat_vjp,
    _concat_places,
    samples=lambda: [
        Sample(((2, 3), (2, 0), (2, 4)), {"axis": 1}),
        Sample(((2,), (1,)), {"axis": 0}),
        Sample(((2, 3),), {"axis": 0}),
    ],
)


@public
@takes_dim
def concat(arrays: Sequence[Any], /, axis: int | None = 0) -> Tensor:
    """The tensors one after the other along an axis they have; ``axis=None`` flattens them first.

    Their dtypes are promoted to a common one. Raises ShapeError if they differ in another axis.

    >>> gf.concat([gf.ones((2, 3)), gf.zeros((1, 3))]).shape
    (3, 3)
    """
    tensors = promote(*arrays) if len(arrays) > 1 else tuple(as_tensor(a) for a in arrays)
    if not tensors:
        raise ShapeError(at_line("concat needs at least one tensor", user_origin()))
    if axis is None:
        tensors = tuple(reshape(t, -1) for t in tensors)
    if tensors[0].ndim == 0:
        raise ShapeError(at_line("concat needs tensors of rank 1 or more; gf.stack joins scalars", user_origin()))
    where = normalize_axis(axis or 0, tensors[0].ndim)
    return tensors[0] if len(tensors) == 1 else apply(CONCAT, tensors, {"axis": where})


public(concat, name="cat")
public(concat, name="concatenate")


# -- pad ---------------------------------------------------------------------------------------------------------------
def _padded(size: Size, low: Size, high: Size, interior: int) -> Size:
    """The size after padding. No element has one gap less than none at all: symbolic sizes that are 0 fit the rule."""
    padded = low + high + (size - 1) * (interior + 1) + 1
    return padded if isinstance(padded, Dim) else max(0, padded)


def _pad_infer(x: AVal, low: Shape, high: Shape, interior: tuple[int, ...], value: float) -> AVal:
    if any(not isinstance(k, Dim) and k < 0 for k in (*low, *high, *interior)):
        raise ShapeError(f"pad widths cannot be negative: got {low} before, {high} after, {interior} between")
    return AVal(tuple(map(_padded, x.shape, low, high, interior)), x.dtype)


def _pad_ref(x: Any, low: Any, high: Any, interior: Any, value: Any) -> Any:
    shape = tuple(map(_padded, x.shape, low, high, interior))
    out = np.full(shape, value, x.dtype)
    out[tuple(slice(lo, max(lo, n - hi), k + 1) for lo, hi, k, n in zip(low, high, interior, shape))] = x
    return out


def _pad_vjp(g: Tensor, out: Tensor, x: Tensor, low: Shape, high: Shape, interior: Any, value: Any) -> tuple[Tensor]:
    starts = tuple(0 if n == 0 else st for st, n in zip(low, x.shape))
    return (strided(g, starts, x.shape, tuple(k + 1 for k in interior)),)


PAD = primitive(
    "pad",
    "place",
    _pad_infer,
    _pad_ref,
    _pad_vjp,
    lambda x, low, high, interior, value: [(low, tuple(k + 1 for k in interior))],
    samples=lambda: [
        Sample(((2, 3),), {"low": (1, 0), "high": (0, 2), "interior": (1, 0), "value": 3.0}),
        Sample(((0,),), {"low": (1,), "high": (1,), "interior": (2,), "value": 0.0}),
    ],
)


def place(x: Tensor, low: Shape, high: Shape, interior: tuple[int, ...], value: float = 0) -> Tensor:
    """x with ``low`` and ``high`` fill values around it on each axis and ``interior`` between neighbours."""
    if not any(w != 0 for w in (*low, *high, *interior)):
        return x
    attrs = {"low": low, "high": high, "interior": interior, "value": value}
    return apply(PAD, (x,), attrs)  # type: ignore[no-any-return]


# -- new axes, which concat needs --------------------------------------------------------------------------------------
@public(methods=("expand_dims", "unsqueeze"))
@takes_dim
def expand_dims(x: Any, /, axis: int | Sequence[int] = 0) -> Tensor:
    """x with a new axis of size 1 at ``axis`` of the result (several for several axes). Raises AxisError out of range.

    >>> gf.ones((2, 3)).unsqueeze(-1).shape
    (2, 3, 1)
    """
    x = as_tensor(x)
    count = 1 if not isinstance(axis, (tuple, list)) else len(axis)
    new = normalize_axes(axis, x.ndim + count)  # type: ignore[arg-type]
    shape = list(x.shape)
    for a in new:
        shape.insert(a, 1)
    return reshape(x, tuple(shape))


public(expand_dims, name="unsqueeze")


@public
@takes_dim
def stack(arrays: Sequence[Any], /, axis: int = 0) -> Tensor:
    """Tensors of one shape side by side along a new axis. Raises ShapeError if their shapes differ.

    >>> gf.stack([gf.ones(3), gf.zeros(3)], axis=1).shape
    (3, 2)
    """
    tensors = promote(*arrays) if len(arrays) > 1 else tuple(as_tensor(a) for a in arrays)
    if not tensors:
        raise ShapeError(at_line("stack needs at least one tensor", user_origin()))
    where = normalize_axis(axis, tensors[0].ndim + 1)
    return concat([expand_dims(t, where) for t in tensors], where)
