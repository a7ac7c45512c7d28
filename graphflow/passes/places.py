"""Parts that are padded with zeros and added up are laid side by side: the gradients of a value that was cut in parts.

``pad(x, (0, 2)) + pad(y, (1, 1)) + pad(z, (2, 0))`` is ``concat(x + 0, y + 0, z + 0)`` (``-0.0 + 0`` is ``0.0``).
"""

from __future__ import annotations

import numpy as np

from graphflow.ir.graph import Graph, Node
from graphflow.passes.edit import Edit


def run(graph: Graph, seen: set[Node]) -> bool:
    """Replace sums of pads that cover an axis between them."""
    if sum(n.op.name == "pad" for n in graph.nodes) < 2:
        return False
    users: dict[Node, list[Node]] = {}
    for node in graph.nodes:
        for i in node.inputs:
            users.setdefault(i, []).append(node)
    edit = Edit(graph)
    originals = iter(graph.nodes)
    for node in edit.walk():
        old = next(originals)
        if old.op.name != "add" or node in seen:
            continue
        if [u.op.name for u in users.get(old, ())] == ["add"] and old not in graph.outputs:
            continue  # part of a longer sum
        parts = _covering(_terms(node), node)
        if parts is None:
            continue
        axis, ordered = parts
        zero = edit.constant(np.zeros((), node.aval.dtype.np), node)
        plain = [edit.make("add", (p.inputs[0], zero), {}, node) for p in ordered]
        edit.replace(edit.make("concat", tuple(plain), {"axis": axis}, node))
    return edit.commit()


def _terms(node: Node) -> list[Node]:
    """What is added up."""
    found, stack = [], [node]
    while stack:
        at = stack.pop()
        if at.op.name == "add":
            stack.extend(at.inputs)
        else:
            found.append(at)
    return found


def _covering(terms: list[Node], whole: Node) -> tuple[int, list[Node]] | None:
    """The axis that the terms, all pads with zeros, cover between them without overlap, and their order along it."""
    if len(terms) < 2 or any(t.op.name != "pad" or t.aval != whole.aval for t in terms):
        return None
    if any(t.attrs["value"] != 0 or any(t.attrs["interior"]) for t in terms):
        return None
    padded = {
        a for t in terms for a, (low, high) in enumerate(zip(t.attrs["low"], t.attrs["high"])) if (low, high) != (0, 0)
    }
    if len(padded) != 1:
        return None
    (axis,) = padded
    lows = [t.attrs["low"][axis] for t in terms]
    if not all(type(low) is int for low in lows):
        return None
    ordered = [terms[i] for i in sorted(range(len(terms)), key=lambda i: lows[i])]
    end = 0
    for t in ordered:
        if t.attrs["low"][axis] != end:
            return None
        end = end + t.inputs[0].aval.shape[axis]
    return (axis, ordered) if end == whole.aval.shape[axis] else None
