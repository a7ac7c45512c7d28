"""Loops and integer arithmetic around kernels, with `Value`s as loop variables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from graphflow_kernels.cpu.emitter import I64
from graphflow_kernels.cpu.scalar import ScalarBuilder
from graphflow_kernels.cpu.value import Value

Size = Any
"""A Python int, or a single int64 `Value`."""


class Integers:
    """int64 arithmetic for sizes: numbers stay numbers, values become instructions."""

    def __init__(self, b: ScalarBuilder) -> None:
        self.b = b

    def least(self, x: Size, y: Size) -> Size:
        """The lesser."""
        return min(x, y) if isinstance(x, int) and isinstance(y, int) else self.b.minimum(x, y)

    def greatest(self, x: Size, y: Size) -> Size:
        """The greater."""
        return max(x, y) if isinstance(x, int) and isinstance(y, int) else self.b.maximum(x, y)

    def quotient(self, x: Size, y: Size) -> Size:
        """x // y of nonnegative numbers."""
        if isinstance(x, int) and isinstance(y, int):
            return x // y
        x, y = self.b.together(x, y)
        return self.b.value(self.b.builder.udiv(x.ir, y.ir), x.dtype)

    def small_quotient(self, x: Size, y: Size) -> Size:
        """x // y of nonnegative numbers below 2**31.

        A 64-bit division becomes a choice of two divisions at run time, which takes long to compile.
        """
        if isinstance(y, int):
            return self.quotient(x, y)
        x, y = (self.b.cast(self.value(each), "int32") for each in (x, y))
        return self.b.cast(self.quotient(x, y), "int64")

    def rounded_up(self, x: Size, y: Size) -> Size:
        """How many y it takes to cover x."""
        return self.quotient(x + (y - 1), y)

    def value(self, x: Size) -> Value:
        """`x` as a value."""
        return self.b.const(x, "int64") if isinstance(x, int) else x

    def ir(self, x: Size) -> Any:
        """`x` as an LLVM i64."""
        return self.value(x).ir


@contextmanager
def loop(b: ScalarBuilder, start: Size, stop: Size, step: Size = 1) -> Iterator[Value]:
    """for i in range(start, stop, step): the body of the `with` statement is emitted once."""
    ints = Integers(b)
    builder = b.builder
    head, body, after = (builder.append_basic_block(name) for name in ("loop", "loop.body", "loop.end"))
    before, first, last = builder.block, ints.ir(start), ints.ir(stop)
    builder.branch(head)
    builder.position_at_end(head)
    i = builder.phi(I64)
    i.add_incoming(first, before)
    builder.cbranch(builder.icmp_signed("<", i, last), body, after)
    builder.position_at_end(body)
    yield b.value(i, "int64")
    i.add_incoming(builder.add(i, ints.ir(step)), builder.block)
    builder.branch(head)
    builder.position_at_end(after)
