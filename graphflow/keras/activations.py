"""Activation functions, as names and as functions: ``Dense(64, activation="relu")``.

>>> import graphflow as gf
>>> gf.keras.activations.get("relu")(gf.tensor([-1.0, 2.0])).tolist()
[0.0, 2.0]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphflow.keras import config
from graphflow.nn import functional as F
from graphflow.ops.elementwise import clip, minimum, where
from graphflow.ops.mathematical import exp
from graphflow.tensor import Tensor, as_tensor


def linear(x: Any) -> Any:
    """The input."""
    return x


def relu(x: Any, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Tensor:
    """x from ``threshold`` on, at most ``max_value``; below ``negative_slope * (x - threshold)``."""
    x = as_tensor(x)
    if negative_slope == 0.0 and threshold == 0.0:
        return F.relu(x) if max_value is None else clip(x, 0.0, max_value)
    above = x if max_value is None else minimum(x, max_value)
    return where(x >= threshold, above, negative_slope * (x - threshold))


def relu6(x: Any) -> Tensor:
    """x between 0 and 6."""
    return F.relu6(x)


def sigmoid(x: Any) -> Tensor:
    """``1 / (1 + exp(-x))``."""
    return F.sigmoid(x)


def tanh(x: Any) -> Tensor:
    """The hyperbolic tangent."""
    return F.tanh(x)


def softmax(x: Any, axis: int = -1) -> Tensor:
    """exp(x) over its sum along an axis."""
    return F.softmax(x, axis)


def log_softmax(x: Any, axis: int = -1) -> Tensor:
    """The logarithm of softmax."""
    return F.log_softmax(x, axis)


def elu(x: Any, alpha: float = 1.0) -> Tensor:
    """x, or ``alpha * (exp(x) - 1)`` below 0."""
    return F.elu(x, alpha)


def leaky_relu(x: Any, negative_slope: float = 0.2) -> Tensor:
    """x, or ``negative_slope * x`` below 0."""
    return F.leaky_relu(x, negative_slope)


def gelu(x: Any, approximate: bool = False) -> Tensor:
    """x times the probability that a normal number is less; ``approximate`` by tanh."""
    return F.gelu(x, "tanh" if approximate else "none")


def hard_sigmoid(x: Any) -> Tensor:
    """``x / 6 + 1 / 2`` between 0 and 1."""
    return F.hardsigmoid(x)


def exponential(x: Any) -> Tensor:
    """exp(x)."""
    return exp(x)


_SAME = {  # Keras's name: the function that GraphFlow has already
    "selu": F.selu,
    "celu": F.celu,
    "silu": F.silu,
    "swish": F.silu,
    "mish": F.mish,
    "softplus": F.softplus,
    "softsign": F.softsign,
    "hard_silu": F.hardswish,
    "hard_swish": F.hardswish,
    "hard_tanh": F.hardtanh,
    "hard_shrink": F.hardshrink,
    "soft_shrink": F.softshrink,
    "tanh_shrink": F.tanhshrink,
    "threshold": F.threshold,
    "log_sigmoid": F.logsigmoid,
    "glu": F.glu,
}
_OWN = [linear, relu, relu6, sigmoid, tanh, softmax, log_softmax, elu, leaky_relu, gelu, hard_sigmoid, exponential]
_TABLE: dict[str, Callable[..., Any]] = {**{f.__name__: f for f in _OWN}, **_SAME}
_ALONG_AN_AXIS = (softmax, log_softmax, F.glu)
globals().update(_SAME)
config.FUNCTIONS.update(_TABLE)


def get(identifier: Any) -> Callable[..., Any]:
    """The function for a name, a config, a layer or a function; ``linear`` for None. ValueError with names close by."""
    if identifier is None:
        return linear
    if isinstance(identifier, str):
        found: Callable[..., Any] = config.look_up("activation", {**_TABLE, **config.FUNCTIONS}, identifier)
        return found
    found = config.from_data(identifier) if isinstance(identifier, dict) else identifier
    if not callable(found):
        raise TypeError(f"an activation is a name or a function, got a {type(found).__name__}")
    return found


def is_elementwise(activation: Callable[..., Any]) -> bool:
    """Whether a function is one of those here that treat every number alone."""
    return any(activation is f for f in _TABLE.values()) and not any(activation is f for f in _ALONG_AN_AXIS)


def serialize(activation: Callable[..., Any]) -> Any:
    """The function's name."""
    return config.to_data(activation)


def deserialize(name: Any) -> Callable[..., Any]:
    """The function of a name."""
    return get(name)
