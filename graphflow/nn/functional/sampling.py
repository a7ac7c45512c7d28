"""Images read at places that a tensor says: ``grid_sample``, and the places of affine maps, ``affine_grid``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from graphflow.core import dims
from graphflow.core.dims import Dim, Size, same_size, shape_str
from graphflow.core.dtypes import DType, int64
from graphflow.core.errors import DTypeError, ShapeError, at_line, user_origin
from graphflow.nn.functional.resize import cubic_weights
from graphflow.ops.arrange import moveaxis
from graphflow.ops.creation import beside, filled_like, iota, literal
from graphflow.ops.define import cast, promote
from graphflow.ops.elementwise import floor, maximum, minimum, remainder, where
from graphflow.ops.elementwise import round as rounded
from graphflow.ops.fused import fused
from graphflow.ops.linalg import matmul
from graphflow.ops.movement import expand_dims, reshape, stack
from graphflow.ops.picking import pick
from graphflow.ops.reduce import sum as total
from graphflow.ops.special import size_of
from graphflow.tensor import Tensor, as_tensor

_MODES = {"bilinear": (2, 3), "nearest": (2, 3), "bicubic": (2,)}  # the numbers of spatial axes that each takes
_PADDINGS = ("zeros", "border", "reflection")


def _bad(message: str) -> ValueError:
    return ValueError(at_line(message, user_origin()))


def grid_sample(
    input: Any, grid: Any, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool | None = None
) -> Tensor:
    """The image (batch, channels, height, width) read at the places ``grid`` (batch, rows, columns, 2).

    A place is (x, y), from -1 at the left and upper edge to 1 at the right and lower; with ``align_corners`` these are
    the centres of the outermost elements. ``mode`` "bilinear", "nearest" or "bicubic" says what lies between elements,
    ``padding_mode`` "zeros", "border" or "reflection" what lies outside. Images of three axes (batch, channels, depth,
    height, width) take places (x, y, z). Differentiable in both. Raises ShapeError if the two do not fit together.

    >>> import graphflow as gf
    >>> image = gf.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    >>> places = gf.tensor([[[[0.0, 0.0], [-0.5, 0.5], [3.0, 0.0]]]])
    >>> gf.nn.functional.grid_sample(image, places).tolist()
    [[[[2.5, 3.0, 0.0]]]]
    """
    x, places = promote(input, grid)
    if not x.dtype.is_float:
        raise DTypeError(at_line(f"grid_sample takes floating-point images, got {x.dtype}", user_origin()))
    rank = x.ndim - 2
    if mode not in _MODES:
        raise _bad(f"grid_sample: mode is one of {', '.join(map(repr, _MODES))}, got {mode!r}")
    if padding_mode not in _PADDINGS:
        raise _bad(f"grid_sample: padding_mode is one of {', '.join(map(repr, _PADDINGS))}, got {padding_mode!r}")
    if (
        rank not in _MODES[mode]
        or places.ndim != rank + 2
        or not same_size(places.shape[-1], rank)
        or not same_size(places.shape[0], x.shape[0])
    ):
        message = (
            f"grid_sample ({mode}) of an image {shape_str(x.shape)} at places {shape_str(places.shape)}: needed are "
            "(batch, channels, height, width) and (batch, rows, columns, 2)"
            + (", or three spatial axes and (batch, planes, rows, columns, 3)" if mode != "bicubic" else "")
        )
        raise ShapeError(at_line(message, user_origin()))
    return _grid_sample(x, places, mode, padding_mode, bool(align_corners))


class _Taps(NamedTuple):
    """The elements along an axis that each place is made of, along a new last axis: which, and how much of each."""

    at: Tensor
    weight: Tensor | None


@fused("batch", "x", "places")
def _grid_sample(x: Tensor, places: Tensor, mode: str, padding_mode: str, align_corners: bool) -> Tensor:
    batch, channels, *space = x.shape
    rank = len(space)
    rows = reshape(moveaxis(x, 1, -1), (dims.product((batch, *space)), channels))
    with beside(places):
        position: Any = reshape(iota((batch,)), (batch, *(1,) * (2 * rank)))
    weight: Any = None
    for axis, size in enumerate(space):
        coordinate = places[..., rank - 1 - axis]  # x is the first, and the last axis of the image
        taps = _taps(coordinate, size, mode, padding_mode, align_corners)
        others = tuple(rank + 1 + a for a in range(rank) if a != axis)  # where the taps of the other axes vary
        position = position * _number(size, int64) + expand_dims(taps.at, others)
        if taps.weight is not None:
            own = expand_dims(taps.weight, others)
            weight = own if weight is None else weight * own
    value = pick(rows, position, 0)
    value = value if weight is None else value * expand_dims(weight, -1)
    return moveaxis(total(value, axis=tuple(range(rank + 1, 2 * rank + 1))), -1, 1)


def _taps(place: Tensor, size: Size, mode: str, padding_mode: str, align_corners: bool) -> _Taps:
    """What the places along one axis, from -1 to 1, are made of."""
    last = _number(size - 1, place.dtype)
    p = (place + 1.0) * (0.5 * last) if align_corners else ((place + 1.0) * _number(size, place.dtype) - 1.0) * 0.5
    if mode != "bicubic":  # there it is the elements outside that are replaced
        p = _padded(p, size, padding_mode, align_corners)
    if mode == "nearest":
        index, weight = expand_dims(rounded(p), -1), None
    else:
        below = floor(p)
        share = p - below
        weights = cubic_weights(share) if mode == "bicubic" else [1.0 - share, share]
        first = 1 - len(weights) // 2
        index, weight = stack([below + float(first + k) for k in range(len(weights))], -1), stack(weights, -1)
    if mode == "bicubic":
        index = _padded(index, size, padding_mode, align_corners)
    if padding_mode == "zeros":
        inside = cast((index >= 0.0) & (index <= last), p.dtype)
        weight = inside if weight is None else weight * inside
    end = cast(last, int64) if isinstance(last, Tensor) else int(last)
    return _Taps(minimum(maximum(cast(index, int64), 0), end), weight)


def _padded(p: Tensor, size: Size, padding_mode: str, align_corners: bool) -> Tensor:
    """Places brought inside, unless outside there are zeros."""
    if padding_mode == "zeros":
        return p
    last = _number(size - 1, p.dtype)
    if padding_mode == "reflection":
        low = 0.0 if align_corners else -0.5  # mirrors stand in the outermost elements or at their edges
        if align_corners and size == 1:
            return filled_like(p, 0)
        span = last - 2.0 * low
        along = remainder(p - low, 2.0 * span)
        p = where(along > span, 2.0 * span - along, along) + low
    return minimum(maximum(p, 0.0), last)


def _number(size: Size, dtype: DType) -> Any:
    """A size to compute with: a Python number where it is known."""
    if isinstance(size, Dim):
        return size_of(size, dtype)
    return float(size) if dtype.is_float else size


def affine_grid(theta: Any, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """The places that affine maps ``theta`` (batch, 2, 3) send the elements of an image of ``size`` to.

    ``size`` is (batch, channels, height, width); the result (batch, height, width, 2) is what ``grid_sample`` takes.
    With ``theta`` (batch, 3, 4) and a depth in ``size`` likewise. Raises ShapeError if the two do not fit together.

    >>> import graphflow as gf
    >>> same = gf.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    >>> gf.nn.functional.affine_grid(same, (1, 1, 1, 2)).tolist()
    [[[[-0.5, 0.0], [0.5, 0.0]]]]
    """
    theta = as_tensor(theta)
    if not theta.dtype.is_float:
        raise DTypeError(at_line(f"affine_grid takes floating-point maps, got {theta.dtype}", user_origin()))
    space = tuple(int(n) for n in size[2:])
    rank = len(space)
    if rank not in (2, 3) or theta.shape[1:] != (rank, rank + 1) or not same_size(theta.shape[0], size[0]):
        message = (
            f"affine_grid of maps {shape_str(theta.shape)} for size {shape_str(tuple(size))}: needed are (batch, 2, 3) "
            "and (batch, channels, height, width), or (batch, 3, 4) and one more axis"
        )
        raise ShapeError(at_line(message, user_origin()))
    axes = [np.linspace(-1.0, 1.0, n) if n > 1 else np.zeros(1) for n in space]
    if not align_corners:
        axes = [a * ((n - 1) / n) for a, n in zip(axes, space)]
    points = np.stack([*reversed(np.meshgrid(*axes, indexing="ij")), np.ones(space)], axis=-1)
    with beside(theta):
        base = literal(points.reshape(1, -1, rank + 1).astype(theta.dtype.np))
    return reshape(matmul(base, theta.mT), (theta.shape[0], *space, rank))  # type: ignore[attr-defined]
