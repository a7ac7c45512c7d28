"""Loop kernels, part one: from a LoopKernel to a loop nest with its text, arguments and cost. No LLVM here.

The nest has *units* of work that threads may do in any order, each with a vector loop somewhere inside:

- no reduced axes ("map"): a unit is a block of the innermost axis; the vector runs along it;
- the vector axis is reduced ("row"): a unit is one point of the kept axes; lanes are combined at the end of each pass;
- the vector axis is kept ("column"): a unit is a block of that axis; the reduced axes are walked inside, so that the
  accumulators are vectors.

A row or column whose values depend on finished reductions (softmax: maximum, then sum, then quotient) is walked in
several passes; values are recomputed or loaded again in each pass that wants them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from graphflow.core.dims import Dim, Size, evaluate, product
from graphflow.core.dtypes import DType
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
)

MAP_BLOCK = 4096  # elements of a map's innermost axis in one unit
COLUMN_BLOCK = 64  # columns in one unit
MAX_UNROLLED = 16  # points of small axes that are written out one by one
MAX_WRITTEN = 128  # values that all these points together may have
STREAMED_BYTES = 8 << 20  # results of so many bytes leave no room for anything else in the cache
SHORT_STEP = 4  # strides up to which a vector with gaps is read as whole vectors


CHUNK_COST = 40_000.0  # additions' worth of work in one chunk: several microseconds, far above a barrier's cost
MAX_CHUNKS = 64


class Work(NamedTuple):
    """What one call of a kernel amounts to for concrete sizes: chunks, further arguments, scratch memory a thread."""

    nchunks: int
    arguments: list[int]
    scratch_bytes: int = 0


class Arguments:
    """The run-time arguments of one kernel: its buffers, then its symbolic sizes, numbered as they come up."""

    def __init__(self) -> None:
        self.buffers: list[Buffer] = []
        self.sizes: list[Size] = []

    def buffer(self, buffer: Buffer) -> int:
        if buffer not in self.buffers:
            self.buffers.append(buffer)
        return self.buffers.index(buffer)

    def size(self, size: Size, always: bool = False) -> str:
        """How a size is written in the kernel's text: its number, or ``p3`` for the fourth run-time size."""
        if not isinstance(size, Dim) and not always:
            return str(size)
        if size not in self.sizes:
            self.sizes.append(size)
        return f"p{self.sizes.index(size)}"


@dataclass
class Axis:
    """An axis of the nest: its extent, whether it is reduced, the domain axes merged into it (outermost first)."""

    extent: Size
    reduced: bool
    domain: tuple[int, ...]


class LoopPlan:
    """The loop nest for a kernel."""

    def __init__(self, kernel: LoopKernel, arguments: Arguments | None = None, merge_after: int | None = None) -> None:
        """Plan a kernel; with ``arguments``, as the epilogue of a product that has these arguments too.

        Of an epilogue's axes, those after axis ``merge_after`` may be walked as one.
        """
        self.kernel = kernel
        self.accesses = _accesses(kernel)
        self.counted = _counted_axes(kernel)
        self.is_epilogue = arguments is not None
        self.axes = self._merge(self._live_axes(), merge_after)
        self.strides = {id(a): tuple(self._stride(a, axis) for axis in self.axes) for a in self.accesses}
        self.vector = len(self.axes) - 1 if self.is_epilogue else self._vector_axis()
        self.form = self._form()
        self.unrolled = self._unrolled()
        self.levels = kernel.levels()
        self.rows = kernel.row_values() if kernel.reduced else [False] * len(kernel.body)
        self.arguments = arguments or Arguments()
        self.streamed = self._streamed()
        self.text = self._text()
        self.key = hashlib.sha256(self.text.encode()).hexdigest()[:40]

    def _form(self) -> str:
        if self.is_epilogue:
            return "epilogue"
        some_reduced = any(a.reduced for a in self.axes)
        if self.vector is None:
            return "row" if some_reduced else "scalar"
        return "row" if self.axes[self.vector].reduced else "column" if some_reduced else "map"

    # -- axes -------------------------------------------------------------------------------------------------------
    def _live_axes(self) -> list[Axis]:
        """Axes of more than one element, the kept ones first."""
        if self.is_epilogue:
            return [Axis(s, False, (i,)) for i, s in enumerate(self.kernel.shape)]
        reduced = set(self.kernel.reduced)
        live = [Axis(s, i in reduced, (i,)) for i, s in enumerate(self.kernel.shape) if isinstance(s, Dim) or s != 1]
        return [a for a in live if not a.reduced] + [a for a in live if a.reduced]

    def _merge(self, axes: list[Axis], after: int | None) -> list[Axis]:
        """Neighbouring axes that every access walks as if they were one become one."""
        if self.is_epilogue and after is None:
            return axes
        first = -1 if after is None else after
        out: list[Axis] = []
        for axis in axes:
            last = out[-1] if out else None
            alike = last is not None and last.domain[0] > first and last.reduced == axis.reduced
            if last is not None and alike and self._walks_as_one(last, axis):
                out[-1] = Axis(last.extent * axis.extent, axis.reduced, (*last.domain, *axis.domain))
            else:
                out.append(axis)
        return out

    def _walks_as_one(self, outer: Axis, inner: Axis) -> bool:
        if self.kernel.split is not None and self.kernel.split[0] in (outer.domain[-1], inner.domain[0]):
            return False  # the split axis is cut into blocks of its own
        if self.counted.intersection((*outer.domain, *inner.domain)):
            return False  # an op wants to know where along such an axis it is
        return all(
            a.strides[outer.domain[-1]] == a.strides[inner.domain[0]] * inner.extent
            or (a.strides[outer.domain[-1]] == 0 and a.strides[inner.domain[-1]] == 0)
            for a in self.accesses
        )

    def _stride(self, access: Access, axis: Axis) -> Size:
        return access.strides[axis.domain[-1]]

    def _vector_axis(self) -> int | None:
        """The axis along which the accesses cost least: steps of one or none are cheap, others gather element by
        element.

        Ties go to the inner axis.
        """
        best, least = None, float("inf")
        for i, axis in enumerate(self.axes):
            cost = 0.0
            for a in self.accesses:
                strides = self.strides[id(a)]
                volume = 1.0
                for other, stride in zip(self.axes, strides, strict=True):
                    volume *= _rough(other.extent) if stride != 0 else 1.0
                cost += volume * _step_cost(strides[i])
            extent = _rough(axis.extent)
            cost *= -(-extent // 16) * 16 / extent if extent else 1.0  # lanes that stay empty
            if cost <= least:
                best, least = i, cost
        return best

    def _unrolled(self) -> list[int]:
        """Axes of a few elements inside the vector's, windows say: all their points are written out, without a loop."""
        if self.form not in ("map", "column") or self.kernel.split is not None:
            return []
        found: list[int] = []
        points = 1
        for i in reversed(range(len(self.axes))):
            extent = self.axes[i].extent
            if i == self.vector:
                continue
            if self.axes[i].reduced != (self.form == "column"):
                break
            if isinstance(extent, Dim) or points * extent > MAX_UNROLLED:
                break
            points *= extent
            if len(self.kernel.body) * points > MAX_WRITTEN:
                break
            found.append(i)
        return found[::-1]

    def _streamed(self) -> list[Buffer]:
        """What is written past the cache where it is large: reading a line only to overwrite it takes memory's time."""
        if self.form != "map":
            return []
        read = {v.access.buffer for v in self.kernel.body if isinstance(v, (Load, Indirect))}
        size = self.points()
        return [
            store.access.buffer
            for store in self.kernel.stores
            if store.access.buffer not in read
            and self.strides[id(store.access)][self.vector] == 1  # type: ignore[index]
            and (isinstance(size, Dim) or size * store.dtype.itemsize >= STREAMED_BYTES)
        ]

    @property
    def split(self) -> tuple[int, int] | None:
        """(nest axis, rows) if a unit is a block of a reduced axis."""
        if self.kernel.split is None:
            return None
        axis, rows = self.kernel.split
        found = [i for i, a in enumerate(self.axes) if axis in a.domain]
        return (found[0], rows) if found else None

    # -- work -------------------------------------------------------------------------------------------------------
    @property
    def outer(self) -> list[int]:
        """The kept axes that units are of: apart from the vector axis and those written out inside it."""
        inside = self.unrolled if self.form == "map" else ()
        return [i for i, a in enumerate(self.axes) if not a.reduced and i != self.vector and i not in inside]

    @property
    def inner(self) -> list[int]:
        """The reduced axes apart from the vector axis."""
        return [i for i, a in enumerate(self.axes) if a.reduced and i != self.vector]

    @property
    def block(self) -> int | None:
        """How many elements of a kept vector axis make a unit; None for all of them."""
        if self.form not in ("map", "column") or self.vector is None:
            return None
        block = MAP_BLOCK if self.form == "map" else COLUMN_BLOCK
        extent = self.axes[self.vector].extent
        return block if isinstance(extent, Dim) or extent > block else None

    def units(self) -> Size:
        """The number of units, which may be symbolic."""
        if self.split is not None:
            axis, rows = self.split
            return (self.axes[axis].extent + (rows - 1)) // rows
        count = product(self.axes[i].extent for i in self.outer)
        if self.block is not None and self.vector is not None:
            count = count * ((self.axes[self.vector].extent + (self.block - 1)) // self.block)
        return count

    def points(self) -> Size:
        """The number of points of the domain."""
        return product(self.kernel.shape)

    def cost(self) -> float:
        """Rough cost of one point, in additions."""
        total = 0.0
        for value in self.kernel.body:
            total += value.op.cost if isinstance(value, Compute) else 1.0 if not isinstance(value, Const) else 0.0
        return total + len(self.kernel.stores)

    def work(self, sizes: Mapping[str, int]) -> Work:
        """Chunks of a number of units that depends on the work alone, never on the number of threads."""
        units = evaluate(self.units(), sizes)
        if units <= 0:
            return Work(0, [1, 0, 0])
        points = evaluate(self.points(), sizes)
        cost = points * self.cost()
        grain = -(-units // int(min(units, MAX_CHUNKS, max(1.0, cost / CHUNK_COST))))
        large = any(points * buffer.dtype.itemsize >= STREAMED_BYTES for buffer in self.streamed)
        return Work(-(-units // grain), [grain, units, int(large)])

    # -- text -------------------------------------------------------------------------------------------------------
    def _text(self) -> str:
        """Everything the code depends on, in a canonical form: equal texts are equal code."""
        arg = self.arguments
        for store in self.kernel.stores:
            arg.buffer(store.access.buffer)
        lines = [f"{self.form} vector={self.vector} block={self.block} split={self.split} unrolled={self.unrolled}"]
        lines += [f"streamed b{arg.buffer(b)}" for b in self.streamed]
        lines += [f"axis {arg.size(a.extent)}{' reduced' if a.reduced else ''} {a.domain}" for a in self.axes]
        for i, value in enumerate(self.kernel.body):
            lines.append(f"%{i} = {self._value_text(value)}")
        for store in self.kernel.stores:
            lines.append(f"store %{store.value} {store.dtype} {self._access_text(store.access)}")
        arg.sizes_fixed = len(arg.sizes)  # type: ignore[attr-defined]
        return "\n".join(lines)

    def _value_text(self, value: Any) -> str:
        if isinstance(value, Load):
            return f"load {value.dtype} {self._access_text(value.access)}"
        if isinstance(value, Const):
            return f"const {value.dtype} {value.value!r}"
        if isinstance(value, SizeValue):
            return f"size {value.dtype} {self.arguments.size(value.size, always=True)}"
        if isinstance(value, Reduce):
            return f"reduce {value.combine} %{value.arg} {value.dtype}"
        if isinstance(value, Indirect):
            return (
                f"gather {value.dtype} {self._access_text(value.access)} %{value.index} "
                f"{self.arguments.size(value.stride)} {self.arguments.size(value.extent)} "
                f"{self.arguments.size(value.node, always=True)}"
            )
        if isinstance(value, Compute):
            attrs = " ".join(f"{k}={self.attr_text(v)}" for k, v in value.attrs)
            return f"{value.op.name} {value.args} {value.dtype} {value.axes} {attrs} {_code_of(value.op.emit)}"
        return f"product {value.part}"

    def attr_text(self, value: Any) -> str:
        if isinstance(value, (Dim, int)) and not isinstance(value, bool):
            return self.arguments.size(value)
        if isinstance(value, tuple):
            return "(" + " ".join(self.attr_text(v) for v in value) + ")"
        if isinstance(value, np.ndarray):
            return hashlib.sha256(value.tobytes()).hexdigest()
        return str(value) if isinstance(value, DType) else repr(value)

    def _access_text(self, access: Access) -> str:
        strides = " ".join(self.arguments.size(s) for s in self.strides[id(access)])
        offset = "" if access.offset == 0 else f"+{self.arguments.size(access.offset, always=True)}"
        return f"b{self.arguments.buffer(access.buffer)}[{strides}]{offset}"


def _rough(size: Size) -> float:
    """A number to weigh an extent with; symbolic ones count as 256."""
    return 256.0 if isinstance(size, Dim) else float(size)


def _step_cost(stride: Size) -> float:
    """What an element costs that lies this far from the one before: little where whole vectors are read."""
    if isinstance(stride, Dim) or not -1 < stride <= SHORT_STEP:
        return 1.0
    return 0.1 if stride <= 1 else 0.1 * stride


def _counted_axes(kernel: LoopKernel) -> set[int]:
    """The domain axes along which an op of the body uses its coordinate."""
    found: set[int | None] = set()
    for value in kernel.body:
        if isinstance(value, Compute) and value.op.indexed:
            axis = dict(value.attrs).get("axis") if value.op.name == "iota" else None
            found.update(value.axes if axis is None else value.axes[axis : axis + 1])
    return {axis for axis in found if axis is not None}


def _accesses(kernel: LoopKernel) -> list[Access]:
    out = [v.access for v in kernel.body if isinstance(v, (Load, Indirect))]
    return out + [s.access for s in kernel.stores]


def _code_of(emit: Any) -> str:
    """A fingerprint of an emission rule, so that a changed rule of the same name is another kernel."""
    code = getattr(emit, "__code__", None)
    if code is None:
        return ""
    found = _CODE.get(code)
    if found is None:
        text = repr((code.co_code, [c for c in code.co_consts if not hasattr(c, "co_code")], code.co_names))
        found = _CODE[code] = hashlib.sha256(text.encode()).hexdigest()[:12]
    return found


_CODE: dict[Any, str] = {}
