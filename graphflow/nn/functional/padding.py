"""``pad`` with PyTorch's arguments: widths from the last axis backwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.core.dims import Dim, shape_str
from graphflow.core.errors import ShapeError, at_line, user_origin
from graphflow.ops import padding
from graphflow.ops.fused import fused
from graphflow.ops.movement import place, strided
from graphflow.tensor import Tensor, as_tensor

_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}  # PyTorch's name: NumPy's


def pad(input: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """More elements around a tensor: ``pad`` is (before, after) of the last axis, then of the one before it, and so on.

    ``mode`` is "constant" (``value``, 0 by default), "reflect" (without the border), "replicate" (the border) or
    "circular". Negative widths take elements away. Raises ShapeError for widths that do not fit.

    >>> import graphflow as gf
    >>> gf.nn.functional.pad(gf.ones((1, 2)), (1, 0), value=5.0).tolist()
    [[5.0, 1.0, 1.0]]
    """
    x = as_tensor(input)
    widths = [int(w) if not isinstance(w, Dim) else w for w in pad]
    if len(widths) % 2 or len(widths) > 2 * x.ndim:
        message = f"pad needs pairs of widths for at most {x.ndim} axes, got {tuple(pad)} for {shape_str(x.shape)}"
        raise ShapeError(at_line(message, user_origin()))
    if mode != "constant" and mode not in _MODES:
        raise ValueError(
            at_line(f"pad mode is one of 'constant', {str(list(_MODES))[1:-1]}, got {mode!r}", user_origin())
        )
    if mode != "constant" and value is not None and value != 0:
        raise ValueError(at_line(f"pad mode {mode!r} takes no value, got {value}", user_origin()))
    pairs = [(0, 0)] * (x.ndim - len(widths) // 2) + list(zip(widths[0::2], widths[1::2]))[::-1]
    x = _cut(x, pairs)
    grown = [(_positive(before), _positive(after)) for before, after in pairs]
    if mode != "constant":
        return _padded(x, tuple(w for pair in grown for w in pair), _MODES[mode])
    low, high = tuple(b for b, _ in grown), tuple(a for _, a in grown)
    return place(x, low, high, (0,) * x.ndim, 0 if value is None else value)


@fused("batch", "x")
def _padded(x: Tensor, widths: tuple[Any, ...], mode: str) -> Tensor:
    return padding.pad(x, list(zip(widths[0::2], widths[1::2])), mode)


def _positive(width: Any) -> Any:
    return width if isinstance(width, Dim) else max(width, 0)


def _cut(x: Tensor, pairs: Sequence[tuple[Any, Any]]) -> Tensor:
    """x without the elements that negative widths take away."""
    gone = [tuple(0 if isinstance(w, Dim) else max(-w, 0) for w in pair) for pair in pairs]
    if not any(map(any, gone)):
        return x
    sizes = tuple(size - before - after for size, (before, after) in zip(x.shape, gone))
    if any(not isinstance(s, Dim) and s < 0 for s in sizes):
        message = f"pad: shape {shape_str(x.shape)} has fewer elements than widths {tuple(pairs)} take away"
        raise ShapeError(at_line(message, user_origin()))
    return strided(x, tuple(before for before, _ in gone), sizes, (1,) * x.ndim)
