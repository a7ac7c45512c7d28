"""Metrics that are means of losses, and R2."""

from __future__ import annotations

from typing import Any

from graphflow.keras.losses import functions as f
from graphflow.keras.metrics.base import Mean, MeanMetricWrapper, Metric, RootMean, add_to, ratio
from graphflow.ops.define import cast
from graphflow.ops.elementwise import abs as absolute
from graphflow.ops.elementwise import maximum, square, where
from graphflow.ops.movement import broadcast_to, expand_dims
from graphflow.ops.reduce import count_along, mean
from graphflow.ops.reduce import sum as total
from graphflow.tensor import Tensor, as_tensor


class _OfLoss(MeanMetricWrapper):
    """The mean of a loss, with its settings."""

    function: Any = None

    def __init__(self, name: str | None = None, dtype: Any = None, **settings: Any) -> None:
        super().__init__(type(self).function, name or type(self).function.__name__, dtype, **settings)


class MeanSquaredError(_OfLoss):
    """The mean of (y_pred - y_true)^2."""

    function = staticmethod(f.mean_squared_error)


class MeanAbsoluteError(_OfLoss):
    """The mean of |y_pred - y_true|."""

    function = staticmethod(f.mean_absolute_error)


class MeanAbsolutePercentageError(_OfLoss):
    """100 times the mean of |y_pred - y_true| / |y_true|."""

    function = staticmethod(f.mean_absolute_percentage_error)


class MeanSquaredLogarithmicError(_OfLoss):
    """The mean of (log(1 + y_pred) - log(1 + y_true))^2."""

    function = staticmethod(f.mean_squared_logarithmic_error)


class LogCoshError(_OfLoss):
    """The mean of log(cosh(y_pred - y_true))."""

    function = staticmethod(f.log_cosh)

    def __init__(self, name: str = "logcosh", dtype: Any = None) -> None:
        super().__init__(name, dtype)


class Poisson(_OfLoss):
    """The mean of y_pred - y_true * log(y_pred)."""

    function = staticmethod(f.poisson)


class KLDivergence(_OfLoss):
    """The mean of sum(y_true * log(y_true / y_pred))."""

    function = staticmethod(f.kl_divergence)


class Hinge(_OfLoss):
    """The mean of max(0, 1 - y_true * y_pred)."""

    function = staticmethod(f.hinge)


class SquaredHinge(_OfLoss):
    """The mean of max(0, 1 - y_true * y_pred)^2."""

    function = staticmethod(f.squared_hinge)


class CategoricalHinge(_OfLoss):
    """The mean of max(0, best wrong score - right score + 1)."""

    function = staticmethod(f.categorical_hinge)


class BinaryCrossentropy(_OfLoss):
    """The mean cross-entropy of probabilities (or logits)."""

    function = staticmethod(f.binary_crossentropy)

    def __init__(
        self,
        name: str = "binary_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(name, dtype, from_logits=from_logits, label_smoothing=label_smoothing)


class CategoricalCrossentropy(_OfLoss):
    """The mean cross-entropy of class probabilities (or logits) against rows with a one."""

    function = staticmethod(f.categorical_crossentropy)

    def __init__(
        self,
        name: str = "categorical_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
    ) -> None:
        super().__init__(name, dtype, from_logits=from_logits, label_smoothing=label_smoothing, axis=axis)


class SparseCategoricalCrossentropy(_OfLoss):
    """The mean cross-entropy of class probabilities (or logits) against class numbers."""

    function = staticmethod(f.sparse_categorical_crossentropy)

    def __init__(
        self,
        name: str = "sparse_categorical_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(name, dtype, from_logits=from_logits, axis=axis)


class CosineSimilarity(MeanMetricWrapper):
    """The mean cosine of the angle between targets and predictions."""

    def __init__(self, name: str = "cosine_similarity", dtype: Any = None, axis: int = -1) -> None:
        super().__init__(lambda t, p: -f.cosine_similarity(t, p, axis), name, dtype)


class RootMeanSquaredError(RootMean):
    """The root of the mean of (y_pred - y_true)^2."""

    def __init__(self, name: str = "root_mean_squared_error", dtype: Any = None) -> None:
        super().__init__(name, dtype)

    def update_state(  # type: ignore[override]
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        t, p = f.aligned(y_true, y_pred)
        super().update_state(square(t - p), sample_weight)


class MeanRelativeError(Mean):
    """The mean of |y_pred - y_true| over ``normalizer``."""

    def __init__(self, normalizer: Any, name: str = "mean_relative_error", dtype: Any = None) -> None:
        super().__init__(name, dtype)
        self.normalizer = normalizer

    def update_state(  # type: ignore[override]
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        t, p = f.aligned(y_true, y_pred)
        super().update_state(ratio(absolute(t - p), as_tensor(self.normalizer, t.dtype)), sample_weight)


class R2Score(Metric):
    """Which share of the targets' variance the predictions explain; ``class_aggregation`` joins several outputs."""

    def __init__(
        self,
        class_aggregation: str | None = "uniform_average",
        num_regressors: int = 0,
        name: str = "r2_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(dtype, name)
        if class_aggregation not in (None, "uniform_average", "variance_weighted_average"):
            raise ValueError(
                "class_aggregation is None, 'uniform_average' or 'variance_weighted_average', got "
                f"{class_aggregation!r}"
            )
        self.class_aggregation, self.num_regressors = class_aggregation, num_regressors
        self._made = False

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        t, p = (as_tensor(x) for x in (y_true, y_pred))
        t, p = cast(t, self.dtype), cast(p, self.dtype)
        t, p = (expand_dims(x, -1) if x.ndim == 1 else x for x in (t, p))
        t, p = f.aligned(t, p) if t.shape[-1] == p.shape[-1] else (t, p)
        if not self._made:
            for name in ("squared_sum", "sum", "total_mse"):
                setattr(self, name, self.add_variable((int(t.shape[-1]),), name=name))
            self.count = self.add_variable((), name="count")
            self.samples = self.add_variable((), name="samples")
            self._made = True
        weight: Any = 1.0
        number: Any = count_along(t, (0,), self.dtype)
        if sample_weight is not None:
            given = cast(as_tensor(sample_weight), self.dtype)
            weight = expand_dims(given, -1) if given.ndim == 1 else given
            number = total(broadcast_to(weight, (t.shape[0], 1)))
        add_to(self.sum, total(t * weight, axis=0))  # type: ignore[attr-defined]
        add_to(self.squared_sum, total(t * t * weight, axis=0))  # type: ignore[attr-defined]
        add_to(self.total_mse, total(square(t - p) * weight, axis=0))  # type: ignore[attr-defined]
        add_to(self.count, number)
        add_to(self.samples, count_along(t, (0,), self.dtype))

    def result(self) -> Tensor:
        if not self._made:
            return as_tensor(0.0)
        spread = self.squared_sum - square(self.sum.value) / self.count  # type: ignore[attr-defined]
        score = where(spread == 0, 0.0, 1.0 - ratio(self.total_mse, spread))  # type: ignore[attr-defined]
        if self.class_aggregation == "uniform_average":
            score = mean(score)
        elif self.class_aggregation == "variance_weighted_average":
            score = total(score * ratio(spread, total(spread)))
        if self.num_regressors:
            freedom = maximum(self.samples.value - self.num_regressors - 1.0, 1e-7)
            score = 1.0 - (1.0 - score) * (self.samples.value - 1.0) / freedom
        return score  # type: ignore[no-any-return]
