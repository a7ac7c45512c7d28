"""Random numbers with Keras's names and arguments (``gf.random`` has the same under NumPy's and PyTorch's).

``seed`` is None (the process's stream), a SeedGenerator (a stream of its own, which goes on), or a number: then each
call gives the same numbers again.

>>> import graphflow as gf
>>> draw = lambda: gf.keras.random.normal((2,), seed=3).tolist()
>>> draw() == draw()
True
"""

from __future__ import annotations

from typing import Any

from graphflow.core.dims import normalize_axis
from graphflow.core.dtypes import as_dtype
from graphflow.ops import random
from graphflow.ops.composite import dropout as drop
from graphflow.ops.creation import beside
from graphflow.ops.define import cast
from graphflow.ops.movement import broadcast_to, expand_dims
from graphflow.ops.picking import take
from graphflow.tensor import Tensor, as_tensor


class SeedGenerator(random.Generator):
    """A stream of random numbers for the ``seed=`` of this module's functions; without a seed it gets one at random.

    >>> import graphflow as gf
    >>> stream = gf.keras.random.SeedGenerator(1)
    >>> a, b = (gf.keras.random.uniform((), seed=stream).item() for _ in range(2))
    >>> a == b
    False
    """

    def __init__(self, seed: int | None = None, name: str | None = None) -> None:
        if seed is None:
            import secrets

            seed = secrets.randbits(32)
        super().__init__(seed)
        self.name = name


def _stream(seed: Any) -> random.Generator:
    if seed is None:
        return random.default_generator
    return seed if isinstance(seed, random.Generator) else random.Generator(int(seed))


def normal(shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: Any = None) -> Tensor:
    """Numbers from the normal distribution."""
    return _stream(seed).normal(shape, mean, stddev, dtype=dtype)


def truncated_normal(shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: Any = None) -> Tensor:
    """Numbers from the normal distribution, none further than two standard deviations from the mean."""
    return _stream(seed).truncated_normal(shape, mean, stddev, dtype=dtype)


def uniform(shape: Any, minval: float = 0.0, maxval: float = 1.0, dtype: Any = None, seed: Any = None) -> Tensor:
    """Numbers drawn evenly from [minval, maxval)."""
    return _stream(seed).uniform(shape, minval, maxval, dtype=dtype)


def randint(shape: Any, minval: int, maxval: int, dtype: Any = "int32", seed: Any = None) -> Tensor:
    """Integers drawn evenly from minval, ..., maxval - 1."""
    return _stream(seed).randint(minval, maxval, shape, dtype=dtype)


def categorical(logits: Any, num_samples: int, dtype: Any = "int32", seed: Any = None) -> Tensor:
    """``num_samples`` class numbers for each row of logits (batch, classes).

    >>> import graphflow as gf
    >>> gf.keras.random.categorical(gf.tensor([[0.0, 50.0]]), 3).tolist()
    [[1, 1, 1]]
    """
    x = as_tensor(logits)
    rows = broadcast_to(expand_dims(x, 1), (x.shape[0], num_samples, x.shape[1]))
    return cast(_stream(seed).categorical(rows), as_dtype(dtype))


def shuffle(x: Any, axis: int = 0, seed: Any = None) -> Tensor:
    """x with its slices along an axis in random order."""
    x = as_tensor(x)
    at = normalize_axis(axis, x.ndim)
    with beside(x):
        order = _stream(seed).permutation(x.shape[at])
    return take(x, order, axis=at)


def dropout(inputs: Any, rate: float, noise_shape: Any = None, seed: Any = None) -> Tensor:
    """Each element 0 with probability ``rate``, the others divided by ``1 - rate``; 1 in ``noise_shape``: in common."""
    x = as_tensor(inputs)
    if noise_shape is None:
        return drop(x, rate, generator=_stream(seed))
    shape = tuple(n if m is None else m for n, m in zip(x.shape, noise_shape))
    with beside(x):
        kept = _stream(seed).bernoulli(1.0 - rate, shape, dtype=x.dtype)
    return x * kept / (1.0 - rate)
