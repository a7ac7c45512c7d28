"""An angle as a multiple of pi / 2 and a rest, exactly enough for any float64."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from llvmlite import ir

from graphflow_kernels.cpu.memory import POINTER
from graphflow_kernels.cpu.value import Value
from graphflow_kernels.cpu.vecmath.exponential import nearest_whole
from graphflow_kernels.cpu.vecmath.polynomial import fast_two_sum, two_product, two_sum

if TYPE_CHECKING:
    from graphflow_kernels.cpu.scalar import ScalarBuilder

TWO_OVER_PI = 0.6366197723675814
# pi / 2 in parts of 33, 33 and 53 bits: the first two times a number below 2**20 are exact.
HALF_PI_PARTS = (1.5707963267341256, 6.077100506303966e-11, 2.0222662487959506e-21)
LARGEST = 1.6e6
HALF_PI_HIGH, HALF_PI_LOW = 1.5707963267948966, 6.123233995736766e-17
# The binary digits of 2 / pi after the point, after 64 zeros.
TWO_OVER_PI_WORDS = struct.unpack(
    ">42I",
    bytes.fromhex("""
    00000000 00000000 a2f9836e 4e441529 fc2757d1 f534ddc0 db629599 3c439041 fe5163ab debbc561 b7246e3a 424dd2e0
    06492eea 09d1921c fe1deb1c b129a73e e88235f5 2ebb4484 e99c7026 b45f7e41 3991d639 835339f4 9c845f8b bdf9283b
    1ff897ff de05980f ef2f118b 5a0a6d1f 6d367ecf 27cb09b7 4f463f66 9e5fea2d 7527bac7 ebe5f17b 3d0739f7 8a5292ea
    6bfb5fb1 1f8d5d08 56033046 fc7b6bab f0cfbc20 9af4361d
    """),
)


def quadrant(b: ScalarBuilder, x: Value) -> tuple[Value, Value, Value]:
    """n (mod 4, uint64), r and low of the float64 x = n pi / 2 + (r + low), |r| <= pi / 4."""
    whole, n = nearest_whole(b, x, TWO_OVER_PI)
    high, middle, last = HALF_PI_PARTS
    r, error = two_sum(b.fma(-whole, high, x), -(whole * middle))
    r, low = fast_two_sum(r, b.fma(-whole, last, error))
    large = ~(b.abs(x) <= LARGEST)
    return _rarely(b, large, lambda: _large_quadrant(b, x), [n, r, low])


def _rarely(b: ScalarBuilder, condition: Value, rare: Any, usual: list[Value]) -> tuple[Value, Value, Value]:
    """The usual values, or the rare ones in the lanes where the condition holds: a jump past them where none does."""
    before = b.builder.block
    seldom, after = b.builder.append_basic_block("seldom"), b.builder.append_basic_block("after")
    b.builder.cbranch(b.reduce_any(condition).ir, seldom, after)
    b.builder.position_at_end(seldom)
    mixed = [b.select(condition, r, u) for r, u in zip(rare(), usual)]
    b.builder.branch(after)
    end = b.builder.block
    b.builder.position_at_end(after)
    results = []
    for old, new in zip(usual, mixed):
        phi = b.builder.phi(new.ir.type)
        phi.add_incoming(old.ir, before)
        phi.add_incoming(new.ir, end)
        results.append(b.value(phi, old.dtype))
    return results[0], results[1], results[2]


def _large_quadrant(b: ScalarBuilder, x: Value) -> list[Value]:
    """Calls the function that reduces large angles, made once in a module: it is long."""
    x = b.splat(x)
    module = b.builder.module
    name = f"graphflow.large_quadrant.{b.lanes}"
    function = module.globals.get(name)
    if function is None:
        from graphflow_kernels.cpu.scalar import ScalarBuilder

        kinds = [POINTER, POINTER, x.ir.type]
        word = b.llvm_type("uint64")
        function = ir.Function(module, ir.FunctionType(word, kinds), name)
        function.linkage = "internal"
        function.attributes.add("noinline")
        inside = ScalarBuilder(ir.IRBuilder(function.append_basic_block()), b.target, b.lanes)
        n, r, low = _payne_hanek(inside, inside.value(function.args[2], "float64"))
        for part, pointer in zip((r, low), function.args):
            inside.store(part, pointer, 0, "float64")
        inside.builder.ret(n.ir)
    with b.builder.goto_entry_block():
        slots = [b.builder.alloca(x.ir.type) for _ in range(2)]
    pointers = [b.builder.bitcast(slot, POINTER) for slot in slots]
    n = b.value(b.builder.call(function, [*pointers, x.ir]), "uint64")
    return [n, *(b.load(pointer, 0, "float64") for pointer in pointers)]


def _payne_hanek(b: ScalarBuilder, x: Value) -> tuple[Value, Value, Value]:
    """x * 2 / pi modulo 4 with 190 bits after the point (Payne and Hanek 1983), for 2**20 <= |x| < infinity."""
    bits = b.bitcast(x, "uint64")
    exponent = (bits >> 52) & 0x7FF
    # x is mantissa * 2**(exponent - 1075): digits of 2 / pi worth 4 or more, once scaled, do not count.
    # Clipped for the lanes that are not large, or not finite, and do not count either.
    first = b.clip(exponent, 1023 + 20, 2046) - (1075 - 62)
    limbs = _digits(b, first)
    mantissa = (bits & ((1 << 52) - 1)) | (1 << 52)
    top, high, low, lowest = _product(limbs, mantissa & 0xFFFFFFFF, mantissa >> 32)
    # The two leading bits count quadrants; a rest of more than half a quadrant counts down from the next one.
    n = (top + (1 << 29)) >> 30
    leading = b.cast(b.bitcast(((top << 32) | high) << 2, "int64") >> 32, "float64")
    s, e = two_sum(leading * 2.0**-32, b.cast(((high << 2) | (low >> 30)) & 0xFFFFFFFF, "float64") * 2.0**-64)
    s, e2 = two_sum(s, b.cast(((low << 2) | (lowest >> 30)) & 0xFFFFFFFF, "float64") * 2.0**-96)
    s, e3 = fast_two_sum(s, e + e2 + b.cast((lowest << 2) & 0xFFFFFFFF, "float64") * 2.0**-128)
    r, rest = two_product(b, HALF_PI_HIGH, s)
    r, low_part = fast_two_sum(r, rest + (HALF_PI_LOW * s + HALF_PI_HIGH * e3))
    negative = x < 0.0
    return b.select(negative, 0 - n, n), b.select(negative, -r, r), b.select(negative, -low_part, low_part)


def _digits(b: ScalarBuilder, first: Value) -> list[Value]:
    """192 binary digits from digit number `first` of the table, as six words in uint64, most significant first."""
    module = b.builder.module
    name = "graphflow.two_over_pi"
    table = module.globals.get(name)
    if table is None:
        kind = ir.ArrayType(ir.IntType(32), len(TWO_OVER_PI_WORDS))
        table = ir.GlobalVariable(module, kind, name)
        table.linkage, table.global_constant = "internal", True
        table.initializer = ir.Constant(kind, list(TWO_OVER_PI_WORDS))
    pointer = b.builder.bitcast(table, POINTER)
    word, offset = first >> 5, first & 31
    words = [b.cast(b.gather(pointer, b.bitcast(word + i, "int64"), "uint32"), "uint64") for i in range(7)]
    return [((((words[i] << 32) | words[i + 1]) << offset) >> 32) for i in range(6)]


def _product(limbs: list[Value], low: Value, high: Value) -> list[Value]:
    """The four leading words of (six words) * (high * 2**32 + low) modulo 2**192, most significant first."""
    mask = 0xFFFFFFFF
    by_low = [limb * low for limb in reversed(limbs)]
    by_high = [limb * high for limb in reversed(limbs)]
    words: list[Value] = []
    carry: Any = 0
    for k in range(6):
        total = (by_low[k] & mask) + carry
        if k >= 1:
            total = total + (by_low[k - 1] >> 32) + (by_high[k - 1] & mask)
        if k >= 2:
            total = total + (by_high[k - 2] >> 32)
        words.append(total & mask)
        carry = total >> 32
    return [words[5], words[4], words[3], words[2]]
