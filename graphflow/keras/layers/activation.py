"""Activations with settings, as layers."""

from __future__ import annotations

from typing import Any

from graphflow.core.errors import at_line, user_origin
from graphflow.keras import activations, constraints, initializers, regularizers
from graphflow.keras.layers.base import Layer
from graphflow.keras.layers.shapes import known
from graphflow.ops.elementwise import minimum, relu, where
from graphflow.tensor import Tensor, as_tensor


class ReLU(Layer):
    """x from ``threshold`` on, at most ``max_value``; below it ``negative_slope * (x - threshold)``."""

    supports_masking = True

    def __init__(
        self, max_value: float | None = None, negative_slope: float = 0.0, threshold: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.settings = (negative_slope or 0.0, max_value, threshold or 0.0)

    def call(self, inputs: Any) -> Tensor:
        return activations.relu(self._floats(inputs), *self.settings)


class LeakyReLU(Layer):
    """x, or ``negative_slope * x`` below 0."""

    supports_masking = True

    def __init__(self, negative_slope: float = 0.3, **kwargs: Any) -> None:
        if "alpha" in kwargs:  # its name before Keras 3
            negative_slope = kwargs.pop("alpha")
        super().__init__(**kwargs)
        self.negative_slope = negative_slope

    def call(self, inputs: Any) -> Tensor:
        return activations.leaky_relu(self._floats(inputs), self.negative_slope)


class ELU(Layer):
    """x, or ``alpha * (exp(x) - 1)`` below 0."""

    supports_masking = True

    def __init__(self, alpha: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alpha = alpha

    def call(self, inputs: Any) -> Tensor:
        return activations.elu(self._floats(inputs), self.alpha)


class PReLU(Layer):
    """x, or alpha times x below 0, where the alphas are learned; they are shared along ``shared_axes``."""

    supports_masking = True

    def __init__(
        self,
        alpha_initializer: Any = "zeros",
        alpha_regularizer: Any = None,
        alpha_constraint: Any = None,
        shared_axes: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.alpha_initializer = initializers.get(alpha_initializer)
        self.alpha_regularizer = regularizers.get(alpha_regularizer)
        self.alpha_constraint = constraints.get(alpha_constraint)
        self.shared_axes = (shared_axes,) if isinstance(shared_axes, int) else tuple(shared_axes or ())

    def build(self, input_shape: Any) -> None:
        rank = len(input_shape)
        shared = {a % rank for a in self.shared_axes}
        shape = [1 if a in shared else known(n, self, f"size {a}") for a, n in enumerate(input_shape) if a]
        settings = {"regularizer": self.alpha_regularizer, "constraint": self.alpha_constraint}
        self.alpha = self.add_weight(shape, self.alpha_initializer, name="alpha", **settings)

    def call(self, inputs: Any) -> Tensor:
        x = self._floats(inputs)
        return relu(x) + self.alpha * minimum(x, 0.0)  # type: ignore[operator, no-any-return]


class Softmax(Layer):
    """exp(x) over its sum along an axis; a boolean ``mask`` leaves elements out."""

    supports_masking = True

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(axis, int):
            raise TypeError(at_line(f"Softmax takes one axis, got {axis!r}", user_origin()))
        self.axis = axis

    def call(self, inputs: Any, mask: Any = None) -> Tensor:
        x = self._floats(inputs)
        return activations.softmax(x if mask is None else where(as_tensor(mask), x, -3e38), self.axis)
