"""Control flow in native programs: the small kernels that move pointers, and the jumps between instructions.

A ``Tour`` turns the marks of a program (schedule/marks.py) into calls, as a plan is made: sizes are numbers by then, so
strides are bytes, and loops of no steps are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from graphflow.codegen.cache import digest
from graphflow.codegen.jit import Unit
from graphflow.core.dims import evaluate
from graphflow.runtime.native import BARRIER, JUMP, Instruction
from graphflow.schedule.marks import Mark, Region

WAIT = Instruction(0, [], 0, BARRIER)
"""An instruction for which all threads wait, and nothing else."""


class Tour:
    """The calls for the marks, while a plan goes through its kernels. ``skipping``: within a loop of no steps."""

    def __init__(self, addresses: Mapping[str, int], sizes: Mapping[str, int]) -> None:
        self.addresses = addresses
        self.sizes = sizes
        self.skipping: Region | None = None
        self.cells: list[np.ndarray[Any, Any]] = []  # a counter or decision for each region
        self._tops: dict[Region, tuple[int, int]] = {}  # the cell's address, and the call to go back to
        self._ahead: dict[Region, list[list[int]]] = {}  # arguments of jumps whose targets are not known yet

    def leaves_out(self, kernel: Any) -> bool:
        """Whether a kernel is not part of the program for these sizes."""
        return self.skipping is not None and not (isinstance(kernel, Mark) and kernel.region is self.skipping)

    def mark(self, mark: Mark, calls: list[Any]) -> None:
        """Append the calls for a mark."""
        getattr(self, f"_{mark.what}")(mark, mark.region, calls)

    def _begin(self, mark: Mark, region: Region, calls: list[Any]) -> None:
        cell = np.zeros(1, np.int64)
        self.cells.append(cell)
        steps = 0 if region.length is None else evaluate(region.length, self.sizes)
        moves: list[int] = []
        for walk in region.walks:
            start = walk.first + (steps - 1 if region.reverse else 0)
            moves += [walk.slot.index, walk.whole.index, start * self._bytes(walk)]
        for swap in region.swaps:
            moves += [swap.now.index, swap.home.index, 0, swap.after.index, swap.other.index, 0]
        arguments = [cell.ctypes.data, steps, len(moves) // 3, *moves]
        calls.append((mark, Instruction(self._address("begin"), arguments, 1, BARRIER)))
        calls.append((None, WAIT))  # here, so that what the loop goes back to need not
        self._tops[region] = cell.ctypes.data, len(calls)
        self._ahead[region] = []
        if region.length is not None and steps == 0:
            self.skipping = region

    def _bytes(self, walk: Any) -> int:
        return evaluate(walk.stride, self.sizes) * walk.whole.dtype.itemsize

    def _test(self, mark: Mark, region: Region, calls: list[Any]) -> None:
        cell, _ = self._tops[region]
        assert mark.flag is not None
        calls.append((None, Instruction(self._address("test"), [cell, mark.flag.index], 1, BARRIER)))
        self._jump(calls, cell, 0, region)

    def _again(self, mark: Mark, region: Region, calls: list[Any]) -> None:
        cell, top = self._tops[region]
        if self.skipping is region:
            return
        way = -1 if region.reverse else 1
        moves = [n for walk in region.walks for n in (walk.slot.index, way * self._bytes(walk))]
        swaps = [n for swap in region.swaps for n in (swap.now.index, swap.after.index)]
        arguments = [cell, len(region.walks), len(region.swaps), *moves, *swaps]
        calls.append((None, Instruction(self._address("again"), arguments, 1, BARRIER)))
        # A counter goes on until it is 0; after a test the cell was 1, and always is 0 here.
        self._jump(calls, cell, 0 if region.length is None else 1, region, top)

    def _else(self, mark: Mark, region: Region, calls: list[Any]) -> None:
        ahead = self._ahead[region].pop()
        cell, _ = self._tops[region]
        self._jump(calls, cell, 1, region)  # the cell is not 0, or the other branch would run
        self._land(ahead, calls)

    def _end(self, mark: Mark, region: Region, calls: list[Any]) -> None:
        if self.skipping is region:
            self.skipping = None
        for ahead in self._ahead[region]:
            self._land(ahead, calls)
        # Both ways lead here: what comes next must not run ahead of what other threads still do.
        calls.append((mark, WAIT))

    def _jump(self, calls: list[Any], cell: int, sense: int, region: Region, target: int | None = None) -> None:
        """Go to call ``target``, or to a place further on, if the cell is 0 (sense 0) or is not (sense 1)."""
        arguments = [cell, sense, 0 if target is None else target - len(calls)]
        if target is None:
            arguments[2] = -len(calls)  # so far only where the jump is
            self._ahead[region].append(arguments)
        calls.append((None, Instruction(0, arguments, 0, BARRIER | JUMP)))

    def _land(self, arguments: list[int], calls: list[Any]) -> None:
        """The next call is where a jump leads."""
        arguments[2] += len(calls)

    def _address(self, name: str) -> int:
        return self.addresses[UNITS[name].key]


# -- the kernels -------------------------------------------------------------------------------------------------------
def _emit_begin(frame: Any) -> None:
    """``[cell, value, n, (slot, whole, bytes)...]``: cell = value; table[slot] = table[whole] + bytes."""
    from graphflow.codegen.frame import I64, POINTER, i64

    b = frame.builder
    b.store(_word(frame, 1), b.inttoptr(_word(frame, 0), POINTER))

    def move(i: Any) -> None:
        at = b.add(b.mul(i, i64(3)), i64(3))
        slot, whole, offset = (_word(frame, b.add(at, i64(k))) for k in range(3))
        base = b.load(b.gep(frame.table, [whole], source_etype=I64), typ=I64)
        b.store(b.add(base, offset), b.gep(frame.table, [slot], source_etype=I64))

    frame.loop(i64(0), _word(frame, 2), 1, move)


def _emit_test(frame: Any) -> None:
    """``[cell, flag]``: cell = the bool in buffer flag."""
    from llvmlite import ir

    from graphflow.codegen.frame import I64, POINTER

    b = frame.builder
    flag = b.load(b.gep(frame.table, [_word(frame, 1)], source_etype=POINTER), typ=POINTER)
    b.store(b.zext(b.load(flag, typ=ir.IntType(8)), I64), b.inttoptr(_word(frame, 0), POINTER))


def _emit_again(frame: Any) -> None:
    """``[cell, walks, swaps, (slot, bytes)..., (slot, slot)...]``: cell -= 1; slots go on, or change places."""
    from graphflow.codegen.frame import I64, POINTER, i64

    b = frame.builder
    cell = b.inttoptr(_word(frame, 0), POINTER)
    b.store(b.sub(b.load(cell, typ=I64), i64(1)), cell)
    walks = _word(frame, 1)

    def pair(i: Any) -> tuple[Any, Any, Any]:
        at = b.add(b.mul(i, i64(2)), i64(3))
        place = b.gep(frame.table, [_word(frame, at)], source_etype=I64)
        return place, b.load(place, typ=I64), _word(frame, b.add(at, i64(1)))

    def walk(i: Any) -> None:
        place, address, step = pair(i)
        b.store(b.add(address, step), place)

    def swap(i: Any) -> None:
        place, address, other = pair(i)
        there = b.gep(frame.table, [other], source_etype=I64)
        b.store(b.load(there, typ=I64), place)
        b.store(address, there)

    frame.loop(i64(0), walks, 1, walk)
    frame.loop(walks, b.add(walks, _word(frame, 2)), 1, swap)


def _word(frame: Any, index: Any) -> Any:
    """A word of the kernel's arguments."""
    from graphflow.codegen.frame import I64, i64

    where = i64(index) if isinstance(index, int) else index
    return frame.builder.load(frame.builder.gep(frame.args, [where], source_etype=I64), typ=I64)


def _unit(name: str, body: Callable[[Any], None]) -> Unit:
    def emit(module: Any, symbol: str) -> None:
        from graphflow.codegen.frame import Frame

        frame = Frame(module, symbol, 0)
        body(frame)
        frame.builder.ret_void()

    return Unit(digest("control", name, _SOURCE), emit, f"control.{name}", program=True)


with open(__file__, "rb") as _file:
    _SOURCE = _file.read()

UNITS = {
    name: _unit(name, body) for name, body in (("begin", _emit_begin), ("test", _emit_test), ("again", _emit_again))
}
