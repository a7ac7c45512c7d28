"""A process forked while another thread runs programs can run them, too."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from collections.abc import Callable

import numpy as np
import pytest

import graphflow as gf
from graphflow.core import locks
from graphflow.runtime.build import RUN_LOCK

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
SECONDS = 20  # a child that takes longer waits for a lock that nobody will release


def succeeds_in_child(work: Callable[[], bool]) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of forking with threads at all
        child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if work() else 1
        finally:
            os._exit(status)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status == 0
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def test_a_child_runs_what_another_thread_was_running() -> None:
    v = gf.Variable(np.zeros(4, np.float32))

    @gf.compile
    def add(x: gf.Tensor) -> gf.Tensor:
        return v.assign_add(x) * 1

    ones = gf.ones(4)
    add(ones)
    held, release = threading.Event(), threading.Event()
    (trace,) = add._traces

    def hold() -> None:
        with RUN_LOCK, trace.executable._lock, add._lock:
            held.set()
            release.wait(SECONDS)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert held.wait(SECONDS)
        assert succeeds_in_child(lambda: add(ones).numpy().tolist() == [2.0] * 4)
    finally:
        release.set()
        thread.join()
    assert add(ones).numpy().tolist() == [2.0] * 4  # the parent's locks are as they were


def test_a_lock_that_the_forking_thread_holds_stays_held() -> None:
    own, free = locks.rlock(), locks.lock()

    def still_held() -> bool:
        other: list[bool] = []
        thread = threading.Thread(target=lambda: other.append(own.acquire(blocking=False)))
        thread.start()
        thread.join()
        own.release()
        return other == [False] and free.acquire(blocking=False)

    with own:
        assert succeeds_in_child(still_held)
    assert free.acquire(blocking=False)
