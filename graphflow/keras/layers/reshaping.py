"""Layers that only move numbers: Flatten, Reshape, Permute, padding, cropping, repeating."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.core.dims import product
from graphflow.core.errors import ShapeError, at_line, user_origin
from graphflow.keras.layers.base import Layer
from graphflow.ops.arrange import repeat
from graphflow.ops.movement import broadcast_to, expand_dims, part, permute_dims, reshape
from graphflow.ops.padding import pad
from graphflow.tensor import Tensor, as_tensor

Widths = int | Sequence[Any]


class Flatten(Layer):
    """All axes but the first as one: (batch, 28, 28) becomes (batch, 784).

    >>> import graphflow as gf
    >>> gf.keras.layers.Flatten()(gf.ones((2, 28, 28))).shape
    (2, 784)
    """

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = data_format

    def call(self, inputs: Any) -> Tensor:
        x = as_tensor(inputs)
        if self.data_format == "channels_first" and x.ndim > 2:
            x = permute_dims(x, (0, *range(2, x.ndim), 1))
        return reshape(x, (x.shape[0], product(x.shape[1:])))


class Reshape(Layer):
    """Every sample in another shape; one size may be -1."""

    def __init__(self, target_shape: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.target_shape = tuple(target_shape)

    def call(self, inputs: Any) -> Tensor:
        x = as_tensor(inputs)
        wanted = list(self.target_shape)
        if -1 in wanted:
            rest = product(n for n in wanted if n != -1)
            wanted[wanted.index(-1)] = product(x.shape[1:]) // rest
        if product(wanted) != product(x.shape[1:]):
            raise ShapeError(
                at_line(
                    f"{self.name}: a sample of shape {x.shape[1:]} has {product(x.shape[1:])} numbers, "
                    f"target_shape={self.target_shape} takes {product(wanted)}",
                    user_origin(),
                )
            )
        return reshape(x, (x.shape[0], *wanted))


class Permute(Layer):
    """The axes of a sample in another order; they count from 1: ``Permute((2, 1))`` swaps two."""

    def __init__(self, dims: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if sorted(dims) != list(range(1, len(dims) + 1)):
            raise ValueError(at_line(f"dims are the numbers 1 to {len(dims)} in some order, got {dims}", user_origin()))
        self.dims = tuple(dims)

    def call(self, inputs: Any) -> Tensor:
        return permute_dims(as_tensor(inputs), (0, *self.dims))


class RepeatVector(Layer):
    """(batch, features) ``n`` times: (batch, n, features)."""

    def __init__(self, n: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n = n

    def call(self, inputs: Any) -> Tensor:
        x = as_tensor(inputs)
        return broadcast_to(expand_dims(x, 1), (x.shape[0], self.n, x.shape[1]))


def _widths(value: Widths, rank: int, name: str) -> list[tuple[int, int]]:
    """(before, after) for each axis, from a number, a number for each axis, or pairs."""
    if isinstance(value, int):
        return [(value, value)] * rank
    listed = list(value)
    if rank == 1 and len(listed) == 2 and all(isinstance(n, int) for n in listed):
        return [(listed[0], listed[1])]
    if len(listed) != rank:
        raise ValueError(at_line(f"{name} is a number, {rank} numbers or {rank} pairs, got {value}", user_origin()))
    return [(w, w) if isinstance(w, int) else (w[0], w[1]) for w in listed]


class _Border(Layer):
    rank = 0
    first = True  # whether channels come first

    def _axes(self, x: Tensor) -> range:
        start = 2 if self.data_format == "channels_first" else 1
        if x.ndim != self.rank + 2:
            raise ShapeError(
                at_line(f"{self.name} takes inputs of rank {self.rank + 2}, got shape {x.shape}", user_origin())
            )
        return range(start, start + self.rank)


class _ZeroPadding(_Border):
    def __init__(self, padding: Widths = 1, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.padding = _widths(padding, self.rank, "padding")
        self.data_format = data_format

    def call(self, inputs: Any) -> Tensor:
        x = as_tensor(inputs)
        widths = [(0, 0)] * x.ndim
        for axis, width in zip(self._axes(x), self.padding):
            widths[axis] = width
        return pad(x, widths)


class ZeroPadding1D(_ZeroPadding):
    """Zeros before and after (batch, steps, channels)."""

    rank = 1


class ZeroPadding2D(_ZeroPadding):
    """Zeros around (batch, height, width, channels)."""

    rank = 2


class ZeroPadding3D(_ZeroPadding):
    """Zeros around (batch, depth, height, width, channels)."""

    rank = 3


class _Cropping(_Border):
    def __init__(self, cropping: Widths = 1, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cropping = _widths(cropping, self.rank, "cropping")
        self.data_format = data_format

    def call(self, inputs: Any) -> Tensor:
        x = as_tensor(inputs)
        for axis, (low, high) in zip(self._axes(x), self.cropping):
            x = part(x, axis, low, x.shape[axis] - low - high)
        return x


class Cropping1D(_Cropping):
    """(batch, steps, channels) without its ends."""

    rank = 1


class Cropping2D(_Cropping):
    """(batch, height, width, channels) without its borders."""

    rank = 2


class Cropping3D(_Cropping):
    """(batch, depth, height, width, channels) without its borders."""

    rank = 3


class _UpSampling(_Border):
    def __init__(
        self, size: Widths = 2, data_format: str | None = None, interpolation: str = "nearest", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if interpolation != "nearest":
            raise ValueError(at_line(f"interpolation {interpolation!r} is not there, only 'nearest'", user_origin()))
        self.size = (size,) * self.rank if isinstance(size, int) else tuple(size)
        self.data_format = data_format

    def call(self, inputs: Any) -> Tensor:
        x = as_tensor(inputs)
        for axis, times in zip(self._axes(x), self.size):
            x = repeat(x, times, axis=axis)
        return x


class UpSampling1D(_UpSampling):
    """Every step of (batch, steps, channels) ``size`` times."""

    rank = 1

    def __init__(self, size: int = 2, **kwargs: Any) -> None:
        super().__init__(size, **kwargs)


class UpSampling2D(_UpSampling):
    """Every pixel of (batch, height, width, channels) ``size`` times in each direction."""

    rank = 2


class UpSampling3D(_UpSampling):
    """Every point of (batch, depth, height, width, channels) ``size`` times in each direction."""

    rank = 3
