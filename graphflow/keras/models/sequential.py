"""Sequential: layers one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from graphflow.core import dispatch
from graphflow.core.errors import at_line, user_origin
from graphflow.keras import config
from graphflow.keras.layers.base import Layer
from graphflow.keras.layers.core import InputLayer
from graphflow.keras.layers.operation import Lambda
from graphflow.keras.models.model import Model
from graphflow.keras.models.network import Network
from graphflow.keras.symbolic import KerasTensor, call_symbolically, closed_shape
from graphflow.nn.module import Module
from graphflow.tensor import as_tensor


class Sequential(Model):
    """Layers one after the other; Modules of ``gf.nn`` may stand among them.

    The weights are made from the first layer's ``input_shape``, an ``Input`` at the front, or the first data.

    >>> import graphflow as gf
    >>> model = gf.keras.Sequential([gf.keras.layers.Dense(8, name="hidden"), gf.keras.layers.Dense(1)])
    >>> model(gf.ones((2, 3))).shape, model.count_params(), list(model.state_dict())[:2]
    ((2, 1), 41, ['hidden.kernel', 'hidden.bias'])
    """

    def __init__(self, layers: Iterable[Any] | None = None, trainable: bool = True, name: str | None = None) -> None:
        super().__init__(name=name, trainable=trainable)
        self.__dict__["_chain"] = []
        self.__dict__["_place"] = None  # the symbolic input, once it is known
        for layer in layers or ():
            self._append(layer)
        self._wire()

    def add(self, layer: Any, rebuild: bool = True) -> None:
        """Add a layer at the end."""
        self._append(layer)
        self._wire()

    def pop(self, rebuild: bool = True) -> Any:
        """Take the last layer away and give it back. Raises IndexError if there is none."""
        if not self._chain:
            raise IndexError(f"{self.name} has no layers")
        layer = self._chain.pop()
        self._modules.pop(layer.name, None)
        self._wire()
        return layer

    def _append(self, layer: Any) -> None:
        if isinstance(layer, (KerasTensor, InputLayer)):
            if self._chain or self._place is not None:
                raise ValueError(at_line("an Input stands at the front of a Sequential model", user_origin()))
            made = layer
            if isinstance(layer, InputLayer):
                made = KerasTensor(layer.batch_shape, layer.input_dtype, layer.name)
            self.__dict__["_place"] = made
            return
        if not isinstance(layer, Module):
            if not callable(layer) or isinstance(layer, type):
                hint = f"; write {layer.__name__}()" if isinstance(layer, type) else ""
                raise TypeError(at_line(f"Sequential takes layers, got a {type(layer).__name__}{hint}", user_origin()))
            layer = Lambda(layer)
        if "name" not in layer.__dict__:  # a Module of gf.nn
            layer.__dict__["name"] = config.unique_name(config.snake_case(type(layer).__name__))
        name = layer.name
        if name in self._modules:
            raise ValueError(
                at_line(f"two layers are named {name!r}; rename one, or use Model to share a layer", user_origin())
            )
        if not self._chain and self._place is None and getattr(layer, "given_input_shape", None) is not None:
            self.__dict__["_place"] = KerasTensor(layer.given_input_shape, _input_dtype(layer))
        self._chain.append(layer)
        self._modules[name] = layer

    def _wire(self) -> None:
        """Connect the layers, if the input's shape is known."""
        self._forget_programs()
        self.__dict__.pop("_inputs_as_layers", None)
        if self._place is None or not self._chain:
            return
        at: Any = self._place
        with dispatch.init_scope():
            for layer in self._chain:
                at = layer(at) if isinstance(layer, Layer) else call_symbolically(layer, (at,), {})
        self._connect(Network(self._place, at))

    def build(self, input_shape: Any = None) -> None:
        """Make the weights for inputs of this shape, with the batch axis (None)."""
        if input_shape is None:
            raise ValueError(at_line("build needs the shape of the input, such as (None, 784)", user_origin()))
        first = self._chain[0] if self._chain else None
        self.__dict__["_place"] = KerasTensor(input_shape, _input_dtype(first))
        self._wire()

    def _build_for(self, args: Any, kwargs: Any) -> None:
        x = as_tensor(args[0])
        self.__dict__["_place"] = KerasTensor((None, *closed_shape(x.shape)[1:]), x.dtype)
        self._wire()

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        if self._network is None:
            raise ValueError(at_line(f"{self.name} has no layers yet: add some", user_origin()))
        return self._network.run(inputs)

    @property
    def layers(self) -> list[Any]:
        """The layers, without the input."""
        return list(self._chain)

    def __len__(self) -> int:
        return len(self._chain)

    def get_config(self) -> dict[str, Any]:
        layers = [config.serialize_layer(layer) for layer in self._chain]
        place = self._place
        start = None if place is None else {"shape": list(place.shape), "dtype": place.dtype.name, "name": place.name}
        return {"name": self.name, "trainable": self._trainable, "layers": layers, "input": start}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Any = None) -> Any:
        """A model from ``get_config()``, with new weights."""
        from graphflow.keras.config import deserialize

        start = config.get("input")
        layers: list[Any] = [] if start is None else [KerasTensor(start["shape"], start["dtype"], start["name"])]
        layers += [deserialize(layer, custom_objects) for layer in config["layers"]]
        return cls(layers, name=config.get("name"), trainable=config.get("trainable", True))


def _input_dtype(layer: Any) -> Any:
    return "int64" if type(layer).__name__ == "Embedding" else "float32"
