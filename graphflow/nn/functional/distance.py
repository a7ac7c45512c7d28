"""Distances between vectors, and the losses made of them."""

from __future__ import annotations

from typing import Any

from graphflow.ops.elementwise import maximum, minimum, relu, sqrt, square, where
from graphflow.ops.losses import _reduced, binary_cross_entropy_with_logits
from graphflow.ops.matrices import vector_norm
from graphflow.ops.reduce import mean, sum
from graphflow.tensor import Tensor, as_tensor


def normalize(input: Any, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """``input`` over its p-norm along ``dim``, which counts as at least ``eps``."""
    x = as_tensor(input)
    return x / maximum(vector_norm(x, axis=dim, keepdims=True, ord=p), eps)


def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between vectors along ``dim``.

    >>> import graphflow as gf
    >>> gf.nn.functional.cosine_similarity(gf.tensor([[1.0, 0.0]]), gf.tensor([[1.0, 1.0]])).numpy().round(3)
    array([0.707], dtype=float32)
    """
    x1, x2 = as_tensor(x1), as_tensor(x2)
    norms = [maximum(vector_norm(x, axis=dim, keepdims=True), eps) for x in (x1, x2)]
    return sum(x1 / norms[0] * (x2 / norms[1]), axis=dim)


def pairwise_distance(x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """The p-norm of ``x1 - x2 + eps`` along the last axis."""
    return vector_norm(as_tensor(x1) - x2 + eps, axis=-1, keepdims=keepdim, ord=p)


def triplet_margin_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin); ``swap`` also looks at d(positive, negative)."""
    far = pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = minimum(far, pairwise_distance(positive, negative, p, eps))
    return _reduced(relu(pairwise_distance(anchor, positive, p, eps) - far + margin), reduction)


def cosine_embedding_loss(
    input1: Any, input2: Any, target: Any, margin: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """1 - cos where the target is 1, max(0, cos - margin) where it is -1."""
    x1, x2, t = as_tensor(input1), as_tensor(input2), as_tensor(target)
    eps = 1e-12
    norms = sqrt((sum(square(x1), axis=-1) + eps) * (sum(square(x2), axis=-1) + eps))
    cosine = sum(x1 * x2, axis=-1) / norms
    return _reduced(where(t == 1, 1.0 - cosine, 0.0) + where(t == -1, relu(cosine - margin), 0.0), reduction)


def multilabel_soft_margin_loss(input: Any, target: Any, weight: Any = None, reduction: str = "mean") -> Tensor:
    """The binary cross-entropy with logits of each class, averaged over the classes (last axis)."""
    loss = binary_cross_entropy_with_logits(input, target, weight, "none")
    return _reduced(mean(loss, axis=-1), reduction)
