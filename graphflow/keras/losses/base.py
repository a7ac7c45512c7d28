"""Loss: a function of targets and predictions, and how the losses of the samples become a number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphflow.core.dims import product
from graphflow.core.errors import at_line, user_origin
from graphflow.keras import config
from graphflow.ops.arrange import squeeze
from graphflow.ops.define import cast
from graphflow.ops.movement import expand_dims
from graphflow.ops.reduce import count_along
from graphflow.ops.reduce import sum as total
from graphflow.tensor import Tensor, as_tensor

REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none", None)


class Loss(config.Configurable):
    """Base of losses: a subclass writes ``call(y_true, y_pred)``, which gives a number for each sample.

    ``reduction`` makes one number of them: "sum_over_batch_size" (their mean), "sum",
    "mean_with_sample_weight" (over the sum of the weights), or None for all.
    """

    kind = "losses"

    def __init__(
        self, name: str | None = None, reduction: str | None = "sum_over_batch_size", dtype: Any = None
    ) -> None:
        if reduction not in REDUCTIONS:
            raise ValueError(
                at_line(f"reduction is one of {', '.join(map(repr, REDUCTIONS))}; got {reduction!r}", user_origin())
            )
        self.name = name or config.snake_case(type(self).__name__)
        self.reduction = reduction
        self.dtype = dtype or "float32"

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The loss of each sample."""
        raise NotImplementedError(f"{type(self).__name__} does not define call(self, y_true, y_pred)")

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Tensor:
        return reduce_weighted(as_tensor(self.call(y_true, y_pred)), sample_weight, self.reduction)


def reduce_weighted(values: Tensor, sample_weight: Any, reduction: str | None) -> Tensor:
    """One number of the samples' losses."""
    weight = None
    if sample_weight is not None:
        weight = cast(as_tensor(sample_weight), values.dtype)
        if weight.ndim == values.ndim + 1 and weight.shape[-1] == 1:
            weight = squeeze(weight, -1)
        while weight.ndim < values.ndim:
            weight = expand_dims(weight, -1)
        values = values * weight
    if reduction in (None, "none") or values.ndim == 0:
        return values
    if reduction == "sum":
        return total(values)
    if reduction == "mean_with_sample_weight" and weight is not None:
        return total(values) / total(weight)  # type: ignore[operator]
    if product(values.shape) == 0:
        return total(values)
    return total(values) / count_along(values, tuple(range(values.ndim)), values.dtype)  # type: ignore[operator]


class LossFunctionWrapper(Loss):
    """A function ``f(y_true, y_pred, **settings)`` as a loss."""

    def __init__(
        self,
        fn: Callable[..., Any],
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
        **settings: Any,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.fn = fn
        self.settings = settings

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        return self.fn(y_true, y_pred, **self.settings)  # type: ignore[no-any-return]
