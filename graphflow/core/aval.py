"""Abstract values: what is known of a tensor before it has numbers (its shape, with symbolic sizes, and its dtype)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphflow.core.dims import Dim, Shape, Size, evaluate, is_static, product, shape_str
from graphflow.core.dtypes import DType


class AVal:
    """Shape and dtype of a tensor. Immutable, hashable, compared by value."""

    __slots__ = ("dtype", "shape")

    def __init__(self, shape: Shape, dtype: DType) -> None:
        self.shape = shape
        self.dtype = dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> Size:
        """The number of elements."""
        return product(self.shape)

    @property
    def is_static(self) -> bool:
        return is_static(self.shape)

    def evaluate(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """The shape as numbers."""
        return tuple(evaluate(s, sizes) for s in self.shape)

    def dim_names(self) -> set[str]:
        return set().union(*(s.names() for s in self.shape if isinstance(s, Dim)))

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, AVal) and self.shape == other.shape and self.dtype is other.dtype

    def __hash__(self) -> int:
        return hash((self.shape, self.dtype))

    def __repr__(self) -> str:
        return f"{self.dtype}[{', '.join(str(s) for s in self.shape)}]"

    def describe(self) -> str:
        """For error messages: ``float32 of shape (batch, 784)``."""
        return f"{self.dtype} of shape {shape_str(self.shape)}"
