"""Arithmetic, comparisons, bits and selection, with NumPy's semantics and no trap and no undefined result."""

from __future__ import annotations

import math
from typing import Any

from llvmlite import ir

from graphflow_kernels.cpu import types
from graphflow_kernels.cpu.emitter import Emitter, mangled
from graphflow_kernels.cpu.value import Operand, Value


class Arithmetic(Emitter):
    """The part of `ScalarBuilder` that maps to one or a few instructions."""

    # -- sums and products -----------------------------------------------------------------------------------------

    def _binary(self, x: Operand, y: Operand, floating: str, integer: str, boolean: str | None = None) -> Value:
        x, y = self.together(x, y)
        if x.dtype == "bool" and boolean is None:
            raise TypeError("this operation has no meaning for bool; cast it to an integer first")
        name = floating if types.is_float(x.dtype) else boolean if x.dtype == "bool" else integer
        return self.value(getattr(self.builder, str(name))(x.ir, y.ir), x.dtype)

    def add(self, x: Operand, y: Operand) -> Value:
        """x + y (logical or of bools)."""
        return self._binary(x, y, "fadd", "add", "or_")

    def sub(self, x: Operand, y: Operand) -> Value:
        """x - y."""
        return self._binary(x, y, "fsub", "sub")

    def mul(self, x: Operand, y: Operand) -> Value:
        """x * y (logical and of bools)."""
        return self._binary(x, y, "fmul", "mul", "and_")

    def div(self, x: Operand, y: Operand) -> Value:
        """x / y of floats."""
        x, y = self.floats(x, y)
        return self.value(self.builder.fdiv(x.ir, y.ir), x.dtype)

    def fma(self, x: Operand, y: Operand, z: Operand) -> Value:
        """x * y + z, rounded once where the target has the instruction and twice where not."""
        x, y, z = self.together(x, y, z)
        if types.is_float(x.dtype) and self.target.has_fma:
            return self.value(self.overloaded("fma", x.ir, y.ir, z.ir), x.dtype)
        return x * y + z

    def neg(self, x: Value) -> Value:
        """-x."""
        if types.is_float(x.dtype):
            return self.value(self.builder.fneg(x.ir), x.dtype)
        return self.sub(0, x)

    def abs(self, x: Value) -> Value:
        """The absolute value; the least integer stays as it is."""
        if types.is_float(x.dtype):
            return self.value(self.overloaded("fabs", x.ir), x.dtype)
        if types.is_unsigned(x.dtype) or x.dtype == "bool":
            return x
        return self.select(x < 0, -x, x)

    def sign(self, x: Value) -> Value:
        """-1, 0 or 1; NaN stays NaN."""
        if types.is_unsigned(x.dtype) or x.dtype == "bool":
            return self.cast(x != 0, x.dtype)
        # x + 0 turns -0.0 into 0.0 and keeps NaN.
        return self.select(x > 0, self.like(1, x), self.select(x < 0, self.like(-1, x), x + 0))

    def square(self, x: Value) -> Value:
        """x * x."""
        return x * x

    def sqrt(self, x: Value) -> Value:
        """The square root, correctly rounded; NaN below zero."""
        (x,) = self.floats(x)
        return self.value(self.overloaded("sqrt", x.ir), x.dtype)

    def rsqrt(self, x: Value) -> Value:
        """1 / sqrt(x)."""
        return 1.0 / self.sqrt(x)

    def reciprocal(self, x: Value) -> Value:
        """1 / x."""
        (x,) = self.floats(x)
        return 1.0 / x

    def floats(self, *operands: Operand) -> list[Value]:
        """Operands as `together` gives them, after a check that they are floating-point."""
        values = self.together(*operands)
        if not types.is_float(values[0].dtype):
            raise TypeError(f"a floating-point value expected, got {values[0].dtype}; cast it first")
        return values

    # -- order -----------------------------------------------------------------------------------------------------

    def _compare(self, operator: str, x: Operand, y: Operand) -> Value:
        x, y = self.together(x, y)
        if types.is_float(x.dtype):
            # Every comparison with a NaN is false, except `!=`.
            compare = self.builder.fcmp_unordered if operator == "!=" else self.builder.fcmp_ordered
        elif types.is_unsigned(x.dtype) or x.dtype == "bool":
            compare = self.builder.icmp_unsigned
        else:
            compare = self.builder.icmp_signed
        return self.value(compare(operator, x.ir, y.ir), "bool")

    def eq(self, x: Operand, y: Operand) -> Value:
        """x == y."""
        return self._compare("==", x, y)

    def ne(self, x: Operand, y: Operand) -> Value:
        """x != y."""
        return self._compare("!=", x, y)

    def lt(self, x: Operand, y: Operand) -> Value:
        """x < y."""
        return self._compare("<", x, y)

    def le(self, x: Operand, y: Operand) -> Value:
        """x <= y."""
        return self._compare("<=", x, y)

    def gt(self, x: Operand, y: Operand) -> Value:
        """x > y."""
        return self._compare(">", x, y)

    def ge(self, x: Operand, y: Operand) -> Value:
        """x >= y."""
        return self._compare(">=", x, y)

    def minimum(self, x: Operand, y: Operand) -> Value:
        """The lesser of the two; NaN if either is NaN."""
        return self._extremum("<", x, y)

    def maximum(self, x: Operand, y: Operand) -> Value:
        """The greater of the two; NaN if either is NaN."""
        return self._extremum(">", x, y)

    def _extremum(self, operator: str, x: Operand, y: Operand) -> Value:
        x, y = self.together(x, y)
        if not types.is_float(x.dtype):
            return self.select(self._compare(operator, x, y), x, y)
        # `a > b ? a : b` is one instruction and gives b if either is NaN: right when a cannot be NaN.
        if x.constant is not None or y.constant is not None:
            known, free = (x, y) if x.constant is not None else (y, x)
            if not math.isnan(known.constant or 0.0):
                return self.select(self._compare(operator, known, free), known, free)
        return self.select(self.isnan(x), x, self.select(self._compare(operator, x, y), x, y))

    def select(self, condition: Value, x: Operand, y: Operand) -> Value:
        """x where `condition` holds, else y."""
        condition, x, y = self.of_one_width(condition, *self.together(x, y))
        return self.value(self.builder.select(condition.ir, x.ir, y.ir), x.dtype)

    def clip(self, x: Value, low: Operand, high: Operand) -> Value:
        """minimum(maximum(x, low), high)."""
        return self.minimum(self.maximum(x, low), high)

    # -- tests -----------------------------------------------------------------------------------------------------

    def isnan(self, x: Value) -> Value:
        """Whether x is NaN."""
        if not types.is_float(x.dtype):
            return self._never(x)
        return self.value(self.builder.fcmp_unordered("uno", x.ir, x.ir), "bool")

    def isinf(self, x: Value) -> Value:
        """Whether x is an infinity."""
        return self.abs(x) == math.inf if types.is_float(x.dtype) else self._never(x)

    def isfinite(self, x: Value) -> Value:
        """Whether x is neither NaN nor an infinity."""
        return self.abs(x) < math.inf if types.is_float(x.dtype) else self.logical_not(self._never(x))

    def signbit(self, x: Value) -> Value:
        """Whether the sign bit is set (also of -0.0 and NaN)."""
        if types.is_float(x.dtype):
            return self.bitcast(x, self.signed_bits(x)) < 0
        return self._never(x) if types.is_unsigned(x.dtype) or x.dtype == "bool" else x < 0

    def _never(self, x: Value) -> Value:
        return self.const(False, "bool", scalar=not isinstance(x.ir.type, ir.VectorType))

    # -- bits ------------------------------------------------------------------------------------------------------

    def signed_bits(self, x: Value) -> str:
        """The signed integer dtype as wide as `x`."""
        return f"int{types.bits(x.dtype)}"

    def _bitwise(self, name: str, x: Operand, y: Operand) -> Value:
        x, y = self.together(x, y)
        if types.is_float(x.dtype):
            raise TypeError(f"an integer or bool expected, got {x.dtype}")
        return self.value(getattr(self.builder, name)(x.ir, y.ir), x.dtype)

    def bitwise_and(self, x: Operand, y: Operand) -> Value:
        """x & y."""
        return self._bitwise("and_", x, y)

    def bitwise_or(self, x: Operand, y: Operand) -> Value:
        """x | y."""
        return self._bitwise("or_", x, y)

    def bitwise_xor(self, x: Operand, y: Operand) -> Value:
        """x ^ y."""
        return self._bitwise("xor", x, y)

    def bitwise_invert(self, x: Value) -> Value:
        """All bits of x turned over (logical not of a bool)."""
        return self.bitwise_xor(x, True if x.dtype == "bool" else -1)

    def logical_and(self, x: Value, y: Value) -> Value:
        """Whether both are nonzero."""
        return self.bitwise_and(self.cast(x, "bool"), self.cast(y, "bool"))

    def logical_or(self, x: Value, y: Value) -> Value:
        """Whether one is nonzero."""
        return self.bitwise_or(self.cast(x, "bool"), self.cast(y, "bool"))

    def logical_xor(self, x: Value, y: Value) -> Value:
        """Whether exactly one is nonzero."""
        return self.bitwise_xor(self.cast(x, "bool"), self.cast(y, "bool"))

    def logical_not(self, x: Value) -> Value:
        """Whether x is zero."""
        return self.bitwise_invert(self.cast(x, "bool"))

    def shl(self, x: Operand, y: Operand) -> Value:
        """x << y; zero where y is the width or more."""
        x, y = self.together(x, y)
        shifted = self._bitwise("shl", x, self._shift(y))
        return shifted if y.constant is not None else self.select(self._in_width(y), shifted, 0)

    def shr(self, x: Operand, y: Operand) -> Value:
        """x >> y, keeping the sign of signed integers."""
        x, y = self.together(x, y)
        if not types.is_unsigned(x.dtype):
            return self._bitwise("ashr", x, self._shift(y))
        return self.shr_logical(x, y)

    def shr_logical(self, x: Operand, y: Operand) -> Value:
        """x >> y with zeros moving in from above, whatever the sign."""
        x, y = self.together(x, y)
        shifted = self._bitwise("lshr", x, self._shift(y))
        return shifted if y.constant is not None else self.select(self._in_width(y), shifted, 0)

    def _in_width(self, y: Value) -> Value:
        width = self.like(types.bits(y.dtype), y)
        return self.value(self.builder.icmp_unsigned("<", y.ir, self.together(y, width)[1].ir), "bool")

    def _shift(self, y: Value) -> Value:
        """The shift count, held below the width: LLVM leaves more than that undefined."""
        if y.constant is not None and 0 <= y.constant < types.bits(y.dtype):
            return y
        return self.select(self._in_width(y), y, types.bits(y.dtype) - 1)

    def bitcast(self, x: Value, dtype: str) -> Value:
        """The bits of x read as `dtype`, which must be as wide."""
        if types.bits(dtype) != types.bits(x.dtype):
            raise TypeError(f"a dtype of {types.bits(x.dtype)} bits expected to bitcast {x.dtype}, got {dtype}")
        element = types.element_type(dtype)
        kind = ir.VectorType(element, x.ir.type.count) if isinstance(x.ir.type, ir.VectorType) else element
        return self.value(self.builder.bitcast(x.ir, kind), dtype)

    def copysign(self, x: Operand, y: Operand) -> Value:
        """|x| with the sign bit of y."""
        x, y = self.floats(x, y)
        return self.value(self.overloaded("copysign", x.ir, y.ir), x.dtype)

    # -- rounding --------------------------------------------------------------------------------------------------

    def _rounding(self, name: str, x: Value) -> Value | None:
        if not types.is_float(x.dtype):
            return x
        return self.value(self.overloaded(name, x.ir), x.dtype) if self.target.has_rounding else None

    def round(self, x: Value) -> Value:
        """The nearest whole number, ties to even."""
        done = self._rounding("roundeven", x)
        if done is not None:
            return done
        # Adding and taking away 2**23 leaves no bits for a fraction (2**52 in float64).
        large = self.const(2.0 ** (23 if x.dtype == "float32" else 52), x.dtype)
        nearest = (self.abs(x) + large) - large
        return self.select(self.abs(x) < large, self.copysign(nearest, x), x)

    def floor(self, x: Value) -> Value:
        """The greatest whole number not above x."""
        done = self._rounding("floor", x)
        if done is not None:
            return done
        nearest = self.round(x)
        return self.copysign(self.select(nearest > x, nearest - 1.0, nearest), x)

    def ceil(self, x: Value) -> Value:
        """The least whole number not below x."""
        done = self._rounding("ceil", x)
        return -self.floor(-x) if done is None else done

    def trunc(self, x: Value) -> Value:
        """x without its fraction."""
        done = self._rounding("trunc", x)
        return self.copysign(self.floor(self.abs(x)), x) if done is None else done

    def scale_by_power(self, x: Value, n: Value) -> Value | None:
        """x * 2**n for an integer n of the width of x, rounded once; None where the CPU has no instruction for it."""
        kind = x.ir.type
        if self.target.vector_bytes != 64 or not isinstance(kind, ir.VectorType):
            return None
        bits = kind.count * types.bits(x.dtype)
        if bits not in (128, 256, 512):
            return None
        name = f"llvm.x86.avx512.mask.scalef.{'ps' if x.dtype == 'float32' else 'pd'}.{bits}"
        every_lane = ir.Constant(ir.IntType(max(8, kind.count)), -1)
        current_rounding = (ir.Constant(ir.IntType(32), 4),) if bits == 512 else ()
        power = self.builder.sitofp(n.ir, kind)
        return self.value(self.intrinsic(name, kind, x.ir, power, x.ir, every_lane, *current_rounding), x.dtype)

    # -- conversion ------------------------------------------------------------------------------------------------

    def cast(self, x: Operand, dtype: str) -> Value:
        """x as `dtype`: floats to integers drop the fraction, saturate, and take NaN to 0; to bool is ``x != 0``.

        float16 and bfloat16 give the rounded number, in float32.
        """
        if not isinstance(x, Value):
            return self.const(x, dtype)
        if dtype in types.STORAGE_ONLY:
            return self._self.round_to(self.cast(x, "float32"), dtype)
        if x.dtype == dtype:
            return x
        if x.constant is not None and not (types.is_float(x.dtype) and types.is_integer(dtype)):
            number = x.constant
            if types.is_unsigned(x.dtype):
                number = int(number) % (1 << types.bits(x.dtype))
            return self.const(number, dtype, scalar=not isinstance(x.ir.type, ir.VectorType))
        if dtype == "bool":
            return x != 0
        return self.value(self._converted(x, dtype), dtype)

    def _converted(self, x: Value, dtype: str) -> Any:
        element = types.element_type(dtype)
        kind = ir.VectorType(element, x.ir.type.count) if isinstance(x.ir.type, ir.VectorType) else element
        unsigned = types.is_unsigned(x.dtype) or x.dtype == "bool"
        b = self.builder
        if types.is_float(x.dtype):
            if types.is_float(dtype):
                return (b.fpext if types.bits(dtype) > types.bits(x.dtype) else b.fptrunc)(x.ir, kind)
            name = "fptoui" if types.is_unsigned(dtype) else "fptosi"
            return self.intrinsic(f"llvm.{name}.sat.{mangled(kind)}.{mangled(x.ir.type)}", kind, x.ir)
        if types.is_float(dtype):
            return (b.uitofp if unsigned else b.sitofp)(x.ir, kind)
        if types.bits(dtype) < types.bits(x.dtype):
            return b.trunc(x.ir, kind)
        if types.bits(dtype) == types.bits(x.dtype):
            return x.ir
        return (b.zext if unsigned else b.sext)(x.ir, kind)

    def whole(self, x: Value, dtype: str) -> Value:
        """A float known to be whole and in the range of the signed integer `dtype`, converted in one instruction."""
        return self.value(self.builder.fptosi(x.ir, self.llvm_type(dtype)), dtype)
