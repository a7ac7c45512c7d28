"""Fetches: any nesting of tensors, operations, names and Variables as nodes to compute, and back again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from graphflow.core.errors import FetchError, FetchTypeError
from graphflow.core.tree import LEAF, flatten, unflatten
from graphflow.ir.graph import Graph, Node
from graphflow.tensor import Tensor
from graphflow.trace.tracing import Operation
from graphflow.variable import Variable

# How values of the user's own types are fetched: type -> function(fetch) -> (list of fetches, function(their values)).
CONVERSIONS: dict[type, Callable[[Any], tuple[list[Any], Callable[[list[Any]], Any]]]] = {}


class Converted:
    """A fetch of a registered type: how many leaves it has, and what to make of their values."""

    def __init__(self, parts: Fetches, contract: Callable[[list[Any]], Any]) -> None:
        self.parts = parts
        self.contract = contract


class Fetches:
    """What one run computes. ``leaves`` are nodes, Variables that the graph does not read, and converted fetches."""

    def __init__(self, graph: Graph, fetches: Any) -> None:
        items, self.tree = flatten(fetches, conversion_of)
        self.leaves = [_leaf(graph, item) for item in items]
        self.is_leaf = self.tree == LEAF
        self.is_flat_list = self.tree.kind is list and all(c.kind is None for c in self.tree.children)

    def needed(self) -> list[Any]:
        """The nodes and Variables, each once, in order."""
        found: dict[int, Any] = {}
        for leaf in self.leaves:
            for item in leaf.parts.needed() if isinstance(leaf, Converted) else [leaf]:
                found.setdefault(id(item), item)
        return list(found.values())

    def names(self) -> str:
        """The nodes' names, for messages."""
        return ", ".join(repr(n.name) for n in self.needed())

    def pack(self, values: dict[int, Any]) -> Any:
        """The nesting with values; ``values`` gives them by the id of node or Variable."""
        filled = [
            leaf.contract(leaf.parts.pack(values)) if isinstance(leaf, Converted) else values[id(leaf)]
            for leaf in self.leaves
        ]
        return unflatten(self.tree, filled)


def conversion_of(item: Any) -> Any:
    """The registered function that fetches such a value, if there is one."""
    return next((f for t, f in CONVERSIONS.items() if isinstance(item, t)), None)


def _leaf(graph: Graph, item: Any) -> Any:
    """The node (or Variable, or conversion) that a fetch stands for. Raises FetchError, FetchTypeError."""
    convert = conversion_of(item)
    if convert is not None:
        parts, contract = convert(item)
        return Converted(Fetches(graph, list(parts)), contract)
    if isinstance(item, str):
        return graph.find(item)
    if isinstance(item, Variable):
        return graph.recorder.reads.get(item, item)
    node: Any = item if isinstance(item, Node) else getattr(item, "_node", None)
    if isinstance(item, Tensor) and node is None:
        node = graph.recorder.constant_of(item)
        if node is None:
            raise FetchError(
                f"an eager tensor ({item.aval.describe()}) was fetched that graph {graph.name!r} never used; its value "
                "is .numpy(); to compute it at each run, make it inside `with graph:`"
            )
    if not isinstance(item, (Tensor, Operation, Node)):
        hint = " (an operation of eager code has run already and is None)" if item is None else ""
        raise FetchTypeError(
            "fetches are tensors, operations, names, Variables or nested lists, tuples and dicts of them; "
            f"got {item!r} of type {type(item).__name__}{hint}"
        )
    if node.graph is not graph:
        raise FetchError(
            f"{node.name!r} belongs to graph {node.graph.name!r}; this Session runs another graph, {graph.name!r}"
            + (" (graphs are told apart by identity, not by name)" if node.graph.name == graph.name else "")
        )
    return node


def value_nodes(needed: Sequence[Any]) -> list[Node]:
    """The nodes among what is needed that have a value."""
    return [n for n in needed if isinstance(n, Node) and n.aval is not None]
