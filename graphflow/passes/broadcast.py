"""Broadcasts: elementwise ops broadcast by themselves, and compute once what would be the same in all places.

``add(x, broadcast_to(b))`` is ``add(x, b)``, and ``exp(broadcast_to(b))`` is ``broadcast_to(exp(b))``. Constants with
the same number in all places become one number, which kernels hold in a register.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphflow.core.errors import DTypeError, ShapeError
from graphflow.ir.graph import Graph, Node
from graphflow.passes.edit import Edit

LOOKED_AT = 1 << 20  # larger constants are not searched for being uniform


def run(graph: Graph, seen: set[Node]) -> bool:
    """Take broadcasts out of the operands of elementwise ops."""
    edit = Edit(graph)
    for node in edit.walk():
        if node in seen:
            continue
        seen.add(node)
        if node.op.kind == "map":
            new = _shrunk(edit, node)
        elif node.op.name == "constant":
            new = _uniform(edit, node)
        else:
            continue
        if new is not None:
            edit.replace(new)
    return edit.commit()


def _shrunk(edit: Edit, node: Node) -> Node | None:
    """The op on operands that are not broadcast, its result broadcast if need be."""
    small = tuple([_source(i) for i in node.inputs])
    if small == node.inputs or "shape" in node.attrs:
        return None
    mark = len(edit.made)
    try:
        new = edit.make(node.op, small, node.attrs, node)
    except (ShapeError, DTypeError):  # sizes that only the assumptions of the graph make equal
        return None
    fitted = edit.fit(new, node)
    if fitted is None or (fitted is not new and all(s.aval == i.aval for s, i in zip(small, node.inputs))):
        edit.undo(mark)
        return None
    return fitted


def _source(node: Node) -> Node:
    """What a broadcast, or a reshape that only adds axes of size 1 in front, was made from."""
    while node.op.kind == "view" and node.op.name in ("broadcast_to", "reshape"):
        source = node.inputs[0]
        lead = len(node.aval.shape) - len(source.aval.shape)
        if node.op.name == "reshape" and (lead < 0 or node.aval.shape != (1,) * lead + source.aval.shape):
            break
        node = source
    return node


def _uniform(edit: Edit, node: Node) -> Node | None:
    value: np.ndarray[Any, Any] = node.attrs["value"]
    if value.ndim == 0 or not 0 < value.size <= LOOKED_AT:
        return None
    flat = np.ascontiguousarray(value).reshape(-1)
    if flat[:8].tobytes() != flat[:1].tobytes() * min(8, flat.size):  # a quick look first
        return None
    bits = flat.view(f"u{flat.dtype.itemsize}")
    if not (bits == bits[0]).all():
        return None
    return edit.make("broadcast_to", (edit.constant(flat[0:1].reshape(()).copy(), node),), {"shape": value.shape}, node)
