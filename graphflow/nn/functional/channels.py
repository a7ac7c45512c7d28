"""Dropout of whole channels; ``dropout`` itself is among the ops."""

from __future__ import annotations

from typing import Any

from graphflow.core.dims import shape_str
from graphflow.core.errors import ShapeError, at_line, user_origin
from graphflow.ops.composite import dropout
from graphflow.ops.creation import beside, ones
from graphflow.tensor import Tensor, as_tensor


def _channel_dropout(name: str, x: Any, p: float, training: bool, rank: int) -> Tensor:
    x = as_tensor(x)
    if x.ndim not in (rank - 1, rank):
        raise ShapeError(at_line(f"{name} takes rank {rank - 1} or {rank}, got {shape_str(x.shape)}", user_origin()))
    if not training or p == 0.0:
        return dropout(x, p, training=False)
    channels = x.ndim - rank + 2  # the batch axis may be missing
    with beside(x):
        kept = ones((*x.shape[:channels], *(1,) * (rank - 2)), dtype=x.dtype)
    return x * dropout(kept, p)


def dropout1d(input: Any, p: float = 0.5, training: bool = True) -> Tensor:
    """Zero whole channels of (batch, channels, length), or (channels, length), with probability ``p``."""
    return _channel_dropout("dropout1d", input, p, training, 3)


def dropout2d(input: Any, p: float = 0.5, training: bool = True) -> Tensor:
    """Zero whole channels of (batch, channels, height, width), or without batch, with probability ``p``."""
    return _channel_dropout("dropout2d", input, p, training, 4)
