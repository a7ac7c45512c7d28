"""Making batches of a dataset: the same code in the program's own process and in workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import numpy as np

from graphflow.core.dispatch import init_scope
from graphflow.data.collate import default_collate, default_convert
from graphflow.data.dataset import Subset, TensorDataset
from graphflow.data.randomness import EpochKey, begin_sample, sampling
from graphflow.data.sampler import in_batches

Collate = Callable[[Any], Any]
_END = object()


class Fetcher:
    """Makes batches; what is random in them follows from the epoch's key and the samples' places in the epoch."""

    def __init__(self, dataset: Any, collate_fn: Collate | None, batch_size: int | None, drop_last: bool) -> None:
        self.dataset = dataset
        self.collate_fn = collate_fn
        self.batch_size = batch_size  # None: samples come one by one
        self.drop_last = drop_last

    # -- datasets with random access ----------------------------------------------------------------------------------
    def batch(self, key: EpochKey, position: int, indices: Any) -> Any:
        """The batch of the samples at ``indices`` (a list, or one index where samples come one by one)."""
        with init_scope(), sampling():
            if self.batch_size is None:
                begin_sample(key, position)
                return (self.collate_fn or default_convert)(self._item(indices))
            if self.collate_fn is None:
                rows = _rows(self.dataset, indices)
                if rows is not None:
                    return rows
            if hasattr(self.dataset, "__getitems__"):
                begin_sample(key, position)
                items = self.dataset.__getitems__(indices)
            else:
                items = []
                for place, index in enumerate(indices, position):
                    begin_sample(key, place)
                    items.append(self._item(index))
            return (self.collate_fn or default_collate)(items)

    def _item(self, index: Any) -> Any:
        try:
            return self.dataset[index]
        except Exception as error:
            note(error, f"while reading item {index!r} of {_named(self.dataset)}")
            raise

    # -- streams ------------------------------------------------------------------------------------------------------
    def stream(self, key: EpochKey, mine: Callable[[int], bool] = lambda number: True) -> Iterator[Any]:
        """The batches of a stream, those for whose number ``mine`` is true; the others are read and left out."""
        items = self._items(key)
        groups = items if self.batch_size is None else in_batches(items, self.batch_size, self.drop_last)
        collate = self.collate_fn or (default_convert if self.batch_size is None else default_collate)
        for number in count():
            with init_scope(), sampling():  # not around the yield: the caller's code is not part of it
                group: Any = next(groups, _END)
                if group is _END:
                    return
                if not mine(number):
                    continue
                batch = collate(group)
            yield batch

    def _items(self, key: EpochKey) -> Iterator[Any]:
        begin_sample(key, 0)
        stream = iter(self.dataset)
        for position in count():
            begin_sample(key, position)
            try:
                item = next(stream)
            except StopIteration:
                return
            except Exception as error:
                note(error, f"while reading item {position} of {_named(self.dataset)}")
                raise
            yield item


def _named(dataset: Any) -> str:
    return f"the dataset ({type(dataset).__name__})"


def note(error: BaseException, text: str) -> None:
    """Say with an exception where it happened (shown under its traceback; from Python 3.11 on)."""
    if hasattr(error, "add_note"):
        error.add_note(text)


def _rows(dataset: Any, indices: Any) -> Any:
    """The batch by one fancy index per tensor, for a TensorDataset or a Subset of one; None for any other dataset.

    Exact types: a subclass may have changed what a sample is.
    """
    if type(dataset) is Subset:
        return _rows(dataset.dataset, dataset.indices[np.asarray(indices)])
    if type(dataset) is TensorDataset:
        return dataset.gather(np.asarray(indices))
    return None
