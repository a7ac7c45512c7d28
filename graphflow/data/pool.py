"""The program's side of a DataLoader's workers: starting them, giving them tasks, noticing when one is gone."""

from __future__ import annotations

import multiprocessing
import os
import selectors
import signal
import sys
import time
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import Any

from graphflow.core.errors import WorkerError
from graphflow.data.fetch import Fetcher
from graphflow.data.transport import receive
from graphflow.data.worker import Failure, Job, Task, run

_GRACE = 1.0  # seconds that a worker has to finish what it is at when the program is done with it


class _RemoteTraceback(Exception):
    """How an exception looked in the worker; it is printed above the exception itself."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class _Process:
    """One worker: its process, the pipe to it, and the tasks that it has not answered."""

    def __init__(self, process: Any, connection: Connection) -> None:
        self.process = process
        self.connection = connection
        self.tasks: deque[Task] = deque()
        self.end: str | None = None  # what is known of a worker that is gone


class WorkerPool:
    """Worker processes that make batches; results come in the order of the tasks."""

    def __init__(
        self,
        num_workers: int,
        fetcher: Fetcher,
        worker_init_fn: Callable[[int], Any] | None,
        context: Any,
        prefetch_factor: int,
        timeout: float,
    ) -> None:
        self.timeout = timeout
        self.prefetch = prefetch_factor
        self._results: dict[int, Any] = {}
        self._dropped: set[int] = set()  # tasks whose results nobody waits for any more
        self._count = 0
        self.epochs = 0
        chosen = start_context(context)
        self._workers: list[_Process] = []
        self._finalizer = weakref.finalize(self, _close, self._workers, os.getpid())
        with _starting():
            for worker in range(num_workers):
                job = Job(worker, num_workers, fetcher, worker_init_fn)
                self._workers.append(_start(chosen, job))
        self._selector = _selector(self._workers)

    def close(self) -> None:
        """End the workers. A worker that does not end by itself within a second is killed."""
        self._finalizer()

    @property
    def is_open(self) -> bool:
        """Whether there are workers to ask (a failure ends them all)."""
        return self._finalizer.alive

    # -- tasks --------------------------------------------------------------------------------------------------------
    def map(self, tasks: Iterable[tuple[Any, int, int, Any]]) -> Iterator[Any]:
        """The batches of (key, batch, position, indices), each made by the worker with the fewest tasks waiting."""
        waiting = iter(tasks)
        numbers: deque[int] = deque()
        epoch = self._new_epoch()
        try:
            while True:
                while len(numbers) < self.prefetch * len(self._workers):
                    task = next(waiting, None)
                    if task is None:
                        break
                    key, batch, position, indices = task
                    least = min(self._workers, key=lambda worker: len(worker.tasks))
                    numbers.append(self._ask(least, Task(self._number(), epoch, key, batch, position, indices)))
                if not numbers:
                    return
                (batch,) = self._result(numbers)
                yield batch
        finally:
            self._drop(numbers)

    def stream(self, key: Any) -> Iterator[Any]:
        """The batches of a stream: the workers take turns, until each has come to its end."""
        active = deque(self._workers)
        numbers: deque[int] = deque()
        asked: dict[int, _Process] = {}
        epoch, batches = self._new_epoch(), 0
        try:
            while active or numbers:
                while active and len(numbers) < self.prefetch * len(self._workers):
                    worker = active[0]
                    active.rotate(-1)
                    number = self._ask(worker, Task(self._number(), epoch, key, batches))
                    numbers.append(number)
                    asked[number] = worker
                    batches += 1
                worker = asked.pop(numbers[0])
                result = self._result(numbers)
                if result is not None:
                    yield result[0]
                elif worker in active:
                    active.remove(worker)
        finally:
            self._drop(numbers)

    def _new_epoch(self) -> int:
        self.epochs += 1
        return self.epochs

    def _number(self) -> int:
        self._count += 1
        return self._count

    def _ask(self, worker: _Process, task: Task) -> int:
        worker.tasks.append(task)
        try:
            worker.connection.send(task)
        except OSError:
            self._gone(worker)
        return task.number

    def _drop(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            if self._results.pop(number, None) is None:
                self._dropped.add(number)

    # -- results ------------------------------------------------------------------------------------------------------
    def _result(self, numbers: deque[int]) -> Any:
        """The result of the first of the tasks, which is taken off them."""
        deadline = time.monotonic() + self.timeout if self.timeout else None
        while numbers[0] not in self._results:
            self._receive(deadline)
        result = self._results.pop(numbers.popleft())
        if isinstance(result, WorkerError):
            self.close()
            raise result
        if isinstance(result, Failure):
            _raise(result)
        return result

    def _receive(self, deadline: float | None) -> None:
        """Take in what has come; wait if nothing has."""
        left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
        ready = self._wait(left)
        if not ready:
            raise WorkerError(
                f"the DataLoader's workers gave no batch within timeout={self.timeout:g} seconds; "
                + "; ".join(f"worker {i} has {len(w.tasks)} to make" for i, w in enumerate(self._workers))
            )
        for worker in ready:
            try:
                number, result = receive(worker.connection)
            except (EOFError, OSError):
                self._gone(worker)
                continue
            worker.tasks.popleft()  # a worker answers in the order in which it is asked
            self._keep(number, result)

    def _wait(self, timeout: float | None) -> list[_Process]:
        """The workers that have sent something, or are gone."""
        if self._selector is None:
            busy = {worker.connection: worker for worker in self._workers if worker.tasks}
            return [busy[connection] for connection in wait(list(busy), timeout)]  # type: ignore[index]
        return [key.data for key, _ in self._selector.select(timeout)]

    def _keep(self, number: int, result: Any) -> None:
        if number in self._dropped:
            self._dropped.remove(number)
        else:
            self._results[number] = result

    def _gone(self, worker: _Process) -> None:
        """A worker has ended by itself: that is the result of what it was to make. What came before is given."""
        if worker.end is None:
            if self._selector is not None:
                self._selector.unregister(worker.connection)
            worker.process.join(_GRACE)
            who = f"worker {self._workers.index(worker)} of the DataLoader (process {worker.process.pid})"
            worker.end = f"{who} {_how_it_ended(worker.process.exitcode)}"
            if worker.tasks:
                task = worker.tasks[0]
                worker.end += f" while it made batch {task.batch}"
                worker.end += f" (items {_shortened(task.indices)})" if task.indices is not None else ""
        while worker.tasks:
            self._keep(worker.tasks.popleft().number, WorkerError(worker.end))


def _how_it_ended(code: int | None) -> str:
    if code is None:
        return "does not answer any more"
    if code >= 0:
        return f"ended with exit code {code}"
    hint = ": often the system is out of memory" if code == -signal.SIGKILL else ""
    return f"was killed by signal {-code} ({signal.Signals(-code).name}){hint}"


def _shortened(indices: Any) -> str:
    text = str(indices)
    return text if len(text) <= 80 else f"{text[:70]} ...]"


def _raise(result: Failure) -> None:
    """The worker's exception, as itself where it could be sent, with the worker's traceback above it."""
    if result.error is None:
        raise WorkerError(f"an exception {result.text}")
    raise result.error from _RemoteTraceback(result.text)


# -- processes --------------------------------------------------------------------------------------------------------
def start_context(context: Any) -> Any:
    """How processes are started: as given, else by fork on Linux (nothing needs to be pickled), else the default."""
    if context is None:
        return multiprocessing.get_context("fork" if sys.platform == "linux" else None)
    if isinstance(context, str):
        if context not in multiprocessing.get_all_start_methods():
            known = ", ".join(multiprocessing.get_all_start_methods())
            raise ValueError(f"multiprocessing_context is one of {known}; got {context!r}")
        return multiprocessing.get_context(context)
    return context


# The program's ends of all pipes. A forked worker closes its copies: only the program may hold them, so that each
# worker reads the end of its pipe when the program closes it or is gone.
_ends: weakref.WeakSet[Connection] = weakref.WeakSet()


def _start(context: Any, job: Job) -> _Process:
    ours, theirs = context.Pipe()
    _ends.add(ours)
    inherited = [end for end in _ends if not end.closed] if context.get_start_method() == "fork" else []
    process = context.Process(target=run, args=(job, theirs, inherited), name=f"DataLoader-{job.worker}", daemon=True)
    process.start()
    theirs.close()  # the worker has the only one, so that reading fails when it is gone
    return _Process(process, ours)


def _selector(workers: list[_Process]) -> selectors.BaseSelector | None:
    """Waits for all workers, quicker than ``wait``; None on Windows, whose pipes are no files."""
    if os.name != "posix":
        return None
    selector = selectors.DefaultSelector()
    for worker in workers:
        selector.register(worker.connection, selectors.EVENT_READ, worker)
    return selector


@contextmanager
def _starting() -> Iterator[None]:
    """Ctrl-C waits until new workers can ignore it; Python's warning about forking with threads is not for our users.

    (Only the forked thread goes on in a worker. Those of GraphFlow sit in native code, hold no locks, and are not used
    there.)
    """
    blocks = hasattr(signal, "pthread_sigmask")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT]) if blocks else set()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*fork.*", DeprecationWarning)
            yield
    finally:
        if blocks:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _close(workers: list[_Process], owner: int) -> None:
    if os.getpid() != owner:  # a forked process that inherited the pool: the workers are not its own
        return
    for worker in workers:
        worker.connection.close()
    deadline = time.monotonic() + _GRACE
    for worker in workers:
        worker.process.join(max(deadline - time.monotonic(), 0.0))
    for end in ("terminate", "kill"):
        alive = [worker.process for worker in workers if worker.process.is_alive()]
        for process in alive:
            getattr(process, end)()
        for process in alive:
            process.join(_GRACE)
    workers.clear()
