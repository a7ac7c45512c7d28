"""Convolution: one primitive that is closed under differentiation. Layers' functions are in nn.functional.

The primitive has an axis for the groups, and says how large its result is instead of how far the input is padded: what
lies outside of the input reads as zero. With that, gradients of a convolution are convolutions of permuted operands.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from graphflow.core import dispatch
from graphflow.core.aval import AVal
from graphflow.core.dims import Dim, Shape, Size, same_size, shape_str
from graphflow.core.dispatch import apply
from graphflow.core.errors import DTypeError, ShapeError
from graphflow.core.op import Sample
from graphflow.ops.creation import beside, zeros
from graphflow.ops.custom import rule
from graphflow.ops.define import primitive
from graphflow.ops.elementwise import needs_gradient
from graphflow.ops.movement import permute_dims, place, reshape, reverse, strided
from graphflow.tensor import Array, Tensor

MOST_PHASES = 16  # convolutions that a gradient with strides is cut into; for more, zeros are put between elements

Ints = tuple[int, ...]


# -- the primitive -----------------------------------------------------------------------------------------------------
def _conv_infer(
    x: AVal, w: AVal, strides: Ints, low: Shape, dilations: Ints, sizes: Shape, outputs_first: bool
) -> AVal:
    if x.dtype is not w.dtype or not x.dtype.is_float:
        raise DTypeError(f"conv takes two operands of one floating-point dtype, got {x.dtype} and {w.dtype}")
    rank = len(sizes)
    fits = x.ndim == w.ndim == rank + 3 and same_size(x.shape[1], w.shape[0]) and same_size(x.shape[2], w.shape[2])
    if not fits or not len(strides) == len(low) == len(dilations) == rank:
        raise ShapeError(
            f"conv takes x (batch, groups, channels, ...) and w (groups, outputs, channels, ...), "
            f"got {shape_str(x.shape)} and {shape_str(w.shape)} for {rank} spatial axes"
        )
    lead = (x.shape[0], w.shape[0] * w.shape[1])
    return AVal((*(lead[::-1] if outputs_first else lead), *sizes), x.dtype)


def windows(x: Array, starts: Ints, counts: Ints, taps: Ints, strides: Ints, dilations: Ints) -> Array:
    """(..., *counts, *taps) of (..., *spatial): a view of the input, or of a copy with zeros around it."""
    lead, rank = x.shape[: x.ndim - len(counts)], len(counts)
    spans = [(n - 1) * s + (k - 1) * d + 1 for n, s, k, d in zip(counts, strides, taps, dilations)]
    inside = tuple(slice(max(a, 0), max(a + n, 0)) for a, n in zip(starts, spans))
    part = x[(..., *inside)]
    if part.shape[x.ndim - rank :] != tuple(spans):
        whole = np.zeros((*lead, *spans), x.dtype)
        to = tuple(slice(max(-a, 0), max(-a, 0) + n) for a, n in zip(starts, part.shape[x.ndim - rank :]))
        whole[(..., *to)] = part  # type: ignore[index]
        part = whole
    outer, inner = part.strides[: part.ndim - rank], part.strides[part.ndim - rank :]
    steps = [st * s for st, s in zip(inner, strides)] + [st * d for st, d in zip(inner, dilations)]
    return np.lib.stride_tricks.as_strided(part, (*lead, *counts, *taps), (*outer, *steps), writeable=False)


_COLUMNS = 2 << 20  # bytes of columns made at a time: they need little memory, and stay in the cache


def _conv_ref(x: Array, w: Array, strides: Ints, low: Ints, dilations: Ints, sizes: Ints, outputs_first: bool) -> Array:
    groups, outputs, channels, *taps = w.shape
    kind = x.dtype
    if kind.itemsize == 2:  # 16-bit floats are added up in float32, as kernels do
        x, w = x.astype(np.float32), w.astype(np.float32)
    lead = (groups * outputs, x.shape[0]) if outputs_first else (x.shape[0], groups * outputs)
    if 0 in (*x.shape, *w.shape, *sizes):
        return np.zeros((*lead, *sizes), kind)
    rank = len(sizes)
    places, inner = range(3, 3 + rank), range(3 + rank, 3 + 2 * rank)
    weights = w.reshape(groups, outputs, -1)
    out = np.empty((*lead, *sizes), kind)
    target = out if outputs_first else out.swapaxes(0, 1)
    one = x.itemsize * groups * channels * math.prod(taps) * math.prod(sizes)  # bytes of a sample's columns
    step = max(1, _COLUMNS // one)
    for at in range(0, x.shape[0], step):
        view = windows(x[at : at + step], tuple(-n for n in low), sizes, tuple(taps), strides, dilations)
        columns = view.transpose(1, 2, *inner, 0, *places).reshape(groups, channels * math.prod(taps), -1)
        with np.errstate(all="ignore"):
            part = np.matmul(weights, columns)
            target[:, at : at + step] = part.reshape(groups * outputs, -1, *sizes)
    return out


def _conv_vjp(
    g: Tensor,
    out: Tensor,
    x: Tensor,
    w: Tensor,
    strides: Ints,
    low: Shape,
    dilations: Ints,
    sizes: Shape,
    outputs_first: bool,
) -> tuple[Tensor | None, Tensor | None]:
    groups, outputs = w.shape[:2]
    g = swapped(g, 0, 1) if outputs_first else g
    g = reshape(g, (x.shape[0], groups, outputs, *sizes))
    gx = gw = None
    if needs_gradient(x):
        gx = reshape(spread(g, w, strides, low, dilations, x.shape[3:]), x.shape)
    if needs_gradient(w):
        gw = _kernel_gradient(x, g, w.shape, strides, low, dilations)
    return gx, gw


def _kernel_gradient(x: Tensor, g: Tensor, shape: Shape, strides: Ints, low: Shape, dilations: Ints) -> Tensor:
    """The gradient in a kernel of this shape, given that of the result: g (batch, groups, outputs, ...).

    Batch and channels change places: for each channel, the gradient is a kernel that is laid on the input.
    """
    weights = permute_dims(g, (1, 2, 0, *range(3, g.ndim)))
    return reshape(convolution(swapped(x, 0, 2), weights, dilations, low, strides, shape[3:], True), shape)


CONV = primitive(
    "conv",
    "contract",
    _conv_infer,
    _conv_ref,
    _conv_vjp,
    samples=lambda: [
        _sample((2, 1, 3, 5, 6), (1, 4, 3, 3, 2), (1, 1), (1, 0), (1, 1), (5, 5)),
        _sample((2, 2, 2, 7, 6), (2, 3, 2, 3, 3), (2, 3), (1, 2), (2, 1), (3, 3)),
        _sample((1, 3, 1, 9), (3, 1, 1, 4), (3,), (-1,), (1,), (2,), True),
        _sample((2, 1, 2, 3, 3, 4), (1, 17, 2, 2, 2, 2), (1, 2, 1), (0, 1, 0), (1, 1, 2), (2, 2, 2)),
        _sample((0, 1, 2, 4), (1, 3, 2, 2), (1,), (0,), (1,), (3,)),
    ],
    dtypes="float",
    cost=8,
    doc="For each group, sums over channels and taps: x[n, g, c, p * stride + k * dilation - low] * w[g, o, c, k].",
)


def _sample(
    x: Ints, w: Ints, strides: Ints, low: Ints, dilations: Ints, sizes: Ints, outputs_first: bool = False
) -> Sample:
    attrs = {"strides": strides, "low": low, "dilations": dilations, "sizes": sizes, "outputs_first": outputs_first}
    # Mostly positive: sums that cancel would show how 16-bit gradients are rounded on their way.
    return Sample((x, w), attrs, low=0.0, high=1.0)


def convolution(
    x: Tensor, w: Tensor, strides: Ints, low: Shape, dilations: Ints, sizes: Shape, outputs_first: bool = False
) -> Tensor:
    """CONV of x (batch, groups, channels, ...) and w (groups, outputs, channels, ...).

    The result is (batch, groups * outputs, *sizes), or with its first two axes exchanged if ``outputs_first``.
    """
    attrs = {"strides": strides, "low": low, "dilations": dilations, "sizes": sizes, "outputs_first": outputs_first}
    return apply(CONV, (x, w), attrs)  # type: ignore[no-any-return]


def swapped(x: Tensor, a: int, b: int) -> Tensor:
    """x with two axes exchanged."""
    order = list(range(x.ndim))
    order[a], order[b] = b, a
    return permute_dims(x, order)


# -- the other direction -----------------------------------------------------------------------------------------------
def spread(g: Tensor, w: Tensor, strides: Ints, low: Shape, dilations: Ints, sizes: Shape) -> Tensor:
    """The transpose of CONV: each element of g (batch, groups, outputs, ...) times the kernel, laid where it came from.

    w is (groups, outputs, channels, ...), the result (batch, groups * channels, *sizes). Its gradients are a
    convolution, and that convolution's gradient in its kernel.
    """
    attrs = {"strides": strides, "low": low, "dilations": dilations, "sizes": sizes}
    with dispatch.no_grad():
        value = _spread(g, w, strides, low, dilations, sizes)
    return apply(SPREAD, (value, g, w), attrs)  # type: ignore[no-any-return]


def _spread_vjp(
    slope: Tensor,
    out: Tensor,
    value: Tensor,
    g: Tensor,
    w: Tensor,
    strides: Ints,
    low: Shape,
    dilations: Ints,
    sizes: Shape,
) -> tuple[Tensor | None, ...]:
    slope = reshape(slope, (g.shape[0], w.shape[0], w.shape[2], *sizes))
    gg = gw = None
    if needs_gradient(g):
        gg = reshape(convolution(slope, w, strides, low, dilations, g.shape[3:]), g.shape)
    if needs_gradient(w):
        gw = _kernel_gradient(slope, g, w.shape, strides, low, dilations)
    return None, gg, gw


SPREAD = rule(
    "spread",
    _spread_vjp,
    "The transpose of conv: value, g (batch, groups, outputs, ...), w (groups, outputs, channels, ...) -> value.",
    lambda: [
        Sample(
            ((2, 3, 7), (2, 1, 4, 3), (1, 4, 3, 3)),
            {"strides": (2,), "low": (0,), "dilations": (1,), "sizes": (7,)},
            grad=False,
        )
    ],
)


def _spread(g: Tensor, w: Tensor, strides: Ints, low: Shape, dilations: Ints, sizes: Shape) -> Tensor:
    """With strides, the places p * stride + r of each remainder r meet the same taps.

    For each r this is a convolution with these taps alone.
    """
    per_axis = [_phases(*axis) for axis in zip(strides, low, dilations, w.shape[3:], sizes)]
    if None in per_axis or math.prod(strides) > MOST_PHASES:
        g = place(g, (0,) * g.ndim, (0,) * g.ndim, (0, 0, 0, *(s - 1 for s in strides)))
        return _spread(g, w, (1,) * len(strides), low, dilations, sizes)
    parts, starts = [], []
    for phase in itertools.product(*per_axis):  # type: ignore[arg-type]
        remainders, firsts, steps, counts, lows, gaps, lengths = zip(*phase)
        taps = strided(w, (0, 0, 0, *firsts), (*w.shape[:3], *counts), (1, 1, 1, *steps))
        taps = reverse(swapped(taps, 1, 2), tuple(range(3, w.ndim)))
        parts.append(convolution(g, taps, (1,) * len(sizes), lows, gaps, lengths))
        starts.append((0, 0, *remainders))
    shape = (g.shape[0], w.shape[0] * w.shape[2], *sizes)
    if not parts:
        with beside(g):
            return zeros(shape, dtype=g.dtype)
    return interleave(parts, shape, starts, (1, 1, *strides))


Phase = tuple[int, int, int, Size, Size, int, Size]
"""Of one axis: remainder, first tap, step of taps, number of taps, low and dilation of the convolution, its size."""


def _phases(stride: int, low: Size, dilation: int, taps: Size, size: Size) -> list[Phase] | None:
    """The convolutions that the places with each remainder need; None where that depends on unknown numbers."""
    if stride == 1:
        return [(0, 0, 1, taps, (taps - 1) * dilation - low, dilation, size)]
    if isinstance(low, Dim) or isinstance(taps, Dim):
        return None
    common = math.gcd(dilation, stride)
    step, gap = stride // common, dilation // common
    found: list[Phase] = []
    for remainder in range(stride):
        first = next((k for k in range(step) if (remainder + low - k * dilation) % stride == 0), None)
        length = (size - remainder + stride - 1) // stride
        if first is None or first >= taps or length == 0:
            continue
        count = -(-(taps - first) // step)
        shift = (remainder + low - first * dilation) // stride
        found.append((remainder, first, step, count, (count - 1) * gap - shift, gap, length))
    return found


def _interleave_infer(*xs: AVal, shape: Shape, starts: tuple[Shape, ...], steps: Ints) -> AVal:
    if len(starts) != len(xs) or any(x.ndim != len(shape) or x.dtype is not xs[0].dtype for x in xs):
        raise ShapeError(f"interleave of {len(xs)} operands needs as many starts, and ranks of {len(shape)}")
    return AVal(shape, xs[0].dtype)


def _interleave_ref(*xs: Array, shape: Ints, starts: tuple[Ints, ...], steps: Ints) -> Array:
    out = np.zeros(shape, xs[0].dtype)
    for x, start in zip(xs, starts):
        out[tuple(slice(a, a + n * k, k) for a, n, k in zip(start, x.shape, steps))] = x
    return out


INTERLEAVE = primitive(
    "interleave",
    "place",
    _interleave_infer,
    _interleave_ref,
    lambda g, out, *xs, shape, starts, steps: tuple(strided(g, a, x.shape, steps) for x, a in zip(xs, starts)),
    lambda *xs, shape, starts, steps: [(start, steps) for start in starts],
    samples=lambda: [
        Sample(((2, 3), (2, 2)), {"shape": (2, 5), "starts": ((0, 0), (0, 1)), "steps": (1, 2)}),
        Sample(((2,), (1,)), {"shape": (5,), "starts": ((0,), (2,)), "steps": (3,)}),
    ],
    doc="Operands laid into a tensor of zeros, each at its own start in the same steps; no two meet.",
)


def interleave(parts: Sequence[Tensor], shape: Shape, starts: Sequence[Shape], steps: Ints) -> Tensor:
    """Tensors laid into one, with zeros where none of them is."""
    if len(parts) == 1 and parts[0].shape == shape:
        return parts[0]
    return apply(INTERLEAVE, tuple(parts), {"shape": shape, "starts": tuple(starts), "steps": steps})  # type: ignore[no-any-return]
