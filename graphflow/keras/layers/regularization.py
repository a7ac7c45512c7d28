"""Layers that only do something while training: dropout and noise."""

from __future__ import annotations

import math
from typing import Any

from graphflow.core.dtypes import float32
from graphflow.core.errors import at_line, user_origin
from graphflow.keras import regularizers
from graphflow.keras.layers.base import Layer
from graphflow.ops import random
from graphflow.ops.composite import dropout
from graphflow.ops.creation import beside
from graphflow.ops.define import cast
from graphflow.ops.elementwise import where
from graphflow.tensor import Tensor, as_tensor


class _Noise(Layer):
    supports_masking = True

    def _seeded(self, seed: int | None) -> None:
        self.seed = seed
        if seed is not None:
            self.__dict__["_generator"] = random.Generator(seed)

    def _source(self) -> Any:
        return self.__dict__.get("_generator") or random.default_generator


def _rate(rate: float) -> float:
    if not 0 <= rate <= 1:
        raise ValueError(at_line(f"a rate is a number from 0 to 1, got {rate}", user_origin()))
    return rate


class Dropout(_Noise):
    """While training each element is 0 with probability ``rate``, the others divided by ``1 - rate``.

    ``noise_shape`` has 1 for axes whose elements share their fate; ``seed`` gives the layer a stream of its own.

    >>> import graphflow as gf
    >>> gf.keras.layers.Dropout(0.5)(gf.ones(3)).tolist()
    [1.0, 1.0, 1.0]
    """

    def __init__(self, rate: float, noise_shape: Any = None, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = _rate(rate)
        self.noise_shape = noise_shape
        self._seeded(seed)

    def _shape(self, x: Tensor) -> Any:
        if self.noise_shape is None:
            return None
        return tuple(n if m is None else m for n, m in zip(x.shape, self.noise_shape))

    def call(self, inputs: Any, training: bool = False) -> Tensor:
        x = self._floats(inputs)
        if not training or self.rate == 0:
            return x
        shape = self._shape(x)
        if shape is None:
            return dropout(x, self.rate, True, generator=self._source())
        with beside(x):
            kept = self._source().bernoulli(1.0 - self.rate, shape, dtype=x.dtype)
        return x * kept / max(1.0 - self.rate, 1e-30)  # type: ignore[no-any-return]


class _SpatialDropout(Dropout):
    rank = 0

    def __init__(self, rate: float, data_format: str | None = None, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(rate, seed=seed, **kwargs)
        self.data_format = data_format

    def _shape(self, x: Tensor) -> Any:
        first = self.data_format == "channels_first"
        return (x.shape[0], *((x.shape[1], *(1,) * self.rank) if first else (*(1,) * self.rank, x.shape[-1])))


class SpatialDropout1D(_SpatialDropout):
    """Drops whole channels of (batch, steps, channels) while training."""

    rank = 1


class SpatialDropout2D(_SpatialDropout):
    """Drops whole channels of (batch, height, width, channels) while training."""

    rank = 2


class SpatialDropout3D(_SpatialDropout):
    """Drops whole channels of (batch, depth, height, width, channels) while training."""

    rank = 3


class GaussianNoise(_Noise):
    """Adds normal noise while training."""

    def __init__(self, stddev: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stddev = stddev
        self._seeded(seed)

    def call(self, inputs: Any, training: bool = False) -> Tensor:
        x = self._floats(inputs)
        if not training or self.stddev == 0:
            return x
        with beside(x):
            noise = self._source().normal(x.shape, 0.0, self.stddev, dtype=float32)
        return x + cast(noise, x.dtype)


class GaussianDropout(_Noise):
    """Multiplies by normal noise around 1 of variance ``rate / (1 - rate)`` while training."""

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = _rate(rate)
        self._seeded(seed)

    def call(self, inputs: Any, training: bool = False) -> Tensor:
        x = self._floats(inputs)
        if not training or self.rate == 0:
            return x
        with beside(x):
            noise = self._source().normal(x.shape, 1.0, math.sqrt(self.rate / (1.0 - self.rate)), dtype=float32)
        return x * cast(noise, x.dtype)


class AlphaDropout(_Noise):
    """Dropout that keeps mean and variance of what ``selu`` gives (Klambauer et al. 2017)."""

    _LOW = -1.6732632423543772 * 1.0507009873554805

    def __init__(self, rate: float, noise_shape: Any = None, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = _rate(rate)
        self.noise_shape = noise_shape
        self._seeded(seed)

    def call(self, inputs: Any, training: bool = False) -> Tensor:
        x = self._floats(inputs)
        if not training or self.rate == 0:
            return x
        shape = (
            x.shape
            if self.noise_shape is None
            else tuple(n if m is None else m for n, m in zip(x.shape, self.noise_shape))
        )
        with beside(x):
            kept = self._source().bernoulli(1.0 - self.rate, shape, dtype=float32)
        scale = ((1 - self.rate) * (1 + self.rate * self._LOW**2)) ** -0.5
        return where(as_tensor(kept) > 0, x, self._LOW) * scale - scale * self._LOW * self.rate


class ActivityRegularization(Layer):
    """The input; a penalty on it is added to the model's loss."""

    supports_masking = True

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **kwargs: Any) -> None:
        super().__init__(activity_regularizer=regularizers.L1L2(l1, l2), **kwargs)

    def call(self, inputs: Any) -> Any:
        return inputs
