"""The order in which samples are read, and how they are grouped into batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence, Sized
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


class SubsetRandomSampler(Sampler[int]):
    """The given indices in random order, another one each epoch.

    >>> from graphflow import data
    >>> sorted(data.SubsetRandomSampler([3, 5, 9], generator=0))
    [3, 5, 9]
    """

    def __init__(self, indices: Sequence[int], generator: Seed = None) -> None:
        self.indices = indices
        self.generator = as_generator(generator)

    def __iter__(self) -> Iterator[int]:
        return (self.indices[i] for i in permutation(len(self.indices), self.generator).tolist())

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """``num_samples`` indices 0, ..., n - 1 drawn with probabilities in proportion to ``weights``.

    With weights of one over the size of a sample's class, rare classes are seen as often as frequent ones. Without
    ``replacement`` no index comes twice (Efraimidis and Spirakis, 2006). Raises ValueError for weights that are
    negative or all zero, or too few for a draw without replacement.

    >>> from graphflow import data
    >>> set(data.WeightedRandomSampler([0.0, 1.0, 0.0, 2.0], num_samples=20, generator=0))
    {1, 3}
    """

    def __init__(
        self, weights: Sequence[float], num_samples: int, replacement: bool = True, generator: Seed = None
    ) -> None:
        self.weights = np.asarray(weights, np.float64)
        if self.weights.ndim != 1 or not (self.weights >= 0).all() or not self.weights.any():
            raise ValueError("weights are a sequence of numbers that are not negative and not all zero")
        possible = int((self.weights > 0).sum())
        if num_samples < 0 or (not replacement and num_samples > possible):
            raise ValueError(f"cannot draw {num_samples} of {possible} samples without replacement")
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = as_generator(generator)

    def __iter__(self) -> Iterator[int]:
        count = self.num_samples if self.replacement else len(self.weights)
        with init_scope():
            drawn = self.generator.uniform((count,), dtype="float64").numpy()
        if self.replacement:
            edges = np.cumsum(self.weights)
            chosen = np.searchsorted(edges, drawn * edges[-1], side="right")
        else:
            with np.errstate(divide="ignore"):  # the keys of weight 0 come last
                chosen = np.argsort(-np.log(1 - drawn) / self.weights, kind="stable")[: self.num_samples]
        return iter(chosen.tolist())

    def __len__(self) -> int:
        return self.num_samples


class DistributedSampler(Sampler[int]):
    """The indices of one of ``num_replicas`` processes that train together: every n-th, in an order that all share.

    The order follows from ``seed`` and ``set_epoch(epoch)``. Parts are made equally long by repeating the first
    indices, or by leaving out the last ones (``drop_last``).

    >>> from graphflow import data
    >>> [list(data.DistributedSampler(range(5), 2, rank, shuffle=False)) for rank in (0, 1)]
    [[0, 2, 4], [1, 3, 0]]
    """

    def __init__(
        self,
        dataset: Sized,
        num_replicas: int,
        rank: int,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        if not 0 <= rank < num_replicas:
            raise ValueError(f"rank must be from 0 to {num_replicas - 1}, got {rank}")
        self.dataset = dataset
        self.num_replicas = num_replicas
        self.rank = rank
        self.shuffle = shuffle
        self.seed = seed
        self.drop_last = drop_last
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next, so that its order differs from the last one's."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        size = len(self.dataset)
        generator = Generator(self.seed)
        generator.set_state((self.seed, self.epoch << 32))
        order = permutation(size, generator) if self.shuffle else np.arange(size)
        return iter(np.resize(order, len(self) * self.num_replicas)[self.rank :: self.num_replicas].tolist())

    def __len__(self) -> int:
        size = len(self.dataset)
        return size // self.num_replicas if self.drop_last else -(-size // self.num_replicas)


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
