"""How often predictions are right."""

from __future__ import annotations

from typing import Any

from graphflow.core.dtypes import float32, int32, int64
from graphflow.keras.losses.functions import aligned, labels_of
from graphflow.keras.metrics.base import MeanMetricWrapper
from graphflow.ops.define import cast
from graphflow.ops.logic import equal
from graphflow.ops.movement import expand_dims
from graphflow.ops.picking import take_along_axis
from graphflow.ops.reduce import argmax
from graphflow.ops.reduce import sum as total
from graphflow.tensor import Tensor, as_tensor


def accuracy(y_true: Any, y_pred: Any) -> Tensor:
    """1 where the prediction is the target."""
    t, p = aligned(y_true, y_pred)
    return cast(equal(t, p), float32)


def binary_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> Tensor:
    """1 where a probability is on the right side of ``threshold``."""
    t, p = aligned(y_true, y_pred)
    return cast(equal(t, cast(p > threshold, t.dtype)), float32)


def categorical_accuracy(y_true: Any, y_pred: Any) -> Tensor:
    """1 where the most likely class is the one of the target's row."""
    t, p = as_tensor(y_true), as_tensor(y_pred)
    return cast(equal(argmax(t, axis=-1), argmax(p, axis=-1)), float32)


def sparse_categorical_accuracy(y_true: Any, y_pred: Any) -> Tensor:
    """1 where the most likely class is the target."""
    p = as_tensor(y_pred)
    t = labels_of(y_true, p)
    return cast(equal(t, cast(argmax(p, axis=-1), t.dtype)), float32)


def in_top_k(targets: Any, predictions: Any, k: int) -> Tensor:
    """Whether fewer than ``k`` classes are more likely than the target."""
    p, t = as_tensor(predictions), as_tensor(targets)
    own = take_along_axis(p, expand_dims(cast(t, int64), -1), axis=-1)
    return total(cast(p > own, int32), axis=-1) < k  # type: ignore[return-value]


def top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> Tensor:
    """1 where the class of the target's row is among the ``k`` most likely."""
    return cast(in_top_k(argmax(as_tensor(y_true), axis=-1), y_pred, k), float32)


def sparse_top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> Tensor:
    """1 where the target is among the ``k`` most likely classes."""
    p = as_tensor(y_pred)
    return cast(in_top_k(labels_of(y_true, p), p, k), float32)


class Accuracy(MeanMetricWrapper):
    """How often predictions equal targets."""

    def __init__(self, name: str = "accuracy", dtype: Any = None) -> None:
        super().__init__(accuracy, name, dtype)


class BinaryAccuracy(MeanMetricWrapper):
    """How often probabilities are on the right side of ``threshold``."""

    def __init__(self, name: str = "binary_accuracy", dtype: Any = None, threshold: float = 0.5) -> None:
        super().__init__(binary_accuracy, name, dtype, threshold=threshold)


class CategoricalAccuracy(MeanMetricWrapper):
    """How often the most likely class is right; targets are rows with a one."""

    def __init__(self, name: str = "categorical_accuracy", dtype: Any = None) -> None:
        super().__init__(categorical_accuracy, name, dtype)


class SparseCategoricalAccuracy(MeanMetricWrapper):
    """How often the most likely class is right; targets are class numbers.

    >>> import graphflow as gf
    >>> metric = gf.keras.metrics.SparseCategoricalAccuracy()
    >>> metric([1, 0], [[0.2, 0.8], [0.4, 0.6]]).item()
    0.5
    """

    def __init__(self, name: str = "sparse_categorical_accuracy", dtype: Any = None) -> None:
        super().__init__(sparse_categorical_accuracy, name, dtype)


class TopKCategoricalAccuracy(MeanMetricWrapper):
    """How often the right class is among the ``k`` most likely; targets are rows with a one."""

    def __init__(self, k: int = 5, name: str = "top_k_categorical_accuracy", dtype: Any = None) -> None:
        super().__init__(top_k_categorical_accuracy, name, dtype, k=k)


class SparseTopKCategoricalAccuracy(MeanMetricWrapper):
    """How often the right class is among the ``k`` most likely; targets are class numbers."""

    def __init__(self, k: int = 5, name: str = "sparse_top_k_categorical_accuracy", dtype: Any = None) -> None:
        super().__init__(sparse_top_k_categorical_accuracy, name, dtype, k=k)


def binary_or_sparse(y_true: Any, y_pred: Any) -> str:
    """What kind of accuracy "accuracy" means for targets and predictions of these shapes."""
    if y_pred.shape[-1:] == (1,) or (y_true.ndim == y_pred.ndim == 1):
        return "binary"
    if y_true.ndim < y_pred.ndim or (y_true.shape[-1:] == (1,) and y_pred.shape[-1:] != (1,)):
        return "sparse"
    return "categorical"
