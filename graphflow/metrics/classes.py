"""Reading predictions and targets of classifiers in all the forms that they come in."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphflow.core.errors import IndexingError, ShapeError, at_line, user_origin
from graphflow.metrics.base import whole
from graphflow.ops.movement import reshape
from graphflow.ops.reduce import argmax
from graphflow.tensor import Tensor, as_tensor


def labels(owner: str, predictions: Any, targets: Any, threshold: float = 0.5) -> tuple[Tensor, Tensor]:
    """Predicted and true class numbers, of one shape.

    predictions  class scores (..., classes), class numbers (...), or probabilities (...) of class 1
    targets      class numbers (...), or one-hot (..., classes) where the predictions are scores
    """
    p, t = without_last_one(as_tensor(predictions), as_tensor(targets))
    if p.ndim == t.ndim + 1:
        p = argmax(p, axis=-1)
    elif p.ndim == t.ndim and p.dtype.is_float:
        if 0 < threshold < 1:  # else it is a threshold for something else
            check_probabilities(owner, p, "use threshold=0.0 or a sigmoid, class numbers must be integers")
        p = p > threshold  # type: ignore[assignment]
    if p.shape != t.shape and not (p.ndim == t.ndim and all(_fits(a, b) for a, b in zip(p.shape, t.shape))):
        raise shape_error(owner, predictions, targets)
    return whole(p), whole(t)


def without_last_one(p: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """(n, 1) against (n,) is taken for what is meant."""
    if p.ndim == t.ndim + 1 and p.shape[-1] == 1:
        p = reshape(p, p.shape[:-1])
    elif t.ndim == p.ndim + 1 and t.shape[-1] == 1:
        t = reshape(t, t.shape[:-1])
    return p, t


def check_probabilities(owner: str, p: Tensor, fix: str) -> None:
    """Raise ValueError for what is no probability. (Symbolic ones are taken as they are.)"""
    if p._data is None or not p._data.size:
        return
    least, most = p._data.min(), p._data.max()
    if least < 0 or most > 1:
        message = f"{owner}: predictions from {least:g} to {most:g} are no probabilities of class 1; for logits {fix}"
        raise ValueError(at_line(message, user_origin()))


def _fits(a: Any, b: Any) -> bool:
    """Whether two sizes may be the same (symbolic ones may)."""
    return a == b or not (isinstance(a, int) and isinstance(b, int))


def shape_error(owner: str, predictions: Any, targets: Any) -> ShapeError:
    p, t = as_tensor(predictions), as_tensor(targets)
    message = (
        f"{owner}: predictions of shape {p.shape} do not fit targets of shape {t.shape}; scores are (..., classes), "
        f"class numbers and probabilities have the shape of the targets"
    )
    return ShapeError(at_line(message, user_origin()))


def check_range(owner: str, numbers: Tensor, count: int, kind: str, ignored: int | None = None) -> None:
    """Raise IndexingError for class numbers out of range. (Symbolic ones are taken as they are.)"""
    if numbers._data is None or not numbers._data.size:
        return
    values = numbers._data if ignored is None else numbers._data[numbers._data != ignored]
    if values.size and not (values.min() >= 0 and values.max() < count):
        wrong = int(values[np.argmax((values < 0) | (values >= count))])
        message = f"{owner}: {kind} of class {wrong}, but num_classes={count} has classes 0 to {count - 1}"
        raise IndexingError(at_line(message, user_origin()))
