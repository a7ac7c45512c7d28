"""Memory planning: places temporary buffers in one arena so that buffers alive at the same time do not overlap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

ALIGNMENT = 64  # a cache line, and the widest vector


class Lifetime(NamedTuple):
    """Bytes needed from the first kernel that writes a buffer to the last that touches it (inclusive)."""

    size: int
    first: int
    last: int


def place(lifetimes: Sequence[Lifetime]) -> tuple[list[int], int]:
    """Offsets for the buffers and the size of the arena: largest first, each at the lowest offset that is free.

    >>> place([Lifetime(100, 0, 1), Lifetime(60, 2, 3), Lifetime(40, 1, 2)])
    ([0, 0, 128], 192)
    """
    order = sorted(range(len(lifetimes)), key=lambda i: (-lifetimes[i].size, lifetimes[i].first))
    offsets = [0] * len(lifetimes)
    placed: list[int] = []
    total = 0
    for i in order:
        size, first, last = lifetimes[i]
        taken = sorted(
            (offsets[j], offsets[j] + _padded(lifetimes[j].size))
            for j in placed
            if not (lifetimes[j].last < first or lifetimes[j].first > last)
        )
        at = 0
        for start, stop in taken:
            if at + size <= start:
                break
            at = max(at, stop)
        offsets[i] = at
        total = max(total, at + _padded(size))
        placed.append(i)
    return offsets, total


def _padded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
