"""Memory planning: places temporary buffers in one arena so that buffers alive at the same time do not overlap.

Where a kernel reads a buffer for the last time, what it writes may take the buffer's place (``successors``).
"""

from __future__ import annotations

from bisect import bisect, insort
from collections.abc import Callable, Sequence, Set
from heapq import heappop, heappush
from typing import Any, NamedTuple

from graphflow.core.dims import product
from graphflow.schedule.kernels import (
    Access,
    Buffer,
    Indirect,
    LibraryKernel,
    Load,
    LoopKernel,
    Program,
    Reduce,
    computed_from,
)
from graphflow.schedule.marks import behind, spans

ALIGNMENT = 64  # a cache line, and the widest vector
MANY = 1000  # buffers for which the search for the best place would take long


class Lifetime(NamedTuple):
    """Bytes needed from the first kernel that writes a buffer to the last that touches it (inclusive)."""

    size: int
    first: int
    last: int


def place(lifetimes: Sequence[Lifetime]) -> tuple[list[int], int]:
    """Offsets for the buffers and the size of the arena.

    >>> place([Lifetime(100, 0, 1), Lifetime(60, 2, 3), Lifetime(40, 1, 2)])
    ([0, 0, 128], 192)
    """
    return _largest_first(lifetimes) if len(lifetimes) <= MANY else _in_order(lifetimes)


def _largest_first(lifetimes: Sequence[Lifetime]) -> tuple[list[int], int]:
    """Each at the lowest offset that is free for its lifetime: close to the least possible, in quadratic time."""
    offsets = [0] * len(lifetimes)
    placed: list[tuple[int, int, int, int]] = []  # start, stop, first, last, by start
    total = 0
    for i in sorted(range(len(lifetimes)), key=lambda i: (-lifetimes[i].size, lifetimes[i].first)):
        size, first, last = lifetimes[i]
        at = 0
        for start, stop, begin, end in placed:
            if end < first or begin > last:
                continue
            if at + size <= start:
                break
            at = max(at, stop)
        offsets[i] = at
        insort(placed, (at, at + _padded(size), first, last))
        total = max(total, at + _padded(size))
    return offsets, total


def _in_order(lifetimes: Sequence[Lifetime]) -> tuple[list[int], int]:
    """Each in the smallest gap that is free when it begins, as an allocator would do it: some per cent more."""
    offsets = [0] * len(lifetimes)
    living: list[tuple[int, int, int]] = []  # last, offset, size: a heap
    gaps: list[tuple[int, int]] = []  # offset, size, by offset; those that touch are one
    total = 0
    for i in sorted(range(len(lifetimes)), key=lambda i: (lifetimes[i].first, -lifetimes[i].size)):
        size = max(_padded(lifetimes[i].size), ALIGNMENT)
        while living and living[0][0] < lifetimes[i].first:
            _free(gaps, *heappop(living)[1:])
        fitting = [gap for gap in gaps if gap[1] >= size]
        if fitting:
            gap = min(fitting, key=lambda g: g[1])
            gaps.remove(gap)
        else:
            ends_last = bool(gaps) and sum(gaps[-1]) == total
            gap = (gaps.pop()[0], size) if ends_last else (total, size)
            total = gap[0] + size
        if gap[1] > size:
            insort(gaps, (gap[0] + size, gap[1] - size))
        offsets[i] = gap[0]
        heappush(living, (lifetimes[i].last, gap[0], size))
    return offsets, total


def _free(gaps: list[tuple[int, int]], offset: int, size: int) -> None:
    at = bisect(gaps, (offset, 0))
    if at < len(gaps) and gaps[at][0] == offset + size:
        size += gaps.pop(at)[1]
    if at > 0 and sum(gaps[at - 1]) == offset:
        before = gaps.pop(at - 1)
        offset, size = before[0], before[1] + size
    insort(gaps, (offset, size))


def _padded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


class Arena:
    """The temporary buffers of a program: which share their memory, and when each is in use."""

    def __init__(self, program: Program) -> None:
        self.first: dict[Buffer, int] = {}
        self.last: dict[Buffer, int] = {}
        for number, kernel in enumerate(program.kernels):
            for buffer in [b for each in (*kernel.writes(), *kernel.reads()) for b in behind(each)]:
                if buffer.kind == "temp":
                    self.first.setdefault(buffer, number)
                    self.last[buffer] = number
        for begin, end in spans(program.kernels):
            for buffer, first in self.first.items():
                if first < begin <= self.last[buffer] < end:
                    self.last[buffer] = end  # each step reads it
                elif begin <= first <= end < self.last[buffer]:
                    self.first[buffer] = begin  # each step writes it
        self.place_of: dict[Buffer, Buffer] = {b: b for b in self.first}  # whose memory a buffer has
        taken: set[Buffer] = set()
        for number, kernel in enumerate(program.kernels):
            if isinstance(kernel, LibraryKernel) or (isinstance(kernel, LoopKernel) and kernel.split is None):
                dying = {b for b in kernel.reads() if self._dies(b, number)} - taken
                for old, new in successors(kernel, dying):
                    if self.first.get(new) == number:
                        taken.add(old)
                        self.place_of[new] = self.place_of[old]

    def _dies(self, buffer: Buffer, number: int) -> bool:
        return self.last.get(buffer) == number > self.first[buffer]

    def arrange(self, nbytes: Callable[[Buffer], int]) -> tuple[dict[Buffer, int], int]:
        """Offsets of the buffers, and the size of the arena, for concrete sizes."""
        spans: dict[Buffer, Lifetime] = {}
        for buffer, owner in self.place_of.items():
            known = spans.get(owner)
            first, last = self.first[buffer], self.last[buffer]
            if known is not None:
                first, last = min(first, known.first), max(last, known.last)
            spans[owner] = Lifetime(nbytes(owner), first, last)
        offsets, total = place(list(spans.values()))
        found = dict(zip(spans, offsets, strict=True))
        return {buffer: found[owner] for buffer, owner in self.place_of.items()}, total


def successors(kernel: LoopKernel | LibraryKernel, dying: Set[Buffer]) -> list[tuple[Buffer, Buffer]]:
    """Pairs of a buffer that the kernel reads for the last time, and one of the same size that may take its place.

    That is safe if every element is read where it is written, and not after: in the last walk over the rows, and by
    the very value that is stored. A scatter leaves what it scatters into where it is.
    """
    if isinstance(kernel, LibraryKernel):
        old, new = kernel.inputs[0], kernel.output
        alone = old in dying and old not in kernel.inputs[1:] and new.kind == "temp"
        return [(old, new)] if alone and kernel.name.startswith("scatter") else []
    loads: dict[Buffer, list[Any]] = {}
    for number, value in enumerate(kernel.body):
        if isinstance(value, (Load, Indirect)):
            loads.setdefault(value.access.buffer, []).append((number, value))
    levels = kernel.levels()
    walks = [levels[s.value] for s in kernel.stores if _is_full(kernel, s.access)]
    walks += [levels[i] - 1 for i, v in enumerate(kernel.body) if isinstance(v, Reduce)]
    pairs: list[tuple[Buffer, Buffer]] = []
    for store in kernel.stores:
        new = store.access.buffer
        alone = sum(s.access.buffer is new for s in kernel.stores) == 1
        if new.kind != "temp" or not alone or not _is_full(kernel, store.access) or levels[store.value] < max(walks):
            continue
        needs = computed_from(kernel, store.value)
        for old, reads in loads.items():
            same = old.dtype.np.itemsize == new.dtype.np.itemsize and product(old.shape) == product(new.shape)
            if not same or old not in dying or any(old is pair[0] for pair in pairs):
                continue
            if any(old is s.access.buffer for s in kernel.stores):
                continue
            if all(isinstance(v, Load) and i in needs and _same_walk(v.access, store.access) for i, v in reads):
                pairs.append((old, new))
                break
    return pairs


def _is_full(kernel: LoopKernel, access: Access) -> bool:
    """Whether every point of the domain has an element of its own."""
    return all(stride != 0 for stride, size in zip(access.strides, kernel.shape, strict=True) if size != 1)


def _same_walk(a: Access, b: Access) -> bool:
    return a.strides == b.strides and a.offset == b.offset
