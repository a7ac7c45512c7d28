"""Symbolic tensors of functional models: ``Input`` and what layers give when they are called on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.core.dims import Dim
from graphflow.core.dtypes import DType, as_dtype, float32
from graphflow.core.tree import flatten, unflatten
from graphflow.keras.config import unique_name

Shape = tuple[int | None, ...]


class KerasTensor:
    """What a functional model will compute at one place: shape (None for open sizes), dtype, and where it comes from.

    Arithmetic, indexing and ``gf.keras.ops`` give new ones, as layers do.

    >>> import graphflow as gf
    >>> x = gf.keras.Input((4,))
    >>> y = gf.keras.layers.Dense(3)(x) * 2
    >>> y.shape
    (None, 3)
    """

    __array_priority__ = 1000  # NumPy's operators leave the work to ours

    def __init__(self, shape: Sequence[int | None], dtype: Any = float32, name: str | None = None) -> None:
        self.shape: Shape = tuple(shape)
        self.dtype: DType = as_dtype(dtype)
        self.name = name or unique_name("keras_tensor")
        self.node: Node | None = None  # the call of a layer that makes it; None for inputs
        self.index = 0

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __repr__(self) -> str:
        return f"<KerasTensor shape={self.shape}, dtype={self.dtype}, name={self.name}>"

    def _value(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            f"{self!r} is a place in a model and has no value: use layers, arithmetic and gf.keras.ops on it, or "
            "gf.keras.layers.Lambda(f)(x) for other functions"
        )

    __array__ = __bool__ = __float__ = __int__ = __iter__ = __len__ = numpy = item = _value

    def __getitem__(self, key: Any) -> Any:
        return _operation("getitem", self, key=_plain_index(key))


class Node:
    """One call of a layer on symbolic tensors."""

    def __init__(self, layer: Any, args: Any, kwargs: dict[str, Any], outputs: Any) -> None:
        self.layer = layer
        self.args = args
        self.kwargs = kwargs
        self.outputs = outputs
        self.inputs: list[KerasTensor] = [t for t in flatten((args, kwargs))[0] if isinstance(t, KerasTensor)]
        for index, tensor in enumerate(t for t in flatten(outputs)[0] if isinstance(t, KerasTensor)):
            tensor.node, tensor.index = self, index
        layer.nodes.append(self)


def Input(
    shape: Sequence[int | None] | None = None,
    batch_size: int | None = None,
    dtype: Any = None,
    name: str | None = None,
    batch_shape: Sequence[int | None] | None = None,
    tensor: Any = None,
) -> KerasTensor:
    """The start of a functional model: ``shape`` without the batch axis, ``batch_shape`` with it.

    Raises ValueError where neither is given, or a size is not a number or None.

    >>> import graphflow as gf
    >>> gf.keras.Input(shape=(28, 28), name="image").shape
    (None, 28, 28)
    """
    if tensor is not None:
        raise ValueError("Input(tensor=...) is not supported: give the shape")
    if batch_shape is None:
        if shape is None:
            raise ValueError("Input needs shape=..., the sizes of one sample, such as (784,)")
        batch_shape = (batch_size, *((shape,) if isinstance(shape, int) else shape))
    if any(not (n is None or isinstance(n, int)) for n in batch_shape):
        raise ValueError(f"sizes are numbers or None, got {tuple(batch_shape)}")
    return KerasTensor(batch_shape, dtype or float32, name or unique_name("input"))


def is_symbolic(value: Any) -> bool:
    """Whether a KerasTensor is in a nest of arguments."""
    return isinstance(value, KerasTensor) or (
        isinstance(value, (list, tuple, dict)) and any(isinstance(t, KerasTensor) for t in flatten(value)[0])
    )


def call_symbolically(layer: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Note a call of a layer, and give the tensors that will come out: their shapes are found by tracing the call."""
    if not hasattr(layer, "nodes"):
        layer.__dict__["nodes"] = []
    outputs = infer(layer, args, kwargs)
    Node(layer, args, kwargs, outputs)
    return outputs


def infer(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """KerasTensors for what a function would give for KerasTensors, found by recording it into a graph of its own."""
    from graphflow.trace import TensorSpec, trace

    leaves, tree = flatten((args, kwargs))
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, KerasTensor)]

    def run(*tensors: Any) -> Any:
        filled = list(leaves)
        for place, tensor in zip(places, tensors):
            filled[place] = tensor
        own_args, own_kwargs = unflatten(tree, filled)
        return function(*own_args, **own_kwargs)

    graph = trace(run, *(TensorSpec(_open_sizes(leaves[i].shape), leaves[i].dtype) for i in places))
    found, structure = flatten(graph.structure)
    return unflatten(structure, [KerasTensor(closed_shape(t.shape), t.dtype) for t in found])


def _open_sizes(shape: Shape) -> tuple[Any, ...]:
    """Open sizes of one axis count as equal: batches are."""
    return tuple(Dim(f"axis{i}") if n is None else n for i, n in enumerate(shape))


def closed_shape(shape: Sequence[Any]) -> Shape:
    """A shape with None for symbolic sizes."""
    return tuple(None if isinstance(n, Dim) else int(n) for n in shape)


# -- arithmetic --------------------------------------------------------------------------------------------------------
def _plain_index(key: Any) -> Any:
    """An index as data: slices as {"slice": [start, stop, step]}."""
    if isinstance(key, tuple):
        return [_plain_index(k) for k in key]
    if isinstance(key, slice):
        return {"slice": [key.start, key.stop, key.step]}
    return "..." if key is Ellipsis else key


def _operation(name: str, *args: Any, **kwargs: Any) -> Any:
    from graphflow.keras.layers.operation import Operation

    return Operation(name, **kwargs)(*args)


def _operator(name: str, swapped: bool = False) -> Any:
    def method(self: KerasTensor, other: Any) -> Any:
        return _operation(name, other, self) if swapped else _operation(name, self, other)

    return method


for _symbol, _name in {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "divide",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "pow": "pow",
    "matmul": "matmul",
}.items():
    setattr(KerasTensor, f"__{_symbol}__", _operator(_name))
    setattr(KerasTensor, f"__r{_symbol}__", _operator(_name, swapped=True))
for _symbol, _name in {"lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal"}.items():
    setattr(KerasTensor, f"__{_symbol}__", _operator(_name))
KerasTensor.__neg__ = lambda self: _operation("negative", self)  # type: ignore[attr-defined, operator]
KerasTensor.__abs__ = lambda self: _operation("abs", self)  # type: ignore[attr-defined]
