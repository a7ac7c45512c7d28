"""Metrics of one batch."""

from __future__ import annotations

from typing import Any

from graphflow.core.dtypes import default_float
from graphflow.core.errors import ShapeError, at_line, user_origin
from graphflow.ops.define import cast
from graphflow.ops.elementwise import sqrt
from graphflow.ops.logic import equal
from graphflow.ops.losses import l1_loss, mse_loss
from graphflow.ops.reduce import argmax, mean
from graphflow.tensor import Tensor, as_tensor


def accuracy(predictions: Any, targets: Any) -> Tensor:
    """The share of right predictions: class scores (..., classes) or class numbers (...), against class numbers (...).

    >>> import graphflow as gf
    >>> gf.metrics.accuracy(gf.tensor([1, 2, 3, 4]), gf.tensor([1, 2, 3, 0])).item()
    0.75
    """
    p, t = as_tensor(predictions), as_tensor(targets)
    if p.ndim == t.ndim + 1:
        p = argmax(p, axis=-1)
    if p.ndim != t.ndim:
        message = f"accuracy: predictions of shape {p.shape} do not fit targets of shape {t.shape}"
        raise ShapeError(at_line(message, user_origin()))
    return mean(cast(equal(p, t), default_float))


def mse(predictions: Any, targets: Any) -> Tensor:
    """The mean squared error."""
    return mse_loss(predictions, targets)


def rmse(predictions: Any, targets: Any) -> Tensor:
    """The root of the mean squared error."""
    return sqrt(mse_loss(predictions, targets))


def mae(predictions: Any, targets: Any) -> Tensor:
    """The mean absolute error."""
    return l1_loss(predictions, targets)
