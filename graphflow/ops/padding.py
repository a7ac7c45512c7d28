"""``pad``: more elements around a tensor, filled with a value or from its borders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphflow.core.dims import Dim, Size
from graphflow.core.errors import ShapeError, at_line, user_origin
from graphflow.ops.define import public
from graphflow.ops.movement import broadcast_to, concat, part, place, reverse
from graphflow.ops.spelling import as_shape
from graphflow.tensor import Tensor, as_tensor


@public
def pad(x: Any, /, pad_width: Any, mode: str = "constant", constant_values: float = 0) -> Tensor:
    """x with more elements around it (NumPy's ``pad``).

    ``pad_width`` is a number, a pair (before, after), or a pair for each axis; ``mode`` one of "constant", "edge",
    "reflect" (without the edge), "wrap". Raises ShapeError for widths that do not fit.

    >>> gf.pad(gf.tensor([1, 2, 3]), (1, 2)).tolist(), gf.pad(gf.tensor([1, 2, 3]), 2, mode="reflect").tolist()
    ([0, 1, 2, 3, 0, 0], [3, 2, 1, 2, 3, 2, 1])
    """
    x = as_tensor(x)
    widths = _pad_widths(pad_width, x.ndim)
    if mode == "constant":
        low, high = tuple(w[0] for w in widths), tuple(w[1] for w in widths)
        return place(x, low, high, (0,) * x.ndim, constant_values)
    if mode not in _BORDERS:
        raise ValueError(f"pad mode is one of 'constant', {', '.join(map(repr, _BORDERS))}, got {mode!r}")
    for axis, (before, after) in enumerate(widths):
        if before or after:
            x = _BORDERS[mode](x, axis, before, after)
    return x


def _pad_widths(pad_width: Any, rank: int) -> list[tuple[Size, Size]]:
    if isinstance(pad_width, (int, Dim)):
        return [(pad_width, pad_width)] * rank
    pairs: list[Any] = [as_shape(w) if isinstance(w, (tuple, list)) else w for w in pad_width]
    if not any(isinstance(w, tuple) for w in pairs):
        pairs = [as_shape(pairs)]
    if len(pairs) == 1:
        pairs = pairs * rank
    pairs = [(w, w) if not isinstance(w, tuple) else w * 2 if len(w) == 1 else w for w in pairs]
    if len(pairs) != rank or any(len(w) != 2 for w in pairs):
        raise ShapeError(at_line(f"pad needs a pair of widths for each of {rank} axes, got {pad_width}", user_origin()))
    return pairs


def _edge(x: Tensor, axis: int, before: int, after: int) -> Tensor:
    def copies(start: Size, count: int) -> Tensor:
        shape = tuple(count if i == axis else s for i, s in enumerate(x.shape))
        return broadcast_to(part(x, axis, start, 1), shape)

    return concat([copies(0, before), x, copies(x.shape[axis] - 1, after)], axis)


def _reflect(x: Tensor, axis: int, before: int, after: int) -> Tensor:
    size = x.shape[axis]
    if not isinstance(size, Dim) and max(before, after) >= size:
        raise ShapeError(
            at_line(
                f"reflecting {max(before, after)} elements needs more than the {size} of axis {axis}", user_origin()
            )
        )
    left = reverse(part(x, axis, 1, before), (axis,))
    right = reverse(part(x, axis, size - 1 - after, after), (axis,))
    return concat([left, x, right], axis)


def _wrap(x: Tensor, axis: int, before: int, after: int) -> Tensor:
    size = x.shape[axis]
    if not isinstance(size, Dim) and max(before, after) > size:
        raise ShapeError(
            at_line(
                f"wrapping {max(before, after)} elements needs at least as many, axis {axis} has {size}", user_origin()
            )
        )
    return concat([part(x, axis, size - before, before), x, part(x, axis, 0, after)], axis)


_BORDERS: dict[str, Callable[..., Tensor]] = {"edge": _edge, "reflect": _reflect, "wrap": _wrap}
