"""Functions of tensors as layers: what arithmetic on symbolic tensors and ``gf.keras.ops`` put into a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphflow.core.errors import at_line, user_origin
from graphflow.keras.layers.base import Layer


class Operation(Layer):
    """A function by its name in ``gf.keras.ops``, with its settings."""

    def __init__(self, op: str, name: str | None = None, trainable: bool = True, **settings: Any) -> None:
        from graphflow.keras.config import unique_name

        super().__init__(name=name or unique_name(op), trainable=trainable)
        self.op = op
        self.settings = settings

    def call(self, *args: Any) -> Any:
        from graphflow.keras import ops

        return ops.function(self.op)(*args, **self.settings)


class Lambda(Layer):
    """A function of tensors as a layer. It cannot be saved unless the function is registered by name.

    >>> import graphflow as gf
    >>> gf.keras.layers.Lambda(lambda x: x ** 2)(gf.tensor([3.0])).tolist()
    [9.0]
    """

    def __init__(
        self,
        function: Callable[..., Any],
        output_shape: Any = None,
        mask: Any = None,
        arguments: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not callable(function):
            raise TypeError(at_line(f"Lambda needs a function, got a {type(function).__name__}", user_origin()))
        self.function = function
        self.given = arguments or {}

    def call(self, inputs: Any) -> Any:
        return self.function(inputs, **self.given)
