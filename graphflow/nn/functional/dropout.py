"""Dropout of single elements and of whole channels, to zero or (for selu networks) to its lowest value."""

from __future__ import annotations

import math
from typing import Any

from graphflow.core.dims import Shape, shape_str
from graphflow.core.dtypes import float32, float64
from graphflow.core.errors import ShapeError, at_line, user_origin
from graphflow.ops import composite, random
from graphflow.ops.creation import beside, ones
from graphflow.ops.elementwise import where
from graphflow.tensor import Tensor, as_tensor

_LOWEST = -1.7580993408473766  # selu of minus infinity


def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero each element with probability ``p`` and divide the others by ``1 - p``; ``inplace`` changes nothing.

    >>> import graphflow as gf
    >>> gf.nn.functional.dropout(gf.ones(3), 0.5, training=False).tolist()
    [1.0, 1.0, 1.0]
    """
    return composite.dropout(input, p, training)


def _each_channel(name: str, x: Tensor, rank: int) -> Shape:
    """The shape of one number for each channel of a batch; the batch axis may be missing."""
    if x.ndim not in (rank - 1, rank):
        raise ShapeError(at_line(f"{name} takes rank {rank - 1} or {rank}, got {shape_str(x.shape)}", user_origin()))
    return (*x.shape[: x.ndim - rank + 2], *(1,) * (rank - 2))


def _channel_dropout(name: str, input: Any, p: float, training: bool, rank: int) -> Tensor:
    x = as_tensor(input)
    shape = _each_channel(name, x, rank)
    if not training or p == 0.0:
        return composite.dropout(x, p, training=False)
    with beside(x):
        kept = ones(shape, dtype=x.dtype)
    return x * composite.dropout(kept, p)


def dropout1d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero whole channels of (batch, channels, length), or (channels, length), with probability ``p``."""
    return _channel_dropout("dropout1d", input, p, training, 3)


def dropout2d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero whole channels of (batch, channels, height, width), or without batch, with probability ``p``."""
    return _channel_dropout("dropout2d", input, p, training, 4)


def dropout3d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero whole channels of (batch, channels, depth, height, width), or without batch, with probability ``p``."""
    return _channel_dropout("dropout3d", input, p, training, 5)


def alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Set elements to selu's lowest value with probability ``p``, then restore mean and variance.

    For networks of selu (Klambauer et al. 2017), whose activations have mean 0 and variance 1.

    >>> import graphflow as gf
    >>> x = gf.random.normal((10000,))
    >>> abs(gf.nn.functional.alpha_dropout(x, 0.3, training=True).std().item() - 1.0) < 0.05
    True
    """
    x = as_tensor(input)
    return _alpha_dropout(x, x.shape, p, training)


def feature_alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """``alpha_dropout`` of whole channels (axis 1)."""
    x = as_tensor(input)
    if x.ndim < 2:
        message = f"feature_alpha_dropout takes rank 2 or more, got {shape_str(x.shape)}"
        raise ShapeError(at_line(message, user_origin()))
    return _alpha_dropout(x, (*x.shape[:2], *(1,) * (x.ndim - 2)), p, training)


def _alpha_dropout(x: Tensor, shape: Shape, p: float, training: bool) -> Tensor:
    if not 0.0 <= p <= 1.0:
        raise ValueError(at_line(f"dropout needs a probability from 0 to 1, got {p}", user_origin()))
    if not training or p == 0.0:
        return x
    if p == 1.0:
        return x * 0.0
    scale = 1.0 / math.sqrt((1.0 - p) * (1.0 + p * _LOWEST * _LOWEST))
    with beside(x):
        (u,) = random.default_generator.unit(shape, float64 if x.dtype is float64 else float32)
    return where(u >= p, x, _LOWEST) * scale - scale * _LOWEST * p
