"""Python's garbage collector, and code that makes many objects that stay."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """No garbage collection inside the block.

    Graphs, programs and compilers are many objects that stay: looking for garbage among them again and again takes a
    fifth of a first call, and finds nothing. Afterwards they count as old, and are looked through when it is the turn
    of all that is old. Blocks may nest.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            if gc.get_freeze_count() == 0:
                gc.freeze()
                gc.unfreeze()
            gc.enable()
