"""What a DataLoader reads from: anything with a length and items, or anything that can be iterated."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, SupportsIndex

import numpy as np

from graphflow.core.dtypes import as_dtype
from graphflow.core.errors import ShapeError
from graphflow.data.sampler import Seed, as_generator, permutation
from graphflow.tensor import Tensor


class Dataset(ABC):
    """Base of datasets with random access: a subclass defines ``__getitem__`` (one sample) and ``__len__``."""

    @abstractmethod
    def __getitem__(self, index: Any) -> Any: ...

    @abstractmethod
    def __len__(self) -> int: ...

    def __add__(self, other: Any) -> ConcatDataset:
        """One dataset behind the other."""
        return ConcatDataset([self, other])


class IterableDataset(ABC):
    """Base of datasets that are streams, read in their own order: a subclass defines ``__iter__``."""

    @abstractmethod
    def __iter__(self) -> Iterator[Any]: ...

    def __add__(self, other: Any) -> ChainDataset:
        """One stream after the other."""
        return ChainDataset([self, other])


class TensorDataset(Dataset):
    """Tensors or arrays of one length, row i of each being sample i. Arrays are not copied (they may be memory-mapped).

    >>> from graphflow import data
    >>> pairs = data.TensorDataset(np.zeros((5, 2), np.float32), np.arange(5))
    >>> len(pairs), [t.shape for t in pairs[3]], [t.shape for t in pairs[:4]]
    (5, [(2,), ()], [(4, 2), (4,)])
    """

    def __init__(self, *tensors: Tensor | np.ndarray) -> None:
        """Raises ShapeError where the lengths differ, ValueError for no tensor, DTypeError for a foreign dtype."""
        if not tensors:
            raise ValueError("TensorDataset needs at least one tensor")
        self.tensors = tensors
        # Batches are cut out of arrays, with one fancy index each: keep them as arrays from the start.
        self._arrays = [_native(np.asarray(t)) for t in tensors]
        if any(array.ndim == 0 or len(array) != len(self) for array in self._arrays):
            shapes = ", ".join(str(array.shape) for array in self._arrays)
            raise ShapeError(f"TensorDataset needs tensors of one length (first dimension), got shapes {shapes}")

    def __getitem__(self, index: SupportsIndex | slice) -> tuple[Tensor, ...]:
        return tuple(Tensor(np.asarray(array[index])) for array in self._arrays)

    def __len__(self) -> int:
        return len(self._arrays[0])

    def gather(self, indices: np.ndarray) -> tuple[Tensor, ...]:
        """The samples at these indices, stacked: what collating ``self[i]`` of each gives, in one step."""
        return tuple(Tensor(array.take(indices, axis=0)) for array in self._arrays)


def _native(array: np.ndarray) -> np.ndarray:
    """The array in native byte order; DTypeError if graphflow has no such dtype."""
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    as_dtype(array.dtype)
    return array


class Subset(Dataset):
    """The samples of a dataset at the given indices."""

    def __init__(self, dataset: Any, indices: Sequence[int] | np.ndarray) -> None:
        self.dataset = dataset
        self.indices = np.asarray(indices, dtype=np.int64)

    def __getitem__(self, index: SupportsIndex) -> Any:
        return self.dataset[int(self.indices[index])]

    def __len__(self) -> int:
        return len(self.indices)


class ConcatDataset(Dataset):
    """Several datasets, one behind the other.

    >>> from graphflow import data
    >>> both = data.ConcatDataset([range(3), range(10, 12)])
    >>> len(both), both[2], both[3], both[-1]
    (5, 2, 10, 11)
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset needs at least one dataset")
        if any(isinstance(d, IterableDataset) for d in self.datasets):
            raise TypeError("streams have no lengths: put them together with ChainDataset")
        self.cumulative_sizes = np.cumsum([len(d) for d in self.datasets]).tolist()

    def __getitem__(self, index: SupportsIndex) -> Any:
        i = int(index)
        i += len(self) if i < 0 else 0
        if not 0 <= i < len(self):
            raise IndexError(f"index {index} is out of range for {len(self)} samples")
        which = bisect_right(self.cumulative_sizes, i)
        return self.datasets[which][i - (self.cumulative_sizes[which - 1] if which else 0)]

    def __len__(self) -> int:
        return int(self.cumulative_sizes[-1])


class ChainDataset(IterableDataset):
    """Several streams, one after the other."""

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)

    def __iter__(self) -> Iterator[Any]:
        return chain.from_iterable(self.datasets)


class StackDataset(Dataset):
    """Several datasets side by side: sample i is the tuple (or dict, for datasets given by name) of their samples i.

    >>> from graphflow import data
    >>> data.StackDataset(range(3), "abc")[1], data.StackDataset(x=range(3), y="abc")[2]
    ((1, 'b'), {'x': 2, 'y': 'c'})
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if bool(args) == bool(kwargs):
            raise ValueError("StackDataset takes datasets by place or by name, not both, and at least one")
        self.datasets: Any = args or kwargs
        lengths = {len(d) for d in (args or kwargs.values())}
        if len(lengths) > 1:
            raise ShapeError(f"StackDataset needs datasets of one length, got {sorted(lengths)}")

    def __getitem__(self, index: SupportsIndex) -> Any:
        if isinstance(self.datasets, dict):
            return {name: d[index] for name, d in self.datasets.items()}
        return tuple(d[index] for d in self.datasets)

    def __len__(self) -> int:
        return len(next(iter(self.datasets.values())) if isinstance(self.datasets, dict) else self.datasets[0])


def random_split(dataset: Any, lengths: Sequence[int | float], generator: Seed = None) -> list[Subset]:
    """Split a dataset at random into parts of the given lengths, or fractions that sum to 1.

    ``generator`` is a seed or a ``gf.random.Generator``; None draws from ``gf.random``'s default one. Raises ValueError
    where the lengths do not add up to the whole dataset.

    >>> from graphflow import data
    >>> [len(part) for part in data.random_split(range(10), [0.75, 0.25], generator=0)]
    [8, 2]
    """
    total = len(dataset)
    if lengths and math.isclose(sum(lengths), 1.0) and all(0 <= length <= 1 for length in lengths):
        sizes = [math.floor(total * length) for length in lengths]
        for i in range(total - sum(sizes)):  # what rounding down left over goes to the first parts
            sizes[i % len(sizes)] += 1
    else:
        sizes = [int(length) for length in lengths]
        if sizes != list(lengths) or any(size < 0 for size in sizes) or sum(sizes) != total:
            raise ValueError(
                f"lengths must add up to the dataset's {total} samples, or be fractions of 1; got {lengths}"
            )
    order = permutation(total, as_generator(generator))
    return [Subset(dataset, part) for part in np.split(order, np.cumsum(sizes)[:-1])]
