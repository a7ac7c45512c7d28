"""Functions of TensorFlow 1's ``tf.nn`` under its names and arguments, where GraphFlow's own differ."""

from __future__ import annotations

from typing import Any

from graphflow.ops import composite, losses, reduce
from graphflow.ops.define import cast
from graphflow.tensor import Tensor, as_tensor


def softmax_cross_entropy_with_logits(
    _sentinel: None = None, labels: Any = None, logits: Any = None, axis: int = -1, name: str | None = None
) -> Tensor:
    """The cross-entropy of softmax(logits) against probabilities, for each row: (batch, classes) -> (batch,).

    Arguments go by name, as in TensorFlow. ``gf.nn.functional.cross_entropy`` gives the mean.

    >>> import graphflow as gf
    >>> gf.nn.softmax_cross_entropy_with_logits(labels=gf.eye(2), logits=gf.zeros((2, 2))).numpy().round(3)
    array([0.693, 0.693], dtype=float32)
    """
    labels, logits = _named("softmax_cross_entropy_with_logits", _sentinel, labels, logits)
    return -reduce.sum(labels * composite.log_softmax(logits, axis=axis), axis=axis)  # type: ignore[no-any-return]


softmax_cross_entropy_with_logits_v2 = softmax_cross_entropy_with_logits


def sparse_softmax_cross_entropy_with_logits(
    _sentinel: None = None, labels: Any = None, logits: Any = None, name: str | None = None
) -> Tensor:
    """The cross-entropy of softmax(logits) against class numbers, for each row: (batch, classes) -> (batch,)."""
    labels, logits = _named("sparse_softmax_cross_entropy_with_logits", _sentinel, labels, logits)
    if logits.ndim > 2:  # classes are last here, and first behind the batch there
        order = (0, logits.ndim - 1, *range(1, logits.ndim - 1))
        logits = logits.permute_dims(order)
    return losses.cross_entropy(logits, labels, reduction="none")


def sigmoid_cross_entropy_with_logits(
    _sentinel: None = None, labels: Any = None, logits: Any = None, name: str | None = None
) -> Tensor:
    """The cross-entropy of sigmoid(logits) against targets from 0 to 1, for each element."""
    labels, logits = _named("sigmoid_cross_entropy_with_logits", _sentinel, labels, logits)
    return losses.binary_cross_entropy_with_logits(logits, labels, reduction="none")


def _named(function: str, sentinel: Any, labels: Any, logits: Any) -> tuple[Any, Any]:
    if sentinel is not None or labels is None or logits is None:
        raise TypeError(f"{function} takes labels=... and logits=... by name")
    return as_tensor(labels), as_tensor(logits)


def l2_loss(t: Any, name: str | None = None) -> Tensor:
    """Half the sum of squares."""
    x = as_tensor(t)
    return reduce.sum(x * x) * 0.5  # type: ignore[no-any-return]


def l2_normalize(x: Any, axis: Any = None, epsilon: float = 1e-12, name: str | None = None) -> Tensor:
    """x, divided by its Euclidean norm along the axes."""
    x = as_tensor(x)
    square = reduce.sum(x * x, axis=axis, keepdims=True)
    return x / square.maximum(epsilon).sqrt()


def moments(x: Any, axes: Any, keep_dims: bool = False, name: str | None = None) -> tuple[Tensor, Tensor]:
    """The mean and the variance along axes."""
    axes = tuple(axes) if isinstance(axes, list) else axes
    return reduce.mean(x, axis=axes, keepdims=keep_dims), reduce.var(x, axis=axes, keepdims=keep_dims)


def embedding_lookup(params: Any, ids: Any, name: str | None = None) -> Tensor:
    """The rows ``ids`` of a table (``gf.nn.Embedding`` holds its own)."""
    return as_tensor(params).take(as_tensor(ids), axis=0)


def bias_add(value: Any, bias: Any, name: str | None = None) -> Tensor:
    """``value + bias``: the bias belongs to the last axis."""
    return as_tensor(value) + bias


def in_top_k(predictions: Any, targets: Any, k: int, name: str | None = None) -> Tensor:
    """For each row whether fewer than k scores are greater than that of the target class: (batch,) bool.

    >>> import graphflow as gf
    >>> gf.nn.in_top_k([[0.1, 0.7, 0.2], [0.5, 0.4, 0.1]], [2, 2], 2).tolist()
    [True, False]
    """
    scores, at = as_tensor(predictions), as_tensor(targets)
    own = scores.take_along_axis(at.reshape((-1, 1)), axis=1)
    return reduce.sum(cast(scores > own, at.dtype), axis=1) < k  # type: ignore[no-any-return]
