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
from graphflow.ir.graph import Graph, Node, ancestors

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
    values: dict[Node, Any] = {}
    state: dict[Any, Array] = {}
    for node in needed_nodes(fetches, feeds):
        values[node] = _value(node, values, state, sizes, feeds)
        if observe is not None:
            observe(node, values[node])
    out = [_own(values[n]) for n in fetches]
    if commit:
        for variable, value in state.items():
            variable._store(np.array(value, order="C"))
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


def _value(node: Node, values: dict[Node, Any], state: dict[Any, Array], sizes: dict[str, int], feeds: Any) -> Any:
    if node in feeds:
        return feeds[node]
    name = node.op.name
    if name == "placeholder":
        raise FeedError(at_line(f"placeholder {node.name!r} ({node.aval.describe()}) was not fed", node.origin))
    if name == "variable_read":
        variable = node.attrs["variable"]
        return state.get(variable, variable._data) if node.attrs["when"] == "now" else variable._data
    if name == "initialize":
        state.update((v, np.array(v._initial)) for v in node.graph.variables() if v.resettable)
        return None
    args = [values[i] for i in node.inputs]
    if name == "variable_assign":
        state[node.attrs["variable"]] = args[0]
        return args[0]
    attrs = {k: concrete(v, sizes) for k, v in node.attrs.items()}
    if node.op.kind == "control":
        attrs["sizes"] = sizes
    try:
        value = node.op.ref(*args, **attrs)
    except (ValueError, IndexError, ArithmeticError) as error:
        raise type(error)(at_line(f"{node.op.name} ({node.name!r}): {error}", node.origin)) from error
    return value if isinstance(value, tuple) or value is None else np.asarray(value)


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
