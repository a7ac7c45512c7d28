"""Initial values of weights, with Keras's names and defaults: ``kernel_initializer="he_normal"``.

>>> import graphflow as gf
>>> gf.keras.initializers.Constant(3.0)((2,)).tolist()
[3.0, 3.0]
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.core.dtypes import as_dtype
from graphflow.keras import config
from graphflow.ops import creation, random
from graphflow.tensor import Tensor, as_tensor

Shape = Sequence[int]


class Initializer(config.Configurable):
    """Base of initializers: a subclass defines ``__call__(shape, dtype=None)``."""

    kind = "initializers"

    def __call__(self, shape: Shape, dtype: Any = None) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} does not define __call__(shape, dtype=None)")


class Zeros(Initializer):
    """All 0."""

    def __call__(self, shape: Shape, dtype: Any = None) -> Tensor:
        return creation.zeros(tuple(shape), dtype=dtype or "float32")


class Ones(Initializer):
    """All 1."""

    def __call__(self, shape: Shape, dtype: Any = None) -> Tensor:
        return creation.ones(tuple(shape), dtype=dtype or "float32")


class Constant(Initializer):
    """All the same number, or a given array."""

    def __init__(self, value: Any = 0.0) -> None:
        self.value = value

    def __call__(self, shape: Shape, dtype: Any = None) -> Tensor:
        return as_tensor(np.broadcast_to(np.asarray(self.value, as_dtype(dtype or "float32").np), tuple(shape)))


class Identity(Initializer):
    """The identity matrix times ``gain``. Raises ValueError for other ranks than 2."""

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def __call__(self, shape: Shape, dtype: Any = None) -> Tensor:
        if len(shape) != 2:
            raise ValueError(f"Identity makes matrices, got shape {tuple(shape)}")
        return as_tensor(self.gain * np.eye(*shape, dtype=as_dtype(dtype or "float32").np))


class _Random(Initializer):
    """Draws from ``gf.random``, or, with a seed, always the same numbers."""

    seed: int | None = None

    def _generator(self) -> Any:
        return random.default_generator if self.seed is None else random.Generator(self.seed)


class RandomNormal(_Random):
    """From the normal distribution."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        self.mean, self.stddev, self.seed = mean, stddev, seed

    def __call__(self, shape: Shape, dtype: Any = None) -> Tensor:
        return self._generator().normal(tuple(shape), self.mean, self.stddev, dtype=dtype)


class TruncatedNormal(RandomNormal):
    """From the normal distribution, without what is more than two deviations off."""

    def __call__(self, shape: Shape, dtype: Any = None) -> Tensor:
        return _truncated(self._generator(), shape, self.mean, self.stddev, dtype)


def _truncated(generator: Any, shape: Shape, mean: float, stddev: float, dtype: Any) -> Tensor:
    """Numbers more than two deviations off are drawn again."""
    z = np.array(generator.normal(tuple(shape)).numpy())
    while (far := np.abs(z) > 2.0).any():
        z[far] = generator.normal((int(far.sum()),)).numpy()
    return as_tensor((z * stddev + mean).astype(as_dtype(dtype or "float32").np))


class RandomUniform(_Random):
    """Even between two numbers."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None) -> None:
        self.minval, self.maxval, self.seed = minval, maxval, seed

    def __call__(self, shape: Shape, dtype: Any = None) -> Tensor:
        return self._generator().uniform(tuple(shape), self.minval, self.maxval, dtype=dtype)


class VarianceScaling(_Random):
    """A spread that keeps the size of signals: variance ``scale / n``, n being the fan-in, the fan-out or their mean.

    ``distribution`` is "truncated_normal", "untruncated_normal" or "uniform". Raises ValueError for other words.
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
    ) -> None:
        if mode not in ("fan_in", "fan_out", "fan_avg"):
            raise ValueError(f"mode is 'fan_in', 'fan_out' or 'fan_avg', got {mode!r}")
        if distribution not in ("truncated_normal", "untruncated_normal", "uniform"):
            raise ValueError(
                f"distribution is 'truncated_normal', 'untruncated_normal' or 'uniform', got {distribution!r}"
            )
        self.scale, self.mode, self.distribution, self.seed = scale, mode, distribution, seed

    def __call__(self, shape: Shape, dtype: Any = None) -> Tensor:
        fan_in, fan_out = fans(shape)
        count = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        scale = self.scale / max(1.0, count)
        generator = self._generator()
        if self.distribution == "uniform":
            limit = math.sqrt(3.0 * scale)
            return generator.uniform(tuple(shape), -limit, limit, dtype=dtype)  # type: ignore[no-any-return]
        if self.distribution == "untruncated_normal":
            return generator.normal(tuple(shape), 0.0, math.sqrt(scale), dtype=dtype)  # type: ignore[no-any-return]
        # Cutting the tails off shrinks the spread to 0.8796 of what it was.
        return _truncated(generator, shape, 0.0, math.sqrt(scale) / 0.87962566103423978, dtype)


def fans(shape: Shape) -> tuple[float, float]:
    """Inputs and outputs of a weight (*taps, inputs, outputs).

    >>> from graphflow.keras.initializers import fans
    >>> fans((784, 10)), fans((3, 3, 16, 32))
    ((784, 10), (144, 288))
    """
    if len(shape) < 2:
        only = shape[0] if shape else 1
        return only, only
    taps = math.prod(shape[:-2])
    return shape[-2] * taps, shape[-1] * taps


class GlorotUniform(VarianceScaling):
    """Even within sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010); what layers use by default."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_avg", "uniform", seed)


class GlorotNormal(VarianceScaling):
    """Truncated normal of variance 2 / (fan_in + fan_out) (Glorot and Bengio 2010)."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_avg", "truncated_normal", seed)


class HeNormal(VarianceScaling):
    """Truncated normal of variance 2 / fan_in (He et al. 2015)."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(2.0, "fan_in", "truncated_normal", seed)


class HeUniform(VarianceScaling):
    """Even within sqrt(6 / fan_in) (He et al. 2015)."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(2.0, "fan_in", "uniform", seed)


class LecunNormal(VarianceScaling):
    """Truncated normal of variance 1 / fan_in (LeCun et al. 1998)."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_in", "truncated_normal", seed)


class LecunUniform(VarianceScaling):
    """Even within sqrt(3 / fan_in) (LeCun et al. 1998)."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_in", "uniform", seed)


class Orthogonal(_Random):
    """An orthogonal matrix (Saxe et al. 2014) times ``gain``; higher ranks as (rest, last). ValueError for rank 1."""

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        self.gain, self.seed = gain, seed

    def __call__(self, shape: Shape, dtype: Any = None) -> Tensor:
        if len(shape) < 2:
            raise ValueError(f"Orthogonal needs two or more axes, got shape {tuple(shape)}")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        flat = self._generator().normal((max(rows, columns), min(rows, columns)), dtype="float64").numpy()
        q, r = np.linalg.qr(flat)
        q = q * np.where(np.diag(r) < 0, -1.0, 1.0)
        q = q.T if rows < columns else q
        return as_tensor((self.gain * q).reshape(tuple(shape)).astype(as_dtype(dtype or "float32").np))


_ALIASES = {
    "normal": RandomNormal,
    "uniform": RandomUniform,
    "zero": Zeros,
    "one": Ones,
    "glorot": GlorotUniform,
    "xavier_uniform": GlorotUniform,
    "xavier_normal": GlorotNormal,
    "eye": Identity,
}


IdentityInitializer, OrthogonalInitializer = Identity, Orthogonal


def get(identifier: Any) -> Any:
    """The initializer for a name, a config, a class, an object or a function ``f(shape, dtype)``."""
    return config.get("initializer", "initializers", identifier, _ALIASES)


def serialize(item: Any) -> Any:
    """An initializer as data."""
    return config.to_data(item)


def deserialize(data: Any, custom_objects: Any = None) -> Any:
    """An initializer from data."""
    with config.custom_object_scope(custom_objects or {}):
        return get(data)


globals().update(config.names_of("initializers"))  # the classes' names in small letters, as Keras has them
