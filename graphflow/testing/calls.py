"""Calling a function of tensors on NumPy arrays in the different modes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from graphflow import ops
from graphflow.core import dispatch
from graphflow.core.aval import AVal
from graphflow.core.dims import Dim
from graphflow.core.dtypes import as_dtype
from graphflow.core.tree import flatten, unflatten
from graphflow.ir.graph import Graph, Node
from graphflow.tensor import Operators, Tensor, as_tensor
from graphflow.variable import Variable

Function = Callable[..., Any]


class Call:
    """``fn(*args)`` with its tensors and arrays taken out, so that others can be put in their place.

    ``arrays`` are these operands (with ``numbers`` Python floats too); ``run`` calls the function with tensors in their
    place and gives its tensors as a list.
    """

    def __init__(self, fn: Function, args: Sequence[Any], *, numbers: bool, float_dtype: Any = None) -> None:
        self.fn = fn
        leaves, self._tree = flatten(list(args))
        self._leaves = leaves
        self._places = [i for i, leaf in enumerate(leaves) if _is_operand(leaf) or (numbers and type(leaf) is float)]
        self.arrays = [
            np.array(as_tensor(leaves[i])._concrete("an argument", "concrete tensors")) for i in self._places
        ]
        if float_dtype is not None:
            self.arrays = [a.astype(float_dtype) if as_dtype(a.dtype).is_float else a for a in self.arrays]

    @property
    def floating(self) -> list[int]:
        """Which of the operands have gradients."""
        return [i for i, a in enumerate(self.arrays) if as_dtype(a.dtype).is_float]

    def run(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        leaves = list(self._leaves)
        for place, t in zip(self._places, tensors, strict=True):
            leaves[place] = t
        results, _ = flatten(self.fn(*unflatten(self._tree, leaves)))
        return [as_tensor(r) for r in results if isinstance(r, Operators)]


def _is_operand(leaf: Any) -> bool:
    return isinstance(leaf, (Tensor, np.ndarray))


def run_eager(function: Callable[[Sequence[Tensor]], list[Tensor]], arrays: Sequence[Any]) -> list[Any]:
    """The results on concrete tensors, computed at once."""
    with dispatch.recording(None):
        tensors = [Tensor(a, requires_grad=as_dtype(a.dtype).is_float) for a in arrays]
        return [np.array(t._data) for t in function(tensors)]


def record(
    function: Callable[[Sequence[Tensor]], list[Tensor]], arrays: Sequence[Any], symbolic: bool = False
) -> tuple[Graph, list[Node], list[Node]]:
    """The graph of the function on placeholders, its placeholders and its results.

    ``symbolic`` makes the leading sizes symbolic, equal ones by the same name.
    """
    graph = Graph("recorded")
    with graph:
        inputs = []
        for i, a in enumerate(arrays):
            shape = tuple(a.shape)
            if symbolic and shape and shape[0] != 1:  # a size of 1 may be one that broadcasts
                shape = (Dim(f"n{shape[0]}"), *shape[1:])
            aval = AVal(shape, as_dtype(a.dtype))
            inputs.append(graph.recorder.placeholder(aval, f"x{i}", requires_grad=aval.dtype.is_float))
        outputs = [graph.recorder.lift(t) for t in function(inputs)]
    return graph, [t._node for t in inputs], outputs


@contextmanager
def state_restored(variables: Sequence[Variable]) -> Iterator[None]:
    """Variables (and the default random stream) have their old values back after the block."""
    known = [*variables, ops.random.default_generator.state]  # type: ignore[attr-defined]
    saved = [v._data.copy() for v in known]
    try:
        yield
    finally:
        for variable, data in zip(known, saved):
            variable._store(data)
