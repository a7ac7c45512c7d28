"""Sums of columns, several vectors of them side by side: each row is read in one long piece, not line by line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graphflow.codegen.frame import i64
from graphflow.codegen.loops import COLUMN_BLOCK, MAX_WRITTEN
from graphflow.core.dims import Dim, product
from graphflow.schedule.kernels import Reduce
from graphflow_kernels.cpu import types

if TYPE_CHECKING:
    from graphflow.codegen.emit_loops import LoopEmitter

FEW_ROWS = 32  # for fewer it does not matter


def columns_together(emitter: LoopEmitter) -> int:
    """How many vectors of columns are summed up side by side: as many as a unit has, if their number is even so."""
    plan, kernel = emitter.plan, emitter.kernel
    if plan.form != "column" or plan.split is not None or plan.unrolled or plan.vector is None:
        return 1
    extent, rows = plan.axes[plan.vector].extent, product(plan.axes[i].extent for i in plan.inner)
    if isinstance(extent, Dim) or not isinstance(rows, Dim) and rows < FEW_ROWS:
        return 1
    if max(plan.levels) > 1 or any(emitter.is_full(s.access) for s in kernel.stores):
        return 1  # walked more than once
    lanes, sums = emitter.vector_builder.lanes, sum(isinstance(v, Reduce) for v in kernel.body)
    count = COLUMN_BLOCK // lanes
    while count > 1 and (
        extent % (count * lanes)
        or count * sums > emitter.target.registers // 2
        or count * len(kernel.body) > 2 * MAX_WRITTEN
    ):
        count //= 2
    return count


def emit_columns(emitter: LoopEmitter, count: int, coords: dict[int, Any], first: Any, last: Any) -> None:
    """A unit of columns, `count` vectors at a time."""
    from graphflow.codegen.emit_loops import Point

    plan, frame, b, vectors = emitter.plan, emitter.frame, emitter.builder, emitter.vector_builder
    body, stores, axis = emitter.kernel.body, emitter.kernel.stores, plan.vector
    assert axis is not None
    sums = {i: vectors.llvm_type(v.dtype.name) for i, v in enumerate(body) if isinstance(v, Reduce)}
    totals = {i: frame.alloca(kind, count) for i, kind in sums.items()}

    def place(i: int, number: Any) -> Any:
        return b.gep(totals[i], [number], source_etype=sums[i])

    def columns(start: Any) -> None:
        here = [b.add(start, i64(j * vectors.lanes)) for j in range(count)]
        rows = [emitter.row(vectors, {**coords, axis: v}, None) for v in here]
        held = []
        for row in rows:
            emitter.rows, emitter.accumulators = row.values, {}
            emitter.prepare_rows(row, list(sums))
            for i in sums:
                emitter.start(i)
            held.append(emitter.accumulators)

        def at(inner: dict[int, Any]) -> None:
            for v, row, accumulators in zip(here, rows, held):
                emitter.rows, emitter.accumulators = row.values, accumulators
                point = Point(vectors, {**inner, axis: v}, None, True)
                for i in sums:
                    emitter.accumulate(i, point)

        emitter.plain_loops({**coords, axis: start}, plan.inner, at)
        for j, accumulators in enumerate(held):
            for i, kind in sums.items():
                b.store(b.load(accumulators[i], typ=kind), place(i, i64(j)))
        frame.loop(i64(0), i64(count), 1, lambda j: finished(b.add(start, b.mul(j, i64(vectors.lanes))), j))

    def finished(v: Any, number: Any) -> None:
        """What follows from the sums is emitted once."""
        row = emitter.row(vectors, {**coords, axis: v}, None)
        emitter.rows = row.values
        for i, kind in sums.items():
            dtype = body[i].dtype.name
            row.values[i] = vectors.value(b.load(place(i, number), typ=kind), types.compute_dtype(dtype))
        emitter.store_all(stores, row)

    frame.loop(first, last, count * vectors.lanes, columns)
