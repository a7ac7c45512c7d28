"""What weights are projected to after every update: ``kernel_constraint="non_neg"``.

>>> import graphflow as gf
>>> gf.keras.constraints.NonNeg()(gf.tensor([-1.0, 2.0])).tolist()
[0.0, 2.0]
"""

from __future__ import annotations

from typing import Any

from graphflow.keras import config
from graphflow.ops.elementwise import clip, relu, sqrt, square
from graphflow.ops.reduce import sum as total
from graphflow.tensor import Tensor, as_tensor

Axis = int | list[int] | tuple[int, ...]


class Constraint(config.Configurable):
    """Base of constraints: a subclass defines ``__call__(w)``, which gives the weight's new value."""

    kind = "constraints"

    def __call__(self, w: Any) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} does not define __call__(w)")


def _norm(w: Tensor, axis: Axis) -> Tensor:
    axes = tuple(axis) if isinstance(axis, (list, tuple)) else axis
    return sqrt(total(square(w), axis=axes, keepdims=True))


class MaxNorm(Constraint):
    """Vectors along ``axis`` are at most ``max_value`` long."""

    def __init__(self, max_value: float = 2, axis: Axis = 0) -> None:
        self.max_value, self.axis = max_value, axis

    def __call__(self, w: Any) -> Tensor:
        w = as_tensor(w)
        norms = _norm(w, self.axis)
        return w * (clip(norms, 0.0, self.max_value) / (1e-7 + norms))


class MinMaxNorm(Constraint):
    """Vectors along ``axis`` are moved by ``rate`` to a length between two numbers."""

    def __init__(self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: Axis = 0) -> None:
        self.min_value, self.max_value, self.rate, self.axis = min_value, max_value, rate, axis

    def __call__(self, w: Any) -> Tensor:
        w = as_tensor(w)
        norms = _norm(w, self.axis)
        wanted = self.rate * clip(norms, self.min_value, self.max_value) + (1 - self.rate) * norms
        return w * (wanted / (norms + 1e-7))


class NonNeg(Constraint):
    """No negative weights."""

    def __call__(self, w: Any) -> Tensor:
        return relu(as_tensor(w))


class UnitNorm(Constraint):
    """Vectors along ``axis`` have length 1."""

    def __init__(self, axis: Axis = 0) -> None:
        self.axis = axis

    def __call__(self, w: Any) -> Tensor:
        w = as_tensor(w)
        return w / (1e-7 + _norm(w, self.axis))


_ALIASES = {"nonneg": NonNeg, "unitnorm": UnitNorm, "maxnorm": MaxNorm}


def get(identifier: Any) -> Any:
    """The constraint for a name, a config, an object or a function ``f(w)``."""
    return config.get("constraint", "constraints", identifier, _ALIASES)


def serialize(item: Any) -> Any:
    """A constraint as data."""
    return config.to_data(item)


def deserialize(data: Any, custom_objects: Any = None) -> Any:
    """A constraint from data."""
    with config.custom_object_scope(custom_objects or {}):
        return get(data)


globals().update(config.names_of("constraints"))  # the classes' names in small letters, as Keras has them
