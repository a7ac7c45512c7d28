"""Metrics of true and false, positives and negatives, at one or more thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.core.dtypes import float32, int64
from graphflow.core.errors import at_line, user_origin
from graphflow.keras.losses.functions import aligned, flattened
from graphflow.keras.metrics.base import Metric, add_to, ratio
from graphflow.ops.define import cast
from graphflow.ops.elementwise import abs as absolute
from graphflow.ops.elementwise import maximum, minimum, where
from graphflow.ops.mathematical import log, sigmoid
from graphflow.ops.movement import broadcast_to, expand_dims
from graphflow.ops.reduce import argmax, mean
from graphflow.ops.reduce import max as greatest
from graphflow.ops.reduce import sum as total
from graphflow.ops.sorting import topk
from graphflow.tensor import Tensor, as_tensor

_COUNTS = ("true_positives", "false_positives", "true_negatives", "false_negatives")


class _Confusion(Metric):
    """Counts of the four kinds at each threshold."""

    kinds: Sequence[str] = _COUNTS

    def _start(self, thresholds: Any, default: float = 0.5) -> None:
        values = [default] if thresholds is None else thresholds
        values = list(values) if isinstance(values, (list, tuple)) else [values]
        if any(not 0 <= t <= 1 for t in values):
            raise ValueError(at_line(f"thresholds lie between 0 and 1, got {thresholds}", user_origin()))
        self.thresholds = values
        self._hold(np.array(values, np.float32))

    def _hold(self, limits: np.ndarray[Any, Any]) -> None:
        self._limits = limits
        for kind in self.kinds:
            setattr(self, kind, self.add_variable((len(limits),), name=kind))

    def _count(self, t: Tensor, p: Tensor, sample_weight: Any) -> None:
        """Add flat targets (0 or 1) and predictions."""
        weight: Any = 1.0
        if sample_weight is not None:
            weight = cast(as_tensor(sample_weight), p.dtype)
            weight = flattened(broadcast_to(weight if weight.ndim == p.ndim else expand_dims(weight, -1), p.shape))
        t, p = flattened(t) > 0.5, flattened(p)  # type: ignore[assignment]
        above = expand_dims(p, 0) > self._limits[:, None]
        parts = {"true": expand_dims(t, 0), "false": ~expand_dims(t, 0)}
        places = {"positives": above, "negatives": ~above}  # type: ignore[operator]
        for kind in self.kinds:
            truth, place = kind.split("_")
            target = parts["true" if (truth == "true") == (place == "positives") else "false"]
            add_to(getattr(self, kind), total(cast(target & places[place], p.dtype) * weight, axis=1))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        t, p = aligned(y_true, y_pred)
        self._count(t, p, sample_weight)

    def _shown(self, value: Tensor) -> Tensor:
        return value[0] if len(self._limits) == 1 else value  # type: ignore[no-any-return]


class _One(_Confusion):
    def __init__(self, thresholds: Any = None, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(dtype, name)
        self._start(thresholds)

    def result(self) -> Tensor:
        return self._shown(getattr(self, self.kinds[0]).value)


class TruePositives(_One):
    """How many positives were found."""

    kinds = ("true_positives",)


class FalsePositives(_One):
    """How many negatives were taken for positives."""

    kinds = ("false_positives",)


class TrueNegatives(_One):
    """How many negatives were found."""

    kinds = ("true_negatives",)


class FalseNegatives(_One):
    """How many positives were taken for negatives."""

    kinds = ("false_negatives",)


class _OfClass(_Confusion):
    """A ratio of counts; of one class, or of the ``top_k`` most likely ones."""

    def __init__(
        self,
        thresholds: Any = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(dtype, name)
        self.top_k, self.class_id = top_k, class_id
        self._start(thresholds, 0.5 if top_k is None else 0.0)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        t, p = aligned(y_true, y_pred)
        if self.top_k is not None:  # the others count as not predicted
            least = topk(p, self.top_k)[0][..., self.top_k - 1 : self.top_k]
            p = where(p >= least, p, -1.0)
        if self.class_id is not None:
            t, p = t[..., self.class_id], p[..., self.class_id]
        self._count(t, p, sample_weight)


class Precision(_OfClass):
    """Which share of what was taken for positive is so.

    >>> import graphflow as gf
    >>> gf.keras.metrics.Precision()([0, 1, 1, 1], [1.0, 0.0, 1.0, 1.0]).numpy().round(4)
    np.float32(0.6667)
    """

    kinds = ("true_positives", "false_positives")

    def result(self) -> Tensor:
        found = self.true_positives.value  # type: ignore[attr-defined]
        return self._shown(ratio(found, found + self.false_positives))  # type: ignore[attr-defined]


class Recall(_OfClass):
    """Which share of the positives was found."""

    kinds = ("true_positives", "false_negatives")

    def result(self) -> Tensor:
        found = self.true_positives.value  # type: ignore[attr-defined]
        return self._shown(ratio(found, found + self.false_negatives))  # type: ignore[attr-defined]


class AUC(_Confusion):
    """The area under a curve, "ROC" or "PR", from counts at ``num_thresholds`` thresholds."""

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        dtype: Any = None,
        thresholds: Any = None,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: Any = None,
        from_logits: bool = False,
    ) -> None:
        super().__init__(dtype, name)
        if curve.upper() not in ("ROC", "PR"):
            raise ValueError(at_line(f"curve is 'ROC' or 'PR', got {curve!r}", user_origin()))
        if summation_method.lower() not in ("interpolation", "minoring", "majoring"):
            raise ValueError(at_line("summation_method is 'interpolation', 'minoring' or 'majoring'", user_origin()))
        if multi_label:
            raise ValueError(at_line("multi_label is not supported: make a metric for each label", user_origin()))
        inner = (
            sorted(thresholds) if thresholds is not None else np.arange(1, num_thresholds - 1) / (num_thresholds - 1)
        )
        self.curve, self.summation_method = curve.upper(), summation_method.lower()
        self.from_logits = from_logits
        self._hold(np.array([-1e-7, *inner, 1.0 + 1e-7], np.float32))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        t, p = aligned(y_true, y_pred)
        self._count(t, sigmoid(p) if self.from_logits else p, sample_weight)

    def result(self) -> Tensor:
        tp, fp, tn, fn = (getattr(self, kind).value for kind in _COUNTS)
        if self.curve == "PR" and self.summation_method == "interpolation":
            return _interpolated(tp, fp, fn)
        recall = ratio(tp, tp + fn)
        x, y = (ratio(fp, fp + tn), recall) if self.curve == "ROC" else (recall, ratio(tp, tp + fp))
        pair = {"interpolation": lambda a, b: (a + b) / 2, "minoring": minimum, "majoring": maximum}
        return total((x[:-1] - x[1:]) * pair[self.summation_method](y[:-1], y[1:]))


def _interpolated(tp: Tensor, fp: Tensor, fn: Tensor) -> Tensor:
    """The area under precision against recall, true positives growing evenly in between (Davis and Goadrich 2006)."""
    taken = tp + fp
    more_true, more = tp[:-1] - tp[1:], taken[:-1] - taken[1:]  # type: ignore[index]
    slope = ratio(more_true, maximum(more, 0.0))
    start = tp[1:] - slope * taken[1:]  # type: ignore[index]
    both = (taken[:-1] > 0) & (taken[1:] > 0)  # type: ignore[index]
    growth = where(both, ratio(taken[:-1], maximum(taken[1:], 0.0)), 1.0)  # type: ignore[index]
    parts = ratio(slope * (more_true + start * log(growth)), maximum(tp[1:] + fn[1:], 0.0))
    return total(parts)


class F1Score(Metric):
    """2 * precision * recall / (precision + recall) of each class, of rows with a one; averaged over the classes.

    ``average``: None (each class), "micro", "macro", "weighted"; without ``threshold`` the most likely class counts.
    """

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str | None = "f1_score",
        dtype: Any = None,
        beta: float = 1.0,
    ) -> None:
        super().__init__(dtype, name)
        if average not in (None, "micro", "macro", "weighted"):
            raise ValueError(
                at_line(f"average is None, 'micro', 'macro' or 'weighted', got {average!r}", user_origin())
            )
        self.average, self.threshold, self.beta = average, threshold, beta
        self._made = False

    def get_config(self) -> dict[str, Any]:
        return {k: v for k, v in super().get_config().items() if k != "beta" or type(self) is FBetaScore}

    def _make(self, classes: int) -> None:
        shape = () if self.average == "micro" else (classes,)
        for kind in ("true_positives", "false_positives", "false_negatives", "support"):
            setattr(self, kind, self.add_variable(shape, name=kind))
        self._made = True

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        t, p = aligned(y_true, y_pred)
        if not self._made:
            self._make(int(p.shape[-1]))
        if self.threshold is None:
            best = (p >= greatest(p, axis=-1, keepdims=True)) & (absolute(p) > 1e-9)  # type: ignore[operator]
        else:
            best = p > self.threshold  # type: ignore[assignment]
        found, truth = cast(best, p.dtype), t
        weight: Any = 1.0 if sample_weight is None else expand_dims(cast(as_tensor(sample_weight), p.dtype), -1)
        axis = None if self.average == "micro" else 0
        add_to(self.true_positives, total(found * truth * weight, axis=axis))  # type: ignore[attr-defined]
        add_to(self.false_positives, total(found * (1.0 - truth) * weight, axis=axis))  # type: ignore[attr-defined]
        add_to(self.false_negatives, total((1.0 - found) * truth * weight, axis=axis))  # type: ignore[attr-defined]
        add_to(self.support, total(truth * weight, axis=axis))  # type: ignore[attr-defined]

    def result(self) -> Tensor:
        if not self._made:
            return as_tensor(0.0)
        tp = self.true_positives.value  # type: ignore[attr-defined]
        precision = ratio(tp, tp + self.false_positives)  # type: ignore[attr-defined]
        recall = ratio(tp, tp + self.false_negatives)  # type: ignore[attr-defined]
        square = self.beta**2
        score = ratio((1 + square) * precision * recall, square * precision + recall)
        if self.average == "weighted":
            support = self.support.value  # type: ignore[attr-defined]
            return total(score * ratio(support, total(support)))
        return mean(score) if self.average == "macro" else score


class FBetaScore(F1Score):
    """F1 with recall counting ``beta`` times as much as precision."""

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str | None = "fbeta_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(average, threshold, name, dtype, beta)


class _IoU(Metric):
    """Intersection over union of classes, from a confusion matrix."""

    def _start(self, num_classes: int, from_scores: bool, rows: bool, ignore_class: int | None) -> None:
        self.num_classes, self._from_scores, self._rows, self.ignore_class = (
            num_classes,
            from_scores,
            rows,
            ignore_class,
        )
        self.total_cm = self.add_variable((num_classes, num_classes), name="total_confusion_matrix")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        t, p = as_tensor(y_true), as_tensor(y_pred)
        t = argmax(t, axis=-1) if self._rows else t
        p = argmax(p, axis=-1) if self._from_scores else p
        t, p = cast(flattened(t), int64), cast(flattened(p), int64)
        weight: Any = 1.0
        if sample_weight is not None:
            given = as_tensor(sample_weight)
            weight = expand_dims(cast(flattened(given), float32), -1)
        if self.ignore_class is not None:
            weight = weight * expand_dims(cast(t != self.ignore_class, float32), -1)
        classes = np.arange(self.num_classes)
        rows = cast(expand_dims(t, -1) == classes, float32) * weight
        columns = cast(expand_dims(p, -1) == classes, float32)
        add_to(self.total_cm, rows.T @ columns)

    def _of(self, ids: Sequence[int]) -> Tensor:
        matrix = self.total_cm.value
        hits = total(matrix * np.eye(self.num_classes, dtype=np.float32), axis=0)
        union = total(matrix, axis=0) + total(matrix, axis=1) - hits
        chosen = np.zeros(self.num_classes, np.float32)
        chosen[list(ids)] = 1.0
        there = cast(union > 0, float32) * chosen  # type: ignore[operator]
        return ratio(total(ratio(hits, union) * there), total(there))


class MeanIoU(_IoU):
    """The mean of intersection over union of all classes; predictions are class numbers."""

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        super().__init__(dtype, name)
        self._start(num_classes, not sparse_y_pred, not sparse_y_true, ignore_class)

    def result(self) -> Tensor:
        return self._of(range(self.num_classes))


class IoU(_IoU):
    """The mean of intersection over union of some classes; predictions are class numbers."""

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        super().__init__(dtype, name)
        self.target_class_ids = list(target_class_ids)
        self._start(num_classes, not sparse_y_pred, not sparse_y_true, ignore_class)

    def result(self) -> Tensor:
        return self._of(self.target_class_ids)
