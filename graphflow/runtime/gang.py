"""Running programs: on the calling thread, or with a gang of worker threads.

The workers are Python daemon threads that sit inside native code (`graphflow.runtime.driver`) from their start to
their end. Between programs they spin for some tens of microseconds and then sleep, at no cost. The process has one
gang; a program that finds it busy with another thread's program runs on its own thread alone, and gives the same bits.

``run_program`` takes a program's address; `graphflow.runtime.native.NativeProgram` makes programs.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import threading
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from graphflow.codegen.host import default_num_threads, num_cpus
from graphflow.runtime import block

MINIMUM_SCRATCH = 64 * 1024
MAXIMUM_THREADS = 256
_LARGE = 1 << 20
_PAGE = 4096
_SPINS = 200
"""How often a thread that waits looks before it offers its CPU to others: some 5 us. Longer would cost as much again
for every barrier whenever two threads of the gang meet on one CPU."""
_START_SECONDS = 10.0

_num_threads: int | None = None


def get_num_threads() -> int:
    """The number of threads a program may use: GRAPHFLOW_NUM_THREADS, or the CPUs of this process, unless set.

    >>> get_num_threads() >= 1
    True
    """
    return default_num_threads() if _num_threads is None else _num_threads


def set_num_threads(count: int | None) -> None:
    """Set the number of threads a program may use; None for the default. ValueError unless it is 1 to 256.

    >>> set_num_threads(2); get_num_threads()
    2
    >>> set_num_threads(None)
    """
    global _num_threads
    if count is not None and not 1 <= count <= MAXIMUM_THREADS:
        raise ValueError(f"the number of threads must be 1 to {MAXIMUM_THREADS}, got {count!r}")
    _num_threads = count


def aligned_empty(nbytes: int, alignment: int = 64) -> np.ndarray:
    """Uninitialised memory: a uint8 array of `nbytes` that starts at a cache line, from 1 MiB on at a page.

    >>> aligned_empty(1000).ctypes.data % 64
    0
    """
    if nbytes >= _LARGE:
        alignment = max(alignment, _PAGE)
    whole = np.empty(nbytes + alignment, np.uint8)
    start = -whole.ctypes.data % alignment
    return whole[start : start + nbytes]


class _Scratch(threading.local):
    """The scratch memory of each thread that calls programs."""

    size = 0
    address = 0

    def grow(self, nbytes: int) -> int:
        """Make it at least `nbytes`; the new address."""
        self.size = max(nbytes, 2 * self.size, MINIMUM_SCRATCH)
        self.memory = aligned_empty(self.size)
        self.address = self.memory.ctypes.data
        return self.address


class _Driver:
    """The driver's functions as ctypes functions of integers, compiled or loaded at first use.

    Those called ``brief`` keep Python's lock, which is faster to call, the others release it.
    """

    def __init__(self) -> None:
        self.addresses: dict[str, int] = {}

    def __getattr__(self, name: str) -> Any:
        kind, brief = name.removeprefix("brief_"), name.startswith("brief_")
        if kind not in self.addresses:
            from graphflow.codegen.jit import compile_units
            from graphflow.runtime import driver

            unit = getattr(driver, kind.upper())
            self.addresses[kind] = compile_units([unit])[unit.key]
        word = ctypes.c_size_t
        signature = (word, word, word, word, word) if kind == "launch" else (None, word, word)
        make = ctypes.PYFUNCTYPE if brief else ctypes.CFUNCTYPE
        function = self.__dict__[name] = make(*signature)(self.addresses[kind])
        return function


class _Gang:
    """Worker threads, and the control block through which the driver calls them."""

    def __init__(self) -> None:
        self._block = aligned_empty(block.WORD * (block.SLOTS + block.SLOT * MAXIMUM_THREADS), 128).view(np.int64)
        self._block[:] = 0
        self._block[block.CPUS] = num_cpus()
        self._block[block.SPIN_LIMIT] = _SPINS
        self.address: int = self._block.ctypes.data
        self.workers = 0
        self.scratch_bytes = 0
        self._most = MAXIMUM_THREADS - 1
        self._scratch: list[np.ndarray] = []
        self._threads: list[threading.Thread] = []

    def grow(self, workers: int, scratch_bytes: int) -> None:
        """Have at least so many workers, each with so much scratch memory; fewer where the system gives no more."""
        workers = max(self.workers, min(workers, self._most))
        if scratch_bytes > self.scratch_bytes:
            self.scratch_bytes = max(scratch_bytes, 2 * self.scratch_bytes)
            for thread in range(1, self.workers + 1):
                self._give_scratch(thread)
        while self.workers < workers:
            self._give_scratch(self.workers + 1)
            if not self._start(self.workers + 1):
                self._most = self.workers
                return
            self.workers += 1
            self._block[block.WORKERS] = self.workers

    def _slot(self, thread: int) -> int:
        return block.SLOTS + block.SLOT * thread

    def _give_scratch(self, thread: int) -> None:
        """A worker's scratch memory. What it had before stays: a program under way may be using it."""
        self._scratch.append(aligned_empty(self.scratch_bytes))
        self._block[self._slot(thread) + block.SCRATCH] = self._scratch[-1].ctypes.data

    def _start(self, thread: int) -> bool:
        """Start a worker; whether there is one now."""
        arguments = (self.address, thread)
        worker = threading.Thread(target=_driver.worker, args=arguments, name=f"graphflow-{thread}", daemon=True)
        try:
            worker.start()
        except RuntimeError:  # no more threads to be had
            return False
        self._threads.append(worker)
        # A caller that keeps Python's lock waits for ever for a worker that still needs it to get into native code.
        deadline = time.monotonic() + _START_SECONDS
        while not self._block[self._slot(thread) + block.READY]:
            if time.monotonic() > deadline:
                return False
            time.sleep(0)
        return True

    def stop(self) -> None:
        """End the workers, unless another thread has them at work for longer than a second."""
        deadline = time.monotonic() + 1.0
        while self.workers and not _driver.launch(self.address, 0, MAXIMUM_THREADS, 0):
            if time.monotonic() > deadline:
                return
            time.sleep(0.001)
        self.workers = 0
        for thread in self._threads:
            thread.join(1.0)


_scratch = _Scratch()
_driver = _Driver()
_gang: _Gang | None = None
_gang_lock = threading.Lock()
_exiting = False


def single(brief: bool) -> Any:
    """The function ``single(program, scratch)``: a program on the calling thread, with Python's lock or without."""
    return _driver.brief_single if brief else _driver.single


def run_program(program: int, nthreads: int = 1, scratch_bytes: int = MINIMUM_SCRATCH, brief: bool = False) -> None:
    """Run the program whose header lies at the address `program`, with up to `nthreads` threads.

    Each thread gets `scratch_bytes` of scratch memory. With `brief`, Python's lock is kept.
    """
    scratch = _scratch
    memory = scratch.address if scratch.size >= scratch_bytes else scratch.grow(scratch_bytes)
    if nthreads > 1:
        gang = _gang
        if gang is None or gang.workers < nthreads - 1 or gang.scratch_bytes < scratch_bytes:
            gang = _grown(nthreads - 1, scratch_bytes)
        if gang.workers:
            if brief:
                _driver.brief_launch(gang.address, program, nthreads, memory)
            else:
                _driver.launch(gang.address, program, nthreads, memory)
            return
    if brief:
        _driver.brief_single(program, memory)
    else:
        _driver.single(program, memory)


def _grown(workers: int, scratch_bytes: int) -> _Gang:
    """The gang, with as many workers as it can get; with none while the interpreter exits."""
    global _gang
    with _gang_lock:
        if _gang is None:
            _gang = _Gang()
        if not _exiting:
            _gang.grow(workers, scratch_bytes)
        return _gang


def functions(nthreads: int) -> tuple[str, ...]:
    """The driver's functions that programs with so many threads need."""
    return ("single",) if nthreads == 1 else ("single", "launch", "worker")


def units(nthreads: int) -> list[Any]:
    """These functions' units, to be compiled together with a program's kernels."""
    from graphflow.runtime import driver

    return [getattr(driver, name.upper()) for name in functions(nthreads)]


def adopt(addresses: Mapping[str, int]) -> None:
    """Use functions of the driver that are in memory already, unless there are others."""
    for name, address in addresses.items():
        _driver.addresses.setdefault(name, address)


def _stop_at_exit() -> None:
    global _exiting
    _exiting = True
    if _gang is not None:
        _gang.stop()


def _forked() -> None:
    """In a child process: the workers stayed behind in the parent."""
    global _gang, _gang_lock
    _gang = None
    _gang_lock = threading.Lock()


atexit.register(_stop_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
