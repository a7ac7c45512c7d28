"""The NumPy interpreter: runs a graph node by node with the ops' references. It defines what graphs mean.

Slow and simple on purpose: passes and native kernels are tested against it, and unoptimised Sessions run on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from graphflow.core.dims import Dim, bind_sizes, concrete
from graphflow.core.dims import evaluate as evaluate_size
from graphflow.core.errors import FeedError, GraphError, ShapeError, at_line
from graphflow.ir.graph import Graph, Node, ancestors, has_effect

Array = Any


def evaluate(
    fetches: Sequence[Node],
    feeds: Mapping[Node, Array] | None = None,
    *,
    commit: bool = True,
    observe: Any = None,
) -> list[Array | None]:
    """The values of ``fetches`` (None for nodes without a value).

    ``feeds`` gives arrays for placeholders or any other node. Assignments that the fetches need are carried out in
    program order; variables change only after everything succeeded, and not at all with ``commit=False``.
    ``observe(node, value)`` is called for each node computed.
    """
    feeds = feeds or {}
    sizes = sizes_of_feeds(feeds)
    check_assumptions(fetches[0].graph if fetches else None, sizes)
    evaluation = Evaluation()
    evaluation.feed(feeds, sizes)
    evaluation.run(fetches, observe)
    out = [_own(evaluation.values[n]) for n in fetches]
    if commit:
        evaluation.commit()
    return out


def _own(value: Any) -> Any:
    return None if value is None else np.array(value)


def needed_nodes(fetches: Sequence[Node], feeds: Mapping[Node, Any]) -> list[Node]:
    """What must be computed for the fetches when some nodes are fed, in program order."""
    seen: set[Node] = set()
    stack = list(fetches)
    found = []
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        found.append(node)
        if node not in feeds:
            stack.extend(node.inputs)
            stack.extend(node.control)
    found.sort(key=lambda n: n.id)
    return found


class Evaluation:
    """The values of one run so far. ``start`` gives the variables' values at its start, if they are not today's."""

    def __init__(self, start: Mapping[Any, Array] | None = None) -> None:
        self.values: dict[Node, Any] = {}
        self.fed: set[Node] = set()
        self.state: dict[Any, Array] = {}
        self.sizes: dict[str, int] = {}
        self._start = start or {}
        self._changed: dict[Any, None] = {}

    def feed(self, feeds: Mapping[Node, Array], sizes: Mapping[str, int]) -> None:
        """Take arrays as the values of nodes."""
        self.fed.update(feeds)
        self.values.update(feeds)
        self.sizes.update(sizes)

    def needed(self, fetches: Sequence[Node]) -> list[Node]:
        """What remains to be computed for the fetches, in program order."""
        return [n for n in needed_nodes(fetches, self.values) if n not in self.values]

    def run(self, fetches: Sequence[Node], observe: Any = None) -> None:
        """Compute the fetches, and what they need."""
        for node in self.needed(fetches):
            self.values[node] = self._value(node)
            if observe is not None:
                observe(node, self.values[node])

    def commit(self) -> None:
        """Let the assignments since the last commit take effect."""
        for variable in self._changed:
            variable._store(np.array(self.state[variable], order="C"))
        self._changed.clear()

    def _assign(self, variable: Any, value: Array) -> None:
        self.state[variable] = value
        self._changed[variable] = None

    def _value(self, node: Node) -> Any:
        name = node.op.name
        if name == "placeholder":
            raise FeedError(at_line(f"placeholder {node.name!r} ({node.aval.describe()}) was not fed", node.origin))
        if name == "variable_read":
            variable = node.attrs["variable"]
            if node.attrs["when"] == "now" and variable in self.state:
                return self.state[variable]
            return self._start.get(variable, variable._data)
        if name == "initialize":
            for variable in node.graph.variables():
                if variable.resettable:
                    self._assign(variable, variable.initial_value())
            return None
        args = [self.values[i] for i in node.inputs]
        if name == "variable_assign":
            self._assign(node.attrs["variable"], args[0])
            return args[0]
        attrs = {k: concrete(v, self.sizes) for k, v in node.attrs.items()}
        if node.op.kind == "control" and name != "tuple_get":
            attrs["sizes"] = self.sizes
        try:
            value = node.op.ref(*args, **attrs)
        except (ValueError, IndexError, ArithmeticError) as error:
            raise type(error)(at_line(f"{node.op.name} ({node.name!r}): {error}", node.origin)) from error
        return value if isinstance(value, tuple) or value is None else np.asarray(value)


def run_nested(graph: Graph, operands: Sequence[Array], sizes: Mapping[str, int]) -> tuple[Array, ...]:
    """The outputs of a nested graph (a branch), whose prints and checks happen, too."""
    evaluation = Evaluation()
    evaluation.feed(dict(zip(graph.inputs, operands)), sizes)
    evaluation.run([*graph.outputs, *(n for n in graph.nodes if has_effect(n))])
    return tuple(evaluation.values[n] for n in graph.outputs)


def sizes_of_feeds(feeds: Mapping[Node, Array]) -> dict[str, int]:
    """The symbolic sizes that fed arrays determine. Raises FeedError where an array does not fit its node."""
    sizes: dict[str, int] = {}
    for node, array in feeds.items():
        if not bind_sizes(node.aval.shape, array.shape, sizes):
            raise FeedError(
                at_line(f"{node.name!r} is {node.aval.describe()}; it cannot be fed shape {array.shape}", node.origin)
            )
    return sizes


def check_assumptions(graph: Graph | None, sizes: dict[str, int]) -> None:
    """Raise ShapeError if sizes that the graph was built to be equal differ in the data."""
    for a, b in graph.assumptions if graph is not None else ():
        names = set().union(*(d.names() for d in (a, b) if isinstance(d, Dim)))
        if names <= sizes.keys() and evaluate_size(a, sizes) != evaluate_size(b, sizes):
            raise ShapeError(
                f"sizes {a} = {evaluate_size(a, sizes)} and {b} = {evaluate_size(b, sizes)} must be equal in this graph"
            )


def evaluate_constant(node: Node) -> Array:
    """The value of a node that depends on nothing fed (initial values of variables), state effects included."""
    for n in ancestors([node]):
        if n.op.name == "placeholder":
            raise GraphError(at_line(f"an initial value cannot depend on placeholder {n.name!r}", node.origin))
    return evaluate([node])[0]
