"""``gf.keras``: Keras's way to build and train models, over GraphFlow's layers, gradients and compiled steps.

A model is also a ``gf.nn.Module``: it goes into ``gf.compile``, ``gf.trace`` and a Session's graph as it is.

>>> import graphflow as gf
>>> model = gf.keras.Sequential([gf.keras.layers.Dense(8, activation="relu"), gf.keras.layers.Dense(3)])
>>> model.compile(optimizer="adam", loss=gf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
>>> history = model.fit(np.ones((64, 4)), np.zeros(64, int), epochs=2, verbose=0)
>>> history.history["loss"][1] < history.history["loss"][0]
True
"""

from __future__ import annotations

from typing import Any as _Any

from graphflow.core.elsewhere import KERAS as _KERAS
from graphflow.core.elsewhere import hint as _hint
from graphflow.keras import (
    activations,
    backend,
    callbacks,
    config,
    constraints,
    initializers,
    layers,
    losses,
    metrics,
    models,
    ops,
    optimizers,
    preprocessing,
    random,
    regularizers,
    saving,
    utils,
)
from graphflow.keras.initializers import Initializer
from graphflow.keras.layers.base import Layer
from graphflow.keras.losses import Loss
from graphflow.keras.metrics import Metric
from graphflow.keras.models import Model, Sequential
from graphflow.keras.optimizers import Optimizer
from graphflow.keras.regularizers import Regularizer
from graphflow.keras.symbolic import Input, KerasTensor
from graphflow.variable import Variable


def __getattr__(name: str) -> _Any:
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{_hint(name, globals(), _KERAS)}")
