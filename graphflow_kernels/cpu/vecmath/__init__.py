"""Branch-free elementary functions on float32 and float64, written in the words of `ScalarBuilder`.

Accuracy is in ``benchmarks/accuracy.py``: at most 2 ulp in float32 (4 for pow and erf). NaN, infinities, zeros and
denormals give what C's functions give.
"""

from graphflow_kernels.cpu.vecmath.exponential import exp, exp2, expm1, logaddexp, sigmoid, softplus
from graphflow_kernels.cpu.vecmath.hyperbolic import acosh, asinh, atanh, cosh, sinh, tanh
from graphflow_kernels.cpu.vecmath.logarithm import log, log1p, log2, log10
from graphflow_kernels.cpu.vecmath.special import erf, erfc, hypot, lgamma, ndtr, pow
from graphflow_kernels.cpu.vecmath.trigonometric import acos, asin, atan, atan2, cos, sin, tan
