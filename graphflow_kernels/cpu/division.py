"""Integer division that cannot trap, exact floating-point remainders, integer powers."""

from __future__ import annotations

import math

from graphflow_kernels.cpu import types
from graphflow_kernels.cpu.emitter import Emitter
from graphflow_kernels.cpu.value import Operand, Value
from graphflow_kernels.cpu.vecmath.polynomial import two_product


class Division(Emitter):
    """The part of `ScalarBuilder` that divides with remainder."""

    def floor_divide(self, x: Operand, y: Operand) -> Value:
        """floor(x / y) as Python has it; an integer divided by zero gives 0."""
        s = self._self
        x, y = self.together(x, y)
        if types.is_float(x.dtype):
            return self._float_divmod(x, y)[0]
        quotient, rest = self._truncated(x, y)
        if types.is_unsigned(x.dtype):
            return s.select(y == 0, 0, quotient)
        below = (rest != 0) & ((rest < 0) ^ (y < 0))
        return s.select(y == 0, 0, s.select(below, quotient - 1, quotient))

    def remainder(self, x: Operand, y: Operand) -> Value:
        """x - y * floor(x / y) with the sign of y, as Python has it; an integer modulo zero gives 0."""
        s = self._self
        x, y = self.together(x, y)
        if types.is_float(x.dtype):
            return self._float_divmod(x, y)[1]
        rest = self._truncated(x, y)[1]
        if not types.is_unsigned(x.dtype):
            rest = s.select((rest != 0) & ((rest < 0) ^ (y < 0)), rest + y, rest)
        return s.select(y == 0, 0, rest)

    def fmod(self, x: Operand, y: Operand) -> Value:
        """The remainder of the division rounded to zero, with the sign of x (C's fmod and %)."""
        s = self._self
        x, y = self.together(x, y)
        if types.is_float(x.dtype):
            return self._fmod(x, y)
        return s.select(y == 0, 0, self._truncated(x, y)[1])

    def _truncated(self, x: Value, y: Value) -> tuple[Value, Value]:
        """Quotient and remainder as the CPU has them, with 1 for the divisors that would trap."""
        s, b = self._self, self.builder
        if x.dtype == "bool":
            raise TypeError("an integer or a float expected to divide, got bool; cast it first")
        unsigned = types.is_unsigned(x.dtype)
        traps = y == 0
        if not unsigned:
            traps = traps | ((y == -1) & (x == -(1 << (types.bits(x.dtype) - 1))))
        x, divisor = self.of_one_width(x, s.select(traps, 1, y))  # of a constant, it may be a single one
        quotient = self.value((b.udiv if unsigned else b.sdiv)(x.ir, divisor.ir), x.dtype)
        return quotient, x - quotient * divisor

    def _float_divmod(self, x: Value, y: Value) -> tuple[Value, Value]:
        """NumPy's divmod: the quotient is the float nearest to the exact floor."""
        s = self._self
        truncated = self._fmod(x, y)
        below = (truncated != 0.0) & ((truncated < 0.0) ^ (y < 0.0))
        rest = s.select(below, truncated + y, s.select(truncated == 0.0, s.copysign(truncated, y), truncated))
        ratio = (x - truncated) / y
        ratio = s.select(below, ratio - 1.0, ratio)
        whole = s.floor(ratio)
        whole = s.select(ratio - whole > 0.5, whole + 1.0, whole)
        quotient = s.select(ratio == 0.0, s.copysign(ratio * 0.0, x / y), whole)
        return s.select(y == 0.0, x / y, quotient), rest

    def _fmod(self, x: Value, y: Value) -> Value:
        """Long division, 51 bits of the quotient at a time; nearly always one round."""
        s = self._self
        a, b = s.abs(s.cast(x, "float64")), s.abs(s.cast(y, "float64"))
        valid = s.isfinite(a) & (b > 0.0)
        invalid = s.bitwise_invert(valid)
        rest, divisor = s.select(invalid, 0.0, a), s.select(valid, b, 1.0)

        def smaller(rest: Value) -> Value:
            # A divisor 2**k times as large, so that the quotient is below 2**53 and the product can be exact.
            shift = s.maximum(self._exponent(rest) - self._exponent(divisor) - 51, 0)
            half = shift >> 1
            scaled = divisor * self._power_of_two(half) * self._power_of_two(shift - half)
            left = self._minus_product(rest, s.trunc(rest / scaled), scaled)
            left = s.select(left < 0.0, left + scaled, left)
            left = s.select(left >= scaled, left - scaled, left)
            return s.select(rest >= divisor, left, rest)

        (rest,) = self.loop_while(lambda rest: rest >= divisor, lambda rest: [smaller(rest)], [rest])
        return s.select(valid, s.copysign(s.cast(rest, x.dtype), x), math.nan)

    def _exponent(self, x: Value) -> Value:
        """The binary exponent of a nonnegative float64, biased, also of denormals."""
        s = self._self
        low = x < 2.0**-960
        field = s.bitcast(s.select(low, x * 2.0**60, x), "int64") >> 52
        return s.select(low, field - 60, field)

    def _power_of_two(self, exponent: Value) -> Value:
        return self._self.bitcast((exponent + 1023) << 52, "float64")

    def _minus_product(self, a: Value, n: Value, t: Value) -> Value:
        """a - n * t, exactly, for n * t close to a."""
        s = self._self
        if self.target.has_fma:
            return s.fma(-n, t, a)
        # Scaled down first where splitting the factors into halves would overflow.
        scale = s.select(a > 2.0**900, self.const(2.0**-54, "float64"), 1.0)
        a, t = a * scale, t * scale
        product, error = two_product(s, n, t)
        return ((a - product) - error) / scale

    def integer_power(self, x: Operand, y: Operand) -> Value:
        """x ** y of integers, wrapping; a negative exponent gives 0 (1 or -1 for a base of 1 or -1)."""
        s = self._self
        x, y, one = self.together(x, y, 1)

        def step(result: Value, base: Value, rest: Value) -> list[Value]:
            odd = (rest & 1) != 0
            return [s.select(odd, result * base, result), base * base, s.shr_logical(rest, 1)]

        exponent = y if types.is_unsigned(y.dtype) else s.abs(y)
        power = self.loop_while(lambda r, b, rest: rest != 0, step, [one, x, exponent])[0]
        if types.is_unsigned(y.dtype):
            return power
        unit = (x == 1) | (x == -1)
        return s.select((y < 0) & s.bitwise_invert(unit), 0, power)
