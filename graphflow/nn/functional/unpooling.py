"""Maxima put back to where they were found, and pooling by norms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from graphflow.core.dims import product, shape_str
from graphflow.core.errors import ShapeError, at_line, user_origin
from graphflow.nn.functional.convolution import IntOrInts, each_axis
from graphflow.nn.functional.pooling import _operand, avg_pool1d, avg_pool2d, avg_pool3d
from graphflow.ops.creation import beside, iota, zeros
from graphflow.ops.elementwise import abs, relu, sign
from graphflow.ops.fused import fused
from graphflow.ops.movement import reshape
from graphflow.ops.picking import as_index, scatter_into
from graphflow.tensor import Tensor

_MEANS = {1: avg_pool1d, 2: avg_pool2d, 3: avg_pool3d}


def _max_unpool(
    rank: int, input: Any, indices: Any, kernel_size: Any, stride: Any, padding: Any, output_size: Any
) -> Tensor:
    name = f"max_unpool{rank}d"
    x, places = _operand(name, rank, input), as_index(indices)
    taps = each_axis(kernel_size, rank, "kernel_size")
    strides = taps if stride is None else each_axis(stride, rank, "stride")
    pads = each_axis(padding, rank, "padding")
    space = x.shape[x.ndim - rank :]
    sizes = tuple((n - 1) * s - 2 * p + k for n, s, p, k in zip(space, strides, pads, taps))
    if output_size is not None:
        wanted = tuple(output_size)[-rank:]
        if len(wanted) != rank or any(not s - d < w < s + d for s, w, d in zip(sizes, wanted, strides)):  # type: ignore[operator]
            message = f"{name}: output_size {tuple(output_size)} is not within a stride of {shape_str(sizes)}"
            raise ValueError(at_line(message, user_origin()))
        sizes = wanted
    if places.shape != x.shape:
        message = f"{name}: indices of shape {shape_str(places.shape)} for input {shape_str(x.shape)}"
        raise ShapeError(at_line(message, user_origin()))
    return _put_back(x, places, sizes)


@fused("batch", "x", "places")
def _put_back(x: Tensor, places: Tensor, sizes: tuple[Any, ...]) -> Tensor:
    """x in planes of zeros, each element at its place in the flattened plane."""
    lead = x.shape[: x.ndim - len(sizes)]
    planes, plane = product(lead), product(sizes)
    with beside(x):
        first = iota((planes, 1), 0) * plane
        empty = zeros((planes * plane,), dtype=x.dtype)
    flat = reshape(reshape(places, (planes, -1)) + first, -1)
    return reshape(scatter_into(empty, flat, reshape(x, -1), 0, "set"), (*lead, *sizes))


def max_unpool1d(
    input: Any,
    indices: Any,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: IntOrInts = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Maxima back where ``max_pool1d(..., return_indices=True)`` found them. See ``max_unpool2d``."""
    return _max_unpool(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Any,
    indices: Any,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: IntOrInts = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Maxima back where ``max_pool2d(..., return_indices=True)`` found them, zeros elsewhere.

    Several input sizes are pooled to one: ``output_size`` says which it was. Raises ValueError for one that is not
    among them.

    >>> import graphflow as gf
    >>> x, places = gf.nn.functional.max_pool2d(gf.arange(16.0).reshape(1, 1, 4, 4), 2, return_indices=True)
    >>> gf.nn.functional.max_unpool2d(x, places, 2)[0, 0, 1].tolist()
    [0.0, 5.0, 0.0, 7.0]
    """
    return _max_unpool(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Any,
    indices: Any,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: IntOrInts = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Maxima back where ``max_pool3d(..., return_indices=True)`` found them. See ``max_unpool2d``."""
    return _max_unpool(3, input, indices, kernel_size, stride, padding, output_size)


def _lp_pool(rank: int, input: Any, norm_type: float, kernel_size: Any, stride: Any, ceil_mode: bool) -> Tensor:
    x = _operand(f"lp_pool{rank}d", rank, input)
    count = math.prod(each_axis(kernel_size, rank, "kernel_size"))
    means: Any = _MEANS[rank](x**norm_type, kernel_size, stride, 0, ceil_mode)
    return (sign(means) * relu(abs(means)) * count) ** (1.0 / norm_type)


def lp_pool1d(
    input: Any, norm_type: float, kernel_size: IntOrInts, stride: IntOrInts | None = None, ceil_mode: bool = False
) -> Tensor:
    """The ``norm_type`` norm of each window over (batch, channels, length). See ``lp_pool2d``."""
    return _lp_pool(1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(
    input: Any, norm_type: float, kernel_size: IntOrInts, stride: IntOrInts | None = None, ceil_mode: bool = False
) -> Tensor:
    """The ``norm_type`` norm of each window over (batch, channels, height, width): (sum of x ** p) ** (1 / p).

    >>> import graphflow as gf
    >>> gf.nn.functional.lp_pool2d(gf.full((1, 1, 2, 2), 3.0), 2, 2).item()
    6.0
    """
    return _lp_pool(2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(
    input: Any, norm_type: float, kernel_size: IntOrInts, stride: IntOrInts | None = None, ceil_mode: bool = False
) -> Tensor:
    """The ``norm_type`` norm of each window over (batch, channels, depth, height, width). See ``lp_pool2d``."""
    return _lp_pool(3, input, norm_type, kernel_size, stride, ceil_mode)
