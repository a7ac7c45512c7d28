"""The ground every emission rule stands on: constants, splats, LLVM intrinsics and loops."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from llvmlite import ir

from graphflow_kernels.cpu import types
from graphflow_kernels.cpu.value import Operand, Value

if TYPE_CHECKING:
    from graphflow_kernels.cpu.scalar import ScalarBuilder
    from graphflow_kernels.cpu.target import Target

I32 = ir.IntType(32)
I64 = ir.IntType(64)
_ZERO = ir.Constant(I32, 0)


class Emitter:
    """State and helpers shared by the parts of `ScalarBuilder`."""

    def __init__(self, builder: ir.IRBuilder, target: Target, lanes: int = 1) -> None:
        self.builder = builder
        self.target = target
        self.lanes = lanes
        self._constants: dict[tuple[str, bytes, int], Value] = {}
        self._self: ScalarBuilder = self  # type: ignore[assignment]

    # -- types -----------------------------------------------------------------------------------------------------

    def wide(self, element: ir.Type) -> ir.Type:
        """The LLVM type of `lanes` elements of the type `element`."""
        return element if self.lanes == 1 else vector_type(element, self.lanes)

    def llvm_type(self, dtype: str) -> ir.Type:
        """The LLVM type of a value of `dtype` in this builder: a scalar, or a vector of `lanes`."""
        return self.wide(types.element_type(types.compute_dtype(dtype)))

    def value(self, instruction: Any, dtype: str) -> Value:
        """Wrap an LLVM value."""
        return Value(instruction, dtype, self._self)

    # -- constants -------------------------------------------------------------------------------------------------

    def const(self, number: bool | int | float, dtype: str, scalar: bool = False) -> Value:
        """The constant `number` of `dtype` in every lane; a single element with ``scalar=True``."""
        dtype = types.compute_dtype(dtype)
        number = _rounded(number, dtype)
        lanes = 1 if scalar else self.lanes
        key = (dtype, struct.pack("<d", number) if isinstance(number, float) else repr(number).encode(), lanes)
        found = self._constants.get(key)
        if found is None:
            one = ir.Constant(types.element_type(dtype), number)
            literal = one if lanes == 1 else _Splat(vector_type(one.type, lanes), one)
            found = self._constants[key] = Value(literal, dtype, self._self, number)
        return found

    def like(self, number: Operand, other: Value) -> Value:
        """`number` itself if it is a value, else the constant of the dtype of `other`."""
        if isinstance(number, Value):
            return number
        if types.is_integer(other.dtype) and isinstance(number, float) and not number.is_integer():
            raise TypeError(f"the constant {number} is no {other.dtype}; cast the value first")
        return self.const(number, other.dtype)

    def splat(self, x: Value) -> Value:
        """`x` in every lane: a single element becomes a vector, a vector stays as it is."""
        if self.lanes == 1 or isinstance(x.ir.type, ir.VectorType):
            return x
        if x.constant is not None:
            return self.const(x.constant, x.dtype)
        nothing, lanes = undefined(vector_type(x.ir.type, self.lanes)), zero(vector_type(I32, self.lanes))
        first = self.builder.insert_element(nothing, x.ir, _ZERO)
        return self.value(self.builder.shuffle_vector(first, nothing, lanes), x.dtype)

    def together(self, *operands: Operand) -> list[Value]:
        """Operands of one dtype and one number of lanes, constants made of the Python numbers among them."""
        if all(isinstance(x, Value) and x.constant is None for x in operands):  # the usual case, made quick
            first = operands[0]
            if all(x.dtype == first.dtype and x.ir.type is first.ir.type for x in operands):
                return list(operands)
        known = next((x for x in operands if isinstance(x, Value)), None)
        if known is None:
            raise TypeError("at least one operand must be a kernel value, got only Python numbers")
        values = [self.like(x, known) for x in operands]
        for x in values:
            if x.dtype != known.dtype:
                raise TypeError(f"operands of one dtype expected, got {known.dtype} and {x.dtype}; cast one of them")
        return self.of_one_width(*values)

    def of_one_width(self, *values: Value) -> list[Value]:
        """All as single values where no operand but constants is a vector, else all as vectors."""
        if self.lanes == 1:
            return list(values)
        free = [x for x in values if x.constant is None]
        if any(isinstance(x.ir.type, ir.VectorType) for x in free):
            return [self.splat(x) for x in values]
        return [x if x.constant is None else self.const(x.constant, x.dtype, scalar=True) for x in values]

    # -- instructions ----------------------------------------------------------------------------------------------

    def intrinsic(self, name: str, result: ir.Type, *arguments: Any) -> Any:
        """Call the LLVM intrinsic with the full name `name`, declaring it once in the module."""
        module = self.builder.module
        function = module.globals.get(name)
        if function is None:
            function = ir.Function(module, ir.FunctionType(result, [a.type for a in arguments]), name)
        return self.builder.call(function, list(arguments))

    def overloaded(self, name: str, x: Any, *others: Any) -> Any:
        """Call ``llvm.<name>.<type of x>``, an intrinsic that returns the type of its first argument."""
        return self.intrinsic(f"llvm.{name}.{mangled(x.type)}", x.type, x, *others)

    def loop_while(
        self,
        condition: Callable[..., Value],
        body: Callable[..., Sequence[Value]],
        start: Sequence[Value],
    ) -> list[Value]:
        """Repeat ``state = body(*state)`` while any lane of ``condition(*state)`` holds; the last state.

        Lanes whose condition fails already must be left unchanged by `body`.
        """
        b = self.builder
        before = b.block
        head, inside, after = (b.append_basic_block(name) for name in ("while", "while.body", "while.end"))
        b.branch(head)
        b.position_at_end(head)
        state = []
        for x in start:
            phi = b.phi(x.ir.type)
            phi.add_incoming(x.ir, before)
            state.append(self.value(phi, x.dtype))
        b.cbranch(self._self.reduce_any(condition(*state)).ir, inside, after)
        b.position_at_end(inside)
        for old, new in zip(state, body(*state)):
            old.ir.add_incoming(new.ir, b.block)
        b.branch(head)
        b.position_at_end(after)
        return state


# Types and constants print themselves once and keep the text: those that are used often are made once.


@cache
def vector_type(element: ir.Type, lanes: int) -> ir.VectorType:
    """The LLVM type of a vector."""
    return ir.VectorType(element, lanes)


@cache
def zero(kind: ir.Type) -> ir.Constant:
    """The zero of a type."""
    return ir.Constant(kind, None)


@cache
def undefined(kind: ir.Type) -> ir.Constant:
    """A value of a type of which nobody reads anything."""
    return ir.Constant(kind, ir.Undefined)


@cache
def numbers(element: ir.Type, *lanes: int | float) -> ir.Constant:
    """A constant vector of these numbers, such as the pattern of a shuffle."""
    return ir.Constant(vector_type(element, len(lanes)), list(lanes))


class _Splat(ir.Constant):
    """The same number in every lane of a vector, in the short form that LLVM has for it."""

    def __init__(self, kind: ir.VectorType, one: ir.Constant) -> None:
        self.type = kind
        self.constant = [one] * kind.count

    def _get_reference(self) -> str:
        return f"splat ({self.constant[0]})"


def mangled(kind: ir.Type) -> str:
    """How LLVM spells a type in the name of an intrinsic: f32, v16f32, i64, ..."""
    if isinstance(kind, ir.VectorType):
        return f"v{kind.count}{mangled(kind.element)}"
    if isinstance(kind, ir.FloatType):
        return "f32"
    if isinstance(kind, ir.DoubleType):
        return "f64"
    if isinstance(kind, ir.IntType):
        return f"i{kind.width}"
    return "p0"


def _rounded(number: bool | int | float, dtype: str) -> bool | int | float:
    """`number` as `dtype` holds it: float32 rounded, integers wrapped to the signed range that LLVM prints."""
    if dtype == "bool":
        return bool(number)
    if dtype == "float64":
        return float(number)
    if dtype == "float32":
        number = float(number)
        if math.isfinite(number):
            try:
                return struct.unpack("<f", struct.pack("<f", number))[0]
            except OverflowError:
                return math.copysign(math.inf, number)
        return number
    if isinstance(number, float) and not math.isfinite(number):
        raise TypeError(f"the constant {number} is no {dtype}")
    half = 1 << (types.bits(dtype) - 1)
    return (int(number) + half) % (2 * half) - half
