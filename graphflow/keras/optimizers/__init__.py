"""Optimizers with Keras's names, settings and formulas; ``compile`` takes those of ``gf.optim``, too."""

from __future__ import annotations

import inspect
from typing import Any

from graphflow import optim as engines
from graphflow.keras import config
from graphflow.keras.optimizers import schedules
from graphflow.keras.optimizers.algorithms import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Ftrl,
    Lion,
    Nadam,
    RMSprop,
)
from graphflow.keras.optimizers.base import Optimizer
from graphflow.optim.optimizer import Optimizer as _Engine

_ALIASES = {"adamw": AdamW, "sgd": SGD, "rmsprop": RMSprop, "ftrl": Ftrl}


def get(identifier: Any) -> Any:
    """The optimizer for a word, a config or an object. ValueError with the words that are close."""
    if isinstance(identifier, _Engine):
        return identifier
    if isinstance(identifier, str):
        return config.look_up("optimizer", {**config.names_of("optimizers"), **_ALIASES}, identifier)()
    if isinstance(identifier, dict):
        return config.from_data(identifier)
    if isinstance(identifier, type) and issubclass(identifier, _Engine):
        raise TypeError(f"give compile an optimizer, not its class: optimizer={identifier.__name__}()")
    raise TypeError(f"an optimizer is a name or an object of gf.keras.optimizers, got a {type(identifier).__name__}")


def serialize(optimizer: Any) -> Any:
    """An optimizer's settings as data."""
    if isinstance(optimizer, config.Configurable):
        return config.serialize(optimizer)
    takes = inspect.signature(type(optimizer).__init__).parameters
    settings = {name: config.to_data(v) for name, v in optimizer.defaults.items() if name in takes}
    return {"class_name": f"optim.{type(optimizer).__name__}", "config": settings}


def deserialize(data: Any, custom_objects: Any = None) -> Any:
    """An optimizer from its settings."""
    family, _, name = data["class_name"].partition(".")
    own = getattr(engines, name, None) if family == "optim" else None
    if isinstance(own, type) and issubclass(own, _Engine):  # one of gf.optim
        return own(**config.from_data(data["config"]))
    return config.deserialize(data, custom_objects)
