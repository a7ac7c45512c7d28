"""Locks that a process forked meanwhile finds free: in it, the thread that held them does not exist."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

_locks: weakref.WeakSet[Any] = weakref.WeakSet()


def rlock() -> Any:
    """A ``threading.RLock``; after a fork it is still held where the forking thread held it itself."""
    return _remembered(threading.RLock())


def lock() -> Any:
    """A ``threading.Lock``; after a fork it is free."""
    return _remembered(threading.Lock())


def _remembered(made: Any) -> Any:
    if hasattr(made, "_at_fork_reinit"):  # what Python's own modules do to their locks
        _locks.add(made)
    return made


def _forked() -> None:
    for each in list(_locks):
        if not (hasattr(each, "_is_owned") and each._is_owned()):
            each._at_fork_reinit()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
