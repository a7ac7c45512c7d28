"""The state that optimizers keep for parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from graphflow.core import dispatch
from graphflow.variable import Variable

Slots = dict[str, Variable]


def _new(data: Any, name: str) -> Variable:
    with dispatch.init_scope():  # its value is there at once, in every mode
        return Variable(data, name=name, trainable=False)


def new_slot(parameter: Variable, name: str, fill: float) -> Variable:
    """State of the parameter's shape and dtype, filled with one number."""
    number = np.asarray(fill, parameter.dtype.np)
    return _new(np.broadcast_to(number, parameter.shape), f"{parameter.name}.{name}")  # type: ignore[arg-type]


def new_counters(optimizer: Any, counts: Mapping[str, int | float]) -> Slots:
    """Counters for parameters that count alike."""
    owner = type(optimizer).__name__.lower()
    return {name: _new(np.asarray(n), f"{owner}.{name}") for name, n in counts.items()}
