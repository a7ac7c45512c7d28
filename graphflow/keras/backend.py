"""Settings that Keras keeps in its backend."""

from __future__ import annotations

from graphflow.keras.config import reset_names
from graphflow.keras.losses.functions import EPSILON


def clear_session(free_memory: bool = True) -> None:
    """Count the names of layers from the start again: dense, dense_1, ..."""
    reset_names()


def epsilon() -> float:
    """What keeps logarithms and divisions away from 0."""
    return EPSILON


def floatx() -> str:
    """The dtype of weights: float32; a layer's ``dtype`` sets another one."""
    return "float32"


def image_data_format() -> str:
    """Where channels stand."""
    return "channels_last"


def backend() -> str:
    """What computes."""
    return "graphflow"
