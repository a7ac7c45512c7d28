"""The order in which samples are read, and how they are grouped into batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sized
from itertools import islice
from typing import Any, Generic, TypeVar

import numpy as np

from graphflow.core.dispatch import init_scope
from graphflow.ops.random import Generator, default_generator

T = TypeVar("T")
Seed = int | Generator | None


def as_generator(seed: Seed) -> Generator:
    """A generator of its own for a seed, a generator as it is, the default one of ``gf.random`` for None."""
    if seed is None:
        return default_generator
    return seed if isinstance(seed, Generator) else Generator(seed)


def permutation(n: int, generator: Generator) -> np.ndarray:
    """0, ..., n - 1 in random order, drawn at once even where a graph is being recorded."""
    with init_scope():
        return generator.permutation(n).numpy()


def in_batches(items: Iterable[T], batch_size: int, drop_last: bool) -> Iterator[list[T]]:
    """Lists of ``batch_size`` items; the last one may be shorter, or is dropped."""
    iterator = iter(items)
    while batch := list(islice(iterator, batch_size)):
        if drop_last and len(batch) < batch_size:
            return
        yield batch


class Sampler(ABC, Generic[T]):
    """Base of samplers: a subclass defines ``__iter__``, which yields the indices of one epoch, and ``__len__``."""

    @abstractmethod
    def __iter__(self) -> Iterator[T]: ...

    @abstractmethod
    def __len__(self) -> int: ...


class SequentialSampler(Sampler[int]):
    """The indices of ``data_source`` in order."""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler[int]):
    """The indices of ``data_source`` in random order, another one each epoch.

    With ``replacement``, ``num_samples`` indices are drawn independently; without it they are a permutation (several in
    a row where ``num_samples`` is larger than the dataset). ``generator`` is a seed or a ``gf.random.Generator``;
    None draws from ``gf.random``'s default one.

    >>> from graphflow import data
    >>> sorted(data.RandomSampler(range(5), generator=0))
    [0, 1, 2, 3, 4]
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Seed = None,
    ) -> None:
        """Raises ValueError for a negative ``num_samples``, or samples asked of an empty source."""
        if num_samples is not None and num_samples < 0:
            raise ValueError(f"num_samples must not be negative, got {num_samples}")
        if num_samples and not len(data_source):
            raise ValueError(f"cannot draw {num_samples} samples from an empty dataset")
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        # One stream over all epochs: a seed fixes the order of each epoch, and no two are alike.
        self.generator = as_generator(generator)

    @property
    def num_samples(self) -> int:
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        size, number = len(self.data_source), self.num_samples
        if number == 0:
            return iter([])
        if self.replacement:
            with init_scope():
                return iter(self.generator.randint(size, shape=(number,)).tolist())
        orders = [permutation(size, self.generator) for _ in range(-(-number // size))]
        return iter(np.concatenate(orders)[:number].tolist())

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """Groups the indices of another sampler into lists of ``batch_size``; the last one may be shorter, or is dropped.

    >>> from graphflow import data
    >>> list(data.BatchSampler(data.SequentialSampler(range(7)), batch_size=3, drop_last=False))
    [[0, 1, 2], [3, 4, 5], [6]]
    """

    def __init__(self, sampler: Any, batch_size: int, drop_last: bool) -> None:
        """``sampler`` is any iterable of indices with a length. Raises ValueError for a batch size below 1."""
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        return in_batches(self.sampler, self.batch_size, self.drop_last)

    def __len__(self) -> int:
        full, rest = divmod(len(self.sampler), self.batch_size)
        return full + (1 if rest and not self.drop_last else 0)
