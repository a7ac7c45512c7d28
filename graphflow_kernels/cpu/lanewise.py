"""What knows about lanes: lane numbers, and reductions over them in one fixed order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from graphflow_kernels.cpu import types
from graphflow_kernels.cpu.emitter import I32, Emitter, numbers, undefined
from graphflow_kernels.cpu.value import Value


class Lanes(Emitter):
    """The part of `ScalarBuilder` that looks across lanes."""

    def iota(self, dtype: str = "int64") -> Value:
        """0, 1, 2, ... over the lanes."""
        if self.lanes == 1:
            return self.const(0, dtype)
        element = types.element_type(dtype)
        lanes = range(self.lanes)
        return self.value(numbers(element, *(map(float, lanes) if types.is_float(dtype) else lanes)), dtype)

    def lane(self, x: Value, number: int) -> Value:
        """The value in one lane."""
        if not isinstance(x.ir.type, ir.VectorType):
            return x
        return self.value(self.builder.extract_element(x.ir, ir.Constant(I32, number)), x.dtype)

    def _halved(self, x: Value, combine: Callable[[Value, Value], Value]) -> Value:
        """Combine the lower half of the lanes with the upper half, until one lane is left."""
        if not isinstance(x.ir.type, ir.VectorType):
            return x
        from graphflow_kernels.cpu.scalar import ScalarBuilder

        width = x.ir.type.count
        while width > 1:
            width //= 2
            low, high = (self._part(x.ir, start, width) for start in (0, width))
            narrow = ScalarBuilder(self.builder, self.target, width)
            x = combine(Value(low, x.dtype, narrow), Value(high, x.dtype, narrow))
        return self.value(x.ir, x.dtype)

    def _part(self, vector: Any, start: int, width: int) -> Any:
        if width == 1:
            return self.builder.extract_element(vector, ir.Constant(I32, start))
        return self.builder.shuffle_vector(vector, undefined(vector.type), numbers(I32, *range(start, start + width)))

    def reduce_sum(self, x: Value) -> Value:
        """The sum over the lanes, a single value: halves are added until one lane is left."""
        return self._halved(x, lambda a, b: a + b)

    def reduce_prod(self, x: Value) -> Value:
        """The product over the lanes, a single value."""
        return self._halved(x, lambda a, b: a * b)

    def reduce_min(self, x: Value) -> Value:
        """The least over the lanes, a single value; NaN if one is NaN."""
        return self._halved(x, lambda a, b: a.builder.minimum(a, b))

    def reduce_max(self, x: Value) -> Value:
        """The greatest over the lanes, a single value; NaN if one is NaN."""
        return self._halved(x, lambda a, b: a.builder.maximum(a, b))

    def reduce_any(self, x: Value) -> Value:
        """Whether a lane of the bool x holds, a single value."""
        return self._bits_of(x, "!=")

    def reduce_all(self, x: Value) -> Value:
        """Whether every lane of the bool x holds, a single value."""
        return self._self.bitwise_invert(self._bits_of(self._self.bitwise_invert(x), "!="))

    def _bits_of(self, x: Value, operator: str) -> Value:
        """The lanes of a bool vector as one integer, compared with zero: one instruction or two on every CPU."""
        if not isinstance(x.ir.type, ir.VectorType):
            return x
        word = ir.IntType(x.ir.type.count)
        return self.value(
            self.builder.icmp_unsigned(operator, self.builder.bitcast(x.ir, word), ir.Constant(word, 0)), "bool"
        )
