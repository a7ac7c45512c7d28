"""The DataLoader: batches of a dataset, in order or shuffled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from graphflow.data.collate import default_collate
from graphflow.data.dataset import IterableDataset, Subset, TensorDataset
from graphflow.data.sampler import BatchSampler, RandomSampler, Seed, SequentialSampler, in_batches


class DataLoader:
    """Batches of a dataset: each pass over the loader is one epoch.

    ``dataset`` has ``__getitem__`` and ``__len__``, or is an IterableDataset. ``shuffle`` reads it in random order, a
    new one each epoch, which ``generator`` fixes: a seed or a ``gf.random.Generator``; None draws from ``gf.random``'s
    default one. ``sampler`` (gives indices) or ``batch_sampler`` (gives lists of indices) replace that order.
    ``collate_fn`` makes a batch of a list of samples; the default stacks them to tensors.
    Raises ValueError for options that contradict each other.

    >>> from graphflow import data
    >>> pairs = data.TensorDataset(np.zeros((5, 2), np.float32), np.arange(5))
    >>> [(x.shape, y.shape) for x, y in data.DataLoader(pairs, batch_size=2)]
    [((2, 2), (2,)), ((2, 2), (2,)), ((1, 2), (1,))]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        sampler: Iterable[int] | None = None,
        batch_sampler: Iterable[list[int]] | None = None,
        *,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        drop_last: bool = False,
        generator: Seed = None,
    ) -> None:
        is_stream = isinstance(dataset, IterableDataset)
        if is_stream and (shuffle or sampler is not None or batch_sampler is not None):
            raise ValueError("an IterableDataset sets its own order: leave out shuffle, sampler and batch_sampler")
        if sampler is not None and shuffle:
            raise ValueError("a sampler sets the order: leave out shuffle")
        if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
            raise ValueError("a batch_sampler makes the batches: leave out batch_size, shuffle, sampler and drop_last")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if batch_sampler is None and not is_stream:
            if sampler is None:
                sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.dataset = dataset
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.collate_fn = collate_fn

    def __iter__(self) -> Iterator[Any]:
        if self.batch_sampler is None:
            collate = self.collate_fn or default_collate
            return map(collate, in_batches(self.dataset, self.batch_size, self.drop_last))
        return map(self._load, self.batch_sampler)

    def __len__(self) -> int:
        """Batches in one epoch. TypeError for an IterableDataset without a length."""
        if self.batch_sampler is None:
            return len(BatchSampler(self.dataset, self.batch_size, self.drop_last))
        return len(self.batch_sampler)  # type: ignore[arg-type]  # a sampler of the user's may have no length: TypeError

    def _load(self, indices: list[int]) -> Any:
        if self.collate_fn is None:
            rows = _rows(self.dataset, np.asarray(indices))
            if rows is not None:
                return rows
        return (self.collate_fn or default_collate)([self.dataset[i] for i in indices])


def _rows(dataset: Any, indices: np.ndarray) -> Any:
    """The batch by one fancy index per tensor, for a TensorDataset or a Subset of one; None for any other dataset.

    Exact types: a subclass may have changed what a sample is.
    """
    if type(dataset) is Subset:
        return _rows(dataset.dataset, dataset.indices[indices])
    if type(dataset) is TensorDataset:
        return dataset.gather(indices)
    return None
