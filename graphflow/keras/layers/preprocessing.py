"""Layers that prepare data inside of the model."""

from __future__ import annotations

from typing import Any

from graphflow.core.dtypes import int64
from graphflow.core.errors import at_line, user_origin
from graphflow.keras.layers.base import Layer
from graphflow.ops.define import cast
from graphflow.ops.losses import one_hot
from graphflow.ops.reduce import max as greatest
from graphflow.ops.reduce import sum as total
from graphflow.tensor import Tensor, as_tensor


class Rescaling(Layer):
    """``x * scale + offset``: ``Rescaling(1 / 255)`` for images.

    >>> import graphflow as gf
    >>> gf.keras.layers.Rescaling(1 / 255)(np.array([0, 255], np.uint8)).tolist()
    [0.0, 1.0]
    """

    def __init__(self, scale: Any, offset: Any = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale_by, self.offset = scale, offset

    def call(self, inputs: Any) -> Tensor:
        return self._floats(inputs) * self.scale_by + self.offset


class CategoryEncoding(Layer):
    """Class numbers as vectors: "multi_hot" (what occurs), "one_hot" or "count" (how often)."""

    def __init__(self, num_tokens: int, output_mode: str = "multi_hot", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if output_mode not in ("multi_hot", "one_hot", "count"):
            raise ValueError(
                at_line(f"output_mode is 'multi_hot', 'one_hot' or 'count', got {output_mode!r}", user_origin())
            )
        self.num_tokens, self.output_mode = num_tokens, output_mode

    def call(self, inputs: Any) -> Tensor:
        numbers = as_tensor(inputs)
        numbers = numbers if numbers.dtype.is_int else cast(numbers, int64)
        rows = one_hot(numbers, self.num_tokens, dtype=self.compute_dtype)
        if self.output_mode == "one_hot" or numbers.ndim < 2:
            return rows
        return greatest(rows, axis=-2) if self.output_mode == "multi_hot" else total(rows, axis=-2)
