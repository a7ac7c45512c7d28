"""Dead code: nodes that no output, update or effect needs."""

from __future__ import annotations

from graphflow.ir.graph import Graph, Node, has_effect
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
    return node.op.name == "placeholder" or has_effect(node)
