"""Losses, as functions of other ops. Names, arguments and meaning are PyTorch's ``torch.nn.functional``.

``reduction`` is "mean" (of all elements, or of the weights of those counted), "sum" or "none".
"""

from __future__ import annotations

import math
from typing import Any

from graphflow.core.dims import Dim, broadcast_shapes
from graphflow.core.dtypes import as_dtype, default_float, int32, int64
from graphflow.core.errors import DTypeError, IndexingError, ShapeError, at_line, user_origin
from graphflow.ops.composite import _shifted, log_softmax
from graphflow.ops.creation import beside, iota
from graphflow.ops.define import cast, promote, public
from graphflow.ops.elementwise import abs, relu, square, where
from graphflow.ops.fused import fused
from graphflow.ops.mathematical import exp, log, logaddexp
from graphflow.ops.movement import expand_dims, reshape
from graphflow.ops.reduce import SUM, _reduce, count_along, floating, mean, result_dtype, sum
from graphflow.tensor import Tensor, as_tensor


def _reduced(loss: Tensor, reduction: str, count: Any = None) -> Tensor:
    """The loss of a batch; ``count`` is what the mean divides by, if not the number of elements."""
    if reduction == "none":
        return loss
    if reduction == "sum":
        return sum(loss)
    if reduction == "mean":
        return mean(loss) if count is None else sum(loss) / count
    raise ValueError(at_line(f'reduction is "mean", "sum" or "none", got {reduction!r}', user_origin()))


def _pair(name: str, input: Any, target: Any) -> tuple[Tensor, Tensor]:
    """Prediction and target in one dtype; a target that would blow the prediction up by broadcasting is a mistake."""
    x, t = promote(input, target)
    if not x.dtype.is_float:
        x, t = cast(x, default_float), cast(t, default_float)
    try:
        fits = broadcast_shapes(x.shape, t.shape) == x.shape
    except ShapeError:
        fits = any(isinstance(s, Dim) for s in (*x.shape, *t.shape))  # sizes that may turn out equal
    if not fits:
        message = f"{name}: the target's shape {t.shape} does not fit the input's {x.shape}; reshape one of them"
        raise ShapeError(at_line(message, user_origin()))
    return x, t


# -- regression ----------------------------------------------------------------------------------------------------
@public
@fused("flat")
def mse_loss(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """The squared error.

    >>> import graphflow as gf
    >>> gf.mse_loss(gf.tensor([1.0, 2.0]), gf.tensor([1.0, 4.0])).item()
    2.0
    """
    x, t = _pair("mse_loss", input, target)
    return _reduced(square(x - t), reduction)


@public
@fused("flat")
def l1_loss(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """The absolute error.

    >>> import graphflow as gf
    >>> gf.l1_loss(gf.tensor([1.0, 2.0]), gf.tensor([1.0, 4.0])).item()
    1.0
    """
    x, t = _pair("l1_loss", input, target)
    return _reduced(abs(x - t), reduction)


@public
@fused("flat")
def huber_loss(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """Half the squared error up to ``delta``, beyond it a straight line (Huber 1964).

    >>> import graphflow as gf
    >>> gf.huber_loss(gf.tensor([0.0, 0.0]), gf.tensor([1.0, 3.0]), reduction="none").tolist()
    [0.5, 2.5]
    """
    x, t = _pair("huber_loss", input, target)
    if delta <= 0:
        raise ValueError(at_line(f"huber_loss needs delta > 0, got {delta}", user_origin()))
    error = x - t
    size = abs(error)
    near = size <= delta
    return _reduced(where(near, 0.5 * square(where(near, error, 0.0)), delta * (size - 0.5 * delta)), reduction)


@public
@fused("flat")
def smooth_l1_loss(input: Any, target: Any, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """The Huber loss over ``beta``: slope 1 far out; with ``beta=0`` the absolute error."""
    if beta == 0:
        return l1_loss(input, target, reduction)
    return huber_loss(input, target, reduction, beta) / beta


@public
@fused("flat")
def poisson_nll_loss(
    input: Any, target: Any, log_input: bool = True, full: bool = False, eps: float = 1e-8, reduction: str = "mean"
) -> Tensor:
    """The negative log likelihood of counts under a Poisson distribution; ``full`` adds Stirling's approximation."""
    x, t = _pair("poisson_nll_loss", input, target)
    loss = exp(x) - t * x if log_input else x - t * log(x + eps)
    if full:
        safe = where(t > 1, t, 1.0)
        loss = loss + where(t > 1, t * log(safe) - t + 0.5 * log(2.0 * math.pi * safe), 0.0)
    return _reduced(loss, reduction)


@public
@fused("batch", "input", "target", "var")
def gaussian_nll_loss(
    input: Any, target: Any, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Tensor:
    """The negative log likelihood of the target under normal distributions with means ``input``, variances ``var``."""
    x, t = _pair("gaussian_nll_loss", input, target)
    var = as_tensor(var, like=x.dtype)
    if var.ndim == x.ndim - 1 and var.shape == x.shape[:-1]:
        var = expand_dims(var, axis=-1)
    variance = where(var < eps, eps, var)
    loss = 0.5 * (log(variance) + square(x - t) / variance)
    return _reduced(loss + 0.5 * math.log(2.0 * math.pi) if full else loss, reduction)


# -- classes -------------------------------------------------------------------------------------------------------
@public
def one_hot(labels: Any, num_classes: int = -1, *, dtype: Any = int64) -> Tensor:
    """Labels as rows with a one at the label: a last axis of ``num_classes`` is added (-1: the greatest label + 1).

    Raises IndexError for a label out of range (in a graph its row is all zeros).

    >>> import graphflow as gf
    >>> gf.one_hot(gf.tensor([0, 2]), 3).tolist()
    [[1, 0, 0], [0, 0, 1]]
    """
    labels = as_tensor(labels)
    if num_classes == -1:
        array = labels._concrete("one_hot without num_classes", "num_classes=")
        num_classes = int(array.max()) + 1 if array.size else 0
    labels = _check_labels(labels, num_classes, "one_hot")
    return cast(_at_label(labels, labels.ndim, num_classes), as_dtype(dtype))


def _check_labels(labels: Tensor, classes: Any, name: str, ignore: int | None = None) -> Tensor:
    """The labels, checked as far as their numbers are known, in an integer type that holds all class numbers."""
    if not labels.dtype.is_int:
        raise DTypeError(at_line(f"{name} needs integer labels, got {labels.dtype}", user_origin()))
    data = labels._data
    if data is not None and not isinstance(classes, Dim):
        bad = (data < 0) | (data >= classes)
        if ignore is not None:
            bad &= data != ignore
        if bad.any():
            label = int(data[bad].flat[0])
            message = f"{name}: label {label} is out of range for {classes} classes (0 to {classes - 1})"
            raise IndexingError(at_line(message, user_origin()))
    return labels if labels.dtype in (int32, int64) else cast(labels, int64)


def _at_label(labels: Tensor, axis: int, classes: Any) -> Tensor:
    """Whether a class is the label: a comparison with ``iota`` along a new axis, which fuses with what uses it."""
    spread = expand_dims(labels, axis=axis)
    with beside(labels):
        numbers = iota(tuple(classes if i == axis else 1 for i in range(spread.ndim)), axis, labels.dtype)
    return numbers == spread


@public
@fused("batch", "input", "target", recheck=True)
def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """The cross-entropy of softmax(input) against class numbers or class probabilities.

    input            logits: (classes,), (batch, classes) or (batch, classes, ...)
    target           integers of the shape without the class axis, or floating-point probabilities of input's shape
    weight           one for each class; the mean divides by the weights of the targets
    ignore_index     a class number whose targets do not count
    label_smoothing  the share of the target that is spread evenly over all classes

    A label out of range raises IndexError; in a compiled program it makes the loss NaN.

    >>> import graphflow as gf
    >>> logits = gf.tensor([[0.0, 0.0], [-1000.0, 0.0]])
    >>> [round(x, 3) for x in gf.cross_entropy(logits, gf.tensor([1, 0]), reduction="none").tolist()]
    [0.693, 1000.0]
    """
    x, t = as_tensor(input), as_tensor(target)
    if x.ndim == 0:
        raise ShapeError(at_line("cross_entropy needs an input with a class axis, got a 0-d tensor", user_origin()))
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(at_line(f"label_smoothing goes from 0 to 1, got {label_smoothing}", user_origin()))
    axis = _class_axis(x)
    if t.dtype.is_float:
        loss = _soft_target_loss(log_softmax(floating(x), axis), t, weight, reduction, label_smoothing)
    elif label_smoothing or weight is not None:
        logs = log_softmax(floating(x), axis)
        loss = _label_loss("cross_entropy", logs, t, weight, ignore_index, reduction, label_smoothing)
    else:  # one number of each row, which can be found while its powers are summed
        shifted, axes, _ = _shifted(x, axis, None)
        total = log(_reduce(SUM, exp(shifted), axes, False))
        loss = _label_loss("cross_entropy", shifted, t, None, ignore_index, reduction, 0.0, total)
    return cast(loss, result_dtype(x))


@public
@fused("batch", "input", "target", recheck=True)
def nll_loss(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> Tensor:
    """The negative log likelihood of class numbers, given log-probabilities (see ``cross_entropy``).

    >>> import graphflow as gf
    >>> gf.nll_loss(gf.tensor([[-1.0, -2.0]]), gf.tensor([1])).item()
    2.0
    """
    x = as_tensor(input)
    loss = _label_loss("nll_loss", floating(x), as_tensor(target), weight, ignore_index, reduction, 0.0)
    return cast(loss, result_dtype(x))


def _class_axis(x: Tensor) -> int:
    return 0 if x.ndim == 1 else 1


def _class_weights(weight: Any, x: Tensor) -> Tensor:
    axis = _class_axis(x)
    return reshape(as_tensor(weight), tuple(x.shape[axis] if i == axis else 1 for i in range(x.ndim)))


def _label_loss(
    name: str,
    logs: Tensor,
    labels: Tensor,
    weight: Any,
    ignore: int,
    reduction: str,
    smoothing: float,
    total: Tensor | None = None,
) -> Tensor:
    """The loss of log-probabilities, or of what becomes one when `total`, a number for each row, is taken away."""
    axis = _class_axis(logs)
    classes = logs.shape[axis]
    expected = logs.shape[:axis] + logs.shape[axis + 1 :]
    if labels.ndim != len(expected):
        message = f"{name}: input of shape {logs.shape} needs labels of shape {expected}, got {labels.shape}"
        raise ShapeError(at_line(message, user_origin()))
    labels = _check_labels(labels, classes, name, ignore)
    # Narrow integers fill fewer vectors; labels out of their range are caught below.
    narrow = labels if isinstance(classes, Dim) else cast(labels, int32)
    chosen = _at_label(narrow, axis, classes)
    weights = None if weight is None else _class_weights(weight, logs)
    weighted = logs if weights is None else logs * weights
    picked = _reduce(SUM, where(chosen, weighted, 0.0), (axis,), False)
    loss = -picked if total is None else total - picked
    if smoothing:
        even = -_reduce(SUM, weighted, (axis,), False) / count_along(logs, (axis,), logs.dtype)
        loss = (1.0 - smoothing) * loss + smoothing * even
    counted = labels != ignore
    if (
        labels._data is None
    ):  # nobody can check the labels of a graph beforehand: wrong ones must not pass for good ones
        with beside(labels):
            limit = count_along(logs, (axis,), labels.dtype)
        loss = where((labels >= 0) & (labels < limit), loss, math.nan)
    loss = where(counted, loss, 0.0)
    if reduction != "mean":
        return _reduced(loss, reduction)
    if weights is None:
        return _reduced(loss, reduction, sum(cast(counted, loss.dtype)))
    shares = _reduce(SUM, where(chosen, weights, 0.0), (axis,), False)
    return _reduced(loss, reduction, sum(where(counted, shares, 0.0)))


def _soft_target_loss(logs: Tensor, target: Tensor, weight: Any, reduction: str, smoothing: float) -> Tensor:
    axis = _class_axis(logs)
    logs, target = _pair("cross_entropy", logs, target)
    if smoothing:
        target = target * (1.0 - smoothing) + smoothing / count_along(logs, (axis,), logs.dtype)
    if weight is not None:
        logs = logs * _class_weights(weight, logs)
    return _reduced(-_reduce(SUM, logs * target, (axis,), False), reduction)


@public
@fused("batch", "input", "target")
def kl_div(input: Any, target: Any, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """The Kullback-Leibler divergence of ``target`` from log-probabilities ``input``; also ``reduction="batchmean"``.

    >>> import graphflow as gf
    >>> gf.kl_div(gf.tensor([0.0, -1.0]), gf.tensor([1.0, 0.0]), reduction="sum").item()
    0.0
    """
    x, t = _pair("kl_div", input, target)
    if log_target:
        loss = exp(t) * (t - x)
    else:
        some = t > 0
        loss = where(some, t * log(where(some, t, 1.0)), 0.0) - t * x
    if reduction == "batchmean":
        return sum(loss) / (count_along(x, (0,), x.dtype) if x.ndim else 1)
    return _reduced(loss, reduction)


# -- yes or no -----------------------------------------------------------------------------------------------------
@public
@fused("flat", recheck=True)
def binary_cross_entropy(input: Any, target: Any, weight: Any = None, reduction: str = "mean") -> Tensor:
    """The cross-entropy of probabilities against targets from 0 to 1; logarithms are held above -100.

    Raises ValueError for an input that is no probability; in a compiled program it makes the loss NaN.

    >>> import graphflow as gf
    >>> gf.binary_cross_entropy(gf.tensor([0.5, 0.0]), gf.tensor([1.0, 1.0]), reduction="none").numpy().round(3)
    array([  0.693, 100.   ], dtype=float32)
    """
    x, t = _pair("binary_cross_entropy", input, target)
    if x._data is not None:
        bad = (x._data < 0) | (x._data > 1)
        if bad.any():
            message = f"binary_cross_entropy takes probabilities, got {x._data[bad].flat[0]}; "
            raise ValueError(at_line(message + "logits are for binary_cross_entropy_with_logits", user_origin()))
    loss = -(t * _bounded_log(x) + (1.0 - t) * _bounded_log(1.0 - x))
    loss = where((x < 0) | (x > 1), math.nan, loss)
    return _reduced(loss if weight is None else loss * weight, reduction)


def _bounded_log(p: Tensor) -> Tensor:
    floor = p <= math.exp(-100.0)
    return where(floor, -100.0, log(where(floor, 1.0, p)))


@public
@fused("flat")
def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, reduction: str = "mean", pos_weight: Any = None
) -> Tensor:
    """The cross-entropy of sigmoid(input) against targets from 0 to 1, without overflow or log(0).

    ``pos_weight`` weighs the positive targets.

    >>> import graphflow as gf
    >>> gf.binary_cross_entropy_with_logits(gf.tensor([0.0, -1000.0]), gf.tensor([1.0, 0.0])).numpy().round(4)
    np.float32(0.3466)
    """
    x, t = _pair("binary_cross_entropy_with_logits", input, target)
    if pos_weight is None:
        loss = logaddexp(x, 0.0) - x * t
    else:
        loss = (1.0 - t) * x + (1.0 + (pos_weight - 1.0) * t) * logaddexp(-x, 0.0)
    return _reduced(loss if weight is None else loss * weight, reduction)


# -- margins -------------------------------------------------------------------------------------------------------
@public
@fused("flat")
def hinge_loss(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """max(0, 1 - target * input) for targets of -1 and 1.

    >>> import graphflow as gf
    >>> gf.hinge_loss(gf.tensor([2.0, 0.5]), gf.tensor([1.0, -1.0]), reduction="none").tolist()
    [0.0, 1.5]
    """
    x, t = _pair("hinge_loss", input, target)
    return _reduced(relu(1.0 - t * x), reduction)


@public
@fused("flat")
def hinge_embedding_loss(input: Any, target: Any, margin: float = 1.0, reduction: str = "mean") -> Tensor:
    """Distances where the target is 1, ``max(0, margin - distance)`` where it is -1."""
    x, t = _pair("hinge_embedding_loss", input, target)
    return _reduced(where(t != 1, relu(margin - x), 0.0) + where(t != -1, x, 0.0), reduction)


@public
@fused("flat")
def soft_margin_loss(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """log(1 + exp(-target * input)) for targets of -1 and 1."""
    x, t = _pair("soft_margin_loss", input, target)
    return _reduced(logaddexp(-t * x, 0.0), reduction)


@public
@fused("flat")
def margin_ranking_loss(input1: Any, input2: Any, target: Any, margin: float = 0.0, reduction: str = "mean") -> Tensor:
    """max(0, -target * (input1 - input2) + margin): 1 wants the first to rank higher, -1 the second."""
    difference, t = _pair("margin_ranking_loss", as_tensor(input1) - as_tensor(input2), target)
    return _reduced(relu(margin - t * difference), reduction)
