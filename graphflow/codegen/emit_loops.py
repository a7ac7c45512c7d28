"""Loop kernels, part two: from a LoopPlan to LLVM IR, through the ScalarBuilder that op records emit with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

from llvmlite import ir

from graphflow.codegen.columns import columns_together, emit_columns
from graphflow.codegen.frame import POINTER, Frame, i64
from graphflow.codegen.loops import LoopPlan
from graphflow.core.dims import Dim, Size
from graphflow.core.dtypes import DType
from graphflow.schedule.kernels import (
    Access,
    Buffer,
    Compute,
    Const,
    Indirect,
    Load,
    Reduce,
    SizeValue,
    Store,
    computed_from,
    operands,
)
from graphflow_kernels.cpu import types
from graphflow_kernels.cpu.scalar import ScalarBuilder
from graphflow_kernels.cpu.target import Target
from graphflow_kernels.cpu.value import Value


class Point:
    """Where in the nest code is being emitted: coordinates of the axes and what has been computed there."""

    def __init__(self, sb: ScalarBuilder, coords: dict[int, Any], mask: Value | None, lanes_on: bool) -> None:
        self.sb = sb
        self.coords = coords  # nest axis -> i64; the vector axis gives the first lane's coordinate
        self.mask = mask
        self.lanes_on = lanes_on  # whether values here run along the vector axis
        self.values: dict[int, Value] = {}


class LoopEmitter:
    """Emits one LoopPlan."""

    def __init__(self, plan: LoopPlan, module: ir.Module, symbol: str, target: Target) -> None:
        self.plan = plan
        self.kernel = plan.kernel
        self.target = target
        self.frame = Frame(module, symbol, len(plan.arguments.buffers))
        self.builder = self.frame.builder
        lanes = _lanes(plan, target) if plan.vector is not None else 1
        self.vector_builder = ScalarBuilder(self.builder, target, lanes)
        self.scalar_builder = ScalarBuilder(self.builder, target, 1)
        self.accumulators: dict[int, Any] = {}
        self.rows: dict[int, Value] = {}
        self.invariants: dict[int, Value] = {}
        self.large: Any = None  # whether results go past the cache

    # -- the nest ---------------------------------------------------------------------------------------------------
    def emit(self) -> None:
        b, plan, frame = self.builder, self.plan, self.frame
        sizes = len(plan.arguments.sizes)
        grain, units = frame.argument(sizes), frame.argument(sizes + 1)
        start = b.mul(frame.begin, grain)
        stop = b.mul(frame.end, grain)
        stop = b.select(b.icmp_signed("<", stop, units), stop, units)
        self.hoist()
        if plan.streamed:
            self.large = b.icmp_signed("!=", frame.argument(sizes + 2), i64(0))
        frame.loop(start, stop, 1, self._unit)
        if plan.streamed:
            frame.when(self.large, self.scalar_builder.finish_streams)
        b.ret_void()

    def hoist(self) -> None:
        """Compute, outside of all loops, what is the same everywhere.

        LLVM would not: for all it knows, a store to any buffer may change a scalar in another one.
        """
        written = {store.access.buffer for store in self.kernel.stores}
        point = Point(self.scalar_builder, {}, None, False)
        for i, value in enumerate(self.kernel.body):
            if isinstance(value, Load):
                same = not any(self.plan.strides[id(value.access)]) and value.access.buffer not in written
            elif isinstance(value, Compute):
                known = [isinstance(self.kernel.body[a], Const) or a in self.invariants for a in value.args]
                same = bool(known) and all(known) and not value.op.indexed
            else:
                same = isinstance(value, SizeValue)
            if same:
                self.invariants[i] = self.value(i, point)
        self.rows = self.invariants

    def _unit(self, unit: Any) -> None:
        b, plan = self.builder, self.plan
        coords: dict[int, Any] = {}
        self.unit = unit
        first = last = None
        if plan.vector is not None:
            extent = self.size(plan.axes[plan.vector].extent)
            first, last = i64(0), extent
            if plan.block is not None:
                blocks = b.sdiv(b.add(extent, i64(plan.block - 1)), i64(plan.block))
                first = b.mul(b.srem(unit, blocks), i64(plan.block))
                unit = b.sdiv(unit, blocks)
                last = b.add(first, i64(plan.block))
                last = b.select(b.icmp_signed("<", last, extent), last, extent)
        for axis in reversed(plan.outer):
            size = self.size(plan.axes[axis].extent)
            if axis == plan.outer[0]:
                coords[axis] = unit
            else:
                coords[axis] = b.srem(unit, size)
                unit = b.sdiv(unit, size)
        getattr(self, f"_unit_{plan.form}")(coords, first, last)

    def _unit_scalar(self, coords: dict[int, Any], first: Any, last: Any) -> None:
        point = Point(self.scalar_builder, coords, None, False)
        self.store_all(self.kernel.stores, point)

    def _unit_map(self, coords: dict[int, Any], first: Any, last: Any) -> None:
        def body(v: Any, mask: Value | None) -> None:
            points: list[Point] = []

            def at(here: dict[int, Any]) -> None:
                points.append(Point(self.vector_builder, here, mask, True))

            self.plain_loops({**coords, self.plan.vector: v}, self.plan.unrolled, at)  # type: ignore[dict-item]
            if len(points) > 1:  # all loads before the first store: what points share is loaded once
                for point, store in product(points, self.kernel.stores):
                    self.value(store.value, point)
            for point in points:
                self.store_all(self.kernel.stores, point)

        self._vector_loop(first, last, body)

    def _unit_row(self, coords: dict[int, Any], first: Any, last: Any) -> None:
        if self.plan.split is not None and self.plan.split[0] == self.plan.vector:
            first, last = self._block_bounds(last)
        row = self.row(self.scalar_builder, coords, None)
        self._passes(row, lambda body: self._reduced_loops(dict(coords), self.plan.inner, first, last, body))

    def row(self, sb: ScalarBuilder, coords: dict[int, Any], mask: Value | None) -> Point:
        point = Point(sb, coords, mask, sb is self.vector_builder)
        # Under this row's builder: operations spread a single value over the lanes of the others.
        point.values.update({i: sb.value(v.ir, v.dtype) for i, v in self.invariants.items()})
        return point

    def _unit_column(self, coords: dict[int, Any], first: Any, last: Any) -> None:
        together = columns_together(self)
        if together > 1:
            emit_columns(self, together, coords, first, last)
            return

        def column(v: Any, mask: Value | None) -> None:
            here: dict[Any, Any] = {**coords, self.plan.vector: v}
            row = self.row(self.vector_builder, here, mask)

            def walk(body: Callable[[Point], None]) -> None:
                def at(inner: dict[int, Any]) -> None:
                    body(Point(self.vector_builder, inner, mask, True))

                self.plain_loops(here, self.plan.inner, at)  # type: ignore[arg-type]

            self._passes(row, walk)

        self._vector_loop(first, last, column)

    def _reduced_loops(
        self, coords: Any, axes: list[int], first: Any, last: Any, body: Callable[[Point], None]
    ) -> None:
        """The reduced axes of a row, the vector axis innermost."""

        def vector(at: dict[int, Any]) -> None:
            if self.plan.vector is None:
                body(Point(self.scalar_builder, at, None, False))
                return

            def lane(v: Any, mask: Value | None) -> None:
                body(Point(self.vector_builder, {**at, self.plan.vector: v}, mask, True))  # type: ignore[dict-item]

            self._vector_loop(first, last, lane)

        self.plain_loops(coords, axes, vector)

    def plain_loops(self, coords: dict[int, Any], axes: list[int], body: Callable[[dict[int, Any]], None]) -> None:
        if not axes:
            body(coords)
            return
        if axes[0] in self.plan.unrolled:
            for i in range(self.plan.axes[axes[0]].extent):  # type: ignore[arg-type]
                self.plain_loops({**coords, axes[0]: i64(i)}, axes[1:], body)
            return
        extent = self.size(self.plan.axes[axes[0]].extent)
        start = i64(0)
        if self.plan.split is not None and self.plan.split[0] == axes[0]:
            start, extent = self._block_bounds(extent)
        self.frame.loop(start, extent, 1, lambda i: self.plain_loops({**coords, axes[0]: i}, axes[1:], body))

    def _vector_loop(self, first: Any, last: Any, body: Callable[[Any, Value | None], None]) -> None:
        """body(v, mask) for the vectors that cover first..last; the last one is masked where it is not full."""
        b, sb, frame = self.builder, self.vector_builder, self.frame
        lanes = sb.lanes
        if isinstance(first, ir.Constant) and isinstance(last, ir.Constant):
            whole = (last.constant - first.constant) // lanes * lanes + first.constant
            if whole - first.constant == lanes:
                body(first, None)
            elif whole > first.constant:
                frame.loop(first, i64(whole), lanes, lambda v: body(v, None))
            if last.constant > whole:
                body(i64(whole), sb.mask_first(last.constant - whole))
            return
        length = b.sub(last, first)
        end = b.add(first, b.sub(length, b.srem(length, i64(lanes)))) if lanes > 1 else last
        frame.loop(first, end, lanes, lambda v: body(v, None))
        if lanes > 1:
            frame.when(
                b.icmp_signed("<", end, last),
                lambda: body(end, sb.mask_first(b.sub(last, end))),
            )

    def _block_bounds(self, extent: Any) -> tuple[Any, Any]:
        """The part of the split axis that belongs to this unit."""
        b, rows = self.builder, i64(self.plan.split[1])  # type: ignore[index]
        first = b.mul(self.unit, rows)
        last = b.add(first, rows)
        return first, b.select(b.icmp_signed("<", last, extent), last, extent)

    # -- passes over a row ------------------------------------------------------------------------------------------
    def _passes(self, row: Point, walk: Callable[[Callable[[Point], None]], None]) -> None:
        """Walk the reduced axes once for each level of reductions, and once more for stores that need them all."""
        kernel, plan = self.kernel, self.plan
        reduces = [i for i, v in enumerate(kernel.body) if isinstance(v, Reduce)]
        full_stores = [s for s in kernel.stores if self.is_full(s.access)]
        levels = {plan.levels[i] - 1 for i in reduces} | {plan.levels[s.value] for s in full_stores}
        self.rows = row.values
        for level in sorted(levels):
            mine = [i for i in reduces if plan.levels[i] - 1 == level]
            stores = [s for s in full_stores if plan.levels[s.value] == level]
            self.prepare_rows(row, [*mine, *(s.value for s in stores)])
            for i in mine:
                self.start(i)

            def body(point: Point, mine: Any = mine, stores: Any = stores) -> None:
                for i in mine:
                    self.accumulate(i, point)
                self.store_all(stores, point)

            walk(body)
            for i in mine:
                row.values[i] = self._finish(i, row)
        self.store_all([s for s in kernel.stores if not self.is_full(s.access)], row)

    def is_full(self, access: Access) -> bool:
        strides = self.plan.strides[id(access)]
        return any(a.reduced and strides[i] != 0 for i, a in enumerate(self.plan.axes))

    def prepare_rows(self, row: Point, roots: list[int]) -> None:
        """Compute, outside the loops, the row values that the loops will use."""
        body, seen, stack, wanted = self.kernel.body, set(), list(roots), []
        while stack:
            i = stack.pop()
            if i in seen:
                continue
            seen.add(i)
            value = body[i]
            if self.plan.rows[i] and not (isinstance(value, Reduce) and i not in row.values):
                wanted.append(i)
            if isinstance(value, Compute):
                stack.extend(value.args)
            elif isinstance(value, Indirect):
                stack.append(value.index)
            elif isinstance(value, Reduce) and i not in row.values:
                stack.append(value.arg)
        for i in sorted(wanted):
            self.value(i, row)

    def start(self, i: int) -> None:
        reduce: Reduce = self.kernel.body[i]  # type: ignore[assignment]
        sb = self._accumulator_builder()
        start = sb.splat(sb.const(_identity(reduce.combine, reduce.dtype), reduce.dtype.name))
        self.accumulators[i] = self.frame.alloca(start.ir.type)
        self.builder.store(start.ir, self.accumulators[i])

    def _accumulator_builder(self) -> ScalarBuilder:
        return self.vector_builder if self.plan.vector is not None else self.scalar_builder

    def accumulate(self, i: int, point: Point) -> None:
        reduce: Reduce = self.kernel.body[i]  # type: ignore[assignment]
        sb = point.sb
        place = self.accumulators[i]
        old = sb.value(
            self.builder.load(place, typ=sb.llvm_type(reduce.dtype.name)), types.compute_dtype(reduce.dtype.name)
        )
        new = sb.splat(self.value(reduce.arg, point))
        combined = _combine(sb, reduce.combine, old, new)
        if point.mask is not None and self.plan.form == "row":
            combined = sb.select(point.mask, combined, old)
        self.builder.store(combined.ir, place)

    def _finish(self, i: int, row: Point) -> Value:
        reduce: Reduce = self.kernel.body[i]  # type: ignore[assignment]
        sb = self._accumulator_builder()
        total = sb.value(
            self.builder.load(self.accumulators[i], typ=sb.llvm_type(reduce.dtype.name)),
            types.compute_dtype(reduce.dtype.name),
        )
        if self.plan.form == "row":
            name = {"add": "sum", "mul": "prod", "max": "max", "min": "min", "or": "any", "and": "all"}[reduce.combine]
            total = getattr(sb, f"reduce_{name}")(total)
        return row.sb.value(total.ir, total.dtype)

    # -- values -----------------------------------------------------------------------------------------------------
    def value(self, number: int, point: Point) -> Value:
        """Value ``number`` of the body at a point; operands first, in a loop (bodies can be long)."""
        stack = [number]
        while stack:
            i = stack[-1]
            if i in point.values or self._from_row(i, point):
                stack.pop()
                continue
            value = self.kernel.body[i]
            missing = [a for a in operands(value) if a not in point.values and not self._from_row(a, point)]
            if missing:
                stack.extend(missing)
                continue
            stack.pop()
            point.values[i] = self._compute(value, point)
        return point.values[number]

    def _from_row(self, i: int, point: Point) -> bool:
        """Take a value that was computed once for the whole row."""
        if point.values is self.rows or i not in self.rows:
            return False
        have = self.rows[i]
        point.values[i] = point.sb.value(have.ir, have.dtype)
        return True

    def _compute(self, value: Any, point: Point) -> Value:
        sb = point.sb
        if isinstance(value, Const):
            return sb.const(value.value.value, value.dtype.name)
        if isinstance(value, Load):
            return self._load(value.access, value.dtype, point)
        if isinstance(value, SizeValue):
            number = self.scalar_builder.value(self.size(value.size, always=True), "int64")
            cast = self.scalar_builder.cast(number, types.compute_dtype(value.dtype.name))
            return sb.value(cast.ir, cast.dtype)
        if isinstance(value, Indirect):
            return self._indirect(value, point)
        if isinstance(value, Reduce):  # over axes of size 1, which are no part of the nest
            return point.values[value.arg]
        args = [point.values[a] for a in value.args]
        attrs: dict[str, Any] = {k: self._attr(v) for k, v in value.attrs}
        if value.op.indexed:
            attrs["index"] = tuple(self._coordinate(a, point) for a in value.axes)
        result = value.op.emit(sb, *args, **attrs)
        return sb.like(result, args[0]) if not isinstance(result, Value) else result

    def _attr(self, value: Any) -> Any:
        """An attribute as emission rules take it: symbolic sizes become run-time int64 values."""
        if isinstance(value, Dim):
            return self.scalar_builder.value(self.size(value), "int64")
        return tuple(self._attr(v) for v in value) if isinstance(value, tuple) else value

    def _coordinate(self, domain_axis: int | None, point: Point) -> Value:
        sb = point.sb
        if domain_axis is None:
            return sb.const(0, "int64")
        for i, axis in enumerate(self.plan.axes):
            if domain_axis in axis.domain:
                first = sb.value(point.coords[i], "int64")
                return sb.splat(first) + sb.iota("int64") if i == self.plan.vector and point.lanes_on else first
        return sb.const(0, "int64")  # an axis of size 1

    # -- memory -----------------------------------------------------------------------------------------------------
    def size(self, size: Size, always: bool = False) -> Any:
        if not isinstance(size, Dim) and not always:
            return i64(size)
        return self.frame.argument(self.plan.arguments.sizes.index(size))

    def address(self, access: Access, point: Point) -> tuple[Any, Any, Size]:
        """The pointer, the index of the first lane's element, and the stride along the vector axis."""
        b = self.builder
        pointer = self.frame.pointers[self.plan.arguments.buffers.index(access.buffer)]
        index = i64(0) if access.offset == 0 else self.size(access.offset, always=True)
        step: Size = 0
        for axis, stride in enumerate(self.plan.strides[id(access)]):
            if stride == 0 or axis not in point.coords:
                continue
            if axis == self.plan.vector and point.lanes_on:
                step = stride
            scaled = point.coords[axis] if stride == 1 else b.mul(point.coords[axis], self.size(stride))
            index = b.add(index, scaled)
        return pointer, index, step

    def _load(self, access: Access, dtype: DType, point: Point) -> Value:
        pointer, index, step = self.address(access, point)
        sb = point.sb
        if step == 0:
            one = self.scalar_builder.load_element(pointer, index, dtype.name)
            return sb.value(one.ir, one.dtype)
        if step == 1:
            return sb.load(pointer, index, dtype.name, point.mask)
        return sb.load_strided(pointer, index, self.size(step), dtype.name, point.mask)

    def _indirect(self, value: Indirect, point: Point) -> Value:
        b, sb = self.builder, point.sb
        place = point.values[value.index]
        isb = sb if isinstance(place.ir.type, ir.VectorType) else self.scalar_builder
        place = isb.cast(isb.value(place.ir, place.dtype), "int64")
        extent = isb.value(self.size(value.extent), "int64")
        place = isb.select(place < 0, place + extent, place)
        bad = (place < 0) | (place >= extent)
        if isb is sb and point.mask is not None:
            bad = bad & point.mask
        failed = isb.reduce_any(bad)
        with b.if_then(failed.ir, likely=False):
            status = self._status()
            b.store(b.add(self.size(value.node, always=True), i64(1)), status)
        place = isb.select(bad, isb.const(0, "int64"), place)
        pointer, index, step = self.address(value.access, point)
        place = place * isb.value(self.size(value.stride), "int64")
        if isb is not sb or sb.lanes == 1:
            index = b.add(index, place.ir)
            if step == 0 or sb.lanes == 1:
                one = self.scalar_builder.load_element(pointer, index, value.dtype.name)
                return sb.value(one.ir, one.dtype)
            if step == 1:
                return sb.load(pointer, index, value.dtype.name, point.mask)
            return sb.load_strided(pointer, index, self.size(step), value.dtype.name, point.mask)
        where = sb.splat(sb.value(index, "int64")) + place
        if step != 0:
            where = where + sb.iota("int64") * sb.splat(sb.value(self.size(step), "int64"))
        return sb.gather(pointer, where, value.dtype.name, point.mask)

    def _status(self) -> Any:
        """Buffer 0 of every program: where kernels report an index out of range."""
        return self.builder.load(self.frame.table, typ=POINTER)

    def store_all(self, stores: Sequence[Store], point: Point) -> None:
        """Store values at a point. What a value needs of a buffer that an earlier store overwrites is read before."""
        written: set[Buffer] = set()
        for store in stores:
            for i in computed_from(self.kernel, store.value) if written else ():
                value = self.kernel.body[i]
                if isinstance(value, Load) and value.access.buffer in written:
                    self.value(i, point)
            written.add(store.access.buffer)
        for store in stores:
            self._store(store, point)

    def _store(self, store: Any, point: Point) -> None:
        value = self.value(store.value, point)
        sb = point.sb
        pointer, index, step = self.address(store.access, point)
        if self.plan.split is not None and not self.is_full(store.access):
            index = self.builder.add(index, self.unit)  # partial results: one for each block
        name = store.dtype.name
        if not point.lanes_on:
            sb.store_element(value, pointer, index, name)
        elif step == 1 and point.mask is None and store.access.buffer in self.plan.streamed:
            sb.store_streamed(value, pointer, index, name, self.large)
        elif step == 1:
            sb.store(value, pointer, index, name, point.mask)
        else:
            sb.store_strided(sb.splat(value), pointer, index, self.size(step), name, point.mask)


def _lanes(plan: LoopPlan, target: Target) -> int:
    """Elements per vector: a full register of the widest floating-point type in the body (float32 if there is none)."""
    names = {v.dtype.name for v in plan.kernel.body}
    lanes = target.lanes("float64" if "float64" in names else "float32")
    extent = plan.axes[plan.vector].extent if plan.vector is not None else 1
    while not isinstance(extent, Dim) and lanes > 1 and lanes // 2 >= extent:
        lanes //= 2
    return lanes


def _identity(combine: str, dtype: DType) -> Any:
    """The value that leaves any other unchanged when combined with it."""
    if combine in ("add", "mul"):
        return 0 if combine == "add" else 1
    if combine in ("or", "and"):
        return combine == "and"
    if dtype.is_float:
        return float("-inf") if combine == "max" else float("inf")
    if dtype.kind == "bool":
        return combine == "min"
    low = 0 if dtype.kind == "uint" else -(1 << (dtype.bits - 1))
    high = (1 << dtype.bits) - 1 if dtype.kind == "uint" else (1 << (dtype.bits - 1)) - 1
    return low if combine == "max" else high


def _combine(sb: ScalarBuilder, combine: str, a: Value, b: Value) -> Value:
    if combine == "add":
        return a + b
    if combine == "mul":
        return a * b
    if combine == "max":
        return sb.maximum(b, a)  # whether b is NaN need not wait for a
    if combine == "min":
        return sb.minimum(b, a)
    return a | b if combine == "or" else a & b


def emit_loop(plan: LoopPlan, module: ir.Module, symbol: str, target: Target) -> None:
    """Define the kernel's function in the module."""
    LoopEmitter(plan, module, symbol, target).emit()
