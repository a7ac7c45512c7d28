"""The order of kernels: variables get their new values as soon as they can.

In program order an optimizer's updates, and the gradients that are computed in the same kernels, stand behind the whole
backward pass. By then what they read has left the caches, and memory has been kept for all of it. So a kernel that
writes nothing but variables moves up to where its operands exist and nobody needs the old values any more.

It does not move before a kernel that may fail the run, which then changes no variable.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from graphflow.core.dims import Size
from graphflow.schedule.groups import Group
from graphflow.schedule.kernels import Buffer, HostStep, Indirect, LibraryKernel, Load, LoopKernel
from graphflow.schedule.marks import Nested, behind


def updates_early(kernels: Sequence[Any]) -> list[Any]:
    """The kernels (control ops with theirs inside) in an order in which each finds the same in what it reads."""
    touched: dict[Buffer, int] = {}  # the last kernel that read or wrote a buffer
    written: dict[Buffer, int] = {}  # the last that wrote it
    checks = _Checks()
    barrier = -1
    followers: dict[int, list[Any]] = defaultdict(list)  # what comes right behind a kernel; -1: before all
    for number, kernel in enumerate(kernels):
        reads, writes = set(_memory(kernel, "reads")), set(_memory(kernel, "writes"))
        place = number
        if writes and all(b.kind == "variable" for b in writes) and not isinstance(kernel, Nested):
            after = [written.get(b, -1) for b in reads] + [touched.get(b, -1) for b in writes]
            place = max(barrier, *after)
        followers[place].append(kernel)
        touched.update(dict.fromkeys(reads | writes, number))
        written.update(dict.fromkeys(writes, number))
        if checks.may_fail(kernel):
            barrier = number
    return [kernel for place in range(-1, len(kernels)) for kernel in followers[place]]


def last_that_may_fail(kernels: Sequence[Any]) -> int:
    """The number of the last kernel that may fail the run; -1 if none may."""
    checks = _Checks()
    return max((number for number, kernel in enumerate(kernels) if checks.may_fail(kernel)), default=-1)


def _memory(kernel: Any, which: str) -> Iterator[Buffer]:
    for inner in _inside(kernel):
        for buffer in getattr(inner, which)():
            yield from behind(buffer)


def _inside(kernel: Any) -> Iterable[Any]:
    return kernel.kernels if isinstance(kernel, Nested) else (kernel,)


class _Checks:
    """Which indices have been found good so far."""

    def __init__(self) -> None:
        self.done: set[tuple[Buffer, Size]] = set()
        self.copies: dict[Buffer, Buffer] = {}

    def may_fail(self, kernel: Any) -> bool:
        """Whether a kernel may fail the run for a reason that no kernel before it would have found."""
        if isinstance(kernel, HostStep):
            return True
        nested = isinstance(kernel, Nested)
        new = {check for inner in _inside(kernel) for check in self._of(inner)} - self.done
        if not nested:  # a branch may be left out
            self.done |= new
        return bool(new)

    def _of(self, kernel: Any) -> Iterator[tuple[Buffer, Size]]:
        loop = kernel.kernel if isinstance(kernel, Group) else getattr(kernel, "epilogue", kernel)
        if isinstance(kernel, LibraryKernel) and kernel.name.startswith("scatter"):
            yield self._source(kernel.inputs[1]), kernel.output.shape[kernel.params["axis"]]
        elif isinstance(loop, LoopKernel):
            for value in loop.body:
                if isinstance(value, Indirect):
                    index = loop.body[value.index]
                    # Indices that are computed in the kernel are checked by it alone.
                    buffer = index.access.buffer if isinstance(index, Load) else Buffer(-1, (), index.dtype, "temp")
                    yield self._source(buffer), value.extent
            for store in loop.stores:
                value = loop.body[store.value]
                if isinstance(value, Load) and value.dtype == store.dtype:
                    self.copies[store.access.buffer] = value.access.buffer

    def _source(self, buffer: Buffer) -> Buffer:
        while buffer in self.copies:
            buffer = self.copies[buffer]
        return buffer
