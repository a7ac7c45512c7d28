"""Metrics of numbers and of probabilities: errors, R2, log loss, perplexity."""

from __future__ import annotations

from typing import Any

from graphflow.core.errors import ShapeError, at_line, user_origin
from graphflow.metrics.base import Metric, Sums, ratio, real, whole
from graphflow.metrics.classes import shape_error, without_last_one
from graphflow.ops.composite import log_softmax, softplus
from graphflow.ops.elementwise import abs as absolute
from graphflow.ops.elementwise import clip, maximum, sqrt, where
from graphflow.ops.mathematical import exp, log
from graphflow.ops.movement import reshape
from graphflow.ops.picking import take_along_axis
from graphflow.ops.reduce import sum as total
from graphflow.tensor import Tensor, as_tensor


def _numbers(owner: str, predictions: Any, targets: Any) -> tuple[Any, Any]:
    """Both in float64, of one shape; (n, 1) against (n,) is taken for what is meant."""
    p, t = without_last_one(as_tensor(predictions), as_tensor(targets))
    if p.ndim != t.ndim or any(a != b and isinstance(a, int) and isinstance(b, int) for a, b in zip(p.shape, t.shape)):
        message = f"{owner}: predictions of shape {p.shape} and targets of shape {t.shape} must have one shape"
        raise ShapeError(at_line(message, user_origin()))
    return real(p), real(t)


class _MeanOf(Metric):
    """The mean of a number for each element."""

    def __init__(self) -> None:
        super().__init__()
        self.add_sum("total")
        self.add_sum("elements", dtype="int64")

    def each(self, predictions: Any, targets: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not define each()")

    def count(self, predictions: Any, targets: Any) -> Sums:
        values = self.each(*_numbers(type(self).__name__, predictions, targets))
        return {"total": total(values), "elements": total(whole(values == values) * 0 + 1)}

    def value(self, total: Any, elements: Any) -> Any:
        return ratio(total, elements, float("nan"))


class MeanAbsoluteError(_MeanOf):
    """The mean of |prediction - target|.

    >>> gf.metrics.MeanAbsoluteError()(gf.tensor([1.0, 2.0]), gf.tensor([1.5, 1.0])).item()
    0.75
    """

    def each(self, predictions: Any, targets: Any) -> Any:
        return absolute(predictions - targets)


class MeanSquaredError(_MeanOf):
    """The mean of (prediction - target)^2; its root with ``squared=False``."""

    def __init__(self, squared: bool = True) -> None:
        super().__init__()
        self.squared = squared

    def each(self, predictions: Any, targets: Any) -> Any:
        difference = predictions - targets
        return difference * difference

    def value(self, total: Any, elements: Any) -> Any:
        mean = ratio(total, elements, float("nan"))
        return mean if self.squared else sqrt(mean)


class RootMeanSquaredError(MeanSquaredError):
    """The root of the mean of (prediction - target)^2, over all batches together.

    >>> gf.metrics.RootMeanSquaredError()(gf.tensor([1.0, 2.0]), gf.tensor([4.0, 6.0])).item()
    3.5355339059327378
    """

    def __init__(self) -> None:
        super().__init__(squared=False)


class MeanAbsolutePercentageError(_MeanOf):
    """The mean of |prediction - target| / |target|, as a fraction of 1."""

    def each(self, predictions: Any, targets: Any) -> Any:
        return absolute(predictions - targets) / maximum(absolute(targets), 2.0**-52)


class R2Score(Metric):
    """The share of the targets' variance that the predictions explain; 1 is best, 0 the mean's.

    ``num_outputs`` > 1 takes (n, num_outputs) and gives the mean over the outputs, or with ``multioutput="raw_values"``
    one number for each. At least two samples are needed (else NaN).

    >>> gf.metrics.R2Score()(gf.tensor([2.5, 0.0, 2.0, 8.0]), gf.tensor([3.0, -0.5, 2.0, 7.0])).numpy().round(4)
    np.float64(0.9486)
    """

    def __init__(self, num_outputs: int = 1, multioutput: str = "uniform_average") -> None:
        super().__init__()
        if multioutput not in ("uniform_average", "raw_values"):
            raise ValueError(f"multioutput is 'uniform_average' or 'raw_values', got {multioutput!r}")
        self.num_outputs = num_outputs
        self.multioutput = multioutput
        for name in ("residual", "targets", "squares"):
            self.add_sum(name, (num_outputs,))
        self.add_sum("samples", dtype="int64")

    def count(self, predictions: Any, targets: Any) -> Sums:
        p, t = (reshape(x, (-1, self.num_outputs)) for x in _numbers("R2Score", predictions, targets))
        difference = t - p
        return {
            "residual": total(difference * difference, axis=0),
            "targets": total(t, axis=0),
            "squares": total(t * t, axis=0),
            "samples": total(whole(t[:, 0] == t[:, 0]) * 0 + 1),
        }

    def value(self, residual: Any, targets: Any, squares: Any, samples: Any) -> Any:
        number = real(samples)
        spread = squares - targets * targets / maximum(number, 1.0)
        constant = where(residual == 0, 1.0, 0.0)  # targets without variance: right, or not
        scores = where(spread <= 0, constant, 1 - residual / where(spread <= 0, 1.0, spread))
        scores = where(number < 2, float("nan"), scores)
        return scores if self.multioutput == "raw_values" else total(scores) / self.num_outputs


class LogLoss(Metric):
    """The mean negative log-likelihood of the targets (cross-entropy).

    Predictions are probabilities (..., classes) against class numbers (...), or of class 1 against 0 and 1 in their
    shape; with ``from_logits`` they are logits. Probabilities are held ``eps`` away from 0 and 1. Targets equal to
    ``ignore_index`` do not count.

    >>> gf.metrics.LogLoss()(gf.tensor([0.9, 0.2]), gf.tensor([1, 0])).numpy().round(4)
    np.float64(0.1643)
    """

    def __init__(self, from_logits: bool = False, ignore_index: int | None = None, eps: float = 2.0**-52) -> None:
        super().__init__()
        self.from_logits = from_logits
        self.ignore_index = ignore_index
        self.eps = eps
        self.add_sum("total")
        self.add_sum("targets", dtype="int64")

    def count(self, predictions: Any, targets: Any) -> Sums:
        p, t = as_tensor(predictions), as_tensor(targets)
        if p.ndim not in (t.ndim, t.ndim + 1):
            raise shape_error(type(self).__name__, predictions, targets)
        counted = t == t if self.ignore_index is None else t != self.ignore_index
        safe = where(counted, t, t * 0)
        losses = self._binary(p, safe) if p.ndim == t.ndim else self._categorical(p, whole(safe))
        return {"total": total(where(counted, losses, 0.0)), "targets": total(whole(counted))}

    def _binary(self, predictions: Tensor, targets: Tensor) -> Any:
        p, t = real(predictions), real(targets)
        if self.from_logits:
            return softplus(p) - p * t
        p = clip(p, self.eps, 1 - self.eps)
        return -(t * log(p) + (1 - t) * log(1 - p))

    def _categorical(self, predictions: Tensor, targets: Tensor) -> Any:
        column = reshape(targets, (*targets.shape, 1))
        scores = log_softmax(predictions, axis=-1) if self.from_logits else predictions
        own = reshape(real(take_along_axis(scores, column, -1)), targets.shape)
        return -own if self.from_logits else -log(clip(own, self.eps, 1.0))

    def value(self, total: Any, targets: Any) -> Any:
        return ratio(total, targets, float("nan"))


class Perplexity(LogLoss):
    """exp of the mean negative log-likelihood: among how many words a language model is as unsure as with equal odds.

    Predictions are logits (..., classes), or probabilities with ``from_logits=False``; targets class numbers (...).

    >>> gf.metrics.Perplexity()(gf.zeros((2, 5, 10)), gf.zeros((2, 5), dtype=gf.int64)).numpy().round(4)
    np.float64(10.0)
    """

    def __init__(self, from_logits: bool = True, ignore_index: int | None = None) -> None:
        super().__init__(from_logits, ignore_index)

    def value(self, total: Any, targets: Any) -> Any:
        return exp(super().value(total, targets))
