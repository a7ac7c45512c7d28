"""Shapes of what layers are called with: looked at, checked, and as symbolic tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.core.dims import Dim
from graphflow.core.errors import ShapeError, at_line, user_origin
from graphflow.core.tree import flatten
from graphflow.keras.symbolic import KerasTensor, closed_shape
from graphflow.ops.reduce import count_along
from graphflow.tensor import Operators, Tensor, as_tensor


def as_tensors(value: Any) -> Any:
    """Arrays and lists of numbers as tensors; nests of tensors and everything else stay."""
    if isinstance(value, np.ndarray):
        return as_tensor(value.astype(np.float32) if value.dtype == np.float64 else value)
    if isinstance(value, (list, tuple)) and any(isinstance(v, np.ndarray) for v in value):
        return type(value)(as_tensors(v) for v in value)
    return value


def shapes_of(value: Any) -> Any:
    """The shape of a tensor, or the shapes of a nest of them."""
    if isinstance(value, dict):
        return {k: shapes_of(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)) and any(isinstance(v, Operators) for v in flatten(value)[0]):
        return [shapes_of(v) for v in value]
    if value is None:
        return None
    return closed_shape(as_tensor(value).shape)


def places_for(shape: Any) -> Any:
    if isinstance(shape, dict):
        return {k: places_for(v) for k, v in shape.items()}
    if isinstance(shape, (list, tuple)) and shape and isinstance(shape[0], (list, tuple)):
        return [places_for(s) for s in shape]
    return KerasTensor(shape)


def batch_count(t: Tensor) -> Any:
    """The batch size as a number to divide by."""
    return count_along(t, (0,), t.dtype)


def check_rank(layer: Any, x: Any, ranks: Sequence[int]) -> Tensor:
    """The input as a tensor of one of the ranks. Raises ShapeError that names the layer and what it takes."""
    x = layer._floats(x)
    if x.ndim not in ranks:
        raise ShapeError(
            at_line(
                f"{layer.name} takes inputs of rank {' or '.join(map(str, ranks))} (batch, ..., channels), got shape "
                f"{closed_shape(x.shape)}" + ("; add a channel axis: x[..., None]" if x.ndim + 1 in ranks else ""),
                user_origin(),
            )
        )
    return x


def known(size: Any, layer: Any, what: str) -> int:
    """A size that weights depend on. Raises ShapeError if it is open."""
    if size is None or isinstance(size, Dim):
        raise ShapeError(f"{layer.name}: {what} must be known to make the weights; give Input(shape) its number")
    return int(size)
