"""Kernels small enough to read, for testing what compiles, caches and runs kernels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from llvmlite import ir

from graphflow.codegen.cache import digest
from graphflow.codegen.jit import Unit

I64, F32, BYTES = ir.IntType(64), ir.FloatType(), ir.IntType(8).as_pointer()
KERNEL = ir.FunctionType(ir.VoidType(), [BYTES.as_pointer(), I64.as_pointer(), I64, I64, BYTES])


def number(value: int) -> ir.Constant:
    return ir.Constant(I64, value)


def start(module: ir.Module, symbol: str) -> tuple[ir.IRBuilder, ir.Function]:
    function = ir.Function(module, KERNEL, symbol)
    return ir.IRBuilder(function.append_basic_block()), function


def buffer(b: ir.IRBuilder, function: ir.Function, position: int, element: ir.Type) -> ir.Value:
    """The buffer whose number is the argument at `position`."""
    index = b.load(b.gep(function.args[1], [number(position)]))
    return b.bitcast(b.load(b.gep(function.args[0], [index])), element.as_pointer())


@contextmanager
def each(b: ir.IRBuilder, begin: ir.Value, end: ir.Value) -> Iterator[ir.Value]:
    """A loop over begin..end-1; the range must not be empty."""
    before, body, after = b.block, b.append_basic_block(), b.append_basic_block()
    b.branch(body)
    b.position_at_end(body)
    index = b.phi(I64)
    index.add_incoming(begin, before)
    yield index
    following = b.add(index, number(1))
    index.add_incoming(following, b.block)
    b.cbranch(b.icmp_signed("<", following, end), body, after)
    b.position_at_end(after)


def adder(constant: float, program: bool = False) -> Unit:
    """z[i] = x[i] + y[i] + constant, one element per chunk."""

    def emit(module: ir.Module, symbol: str) -> None:
        b, function = start(module, symbol)
        x, y, z = (buffer(b, function, position, F32) for position in range(3))
        with each(b, function.args[2], function.args[3]) as i:
            total = b.fadd(b.load(b.gep(x, [i])), b.load(b.gep(y, [i])))
            b.store(b.fadd(total, ir.Constant(F32, constant)), b.gep(z, [i]))
        b.ret_void()

    return Unit(digest("adder", str(constant)), emit, f"adder[{constant}]", program=program)


def _count(module: ir.Module, symbol: str) -> None:
    b, function = start(module, symbol)
    counts = buffer(b, function, 0, I64)
    with each(b, function.args[2], function.args[3]) as i:
        place = b.gep(counts, [i])
        b.store(b.add(b.load(place), number(1)), place)
    b.ret_void()


def _shift(module: ir.Module, symbol: str) -> None:
    b, function = start(module, symbol)
    source, target = buffer(b, function, 0, I64), buffer(b, function, 1, I64)
    extent = b.load(b.gep(function.args[1], [number(2)]))
    with each(b, function.args[2], function.args[3]) as i:
        neighbour = b.srem(b.add(i, number(1)), extent)
        b.store(b.add(b.load(b.gep(source, [neighbour])), number(1)), b.gep(target, [i]))
    b.ret_void()


def _fill_scratch(module: ir.Module, symbol: str) -> None:
    b, function = start(module, symbol)
    out = buffer(b, function, 0, I64)
    extent = b.load(b.gep(function.args[1], [number(1)]))
    scratch = function.args[4]
    words = b.bitcast(scratch, I64.as_pointer())
    with each(b, function.args[2], function.args[3]) as i:
        with each(b, number(0), extent) as j:
            b.store(i, b.gep(words, [j]))
        last = b.load(b.gep(words, [b.sub(extent, number(1))]))
        misaligned = b.and_(b.ptrtoint(scratch, I64), number(63))
        b.store(b.add(last, misaligned), b.gep(out, [i]))
    b.ret_void()


COUNT = Unit(digest("count"), _count, "count")
"""counts[i] += 1."""
SHIFT = Unit(digest("shift"), _shift, "shift")
"""target[i] = source[(i + 1) % extent] + 1: wrong if a neighbour is not finished."""
FILL_SCRATCH = Unit(digest("fill scratch"), _fill_scratch, "fill_scratch")
"""Fill `extent` words of scratch with i, then out[i] = the last of them (plus 1-63 if scratch is misaligned)."""
