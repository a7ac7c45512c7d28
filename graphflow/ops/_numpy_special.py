"""NumPy references of functions that NumPy itself lacks. SciPy is not a dependency."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = Any


def in_float64(function: Any) -> Any:
    """Computes in float64 and rounds back (floating-point dtypes only)."""

    def rounded(x: Array) -> Array:
        x = np.asarray(x)
        return np.asarray(function(x.astype(np.float64, copy=False))).astype(x.dtype, copy=False)

    return rounded


def polynomial(x: Array, coefficients: Sequence[float]) -> Array:
    """Horner's rule; the coefficient of the highest power comes first."""
    out = np.full_like(x, coefficients[0])
    for c in coefficients[1:]:
        out *= x
        out += x.dtype.type(c)
    return out


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)): exp is taken of the negative magnitude only, so nothing overflows."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e).astype(x.dtype, copy=False) / (1 + e)


def exp2(x: Array) -> Array:
    """2**x (ml_dtypes has no exp2 for bfloat16)."""
    return np.exp2(x) if x.dtype.kind == "f" else np.exp2(x.astype(np.float32)).astype(x.dtype)


# -- erf -------------------------------------------------------------------------------------------------------------
# Four intervals of |x| with a rational function each, after W. J. Cody (1969), in the form of fdlibm's s_erf.c:
# below 0.84375, to 1.25, to 1/0.35, beyond. Coefficients here run from the highest power down.
_PP = (-2.37630166566501626084e-05, -5.77027029648944159157e-03, -2.84817495755985104766e-02,
       -3.25042107247001499370e-01, 1.28379167095512558561e-01)  # fmt: skip
_QQ = (-3.96022827877536812320e-06, 1.32494738004321644526e-04, 5.08130628187576562776e-03, 6.50222499887672944485e-02,
       3.97917223959155352819e-01, 1.0)  # fmt: skip
_ERX = 8.45062911510467529297e-01
_PA = (-2.16637559486879084300e-03, 3.54783043256182359371e-02, -1.10894694282396677476e-01, 3.18346619901161753674e-01,
       -3.72207876035701323847e-01, 4.14856118683748331666e-01, -2.36211856075265944077e-03)  # fmt: skip
_QA = (1.19844998467991074170e-02, 1.36370839120290507362e-02, 1.26171219808761642112e-01, 7.18286544141962662868e-02,
       5.40397917702171048937e-01, 1.06420880400844228286e-01, 1.0)  # fmt: skip
_RA = (-9.81432934416914548592e00, -8.12874355063065934246e01, -1.84605092906711035994e02, -1.62396669462573470355e02,
       -6.23753324503260060396e01, -1.05586262253232909814e01, -6.93858572707181764372e-01,
       -9.86494403484714822705e-03)  # fmt: skip
_SA = (-6.04244152148580987438e-02, 6.57024977031928170135e00, 1.08635005541779435134e02, 4.29008140027567833386e02,
       6.45387271733267880336e02, 4.34565877475229228821e02, 1.37657754143519042600e02, 1.96512716674392571292e01,
       1.0)  # fmt: skip
_RB = (-4.83519191608651397019e02, -1.02509513161107724954e03, -6.37566443368389627722e02, -1.60636384855821916062e02,
       -1.77579549177547519889e01, -7.99283237680523006574e-01, -9.86494292470009928597e-03)  # fmt: skip
_SB = (-2.24409524465858183362e01, 4.74528541206955367215e02, 2.55305040643316442583e03, 3.19985821950859553908e03,
       1.53672958608443695994e03, 3.25792512996573918826e02, 3.03380607434824582924e01, 1.0)  # fmt: skip


def _erfc_tail(x: Array) -> Array:
    """erfc(x) for x >= 1.25."""
    s = 1.0 / (x * x)
    near = x < 1.0 / 0.35
    ratio = np.where(near, polynomial(s, _RA) / polynomial(s, _SA), polynomial(s, _RB) / polynomial(s, _SB))
    # x*x is rounded: the square of x cut to 21 bits is exact, and the rest goes into the second exponential.
    z = (x.view(np.uint64) & np.uint64(0xFFFFFFFF00000000)).view(np.float64)
    return np.exp(-z * z - 0.5625) * np.exp((z - x) * (z + x) + ratio) / x


def _erf_pieces(x: Array, complement: bool) -> Array:
    """erf(x), or erfc(x), of float64."""
    x = np.atleast_1d(x)
    a = np.abs(x)
    out = np.array(x)  # NaN stays
    small, middle, large = a < 0.84375, (a >= 0.84375) & (a < 1.25), a >= 1.25
    z = x[small] * x[small]
    y = polynomial(z, _PP) / polynomial(z, _QQ)
    erf_small = x[small] + x[small] * y
    if complement:
        # Beyond 1/4 the sum is taken around 1/2, where 1 - erf would cancel.
        xs = x[small]
        out[small] = np.where(xs < 0.25, 1.0 - erf_small, 0.5 - (xs - 0.5 + xs * y))
    else:
        out[small] = erf_small
    s = a[middle] - 1.0
    p = polynomial(s, _PA) / polynomial(s, _QA)
    signs = np.sign(x[middle])
    out[middle] = (1.0 - signs * (_ERX + p)) if complement else signs * (_ERX + p)
    tail = _erfc_tail(np.ascontiguousarray(np.minimum(a[large], 28.0)))  # erfc(28) underflows to 0
    xl = x[large]
    out[large] = np.where(xl > 0, tail, 2.0 - tail) if complement else np.where(xl > 0, 1.0 - tail, tail - 1.0)
    return out


@in_float64
def _erf64(x: Array) -> Array:
    return _erf_pieces(x, False).reshape(x.shape)


@in_float64
def erfc(x: Array) -> Array:
    """1 - erf(x)."""
    return _erf_pieces(x, True).reshape(x.shape)


# An odd rational function for float32, whose error is below 3e-7 of erf(x): one pass for all x, for speed.
_F32_P = (-2.72614225801306e-10, 2.77068142495902e-08, -2.10102402082508e-06, -5.69250639462346e-05,
          -7.34990630326855e-04, -2.95459980854025e-03, -1.60960333262415e-02)  # fmt: skip
_F32_Q = (-1.45660718464996e-05, -2.13374055278905e-04, -1.68282697438203e-03, -7.37332916720468e-03,
          -1.42647390514189e-02)  # fmt: skip


def erf(x: Array) -> Array:
    """The error function."""
    if x.dtype != np.float32:
        return _erf64(x)
    x = np.clip(x, np.float32(-4), np.float32(4))
    z = x * x
    return x * polynomial(z, _F32_P) / polynomial(z, _F32_Q)
