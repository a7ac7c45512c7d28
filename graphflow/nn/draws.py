"""Draws that can be made again: what a parameter keeps of its initial values in place of a copy of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from graphflow.core import dispatch
from graphflow.core.config import config
from graphflow.core.dtypes import DType, float64
from graphflow.ops.random import Generator, some_bits
from graphflow.tensor import Tensor

_BLOCKS = 1 << 12  # of four words each: computed at a time


class Draw(NamedTuple):
    """Numbers that a generator in the state ``start`` draws by its method ``kind``, the same at each call.

    NumPy computes them, whatever native code there is meanwhile: logarithms may differ from it in the last bit.
    """

    kind: str
    start: tuple[int, int]
    shape: tuple[int, ...]
    settings: tuple[float, float]
    dtype: DType

    def __call__(self) -> Tensor:
        if self.kind == "uniform":
            return Tensor(self._uniform())
        generator = Generator()
        generator.set_state(self.start)
        with dispatch.init_scope(), config(native_after=-1):
            return getattr(generator, self.kind)(self.shape, *self.settings, dtype=self.dtype)  # type: ignore[no-any-return]

    @property
    def next_state(self) -> tuple[int, int]:
        """The generator's state after the draw."""
        seed, counter = self.start
        words = {"uniform": 1, "normal": 2}[self.kind] * (2 if self.dtype is float64 else 1)
        return seed, counter + words

    def _uniform(self) -> np.ndarray[Any, Any]:
        """What ``Generator.uniform`` gives, block by block: without arrays as large as the result beside it."""
        seed, counter = self.start
        low, high = self.settings
        wide = self.dtype is float64
        kind: Any = np.float64 if wide else np.float32
        out = np.empty(self.shape, self.dtype.np)
        flat = out.reshape(-1)
        bits = np.empty((2 if wide else 1, _BLOCKS, 4), np.uint32)
        for start in range(0, -(-out.size // 4), _BLOCKS):
            for number, words in enumerate(bits):
                some_bits(seed, counter + 1 + number, start, words)
            first = bits[0].reshape(-1)
            if wide:
                u = ((first >> 5).astype(kind) * 2.0**26 + (bits[1].reshape(-1) >> 6).astype(kind)) * 2.0**-53
            else:
                u = (first >> 8).astype(kind) * kind(2.0**-24)
            if (low, high) != (0.0, 1.0):
                u = u * kind(high - low) + kind(low)
            part = flat[4 * start : 4 * (start + _BLOCKS)]
            part[...] = u[: part.size]
        return out
