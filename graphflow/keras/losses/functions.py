"""Losses of each sample, as functions ``f(y_true, y_pred)``: the mean over the last axis.

>>> import graphflow as gf
>>> gf.keras.losses.mean_squared_error(gf.tensor([[0.0, 1.0]]), gf.tensor([[0.0, 3.0]])).tolist()
[2.0]
"""

from __future__ import annotations

import math
from typing import Any

from graphflow.core.dtypes import float32, int32, int64
from graphflow.core.errors import DTypeError, ShapeError, at_line, user_origin
from graphflow.keras.symbolic import closed_shape
from graphflow.ops.arrange import squeeze
from graphflow.ops.composite import log_softmax, softplus
from graphflow.ops.creation import beside, iota
from graphflow.ops.define import cast
from graphflow.ops.elementwise import abs as absolute
from graphflow.ops.elementwise import clip, maximum, relu, rsqrt, square, where
from graphflow.ops.losses import _pair
from graphflow.ops.mathematical import exp, log, logaddexp
from graphflow.ops.movement import expand_dims, reshape
from graphflow.ops.reduce import count_along, mean
from graphflow.ops.reduce import max as greatest
from graphflow.ops.reduce import sum as total
from graphflow.tensor import Tensor, as_tensor

EPSILON = 1e-7  # what keeps probabilities away from 0 and 1


def aligned(y_true: Any, y_pred: Any) -> tuple[Tensor, Tensor]:
    """Both in the prediction's dtype; a last axis of size 1 that only one of them has is taken away."""
    t, p = as_tensor(y_true), as_tensor(y_pred)
    if p.ndim == t.ndim + 1 and p.shape[-1] == 1:
        p = squeeze(p, -1)
    elif t.ndim == p.ndim + 1 and t.shape[-1] == 1:
        t = squeeze(t, -1)
    p = p if p.dtype.is_float else cast(p, float32)
    t = cast(t, p.dtype)
    try:
        _pair("loss", p, t)
    except ShapeError:
        raise ShapeError(
            at_line(
                f"the targets' shape {closed_shape(t.shape)} does not fit the predictions' {closed_shape(p.shape)}; "
                "reshape the targets, or give the model's last layer as many units",
                user_origin(),
            )
        ) from None
    return t, p


def _rows(x: Tensor) -> Tensor:
    return mean(x, axis=-1) if x.ndim else x


# -- regression --------------------------------------------------------------------------------------------------------
def mean_squared_error(y_true: Any, y_pred: Any) -> Tensor:
    """The mean of (y_pred - y_true)^2."""
    t, p = aligned(y_true, y_pred)
    return _rows(square(t - p))


def mean_absolute_error(y_true: Any, y_pred: Any) -> Tensor:
    """The mean of |y_pred - y_true|."""
    t, p = aligned(y_true, y_pred)
    return _rows(absolute(t - p))


def mean_absolute_percentage_error(y_true: Any, y_pred: Any) -> Tensor:
    """100 times the mean of |y_pred - y_true| / |y_true|."""
    t, p = aligned(y_true, y_pred)
    return 100.0 * _rows(absolute((t - p) / maximum(absolute(t), EPSILON)))  # type: ignore[return-value]


def mean_squared_logarithmic_error(y_true: Any, y_pred: Any) -> Tensor:
    """The mean of (log(1 + y_pred) - log(1 + y_true))^2."""
    t, p = aligned(y_true, y_pred)
    return _rows(square(log(maximum(t, EPSILON) + 1.0) - log(maximum(p, EPSILON) + 1.0)))


def huber(y_true: Any, y_pred: Any, delta: float = 1.0) -> Tensor:
    """Half the squared error up to ``delta``, beyond it a straight line (Huber 1964)."""
    t, p = aligned(y_true, y_pred)
    size = absolute(t - p)
    return _rows(where(size <= delta, 0.5 * square(size), delta * size - 0.5 * delta**2))


def log_cosh(y_true: Any, y_pred: Any) -> Tensor:
    """The mean of log(cosh(y_pred - y_true))."""
    t, p = aligned(y_true, y_pred)
    return _rows(logaddexp(p - t, t - p) - math.log(2.0))


def poisson(y_true: Any, y_pred: Any) -> Tensor:
    """The mean of y_pred - y_true * log(y_pred)."""
    t, p = aligned(y_true, y_pred)
    return _rows(p - t * log(p + EPSILON))


def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Tensor:
    """Minus the cosine of the angle between the two: -1 for the same direction."""
    t, p = aligned(y_true, y_pred)
    return -total(_unit(t, axis) * _unit(p, axis), axis=axis)


def _unit(x: Tensor, axis: int) -> Tensor:
    return x * rsqrt(maximum(total(square(x), axis=axis, keepdims=True), 1e-12))


# -- margins -----------------------------------------------------------------------------------------------------------
def _signs(t: Tensor) -> Tensor:
    """Targets of -1 and 1; those of 0 and 1 are taken to mean them."""
    binary = ((t == 0) | (t == 1)).all()  # type: ignore[union-attr]
    return where(binary, 2.0 * t - 1.0, t)


def hinge(y_true: Any, y_pred: Any) -> Tensor:
    """The mean of max(0, 1 - y_true * y_pred), targets being -1 and 1 (or 0 and 1)."""
    t, p = aligned(y_true, y_pred)
    return _rows(relu(1.0 - _signs(t) * p))


def squared_hinge(y_true: Any, y_pred: Any) -> Tensor:
    """The mean of max(0, 1 - y_true * y_pred)^2, targets being -1 and 1 (or 0 and 1)."""
    t, p = aligned(y_true, y_pred)
    return _rows(square(relu(1.0 - _signs(t) * p)))


def categorical_hinge(y_true: Any, y_pred: Any) -> Tensor:
    """max(0, the best wrong score - the right one + 1), targets being rows with a one."""
    t, p = aligned(y_true, y_pred)
    return relu(greatest((1.0 - t) * p, axis=-1) - total(t * p, axis=-1) + 1.0)


# -- probabilities -----------------------------------------------------------------------------------------------------
def kl_divergence(y_true: Any, y_pred: Any) -> Tensor:
    """The sum of y_true * log(y_true / y_pred)."""
    t, p = aligned(y_true, y_pred)
    t, p = clip(t, EPSILON, 1.0), clip(p, EPSILON, 1.0)
    return total(t * log(t / p), axis=-1)


def binary_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Tensor:
    """The mean cross-entropy of probabilities (or logits) against targets from 0 to 1."""
    t, p = aligned(y_true, y_pred)
    t = t * (1.0 - label_smoothing) + 0.5 * label_smoothing if label_smoothing else t
    loss = _binary(t, p, from_logits)
    return mean(loss, axis=axis) if loss.ndim else loss


def _binary(t: Tensor, p: Tensor, from_logits: bool) -> Tensor:
    if from_logits:
        return softplus(p) - p * t
    p = clip(p, EPSILON, 1.0 - EPSILON)
    return -(t * log(p) + (1.0 - t) * log(1.0 - p))


def binary_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """Cross-entropy that counts easy samples less: times (1 - probability of the truth)^gamma (Lin et al. 2017)."""
    t, p = aligned(y_true, y_pred)
    t = t * (1.0 - label_smoothing) + 0.5 * label_smoothing if label_smoothing else t
    p = 1.0 / (1.0 + exp(-p)) if from_logits else p
    right = t * p + (1.0 - t) * (1.0 - p)
    loss = (1.0 - right) ** gamma * _binary(t, p, False)
    if apply_class_balancing:
        loss = loss * (t * alpha + (1.0 - t) * (1.0 - alpha))
    return mean(loss, axis=axis) if loss.ndim else loss


def _logarithms(p: Tensor, from_logits: bool, axis: int) -> Tensor:
    """The logarithms of the probabilities, made to add up to 1."""
    if from_logits:
        return log_softmax(p, axis)
    return log(clip(p / total(p, axis=axis, keepdims=True), EPSILON, 1.0 - EPSILON))


def categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Tensor:
    """The cross-entropy of class probabilities (or logits) against rows with a one (or probabilities)."""
    t, p = as_tensor(y_true), as_tensor(y_pred)
    if t.ndim != p.ndim or p.shape[-1] != t.shape[-1]:
        raise ShapeError(
            at_line(
                f"categorical_crossentropy needs targets like the predictions {closed_shape(p.shape)}, got "
                f"{closed_shape(t.shape)}; for class numbers use loss='sparse_categorical_crossentropy', or "
                "gf.keras.utils.to_categorical(y)",
                user_origin(),
            )
        )
    t, p = aligned(t, p)
    if label_smoothing:
        t = t * (1.0 - label_smoothing) + label_smoothing / count_along(p, (axis % p.ndim,), p.dtype)
    return -total(t * _logarithms(p, from_logits, axis), axis=axis)


def categorical_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    alpha: Any = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """Class cross-entropy that counts easy samples less (Lin et al. 2017); ``alpha`` weighs the classes."""
    t, p = aligned(y_true, y_pred)
    if label_smoothing:
        t = t * (1.0 - label_smoothing) + label_smoothing / count_along(p, (axis % p.ndim,), p.dtype)
    logs = _logarithms(p, from_logits, axis)
    return -total(alpha * (1.0 - exp(logs)) ** gamma * t * logs, axis=axis)


def labels_of(y_true: Any, y_pred: Tensor) -> Tensor:
    """Class numbers without an axis of size 1 at the end. Raises where they are no class numbers."""
    t = as_tensor(y_true)
    if t.ndim == y_pred.ndim and t.shape[-1] == 1:
        t = squeeze(t, -1)
    if t.ndim != y_pred.ndim - 1:
        hint = ""
        if t.ndim == y_pred.ndim:
            hint = "; for rows with a one use loss='categorical_crossentropy', or y.argmax(-1)"
        raise ShapeError(
            at_line(
                f"class numbers of shape {closed_shape(y_pred.shape[:-1])} are needed for predictions "
                f"{closed_shape(y_pred.shape)}, got {closed_shape(t.shape)}{hint}",
                user_origin(),
            )
        )
    if t.dtype.kind == "complex":
        raise DTypeError(at_line("class numbers are whole numbers", user_origin()))
    return t if t.dtype in (int32, int64) else cast(t, int64)


def sparse_categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, ignore_class: int | None = None, axis: int = -1
) -> Tensor:
    """The cross-entropy of class probabilities (or logits) against class numbers; NaN for one that does not exist."""
    p = as_tensor(y_pred)
    if p.ndim and axis not in (-1, p.ndim - 1):
        p = p.moveaxis(axis, -1)  # type: ignore[attr-defined]
    t = labels_of(y_true, p)
    logs = _logarithms(p if p.dtype.is_float else cast(p, float32), from_logits, -1)
    with beside(p):
        numbers = iota((*(1,) * t.ndim, p.shape[-1]), t.ndim, t.dtype)
        limit = count_along(p, (p.ndim - 1,), t.dtype)
    loss = -total(where(expand_dims(t, -1) == numbers, logs, 0.0), axis=-1)
    loss = where((t >= 0) & (t < limit), loss, math.nan)
    return loss if ignore_class is None else where(t == ignore_class, 0.0, loss)


def dice(y_true: Any, y_pred: Any, axis: Any = None) -> Tensor:
    """1 - 2 * overlap / (sum of both) (Dice 1945)."""
    t, p = aligned(y_true, y_pred)
    axes = axis if axis is None or isinstance(axis, int) else tuple(axis)
    overlap = total(t * p, axis=axes)
    return 1.0 - (2.0 * overlap + EPSILON) / (total(t, axis=axes) + total(p, axis=axes) + EPSILON)  # type: ignore


def tversky(y_true: Any, y_pred: Any, alpha: float = 0.5, beta: float = 0.5, axis: Any = None) -> Tensor:
    """Dice's loss with weights for false positives (alpha) and false negatives (beta) (Salehi et al. 2017)."""
    t, p = aligned(y_true, y_pred)
    axes = axis if axis is None or isinstance(axis, int) else tuple(axis)
    overlap = total(t * p, axis=axes)
    wrong = alpha * total((1.0 - t) * p, axis=axes) + beta * total(t * (1.0 - p), axis=axes)
    return 1.0 - (overlap + EPSILON) / (overlap + wrong + EPSILON)  # type: ignore[return-value]


def flattened(x: Any) -> Tensor:
    """One axis of all elements."""
    return reshape(as_tensor(x), -1)
