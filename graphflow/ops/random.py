"""Random numbers that are the same in every mode: a counter-based generator whose only state is a Variable.

A draw adds 1 to the generator's counter (an ordered effect, so no pass can drop, merge or reorder draws) and turns
(seed, counter, position) into bits with Philox4x32-10 (Salmon et al., SC 2011).
Every element depends on its position alone, so kernels make them in any order, in any number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.core import dispatch
from graphflow.core.aval import AVal
from graphflow.core.dims import Dim, Shape, Size
from graphflow.core.dtypes import DType, as_dtype, default_float, default_int, float32, float64, int64, uint32, uint64
from graphflow.core.errors import DTypeError, at_line, user_origin
from graphflow.core.op import Sample
from graphflow.ops.creation import arange, beside
from graphflow.ops.define import cast, primitive
from graphflow.ops.elementwise import maximum
from graphflow.ops.fused import fused
from graphflow.ops.inverse_erf import erfinv
from graphflow.ops.mathematical import cos, log
from graphflow.ops.movement import as_shape, part, reshape
from graphflow.ops.reduce import argmax
from graphflow.tensor import Operators, Tensor, as_tensor
from graphflow.variable import Variable

__all__ = [
    "Generator",
    "bernoulli",
    "categorical",
    "default_generator",
    "exponential",
    "get_state",
    "gumbel",
    "normal",
    "permutation",
    "randint",
    "seed",
    "set_state",
    "uniform",
]

# -- bits ----------------------------------------------------------------------------------------------------------
_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
_CHUNK = 1 << 12  # blocks computed at a time, so that the ten rounds stay in the cache


def philox4x32(counter: tuple[Any, ...], key: tuple[int, int]) -> tuple[Any, ...]:
    """Four random words from a counter of four words and a key of two; arrays of counters give arrays of words."""
    c0, c1, c2, c3 = (np.asarray(c, np.uint64) for c in counter)
    for number in range(10):
        k0, k1 = (np.uint64((k + number * step) & 0xFFFFFFFF) for k, step in zip(key, _KEY_STEPS))
        p0, p1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (p1 >> _HALF) ^ c1 ^ k0, p1 & _LOW, (p0 >> _HALF) ^ c3 ^ k1, p0 & _LOW
    return c0, c1, c2, c3


def _bits_ref(seed: Any, counter: Any, shape: tuple[int, ...]) -> Any:
    """Element i is word i % 4 of block i // 4."""
    size = math.prod(shape)
    out = np.empty((-(-size // 4), 4), np.uint32)
    for start in range(0, len(out), _CHUNK):
        some_bits(seed, counter, start, out[start : start + _CHUNK])
    return out.reshape(-1)[:size].reshape(shape)


def some_bits(seed: Any, counter: Any, start: int, out: Any) -> None:
    """Fill ``out`` (blocks, 4) with the words of the blocks from ``start`` on."""
    block = np.arange(start, start + len(out), dtype=np.uint64)
    for i, word in enumerate(philox4x32((block & _LOW, block >> _HALF, *_words(counter)), _words(seed))):
        out[:, i] = word


def _words(number: Any) -> tuple[int, int]:
    """The lower and the upper half of a 64-bit integer."""
    value = int(number) & 0xFFFFFFFFFFFFFFFF
    return value & 0xFFFFFFFF, value >> 32


def _bits_emit(b: Any, seed: Any, counter: Any, *, index: tuple[Any, ...], shape: Shape) -> Any:
    position = index[0] if index else b.cast(seed, "int64") * 0
    for place, size in zip(index[1:], shape[1:]):
        position = position * size + place
    block = position >> 2

    def words(value: Any) -> tuple[Any, Any]:
        return b.cast(value, "uint32"), b.cast(value >> 32, "uint32")

    first, second, third, fourth = b.philox4x32((*words(block), *words(counter)), words(seed))
    word = position & 3
    return b.select(word < 2, b.select(word == 0, first, second), b.select(word == 2, third, fourth))


def _bits_infer(seed: AVal, counter: AVal, shape: Shape) -> AVal:
    if seed.shape != () or counter.shape != () or seed.dtype is not int64 or counter.dtype is not int64:
        raise DTypeError(f"seed and counter must be 0-d int64 tensors, got {seed.describe()} and {counter.describe()}")
    return AVal(shape, uint32)


_KEY = (np.array(0x299F31D0A4093822), np.array(-7))
RANDOM_BITS = primitive(
    "random_bits",
    "map",
    _bits_infer,
    _bits_ref,
    None,
    _bits_emit,
    samples=lambda: [
        Sample(_KEY, {"shape": (3, 5)}, grad=False),
        Sample(_KEY, {"shape": ()}, grad=False),
        Sample(_KEY, {"shape": (0, 2)}, grad=False),
        Sample(_KEY, {"shape": (2, 3, 7)}, grad=False),
    ],
    dtypes="int",
    cost=64,
    doc="Random uint32 from a seed, a counter and each element's position.",
)


@fused("batch")
def _bits(state: Tensor, shape: Shape, draws: int) -> list[Tensor]:
    """The words of the last ``draws`` draws that led to a generator's state."""
    seed, counter = (reshape(part(state, 0, i, 1), ()) for i in (0, 1))
    counters = [counter - back if back else counter for back in range(draws - 1, -1, -1)]
    return [dispatch.apply(RANDOM_BITS, (seed, each), {"shape": shape}) for each in counters]


@fused("batch")
def _units(state: Tensor, shape: Shape, number: int, wide: bool) -> list[Tensor]:
    if not wide:
        return [cast(word >> 8, float32) * 2.0**-24 for word in _bits(state, shape, number)]
    words = _bits(state, shape, 2 * number)
    pairs = zip(words[0::2], words[1::2])
    return [(cast(hi >> 5, float64) * 2.0**26 + cast(lo >> 6, float64)) * 2.0**-53 for hi, lo in pairs]


# -- the generator -------------------------------------------------------------------------------------------------
class Generator:
    """A stream of random numbers. Its state, (seed, draws so far), is a Variable of two int64.

    >>> import graphflow as gf
    >>> a, b = gf.random.Generator(3), gf.random.Generator(3)
    >>> (a.normal((2,)) == b.normal((2,))).all().item()
    True
    """

    def __init__(self, seed: int = 0) -> None:
        self.state = Variable(np.array([_signed(seed), 0]), name="random_state", trainable=False)
        self.state.resettable = False

    def seed(self, seed: int) -> Generator:
        """Start over with another seed (any integer; its lower 64 bits count)."""
        self.state._store(np.array([_signed(seed), 0]))
        return self

    manual_seed = seed

    def get_state(self) -> tuple[int, int]:
        """(seed, draws so far), for ``set_state``."""
        seed, counter = self.state.numpy().tolist()
        return seed, counter

    def set_state(self, state: tuple[int, int]) -> None:
        """Go to a place in the stream that ``get_state`` gave."""
        seed, counter = state
        self.state._store(np.array([seed, counter]))

    def bits(self, shape: Shape, draws: int = 1) -> Sequence[Tensor]:
        """``draws`` tensors of random uint32."""
        return _bits(self._advance(draws), shape, draws)

    def unit(self, shape: Shape, dtype: DType, number: int = 1) -> Sequence[Tensor]:
        """``number`` tensors of numbers in [0, 1): 24 random bits each in float32, 53 in float64."""
        wide = dtype is float64
        return _units(self._advance(2 * number if wide else number), shape, number, wide)

    def _advance(self, draws: int) -> Tensor:
        """The state after so many more draws."""
        return self.state.assign_add(np.array([0, draws]))  # type: ignore[no-any-return]

    # -- distributions ---------------------------------------------------------------------------------------------
    def uniform(self, shape: Any = (), low: Any = 0.0, high: Any = 1.0, *, dtype: Any = None) -> Tensor:
        """Numbers drawn evenly from [low, high)."""
        target = _float_dtype("uniform", dtype)
        (u,) = self.unit(as_shape(shape), target)
        if isinstance(low, Operators) or isinstance(high, Operators) or (low, high) != (0.0, 1.0):
            u = u * (high - low) + low
        return cast(u, target)

    def normal(self, shape: Any = (), mean: Any = 0.0, std: Any = 1.0, *, dtype: Any = None) -> Tensor:
        """Numbers from the normal distribution (Box-Muller)."""
        target = _float_dtype("normal", dtype)
        u, v = self.unit(as_shape(shape), target, 2)
        z = (-2.0 * log(1.0 - u)).sqrt() * cos(v * (2.0 * math.pi))  # type: ignore[attr-defined]
        if isinstance(mean, Operators) or isinstance(std, Operators) or (mean, std) != (0.0, 1.0):
            z = z * std + mean
        return cast(z, target)

    def truncated_normal(self, shape: Any = (), mean: Any = 0.0, std: Any = 1.0, *, dtype: Any = None) -> Tensor:
        """Numbers from the normal distribution, none farther from the mean than two standard deviations."""
        within = math.erf(math.sqrt(2.0))  # the share of numbers within two standard deviations
        # By the inverse of the distribution function: one draw for each number, none thrown away.
        return erfinv(self.uniform(shape, -within, within, dtype=dtype)) * (math.sqrt(2.0) * std) + mean

    def randint(
        self, low: int, high: int | None = None, size: Any = (), *, shape: Any = None, dtype: Any = None
    ) -> Tensor:
        """Integers drawn evenly from low, ..., high - 1 (from 0, ..., low - 1 if ``high`` is not given)."""
        low, high = (0, low) if high is None else (low, high)
        span = high - low
        if not 0 < span <= 2**64:
            raise ValueError(at_line(f"randint needs low < high, got {low} and {high}", user_origin()))
        target = default_int if dtype is None else as_dtype(dtype)
        sizes = as_shape(size if shape is None else shape)
        if span <= 2**32:
            (word,) = self.bits(sizes)
            value = (cast(word, uint64) * span) >> 32  # the upper half of the product: scaled, not wrapped round
        else:
            upper, lower = self.bits(sizes, 2)
            value = (cast(upper, uint64) << 32) | cast(lower, uint64)
            value = value if span == 2**64 else value % span
        return cast(cast(value, int64) + low, target)

    def bernoulli(self, p: Any = 0.5, shape: Any = None, *, dtype: Any = None) -> Tensor:
        """1 with probability ``p`` (a number or a tensor), else 0; of p's shape unless given."""
        p = as_tensor(p)
        target = (p.dtype if p.dtype.is_float else default_float) if dtype is None else as_dtype(dtype)
        with beside(p):
            (u,) = self.unit(p.shape if shape is None else as_shape(shape), float64 if p.dtype is float64 else float32)
        return cast(u < p, target)

    def exponential(self, shape: Any = (), rate: Any = 1.0, *, dtype: Any = None) -> Tensor:
        """Numbers from the exponential distribution with mean 1 / rate."""
        target = _float_dtype("exponential", dtype)
        (u,) = self.unit(as_shape(shape), target)
        return cast(-log(1.0 - u) / rate, target)

    def gumbel(self, shape: Any = (), *, dtype: Any = None) -> Tensor:
        """Numbers from the standard Gumbel distribution."""
        target = _float_dtype("gumbel", dtype)
        (u,) = self.unit(as_shape(shape), target)
        tiny = 2.0**-25 if target is not float64 else 2.0**-54  # keeps u = 0 from giving an infinity
        return cast(-log(maximum(-log(1.0 - u), tiny)), target)

    def categorical(self, logits: Any, axis: int = -1) -> Tensor:
        """Class numbers (int64) drawn with the probabilities softmax(logits): the Gumbel-max trick."""
        logits = as_tensor(logits)
        with beside(logits):
            noise = self.gumbel(logits.shape, dtype=float64 if logits.dtype is float64 else float32)
        return argmax(logits + noise, axis=axis)

    def permutation(self, x: Any) -> Tensor:
        """0, ..., n - 1 in random order for a number n; the rows of a tensor in random order."""
        rows = arange(x) if isinstance(x, (int, Dim)) else as_tensor(x)
        count: Size = rows.shape[0]
        with beside(rows):
            upper, lower = self.bits((count,), 2)
        order = ((cast(upper, uint64) << 32) | cast(lower, uint64)).argsort()  # type: ignore[attr-defined]
        return order if isinstance(x, (int, Dim)) else rows.take(order, axis=0)  # type: ignore[attr-defined]


def _signed(seed: int) -> int:
    """The lower 64 bits as an int64."""
    return (int(seed) + 2**63) % 2**64 - 2**63


def _float_dtype(name: str, dtype: Any) -> DType:
    target = default_float if dtype is None else as_dtype(dtype)
    if not target.is_float:
        raise DTypeError(at_line(f"random.{name} gives floating-point tensors, not {target}", user_origin()))
    return target


# -- the default stream --------------------------------------------------------------------------------------------
default_generator = Generator(0)
"""What every draw uses that is not given a generator."""


def seed(seed: int) -> None:
    """Start the default stream over with a seed.

    >>> import graphflow as gf
    >>> gf.random.seed(7); a = gf.random.normal((3,))
    >>> gf.random.seed(7); (a == gf.random.normal((3,))).all().item()
    True
    """
    default_generator.seed(seed)


uniform = default_generator.uniform
normal = default_generator.normal
randint = default_generator.randint
bernoulli = default_generator.bernoulli
exponential = default_generator.exponential
gumbel = default_generator.gumbel
categorical = default_generator.categorical
permutation = default_generator.permutation
get_state = default_generator.get_state
set_state = default_generator.set_state
