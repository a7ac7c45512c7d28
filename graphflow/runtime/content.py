"""The content of a graph as plain values: what names its program in the disk cache.

The content is all that a program depends on: each node's op, operands and attributes, the settings, the machine, the
source of GraphFlow itself. Variables and the functions behind host scalars count by their order, arrays by their bytes.
Names, and the lines where nodes were recorded, do not count.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.codegen.cache import compiler_versions, digest
from graphflow.codegen.host import machine
from graphflow.core import config
from graphflow.core.dims import Dim
from graphflow.core.dtypes import DType
from graphflow.core.op import Op
from graphflow.ir.graph import Graph, Node
from graphflow.passes.pipeline import names
from graphflow.runtime.binding import bind_unit
from graphflow.variable import Variable

MOST_BYTES = 16 << 20  # of constants in a graph that is named
_PLAIN = {int, float, bool, str, bytes, type(None)}
_PACKAGE = __name__.partition(".")[0] + "."
_own: dict[Op, bool] = {}


class Unnamed(Exception):
    """A graph has something in it, a user's own op, say, that another process cannot know."""


class Content:
    """A graph as plain values, and the objects among them in the order in which they were met. Raises Unnamed."""

    def __init__(self, graph: Graph, inputs: Sequence[Node]) -> None:
        self.variables: dict[Variable, int] = {}
        self.sources: dict[Any, int] = {}  # functions that give numbers at each run
        self._bytes = 0
        settings = (sys.version_info[:2], config.current.key, names(), bind_unit().key)
        self._values = (settings, self._graph(graph), [n.id for n in inputs])

    def name(self) -> str:
        """What the disk cache calls the program."""
        cap = os.environ.get("GRAPHFLOW_CPU", "")
        return digest("program", repr(self._values), machine(), cap, compiler_versions())

    def _graph(self, graph: Graph) -> Any:
        number = {n: i for i, n in enumerate(graph.nodes)}
        value = self._value
        nodes = []
        for n in graph.nodes:
            if not _is_own(n.op):
                raise Unnamed
            if n.op.name == "host_scalar":
                attrs: Any = self.sources.setdefault(n.attrs["source"], len(self.sources)), n.attrs["dtype"].name
            else:
                attrs = [(k, value(v)) for k, v in n.attrs.items()]
            control = [number[c] for c in n.control] if n.control else 0
            nodes.append((n.op.name, [number[i] for i in n.inputs], attrs, control))
        outputs = [number[n] for n in graph.outputs]
        updates = [(self._variable(v), number[n]) for v, n in graph.updates]
        return nodes, outputs, updates, [(value(a), value(b)) for a, b in graph.assumptions]

    def _value(self, value: Any) -> Any:
        kind = type(value)
        if kind in _PLAIN:
            return value
        if kind is tuple:
            return tuple([v if type(v) is int else self._value(v) for v in value])
        if kind is DType:
            return "dtype", value.name
        if kind is Dim:
            return "size", repr(value.terms)
        if kind is np.ndarray and value.dtype != object:
            self._bytes += value.nbytes
            if self._bytes > MOST_BYTES:
                raise Unnamed
            data = value.tobytes()
            return "array", value.dtype.str, value.shape, data if len(data) <= 64 else digest(data)
        if isinstance(value, np.generic):
            return "number", value.dtype.str, value.tobytes()
        if kind is Graph:
            return "graph", self._graph(value)
        if isinstance(value, Variable):
            return "variable", self._variable(value)
        raise Unnamed

    def _variable(self, variable: Variable) -> Any:
        number = self.variables.setdefault(variable, len(self.variables))
        return number, variable.shape, variable.dtype.name


def _is_own(op: Op) -> bool:
    """Whether an op is GraphFlow's: the digest of its source covers it."""
    known = _own.get(op)
    if known is None:
        parts = [f for f in (op.infer, op.ref, op.emit) if hasattr(f, "__code__")]
        known = _own[op] = op.kind != "custom" and all((f.__module__ or "").startswith(_PACKAGE) for f in parts)
    return known
