"""Common subexpressions: of equal pure nodes on equal operands the first is enough."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphflow.ir.graph import Graph, Node
from graphflow.passes.dce import is_rooted
from graphflow.passes.edit import Edit

COMPARED_BYTES = 4096  # larger constants are the same if they are the same array


def run(graph: Graph, seen: set[Node]) -> bool:
    """Merge equal nodes.

    Random bits depend on their operands (seed and counter), so equal draws are equal nodes. Reads of a variable are
    equal if no assignment can come between them.
    """
    edit = Edit(graph)
    assigned = any(n.op.name == "variable_assign" for n in graph.nodes)
    first: dict[Any, Node] = {}
    for node in edit.walk():
        if is_rooted(node) or (assigned and node.attrs.get("when") == "now"):
            continue
        have = first.setdefault(_key(node), node)
        if have is not node:
            edit.replace(have)
    return edit.commit()


def _key(node: Node) -> Any:
    inputs = node.inputs
    if node.op.commutative and id(inputs[0]) > id(inputs[1]):
        inputs = (inputs[1], inputs[0])
    if not node.attrs:
        return (node.op, inputs, node.control)
    attrs = tuple([(k, _attr_key(v)) for k, v in node.attrs.items()])
    return (node.op, inputs, node.control, attrs)


def _attr_key(value: Any) -> Any:
    """Equal for equal values. The type counts: 1, 1.0 and True are equal in Python, and so are 0.0 and -0.0."""
    if type(value) is tuple:
        return tuple([_attr_key(v) for v in value])
    if isinstance(value, np.ndarray):
        if value.nbytes > COMPARED_BYTES:
            return id(value)
        return (value.dtype.str, value.dtype.name, value.shape, value.tobytes())
    return (float.hex(value), float) if type(value) is float else (value, type(value))
