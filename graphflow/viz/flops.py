"""How much arithmetic a graph does: the usual count of floating-point operations."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from graphflow.core.aval import AVal
from graphflow.core.dims import Dim, Size, evaluate, product
from graphflow.ir.graph import Graph, Node

_FREE = {"cast", "iota", "size_of", "host_scalar"}  # maps without arithmetic


def count(nodes: Iterable[Node]) -> Size:
    """Floating-point operations of nodes: 2 for each multiply-add, 1 for each element of an elementwise op or sum.

    The count is a number, or a polynomial in the symbolic sizes. Moving data is free; the body of a loop counts once
    for each step where the number of steps is known.

    >>> graph = gf.trace(lambda x, w: gf.relu(x @ w), gf.TensorSpec((None, 8)), gf.TensorSpec((8, 4)))
    >>> from graphflow.viz.flops import count
    >>> count(graph.nodes)
    68*x.0
    """
    total: Size = 0
    for node in nodes:
        total = total + of_node(node)
    return total


def of_node(node: Node) -> Size:
    """Floating-point operations of one node."""
    kind, aval = node.op.kind, node.aval
    if node.op.name in ("attention", "attention_gradient"):
        return _attention(*(i.aval for i in node.inputs[:3]), products=2 if node.op.name == "attention" else 5)
    if kind == "control":
        graphs = [count(g.nodes) for g in node.attrs.values() if isinstance(g, Graph)]
        return sum(graphs, 0) * _trips(node)
    if not isinstance(aval, AVal) or not aval.dtype.is_float:
        return 0
    if node.op.name == "matmul":
        return 2 * aval.size * node.inputs[0].aval.shape[-1]
    if node.op.name == "conv":
        return 2 * aval.size * product(node.inputs[1].aval.shape[2:])
    if kind == "reduce":
        return node.inputs[0].aval.size
    if kind == "library":
        return aval.size
    return aval.size if kind == "map" and node.op.name not in _FREE else 0


def _attention(q: AVal, k: AVal, v: AVal, *, products: int) -> Size:
    """The products of scores, softmax included: two of them forward (q k, p v), five in the gradient."""
    pairs = product(q.shape[:-1]) * k.shape[-2]
    values = 2 if products == 5 else 1  # products with v or with the result's gradient
    return pairs * (2 * (products - values) * q.shape[-1] + 2 * values * v.shape[-1] + 5)


def _trips(node: Node) -> Size:
    """How often a loop's body runs: its length, if that is known before it runs."""
    length = node.attrs.get("length", 1)
    return length if isinstance(length, (int, Dim)) else 1


def number(size: Size, open_sizes: int = 1) -> int:
    """A size with each symbolic dimension taken as ``open_sizes``."""
    return evaluate(size, dict.fromkeys(size.names(), open_sizes)) if isinstance(size, Dim) else size


def nbytes(aval: Any, open_sizes: int = 1) -> int:
    """Bytes of a value, or of several."""
    if isinstance(aval, tuple):
        return sum(nbytes(a, open_sizes) for a in aval)
    return math.prod(number(s, open_sizes) for s in aval.shape) * aval.dtype.itemsize if aval is not None else 0
