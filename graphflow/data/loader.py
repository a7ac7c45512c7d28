"""The DataLoader: batches of a dataset, in order or shuffled, made here or by worker processes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import numpy as np

from graphflow.core.dispatch import init_scope
from graphflow.core.errors import StateError
from graphflow.data.dataset import IterableDataset
from graphflow.data.fetch import Fetcher
from graphflow.data.randomness import EpochKey
from graphflow.data.sampler import BatchSampler, RandomSampler, Seed, SequentialSampler, as_generator
from graphflow.ops.random import Generator as RandomGenerator

if TYPE_CHECKING:
    from graphflow.data.pool import WorkerPool

_PREFETCH = 2


class DataLoader:
    """Batches of a dataset: each pass over the loader is one epoch.

    dataset             has ``__getitem__`` and ``__len__``, or is an IterableDataset
    batch_size          samples in a batch; None gives them one by one
    shuffle             read in random order, a new one each epoch, which ``generator`` fixes: a seed or a
                        ``gf.random.Generator``; None draws from ``gf.random``'s default one
    sampler             gives the indices in place of that order; ``batch_sampler`` gives lists of them
    num_workers         processes that make batches ahead; 0 makes them here, when they are asked for
    collate_fn          makes a batch of a list of samples; the default stacks them to tensors
    drop_last           leave out a last batch that is shorter
    timeout             seconds to wait for a batch of the workers (0: for ever)
    worker_init_fn      called with its number in each worker, once
    prefetch_factor     batches that each worker makes ahead (2)
    persistent_workers  keep the workers from one epoch to the next; else each epoch starts new ones

    The order, and what transforms draw (from ``gf.data.sample_generator``), follow from the generator alone: they are
    the same for any number of workers. The global generators of Python, NumPy and GraphFlow are set in the workers, for
    each batch, to what does not depend on their number either. An exception in a worker is raised here, with the
    worker's traceback; a worker that was killed, or a timeout, raises WorkerError.
    ``state_dict()`` says how far the epoch is, ``load_state_dict`` goes on from there. Raises ValueError for options
    that contradict each other. (``pin_memory`` is there for PyTorch's sake; it changes nothing.)

    >>> from graphflow import data
    >>> pairs = data.TensorDataset(np.zeros((5, 2), np.float32), np.arange(5))
    >>> [(x.shape, y.shape) for x, y in data.DataLoader(pairs, batch_size=2, num_workers=2)]
    [((2, 2), (2,)), ((2, 2), (2,)), ((1, 2), (1,))]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[list[Any]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        multiprocessing_context: Any = None,
        generator: Seed = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
    ) -> None:
        self._is_stream = isinstance(dataset, IterableDataset)
        if not self._is_stream and not hasattr(dataset, "__getitem__"):
            raise TypeError(
                f"a dataset has __getitem__ and __len__, or is an IterableDataset; got a {type(dataset).__name__}"
                + (": list(...) makes a dataset of it" if isinstance(dataset, Iterable) else "")
            )
        _check_order(self._is_stream, batch_size, bool(shuffle), sampler, batch_sampler, drop_last)
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers)
        if multiprocessing_context is not None:
            from graphflow.data.pool import start_context

            start_context(multiprocessing_context)  # a wrong name is noticed here
        if sampler is None and not self._is_stream:
            sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        if batch_sampler is None and batch_size is not None and not self._is_stream:
            assert sampler is not None
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.dataset = dataset
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.num_workers = num_workers
        self.collate_fn = collate_fn
        self.pin_memory = pin_memory
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.generator = _generator_of(generator, sampler, batch_sampler)
        self.prefetch_factor = (prefetch_factor or _PREFETCH) if num_workers else None
        self.persistent_workers = persistent_workers
        self._pool: WorkerPool | None = None
        self._epoch = 0  # how many have begun
        self._given = 0  # batches that the one under way has given
        self._start: tuple[int, int] | None = None  # the generator's state when it began; None between epochs
        self._resumed = False

    # -- an epoch -----------------------------------------------------------------------------------------------------
    def __iter__(self) -> Iterator[Any]:
        resumed = self._begin()
        epoch, batches = self._epoch, self._batches(resumed)
        try:
            for batch in batches:
                if self._epoch == epoch:  # else a newer pass has begun, and that is the one that counts
                    self._given += 1
                yield batch
            if self._epoch == epoch:
                self._start, self._given = None, 0
        finally:
            batches.close()

    def _begin(self) -> bool:
        """Start the next epoch, or go on with the one of a loaded state; gives whether it is the latter."""
        if self._resumed:
            self._resumed = False
            return True
        self._epoch += 1
        self._given, self._start = 0, self.generator.get_state()
        return False

    def _batches(self, resumed: bool) -> Generator[Any, None, None]:
        assert self._start is not None
        key = EpochKey.of(self._start, self._epoch)
        fetcher = Fetcher(self.dataset, self.collate_fn, self.batch_size, self.drop_last)
        if self._is_stream:
            with self._workers(fetcher) as pool:
                yield from islice(pool.stream(key) if pool else fetcher.stream(key), self._given, None)
            return
        tasks = self._tasks(key, resumed)
        with self._workers(fetcher) as pool:
            yield from pool.map(tasks) if pool else (fetcher.batch(k, at, chosen) for k, _, at, chosen in tasks)

    def _tasks(self, key: EpochKey, resumed: bool) -> Iterator[tuple[EpochKey, int, int, Any]]:
        """(key, number of the batch, place of its first sample, indices) of each batch that is left."""
        skip, now = self._given, self.generator.get_state()
        if resumed and self._start is not None:
            self.generator.set_state(self._start)  # the order is drawn again
        with init_scope():
            order = iter(self.batch_sampler if self.batch_sampler is not None else self.sampler or ())
            passed, ahead = list(islice(order, skip)), list(islice(order, 1))
        if resumed:
            self.generator.set_state(now)  # what was drawn since then stays as it is
        single = self.batch_sampler is None
        position = len(passed) if single else sum(map(len, passed))
        for number, indices in enumerate(chain(ahead, order), skip):
            yield key, number, position, indices
            position += 1 if single else len(indices)

    @contextmanager
    def _workers(self, fetcher: Fetcher) -> Iterator[WorkerPool | None]:
        """The workers for one epoch; None without any."""
        if not self.num_workers:
            yield None
            return
        from graphflow.data.pool import WorkerPool  # here: multiprocessing takes a while to import

        pool = self._pool
        if pool is None or not pool.is_open:
            pool = WorkerPool(
                self.num_workers,
                fetcher,
                self.worker_init_fn,
                self.multiprocessing_context,
                self.prefetch_factor or _PREFETCH,
                self.timeout,
            )
        try:
            if self.persistent_workers:
                self._pool = pool
            yield pool
        finally:
            if not self.persistent_workers:
                pool.close()

    def __len__(self) -> int:
        """Batches in one epoch. TypeError for an IterableDataset without a length."""
        if self.batch_sampler is not None:
            return len(self.batch_sampler)  # type: ignore[arg-type]  # a sampler of the user's may have no length
        if self.batch_size is None:
            return len(self.dataset if self.sampler is None else self.sampler)  # type: ignore[arg-type]
        return len(BatchSampler(self.dataset, self.batch_size, self.drop_last))

    # -- going on where another process stopped -----------------------------------------------------------------------
    def state_dict(self) -> dict[str, Any]:
        """How far the data has been read: the epoch, the batches given, and the generator's state.

        Together with the random state of the program it fixes all that comes after. It is meant to be taken between two
        steps, inside or outside the loop over the loader.
        """
        return {
            "epoch": self._epoch,
            "batches": self._given,
            "start": None if self._start is None else list(self._start),
            "generator": list(self.generator.get_state()),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state: the next pass over the loader gives the batches that were left of that epoch.

        Raises StateError if it is no state of a DataLoader.
        """
        missing = {"epoch", "batches", "start", "generator"} - set(state)
        if missing:
            raise StateError(f"this is no state of a DataLoader: it has no {', '.join(sorted(missing))}")
        self._epoch, self._given = int(state["epoch"]), int(state["batches"])
        self._start = None if state["start"] is None else _pair(state["start"])
        self._resumed = self._start is not None
        self.generator.set_state(_pair(state["generator"]))


def _pair(state: Any) -> tuple[int, int]:
    seed, draws = state
    return int(seed), int(draws)


def _generator_of(given: Seed, sampler: Any, batch_sampler: Any) -> RandomGenerator:
    """The generator that decides the order: the sampler's own if it has one."""
    for owner in (sampler, batch_sampler, getattr(batch_sampler, "sampler", None)):
        found = getattr(owner, "generator", None)
        if isinstance(found, RandomGenerator):
            return found
    return as_generator(given)


def _check_order(
    is_stream: bool, batch_size: int | None, shuffle: bool, sampler: Any, batch_sampler: Any, drop_last: bool
) -> None:
    if is_stream and (shuffle or sampler is not None or batch_sampler is not None):
        raise ValueError("an IterableDataset sets its own order: leave out shuffle, sampler and batch_sampler")
    if sampler is not None and shuffle:
        raise ValueError("a sampler sets the order: leave out shuffle")
    if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
        raise ValueError("a batch_sampler makes the batches: leave out batch_size, shuffle, sampler and drop_last")
    if batch_size is None and drop_last:
        raise ValueError("with batch_size=None there are no batches: leave out drop_last")
    if batch_size is not None and not isinstance(batch_size, (int, np.integer)):
        raise TypeError(f"batch_size must be a whole number or None, got {batch_size!r}")
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")


def _check_workers(num_workers: int, timeout: float, prefetch_factor: int | None, persistent: bool) -> None:
    if num_workers < 0:
        raise ValueError(f"num_workers must not be negative, got {num_workers}; 0 loads in the program's own process")
    if timeout < 0:
        raise ValueError(f"timeout must not be negative, got {timeout}")
    if not num_workers and (prefetch_factor is not None or persistent):
        raise ValueError("prefetch_factor and persistent_workers need workers: set num_workers")
    if prefetch_factor is not None and prefetch_factor < 1:
        raise ValueError(f"prefetch_factor must be at least 1, got {prefetch_factor}")
