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

from graphflow.core.dims import Shape, Size, product
from graphflow.schedule.groups import Group
from graphflow.schedule.kernels import Access, Buffer, HostStep, Indirect, LibraryKernel, Load, LoopKernel
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
    """Which buffers of indices have been found good, from their first element to their last, and for which size."""

    def __init__(self) -> None:
        self.done: set[tuple[Buffer, Size]] = set()
        self.copies: dict[Buffer, Buffer] = {}  # buffers that hold elements of another one and nothing else

    def may_fail(self, kernel: Any) -> bool:
        """Whether a kernel may fail the run for a reason that no kernel before it would have found."""
        if isinstance(kernel, HostStep):
            return True
        checks = [check for inner in _inside(kernel) for check in _checks_of(inner)]
        fails = not all(self._known(buffer, size) for buffer, size, _ in checks)
        if not isinstance(kernel, Nested):  # a branch may be left out
            self.done.update((buffer, size) for buffer, size, whole in checks if whole and buffer is not None)
        self._overwritten({b for inner in _inside(kernel) for b in _loop(inner).writes()})
        if isinstance(_loop(kernel), LoopKernel):
            self.copies.update(_copied(_loop(kernel)))
        return fails

    def _known(self, buffer: Buffer | None, size: Size) -> bool:
        while buffer is not None and (buffer, size) not in self.done:
            buffer = self.copies.get(buffer)
        return buffer is not None

    def _overwritten(self, buffers: set[Buffer]) -> None:
        self.done = {(b, size) for b, size in self.done if b not in buffers}
        self.copies = {b: source for b, source in self.copies.items() if not buffers & {b, source}}


def _loop(kernel: Any) -> Any:
    return kernel.kernel if isinstance(kernel, Group) else getattr(kernel, "epilogue", kernel)


def _checks_of(kernel: Any) -> Iterator[tuple[Buffer | None, Size, bool]]:
    """The buffers of indices that a kernel checks (None: it computes them), against which size, and whether wholly."""
    if isinstance(kernel, LibraryKernel) and kernel.name.startswith("scatter"):
        yield kernel.inputs[1], kernel.output.shape[kernel.params["axis"]], True
    elif isinstance(_loop(kernel), LoopKernel):
        loop = _loop(kernel)
        for value in loop.body:
            if isinstance(value, Indirect):
                index = loop.body[value.index]
                if isinstance(index, Load):
                    yield index.access.buffer, value.extent, _is_whole(index.access, loop.shape)
                else:
                    yield None, value.extent, False


def _is_whole(access: Access, shape: Shape) -> bool:
    """Whether a kernel of this shape walks a buffer from end to end, in whatever order of axes."""
    axes = [(size, stride) for size, stride in zip(shape, access.strides, strict=True) if stride != 0]
    if access.offset != 0:
        return False
    steps: Size = 1
    while axes:  # the axis that goes on where the ones before it end
        found = next((axis for axis in axes if axis[1] == steps), None)
        if found is None:
            return False
        axes.remove(found)
        steps = steps * found[0]
    return steps == product(access.buffer.shape)


def _copied(loop: LoopKernel) -> dict[Buffer, Buffer]:
    """The buffers into which a kernel copies elements of another one (that may be indices), and that one."""
    places = [store.access.buffer for store in loop.stores]
    found: dict[Buffer, Buffer] = {}
    for store in loop.stores:
        value, place = loop.body[store.value], store.access.buffer
        whole = places.count(place) == 1 and _is_whole(store.access, loop.shape)
        if whole and isinstance(value, Load) and value.dtype == store.dtype and not store.dtype.is_float:
            found[place] = value.access.buffer
    return found
