"""Convolutions, with PyTorch's arguments and weight layouts. What they compute is one primitive, in ops/conv.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.core.dims import Dim, Shape, Size, same_size, shape_str
from graphflow.core.errors import ShapeError, at_line, user_origin
from graphflow.ops.conv import CONV, Ints, convolution, spread
from graphflow.ops.define import coerce, promote
from graphflow.ops.fused import fused
from graphflow.ops.movement import expand_dims, reshape
from graphflow.tensor import Tensor

IntOrInts = int | Sequence[int]


def _fail(message: str) -> ShapeError:
    return ShapeError(at_line(message, user_origin()))


def each_axis(value: Any, rank: int, name: str) -> Ints:
    """One number for all spatial axes, or one for each. Raises ValueError for another number of them."""
    if isinstance(value, int):
        return (value,) * rank
    numbers = tuple(int(n) for n in value)
    if len(numbers) == 1:
        numbers *= rank
    if len(numbers) != rank:
        raise ValueError(at_line(f"{name} is one number or {rank} numbers, got {value}", user_origin()))
    return numbers


def padding_widths(padding: IntOrInts | str, rank: int, strides: Ints, spans: Shape) -> list[tuple[Size, Size]]:
    """Zeros before and after each spatial axis; ``spans`` are the kernel's sizes, with its gaps, less 1."""
    if padding == "valid":
        return [(0, 0)] * rank
    if padding == "same":
        if any(s != 1 for s in strides):
            raise ValueError(at_line("padding='same' is for strides of 1", user_origin()))
        return [(n // 2, n - n // 2) for n in spans]
    if isinstance(padding, str):
        raise ValueError(at_line(f"padding is a number, numbers, 'same' or 'valid', got {padding!r}", user_origin()))
    return [(p, p) for p in each_axis(padding, rank, "padding")]


def _check(name: str, rank: int, x: Tensor, w: Tensor, bias: Any, groups: int, transposed: bool) -> None:
    """Raise ShapeError where input, weight, bias and groups do not fit each other."""
    if w.ndim != rank + 2 or x.ndim not in (rank + 1, rank + 2):
        raise _fail(
            f"{name} takes a weight of rank {rank + 2} and an input of rank {rank + 2}, or {rank + 1} without batch; "
            f"got {shape_str(w.shape)} and {shape_str(x.shape)}"
        )
    channels = x.shape[x.ndim - rank - 1]
    expected = w.shape[0] if transposed else w.shape[1] * groups
    if not same_size(channels, expected):
        raise _fail(f"{name}: the weight {shape_str(w.shape)} is for {expected} channels, the input has {channels}")
    if groups < 1 or (not isinstance(w.shape[0], Dim) and w.shape[0] % groups):
        raise _fail(f"{name}: the weight's {w.shape[0]} channels are not {groups} equal groups")
    outputs = w.shape[1] * groups if transposed else w.shape[0]
    if bias is not None and bias.shape != (outputs,):
        raise _fail(f"{name}: the bias should have {outputs} elements, its shape is {shape_str(bias.shape)}")


def _with_bias(out: Tensor, bias: Tensor | None, rank: int) -> Tensor:
    return out if bias is None else out + reshape(bias, (bias.shape[0], *(1,) * rank))


@fused("batch", "x")
def _conv(x: Tensor, w: Tensor, bias: Tensor | None, strides: Ints, low: Ints, dilations: Ints, sizes: Ints) -> Tensor:
    """CONV with PyTorch's layouts: x (batch, channels, ...), w (outputs, channels / groups, ...)."""
    groups = x.shape[1] // w.shape[1]
    x = reshape(x, (x.shape[0], groups, w.shape[1], *x.shape[2:]))
    w = reshape(w, (groups, w.shape[0] // groups, *w.shape[1:]))
    return _with_bias(convolution(x, w, strides, low, dilations, sizes), bias, len(sizes))


@fused("batch", "x")
def _conv_transpose(
    x: Tensor, w: Tensor, bias: Tensor | None, strides: Ints, low: Ints, dilations: Ints, sizes: Ints, groups: int
) -> Tensor:
    x = reshape(x, (x.shape[0], groups, x.shape[1] // groups, *x.shape[2:]))
    w = reshape(w, (groups, w.shape[0] // groups, *w.shape[1:]))
    return _with_bias(spread(x, w, strides, low, dilations, sizes), bias, len(sizes))


def _operands(name: str, rank: int, input: Any, weight: Any, bias: Any, groups: int, transposed: bool) -> Any:
    """Input with a batch axis, weight, bias, and whether the input came without batch; all of one dtype."""
    given = (input, weight) if bias is None else (input, weight, bias)
    x, w, *rest = (coerce(CONV, t) for t in promote(*given))
    b = rest[0] if rest else None
    _check(name, rank, x, w, b, groups, transposed)
    single = x.ndim == rank + 1
    return (expand_dims(x, 0) if single else x), w, b, single


def _convolve(
    rank: int, input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> Tensor:
    name = f"conv{rank}d"
    x, w, b, single = _operands(name, rank, input, weight, bias, groups, False)
    strides, dilations = each_axis(stride, rank, "stride"), each_axis(dilation, rank, "dilation")
    spans = tuple((k - 1) * d for k, d in zip(w.shape[2:], dilations))
    widths = padding_widths(padding, rank, strides, spans)
    sizes = tuple((n + lo + hi - k - 1) // s + 1 for n, (lo, hi), k, s in zip(x.shape[2:], widths, spans, strides))
    if any(not isinstance(n, Dim) and n < 1 for n in sizes):
        raise _fail(
            f"{name}: a kernel {shape_str(w.shape[2:])} with dilation {dilations} does not fit into the input "
            f"{shape_str(x.shape)} with padding {padding!r}"
        )
    out = _conv(x, w, b, strides, tuple(lo for lo, _ in widths), dilations, sizes)
    return reshape(out, out.shape[1:]) if single else out


def _deconvolve(
    rank: int,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
) -> Tensor:
    name = f"conv_transpose{rank}d"
    x, w, b, single = _operands(name, rank, input, weight, bias, groups, True)
    strides, dilations = each_axis(stride, rank, "stride"), each_axis(dilation, rank, "dilation")
    low, more = each_axis(padding, rank, "padding"), each_axis(output_padding, rank, "output_padding")
    if any(extra >= max(s, d) for extra, s, d in zip(more, strides, dilations)):
        raise ValueError(
            at_line(f"{name}: output_padding {more} must be less than stride {strides} or dilation", user_origin())
        )
    spans = ((k - 1) * d + 1 for k, d in zip(w.shape[2:], dilations))
    sizes = tuple(
        (n - 1) * s - 2 * p + span + extra for n, s, p, span, extra in zip(x.shape[2:], strides, low, spans, more)
    )
    if any(not isinstance(n, Dim) and n < 1 for n in sizes):
        raise _fail(f"{name}: padding {low} leaves nothing of the output, of size {sizes}")
    out = _conv_transpose(x, w, b, strides, low, dilations, sizes, groups)
    return reshape(out, out.shape[1:]) if single else out


def conv1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: IntOrInts = 1,
    padding: IntOrInts | str = 0,
    dilation: IntOrInts = 1,
    groups: int = 1,
) -> Tensor:
    """The convolution of (batch, channels, length) with a weight (outputs, channels / groups, taps). See ``conv2d``.

    >>> import graphflow as gf
    >>> gf.nn.functional.conv1d(gf.ones((1, 1, 5)), gf.ones((1, 1, 3)), padding="same").tolist()
    [[[2.0, 3.0, 3.0, 3.0, 2.0]]]
    """
    return _convolve(1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: IntOrInts = 1,
    padding: IntOrInts | str = 0,
    dilation: IntOrInts = 1,
    groups: int = 1,
) -> Tensor:
    """The convolution of (batch, channels, height, width) with a weight (outputs, channels / groups, rows, columns).

    ``padding`` zeros are put around the input (a number, one for each axis, "same" or "valid"); the kernel moves in
    steps of ``stride``, its taps are ``dilation`` apart, and group i of the outputs sees group i of the channels. The
    batch axis may be missing. Raises ShapeError where shapes do not fit.

    >>> import graphflow as gf
    >>> gf.nn.functional.conv2d(gf.ones((8, 3, 32, 32)), gf.ones((16, 3, 3, 3)), stride=2, padding=1).shape
    (8, 16, 16, 16)
    """
    return _convolve(2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: IntOrInts = 1,
    padding: IntOrInts | str = 0,
    dilation: IntOrInts = 1,
    groups: int = 1,
) -> Tensor:
    """The convolution of (batch, channels, depth, height, width) with a weight of rank 5. See ``conv2d``."""
    return _convolve(3, input, weight, bias, stride, padding, dilation, groups)


def conv_transpose1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: IntOrInts = 1,
    padding: IntOrInts = 0,
    output_padding: IntOrInts = 0,
    groups: int = 1,
    dilation: IntOrInts = 1,
) -> Tensor:
    """The transpose of ``conv1d`` with this weight (channels, outputs / groups, taps). See ``conv_transpose2d``."""
    return _deconvolve(1, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: IntOrInts = 1,
    padding: IntOrInts = 0,
    output_padding: IntOrInts = 0,
    groups: int = 1,
    dilation: IntOrInts = 1,
) -> Tensor:
    """The transpose of ``conv2d`` with this weight (channels, outputs / groups, rows, columns), as a function.

    It gives each element of the input, times the kernel, to the places that ``conv2d`` would have read for it. Several
    sizes would have led to the input's: ``output_padding`` is added to the least.

    >>> import graphflow as gf
    >>> gf.nn.functional.conv_transpose2d(gf.ones((1, 4, 8, 8)), gf.ones((4, 2, 4, 4)), stride=2, padding=1).shape
    (1, 2, 16, 16)
    """
    return _deconvolve(2, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: IntOrInts = 1,
    padding: IntOrInts = 0,
    output_padding: IntOrInts = 0,
    groups: int = 1,
    dilation: IntOrInts = 1,
) -> Tensor:
    """The transpose of ``conv3d`` with this weight of rank 5. See ``conv_transpose2d``."""
    return _deconvolve(3, input, weight, bias, stride, padding, output_padding, groups, dilation)
