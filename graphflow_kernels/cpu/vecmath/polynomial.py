"""What all functions share: polynomials, float formats, and sums and products in two parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, NamedTuple

from graphflow_kernels.cpu.value import Operand, Value

if TYPE_CHECKING:
    from graphflow_kernels.cpu.scalar import ScalarBuilder

Rule = Callable[..., Value]


class Format(NamedTuple):
    """A floating-point format, and how ln 2 is split so that its multiples by an exponent are exact."""

    unsigned: str
    mantissa: int
    bias: int
    smallest_normal: float
    ln2_high: float
    ln2_low: float

    @property
    def to_whole(self) -> float:
        """Adding this leaves a number with no fraction, and its integer in the low bits."""
        return 1.5 * 2.0**self.mantissa


FORMATS = {
    "float32": Format("uint32", 23, 127, 2.0**-126, 0.693115234375, 3.1946184945309415e-05),
    "float64": Format("uint64", 52, 1023, 2.0**-1022, 0.6931471803691238, 1.9082149292705877e-10),
}


def horner(b: ScalarBuilder, x: Value, coefficients: Sequence[float]) -> Value:
    """The polynomial with these coefficients, lowest power first."""
    result: Operand = coefficients[-1]
    for c in reversed(coefficients[:-1]):
        result = b.fma(result, x, c)
    return result


def through_float64(rule: Rule) -> Rule:
    """A rule for float64 that float32 uses too: twice the work, and no care about rounding."""

    @wraps(rule)
    def wrapped(b: ScalarBuilder, *operands: Operand) -> Value:
        values = b.floats(*operands)
        if values[0].dtype == "float64":
            return rule(b, *values)
        return b.cast(rule(b, *(b.cast(x, "float64") for x in values), single=True), "float32")

    return wrapped


def two_sum(x: Value, y: Value) -> tuple[Value, Value]:
    """x + y as a rounded sum and its error (Knuth)."""
    total = x + y
    part = total - x
    return total, (x - (total - part)) + (y - part)


def fast_two_sum(x: Value, y: Value) -> tuple[Value, Value]:
    """x + y as a rounded sum and its error, for |x| >= |y|."""
    total = x + y
    return total, y - (total - x)


def two_product(b: ScalarBuilder, x: Operand, y: Value) -> tuple[Value, Value]:
    """x * y of float64 as a rounded product and its error (Dekker where there is no fused multiply-add)."""
    x, y = b.together(x, y)
    product = x * y
    if b.target.has_fma:
        return product, b.fma(x, y, -product)
    (x1, x2), (y1, y2) = _halves(x), _halves(y)
    return product, ((x1 * y1 - product) + x1 * y2 + x2 * y1) + x2 * y2


def _halves(x: Value) -> tuple[Value, Value]:
    """Two float64 of at most 26 bits whose sum is x (Veltkamp)."""
    wide = x * 134217729.0
    high = wide - (wide - x)
    return high, x - high
