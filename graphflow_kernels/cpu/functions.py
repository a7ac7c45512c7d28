"""The elementary functions as methods, so that an emission rule reads ``b.exp(x)``."""

from __future__ import annotations

from graphflow_kernels.cpu import vecmath
from graphflow_kernels.cpu.emitter import Emitter
from graphflow_kernels.cpu.value import Operand, Value


class Functions(Emitter):
    """The part of `ScalarBuilder` that `vecmath` implements, for float32 and float64."""

    def exp(self, x: Value) -> Value:
        """e to the power of x."""
        return vecmath.exp(self._self, x)

    def exp2(self, x: Value) -> Value:
        """2 to the power of x."""
        return vecmath.exp2(self._self, x)

    def expm1(self, x: Value) -> Value:
        """exp(x) - 1."""
        return vecmath.expm1(self._self, x)

    def log(self, x: Value) -> Value:
        """The natural logarithm."""
        return vecmath.log(self._self, x)

    def log1p(self, x: Value) -> Value:
        """log(1 + x)."""
        return vecmath.log1p(self._self, x)

    def log2(self, x: Value) -> Value:
        """The logarithm to base 2."""
        return vecmath.log2(self._self, x)

    def log10(self, x: Value) -> Value:
        """The logarithm to base 10."""
        return vecmath.log10(self._self, x)

    def sin(self, x: Value) -> Value:
        """The sine."""
        return vecmath.sin(self._self, x)

    def cos(self, x: Value) -> Value:
        """The cosine."""
        return vecmath.cos(self._self, x)

    def tan(self, x: Value) -> Value:
        """The tangent."""
        return vecmath.tan(self._self, x)

    def asin(self, x: Value) -> Value:
        """The inverse sine."""
        return vecmath.asin(self._self, x)

    def acos(self, x: Value) -> Value:
        """The inverse cosine."""
        return vecmath.acos(self._self, x)

    def atan(self, x: Value) -> Value:
        """The inverse tangent."""
        return vecmath.atan(self._self, x)

    def sinh(self, x: Value) -> Value:
        """The hyperbolic sine."""
        return vecmath.sinh(self._self, x)

    def cosh(self, x: Value) -> Value:
        """The hyperbolic cosine."""
        return vecmath.cosh(self._self, x)

    def tanh(self, x: Value) -> Value:
        """The hyperbolic tangent."""
        return vecmath.tanh(self._self, x)

    def asinh(self, x: Value) -> Value:
        """The inverse hyperbolic sine."""
        return vecmath.asinh(self._self, x)

    def acosh(self, x: Value) -> Value:
        """The inverse hyperbolic cosine."""
        return vecmath.acosh(self._self, x)

    def atanh(self, x: Value) -> Value:
        """The inverse hyperbolic tangent."""
        return vecmath.atanh(self._self, x)

    def erf(self, x: Value) -> Value:
        """The error function."""
        return vecmath.erf(self._self, x)

    def erfc(self, x: Value) -> Value:
        """1 - erf(x)."""
        return vecmath.erfc(self._self, x)

    def ndtr(self, x: Value) -> Value:
        """The distribution function of the standard normal distribution."""
        return vecmath.ndtr(self._self, x)

    def lgamma(self, x: Value) -> Value:
        """The logarithm of the absolute value of the gamma function."""
        return vecmath.lgamma(self._self, x)

    def sigmoid(self, x: Value) -> Value:
        """1 / (1 + exp(-x))."""
        return vecmath.sigmoid(self._self, x)

    def softplus(self, x: Value) -> Value:
        """log(1 + exp(x))."""
        return vecmath.softplus(self._self, x)

    def pow(self, x: Operand, y: Operand) -> Value:
        """x to the power of y."""
        return vecmath.pow(self._self, x, y)

    def atan2(self, y: Operand, x: Operand) -> Value:
        """The angle of the point (x, y)."""
        return vecmath.atan2(self._self, y, x)

    def hypot(self, x: Operand, y: Operand) -> Value:
        """sqrt(x**2 + y**2)."""
        return vecmath.hypot(self._self, x, y)

    def logaddexp(self, x: Operand, y: Operand) -> Value:
        """log(exp(x) + exp(y))."""
        return vecmath.logaddexp(self._self, x, y)
