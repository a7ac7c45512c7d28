"""What convolutions and pooling share: channels last outside and first inside, and "same" padding as in Keras."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.core.dims import Dim
from graphflow.core.errors import ShapeError, at_line, user_origin
from graphflow.keras.layers.base import Layer
from graphflow.ops.movement import permute_dims
from graphflow.tensor import Tensor


def numbers(value: Any, rank: int, name: str) -> tuple[int, ...]:
    """A number for each axis. Raises ValueError for another number of them, or one below 1."""
    found = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(found) != rank or any(not isinstance(n, int) or n < 1 for n in found):
        raise ValueError(at_line(f"{name} is one positive number or {rank} of them, got {value!r}", user_origin()))
    return found


def choice(value: str, options: Sequence[str], name: str) -> str:
    """One of several words, in any case. Raises ValueError naming them."""
    if not isinstance(value, str) or value.lower() not in options:
        raise ValueError(at_line(f"{name} is one of {', '.join(map(repr, options))}; got {value!r}", user_origin()))
    return value.lower()


def channels_first(x: Tensor, data_format: str) -> Tensor:
    """A view with the channels after the batch, whatever they were."""
    return x if data_format == "channels_first" else permute_dims(x, (0, x.ndim - 1, *range(1, x.ndim - 1)))


def as_given(x: Tensor, data_format: str) -> Tensor:
    """Back again."""
    return x if data_format == "channels_first" else permute_dims(x, (0, *range(2, x.ndim), 1))


def same_widths(layer: Layer, sizes: Sequence[Any], spans: Sequence[int], strides: Sequence[int]) -> list[Any]:
    """(before, after) so that ceil(size / stride) windows fit; an odd one goes behind.

    ``spans`` are the windows' sizes, with their gaps. Raises ShapeError for an open size where it matters.
    """
    widths = []
    for size, span, stride in zip(sizes, spans, strides):
        if stride == 1:
            total = span - 1
        elif isinstance(size, Dim):
            raise ShapeError(
                at_line(
                    f"{layer.name}: padding='same' with strides needs known sizes; give them in Input", user_origin()
                )
            )
        else:
            total = max((-(-int(size) // stride) - 1) * stride + span - int(size), 0)
        widths.append((total // 2, total - total // 2))
    return widths
