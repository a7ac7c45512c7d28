"""Windows that slide over the last axes of a tensor, and the first maximum in each: what pooling is made of.

``windows`` is a view: reducing it is pooling. Its transpose, ``fold``, lays windows back and adds where they overlap.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from graphflow.core.aval import AVal
from graphflow.core.dims import Dim, Shape, Size, shape_str
from graphflow.core.dispatch import apply
from graphflow.core.dtypes import int32
from graphflow.core.errors import ShapeError
from graphflow.core.op import Sample
from graphflow.core.view import View
from graphflow.ops import conv
from graphflow.ops.conv import Ints
from graphflow.ops.creation import beside, iota
from graphflow.ops.define import primitive
from graphflow.ops.elementwise import where
from graphflow.ops.logic import isnan
from graphflow.ops.movement import strided
from graphflow.ops.reduce import MIN, _primitive, spread
from graphflow.tensor import Array, Tensor

Axes = tuple[int, ...]


def _span(count: Size, stride: int, taps: Size, dilation: int) -> Size:
    """Elements from the first to the last that windows along one axis touch."""
    return (count - 1) * stride + (taps - 1) * dilation + 1


# -- windows -----------------------------------------------------------------------------------------------------------
def _windows_infer(x: AVal, starts: Shape, counts: Shape, taps: Shape, strides: Ints, dilations: Ints) -> AVal:
    rank = len(counts)
    lead, spatial = x.shape[: x.ndim - rank], x.shape[x.ndim - rank :]
    for size, start, *axis in zip(spatial, starts, counts, strides, taps, dilations):
        last = start + _span(*axis) - 1
        if (
            not any(isinstance(n, Dim) for n in (size, start, last, axis[0]))
            and axis[0]
            and not 0 <= start <= last < size
        ):
            raise ShapeError(f"windows from {start} to {last} do not lie inside an axis of size {size}")
    return AVal((*lead, *counts, *taps), x.dtype)


def _windows_of_view(view: View, starts: Shape, counts: Shape, taps: Shape, strides: Ints, dilations: Ints) -> View:
    outer = len(view.shape) - len(counts)
    inner = view.strides[outer:]
    offset = view.offset
    for start, step in zip(starts, inner):
        offset = offset + start * step
    steps = (*(st * k for st, k in zip(inner, strides)), *(st * k for st, k in zip(inner, dilations)))
    return View((*view.shape[:outer], *counts, *taps), (*view.strides[:outer], *steps), offset)


WINDOWS = primitive(
    "windows",
    "view",
    _windows_infer,
    conv.windows,
    lambda g, out, x, starts, counts, taps, strides, dilations: (fold(g, x.shape, starts, strides, dilations),),
    _windows_of_view,
    samples=lambda: [
        _sample(((2, 7, 6),), starts=(1, 0), counts=(2, 3), taps=(2, 2), strides=(3, 2), dilations=(2, 1)),
        _sample(((2, 5),), starts=(0,), counts=(3,), taps=(3,), strides=(1,), dilations=(1,)),
    ],
    doc="(..., *counts, *taps): window i of each axis has the elements start + i * stride + k * dilation.",
)


def _sample(arrays: Any, **attrs: Any) -> Sample:
    return Sample(arrays, attrs)


def windows(x: Tensor, starts: Shape, counts: Shape, taps: Shape, strides: Ints, dilations: Ints) -> Tensor:
    """Windows over the last axes of x, all inside of it: (..., *counts, *taps)."""
    attrs = {"starts": starts, "counts": counts, "taps": taps, "strides": strides, "dilations": dilations}
    return apply(WINDOWS, (x,), attrs)  # type: ignore[no-any-return]


# -- fold --------------------------------------------------------------------------------------------------------------
def _fold_infer(x: AVal, shape: Shape, starts: Shape, strides: Ints, dilations: Ints) -> AVal:
    taps = x.shape[x.ndim - len(starts) :]
    if any(k != 1 and (isinstance(k, Dim) or (k - 1) * d >= s) for k, s, d in zip(taps, strides, dilations)):
        raise ShapeError(f"windows {shape_str(taps)} in steps of {strides} overlap: fold takes those that do not")
    return AVal(shape, x.dtype)


def _fold_ref(x: Array, shape: Ints, starts: Ints, strides: Ints, dilations: Ints) -> Array:
    out = np.zeros(shape, x.dtype)
    rank = len(starts)
    outer, counts = x.ndim - 2 * rank, x.shape[x.ndim - 2 * rank : x.ndim - rank]
    for tap in itertools.product(*map(range, x.shape[x.ndim - rank :])):
        firsts = [a + k * d for a, k, d in zip(starts, tap, dilations)]
        to = tuple(slice(a, a + n * s, s) for a, n, s in zip(firsts, counts, strides))
        out[(slice(None),) * outer + to] = x[(..., *tap)]
    return out


def _fold_places(x: AVal, shape: Shape, starts: Shape, strides: Ints, dilations: Ints) -> list[Callable[[View], View]]:
    rank = len(starts)
    counts, taps = x.shape[x.ndim - 2 * rank : x.ndim - rank], x.shape[x.ndim - rank :]
    return [lambda whole: _windows_of_view(whole, starts, counts, taps, strides, dilations)]


def _fold_vjp(g: Tensor, out: Tensor, x: Tensor, shape: Shape, starts: Shape, strides: Ints, dilations: Ints) -> Any:
    rank = len(starts)
    counts, taps = x.shape[x.ndim - 2 * rank : x.ndim - rank], x.shape[x.ndim - rank :]
    return (windows(g, starts, counts, taps, strides, dilations),)


FOLD = primitive(
    "fold",
    "place",
    _fold_infer,
    _fold_ref,
    _fold_vjp,
    _fold_places,
    samples=lambda: [
        _sample(((2, 2, 3, 2, 1),), shape=(2, 6, 5), starts=(1, 0), strides=(2, 2), dilations=(1, 1)),
        _sample(((2, 3, 2),), shape=(2, 6), starts=(0,), strides=(2,), dilations=(1,)),
    ],
    doc="Windows laid back to where they came from in a tensor of zeros; no two overlap.",
)


def fold(x: Tensor, shape: Shape, starts: Shape, strides: Ints, dilations: Ints) -> Tensor:
    """The transpose of ``windows``: x (..., *counts, *taps) laid into ``shape``, and added up where windows overlap."""
    rank = len(starts)
    lead, taps = x.shape[: x.ndim - rank], x.shape[x.ndim - rank :]
    # Taps that are less than a stride apart never meet: those of all axes together are one placement.
    pieces = []
    for count, stride, dilation in zip(taps, strides, dilations):
        most = (stride - 1) // dilation + 1
        pieces.append([(first, min(most, count - first)) for first in range(0, count, most)])  # type: ignore[arg-type, type-var]
    total: Any = None
    for piece in itertools.product(*pieces):
        firsts, counts = tuple(f for f, _ in piece), tuple(n for _, n in piece)
        some = strided(x, (0,) * len(lead) + firsts, (*lead, *counts), (1,) * x.ndim)
        begin = tuple(a + f * d for a, f, d in zip(starts, firsts, dilations))
        attrs = {"shape": shape, "starts": begin, "strides": strides, "dilations": dilations}
        laid = apply(FOLD, (some,), attrs)
        total = laid if total is None else total + laid
    return total  # type: ignore[no-any-return]


# -- the first maximum -------------------------------------------------------------------------------------------------
def first_of(x: Tensor, out: Tensor, axes: Axes) -> tuple[Tensor, Tensor]:
    """Where the first maximum ``out`` along ``axes`` is, counted in row-major order, and each element's own number."""
    with beside(x):
        number: Any = None
        for axis in axes:
            here = iota(x.shape, axis, int32)
            number = here if number is None else number * x.shape[axis] + here
    found = (x == spread(out, x, axes)) | isnan(x)
    last = np.iinfo(np.int32).max
    return apply(MIN, (where(found, number, last),), {"axes": axes}), number


def _first_max_vjp(g: Tensor, out: Tensor, x: Tensor, axes: Axes) -> tuple[Tensor]:
    if not axes:
        return (g,)
    place, number = first_of(x, out, axes)
    return (where(number == spread(place, x, axes), spread(g, x, axes), 0.0),)


FIRST_MAX = _primitive(
    "first_max",
    np.maximum,
    "max",
    _first_max_vjp,
    "numeric",
    empty=False,
    doc="The greatest, NaN if there is one; the gradient goes to the first of equal ones, as in pooling.",
)
