"""Metrics that follow from how often each class was taken for each other: the confusion matrix and its kin."""

from __future__ import annotations

from typing import Any

from graphflow.metrics.base import Metric, Sums, ratio, real, whole
from graphflow.metrics.classes import check_range, labels
from graphflow.ops.creation import eye, zeros
from graphflow.ops.elementwise import where
from graphflow.ops.movement import reshape
from graphflow.ops.reduce import sum as total
from graphflow.tensor import as_tensor

_AVERAGES = ("macro", "micro", "weighted", "none", None)


class ConfusionMatrix(Metric):
    """How often class i (row, the truth) was taken for class j (column).

    num_classes   2 for probabilities of class 1, which ``threshold`` decides
    normalize     "true" divides rows by their sums, "pred" columns, "all" everything; None gives int64 counts
    ignore_index  targets of this number do not count

    Predictions are class scores (..., classes), class numbers (...) or probabilities (...), targets class numbers.
    Raises ShapeError, and IndexError for class numbers out of range (in compiled functions these are not noticed).

    >>> metric = gf.metrics.ConfusionMatrix(3)
    >>> metric.update(gf.tensor([0, 2, 1, 1]), gf.tensor([0, 1, 1, 2]))
    >>> metric.compute().tolist()
    [[1, 0, 0], [0, 1, 1], [0, 1, 0]]
    """

    def __init__(
        self,
        num_classes: int = 2,
        normalize: str | None = None,
        threshold: float = 0.5,
        ignore_index: int | None = None,
    ) -> None:
        super().__init__()
        if num_classes < 2:
            raise ValueError(f"num_classes must be at least 2, got {num_classes}")
        if normalize not in (None, "true", "pred", "all"):
            raise ValueError(f"normalize is 'true', 'pred', 'all' or None, got {normalize!r}")
        self.num_classes = num_classes
        self.normalize = normalize
        self.threshold = threshold
        self.ignore_index = ignore_index
        self.add_sum("matrix", (num_classes, num_classes), "int64")

    def count(self, predictions: Any, targets: Any) -> Sums:
        owner, classes = type(self).__name__, self.num_classes
        p, t = labels(owner, predictions, targets, self.threshold)
        check_range(owner, t, classes, "a target", self.ignore_index)
        check_range(owner, p, classes, "a prediction")
        counted = whole(t == t if self.ignore_index is None else t != self.ignore_index)
        place = where(counted == 1, t * classes + p, 0)
        cells: Any = zeros((classes * classes,), dtype="int64")
        added = cells.at[reshape(place, -1)].add(reshape(counted, -1))
        return {"matrix": reshape(added, (classes, classes))}

    def value(self, matrix: Any) -> Any:
        if self.normalize is None:
            return as_tensor(matrix)
        axis = {"true": 1, "pred": 0, "all": None}[self.normalize]
        return ratio(matrix, total(matrix, axis=axis, keepdims=axis is not None))


class _FromCounts(Metric):
    """A number from true positives, false positives and false negatives of each class."""

    def __init__(
        self,
        num_classes: int | None = None,
        average: str | None = "macro",
        threshold: float = 0.5,
        ignore_index: int | None = None,
        zero_division: float = 0.0,
    ) -> None:
        super().__init__()
        if average not in _AVERAGES:
            raise ValueError(f"average is one of {', '.join(map(str, _AVERAGES))}; got {average!r}")
        self.num_classes = num_classes
        self.average = average
        self.threshold = threshold
        self.ignore_index = ignore_index
        self.zero_division = zero_division
        self._matrix = ConfusionMatrix(num_classes or 2, None, threshold, ignore_index)
        self._sums = self._matrix._sums

    def count(self, predictions: Any, targets: Any) -> Sums:
        return self._matrix.count(predictions, targets)

    def value(self, matrix: Any) -> Any:
        right = total(matrix * eye(self.num_classes or 2, dtype="int64"), axis=1)
        wrong, missed = total(matrix, axis=0) - right, total(matrix, axis=1) - right
        if self.num_classes is None:  # class 1 is what is looked for
            return self.score(right[1], wrong[1], missed[1])
        if self.average == "micro":
            return self.score(total(right), total(wrong), total(missed))
        scores = self.score(right, wrong, missed)
        if self.average in (None, "none"):
            return scores
        # Classes that are neither there nor predicted do not count, as in scikit-learn.
        weights = right + missed if self.average == "weighted" else whole(right + wrong + missed > 0)
        return ratio(total(scores * real(weights)), total(weights))

    def score(self, right: Any, wrong: Any, missed: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not define score()")


class Precision(_FromCounts):
    """The share of what was taken for a class that is of that class.

    num_classes    None for two classes, of which 1 is looked for; else each class is looked for in turn
    average        "macro" (the mean over the classes), "micro" (over all samples), "weighted" (by how frequent the
                   classes are), None (an array with one number for each class)
    threshold      decides probabilities of class 1
    zero_division  the value where nothing was taken for the class

    Predictions and targets as for ConfusionMatrix. The values are scikit-learn's.

    >>> gf.metrics.Precision()(gf.tensor([0.9, 0.8, 0.3]), gf.tensor([1, 0, 1])).item()
    0.5
    """

    def score(self, right: Any, wrong: Any, missed: Any) -> Any:
        return ratio(right, right + wrong, self.zero_division)


class Recall(_FromCounts):
    """The share of a class that was taken for it; arguments as for Precision.

    >>> gf.metrics.Recall()(gf.tensor([0.9, 0.8, 0.3]), gf.tensor([1, 0, 1])).item()
    0.5
    """

    def score(self, right: Any, wrong: Any, missed: Any) -> Any:
        return ratio(right, right + missed, self.zero_division)


class FBetaScore(_FromCounts):
    """The weighted harmonic mean of precision and recall, recall counting ``beta`` times as much.

    Other arguments as for Precision.
    """

    def __init__(
        self,
        beta: float = 1.0,
        num_classes: int | None = None,
        average: str | None = "macro",
        threshold: float = 0.5,
        ignore_index: int | None = None,
        zero_division: float = 0.0,
    ) -> None:
        super().__init__(num_classes, average, threshold, ignore_index, zero_division)
        if beta <= 0:
            raise ValueError(f"beta must be positive, got {beta}")
        self.beta = beta

    def score(self, right: Any, wrong: Any, missed: Any) -> Any:
        square = self.beta**2
        right = real(right) * (1 + square)
        return ratio(right, right + real(missed) * square + real(wrong), self.zero_division)


class F1Score(FBetaScore):
    """The harmonic mean of precision and recall; arguments as for Precision.

    >>> gf.metrics.F1Score(num_classes=3, average="micro")(gf.tensor([0, 1, 2, 2]), gf.tensor([0, 1, 1, 2])).item()
    0.75
    """

    def __init__(
        self,
        num_classes: int | None = None,
        average: str | None = "macro",
        threshold: float = 0.5,
        ignore_index: int | None = None,
        zero_division: float = 0.0,
    ) -> None:
        super().__init__(1.0, num_classes, average, threshold, ignore_index, zero_division)


class IoU(_FromCounts):
    """Intersection over union (Jaccard): what is both predicted and true, over what is either.

    With ``num_classes`` it is the mean over the classes (mean IoU of segmentation); arguments as for Precision.

    >>> gf.metrics.IoU(num_classes=2)(gf.tensor([[0, 1], [1, 1]]), gf.tensor([[0, 1], [0, 1]])).item()
    0.5833333333333333
    """

    def score(self, right: Any, wrong: Any, missed: Any) -> Any:
        return ratio(right, right + wrong + missed, self.zero_division)
