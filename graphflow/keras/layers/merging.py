"""Layers that join several tensors: ``Add()([a, b])``; and the same as functions: ``add([a, b])``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

from graphflow.core.errors import ShapeError, at_line, user_origin
from graphflow.keras.layers.base import Layer
from graphflow.ops import elementwise
from graphflow.ops.arrange import squeeze
from graphflow.ops.linalg import matmul
from graphflow.ops.movement import concat, expand_dims, permute_dims
from graphflow.ops.reduce import sum as total
from graphflow.tensor import Tensor, as_tensor


class _Merge(Layer):
    """One operation on all tensors of a list; those of lower rank get axes after the first one."""

    supports_masking = True
    least = 2

    def call(self, inputs: Any) -> Tensor:
        if not isinstance(inputs, (list, tuple)) or len(inputs) < self.least:
            raise ValueError(at_line(f"{self.name} takes a list of {self.least} or more tensors", user_origin()))
        tensors = [as_tensor(t) for t in inputs]
        return self._merge(tensors)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        return next((m for m in previous_mask or () if m is not None), None)

    def _merge(self, tensors: list[Tensor]) -> Tensor:
        rank = max(t.ndim for t in tensors)
        same = [t if t.ndim == rank else expand_dims(t, tuple(range(1, rank - t.ndim + 1))) for t in tensors]
        return self._combine(same)

    def _combine(self, tensors: list[Tensor]) -> Tensor:
        return reduce(type(self).pair, tensors)  # type: ignore[attr-defined, no-any-return]


class Add(_Merge):
    """The sum of a list of tensors."""

    pair = staticmethod(elementwise.add)


class Subtract(_Merge):
    """The first tensor of two less the second."""

    pair = staticmethod(elementwise.subtract)

    def _combine(self, tensors: list[Tensor]) -> Tensor:
        if len(tensors) != 2:
            raise ValueError(at_line(f"{self.name} takes two tensors, got {len(tensors)}", user_origin()))
        return super()._combine(tensors)


class Multiply(_Merge):
    """The product of a list of tensors."""

    pair = staticmethod(elementwise.multiply)


class Average(_Merge):
    """The mean of a list of tensors."""

    pair = staticmethod(elementwise.add)

    def _combine(self, tensors: list[Tensor]) -> Tensor:
        return super()._combine(tensors) / len(tensors)  # type: ignore[operator]


class Maximum(_Merge):
    """The greatest of a list of tensors, element by element."""

    pair = staticmethod(elementwise.maximum)


class Minimum(_Merge):
    """The least of a list of tensors, element by element."""

    pair = staticmethod(elementwise.minimum)


class Concatenate(_Merge):
    """A list of tensors one after the other along an axis.

    >>> import graphflow as gf
    >>> gf.keras.layers.Concatenate()([gf.ones((2, 3)), gf.ones((2, 4))]).shape
    (2, 7)
    """

    least = 1

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis

    def _merge(self, tensors: list[Tensor]) -> Tensor:
        return concat(tensors, axis=self.axis)


class Dot(_Merge):
    """Products along an axis of each of two tensors, summed; ``normalize`` gives cosines."""

    def __init__(self, axes: int | Sequence[int], normalize: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axes, self.normalize = axes, normalize

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        return None

    def _merge(self, tensors: list[Tensor]) -> Tensor:
        a, b = tensors
        first, second = (self.axes, self.axes) if isinstance(self.axes, int) else self.axes
        first, second = first % a.ndim, second % b.ndim
        if a.shape[first] != b.shape[second]:
            raise ShapeError(
                at_line(f"{self.name}: axis {first} of {a.shape} and axis {second} of {b.shape} differ", user_origin())
            )
        if self.normalize:
            a, b = _unit(a, first), _unit(b, second)
        a = permute_dims(a, (*(i for i in range(a.ndim) if i != first), first))
        b = permute_dims(b, (0, second, *(i for i in range(1, b.ndim) if i != second)))
        if a.ndim == 2 and b.ndim == 2:
            return total(a * b, axis=1, keepdims=True)
        left = expand_dims(a, 1) if a.ndim == 2 else a
        right = expand_dims(b, 2) if b.ndim == 2 else b
        out = matmul(left, right)
        out = squeeze(out, 1) if a.ndim == 2 else out
        return squeeze(out, -1) if b.ndim == 2 else out


def _unit(x: Tensor, axis: int) -> Tensor:
    length = elementwise.maximum(total(x * x, axis=axis, keepdims=True), 1e-12)
    return x * elementwise.rsqrt(length)


def add(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """``Add()(inputs)``."""
    return Add(**kwargs)(inputs)


def subtract(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """``Subtract()(inputs)``."""
    return Subtract(**kwargs)(inputs)


def multiply(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """``Multiply()(inputs)``."""
    return Multiply(**kwargs)(inputs)


def average(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """``Average()(inputs)``."""
    return Average(**kwargs)(inputs)


def maximum(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """``Maximum()(inputs)``."""
    return Maximum(**kwargs)(inputs)


def minimum(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """``Minimum()(inputs)``."""
    return Minimum(**kwargs)(inputs)


def concatenate(inputs: Sequence[Any], axis: int = -1, **kwargs: Any) -> Any:
    """``Concatenate(axis)(inputs)``."""
    return Concatenate(axis=axis, **kwargs)(inputs)


def dot(inputs: Sequence[Any], axes: int | Sequence[int] = -1, **kwargs: Any) -> Any:
    """``Dot(axes)(inputs)``."""
    return Dot(axes=axes, **kwargs)(inputs)
