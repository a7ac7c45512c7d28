"""Pooling, with PyTorch's arguments: the greatest or the mean of sliding windows, or of as many as are wanted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.core.dims import Dim, Shape, Size, shape_str
from graphflow.core.dispatch import apply
from graphflow.core.dtypes import int64
from graphflow.core.errors import DTypeError, ShapeError, at_line, user_origin
from graphflow.nn.functional.convolution import IntOrInts, each_axis
from graphflow.ops.conv import Ints
from graphflow.ops.creation import beside, iota
from graphflow.ops.define import cast
from graphflow.ops.elementwise import maximum, minimum
from graphflow.ops.fused import fused
from graphflow.ops.movement import place, reshape
from graphflow.ops.pool import FIRST_MAX, first_of, windows
from graphflow.ops.reduce import SUM, floating
from graphflow.tensor import Tensor, as_tensor


def _fail(message: str) -> ShapeError:
    return ShapeError(at_line(message, user_origin()))


def _operand(name: str, rank: int, input: Any) -> Tensor:
    x = as_tensor(input)
    if x.ndim not in (rank + 1, rank + 2):
        raise _fail(f"{name} takes rank {rank + 2}, or {rank + 1} without batch, got shape {shape_str(x.shape)}")
    return x


# -- windows in steps --------------------------------------------------------------------------------------------------
def _counts(spatial: Shape, taps: Ints, strides: Ints, padding: Ints, dilations: Ints, ceil: bool) -> Shape:
    """How many windows there are along each axis; with ``ceil`` one more where elements would be left over."""
    counts: list[Size] = []
    for size, k, s, p, d in zip(spatial, taps, strides, padding, dilations):
        free = size + 2 * p - (k - 1) * d - 1
        count = free // s + 1
        if ceil and free % s != 0:
            count = count + ((count * s) < size + p)  # a window must start inside
        counts.append(count)
    return tuple(counts)


def _settings(
    name: str, x: Tensor, rank: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> tuple[Ints, Ints, Ints, Ints, Shape]:
    taps = each_axis(kernel_size, rank, "kernel_size")
    strides = taps if stride is None or stride == () else each_axis(stride, rank, "stride")
    pads, dilations = each_axis(padding, rank, "padding"), each_axis(dilation, rank, "dilation")
    if any(n < 1 for n in (*taps, *strides, *dilations)) or any(not 0 <= 2 * p <= k for p, k in zip(pads, taps)):
        numbers = f"kernel_size {taps}, stride {strides}, padding {pads}, dilation {dilations}"
        raise ValueError(
            at_line(f"{name}: padding is at most half of kernel_size, others positive: {numbers}", user_origin())
        )
    counts = _counts(x.shape[x.ndim - rank :], taps, strides, pads, dilations, ceil_mode)
    if any(not isinstance(n, Dim) and n < 1 for n in counts):
        raise _fail(f"{name}: windows {taps} with dilation {dilations} do not fit into shape {shape_str(x.shape)}")
    return taps, strides, pads, dilations, counts


def _padded_windows(
    x: Tensor, fill: Any, counts: Shape, taps: Ints, strides: Ints, pads: Ints, dilations: Ints
) -> Tensor:
    """Windows over x with ``fill`` around it where they need it: (..., *counts, *taps)."""
    rank = len(taps)
    lead = x.ndim - rank
    over = []
    for size, n, k, s, p, d in zip(x.shape[lead:], counts, taps, strides, pads, dilations):
        more = (n - 1) * s + (k - 1) * d + 1 - p - size
        over.append(p if isinstance(more, Dim) else max(more, 0))
    if any(over) or any(pads):
        x = place(x, (0,) * lead + pads, (0,) * lead + tuple(over), (0,) * x.ndim, fill)
    return windows(x, (0,) * rank, counts, taps, strides, dilations)


@fused("batch", "x")
def _max_pool(x: Tensor, counts: Ints, taps: Ints, strides: Ints, pads: Ints, dilations: Ints, indices: bool) -> Any:
    """The first maximum of each window, and its number in the window if ``indices``."""
    rank = len(taps)
    least = float("-inf") if x.dtype.is_float else int(np.iinfo(x.dtype.np).min)
    view = _padded_windows(x, least, counts, taps, strides, pads, dilations)
    axes = tuple(range(view.ndim - rank, view.ndim))
    out = apply(FIRST_MAX, (view,), {"axes": axes})
    return [out, first_of(view, out, axes)[0]] if indices else out


def _positions(place: Tensor, spatial: Shape, begin: Sequence[Tensor], taps: Ints, dilations: Ints) -> Tensor:
    """From numbers in windows to numbers in the input (row-major over its spatial axes).

    ``begin`` has, for each axis, where its windows begin.
    """
    rest, offsets = cast(place, int64), []
    for k in reversed(taps):
        offsets.append(rest % k)
        rest = rest // k
    total: Any = 0
    rank = len(taps)
    for axis, (offset, first, d) in enumerate(zip(reversed(offsets), begin, dilations)):
        here = reshape(first, (-1, *(1,) * (rank - axis - 1))) + offset * d
        total = total * spatial[axis] + here
    return total  # type: ignore[no-any-return]


def _begin(x: Tensor, counts: Shape, strides: Ints, pads: Ints) -> list[Tensor]:
    with beside(x):
        return [iota((n,), 0, int64) * s - p for n, s, p in zip(counts, strides, pads)]


def _max_pools(
    rank: int,
    input: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
    return_indices: bool,
) -> Any:
    name = f"max_pool{rank}d"
    x = _operand(name, rank, input)
    if x.dtype.kind == "bool":
        raise DTypeError(at_line(f"{name} takes numbers, got bool", user_origin()))
    taps, strides, pads, dilations, counts = _settings(name, x, rank, kernel_size, stride, padding, dilation, ceil_mode)
    if not return_indices:
        return _max_pool(x, counts, taps, strides, pads, dilations, False)
    out, place = _max_pool(x, counts, taps, strides, pads, dilations, True)
    return out, _positions(place, x.shape[x.ndim - rank :], _begin(x, counts, strides, pads), taps, dilations)


def max_pool1d(
    input: Any,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: IntOrInts = 0,
    dilation: IntOrInts = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The greatest of each window over (batch, channels, length). See ``max_pool2d``."""
    return _max_pools(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(
    input: Any,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: IntOrInts = 0,
    dilation: IntOrInts = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The greatest of each window over (batch, channels, height, width); its gradient goes to the first of equal ones.

    Windows come in steps of ``stride`` (their size by default); ``padding`` never wins. With ``ceil_mode`` a last
    window may reach past the end. With ``return_indices`` also the maxima's places in the flattened plane (int64).

    >>> import graphflow as gf
    >>> gf.nn.functional.max_pool2d(gf.arange(16.0).reshape(1, 1, 4, 4), 2).tolist()
    [[[[5.0, 7.0], [13.0, 15.0]]]]
    """
    return _max_pools(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(
    input: Any,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: IntOrInts = 0,
    dilation: IntOrInts = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The greatest of each window over (batch, channels, depth, height, width). See ``max_pool2d``."""
    return _max_pools(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


# -- means -------------------------------------------------------------------------------------------------------------
@fused("batch", "x")
def _window_sums(x: Tensor, scale: float, counts: Ints, taps: Ints, strides: Ints, pads: Ints) -> Tensor:
    rank = len(taps)
    view = _padded_windows(x, 0.0, counts, taps, strides, pads, (1,) * rank)
    out = apply(SUM, (view,), {"axes": tuple(range(view.ndim - rank, view.ndim))})
    return out if scale == 1.0 else out * scale


def _elements(x: Tensor, counts: Shape, taps: Ints, strides: Ints, pads: Ints, include_pad: bool) -> Tensor:
    """How many elements each window averages: those inside of the input, and of its padding if that counts."""
    spatial = x.shape[x.ndim - len(taps) :]
    total: Any = None
    for axis, (first, size, k, p) in enumerate(zip(_begin(x, counts, strides, pads), spatial, taps, pads)):
        end = minimum(first + k, size + p)
        number = end - first if include_pad else minimum(end, size) - maximum(first, 0)
        number = reshape(number, (-1, *(1,) * (len(taps) - axis - 1)))
        total = number if total is None else total * number
    return cast(total, x.dtype)


def _avg_pools(
    rank: int,
    input: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Tensor:
    name = f"avg_pool{rank}d"
    x = _operand(name, rank, input)
    if not x.dtype.is_float:
        raise DTypeError(at_line(f"{name} takes a floating-point tensor, got {x.dtype}", user_origin()))
    taps, strides, pads, _, counts = _settings(name, x, rank, kernel_size, stride, padding, 1, ceil_mode)
    wide = floating(x)
    full = float(np.prod(taps)) if divisor_override is None else float(divisor_override)
    if divisor_override == 0:
        raise ValueError(at_line(f"{name}: divisor_override must not be 0", user_origin()))
    even = divisor_override is not None or ((count_include_pad or not any(pads)) and not ceil_mode)
    if even:
        return cast(_window_sums(wide, 1.0 / full, counts, taps, strides, pads), x.dtype)
    total = _window_sums(wide, 1.0, counts, taps, strides, pads)
    return cast(total / _elements(wide, counts, taps, strides, pads, count_include_pad), x.dtype)


def avg_pool1d(
    input: Any,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: IntOrInts = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window over (batch, channels, length). See ``avg_pool2d``."""
    return _avg_pools(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def avg_pool2d(
    input: Any,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: IntOrInts = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window over (batch, channels, height, width).

    Zeros of the padding count as elements if ``count_include_pad``; ``divisor_override`` divides instead of the number
    of elements.

    >>> import graphflow as gf
    >>> gf.nn.functional.avg_pool2d(gf.arange(16.0).reshape(1, 1, 4, 4), 2).tolist()
    [[[[2.5, 4.5], [10.5, 12.5]]]]
    """
    return _avg_pools(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def avg_pool3d(
    input: Any,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: IntOrInts = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window over (batch, channels, depth, height, width). See ``avg_pool2d``."""
    return _avg_pools(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
