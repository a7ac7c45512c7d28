"""Functions made of other ops: activations, softmax, dropout, comparisons with tolerance.

None of them needs a record: gradients, kernels and both modes follow from the ops they are made of. Arguments and
subgradients are PyTorch's.
"""

from __future__ import annotations

import math
from typing import Any

from graphflow.core.dtypes import as_dtype, bool_, float32, float64, make_finfo
from graphflow.core.errors import DTypeError, ShapeError, at_line, user_origin
from graphflow.ops import normal, random
from graphflow.ops.creation import beside, zeros_like
from graphflow.ops.define import cast, promote, public
from graphflow.ops.elementwise import abs, positive, sign, where
from graphflow.ops.fused import all_axes_but_last, fused
from graphflow.ops.logic import isfinite, isnan
from graphflow.ops.mathematical import exp, expm1, log, logaddexp, sigmoid, tanh
from graphflow.ops.movement import part, reshape
from graphflow.ops.reduce import MAX, SUM, _operands, _reduce, all, floating
from graphflow.ops.special import stop_gradient
from graphflow.tensor import Tensor, as_tensor


def _float(name: str, x: Any) -> Tensor:
    x = as_tensor(x)
    if x.dtype.kind == "bool":
        raise DTypeError(at_line(f"{name} takes numeric tensors, got bool", user_origin()))
    return x if x.dtype.is_float else cast(x, float32)


# -- softmax -------------------------------------------------------------------------------------------------------
def _shifted(x: Any, axis: Any, dim: Any) -> tuple[Tensor, Any, Any]:
    """x minus its maximum (which changes neither result nor gradient, but keeps exp from overflowing)."""
    x, axes = _operands(_float("softmax", x), axis, dim)
    wide = floating(x)
    return wide - stop_gradient(_reduce(MAX, wide, axes, True)), axes, x.dtype


@public(methods=("softmax",))
@fused(all_axes_but_last, "x")
def softmax(x: Any, /, axis: Any = -1, *, dim: Any = None, dtype: Any = None) -> Tensor:
    """exp(x) / sum(exp(x)) along ``axis``, without overflow.

    >>> import graphflow as gf
    >>> gf.softmax(gf.tensor([1000.0, 1000.0])).tolist()
    [0.5, 0.5]
    """
    shifted, axes, kind = _shifted(x if dtype is None else cast(as_tensor(x), as_dtype(dtype)), axis, dim)
    powers = exp(shifted)
    return cast(powers / _reduce(SUM, powers, axes, True), kind)


@public(methods=("log_softmax",))
@fused(all_axes_but_last, "x")
def log_softmax(x: Any, /, axis: Any = -1, *, dim: Any = None, dtype: Any = None) -> Tensor:
    """log(softmax(x)) along ``axis``, without overflow or log(0).

    >>> import graphflow as gf
    >>> gf.log_softmax(gf.tensor([0.0, -1000.0])).tolist()
    [0.0, -1000.0]
    """
    shifted, axes, kind = _shifted(x if dtype is None else cast(as_tensor(x), as_dtype(dtype)), axis, dim)
    return cast(shifted - log(_reduce(SUM, exp(shifted), axes, True)), kind)


@public
@fused(all_axes_but_last, "x")
def softmin(x: Any, /, axis: Any = -1, *, dim: Any = None) -> Tensor:
    """softmax(-x)."""
    return softmax(-as_tensor(x), axis, dim=dim)


# -- activations ---------------------------------------------------------------------------------------------------
@public
@fused("flat")
def leaky_relu(x: Any, negative_slope: float = 0.01) -> Tensor:
    """x where positive, else negative_slope * x.

    >>> import graphflow as gf
    >>> gf.leaky_relu(gf.tensor([-1.0, 2.0]), 0.5).tolist()
    [-0.5, 2.0]
    """
    x = _float("leaky_relu", x)
    return where(x > 0, x, x * negative_slope)


@public
@fused("batch", "x")
def prelu(x: Any, weight: Any) -> Tensor:
    """x where positive, else weight * x; a weight with several elements belongs to axis 1."""
    x, weight = _float("prelu", x), as_tensor(weight)
    if x.ndim > 1 and weight.ndim == 1:
        weight = reshape(weight, (-1, *(1,) * (x.ndim - 2)))
    return where(x > 0, x, x * weight)


@public
@fused("flat")
def elu(x: Any, alpha: float = 1.0) -> Tensor:
    """x where positive, else alpha * (exp(x) - 1) (Clevert et al. 2015).

    >>> import graphflow as gf
    >>> gf.elu(gf.tensor([-1000.0, 2.0])).tolist()
    [-1.0, 2.0]
    """
    x = _float("elu", x)
    positive = x > 0  # exp must not see large positive x: its infinite gradient times 0 would be NaN
    return where(positive, x, alpha * expm1(where(positive, 0.0, x)))


@public
@fused("flat")
def celu(x: Any, alpha: float = 1.0) -> Tensor:
    """x where positive, else alpha * (exp(x / alpha) - 1)."""
    x = _float("celu", x)
    positive = x > 0
    return where(positive, x, alpha * expm1(where(positive, 0.0, x / alpha)))


@public
@fused("flat")
def selu(x: Any) -> Tensor:
    """The self-normalising elu (Klambauer et al. 2017)."""
    return 1.0507009873554805 * elu(x, 1.6732632423543772)


@public
@fused("flat")
def gelu(x: Any, approximate: str = "none") -> Tensor:
    """x * Phi(x), Phi the normal distribution function; ``approximate="tanh"`` uses tanh in its place.

    >>> import graphflow as gf
    >>> round(gf.gelu(gf.tensor(1.0)).item(), 4)
    0.8413
    """
    x = _float("gelu", x)
    if approximate == "tanh":
        inner = math.sqrt(2.0 / math.pi) * (x + 0.044715 * (x * x * x))
        return 0.5 * x * (1.0 + tanh(inner))
    if approximate != "none":
        raise ValueError(f'gelu: approximate is "none" or "tanh", got {approximate!r}')
    return normal.gelu(x)


@public
@fused("flat")
def silu(x: Any) -> Tensor:
    """x * sigmoid(x), also called swish.

    >>> import graphflow as gf
    >>> gf.silu(gf.tensor(0.0)).item()
    0.0
    """
    x = _float("silu", x)
    return x * sigmoid(x)


@public
@fused("flat")
def softplus(x: Any, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta * x)) / beta. It cannot overflow, so ``threshold`` (PyTorch's) has nothing to do.

    >>> import graphflow as gf
    >>> gf.softplus(gf.tensor([-1000.0, 1000.0])).tolist()
    [0.0, 1000.0]
    """
    x = _float("softplus", x)
    return logaddexp(x, 0.0) if beta == 1.0 else logaddexp(x * beta, 0.0) / beta


@public
@fused("flat")
def logsigmoid(x: Any) -> Tensor:
    """log(sigmoid(x)), without log(0)."""
    return -logaddexp(-_float("logsigmoid", x), 0.0)


@public
@fused("flat")
def mish(x: Any) -> Tensor:
    """x * tanh(softplus(x)) (Misra 2019)."""
    x = _float("mish", x)
    return x * tanh(softplus(x))


@public
@fused("flat")
def hardtanh(x: Any, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """x held between two bounds; on the bounds its gradient is 0 (that of ``clip`` is 1).

    >>> import graphflow as gf
    >>> gf.hardtanh(gf.tensor([-3.0, 0.5])).tolist()
    [-1.0, 0.5]
    """
    x = as_tensor(x)
    return where(x <= min_val, min_val, where(x >= max_val, max_val, x))


@public
@fused("flat")
def relu6(x: Any) -> Tensor:
    """x held between 0 and 6."""
    return hardtanh(x, 0, 6)


@public
@fused("flat")
def hardsigmoid(x: Any) -> Tensor:
    """A sigmoid of three straight pieces: (x + 3) / 6 held between 0 and 1."""
    return relu6(_float("hardsigmoid", x) + 3.0) / 6.0


@public
@fused("flat")
def hardswish(x: Any) -> Tensor:
    """x * hardsigmoid(x)."""
    x = _float("hardswish", x)
    return x * hardsigmoid(x)


@public
@fused("flat")
def softsign(x: Any) -> Tensor:
    """x / (1 + |x|)."""
    x = _float("softsign", x)
    return x / (1.0 + abs(x))


@public
@fused("flat")
def tanhshrink(x: Any) -> Tensor:
    """x - tanh(x)."""
    x = _float("tanhshrink", x)
    return x - tanh(x)


@public
@fused("flat")
def hardshrink(x: Any, lambd: float = 0.5) -> Tensor:
    """x where |x| > lambd, else 0."""
    x = _float("hardshrink", x)
    return where((x >= -lambd) & (x <= lambd), 0.0, x)


@public
@fused("flat")
def softshrink(x: Any, lambd: float = 0.5) -> Tensor:
    """x moved by lambd towards 0, and 0 where |x| <= lambd."""
    x = _float("softshrink", x)
    return where((x >= -lambd) & (x <= lambd), 0.0, x - sign(x) * lambd)


@public
@fused("flat")
def threshold(x: Any, threshold: float, value: float) -> Tensor:
    """x where it is above ``threshold``, else ``value``."""
    x = as_tensor(x)
    return where(x <= threshold, value, x)


@public
@fused("batch", "x")
def glu(x: Any, axis: int = -1, *, dim: int | None = None) -> Tensor:
    """a * sigmoid(b) for the halves a, b of x along ``axis``. ShapeError if its size is odd."""
    x, (at,) = _operands(_float("glu", x), axis, dim)
    half = x.shape[at] // 2
    if x.shape[at] != 2 * half:
        raise ShapeError(at_line(f"glu halves axis {at}, whose size {x.shape[at]} is odd", user_origin()))
    return part(x, at, 0, half) * sigmoid(part(x, at, half, half))


# -- dropout -------------------------------------------------------------------------------------------------------
@public
def dropout(x: Any, p: float = 0.5, training: bool = True, *, generator: random.Generator | None = None) -> Tensor:
    """x with each element set to 0 with probability ``p``, the others divided by ``1 - p`` (if ``training``).

    Raises ValueError unless 0 <= p <= 1.

    >>> import graphflow as gf
    >>> gf.dropout(gf.ones(3), 0.5, training=False).tolist()
    [1.0, 1.0, 1.0]
    """
    if not 0.0 <= p <= 1.0:
        raise ValueError(at_line(f"dropout needs a probability from 0 to 1, got {p}", user_origin()))
    x = _float("dropout", x)
    if not training or p == 0.0:
        return x
    if p == 1.0:
        return where(zeros_like(x, dtype=bool_), x, 0.0)
    with beside(x):
        (u,) = (generator or random.default_generator).unit(x.shape, float64 if x.dtype is float64 else float32)
    return where(u >= p, x * (1.0 / (1.0 - p)), 0.0)


# -- parts of real numbers (the Array API names them for complex ones too) --------------------------------------------
@public(methods=("conj",))
def conj(x: Any, /) -> Tensor:
    """The complex conjugate: a real tensor itself."""
    return positive(x)


@public
def real(x: Any, /) -> Tensor:
    """The real part: a real tensor itself."""
    return positive(x)


@public
def imag(x: Any, /) -> Tensor:
    """The imaginary part of a real tensor: zeros."""
    return zeros_like(x)


# -- numbers that are nearly equal, or none ------------------------------------------------------------------------
@public(methods=("isclose",))
def isclose(x1: Any, x2: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    """Whether |x1 - x2| <= atol + rtol * |x2|, elementwise, as bool.

    >>> import graphflow as gf
    >>> gf.isclose(gf.tensor([1.0, 2.0]), gf.tensor([1.0, 2.1])).tolist()
    [True, False]
    """
    x1, x2 = promote(x1, x2)
    if not x1.dtype.is_float:
        x1, x2 = cast(x1, float64), cast(x2, float64)
    near = (x1 == x2) | (isfinite(x2) & (abs(x1 - x2) <= atol + rtol * abs(x2)))
    return near | (isnan(x1) & isnan(x2)) if equal_nan else near


@public(methods=("allclose",))
def allclose(x1: Any, x2: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    """Whether all elements are close (see ``isclose``), as a 0-d bool tensor."""
    return all(isclose(x1, x2, rtol, atol, equal_nan))


@public(methods=("nan_to_num",))
def nan_to_num(x: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Tensor:
    """x with NaN and infinities replaced; infinities by the dtype's limits unless given.

    >>> import graphflow as gf
    >>> gf.nan_to_num(gf.tensor([float("nan"), 1.0])).tolist()
    [0.0, 1.0]
    """
    x = as_tensor(x)
    if not x.dtype.is_float:
        return x
    limits = make_finfo(x.dtype)
    highest, lowest = limits.max if posinf is None else posinf, limits.min if neginf is None else neginf
    return where(isnan(x), nan, where(x == math.inf, highest, where(x == -math.inf, lowest, x)))


@public(methods=("lerp",))
def lerp(start: Any, end: Any, weight: Any) -> Tensor:
    """start + weight * (end - start).

    >>> import graphflow as gf
    >>> gf.lerp(gf.tensor(0.0), gf.tensor(10.0), 0.25).item()
    2.5
    """
    start = as_tensor(start)
    return start + weight * (as_tensor(end) - start)
