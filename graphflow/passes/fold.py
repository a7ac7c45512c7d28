"""Constant folding: ops on constants are computed now, by their references."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from graphflow.core.aval import AVal
from graphflow.core.dims import Dim
from graphflow.ir.graph import Graph, Node
from graphflow.passes.edit import Edit

GROWTH = 1024  # a folded value may have this many elements, or as many as its largest operand
WORK = 1 << 20  # elements of the operands of a node that is folded
_FOLDED_KINDS = ("map", "reduce", "view", "place", "gather", "contract", "library")


def run(graph: Graph, seen: set[Node]) -> bool:
    """Replace nodes whose operands are constants by constants, and sizes that are numbers by numbers.

    A broadcast of a constant is left as it is: it costs nothing, where its result would take memory. Folding changes no
    bit as long as the native op gives what the reference gives.
    """
    edit = Edit(graph)
    for node in edit.walk():
        value = folded(node)
        if value is not None:
            edit.replace(edit.constant(value, node))
    return edit.commit()


def folded(node: Node) -> Any:
    """The value of a node that constants determine, or None."""
    if node.op.name == "size_of":
        return None if isinstance(node.attrs["size"], Dim) else _fresh(node.op.ref(**node.attrs))
    if not node.inputs or node.op.kind not in _FOLDED_KINDS or node.op.name == "broadcast_to":
        return None
    operands = [constant_of(i) for i in node.inputs]
    if any(v is None for v in operands) or not isinstance(node.aval, AVal) or not node.aval.is_static:
        return None
    size = math.prod(node.aval.shape)
    stored = max((i if i.op.name == "constant" else i.inputs[0]).attrs["value"].size for i in node.inputs)
    if size > max(GROWTH, stored) or max(size, *(v.size for v in operands)) > WORK:
        return None
    try:
        return _fresh(node.op.ref(*operands, **node.attrs))
    except (ValueError, ArithmeticError, IndexError):
        return None  # it will raise when it runs, with the user's line


def _fresh(value: Any) -> np.ndarray[Any, Any]:
    return np.array(value, order="C")


def constant_of(node: Node) -> Any:
    """The value of a constant or of a constant's broadcast, else None."""
    if node.op.name == "constant":
        return node.attrs["value"]
    if node.op.name == "broadcast_to" and node.inputs[0].op.name == "constant" and node.aval.is_static:
        return np.broadcast_to(node.inputs[0].attrs["value"], node.aval.shape)
    return None
