"""The function of one kernel under construction: the ABI's arguments, loops, and places for accumulators."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

I64 = ir.IntType(64)
POINTER = ir.PointerType()
SIGNATURE = ir.FunctionType(ir.VoidType(), [POINTER, POINTER, I64, I64, POINTER])


def i64(number: int) -> Any:
    return ir.Constant(I64, number)


class Frame:
    """The function of one kernel under construction: its arguments, its pointers and sizes, and loops."""

    def __init__(self, module: ir.Module, symbol: str, buffers: int) -> None:
        self.function = ir.Function(module, SIGNATURE, symbol)
        self.table, self.args, self.begin, self.end, self.scratch = self.function.args
        self.entry = self.function.append_basic_block("entry")
        self.builder = ir.IRBuilder(self.entry)
        self.buffer_count = buffers
        self._sizes: dict[int, Any] = {}
        self.pointers = [self._pointer(i) for i in range(buffers)]

    def _pointer(self, index: int) -> Any:
        b = self.builder
        number = b.load(b.gep(self.args, [i64(index)], source_etype=I64), typ=I64)
        return b.load(b.gep(self.table, [number], source_etype=POINTER), typ=POINTER)

    def argument(self, index: int) -> Any:
        """Run-time size number ``index`` of this instruction; loaded once, in the entry block."""
        if index not in self._sizes:
            with self.in_entry():
                place = self.builder.gep(self.args, [i64(self.buffer_count + index)], source_etype=I64)
                self._sizes[index] = self.builder.load(place, typ=I64)
        return self._sizes[index]

    @contextmanager
    def in_entry(self) -> Iterator[None]:
        """Emit into the entry block, before its terminator if it has one."""
        block = self.builder.block
        if block is self.entry and not self.entry.is_terminated:
            yield
            return
        if self.entry.is_terminated:
            self.builder.position_before(self.entry.terminator)
        else:
            self.builder.position_at_end(self.entry)
        yield
        self.builder.position_at_end(block)

    def alloca(self, kind: ir.Type, count: int | None = None) -> Any:
        with self.in_entry():
            return self.builder.alloca(kind, count)

    def loop(self, start: Any, stop: Any, step: int, body: Callable[[Any], None]) -> None:
        """for i in range(start, stop, step): body(i), with i64 LLVM values."""
        b = self.builder
        head, inside, after = (b.append_basic_block(n) for n in ("loop", "body", "after"))
        before = b.block
        b.branch(head)
        b.position_at_end(head)
        i = b.phi(I64)
        i.add_incoming(start, before)
        b.cbranch(b.icmp_signed("<", i, stop), inside, after)
        b.position_at_end(inside)
        body(i)
        i.add_incoming(b.add(i, i64(step)), b.block)
        b.branch(head)
        b.position_at_end(after)

    def when(self, condition: Any, body: Callable[[], None]) -> None:
        with self.builder.if_then(condition):
            body()
