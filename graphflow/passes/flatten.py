"""Flatten: elementwise ops between matrix products run on the products' own two axes.

A linear layer on (batch, time, features) multiplies the matrix (batch * time, features) and reshapes the result. An
elementwise op on the reshaped result walks other axes than the product does, so it cannot be the product's epilogue.
This pass takes such ops, and the reductions over all leading axes that follow them, before the reshape:
``add(reshape(p), b)`` is ``reshape(add(p, b))``.
"""

from __future__ import annotations

from collections import defaultdict

from graphflow.core.dims import Dim, Shape, product
from graphflow.ir.graph import Graph, Node
from graphflow.passes.edit import Edit


def run(graph: Graph, seen: set[Node]) -> bool:
    """Move reshapes behind regions of elementwise ops where that leaves no more values to store than before."""
    flat = _worthwhile(graph, _candidates(graph))
    if not flat:
        return False
    edit = Edit(graph)
    originals = iter(graph.nodes)
    for node in edit.walk():
        target = flat.get(next(originals))
        if target is None:
            continue
        if node.op.kind == "reduce":
            edit.replace(edit.make(node.op, (node.inputs[0].inputs[0],), {**node.attrs, "axes": (0,)}, node))
            continue
        operands = tuple([_flat_operand(edit, i, node, target) for i in node.inputs])
        inner = edit.make(node.op, operands, node.attrs, node)
        edit.replace(edit.make("reshape", (inner,), {"shape": node.aval.shape}, node))
    return edit.commit()


def _flat_operand(edit: Edit, operand: Node, node: Node, target: Shape) -> Node:
    if operand.op.name == "reshape" and operand.inputs[0].aval.shape == target:
        return operand.inputs[0]
    shape = operand.aval.shape
    if shape == node.aval.shape:
        return edit.make("reshape", (operand,), {"shape": target}, node)
    while len(shape) > len(target) or (len(shape) == len(target) and not _is_one(shape[0])):
        shape = shape[1:]
    return operand if shape == operand.aval.shape else edit.make("reshape", (operand,), {"shape": shape}, node)


def _candidates(graph: Graph) -> dict[Node, Shape]:
    """Nodes that could run on two axes, and these axes: they have an operand that does, and others that can be had."""
    found: dict[Node, Shape] = {}
    for node in graph.nodes:
        if node.op.kind == "map" and not node.op.indexed and "shape" not in node.attrs and len(node.aval.shape) > 2:
            target = _flattened(node.aval.shape)
            same = [i for i in node.inputs if i.aval.shape == node.aval.shape]
            flat = [i for i in same if i in found or _is_flat(i, target)]
            direct = any(i not in found for i in flat)  # then others of the same shape may be reshaped, too
            others = [i for i in node.inputs if i not in flat and not (direct and i in same)]
            if flat and all(_broadcasts_last(i, node) for i in others):
                found[node] = target
        elif node.op.kind == "reduce":
            source = node.inputs[0]
            leading = tuple(range(len(source.aval.shape) - 1))
            if len(leading) > 1 and tuple(node.attrs["axes"]) == leading:
                if source in found or _is_flat(source, _flattened(source.aval.shape)):
                    found[node] = _flattened(source.aval.shape)
    return found


def _worthwhile(graph: Graph, flat: dict[Node, Shape]) -> dict[Node, Shape]:
    """Those regions of candidates whose results are no more values than the products that go into them."""
    region: dict[Node, Node] = {}

    def root(node: Node) -> Node:
        while region.setdefault(node, node) is not node:
            region[node] = region[region[node]]
            node = region[node]
        return node

    users: dict[Node, list[Node]] = defaultdict(list)
    for node in graph.nodes:
        for i in node.inputs:
            users[i].append(node)
    outside = {*graph.outputs, *(n for _, n in graph.updates)}
    sources: set[Node] = set()
    for node, target in flat.items():
        for i in node.inputs:
            if i in flat:
                region[root(i)] = root(node)
            elif _is_flat(i, target):
                sources.add(i.inputs[0])
                region[root(i.inputs[0])] = root(node)
    balance: dict[Node, int] = defaultdict(int)
    for source in sources:
        uses = [u for user in users[source] for u in (users[user] if user.op.name == "reshape" else [user])]
        balance[root(source)] += source.op.kind == "contract" and all(u in flat for u in uses)
    for node, target in flat.items():
        if node.op.kind == "reduce":
            continue
        stays = [u in flat or (u.op.name == "reshape" and u.aval.shape == target) for u in users[node]]
        balance[root(node)] -= node in outside or not all(stays)
    return {node: target for node, target in flat.items() if balance[root(node)] >= 0}


def _flattened(shape: Shape) -> Shape:
    return (product(shape[:-1]), shape[-1])


def _is_flat(node: Node, target: Shape) -> bool:
    """Whether it is a reshaped matrix (one that is computed) of these two axes."""
    if node.op.name != "reshape":
        return False
    source = node.inputs[0]
    return source.aval.shape == target and source.op.kind in ("contract", "map")


def _broadcasts_last(operand: Node, node: Node) -> bool:
    """Whether an operand is the same for all leading indices."""
    shape = operand.aval.shape
    return shape != node.aval.shape and all(_is_one(s) for s in shape[:-1])


def _is_one(size: object) -> bool:
    return not isinstance(size, Dim) and size == 1
