"""How passes change a graph: in one sweep over its nodes, each is kept, brought up to date or replaced."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from graphflow.core.dims import broadcast_shapes
from graphflow.core.errors import AxisError, DTypeError, ShapeError
from graphflow.core.op import OPS, Op
from graphflow.ir.graph import Graph, Node
from graphflow.ir.sizes import EqualSizes


class Edit:
    """The next version of a graph in the making.

    Nodes are immutable, so a node whose operands changed is made anew, and nodes that nothing touched stay the same
    objects: passes and the verifier need not look at them again. The graph is changed by ``commit``.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[Node] = []
        self.made: list[Node] = []  # the new nodes among them
        self.instead: dict[Node, Node] = {}  # old nodes, and what stands for them now
        self.assumed = list(graph.assumptions)  # with those that the new nodes need
        self._replacement: Node | None = None

    def walk(self) -> Iterator[Node]:
        """The nodes in program order, each on today's operands; ``replace`` replaces the one that came last."""
        instead, keep = self.instead, self.nodes.append
        for old in self.graph.nodes:
            node = old
            if instead and (not instead.keys().isdisjoint(old.inputs) or not instead.keys().isdisjoint(old.control)):
                node = self.clone(old, tuple([instead.get(i, i) for i in old.inputs]))
                node.control = tuple([instead.get(c, c) for c in old.control])
            self._replacement = None
            yield node
            if self._replacement is None:
                keep(node)
            else:
                node = self._replacement
            if node is not old:
                instead[old] = node

    def replace(self, new: Node) -> None:
        """``new``, which is in the new graph already, stands for the node that ``walk`` gave last."""
        self._replacement = new

    # -- new nodes --------------------------------------------------------------------------------------------------
    def clone(self, node: Node, inputs: tuple[Node, ...]) -> Node:
        """The same op under the same name on other operands of the same abstract values."""
        return Node(self.graph, node.op, inputs, node.attrs, node.aval, node.name, node.origin, node.control, node.stop)

    def make(self, op: str | Op, inputs: tuple[Any, ...], attrs: dict[str, Any], like: Node) -> Node:
        """A new node with the origin of ``like``. Numbers among the operands become constants of their dtype.

        Raises the op's ShapeError or DTypeError if it cannot take these operands.
        """
        record = OPS[op] if isinstance(op, str) else op
        if not all(isinstance(i, Node) for i in inputs):
            dtype = next((i for i in inputs if isinstance(i, Node)), like).aval.dtype
            inputs = tuple(i if isinstance(i, Node) else self.constant(np.asarray(i, dtype.np), like) for i in inputs)
        aval = record.infer(*[i.aval for i in inputs], **attrs)
        name = self.graph._unique(record.name)
        node = Node(self.graph, record, inputs, attrs, aval, name, like.origin, (), like.stop)
        self.nodes.append(node)
        self.made.append(node)
        return node

    def undo(self, made: int) -> None:
        """Take back the nodes made after the first ``made``."""
        del self.nodes[len(self.nodes) - len(self.made) + made :]
        del self.made[made:]

    def prune(self, made: int, root: Node) -> None:
        """Of the nodes made after the first ``made``, take back those that ``root`` does not need."""
        fresh, needed = self.made[made:], {root}
        for node in reversed(fresh):
            if node in needed:
                needed.update(node.inputs)
        self.undo(made)
        fresh = [n for n in fresh if n in needed]
        self.nodes += fresh
        self.made += fresh

    def assumptions_hold(self) -> bool:
        """Whether the graph's assumptions make the sizes equal that the new nodes take for equal."""
        given = self.graph.assumptions
        needed = self.assumed[len(given) :]
        if not needed:
            return True
        del self.assumed[len(given) :]
        sizes = EqualSizes(given)
        return all(sizes.same(a, b) for a, b in needed)

    def inherit_name(self, new: Node, old: Node) -> None:
        """Call a new node as the one it stands for, if that had a name of its own (not just its op's)."""
        if not old.name.startswith(old.op.name):
            new.name = old.name

    def constant(self, value: np.ndarray[Any, Any], like: Node) -> Node:
        value.flags.writeable = False
        return self.make(OPS["constant"], (), {"value": value}, like)

    def fit(self, new: Node, old: Node) -> Node | None:
        """``new`` broadcast to the shape of ``old`` where needed; None if it cannot stand for it."""
        if new.aval == old.aval:
            return new
        if not isinstance(new.aval, type(old.aval)) or new.aval is None or isinstance(new.aval, tuple):
            return None
        if new.aval.dtype is not old.aval.dtype or len(new.aval.shape) > len(old.aval.shape):
            return None
        try:
            if broadcast_shapes(new.aval.shape, old.aval.shape) != old.aval.shape:
                return None
            return self.make("broadcast_to", (new,), {"shape": old.aval.shape}, old)
        except (ShapeError, DTypeError, AxisError):
            return None

    # -- the end ----------------------------------------------------------------------------------------------------
    def commit(self) -> bool:
        """Make it the graph's content; gives whether anything changed."""
        if self.instead:
            set_nodes(self.graph, self.nodes, self.instead)
        return bool(self.instead)


def set_nodes(graph: Graph, nodes: list[Node], instead: dict[Node, Node]) -> None:
    """Give a graph other nodes; ``instead`` says which stand for its outputs and updates."""
    graph.nodes = nodes
    for position, node in enumerate(nodes):
        node.id = position
    graph._by_name = {n.name: n for n in nodes}
    graph.outputs = [instead.get(n, n) for n in graph.outputs]
    graph.updates = [(v, instead.get(n, n)) for v, n in graph.updates]


def copy_graph(graph: Graph) -> tuple[Graph, dict[Node, Node]]:
    """A copy that passes may change, and its node for each node of the original."""
    out = Graph(graph.name)
    out.assumptions = list(graph.assumptions)
    out.created = list(graph.created)
    out._names = dict(graph._names)
    copies: dict[Node, Node] = {}
    for n in graph.nodes:
        inputs = tuple([copies[i] for i in n.inputs])
        control = tuple([copies[c] for c in n.control]) if n.control else ()
        copies[n] = Node(out, n.op, inputs, n.attrs, n.aval, n.name, n.origin, control, n.stop)
    out.outputs, out.updates = list(graph.outputs), list(graph.updates)
    set_nodes(out, list(copies.values()), copies)
    return out, copies
