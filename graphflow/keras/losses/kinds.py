"""The losses as classes; see the functions of the same names."""

from __future__ import annotations

from typing import Any

from graphflow.core.dtypes import float32
from graphflow.keras.losses import functions as f
from graphflow.keras.losses.base import Loss
from graphflow.ops.define import cast
from graphflow.ops.elementwise import maximum
from graphflow.ops.reduce import mean
from graphflow.tensor import Tensor, as_tensor

_MEAN = "sum_over_batch_size"


class _Function(Loss):
    """A loss that is a function of the same name in ``functions``, with settings."""

    def __init__(self, reduction: str | None = _MEAN, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name, reduction, dtype)

    settings: dict[str, Any] = {}
    fn: Any = None

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        return type(self).fn(y_true, y_pred, **self.settings)  # type: ignore[no-any-return]


class MeanSquaredError(_Function):
    """The mean of (y_pred - y_true)^2."""

    fn = staticmethod(f.mean_squared_error)


class MeanAbsoluteError(_Function):
    """The mean of |y_pred - y_true|."""

    fn = staticmethod(f.mean_absolute_error)


class MeanAbsolutePercentageError(_Function):
    """100 times the mean of |y_pred - y_true| / |y_true|."""

    fn = staticmethod(f.mean_absolute_percentage_error)


class MeanSquaredLogarithmicError(_Function):
    """The mean of (log(1 + y_pred) - log(1 + y_true))^2."""

    fn = staticmethod(f.mean_squared_logarithmic_error)


class Huber(_Function):
    """Half the squared error up to ``delta``, beyond it a straight line (Huber 1964)."""

    fn = staticmethod(f.huber)

    def __init__(
        self, delta: float = 1.0, reduction: str | None = _MEAN, name: str | None = "huber_loss", dtype: Any = None
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.settings = {"delta": delta}


class LogCosh(_Function):
    """The mean of log(cosh(y_pred - y_true))."""

    fn = staticmethod(f.log_cosh)


class Poisson(_Function):
    """The mean of y_pred - y_true * log(y_pred)."""

    fn = staticmethod(f.poisson)


class CosineSimilarity(_Function):
    """Minus the cosine of the angle between targets and predictions."""

    fn = staticmethod(f.cosine_similarity)

    def __init__(
        self, axis: int = -1, reduction: str | None = _MEAN, name: str | None = None, dtype: Any = None
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.settings = {"axis": axis}


class Hinge(_Function):
    """The mean of max(0, 1 - y_true * y_pred)."""

    fn = staticmethod(f.hinge)


class SquaredHinge(_Function):
    """The mean of max(0, 1 - y_true * y_pred)^2."""

    fn = staticmethod(f.squared_hinge)


class CategoricalHinge(_Function):
    """max(0, the best wrong score - the right one + 1)."""

    fn = staticmethod(f.categorical_hinge)


class KLDivergence(_Function):
    """The sum of y_true * log(y_true / y_pred)."""

    fn = staticmethod(f.kl_divergence)


class BinaryCrossentropy(_Function):
    """The cross-entropy of probabilities (or logits) against targets from 0 to 1."""

    fn = staticmethod(f.binary_crossentropy)

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = _MEAN,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.settings = {"from_logits": from_logits, "label_smoothing": label_smoothing, "axis": axis}


class BinaryFocalCrossentropy(_Function):
    """Binary cross-entropy that counts easy samples less (Lin et al. 2017)."""

    fn = staticmethod(f.binary_focal_crossentropy)

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = _MEAN,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.settings = {"apply_class_balancing": apply_class_balancing, "alpha": alpha, "gamma": gamma}
        self.settings |= {"from_logits": from_logits, "label_smoothing": label_smoothing, "axis": axis}


class CategoricalCrossentropy(_Function):
    """The cross-entropy of class probabilities (or logits) against rows with a one."""

    fn = staticmethod(f.categorical_crossentropy)

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = _MEAN,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.settings = {"from_logits": from_logits, "label_smoothing": label_smoothing, "axis": axis}


class CategoricalFocalCrossentropy(_Function):
    """Class cross-entropy that counts easy samples less (Lin et al. 2017)."""

    fn = staticmethod(f.categorical_focal_crossentropy)

    def __init__(
        self,
        alpha: Any = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = _MEAN,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.settings = {"alpha": alpha, "gamma": gamma, "from_logits": from_logits}
        self.settings |= {"label_smoothing": label_smoothing, "axis": axis}


class SparseCategoricalCrossentropy(_Function):
    """The cross-entropy of class probabilities (or logits) against class numbers."""

    fn = staticmethod(f.sparse_categorical_crossentropy)

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str | None = _MEAN,
        axis: int = -1,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.settings = {"from_logits": from_logits, "ignore_class": ignore_class, "axis": axis}

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Tensor:
        ignored = self.settings["ignore_class"]
        if ignored is not None:  # means are over the samples that count
            kept = cast(f.labels_of(y_true, as_tensor(y_pred)) != ignored, float32)
            if self.reduction in ("sum_over_batch_size", "mean"):
                kept = kept / maximum(mean(kept), 1e-7)
            sample_weight = kept if sample_weight is None else kept * as_tensor(sample_weight)
        return super().__call__(y_true, y_pred, sample_weight)


class Dice(_Function):
    """1 - 2 * overlap / (sum of both) (Dice 1945)."""

    fn = staticmethod(f.dice)

    def __init__(
        self, reduction: str | None = _MEAN, name: str | None = None, axis: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.settings = {"axis": axis}


class Tversky(_Function):
    """Dice's loss with weights for false positives and false negatives (Salehi et al. 2017)."""

    fn = staticmethod(f.tversky)

    def __init__(
        self,
        alpha: float = 0.5,
        beta: float = 0.5,
        reduction: str | None = _MEAN,
        name: str | None = None,
        axis: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.settings = {"alpha": alpha, "beta": beta, "axis": axis}
