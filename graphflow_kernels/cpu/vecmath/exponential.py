"""exp, exp2, expm1, sigmoid and softplus."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from graphflow_kernels.cpu.value import Operand, Value
from graphflow_kernels.cpu.vecmath import coefficients as c
from graphflow_kernels.cpu.vecmath.polynomial import FORMATS, fast_two_sum, horner

if TYPE_CHECKING:
    from graphflow_kernels.cpu.scalar import ScalarBuilder

LOG2_E = 1.4426950408889634
# Beyond these the result (or half of it) is 0 or infinity; clipping keeps the exponent in range. A NaN passes.
EXP_RANGE = {"float32": (-104.0, 90.0), "float64": (-746.0, 712.0)}
EXP2_RANGE = {"float32": (-151.0, 129.0), "float64": (-1076.0, 1025.0)}
EXPM1_RANGE = {"float32": (-30.0, 88.8), "float64": (-50.0, 709.9)}


def nearest_whole(b: ScalarBuilder, x: Value, factor: float) -> tuple[Value, Value]:
    """The whole number nearest to x * factor, as a float and as an unsigned integer (mod its width)."""
    form = FORMATS[x.dtype]
    shifted = b.fma(x, factor, form.to_whole)
    whole = shifted - form.to_whole
    return whole, b.bitcast(shifted, form.unsigned) - b.bitcast(b.like(form.to_whole, x), form.unsigned)


def reduced(b: ScalarBuilder, x: Value) -> tuple[Value, Value]:
    """r and n of x = n ln 2 + r."""
    form = FORMATS[x.dtype]
    whole, n = nearest_whole(b, x, LOG2_E)
    return b.fma(-whole, form.ln2_low, b.fma(-whole, form.ln2_high, x)), n


def scale(b: ScalarBuilder, x: Value, n: Value) -> Value:
    """x * 2**n for n in twice the range of exponents, rounded once even where the result is denormal."""
    scaled = b.scale_by_power(x, n)
    if scaled is not None:
        return scaled
    form = FORMATS[x.dtype]
    biased = n + 2 * form.bias
    half = biased >> 1
    first, second = (b.bitcast(e << form.mantissa, x.dtype) for e in (half, biased - half))
    return x * first * second


def exp_near_zero(b: ScalarBuilder, r: Value) -> Value:
    """exp(r) for |r| <= ln(2) / 2."""
    if r.dtype == "float32":
        return b.fma(r * r, horner(b, r, c.EXP_F32), r) + 1.0
    # What adding r to 1 rounds away goes back in with the rest.
    total, lost = fast_two_sum(b.like(1.0, r), r)
    return total + b.fma(r * r, horner(b, r, c.EXP_F64), lost)


def exp_parts(b: ScalarBuilder, x: Value) -> tuple[Value, Value]:
    """p and n of exp(x) = p * 2**n, for use with `scale`."""
    r, n = reduced(b, b.clip(x, *EXP_RANGE[x.dtype]))
    return exp_near_zero(b, r), n


def exp(b: ScalarBuilder, x: Value) -> Value:
    """e to the power of x."""
    (x,) = b.floats(x)
    return scale(b, *exp_parts(b, x))


def exp2(b: ScalarBuilder, x: Value) -> Value:
    """2 to the power of x."""
    (x,) = b.floats(x)
    x = b.clip(x, *EXP2_RANGE[x.dtype])
    whole, n = nearest_whole(b, x, 1.0)
    return scale(b, exp_near_zero(b, (x - whole) * math.log(2.0)), n)


def expm1(b: ScalarBuilder, x: Value) -> Value:
    """exp(x) - 1, exact to the last places near zero."""
    (x,) = b.floats(x)
    form = FORMATS[x.dtype]
    r, n = reduced(b, b.clip(x, *EXPM1_RANGE[x.dtype]))
    q = b.fma(r * r, horner(b, r, c.EXPM1_F32 if x.dtype == "float32" else c.EXPM1_F64), r)
    # 2**(n - 1), because 2**n overflows before the result does.
    half = b.bitcast((n + (form.bias - 1)) << form.mantissa, x.dtype)
    # The polynomial turns -0.0 into 0.0.
    return b.select(b.abs(x) < 0.3, b.copysign(q, x), b.fma(half, q, half - 0.5) * 2.0)


def exp_of_negative(b: ScalarBuilder, y: Value, exponent: int = 0) -> tuple[Value, Value]:
    """s and q of 2**exponent * exp(-y) = s * (1 + q), where s is a power of two, which has to be a normal number.

    s * (1 + q) + c and s * (1 + q) - c then take one fused operation each, and round once.
    """
    form = FORMATS[y.dtype]
    shifted = b.fma(y, -LOG2_E, form.to_whole)
    whole = shifted - form.to_whole
    r = b.fma(whole, form.ln2_low, b.fma(whole, form.ln2_high, y))
    table = c.EXP_F32 if y.dtype == "float32" else c.EXP_F64
    q = b.fma(r * r, horner(b, r, [-k if i % 2 else k for i, k in enumerate(table)]), -r)
    # The low bits of `shifted` are the whole number: moved into the exponent, they leave nothing else behind.
    power = (b.bitcast(shifted, form.unsigned) << form.mantissa) + ((form.bias + exponent) << form.mantissa)
    return b.bitcast(power, y.dtype), q


SIGMOID = {"float32": (-104.0, 70.0, -24), "float64": (-746.0, 670.0, -53)}
"""The range of arguments outside of which sigmoid is 0 or 1, and the power of two in which its sum is computed."""


def sigmoid(b: ScalarBuilder, x: Value) -> Value:
    """1 / (1 + exp(-x)), with the 1 as small a power of two as lets the smallest results be denormal numbers."""
    (x,) = b.floats(x)
    low, high, exponent = SIGMOID[x.dtype]
    one = 2.0**exponent
    s, q = exp_of_negative(b, b.clip(x, low, high), exponent)
    return one / (s + b.fma(s, q, one))


def softplus(b: ScalarBuilder, x: Value) -> Value:
    """log(1 + exp(x))."""
    (x,) = b.floats(x)
    return b.maximum(x, 0.0) + b.log1p(exp(b, -b.abs(x)))


def logaddexp(b: ScalarBuilder, x: Operand, y: Operand) -> Value:
    """log(exp(x) + exp(y))."""
    x, y = b.floats(x, y)
    # Equal operands apart: infinity minus infinity is NaN.
    distance = b.select(x == y, 0.0, -b.abs(x - y))
    return b.maximum(x, y) + b.log1p(exp(b, distance))
