"""What a DataLoader's worker process does: it makes the batches that it is asked for until nobody asks any more."""

from __future__ import annotations

import os
import pickle
import random
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from graphflow.data.fetch import Fetcher
from graphflow.data.randomness import EpochKey
from graphflow.ops.random import default_generator

if TYPE_CHECKING:
    from multiprocessing.connection import Connection


class Task(NamedTuple):
    """One batch to make."""

    number: int  # its place among all that the pool is asked for
    epoch: int  # which pass over a stream it belongs to
    key: EpochKey
    batch: int  # its place in the epoch
    position: int = 0  # the place of its first sample in the epoch
    indices: Any = None  # None: the next batch of the stream


class Failure(NamedTuple):
    """An exception in a worker: itself if it can be pickled, and how it looked there."""

    error: BaseException | None
    text: str


class WorkerInfo:
    """What ``get_worker_info`` gives: the worker's number, how many there are, its seed and its copy of the dataset."""

    def __init__(self, id: int, num_workers: int, dataset: Any, seed: int = 0) -> None:
        self.id = id
        self.num_workers = num_workers
        self.dataset = dataset
        self.seed = seed
        self.asked = False  # whether the dataset divides itself among the workers

    def __repr__(self) -> str:
        return f"WorkerInfo(id={self.id}, num_workers={self.num_workers}, seed={self.seed})"


_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """In a DataLoader's worker process: which one it is. None in the program's own process.

    An IterableDataset that asks while it is read is taken to divide itself: it gives each worker another part. One that
    does not ask is divided by the DataLoader: each worker reads it all and makes every n-th batch.
    """
    if _info is not None:
        _info.asked = True
    return _info


class Job(NamedTuple):
    """What a worker needs to begin."""

    worker: int
    num_workers: int
    fetcher: Fetcher
    worker_init_fn: Callable[[int], Any] | None


def run(job: Job, connection: Connection, inherited: Sequence[Connection]) -> None:
    """The life of a worker process."""
    from graphflow.data.transport import send

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the program, which then ends its workers
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    for end in inherited:
        end.close()
    _stand_back()
    worker = _Worker(job)
    try:
        while (task := connection.recv()) is not None:
            send(connection, (task.number, worker.make(task)))
    except (EOFError, OSError):  # the program has closed its end, or is gone
        pass


def _stand_back() -> None:
    """Leave the CPUs to the program: compute on one, and do not take it from the program when a new task comes."""
    from graphflow.runtime.gang import set_num_threads

    set_num_threads(1)
    if hasattr(os, "SCHED_BATCH"):  # Linux: waking up is no reason to go first; the share of time stays the same
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


class _Worker:
    def __init__(self, job: Job) -> None:
        global _info
        self.job = job
        self.info = _info = WorkerInfo(job.worker, job.num_workers, job.fetcher.dataset)
        self.streams: dict[int, Iterator[Any]] = {}
        self.failed: Failure | None = None
        if job.worker_init_fn is not None:
            try:
                job.worker_init_fn(job.worker)
            except Exception as error:
                self.failed = failure(error, f"in worker_init_fn of worker {job.worker}")

    def make(self, task: Task) -> Any:
        """The batch; None at the end of a stream; a Failure."""
        if self.failed is not None:
            return self.failed
        self._seed(task)
        try:
            if task.indices is not None:
                return (self.job.fetcher.batch(task.key, task.position, task.indices),)
            return self._next(task)
        except Exception as error:
            return failure(error, f"in worker {self.job.worker} (process {os.getpid()}), batch {task.batch}")

    def _next(self, task: Task) -> Any:
        for epoch in [e for e in self.streams if e < task.epoch - 1]:  # those that nobody goes on reading
            del self.streams[epoch]
        stream = self.streams.get(task.epoch)
        if stream is None:
            self.info.asked = False
            stream = self.streams[task.epoch] = self.job.fetcher.stream(task.key, self._mine)
        for batch in stream:
            return (batch,)
        return None

    def _mine(self, number: int) -> bool:
        return self.info.asked or number % self.job.num_workers == self.job.worker

    def _seed(self, task: Task) -> None:
        """The global generators, by the batch alone: what they give does not depend on the number of workers."""
        seed = task.key.worker_seed(task.batch)
        self.info.seed = seed
        random.seed(seed)
        np.random.seed(seed)
        default_generator.seed(seed)


def failure(error: Exception, where: str) -> Failure:
    """What is sent of an exception."""
    notes = "".join(f"\n{note}" for note in getattr(error, "__notes__", ()))
    text = f"{where}:{notes}\n{''.join(traceback.format_exception(error))}"
    try:
        again = pickle.loads(pickle.dumps(error))
        return Failure(again if type(again) is type(error) else None, text)
    except Exception:  # of a class that cannot be pickled, or cannot be made from its arguments
        return Failure(None, text)
