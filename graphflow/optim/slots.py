"""The state that optimizers keep for parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from graphflow.core import dispatch
from graphflow.variable import Variable

Slots = dict[str, Variable]


def new_variable(data: Any, name: str) -> Variable:
    """State of an optimizer, created with its value at once in every mode."""
    with dispatch.init_scope():
        return Variable(data, name=name, trainable=False)


def new_counters(optimizer: Any, counts: Mapping[str, int | float]) -> Slots:
    """Counters for parameters that count alike."""
    owner = type(optimizer).__name__.lower()
    return {name: new_variable(np.asarray(n), f"{owner}.{name}") for name, n in counts.items()}
