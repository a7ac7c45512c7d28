"""Splitting large reductions to few results, so that threads can share them.

A sum over a million elements is one unit of work as it stands. Split, a first kernel reduces blocks of fixed size to
partial results and a second one combines those in order: the same bits on any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphflow.core.dims import Dim, Shape, Size, product
from graphflow.schedule.kernels import (
    Access,
    Buffer,
    Compute,
    Const,
    Indirect,
    Load,
    LoopKernel,
    Reduce,
    SizeValue,
    Store,
)

BLOCK = 8192  # elements that make one partial result


def split_reduction(kernel: LoopKernel, temp: Callable[[Shape, Any], Buffer]) -> list[LoopKernel]:
    """The kernel itself, or two kernels: partial results of blocks, and their combination."""
    axis = _split_axis(kernel)
    if axis is None:
        return [kernel]
    rows = max(1, BLOCK // _inner(kernel, axis))
    extent = kernel.shape[axis]
    blocks: Size = (extent + (rows - 1)) // rows
    levels = kernel.levels()
    first = LoopKernel(
        kernel.shape, kernel.reduced, list(kernel.body), [], kernel.nodes, "blocks of a large reduction", (axis, rows)
    )
    final = LoopKernel((blocks,), (0,), nodes=kernel.nodes, why="combines the blocks' partial results")
    moved: dict[int, int] = {}
    for i, value in enumerate(kernel.body):
        if isinstance(value, Reduce):
            partial = temp((blocks,), value.dtype)
            first.stores.append(Store(i, Access(partial, (0,) * len(kernel.shape)), value.dtype))
            final.body.append(Load(Access(partial, (1,)), value.dtype))
            final.body.append(Reduce(value.combine, len(final.body) - 1, value.dtype))
            moved[i] = len(final.body) - 1
    for store in kernel.stores:
        if levels[store.value] == 0 and any(store.access.strides[a] != 0 for a in kernel.reduced):
            first.stores.append(store)
        else:
            value_number = _move(kernel, store.value, final, moved)
            final.stores.append(
                Store(value_number, Access(store.access.buffer, (0,), store.access.offset), store.dtype)
            )
    return [first, final]


def _inner(kernel: LoopKernel, axis: int) -> int:
    inner = product(s for i, s in enumerate(kernel.shape) if i != axis)
    return inner if isinstance(inner, int) else BLOCK


def _split_axis(kernel: LoopKernel) -> int | None:
    """The reduced axis to cut into blocks: the longest; None if the kernel is small, or has results enough to share."""
    if not kernel.reduced:
        return None
    kept = product(s for i, s in enumerate(kernel.shape) if i not in kernel.reduced)
    if kept != 1 or max(kernel.levels()) > 1:
        return None
    rows = kernel.row_values()
    for store in kernel.stores:  # full results that wait for the reduction make this a row kernel, walked as one
        if kernel.levels()[store.value] > 0 and any(store.access.strides[a] != 0 for a in kernel.reduced):
            return None
    if any(isinstance(v, Reduce) and rows[v.arg] for v in kernel.body):
        return None
    points = product(kernel.shape)
    if not isinstance(points, Dim):
        small = points < 4 * BLOCK
    else:
        small = product(s for s in kernel.shape if not isinstance(s, Dim)) < 64
    if small:
        return None
    symbolic = [a for a in kernel.reduced if isinstance(kernel.shape[a], Dim)]
    return symbolic[0] if symbolic else max(kernel.reduced, key=lambda a: kernel.shape[a])  # type: ignore[arg-type, return-value]


def _move(kernel: LoopKernel, number: int, final: LoopKernel, moved: dict[int, int]) -> int:
    """Bring a row value and what it needs into the combining kernel."""
    stack = [number]
    while stack:
        i = stack[-1]
        value = kernel.body[i]
        if i in moved:
            stack.pop()
            continue
        operands = value.args if isinstance(value, Compute) else (value.index,) if isinstance(value, Indirect) else ()
        missing = [a for a in operands if a not in moved]
        if missing:
            stack.extend(missing)
            continue
        stack.pop()
        final.body.append(_moved_value(value, moved))
        moved[i] = len(final.body) - 1
    return moved[number]


def _moved_value(value: Any, moved: dict[int, int]) -> Any:
    if isinstance(value, Load):
        return Load(Access(value.access.buffer, (0,), value.access.offset), value.dtype)
    if isinstance(value, Compute):
        return Compute(value.op, tuple(moved[a] for a in value.args), value.attrs, value.dtype, ())
    if isinstance(value, Indirect):
        access = Access(value.access.buffer, (0,), value.access.offset)
        return Indirect(access, moved[value.index], value.stride, value.extent, value.dtype, value.node)
    assert isinstance(value, (Const, SizeValue))
    return value
