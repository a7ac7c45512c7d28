"""Model: layers with inputs and outputs that can be trained, saved and summed up."""

from __future__ import annotations

from typing import Any

from graphflow.core.errors import StateError, at_line, user_origin
from graphflow.keras import config
from graphflow.keras.layers.base import Layer
from graphflow.keras.layers.core import InputLayer
from graphflow.keras.layers.shapes import places_for
from graphflow.keras.models.network import Network
from graphflow.keras.models.training import Trainer
from graphflow.keras.symbolic import infer


class Model(Trainer, Layer):
    """Layers as one: made from symbolic inputs and outputs, or a subclass with layers as attributes and ``call``.

    >>> import graphflow as gf
    >>> a, b = gf.keras.Input((3,), name="a"), gf.keras.Input((4,), name="b")
    >>> joined = gf.keras.layers.Concatenate()([a, b])
    >>> model = gf.keras.Model(inputs=[a, b], outputs=gf.keras.layers.Dense(2)(joined))
    >>> model([gf.ones((5, 3)), gf.ones((5, 4))]).shape, model.count_params()
    ((5, 2), 16)
    """

    kind = "models"

    def __init__(
        self, inputs: Any = None, outputs: Any = None, name: str | None = None, trainable: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(name=name, trainable=trainable, **kwargs)
        self._start_training_state()
        self.__dict__["_network"] = None
        self.__dict__["_built_from"] = None
        if (inputs is None) != (outputs is None):
            raise TypeError(at_line("a functional model needs inputs and outputs", user_origin()))
        if inputs is not None:
            self._connect(Network(inputs, outputs))

    def _connect(self, network: Network) -> None:
        """Take the layers of a network, by their names."""
        plain = self.__dict__
        plain["_network"] = network
        plain["built"] = True
        self._modules.clear()
        names: dict[str, Any] = {}
        for layer in network.layers:
            name = getattr(layer, "name", None) or config.unique_name(config.snake_case(type(layer).__name__))
            layer.__dict__.setdefault("name", name)
            if name in names:
                raise ValueError(at_line(f"two layers are named {name!r}; give them other names", user_origin()))
            names[name] = self._modules[name] = layer
        self._forget_programs()

    # -- running -----------------------------------------------------------------------------------------------------
    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        if self._network is None:
            raise NotImplementedError(f"{type(self).__name__} does not define call(self, inputs)")
        return self._network.run(inputs)

    def _build_for(self, args: Any, kwargs: Any) -> None:
        from graphflow.keras.layers.shapes import shapes_of

        if args:
            self.__dict__["_built_from"] = shapes_of(args[0])
        self.__dict__["built"] = True

    def build(self, input_shape: Any = None) -> None:
        """Make the weights for inputs of this shape, with the batch axis (None)."""
        if input_shape is None:
            raise ValueError(at_line("build needs the shape of the input, such as (None, 784)", user_origin()))
        self.__dict__["_built_from"] = input_shape
        self.__dict__["built"] = True
        infer(self, (places_for(input_shape),), {})

    # -- looking -----------------------------------------------------------------------------------------------------
    @property
    def layers(self) -> list[Any]:
        """The layers in the order of the calls; inputs too in a functional model."""
        own = [m for m in dict(self.named_children()).values() if m is not None]
        if self._network is None:
            return own
        return [*self._input_layers(), *own]

    def _input_layers(self) -> list[InputLayer]:
        if "_inputs_as_layers" not in self.__dict__:
            self.__dict__["_inputs_as_layers"] = [
                InputLayer(batch_shape=t.shape, dtype=t.dtype, name=t.name) for t in self._network.flat_inputs
            ]
        return self.__dict__["_inputs_as_layers"]  # type: ignore[no-any-return]

    def get_layer(self, name: str | None = None, index: int | None = None) -> Any:
        """A layer by name or number. Raises ValueError naming the layers there are."""
        if index is not None:
            return self.layers[index]
        found = next((m for m in self.layers if getattr(m, "name", None) == name), None)
        if found is None:
            names = ", ".join(str(getattr(m, "name", m)) for m in self.layers)
            raise ValueError(f"{self.name} has no layer {name!r}; it has: {names}")
        return found

    @property
    def inputs(self) -> list[Any]:
        """The symbolic inputs."""
        return self._wired().flat_inputs

    @property
    def outputs(self) -> list[Any]:
        """The symbolic outputs."""
        return self._wired().flat_outputs

    @property
    def input(self) -> Any:
        return self._wired().inputs

    @property
    def output(self) -> Any:
        return self._wired().outputs

    @property
    def input_shape(self) -> Any:
        shapes = [t.shape for t in self.inputs]
        return shapes[0] if len(shapes) == 1 else shapes

    @property
    def output_shape(self) -> Any:
        shapes = [t.shape for t in self.outputs]
        return shapes[0] if len(shapes) == 1 else shapes

    @property
    def input_names(self) -> list[str]:
        return [t.name for t in self.inputs]

    @property
    def output_names(self) -> list[str]:
        """The names of the outputs: of the layers that make them, or the keys of a dict."""
        network = self._network
        if network is None:
            return []
        if isinstance(network.outputs, dict):
            return list(network.outputs)
        names: list[str] = []
        for t in network.flat_outputs:
            name = t.node.layer.name if t.node is not None else t.name
            names.append(name if name not in names else f"{name}_{names.count(name)}")
        return names

    def _wired(self) -> Network:
        if self._network is None:
            raise AttributeError(f"{self.name} has no symbolic inputs and outputs: it is not a functional model (yet)")
        return self._network  # type: ignore[no-any-return]

    def summary(
        self,
        line_length: int | None = None,
        positions: Any = None,
        print_fn: Any = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: Any = None,
    ) -> None:
        """Print a table of the layers with the shapes that come out and the numbers of parameters."""
        from graphflow.keras.models.summary import summary

        text = summary(self, expand_nested, show_trainable)
        (print_fn or print)(text)

    # -- files -------------------------------------------------------------------------------------------------------
    def save(self, filepath: Any, overwrite: bool = True, include_optimizer: bool = True, **ignored: Any) -> None:
        """Write the model with its weights, ``compile``'s arguments and the optimizer's state to one file of data."""
        from graphflow.keras.saving import save_model

        save_model(self, filepath, overwrite, include_optimizer)

    def save_weights(self, filepath: Any, overwrite: bool = True) -> None:
        """Write the weights to a safetensors file."""
        from graphflow.keras.saving import save_weights

        save_weights(self, filepath, overwrite)

    def load_weights(self, filepath: Any, skip_mismatch: bool = False, **ignored: Any) -> None:
        """Read the weights that ``save_weights`` or ``save`` wrote."""
        from graphflow.keras.saving import load_weights

        load_weights(self, filepath, skip_mismatch)

    def to_json(self, **kwargs: Any) -> str:
        """The architecture as JSON."""
        import json

        return json.dumps(config.serialize(self), **kwargs)

    def get_config(self) -> dict[str, Any]:
        if self._network is None or type(self) is not Model:
            return super().get_config()
        from graphflow.keras.models.cloning import network_config

        return {"name": self.name, "trainable": self._trainable, **network_config(self._network)}

    @classmethod
    def from_config(cls, config: Any, custom_objects: Any = None) -> Any:
        """A model from ``get_config()``, with new weights."""
        if cls is Model and "layers" in config:
            from graphflow.keras.config import custom_object_scope
            from graphflow.keras.models.cloning import network_from

            with custom_object_scope(custom_objects or {}):
                inputs, outputs = network_from(config)
            return Model(inputs, outputs, name=config.get("name"), trainable=config.get("trainable", True))
        return super().from_config(config)

    def count_params(self) -> int:
        if not self.built:
            raise StateError(
                f"{self.name} is not built yet: call it on data, call build(input_shape), or start with an Input"
            )
        return super().count_params()
