"""A graph as text, one node a line, from which ir/parse.py rebuilds the same graph. Reading it runs no code.

::

    graphflow 1
    variable @w : float32[784, 10] trainable
    graph "main"
      assume batch == n
      %x = placeholder() : float32[batch, 784]  # train.py:12 in main
      %w = variable_read() {variable=@w} : float32[784, 10]  # train.py:14 in main
      %y = matmul(%x, %w) : float32[batch, 10]  # train.py:14 in main
      %p = print(%y) {label="y"} after(%x) stop : ()
      return %y
      update @w = %w_1

Values of attributes: ``3``, ``-0.0``, ``nan``, ``True``, ``None``, ``"text"``, ``(1, 2)``, a dtype ``float32``, a
symbolic size ``<2*batch+1>``, an abstract value ``float32[batch, 3]``, an array ``float32[2](1.0, 2.0)`` (``(splat
0.0)`` if all its elements are the same, base64 of its little-endian bytes if it is long), a variable ``@w``, a nested
graph ``&g1`` (its own ``graph &g1 "body"`` block comes before), a line of code ``at("a.py", 3, "f")``. ``python(0.1)``
is what a Python function (a learning rate, say) gives at printing; read back, it stays that number. Names that are not
plain words are quoted: ``%"my x"``.
"""

from __future__ import annotations

import base64
import json
import re
import sys
from typing import Any

import numpy as np

from graphflow.core.aval import AVal
from graphflow.core.dims import Dim, Size
from graphflow.core.dtypes import DType, as_dtype
from graphflow.core.errors import GraphError, Origin
from graphflow.ir.graph import Graph, Node
from graphflow.variable import Variable

HEADER = "graphflow 1"
INLINE_ELEMENTS = 16  # arrays up to this many elements are printed as numbers
_FLOAT = re.compile(r"-?\d+\.\d+(e[+-]\d+)?")
_WORD = re.compile(r"(?!(?:inf|nan)\b)[A-Za-z_][A-Za-z0-9_.]*")


def to_text(graph: Graph, *, origins: bool = True) -> str:
    """The graph, and the graphs nested in it, as text; ``origins=False`` leaves out the users' lines.

    Raises GraphError if an attribute is of a kind that text cannot hold (a Python function, say).
    """
    writer = _Writer(origins)
    graphs = nested_graphs(graph)
    for i, inner in enumerate(graphs[:-1], 1):
        writer.graphs[id(inner)] = f"&g{i}"
    for variable in mentioned_variables(graphs):
        writer.declare(variable)
    body = [line for g in graphs for line in writer.block(g)]
    return "\n".join([HEADER, *writer.header, *body]) + "\n"


def from_text(text: str, variables: dict[str, Variable] | None = None) -> Graph:
    """The graph that ``to_text`` printed.

    ``variables`` gives the variables by name; those it lacks are made anew, filled with zeros. Raises GraphError naming
    the line that cannot be read, and what is wrong with it.
    """
    from graphflow.ir.parse import parse

    return parse(text, variables or {})


def nested_graphs(graph: Graph) -> list[Graph]:
    """The graphs in the attributes of a graph's control nodes, inner ones first; the graph itself comes last."""
    found: list[Graph] = []
    stack = [graph]
    while stack:
        at = stack.pop()
        if at in found:  # reached again, from deeper inside: it has to come earlier
            found.remove(at)
        found.append(at)
        stack.extend(v for n in at.nodes if n.op.kind == "control" for v in n.attrs.values() if isinstance(v, Graph))
    return found[::-1]


def mentioned_variables(graphs: list[Graph]) -> list[Variable]:
    """The variables that the graphs made or mention, in order of first mention."""
    found: dict[int, Variable] = {id(v): v for v in graphs[-1].created}
    for graph in graphs:
        mentioned = [v for n in graph.nodes for v in n.attrs.values() if isinstance(v, Variable)]
        for variable in [*mentioned, *(v for v, _ in graph.updates)]:
            found.setdefault(id(variable), variable)
    return list(found.values())


class _Writer:
    """Prints values; knows the names that variables and nested graphs go by."""

    def __init__(self, origins: bool) -> None:
        self.origins = origins
        self.header: list[str] = []
        self.graphs: dict[int, str] = {}
        self.variables: dict[int, str] = {}
        self._taken: set[str] = set()

    def declare(self, variable: Variable) -> None:
        name, count = variable.name, 0
        while name in self._taken:
            count += 1
            name = f"{variable.name}_{count}"
        self._taken.add(name)
        self.variables[id(variable)] = f"@{word(name)}"
        trainable = " trainable" if variable.trainable else ""
        self.header.append(f"variable @{word(name)} : {aval_text(AVal(variable.shape, variable.dtype))}{trainable}")

    def block(self, graph: Graph) -> list[str]:
        label = self.graphs.get(id(graph))
        lines = [" ".join(filter(None, ["graph", label, json.dumps(graph.name, ensure_ascii=False)]))]
        lines += [f"  assume {size_text(a)} == {size_text(b)}" for a, b in graph.assumptions]
        lines += ["  " + self.node(n) for n in graph.nodes]
        if graph.outputs:
            lines.append("  return " + ", ".join(f"%{word(n.name)}" for n in graph.outputs))
        lines += [f"  update {self.variables[id(v)]} = %{word(n.name)}" for v, n in graph.updates]
        return lines

    def node(self, node: Node) -> str:
        parts = [f"%{word(node.name)} = {node.op.name}({_names(node.inputs)})"]
        if node.attrs:
            parts.append("{" + ", ".join(f"{k}={self.attr(node, k, v)}" for k, v in node.attrs.items()) + "}")
        if node.control:
            parts.append(f"after({_names(node.control)})")
        if node.stop:
            parts.append("stop")
        parts.append(f": {avals_text(node.aval)}")
        line = " ".join(parts)
        if self.origins and node.origin is not None:
            file, number, function = node.origin
            line += f"  # {json.dumps(file, ensure_ascii=False)[1:-1]}:{number} in {function}"
        return line

    def attr(self, node: Node, key: str, value: Any) -> str:
        try:
            if node.op.name == "host_scalar" and key == "source":
                return f"python({self.value(float(value()))})"
            if node.op.name == "constant":
                return array_text(np.asarray(value))
            return self.value(value)
        except TypeError as error:
            raise GraphError(f"node {node.name!r} ({node.op.name}): attribute {key!r} {error}") from None

    def value(self, value: Any) -> str:
        if value is None or isinstance(value, bool):
            return str(value)
        if isinstance(value, (int, float)):
            return repr(value)
        if isinstance(value, str):
            return json.dumps(value, ensure_ascii=False)
        if isinstance(value, DType):
            return value.name
        if isinstance(value, Origin):
            return f"at({self.value(value.file)}, {value.line}, {self.value(value.function)})"
        if isinstance(value, tuple):
            return "(" + ", ".join(self.value(v) for v in value) + (",)" if len(value) == 1 else ")")
        if isinstance(value, Dim):
            return f"<{size_text(value)}>"
        if isinstance(value, np.ndarray):
            return array_text(value)
        if isinstance(value, AVal):
            return aval_text(value)
        if isinstance(value, Variable):
            return self.variables[id(value)]
        if isinstance(value, Graph):
            return self.graphs[id(value)]
        if isinstance(value, np.generic):
            return self.value(value.item())
        raise TypeError(f"is a {type(value).__name__}, which the text of a graph cannot hold")


def _names(nodes: tuple[Node, ...]) -> str:
    return ", ".join(f"%{word(n.name)}" for n in nodes)


def word(name: str) -> str:
    """A name as it is written: bare if it is a plain word, else quoted."""
    return name if _WORD.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def avals_text(aval: Any) -> str:
    """What a node gives: ``float32[2]``, ``(float32[2], int64[])`` for several results, ``()`` for none."""
    if aval is None:
        return "()"
    if isinstance(aval, AVal):
        return aval_text(aval)
    return "(" + ", ".join(aval_text(a) for a in aval) + (",)" if len(aval) == 1 else ")")


def aval_text(aval: AVal) -> str:
    return f"{aval.dtype}[{', '.join(size_text(s) for s in aval.shape)}]"


def size_text(size: Size) -> str:
    """A size as a sum of products; a quotient stands in parentheses: ``2*n+(m+1//3)`` is 2n + floor((m+1)/3)."""
    if not isinstance(size, Dim):
        return str(size)
    terms = []
    for atoms, factor in size.terms:
        factors = [_atom_text(a) for a in atoms]
        terms.append("*".join([str(factor), *factors] if factor != 1 or not factors else factors))
    return "+".join(terms).replace("+-", "-")


def _atom_text(atom: Any) -> str:
    if isinstance(atom, str):
        return atom if _WORD.fullmatch(atom) else json.dumps(atom, ensure_ascii=False)
    operator, dividend, divisor = atom
    return f"({size_text(dividend)}{operator}{size_text(divisor)})"


def array_text(array: np.ndarray[Any, Any]) -> str:
    """An array as ``dtype[shape](elements)``: numbers where that is exact and short, else base64."""
    dtype = as_dtype(array.dtype)
    head = aval_text(AVal(array.shape, dtype))
    if array.size == 0:
        return f"{head}()"
    flat = np.ascontiguousarray(array).reshape(-1)
    first = flat[:1]
    if array.size > 2 and flat.tobytes() == first.tobytes() * array.size and _exact(first):
        return f"{head}(splat {_number(first[0], dtype)})"
    if array.size <= INLINE_ELEMENTS and _exact(flat):
        return f"{head}({', '.join(_number(v, dtype) for v in flat)})"
    data = flat if sys.byteorder == "little" else flat.byteswap()
    return f'{head}("{base64.b64encode(data.tobytes()).decode()}")'


def _number(value: Any, dtype: DType) -> str:
    """The shortest text that gives the same number of this dtype."""
    if not dtype.is_float:
        return repr(value.item())
    short = str(value)
    return short if _FLOAT.fullmatch(short) and dtype.np.type(float(short)) == value else repr(float(value))


def _exact(flat: np.ndarray[Any, Any]) -> bool:
    """Whether ``nan`` says all of each NaN in it (its sign and payload are the usual ones)."""
    if not as_dtype(flat.dtype).is_float:
        return True
    nans = flat != flat
    return not nans.any() or flat[nans].tobytes() == flat.dtype.type(float("nan")).tobytes() * int(nans.sum())
