"""The random numbers of data pipelines: each sample has its own, fixed by the seed, the epoch and its place in it.

So an augmented epoch is the same with any number of workers, and one sample can be made again without the others.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from graphflow.ops.random import default_generator

_WORD = 0xFFFFFFFFFFFFFFFF
_TAG = 0x64617461  # keeps these streams apart from those of gf.random with the same seed


class EpochKey(NamedTuple):
    """What the random numbers of one epoch follow from: the loader's generator at its start, and its number."""

    seed: int
    draws: int
    epoch: int

    @classmethod
    def of(cls, state: tuple[int, int], epoch: int) -> EpochKey:
        seed, draws = state
        return cls(seed & _WORD, draws & _WORD, epoch)

    def worker_seed(self, batch: int) -> int:
        """A seed for the global generators (``random``, ``numpy.random``) of a worker that makes this batch."""
        words = [self.seed & 0xFFFFFFFF, self.seed >> 32, self.draws & 0xFFFFFFFF, self.epoch, batch]
        return int(np.random.SeedSequence(words).generate_state(1)[0])


class _Local(threading.local):
    """The generator of this thread, and the sample that it has yet to be set to."""

    def __init__(self) -> None:
        self.bits = np.random.Philox(0)
        self.generator = np.random.Generator(self.bits)
        self.state: dict[str, Any] = dict(self.bits.state)
        self.sample: tuple[EpochKey, int] | None = None
        self.is_set = False


_local = _Local()


@contextmanager
def sampling() -> Iterator[None]:
    """A block in which samples are made; ``begin_sample`` says which one is next."""
    outer = _local.sample
    try:
        yield
    finally:
        _local.sample, _local.is_set = outer, False


def begin_sample(key: EpochKey, position: int) -> None:
    """From now on random numbers are those of the sample at this place in the epoch."""
    _local.sample, _local.is_set = (key, position), False


def sample_generator() -> np.random.Generator:
    """The NumPy generator for whatever is random in making a sample; for transforms and datasets of your own.

    In a DataLoader it is set anew for each sample. Elsewhere each call is a draw from ``gf.random``'s default
    generator, so ``gf.random.seed`` fixes it.

    >>> from graphflow.data import sample_generator
    >>> gf.random.seed(0); first = sample_generator().random()
    >>> gf.random.seed(0); first == sample_generator().random()
    True
    """
    local = _local
    if local.sample is None:
        seed, draws = default_generator.get_state()
        default_generator.set_state((seed, draws + 1))
        _set(local, (_TAG, draws, 0, 0), seed & _WORD)
    elif not local.is_set:
        key, position = local.sample
        _set(local, (0, position, key.draws, key.epoch), key.seed)
        local.is_set = True
    return local.generator


def _set(local: _Local, counter: tuple[int, int, int, int], seed: int) -> None:
    """Go to a place of the stream. (The first counter word counts the draws from there on.)"""
    words = local.state["state"]
    words["counter"][:] = (counter[0], *counter[1:])
    words["key"][:] = (seed, _TAG)
    local.state.update(buffer_pos=4, has_uint32=0)
    local.bits.state = local.state  # type: ignore[assignment]  # a dict of the form that it gives
