"""`Value`: what an emission rule computes with; Python's operators on it emit instructions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from graphflow_kernels.cpu.scalar import ScalarBuilder

Operand = Any
"""A `Value`, or a Python number that becomes a constant of the other operand's dtype."""


class Value:
    """One number, or one vector of them, in a register: an LLVM value and its dtype.

    Operators follow NumPy and Python (``//`` and ``%`` floor); comparisons give bool values.
    """

    __slots__ = ("builder", "constant", "dtype", "ir")

    def __init__(self, ir: Any, dtype: str, builder: ScalarBuilder, constant: bool | int | float | None = None) -> None:
        self.ir = ir
        self.dtype = dtype
        self.builder = builder
        self.constant = constant
        """The number, where it is known when the code is generated."""

    def __repr__(self) -> str:
        return f"Value({self.ir.type} {self.dtype})"

    __hash__ = object.__hash__

    def __bool__(self) -> NoReturn:
        raise TypeError("a kernel value has no truth when the code is generated; use b.select(condition, a, b)")

    def __add__(self, other: Operand) -> Value:
        return self.builder.add(self, other)

    def __radd__(self, other: Operand) -> Value:
        return self.builder.add(other, self)

    def __sub__(self, other: Operand) -> Value:
        return self.builder.sub(self, other)

    def __rsub__(self, other: Operand) -> Value:
        return self.builder.sub(other, self)

    def __mul__(self, other: Operand) -> Value:
        return self.builder.mul(self, other)

    def __rmul__(self, other: Operand) -> Value:
        return self.builder.mul(other, self)

    def __truediv__(self, other: Operand) -> Value:
        return self.builder.div(self, other)

    def __rtruediv__(self, other: Operand) -> Value:
        return self.builder.div(other, self)

    def __floordiv__(self, other: Operand) -> Value:
        return self.builder.floor_divide(self, other)

    def __rfloordiv__(self, other: Operand) -> Value:
        return self.builder.floor_divide(other, self)

    def __mod__(self, other: Operand) -> Value:
        return self.builder.remainder(self, other)

    def __rmod__(self, other: Operand) -> Value:
        return self.builder.remainder(other, self)

    def __pow__(self, other: Operand) -> Value:
        return self.builder.pow(self, other)

    def __rpow__(self, other: Operand) -> Value:
        return self.builder.pow(other, self)

    def __neg__(self) -> Value:
        return self.builder.neg(self)

    def __abs__(self) -> Value:
        return self.builder.abs(self)

    def __invert__(self) -> Value:
        return self.builder.bitwise_invert(self)

    def __and__(self, other: Operand) -> Value:
        return self.builder.bitwise_and(self, other)

    def __rand__(self, other: Operand) -> Value:
        return self.builder.bitwise_and(other, self)

    def __or__(self, other: Operand) -> Value:
        return self.builder.bitwise_or(self, other)

    def __ror__(self, other: Operand) -> Value:
        return self.builder.bitwise_or(other, self)

    def __xor__(self, other: Operand) -> Value:
        return self.builder.bitwise_xor(self, other)

    def __rxor__(self, other: Operand) -> Value:
        return self.builder.bitwise_xor(other, self)

    def __lshift__(self, other: Operand) -> Value:
        return self.builder.shl(self, other)

    def __rshift__(self, other: Operand) -> Value:
        return self.builder.shr(self, other)

    def __eq__(self, other: Operand) -> Value:  # type: ignore[override]
        return self.builder.eq(self, other)

    def __ne__(self, other: Operand) -> Value:  # type: ignore[override]
        return self.builder.ne(self, other)

    def __lt__(self, other: Operand) -> Value:
        return self.builder.lt(self, other)

    def __le__(self, other: Operand) -> Value:
        return self.builder.le(self, other)

    def __gt__(self, other: Operand) -> Value:
        return self.builder.gt(self, other)

    def __ge__(self, other: Operand) -> Value:
        return self.builder.ge(self, other)
