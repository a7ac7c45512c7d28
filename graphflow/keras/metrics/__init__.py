"""Metrics with Keras's names, and the words that ``compile(metrics=[...])`` takes.

>>> import graphflow as gf
>>> gf.keras.metrics.get("mae")([1.0, 2.0], [1.0, 4.0]).item()
1.0
"""

from __future__ import annotations

from typing import Any

from graphflow.keras import config, losses
from graphflow.keras.metrics.accuracy import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
    binary_accuracy,
    binary_or_sparse,
    categorical_accuracy,
    sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
    top_k_categorical_accuracy,
)
from graphflow.keras.metrics.base import Mean, MeanMetricWrapper, Metric, Sum
from graphflow.keras.metrics.confusion import (
    AUC,
    F1Score,
    FalseNegatives,
    FalsePositives,
    FBetaScore,
    IoU,
    MeanIoU,
    Precision,
    Recall,
    TrueNegatives,
    TruePositives,
)
from graphflow.keras.metrics.regression import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    CategoricalHinge,
    CosineSimilarity,
    Hinge,
    KLDivergence,
    LogCoshError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanRelativeError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    R2Score,
    RootMeanSquaredError,
    SparseCategoricalCrossentropy,
    SquaredHinge,
)

ALIASES: dict[str, Any] = {
    "mse": MeanSquaredError,
    "mae": MeanAbsoluteError,
    "mape": MeanAbsolutePercentageError,
    "msle": MeanSquaredLogarithmicError,
    "rmse": RootMeanSquaredError,
    "bce": BinaryCrossentropy,
    "auc": AUC,
    "f1": F1Score,
    "r2": R2Score,
    "kld": KLDivergence,
    "logcosh": LogCoshError,
    "acc": Accuracy,
}
globals().update({name: f for name, f in losses.FUNCTIONS.items() if name == f.__name__})
config.FUNCTIONS.update(
    {
        f.__name__: f
        for f in (
            binary_accuracy,
            categorical_accuracy,
            sparse_categorical_accuracy,
            top_k_categorical_accuracy,
            sparse_top_k_categorical_accuracy,
        )
    }
)


def get(identifier: Any) -> Any:
    """The metric for a word, a config, a function or an object. ValueError with the words that are close."""
    if isinstance(identifier, str):
        table = {**losses.FUNCTIONS, **config.names_of("metrics"), **ALIASES, **config._custom()}
        identifier = config.look_up("metric", table, identifier)
        identifier = identifier() if isinstance(identifier, type) else identifier
    found = config.get("metric", "metrics", identifier, ALIASES)
    return found if isinstance(found, Metric) or found is None else MeanMetricWrapper(found)


def for_shapes(identifier: Any, y_true: Any, y_pred: Any) -> Metric:
    """The same, "accuracy" being the kind of accuracy that targets and predictions of these shapes call for."""
    if isinstance(identifier, str) and identifier.lower() in ("accuracy", "acc"):
        kinds = {"binary": BinaryAccuracy, "sparse": SparseCategoricalAccuracy, "categorical": CategoricalAccuracy}
        return kinds[binary_or_sparse(y_true, y_pred)](name=identifier)
    if isinstance(identifier, str) and identifier.lower() in ("crossentropy", "ce"):
        losses_of = {
            "binary": BinaryCrossentropy,
            "sparse": SparseCategoricalCrossentropy,
            "categorical": CategoricalCrossentropy,
        }
        return losses_of[binary_or_sparse(y_true, y_pred)](name=identifier)
    metric: Metric = get(identifier)
    if isinstance(identifier, str):
        metric.name = identifier
    return metric


def serialize(metric: Any) -> Any:
    """A metric as data."""
    return config.to_data(metric)


def deserialize(data: Any, custom_objects: Any = None) -> Any:
    """A metric from data."""
    with config.custom_object_scope(custom_objects or {}):
        return get(data)
