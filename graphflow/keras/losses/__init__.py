"""Losses with Keras's names: classes, functions, and the words that ``compile(loss=...)`` takes.

>>> import graphflow as gf
>>> gf.keras.losses.MeanSquaredError()(gf.tensor([[0.0], [1.0]]), gf.tensor([[0.0], [3.0]])).item()
2.0
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphflow.keras import config
from graphflow.keras.losses import functions
from graphflow.keras.losses.base import Loss, LossFunctionWrapper, reduce_weighted
from graphflow.keras.losses.functions import (
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_hinge,
    cosine_similarity,
    dice,
    hinge,
    huber,
    kl_divergence,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    poisson,
    sparse_categorical_crossentropy,
    squared_hinge,
    tversky,
)
from graphflow.keras.losses.kinds import (
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalHinge,
    CosineSimilarity,
    Dice,
    Hinge,
    Huber,
    KLDivergence,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    SparseCategoricalCrossentropy,
    SquaredHinge,
    Tversky,
)
from graphflow.nn.module import Module

ALIASES: dict[str, Callable[..., Any]] = {
    "mse": mean_squared_error,
    "mae": mean_absolute_error,
    "mape": mean_absolute_percentage_error,
    "msle": mean_squared_logarithmic_error,
    "bce": binary_crossentropy,
    "kld": kl_divergence,
    "kullback_leibler_divergence": kl_divergence,
    "logcosh": log_cosh,
    "huber_loss": huber,
    "cosine_proximity": cosine_similarity,
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: f for name, f in vars(functions).items() if callable(f) and f.__module__ == functions.__name__},
    **ALIASES,
}
for _helper in ("aligned", "labels_of", "flattened"):
    del FUNCTIONS[_helper]
FUNCTIONS = {name: f for name, f in FUNCTIONS.items() if not name.startswith("_")}
config.FUNCTIONS.update({f.__name__: f for f in FUNCTIONS.values()})


def get(identifier: Any) -> Any:
    """The loss for a word, a config, a function or an object. ValueError with the words that are close."""
    if isinstance(identifier, str):
        return config.look_up("loss", {**config.names_of("losses"), **FUNCTIONS, **config._custom()}, identifier)
    return config.get("loss", "losses", identifier, FUNCTIONS)


def as_loss(identifier: Any) -> Loss | None:
    """The same as an object with ``__call__(y_true, y_pred, sample_weight)``."""
    found = get(identifier)
    if found is None or isinstance(found, Loss):
        return found
    if isinstance(found, type):
        return found()  # type: ignore[no-any-return]
    if isinstance(found, Module):  # a loss of gf.nn takes the predictions first
        module = found
        return LossFunctionWrapper(lambda y_true, y_pred: module(y_pred, y_true), name=type(found).__name__)
    return LossFunctionWrapper(found, name=getattr(found, "__name__", type(found).__name__))


def serialize(loss: Any) -> Any:
    """A loss as data."""
    return config.to_data(loss)


def deserialize(data: Any, custom_objects: Any = None) -> Any:
    """A loss from data."""
    with config.custom_object_scope(custom_objects or {}):
        return get(data)
