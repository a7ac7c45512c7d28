"""Pooling, with Keras's names and defaults: channels last."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphflow.keras.layers.base import Layer
from graphflow.keras.layers.shapes import check_rank
from graphflow.keras.layers.windows import as_given, channels_first, choice, numbers, same_widths
from graphflow.nn import functional as F
from graphflow.ops.define import cast
from graphflow.ops.movement import expand_dims
from graphflow.ops.padding import pad
from graphflow.ops.reduce import max as greatest
from graphflow.ops.reduce import mean
from graphflow.ops.reduce import sum as total
from graphflow.tensor import Tensor, as_tensor

_FORMATS = ("channels_last", "channels_first")
_MAXIMA = (F.max_pool1d, F.max_pool2d, F.max_pool3d)
_MEANS = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)


class _Pool(Layer):
    rank = 0

    def __init__(
        self,
        pool_size: Any = 2,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.pool_size = numbers(pool_size, self.rank, "pool_size")
        self.strides = self.pool_size if strides is None else numbers(strides, self.rank, "strides")
        self.padding = choice(padding, ("valid", "same"), "padding")
        self.data_format = choice(data_format or "channels_last", _FORMATS, "data_format")

    def call(self, inputs: Any) -> Tensor:
        x = channels_first(check_rank(self, inputs, (self.rank + 2,)), self.data_format)
        widths = [(0, 0)] * self.rank
        if self.padding == "same":
            widths = same_widths(self, x.shape[2:], self.pool_size, self.strides)
        return as_given(self._pool(x, widths), self.data_format)

    def _pool(self, x: Tensor, widths: list[tuple[int, int]]) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} does not define _pool()")


class _MaxPool(_Pool):
    def _pool(self, x: Tensor, widths: list[tuple[int, int]]) -> Tensor:
        if any(map(any, widths)):
            x = pad(x, [(0, 0), (0, 0), *widths], constant_values=float("-inf"))
        return _MAXIMA[self.rank - 1](x, self.pool_size, self.strides)  # type: ignore[no-any-return]


class _AveragePool(_Pool):
    def _pool(self, x: Tensor, widths: list[tuple[int, int]]) -> Tensor:
        if not any(map(any, widths)):
            return _MEANS[self.rank - 1](x, self.pool_size, self.strides)
        out = _MEANS[self.rank - 1](pad(x, [(0, 0), (0, 0), *widths]), self.pool_size, self.strides)
        return out * self._share(x.shape[2:], widths)

    def _share(self, sizes: Any, widths: list[tuple[int, int]]) -> np.ndarray[Any, Any]:
        """The size of a window over how much of it lies inside: zeros of the padding do not count."""
        share: Any = np.ones((), np.float32)
        for n, (low, high), k, s in zip(sizes, widths, self.pool_size, self.strides):
            inside = np.pad(np.ones(int(n)), (low, high))
            counts = [inside[i : i + k].sum() for i in range(0, len(inside) - k + 1, s)]
            share = share[..., None] * (k / np.array(counts, np.float32))
        return share  # type: ignore[no-any-return]


class MaxPooling1D(_MaxPool):
    """The greatest of each window over (batch, steps, channels)."""

    rank = 1


class MaxPooling2D(_MaxPool):
    """The greatest of each window over (batch, height, width, channels).

    >>> import graphflow as gf
    >>> gf.keras.layers.MaxPooling2D()(gf.ones((2, 28, 28, 3))).shape
    (2, 14, 14, 3)
    """

    rank = 2


class MaxPooling3D(_MaxPool):
    """The greatest of each window over (batch, depth, height, width, channels)."""

    rank = 3


class AveragePooling1D(_AveragePool):
    """The mean of each window over (batch, steps, channels)."""

    rank = 1


class AveragePooling2D(_AveragePool):
    """The mean of each window over (batch, height, width, channels)."""

    rank = 2


class AveragePooling3D(_AveragePool):
    """The mean of each window over (batch, depth, height, width, channels)."""

    rank = 3


class _GlobalPool(Layer):
    rank = 0

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = choice(data_format or "channels_last", _FORMATS, "data_format")
        self.keepdims = keepdims

    def _operand(self, inputs: Any) -> tuple[Tensor, tuple[int, ...]]:
        x = check_rank(self, inputs, (self.rank + 2,))
        start = 2 if self.data_format == "channels_first" else 1
        return x, tuple(range(start, start + self.rank))


class _GlobalAverage(_GlobalPool):
    def call(self, inputs: Any) -> Tensor:
        x, axes = self._operand(inputs)
        return mean(x, axis=axes, keepdims=self.keepdims)


class GlobalAveragePooling1D(_GlobalAverage):
    """The mean over the steps of (batch, steps, channels); masked steps do not count."""

    rank = 1
    supports_masking = True

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        return None

    def call(self, inputs: Any, mask: Any = None) -> Tensor:
        if mask is None:
            return super().call(inputs)
        x, axes = self._operand(inputs)
        kept = expand_dims(cast(as_tensor(mask), x.dtype), 2 if self.data_format == "channels_last" else 1)
        kept_sum = total(kept, axis=axes, keepdims=self.keepdims)
        return total(x * kept, axis=axes, keepdims=self.keepdims) / kept_sum  # type: ignore[operator]


class GlobalAveragePooling2D(_GlobalAverage):
    """The mean over height and width of (batch, height, width, channels)."""

    rank = 2


class GlobalAveragePooling3D(_GlobalAverage):
    """The mean over depth, height and width of (batch, depth, height, width, channels)."""

    rank = 3


class _GlobalMax(_GlobalPool):
    def call(self, inputs: Any) -> Tensor:
        x, axes = self._operand(inputs)
        return greatest(x, axis=axes, keepdims=self.keepdims)


class GlobalMaxPooling1D(_GlobalMax):
    """The greatest over the steps of (batch, steps, channels)."""

    rank = 1


class GlobalMaxPooling2D(_GlobalMax):
    """The greatest over height and width of (batch, height, width, channels)."""

    rank = 2


class GlobalMaxPooling3D(_GlobalMax):
    """The greatest over depth, height and width of (batch, depth, height, width, channels)."""

    rank = 3


MaxPool1D, MaxPool2D, MaxPool3D = MaxPooling1D, MaxPooling2D, MaxPooling3D
AvgPool1D, AvgPool2D, AvgPool3D = AveragePooling1D, AveragePooling2D, AveragePooling3D
GlobalAvgPool1D, GlobalAvgPool2D, GlobalAvgPool3D = (
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalAveragePooling3D,
)
GlobalMaxPool1D, GlobalMaxPool2D, GlobalMaxPool3D = GlobalMaxPooling1D, GlobalMaxPooling2D, GlobalMaxPooling3D
