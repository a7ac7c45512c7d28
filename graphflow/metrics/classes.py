"""Reading predictions and targets of classifiers in all the forms that they come in."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphflow.core.errors import IndexingError, ShapeError, at_line, user_origin
from graphflow.metrics.base import whole
from graphflow.ops.reduce import argmax
from graphflow.tensor import Tensor, as_tensor


def labels(owner: str, predictions: Any, targets: Any, threshold: float = 0.5) -> tuple[Tensor, Tensor]:
    """Predicted and true class numbers, of one shape.

    predictions  class scores (..., classes), class numbers (...), or probabilities (...) of class 1
    targets      class numbers (...), or one-hot (..., classes) where the predictions are scores
    """
    p, t = as_tensor(predictions), as_tensor(targets)
    if p.ndim == t.ndim + 1:
        p = argmax(p, axis=-1)
    elif p.ndim == t.ndim and p.dtype.is_float:
        p = p > threshold  # type: ignore[assignment]
    if p.shape != t.shape and not (p.ndim == t.ndim and all(_fits(a, b) for a, b in zip(p.shape, t.shape))):
        raise shape_error(owner, predictions, targets)
    if t.dtype.is_float:
        t = t > 0.5  # type: ignore[assignment]  # 0.0 and 1.0
    return whole(p), whole(t)


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
