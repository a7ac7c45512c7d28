"""Dead code: nodes that no output, update or effect needs."""

from __future__ import annotations

from graphflow.ir.graph import Graph, Node
from graphflow.passes.edit import set_nodes


def run(graph: Graph, seen: set[Node]) -> bool:
    """Drop what is not needed. Effects stay, and so do placeholders: they are the parameters of the program."""
    needed: set[Node] = {*graph.outputs, *(n for _, n in graph.updates)}
    for node in reversed(graph.nodes):  # operands come before their users, so one walk backwards reaches everything
        if node in needed or is_rooted(node):
            needed.add(node)
            needed.update(node.inputs)
            needed.update(node.control)
    if len(needed) == len(graph.nodes):
        return False
    set_nodes(graph, [n for n in graph.nodes if n in needed], {})
    return True


def is_rooted(node: Node) -> bool:
    """Whether a node stays although nothing uses it."""
    if node.op.kind == "effect" or node.op.name == "placeholder":
        return True
    return node.op.kind == "control" and any(
        isinstance(inner, Graph) and (inner.updates or any(is_rooted(n) for n in inner.nodes if n.op.kind != "source"))
        for inner in node.attrs.values()
    )
