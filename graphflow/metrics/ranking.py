"""Metrics of scores for all thresholds: areas under the ROC and the precision-recall curve."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphflow.core.errors import TraceError, at_line, user_origin
from graphflow.metrics.base import Metric, Sums, ratio, real, whole
from graphflow.metrics.classes import check_probabilities, shape_error, without_last_one
from graphflow.ops.arrange import flip
from graphflow.ops.creation import zeros
from graphflow.ops.elementwise import clip, floor
from graphflow.ops.mathematical import sigmoid
from graphflow.ops.movement import reshape
from graphflow.ops.reduce import sum as total
from graphflow.ops.running import cumsum
from graphflow.tensor import as_tensor


class AUC(Metric):
    """The area under the ROC curve, or (``curve="PR"``) the average precision, of probabilities of class 1.

    thresholds   how many equal steps between 0 and 1 are told apart; the state is two counts for each. Scores in one
                 step count as equal, so the value is that of rounded scores. None keeps all scores and is exact; it
                 works eagerly only
    from_logits  predictions are logits, which the sigmoid makes probabilities of

    The value is NaN without both classes (ROC) or without class 1 (PR); scikit-learn's ``roc_auc_score`` and
    ``average_precision_score`` have the same values.

    >>> metric = gf.metrics.AUC()
    >>> metric.update(gf.tensor([0.1, 0.4, 0.35, 0.8]), gf.tensor([0, 0, 1, 1]))
    >>> metric.compute().item()
    0.75
    """

    def __init__(self, curve: str = "ROC", thresholds: int | None = 1000, from_logits: bool = False) -> None:
        super().__init__()
        if curve not in ("ROC", "PR"):
            raise ValueError(f"curve is 'ROC' or 'PR', got {curve!r}")
        if thresholds is not None and thresholds < 2:
            raise ValueError(f"thresholds is at least 2, or None for all, got {thresholds}")
        self.curve = curve
        self.thresholds = thresholds
        self.from_logits = from_logits
        self._seen: list[tuple[np.ndarray, np.ndarray]] = []
        if thresholds is not None:
            self.add_sum("positive", (thresholds,), "int64")
            self.add_sum("negative", (thresholds,), "int64")

    def count(self, predictions: Any, targets: Any) -> Sums:
        p, t = self._read(predictions, targets)
        assert self.thresholds is not None
        check_probabilities("AUC", p, "use from_logits=True, for any scores thresholds=None")
        step = clip(floor(real(p) * self.thresholds), 0, self.thresholds - 1)
        place, one = whole(step), whole(t)
        empty: Any = zeros((self.thresholds,), dtype="int64")
        return {"positive": empty.at[place].add(one), "negative": empty.at[place].add(1 - one)}

    def _read(self, predictions: Any, targets: Any) -> tuple[Any, Any]:
        p, t = without_last_one(as_tensor(predictions), as_tensor(targets))
        if p.ndim != t.ndim:
            raise shape_error("AUC", predictions, targets)
        return reshape(sigmoid(p) if self.from_logits else p, -1), reshape(t, -1)

    def value(self, positive: Any, negative: Any) -> Any:
        # From the highest scores down: what has been taken for class 1, rightly and wrongly.
        right, wrong = cumsum(flip(positive)), cumsum(flip(negative))
        if self.curve == "PR":
            return ratio(total(real(flip(positive)) * ratio(right, right + wrong)), right[-1], float("nan"))
        # Pairs of one of each class that are in the right order; equal ones count half.
        pairs = real(flip(negative)) * (real(right) - real(flip(positive)) * 0.5)
        return ratio(total(pairs), right[-1] * wrong[-1], float("nan"))

    # -- exact --------------------------------------------------------------------------------------------------------
    def update(self, predictions: Any, targets: Any) -> Any:
        if self.thresholds is not None:
            return super().update(predictions, targets)
        self._seen.append(self._arrays(predictions, targets))
        return None

    def compute(self) -> Any:
        if self.thresholds is not None:
            return super().compute()
        return self._exact(self._seen)

    def __call__(self, predictions: Any, targets: Any) -> Any:
        if self.thresholds is not None:
            return super().__call__(predictions, targets)
        self._seen.append(self._arrays(predictions, targets))
        return self._exact(self._seen[-1:])

    def reset(self) -> Any:
        self._seen = []
        return super().reset()

    def _arrays(self, predictions: Any, targets: Any) -> tuple[np.ndarray, np.ndarray]:
        p, t = self._read(predictions, targets)
        if p._data is None or t._data is None:
            raise TraceError(at_line("AUC(thresholds=None) keeps all scores; give a number of them", user_origin()))
        return p.numpy().astype(np.float64), t.numpy().astype(np.int64)

    def _exact(self, seen: list[tuple[np.ndarray, np.ndarray]]) -> Any:
        """The same sums, with a step for each score that there is."""
        scores = np.concatenate([p for p, _ in seen]) if seen else np.zeros(0)
        targets = np.concatenate([t for _, t in seen]) if seen else np.zeros(0, np.int64)
        values, place = np.unique(scores, return_inverse=True)
        positive, negative = (np.bincount(place, targets == kind, len(values) or 1) for kind in (1, 0))
        return self.value(as_tensor(positive.astype(np.int64)), as_tensor(negative.astype(np.int64)))
