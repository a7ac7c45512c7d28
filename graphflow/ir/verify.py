"""The verifier: is a graph well-formed? It runs after each pass, and on every graph read from text."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphflow.core.aval import AVal
from graphflow.core.dims import Size, collecting_assumptions
from graphflow.core.errors import VerifyError, at_line
from graphflow.ir.graph import Graph, Node
from graphflow.ir.sizes import EqualSizes


def verify(graph: Graph, verified: Verified | None = None) -> None:
    """Raise VerifyError, naming node and line, if the graph or one nested in it is malformed.

    Checked are: order (operands come first), names (unique), abstract values (what the op's own rule gives is
    recorded), attributes (hashable, or arrays), outputs and updates. ``verified`` spares checking a node again where
    the same op met the same operands before.

    >>> graph = gf.Graph()
    >>> with graph:
    ...     y = gf.ones((2,)) + 1.0
    >>> graph.verify()
    """
    from graphflow.ir.text import nested_graphs

    for each in nested_graphs(graph):
        verifier = Verifier(each, verified)
        verifier.places()
        for node in each.nodes:
            verifier.node(node)
        verifier.ends()


class Verified:
    """What was found right before: nodes, and ops with the abstract values they met and gave."""

    def __init__(self) -> None:
        self.nodes: set[Node] = set()
        self._uses: dict[tuple[int, ...], Any] = {}

    def use(self, node: Node) -> bool:
        """Whether a node with the very same op, attributes and abstract values was noted; notes it if not."""
        parts = (node.op, node.attrs, node.aval, *[i.aval for i in node.inputs])
        key = tuple([id(p) for p in parts])
        return self._uses.setdefault(key, parts) is not parts  # keeping the parts keeps their ids from being reused


class Verifier:
    """Checks the nodes of one graph."""

    def __init__(self, graph: Graph, verified: Verified | None = None) -> None:
        self.graph = graph
        self.verified = verified
        self._sizes: EqualSizes | None = None
        self._assumed = len(graph.assumptions)

    def places(self) -> None:
        """Each node stands in the graph, under its own name, after what it uses."""
        graph, nodes, by_name = self.graph, self.graph.nodes, self.graph._by_name
        if len(by_name) != len(nodes):
            raise VerifyError(f"graph {graph.name!r} has {len(nodes)} nodes under {len(by_name)} names")
        for position, node in enumerate(nodes):
            if node.id != position or node.graph is not graph:
                says = f"{node.id} of {node.graph.name!r}"
                raise _malformed(node, f"is node {position} of {graph.name!r}, but says {says}")
            if by_name.get(node.name) is not node:
                raise _malformed(node, "its name stands for another node")
            for used in node.inputs:
                if used.id >= position or nodes[used.id] is not used:
                    raise _malformed(node, f"operand {used.name!r} does not come before it in the graph")
            for used in node.control:
                if used.id >= position or nodes[used.id] is not used:
                    raise _malformed(node, f"control dependency {used.name!r} does not come before it in the graph")

    def node(self, node: Node) -> None:
        """What is recorded is what the op's own rule gives for the operands."""
        if self.verified is not None:
            if node in self.verified.nodes:
                return
            self.verified.nodes.add(node)
            if self.verified.use(node):
                return
        for key, value in node.attrs.items():
            if not isinstance(value, np.ndarray):
                try:
                    hash(value)
                except TypeError:
                    raise _malformed(node, f"attribute {key!r} is not hashable: {value!r}") from None
        needed: list[tuple[Size, Size]] = []
        try:
            with collecting_assumptions(needed):
                inferred = node.op.infer(*[i.aval for i in node.inputs], **node.attrs)
        except Exception as error:
            raise _malformed(node, f"the op refuses its operands: {error}") from error
        for a, b in needed:
            if not self.sizes.same(a, b):
                raise _malformed(node, f"needs sizes {a} and {b} to be equal, which the graph does not assume")
        if inferred != node.aval and not self._same(inferred, node.aval):
            raise _malformed(node, f"is recorded as {node.aval!r}, but the op's rule gives {inferred!r}")

    def ends(self) -> None:
        """Outputs and updates are nodes of the graph; an update fits its variable."""
        nodes = self.graph.nodes
        for node in self.graph.outputs:
            if node.id >= len(nodes) or nodes[node.id] is not node:
                raise _malformed(node, f"is an output of graph {self.graph.name!r}, but not in it")
        updated: set[int] = set()
        for variable, node in self.graph.updates:
            if node.id >= len(nodes) or nodes[node.id] is not node:
                raise _malformed(node, f"updates variable {variable.name!r}, but is not in graph {self.graph.name!r}")
            if id(variable) in updated:
                raise VerifyError(f"variable {variable.name!r} is updated twice")
            updated.add(id(variable))
            if not self._same(node.aval, AVal(variable.shape, variable.dtype)):
                raise _malformed(
                    node, f"is {node.aval!r}, but updates {variable.name!r}: {AVal(variable.shape, variable.dtype)!r}"
                )

    @property
    def sizes(self) -> EqualSizes:
        if self._sizes is None or self._assumed != len(self.graph.assumptions):
            self._sizes, self._assumed = EqualSizes(self.graph.assumptions), len(self.graph.assumptions)
        return self._sizes

    def _same(self, a: Any, b: Any) -> bool:
        """Equal abstract values, where sizes may be equal by assumption."""
        if isinstance(a, tuple) and isinstance(b, tuple):
            return len(a) == len(b) and all(self._same(x, y) for x, y in zip(a, b))
        if isinstance(a, AVal) and isinstance(b, AVal):
            return a.dtype is b.dtype and self.sizes.same_shape(a, b)
        return a is None and b is None


def _malformed(node: Node, what: str) -> VerifyError:
    operands = ", ".join(f"%{i.name}" for i in node.inputs)
    return VerifyError(at_line(f"%{node.name} = {node.op.name}({operands}): {what}", node.origin))
