"""What a model looked at: gradients of a score with respect to the input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphflow.autograd import grad
from graphflow.core.errors import ShapeError, at_line, user_origin
from graphflow.ops import creation, reduce
from graphflow.tensor import Tensor, as_tensor


def saliency(model: Callable[[Any], Any], x: Any, target: Any = None) -> Tensor:
    """How much each input element moves the score of its sample's class: the gradient, of x's shape.

    model   gives scores (batch, classes), or one score for each sample: (batch,) or (batch, 1)
    target  class numbers (batch,); None takes the class with the highest score

    Source: Simonyan et al., Deep Inside Convolutional Networks, 2013. Raises ShapeError for other scores.

    >>> gf.viz.saliency(lambda x: x * gf.tensor([1.0, 2.0]), gf.ones((1, 2)), [1]).tolist()
    [[0.0, 2.0]]
    """
    x = as_tensor(x)
    labels = _labels(model, x, target)
    return grad(lambda v: reduce.sum(_scores(model(v), labels)))(x)  # type: ignore[no-any-return]


def integrated_gradients(
    model: Callable[[Any], Any], x: Any, target: Any = None, baseline: Any = None, steps: int = 64
) -> Tensor:
    """How much each input element adds to the score, compared with ``baseline`` (None: zeros); of x's shape.

    The gradient's mean along the straight way from the baseline to x, times the difference: over a sample the parts add
    up to the difference of the scores, the better the more ``steps``. ``model`` and ``target`` as in ``saliency``.

    Source: Sundararajan et al., Axiomatic Attribution for Deep Networks, 2017.

    >>> gf.viz.integrated_gradients(lambda x: (x * x).sum(1), gf.tensor([[3.0, 1.0]])).numpy().round(2)
    array([[9., 1.]], dtype=float32)
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    x = as_tensor(x)
    start = creation.zeros_like(x) if baseline is None else as_tensor(baseline)
    labels = _labels(model, x, target)
    slope = grad(lambda v: reduce.sum(_scores(model(v), labels)))
    total = creation.zeros_like(x)
    for number in range(steps):  # at the middle of each step: exact for quadratic scores
        total = total + slope(start + (x - start) * ((number + 0.5) / steps))
    return (x - start) * total / steps


def _scores(out: Any, labels: Tensor | None) -> Tensor:
    """One score for each sample."""
    scores = out.reshape((-1,)) if out.ndim == 2 and out.shape[1] == 1 else out
    if scores.ndim == 1:
        return scores  # type: ignore[no-any-return]
    if scores.ndim != 2 or labels is None:
        message = f"scores of shape (batch,) or (batch, classes) are needed, the model gives {out.shape}"
        raise ShapeError(at_line(message, user_origin()))
    return scores.take_along_axis(labels.reshape((-1, 1)), axis=1)


def _labels(model: Callable[[Any], Any], x: Tensor, target: Any) -> Tensor | None:
    if target is not None:
        labels = as_tensor(target)
        if labels.shape != x.shape[:1]:
            message = f"one class for each sample is needed: target has shape {labels.shape}, x {x.shape}"
            raise ShapeError(at_line(message, user_origin()))
        return labels
    scores = model(x)
    return reduce.argmax(scores, axis=1) if scores.ndim == 2 else None  # type: ignore[no-any-return]
