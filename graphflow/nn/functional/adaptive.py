"""Pooling into as many windows as are wanted, whatever the size of the input; and windows as columns of a matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.core.dims import Dim, Size
from graphflow.core.dispatch import apply
from graphflow.core.errors import DTypeError, at_line, user_origin
from graphflow.nn.functional.pooling import _max_pools, _operand, _positions, _window_sums
from graphflow.ops.creation import beside, literal
from graphflow.ops.define import cast
from graphflow.ops.linalg import matmul
from graphflow.ops.movement import permute_dims
from graphflow.ops.picking import pick
from graphflow.ops.pool import FIRST_MAX, first_of
from graphflow.ops.reduce import floating, mean
from graphflow.tensor import Tensor

OutputSize = int | None | Sequence[int | None]


def _wanted(name: str, x: Tensor, rank: int, output_size: OutputSize) -> tuple[Size, ...]:
    """The number of windows along each axis: as given, or as many as there are elements for None."""
    spatial = x.shape[x.ndim - rank :]
    given = (output_size,) * rank if output_size is None or isinstance(output_size, int) else tuple(output_size)
    given = given * rank if len(given) == 1 else given
    if len(given) != rank or any(n is not None and n < 1 for n in given):
        raise ValueError(
            at_line(f"{name}: output_size is a positive number or {rank}, got {output_size}", user_origin())
        )
    return tuple(have if n is None else n for n, have in zip(given, spatial))


def _even(spatial: Sequence[Size], counts: Sequence[Size]) -> tuple[int, ...] | None:
    """The size of the windows, if they are all alike."""
    taps = []
    for size, count in zip(spatial, counts):
        if size == count:
            taps.append(1)
        elif isinstance(size, Dim) or isinstance(count, Dim) or size % count:
            return None
        else:
            taps.append(size // count)
    return tuple(taps)


def _bounds(size: Size, count: Size) -> tuple[Any, Any]:
    """Where each window along one axis begins and ends."""
    number = np.arange(int(count))  # a symbolic size raises SymbolicDimError, which says what to do
    return number * int(size) // int(count), -(-(number + 1) * int(size) // int(count))


def _adaptive_avg(rank: int, input: Any, output_size: OutputSize) -> Tensor:
    name = f"adaptive_avg_pool{rank}d"
    x = _operand(name, rank, input)
    if not x.dtype.is_float:
        raise DTypeError(at_line(f"{name} takes a floating-point tensor, got {x.dtype}", user_origin()))
    counts = _wanted(name, x, rank, output_size)
    lead = x.ndim - rank
    spatial, wide = x.shape[lead:], floating(x)
    if all(n == 1 for n in counts):
        return mean(x, tuple(range(lead, x.ndim)), True)
    taps = _even(spatial, counts)
    if taps is not None:
        return cast(_window_sums(wide, 1.0 / float(np.prod(taps)), counts, taps, taps, (0,) * rank), x.dtype)
    for axis, (size, count) in enumerate(zip(spatial, counts), lead):
        begin, end = _bounds(size, count)
        place = np.arange(int(size))
        inside = (place >= begin[:, None]) & (place < end[:, None])
        with beside(x):
            weights = literal((inside / (end - begin)[:, None]).astype(wide.dtype.np).T.copy())
        order = [*(a for a in range(x.ndim) if a != axis), axis]
        wide = permute_dims(matmul(permute_dims(wide, order), weights), np.argsort(order).tolist())
    return cast(wide, x.dtype)


def _adaptive_max(rank: int, input: Any, output_size: OutputSize, return_indices: bool) -> Any:
    name = f"adaptive_max_pool{rank}d"
    x = _operand(name, rank, input)
    counts = _wanted(name, x, rank, output_size)
    lead = x.ndim - rank
    spatial = x.shape[lead:]
    taps = _even(spatial, counts)
    if taps is not None:
        return _max_pools(rank, x, taps, taps, 0, 1, False, return_indices)
    view, begins, longest = x, [], []
    for number, (size, count) in enumerate(zip(spatial, counts)):
        begin, end = _bounds(size, count)
        most = int((end - begin).max())
        # Windows that are shorter than the longest repeat their last element, which changes no maximum.
        places = np.minimum(begin[:, None] + np.arange(most), end[:, None] - 1)
        with beside(x):
            begins.append(literal(begin.astype(np.int64)))
            view = pick(view, literal(places.astype(np.int64)), lead + 2 * number)
        longest.append(most)
    outer, axes = range(lead), range(lead, view.ndim)
    view = permute_dims(view, (*outer, *axes[::2], *axes[1::2]))
    inner = tuple(range(view.ndim - rank, view.ndim))
    out = apply(FIRST_MAX, (view,), {"axes": inner})
    if not return_indices:
        return out
    return out, _positions(first_of(view, out, inner)[0], spatial, begins, tuple(longest), (1,) * rank)


def adaptive_avg_pool1d(input: Any, output_size: OutputSize) -> Tensor:
    """The means of ``output_size`` windows that cover the length evenly. See ``adaptive_avg_pool2d``."""
    return _adaptive_avg(1, input, output_size)


def adaptive_avg_pool2d(input: Any, output_size: OutputSize) -> Tensor:
    """The means of windows that cover (batch, channels, height, width) evenly: ``output_size`` of them on each axis.

    Window i of n reaches from element ``floor(i * size / n)`` to before ``ceil((i + 1) * size / n)``; None leaves an
    axis as it is.

    >>> import graphflow as gf
    >>> gf.nn.functional.adaptive_avg_pool2d(gf.ones((1, 2, 7, 5)), (3, None)).shape
    (1, 2, 3, 5)
    """
    return _adaptive_avg(2, input, output_size)


def adaptive_avg_pool3d(input: Any, output_size: OutputSize) -> Tensor:
    """The means of windows that cover depth, height and width evenly. See ``adaptive_avg_pool2d``."""
    return _adaptive_avg(3, input, output_size)


def adaptive_max_pool1d(input: Any, output_size: OutputSize, return_indices: bool = False) -> Any:
    """The maxima of ``output_size`` windows that cover the length evenly. See ``adaptive_avg_pool2d``."""
    return _adaptive_max(1, input, output_size, return_indices)


def adaptive_max_pool2d(input: Any, output_size: OutputSize, return_indices: bool = False) -> Any:
    """The maxima of windows that cover height and width evenly. See ``adaptive_avg_pool2d``."""
    return _adaptive_max(2, input, output_size, return_indices)


def adaptive_max_pool3d(input: Any, output_size: OutputSize, return_indices: bool = False) -> Any:
    """The maxima of windows that cover depth, height and width evenly. See ``adaptive_avg_pool2d``."""
    return _adaptive_max(3, input, output_size, return_indices)
