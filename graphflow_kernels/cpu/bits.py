"""Emission rules that work on bit patterns: 16-bit floats, neighbours of a float, counter-based random numbers."""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from graphflow_kernels.cpu.emitter import Emitter
from graphflow_kernels.cpu.value import Operand, Value

PHILOX_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
PHILOX_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)


class Bits(Emitter):
    """The part of `ScalarBuilder` that takes numbers apart."""

    # -- 16-bit floats ---------------------------------------------------------------------------------------------

    def widen(self, bits: Any, dtype: str) -> Value:
        """The 16 bits of a float16 or bfloat16 (an LLVM i16 or vector of i16) as float32."""
        s = self._self
        half = self.value(bits, "uint16")
        if dtype == "bfloat16":
            return s.bitcast(s.cast(half, "uint32") << 16, "float32")
        if self.target.has_f16c:
            kind = self.builder.bitcast(bits, _with_element(bits.type, ir.HalfType()))
            return self.value(self.builder.fpext(kind, _with_element(bits.type, ir.FloatType())), "float32")
        word = s.cast(half, "uint32")
        magnitude = (word & 0x7FFF) << 13
        # Scaling by 2**112 moves the exponent from bias 15 to 127, and makes denormals normal on the way.
        scaled = s.bitcast(magnitude, "float32") * 2.0**112
        special = s.bitcast(magnitude | 0x7F800000, "float32")
        number = s.bitcast(s.select(magnitude >= (0x7C00 << 13), special, scaled), "uint32")
        return s.bitcast(number | ((word & 0x8000) << 16), "float32")

    def narrow(self, x: Value, dtype: str) -> Any:
        """The bits of float32 x rounded to float16 or bfloat16 (ties to even, NaN stays NaN), an LLVM i16."""
        s = self._self
        word = s.bitcast(x, "uint32")
        if dtype == "bfloat16":
            rounded = word + 0x7FFF + ((word >> 16) & 1)
            kept = s.select(s.isnan(x), (word | 0x400000), rounded)
            return s.cast(kept >> 16, "uint16").ir
        if self.target.has_f16c:
            half = self.builder.fptrunc(x.ir, _with_element(x.ir.type, ir.HalfType()))
            return self.builder.bitcast(half, _with_element(x.ir.type, ir.IntType(16)))
        sign = (word >> 16) & 0x8000
        magnitude = word & 0x7FFFFFFF
        # Below 2**-14 the result is denormal: adding 0.5 lines its last bit up with the last bit of a float32.
        tiny = s.bitcast(s.bitcast(magnitude, "float32") + 0.5, "uint32") - 0x3F000000
        normal = (magnitude - (112 << 23) + 0xFFF + ((magnitude >> 13) & 1)) >> 13
        finite = s.select(magnitude < (113 << 23), tiny, normal)
        infinite = s.select(magnitude > 0x7F800000, s.like(0x7E00, magnitude), 0x7C00)
        half = s.select(magnitude >= 0x47800000, infinite, finite)
        return s.cast(half | sign, "uint16").ir

    def round_to(self, x: Value, dtype: str) -> Value:
        """float32 x rounded to float16 or bfloat16, in float32."""
        return self.widen(self.narrow(x, dtype), dtype)

    # -- neighbours ------------------------------------------------------------------------------------------------

    def nextafter(self, x: Operand, y: Operand) -> Value:
        """The next float after x towards y."""
        s = self._self
        x, y = self.together(x, y)
        integer = s.signed_bits(x)
        bits = s.bitcast(x, integer)
        away = s.bitcast(bits + 1, x.dtype)
        closer = s.bitcast(bits - 1, x.dtype)
        least = s.copysign(s.bitcast(self.like(1, bits), x.dtype), y)
        moved = s.select(x == 0.0, least, s.select((y > x) ^ (x < 0.0), away, closer))
        return s.select(s.isnan(x) | s.isnan(y), x + y, s.select(x == y, y, moved))

    # -- random numbers --------------------------------------------------------------------------------------------

    def mulhi_u32(self, x: Operand, y: Operand) -> Value:
        """The upper half of the product of two uint32."""
        return self._wide_product(x, y)[0]

    def _wide_product(self, x: Operand, y: Operand) -> tuple[Value, Value]:
        s = self._self
        x, y = self.together(x, y)
        product = s.cast(x, "uint64") * s.cast(y, "uint64")
        return s.cast(product >> 32, "uint32"), s.cast(product, "uint32")

    def philox4x32(self, counter: tuple[Value, ...], key: tuple[Value, ...], rounds: int = 10) -> tuple[Value, ...]:
        """Four random uint32 from a counter of four uint32 and a key of two (Salmon et al. 2011, Philox4x32-10)."""
        c0, c1, c2, c3 = counter
        k0, k1 = key
        for number in range(rounds):
            if number:
                k0, k1 = k0 + PHILOX_KEY_STEPS[0], k1 + PHILOX_KEY_STEPS[1]
            high0, low0 = self._wide_product(c0, PHILOX_MULTIPLIERS[0])
            high1, low1 = self._wide_product(c2, PHILOX_MULTIPLIERS[1])
            c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        return c0, c1, c2, c3


def _with_element(kind: ir.Type, element: ir.Type) -> ir.Type:
    return ir.VectorType(element, kind.count) if isinstance(kind, ir.VectorType) else element
