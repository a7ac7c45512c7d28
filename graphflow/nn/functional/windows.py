"""Sliding windows as columns, and back: ``unfold`` and ``fold``."""

from __future__ import annotations

import math
from typing import Any

from graphflow.core.dims import Dim, Shape, product, shape_str
from graphflow.core.errors import ShapeError, at_line, user_origin
from graphflow.nn.functional.convolution import IntOrInts, each_axis
from graphflow.ops import pool
from graphflow.ops.conv import Ints
from graphflow.ops.fused import fused
from graphflow.ops.movement import expand_dims, permute_dims, place, reshape, strided
from graphflow.tensor import Tensor, as_tensor

_Settings = tuple[Ints, Ints, Ints, Ints]


def _fail(message: str) -> ShapeError:
    return ShapeError(at_line(message, user_origin()))


def _settings(kernel_size: IntOrInts, dilation: IntOrInts, padding: IntOrInts, stride: IntOrInts) -> _Settings:
    taps, dilations = each_axis(kernel_size, 2, "kernel_size"), each_axis(dilation, 2, "dilation")
    pads, strides = each_axis(padding, 2, "padding"), each_axis(stride, 2, "stride")
    if any(n < 1 for n in (*taps, *dilations, *strides)) or any(p < 0 for p in pads):
        numbers = f"kernel_size {taps}, dilation {dilations}, padding {pads}, stride {strides}"
        raise ValueError(at_line(f"padding is at least 0, the others positive: {numbers}", user_origin()))
    return taps, dilations, pads, strides


def _counts(padded: Any, taps: Ints, dilations: Ints, strides: Ints) -> tuple[Any, Any]:
    rows, columns = ((size - (k - 1) * d - 1) // s + 1 for size, k, d, s in zip(padded, taps, dilations, strides))
    if any(not isinstance(n, Dim) and n < 1 for n in (rows, columns)):
        raise _fail(f"windows {taps} with dilation {dilations} do not fit into padded sizes {shape_str(padded)}")
    return rows, columns


def unfold(
    input: Any, kernel_size: IntOrInts, dilation: IntOrInts = 1, padding: IntOrInts = 0, stride: IntOrInts = 1
) -> Tensor:
    """Each window of (batch, channels, height, width) as a column: (batch, channels * taps, windows). Also "im2col".

    >>> import graphflow as gf
    >>> gf.nn.functional.unfold(gf.arange(9.0).reshape(1, 1, 3, 3), 2)[0, :, 1].tolist()
    [1.0, 2.0, 4.0, 5.0]
    """
    x = as_tensor(input)
    if x.ndim == 3:
        out = unfold(expand_dims(x, 0), kernel_size, dilation, padding, stride)
        return reshape(out, out.shape[1:])
    if x.ndim != 4:
        raise _fail(f"unfold takes (batch, channels, height, width), or without batch, got {shape_str(x.shape)}")
    taps, dilations, pads, strides = _settings(kernel_size, dilation, padding, stride)
    counts = _counts(tuple(n + 2 * p for n, p in zip(x.shape[2:], pads)), taps, dilations, strides)
    return _unfolded(x, counts, taps, dilations, pads, strides)


@fused("batch", "x")
def _unfolded(x: Tensor, counts: Shape, taps: Ints, dilations: Ints, pads: Ints, strides: Ints) -> Tensor:
    x = place(x, (0, 0, *pads), (0, 0, *pads), (0,) * 4)
    view = pool.windows(x, (0, 0), counts, taps, strides, dilations)
    columns = permute_dims(view, (0, 1, 4, 5, 2, 3))
    return reshape(columns, (x.shape[0], x.shape[1] * product(taps), product(counts)))


def fold(
    input: Any,
    output_size: IntOrInts,
    kernel_size: IntOrInts,
    dilation: IntOrInts = 1,
    padding: IntOrInts = 0,
    stride: IntOrInts = 1,
) -> Tensor:
    """Columns (batch, channels * taps, windows) laid back into (batch, channels, *output_size), added where they meet.

    >>> import graphflow as gf
    >>> gf.nn.functional.fold(gf.ones((1, 4, 4)), 3, 2).tolist()
    [[[[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]]]
    """
    x = as_tensor(input)
    if x.ndim == 2:
        return reshape(
            out := fold(expand_dims(x, 0), output_size, kernel_size, dilation, padding, stride), out.shape[1:]
        )
    taps, dilations, pads, strides = _settings(kernel_size, dilation, padding, stride)
    size = each_axis(output_size, 2, "output_size")
    padded = tuple(n + 2 * p for n, p in zip(size, pads))
    rows, columns = _counts(padded, taps, dilations, strides)
    count = math.prod(taps)
    if x.ndim != 3 or x.shape[1] % count != 0 or (x.shape[2] != rows * columns and not isinstance(x.shape[2], Dim)):
        expected = f"(batch, a multiple of {count}, {rows * columns})"
        raise _fail(f"fold into {size} with windows {taps} takes {expected}, got {shape_str(x.shape)}")
    return _folded(x, size, taps, dilations, pads, strides, (rows, columns))


@fused("batch", "x")
def _folded(x: Tensor, size: Ints, taps: Ints, dilations: Ints, pads: Ints, strides: Ints, counts: Ints) -> Tensor:
    batch, channels = x.shape[0], x.shape[1] // math.prod(taps)
    padded = tuple(n + 2 * p for n, p in zip(size, pads))
    view = permute_dims(reshape(x, (batch, channels, *taps, *counts)), (0, 1, 4, 5, 2, 3))
    whole = pool.fold(view, (batch, channels, *padded), (0, 0), strides, dilations)
    return strided(whole, (0, 0, *pads), (batch, channels, *size), (1,) * 4)
