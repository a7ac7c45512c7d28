"""The share of right answers."""

from __future__ import annotations

from typing import Any

from graphflow.metrics.base import Metric, Sums, ratio, whole
from graphflow.metrics.classes import labels, shape_error, without_last_one
from graphflow.ops.creation import arange
from graphflow.ops.elementwise import where
from graphflow.ops.logic import logical_and, logical_or
from graphflow.ops.movement import reshape
from graphflow.ops.reduce import argmax
from graphflow.ops.reduce import sum as total
from graphflow.tensor import as_tensor


class Accuracy(Metric):
    """The share of right predictions; the form follows from the shapes.

    Predictions are class scores (..., classes), class numbers (...), or probabilities (...) of class 1, which
    ``threshold`` decides; targets are class numbers (...); for one-hot ones there is CategoricalAccuracy. With
    ``top_k`` a prediction by scores is right if the class is among the k with the highest. Targets equal to
    ``ignore_index`` do not count. Raises ShapeError where the shapes do not fit, ValueError for what is no probability.

    >>> metric = gf.metrics.Accuracy()
    >>> metric.update(gf.tensor([[0.1, 0.9], [0.8, 0.2]]), gf.tensor([1, 1]))
    >>> metric.compute().item()
    0.5
    """

    def __init__(self, threshold: float = 0.5, top_k: int = 1, ignore_index: int | None = None) -> None:
        super().__init__()
        if top_k < 1:
            raise ValueError(f"top_k must be at least 1, got {top_k}")
        self.threshold = threshold
        self.top_k = top_k
        self.ignore_index = ignore_index
        self.add_sum("right", dtype="int64")
        self.add_sum("all", dtype="int64")

    def count(self, predictions: Any, targets: Any) -> Sums:
        return self._count(self._right(predictions, targets), as_tensor(targets))

    def _right(self, predictions: Any, targets: Any) -> Any:
        if self.top_k > 1:
            return _among_best(type(self).__name__, predictions, targets, self.top_k)
        p, t = labels(type(self).__name__, predictions, targets, self.threshold)
        return p == t

    def _count(self, right: Any, targets: Any) -> Sums:
        counted = right == right if self.ignore_index is None else targets != self.ignore_index
        return {
            "right": total(whole(logical_and(right, counted))),
            "all": total(whole(counted)),
        }

    def value(self, right: Any, all: Any) -> Any:
        return ratio(right, all)


class BinaryAccuracy(Accuracy):
    """The share of right predictions of two classes: probabilities, or 0 and 1, of the targets' shape."""

    def __init__(self, threshold: float = 0.5) -> None:
        super().__init__(threshold)

    def _right(self, predictions: Any, targets: Any) -> Any:
        p, t = without_last_one(as_tensor(predictions), as_tensor(targets))
        if p.ndim != t.ndim:
            raise shape_error("BinaryAccuracy", predictions, targets)
        return super()._right(p, t)


class CategoricalAccuracy(Accuracy):
    """The share of right predictions: scores (..., classes) against one-hot targets (..., classes).

    >>> one_hot = gf.tensor([[0.0, 1.0], [0.0, 1.0]])
    >>> gf.metrics.CategoricalAccuracy()(gf.tensor([[0.1, 0.9], [0.8, 0.2]]), one_hot).item()
    0.5
    """

    def __init__(self) -> None:
        super().__init__()

    def count(self, predictions: Any, targets: Any) -> Sums:
        p, t = as_tensor(predictions), as_tensor(targets)
        if p.ndim != t.ndim or p.ndim < 1:
            raise shape_error("CategoricalAccuracy", predictions, targets)
        return self._count(argmax(p, axis=-1) == argmax(t, axis=-1), t)


class SparseCategoricalAccuracy(Accuracy):
    """The share of right predictions: scores (..., classes) against class numbers (...)."""

    def __init__(self, ignore_index: int | None = None) -> None:
        super().__init__(ignore_index=ignore_index)

    def _right(self, predictions: Any, targets: Any) -> Any:
        if as_tensor(predictions).ndim != as_tensor(targets).ndim + 1:
            raise shape_error("SparseCategoricalAccuracy", predictions, targets)
        return super()._right(predictions, targets)


class TopKAccuracy(Accuracy):
    """The share of targets that are among the ``k`` classes with the highest scores.

    >>> scores = gf.tensor([[0.1, 0.3, 0.6], [0.5, 0.4, 0.1]])
    >>> gf.metrics.TopKAccuracy(k=2)(scores, gf.tensor([1, 2])).item()
    0.5
    """

    def __init__(self, k: int = 5, ignore_index: int | None = None) -> None:
        super().__init__(top_k=k, ignore_index=ignore_index)

    def _right(self, predictions: Any, targets: Any) -> Any:
        return _among_best("TopKAccuracy", predictions, targets, self.top_k)


def _among_best(owner: str, predictions: Any, targets: Any, k: int) -> Any:
    """Whether fewer than k classes come before the target: those with higher scores, and equal ones of lower number."""
    p, t = as_tensor(predictions), whole(as_tensor(targets))
    if p.ndim != t.ndim + 1 or not isinstance(p.shape[-1], int):
        raise shape_error(owner, predictions, targets)
    column, classes = reshape(t, (*t.shape, 1)), arange(p.shape[-1])
    own = total(where(classes == column, p, 0.0), axis=-1, keepdims=True)
    before = logical_or(p > own, logical_and(p == own, classes < column))
    return total(whole(before), axis=-1) < k
