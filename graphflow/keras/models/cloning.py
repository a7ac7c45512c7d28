"""Functional models as data, and copies of models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from graphflow.core.tree import flatten
from graphflow.keras import config
from graphflow.keras.symbolic import Input, KerasTensor

_PLACE = "keras_tensor"


def network_config(network: Any) -> dict[str, Any]:
    """Inputs, layers and their calls, outputs."""
    numbers: dict[int, tuple[str, int]] = {}  # a call: its layer, and the how-manieth of its calls in here it is
    counts: dict[str, int] = {}
    for node in network.nodes:
        name = node.layer.name
        numbers[id(node)] = (name, counts.get(name, 0))
        counts[name] = counts.get(name, 0) + 1

    def to_data(value: Any) -> Any:
        if isinstance(value, KerasTensor):
            if value.node is None:
                return {_PLACE: [value.name, 0, 0]}
            return {_PLACE: [*numbers[id(value.node)], value.index]}
        if isinstance(value, (list, tuple)):
            return [to_data(v) for v in value]
        if isinstance(value, Mapping):
            return {k: to_data(v) for k, v in value.items()}
        return config.to_data(value)

    calls = [{"layer": n.layer.name, "args": to_data(n.args), "kwargs": to_data(n.kwargs)} for n in network.nodes]
    return {
        "inputs": [{"shape": list(t.shape), "dtype": t.dtype.name, "name": t.name} for t in network.flat_inputs],
        "layers": [config.serialize_layer(layer) for layer in network.layers],
        "calls": calls,
        "input_structure": to_data(network.inputs),
        "outputs": to_data(network.outputs),
    }


def network_from(data: Mapping[str, Any]) -> tuple[Any, Any]:
    """Symbolic inputs and outputs again, with new layers."""
    made: dict[tuple[str, int, int], Any] = {}
    for place in data["inputs"]:
        tensor = Input(batch_shape=place["shape"], dtype=place["dtype"], name=place["name"])
        made[place["name"], 0, 0] = tensor
    layers = {layer.name: layer for layer in map(config.deserialize, data["layers"])}
    counts: dict[str, int] = {}

    def from_data(value: Any) -> Any:
        if isinstance(value, Mapping) and set(value) == {_PLACE}:
            name, number, index = value[_PLACE]
            return made[name, number, index]
        if isinstance(value, list):
            return [from_data(v) for v in value]
        if isinstance(value, Mapping) and not set(value) & {"class_name", "function", "array"}:
            return {k: from_data(v) for k, v in value.items()}
        return config.from_data(value)

    for call in data["calls"]:
        name = call["layer"]
        out = layers[name](*from_data(call["args"]), **from_data(call["kwargs"]))
        number = counts[name] = counts.get(name, -1) + 1
        for index, tensor in enumerate(flatten(out)[0]):
            made[name, number, index] = tensor
    return from_data(data["input_structure"]), from_data(data["outputs"])


def clone_model(model: Any, input_tensors: Any = None, clone_function: Callable[[Any], Any] | None = None) -> Any:
    """A model of the same architecture with new weights; ``clone_function(layer)`` may give other layers.

    >>> import graphflow as gf
    >>> model = gf.keras.Sequential([gf.keras.Input((3,)), gf.keras.layers.Dense(2)])
    >>> gf.keras.models.clone_model(model).count_params()
    8
    """
    own = {type(m).__name__: type(m) for m in model.modules() if not type(m).__module__.startswith("graphflow.")}
    with config.custom_object_scope(own):
        if clone_function is None:
            return type(model).from_config(model.get_config())
        return _with_layers(model, clone_function)


def _with_layers(model: Any, clone: Callable[[Any], Any]) -> Any:
    data = model.get_config()
    fresh = {layer.name: clone(layer) for layer in model.layers}
    original = config.deserialize

    def take(item: Any, custom_objects: Any = None) -> Any:
        return fresh.get(item.get("config", {}).get("name")) or original(item, custom_objects)

    config.deserialize = take  # type: ignore[assignment]
    try:
        return type(model).from_config(data)
    finally:
        config.deserialize = original
