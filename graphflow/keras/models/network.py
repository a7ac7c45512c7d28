"""The graph of layer calls between symbolic inputs and outputs: what a functional model computes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from typing import Any

from graphflow.core.dims import Dim
from graphflow.core.errors import ShapeError, at_line, user_origin
from graphflow.core.tree import flatten, unflatten
from graphflow.keras.layers.base import Layer
from graphflow.keras.symbolic import KerasTensor, Node, Shape, closed_shape
from graphflow.nn.module import Module
from graphflow.ops.arrange import squeeze
from graphflow.ops.define import cast
from graphflow.ops.movement import expand_dims
from graphflow.tensor import Tensor, as_tensor


class Network:
    """Calls of layers in an order in which each has its inputs, from nested inputs to nested outputs."""

    def __init__(self, inputs: Any, outputs: Any) -> None:
        self.inputs, self.outputs = inputs, outputs
        self.flat_inputs = _symbolic("inputs", inputs)
        self.flat_outputs = _symbolic("outputs", outputs)
        for tensor in self.flat_inputs:
            if tensor.node is not None:
                raise ValueError(at_line(f"{tensor!r} is no input: inputs come from gf.keras.Input", user_origin()))
        self.nodes = self._ordered()
        self.layers: list[Any] = list({id(n.layer): n.layer for n in self.nodes}.values())

    def _ordered(self) -> list[Node]:
        """The calls that the outputs need, each after those whose outputs it takes. A loop: networks can be deep."""
        known = {id(t) for t in self.flat_inputs}
        order: list[Node] = []
        done: set[int] = set()
        stack = list(reversed(self.flat_outputs))
        while stack:
            tensor = stack[-1]
            node = tensor.node
            if id(tensor) in known or (node is not None and id(node) in done):
                stack.pop()
            elif node is None:
                names = ", ".join(t.name for t in self.flat_inputs)
                raise ValueError(
                    at_line(
                        f"the outputs need the input {tensor.name!r}, which is not among the model's inputs ({names}); "
                        "give it in Model(inputs=[...])",
                        user_origin(),
                    )
                )
            elif waiting := [t for t in node.inputs if id(t) not in known and not (t.node and id(t.node) in done)]:
                stack.extend(reversed(waiting))
            else:
                done.add(id(node))
                order.append(node)
                stack.pop()
        return order

    # -- running -----------------------------------------------------------------------------------------------------
    def run(self, inputs: Any) -> Any:
        """The outputs for tensors in the inputs' places."""
        values: dict[int, Any] = {}
        masks: dict[int, Any] = {}
        for place, value in zip(self.flat_inputs, self._matched(inputs)):
            values[id(place)] = fitted(value, place)
        for node in self.nodes:
            leaves, tree = flatten((node.args, node.kwargs))
            args, kwargs = unflatten(tree, [values[id(v)] if isinstance(v, KerasTensor) else v for v in leaves])
            given = _mask_arguments(node, masks) if masks else {}
            out = node.layer(*args, **{**given, **kwargs})
            found = [t for t in flatten(out)[0]]
            for place, value in zip(flatten(node.outputs)[0], found):
                values[id(place)] = value
            if masks or getattr(node.layer, "supports_masking", False):
                _pass_mask_on(node, args, masks)
        leaves, tree = flatten(self.outputs)
        return unflatten(tree, [values[id(t)] for t in leaves])

    def _matched(self, inputs: Any) -> list[Any]:
        """The tensors in the order of the inputs; a dict names them."""
        names = [t.name for t in self.flat_inputs]
        if isinstance(inputs, Mapping):
            keys = list(self.inputs) if isinstance(self.inputs, Mapping) else names
            missing = [name for name in keys if name not in inputs]
            if missing:
                raise ValueError(
                    at_line(f"the inputs {missing} are missing; got: {', '.join(map(str, inputs))}", user_origin())
                )
            return [inputs[name] for name in keys]
        found = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        if len(found) == 1 and isinstance(found[0], (list, tuple)):
            found = list(found[0])
        if len(found) != len(names):
            raise ValueError(
                at_line(f"the model takes {len(names)} inputs ({', '.join(names)}), got {len(found)}", user_origin())
            )
        return found


def _symbolic(what: str, value: Any) -> list[KerasTensor]:
    found = flatten(value)[0]
    if not found or not all(isinstance(t, KerasTensor) for t in found):
        raise TypeError(
            at_line(
                f"{what} of a model are what gf.keras.Input and layers called on it give, got {value!r}", user_origin()
            )
        )
    return found


def fitted(value: Any, place: KerasTensor) -> Tensor:
    """A tensor in the shape and dtype of an input. Raises ShapeError that says what to change."""
    x = as_tensor(value)
    wanted = place.shape
    if x.ndim == len(wanted) - 1 and wanted[-1] == 1:
        x = expand_dims(x, -1)
    elif x.ndim == len(wanted) + 1 and x.shape[-1] == 1:
        x = squeeze(x, -1)
    if misfit(x.shape, wanted):
        raise ShapeError(at_line(shape_message(place, closed_shape(x.shape)), user_origin()))
    return x if x.dtype is place.dtype else cast(x, place.dtype)


def misfit(shape: Any, wanted: Shape) -> bool:
    """Whether a shape cannot be one that is wanted."""
    return len(shape) != len(wanted) or any(
        w is not None and not isinstance(n, Dim) and n is not None and n != w for n, w in zip(shape, wanted)
    )


def shape_message(place: KerasTensor, shape: Shape) -> str:
    """What to do about data of a wrong shape."""
    wanted = place.shape
    hint = f"reshape the data, or change the model's Input(shape={wanted[1:]})"
    sizes = [n for n in shape[1:] if n is not None]
    product = 1
    for n in sizes:
        product *= n
    if len(wanted) == 2 and wanted[1] == product:
        hint = "add a Flatten layer, or use x.reshape(len(x), -1)"
    elif not misfit((None, *shape), wanted):
        hint = "for a single sample use x[None]"
    elif len(shape) == len(wanted) - 1:
        hint = "add the missing axis, such as x[..., None] for channels"
    return f"the input {place.name!r} takes data of shape {wanted}, got {shape}; {hint}"


# -- masks -------------------------------------------------------------------------------------------------------------
@cache
def _parameters(cls: type) -> tuple[str, ...]:
    return tuple(inspect.signature(cls.call).parameters)[1:]  # type: ignore[attr-defined]


def _mask_of(argument: Any, masks: Mapping[int, Any]) -> Any:
    if isinstance(argument, (list, tuple)):
        found = [masks.get(id(t)) for t in argument]
        return found if any(m is not None for m in found) else None
    return masks.get(id(argument))


def _mask_arguments(node: Node, masks: Mapping[int, Any]) -> dict[str, Any]:
    """The masks of a call's inputs, for a layer that asks for them."""
    if not isinstance(node.layer, Layer):
        return {}
    names = _parameters(type(node.layer))  # type: ignore[arg-type]
    found: dict[str, Any] = {}
    if "mask" in names and node.args:
        found["mask"] = _mask_of(node.args[0], masks)
    for name, argument in zip(names, node.args):
        if f"{name}_mask" in names:
            found[f"{name}_mask"] = _mask_of(argument, masks)
    return {name: mask for name, mask in found.items() if mask is not None}


def _pass_mask_on(node: Node, args: Any, masks: dict[int, Any]) -> None:
    if not isinstance(node.layer, Layer) or not node.args:
        return
    made = node.layer.compute_mask(args[0], _mask_of(node.args[0], masks))
    for place, mask in zip(flatten(node.outputs)[0], made if isinstance(made, (list, tuple)) else [made]):
        if mask is not None:
            masks[id(place)] = mask


def is_module(item: Any) -> bool:
    """Whether something can stand in a model as a layer."""
    return isinstance(item, Module)
