"""Memory of large results, used again.

The C library gives large blocks back to the system when they are freed. A new one comes page by page, and the system
clears each when it is first touched: a tenth of the time of an eager step that makes many large results. So the memory
of a result that nobody looks at any more is kept for the next one of its size.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np

KEPT_BYTES = 256 << 20
"""How much is kept; what is freed beyond that goes back to the C library."""
STEPS = 8
"""Sizes of blocks between two powers of two: at most an eighth of a block is left over."""
_PAGE = 4096

_free: dict[int, list[np.ndarray[Any, Any]]] = {}


class Block:
    """What an array rests on, and all its views with it. When they have died, so does it, and its memory is free."""

    base = None  # it is no view
    memory: np.ndarray[Any, Any]


def block_array(shape: tuple[int, ...], dtype: Any, nbytes: int) -> np.ndarray[Any, Any]:
    """An uninitialised array of ``nbytes`` bytes that starts at a page.

    >>> block_array((512, 1024), np.float32, 4 * 512 * 1024).ctypes.data % 4096
    0
    """
    size = _rounded(nbytes)
    try:
        memory = _free[size].pop()
    except LookupError:  # of this size there are none
        memory = np.empty(size + _PAGE, np.uint8)
    address = memory.ctypes.data
    block = _kind(size).from_address(address + -address % _PAGE)
    block.memory = memory
    return np.ndarray(shape, dtype, block)


def kept_bytes() -> int:
    """How much memory waits for a new use."""
    return sum(size * len(blocks) for size, blocks in list(_free.items()))


def release_blocks() -> None:
    """Give back what is kept."""
    _free.clear()


def _rounded(nbytes: int) -> int:
    step = max(1 << max((nbytes - 1).bit_length() - 1, 0), STEPS) // STEPS
    return -(-nbytes // step) * step


@cache
def _kind(size: int) -> Any:
    """Blocks of one size."""

    def __del__(block: Any) -> None:
        # Without a lock: this may run in the middle of anything, on any thread.
        if kept_bytes() + size <= KEPT_BYTES:
            _free.setdefault(size, []).append(block.memory)

    return type("Block", (Block, ctypes.c_char * size), {"__del__": __del__})
