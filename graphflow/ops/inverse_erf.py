"""The inverse of the error function, by one recipe for NumPy arrays and for kernel values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from graphflow.ops import _numpy_special as special
from graphflow.ops.define import elementwise
from graphflow.ops.elementwise import square
from graphflow.ops.mathematical import exp

# erfinv(x) / x to 3e-7, as polynomials in w - 2.5 below 5 and in sqrt(w) - 3 above, w being -log(1 - x**2). After Giles
# 2010, "Approximating the erfinv function", but fitted for all of float64. Lowest power first.
_CENTRE = (1.50140918, 0.246641421, -0.00417625851, -0.00125463117, 0.000217335896, -4.09431297e-06, -3.18586871e-06,
           3.15644582e-07)  # fmt: skip
_TAIL = (2.83297709, 1.00167837, 0.00943597857, -0.00767534673, 0.00575243269, -0.00349875509, 0.00130694867,
         -0.000105559862, -0.000143431827, 6.8935286e-05, -1.32202434e-05, 9.6756252e-07)  # fmt: skip


class _NumPy:
    """The kernel vocabulary's names for what the recipe needs, on arrays."""

    select, copysign = staticmethod(np.where), staticmethod(np.copysign)
    log, sqrt, exp, abs = np.log, np.sqrt, np.exp, np.abs
    erf, erfc = staticmethod(special.erf), staticmethod(special.erfc)


def _erfinv(b: Any, x: Any) -> Any:
    """The inverse of erf in float64: a polynomial, and one step of Halley's method, which cubes its error."""
    a = b.abs(x)
    w = -b.log((1.0 - a) * (1.0 + a))
    near = w < 5.0
    y = a * b.select(near, _horner(_CENTRE, w - 2.5), _horner(_TAIL, b.sqrt(b.select(near, 5.0, w)) - 3.0))
    miss = b.select(a < 0.5, b.erf(y) - a, (1.0 - a) - b.erfc(y))  # each where nothing cancels
    step = miss * b.exp(y * y) * (0.5 * math.sqrt(math.pi))
    y = y - step / (1.0 + y * step)
    return b.copysign(b.select(a == 1.0, math.inf, y), x)


def _horner(coefficients: tuple[float, ...], x: Any) -> Any:
    out: Any = coefficients[-1]
    for c in reversed(coefficients[:-1]):
        out = out * x + c
    return out


erfinv = elementwise(
    "erfinv",
    special.in_float64(lambda x: _erfinv(_NumPy, x)),
    lambda b, x: b.cast(_erfinv(b, b.cast(x, "float64")), x.dtype),
    lambda g, out, x: (g * (exp(square(out)) * (0.5 * math.sqrt(math.pi))),),
    dtypes="float",
    methods=("erfinv",),
    low=-0.9,
    high=0.9,
    cost=128,
    doc="The inverse of the error function, on (-1, 1).",
)
