"""The passes for loops: the structure of the graph after them, and the same values."""

from __future__ import annotations

from typing import Any

import numpy as np

import graphflow as gf
from graphflow.ir.graph import Graph, Node
from graphflow.passes import optimize
from graphflow.passes.functionalize import functionalize

RNG = np.random.default_rng(0)


def optimized(f: Any, *args: Any) -> Graph:
    graph = gf.trace(f, *(gf.TensorSpec(a.shape, gf.float64) for a in args))
    pure, _ = functionalize(graph.outputs, graph.inputs)
    made = optimize(pure)
    made.verify()
    gf.testing.check_parity(f, *args)
    return made


def scans(graph: Graph) -> list[Node]:
    return [n for n in graph.nodes if n.op.name == "scan"]


def ops_inside(node: Node) -> list[str]:
    return [n.op.name for n in node.attrs["body"].nodes if n.op.name != "placeholder"]


X, W, U, H = (RNG.normal(size=s) * 0.4 for s in ((6, 2, 3), (3, 4), (4, 4), (2, 4)))


def recurrence(x: Any, w: Any, u: Any, h: Any) -> Any:
    def body(h: Any, xt: Any) -> Any:
        h = gf.tanh(xt @ w + h @ (u * 2))
        return h, h

    return gf.scan(body, h, x)[1]


def test_products_of_slices_and_invariants_come_before_the_loop() -> None:
    graph = optimized(recurrence, X, W, U, H)
    (scan,) = scans(graph)
    assert sorted(ops_inside(scan)) == ["add", "matmul", "tanh"]
    whole = [n for n in graph.nodes if n.op.name == "matmul"]
    assert [n.aval.shape for n in whole] == [(12, 4)]


def test_gradients_of_weights_come_after_the_loop() -> None:
    def slopes(x: Any, w: Any, u: Any, h: Any) -> Any:
        return gf.gradients(recurrence(x, w, u, h), [x, w, u, h])

    graph = optimized(slopes, X, W, U, H)
    forward, backward = scans(graph)  # the extended scan stands for both
    assert ops_inside(forward).count("matmul") == 1 and ops_inside(backward).count("matmul") == 1
    shapes = sorted(n.aval.shape for n in graph.nodes if n.op.name == "matmul")
    assert shapes == [(3, 4), (4, 4), (12, 3), (12, 4)]
    assert forward.attrs["carries"] == backward.attrs["carries"] == 1


def test_sums_over_steps_are_reductions_of_the_whole() -> None:
    def f(x: Any, h: Any) -> Any:
        return gf.scan(
            lambda s, xt: ((s[0] + (xt * h[0, 0]).sum(axis=0), s[1] * 0.5 + xt[0]), None), (h[0, :3], h[1, :3]), x
        )[0]

    graph = optimized(f, X, H)
    (scan,) = scans(graph)
    assert scan.attrs["carries"] == 1 and "sum" not in ops_inside(scan)


def test_what_nothing_uses_goes() -> None:
    def f(x: Any, h: Any) -> Any:
        def body(s: Any, xt: Any) -> Any:
            kept, lost, same = s
            return (kept + xt.sum(), lost * 2 + kept, same), (xt * same, gf.exp(lost))

        return gf.scan(body, (h[0, 0], h[0, 1], h[1, 0]), x)[1][0]

    (scan,) = scans(optimized(f, X, H))
    assert scan.attrs["carries"] == 0
    assert ops_inside(scan) == ["multiply"]


def test_parts_side_by_side() -> None:
    def f(x: Any) -> Any:
        a, b, c = x[:, :1], x[:, 1:3], x[:, 3:]
        return gf.gradients((a * a).sum() + (b * b * b).sum() + gf.exp(c).sum(), x)

    graph = optimized(f, H)
    names = [n.op.name for n in graph.nodes]
    assert "concat" in names and "pad" not in names


def test_prints_keep_their_place(capsys: Any) -> None:
    def f(x: Any) -> Any:
        total = gf.scan(lambda s, xt: (gf.print(s + xt, "s"), None), x[0] * 0, x)[0]
        return gf.gradients(total.sum(), x)

    gf.compile(f)(gf.tensor([1.0, 2.0]))
    assert capsys.readouterr().out.split() in (["s:", "1.0", "s:", "3.0"], [])
