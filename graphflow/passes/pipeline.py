"""The passes in their order, each with its reason, and ``optimize``, which runs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from graphflow.core import config
from graphflow.core.aval import AVal
from graphflow.core.collector import collector_paused
from graphflow.core.errors import VerifyError
from graphflow.ir.graph import Graph, Node
from graphflow.ir.verify import Verified, verify
from graphflow.passes import broadcast, cse, dce, flatten, fold, loops, places, unify
from graphflow.passes.algebra import ALGEBRA
from graphflow.passes.edit import Edit, copy_graph
from graphflow.passes.extended import merge
from graphflow.passes.stabilize import STABILIZE
from graphflow.passes.views import VIEWS

MAX_ROUNDS = 4  # each pass may open the way for another; two rounds do for nearly all graphs


class Pass(NamedTuple):
    """``run(graph, seen)`` changes the graph and says whether it did; nodes in ``seen`` it has looked at before."""

    name: str
    reason: str
    run: Callable[[Graph, set[Node]], bool]


PIPELINE: list[Pass] = [
    Pass("unify", "sizes assumed equal get one name, so that later passes see equal shapes as equal", unify.run),
    Pass("broadcast", "elementwise ops broadcast by themselves; constants become numbers", broadcast.run),
    Pass("fold", "what depends on constants only is computed once, now", fold.run),
    Pass("views", "chains of movement ops become one: patterns and kernels see through them", VIEWS.apply),
    Pass("algebra", "exact simplifications: fewer ops to fuse, one form for the patterns to come", ALGEBRA.apply),
    Pass("stabilize", "formulas that overflow or cancel become ones that do not", STABILIZE.apply),
    Pass("flatten", "what follows a linear layer walks the axes of its product, whose epilogue it can be", flatten.run),
    Pass("places", "parts that are padded and added up are laid side by side: nothing to add", places.run),
    Pass("loops", "what need not be done in every step of a loop is done once, before or after it", loops.run),
    Pass("cse", "equal values are computed once: gradients repeat parts of the forward pass", cse.run),
    Pass("dce", "what the rewrites left unused is dropped", dce.run),
]


def names() -> tuple[str, ...]:
    """The passes' names, in the order in which they run.

    >>> gf.passes.names()
    ('unify', 'broadcast', 'fold', 'views', 'algebra', 'stabilize', 'flatten', 'places', 'loops', 'cse', 'dce')
    """
    return tuple(p.name for p in PIPELINE)


def optimize(
    graph: Graph,
    passes: Sequence[str] | None = None,
    *,
    observe: Callable[[str, Graph], None] | None = None,
) -> Graph:
    """A new, finalized graph that computes the same with less work; the given one stays as it is.

    ``passes`` names the passes to run (None: all). ``gf.config(disabled_passes=...)`` switches some off,
    ``gf.config(optimize=False)`` all. Unless ``gf.config(verify=False)``, the graph is verified after each pass.
    ``observe(name, graph)`` is called after each pass that changed something. A graph without outputs is taken to be
    for the values that nothing uses. Gradients must have been taken before: ``stop_gradient`` goes. Raises ValueError
    for an unknown pass, VerifyError naming the pass that made a mistake.
    """
    chosen = _chosen(passes)
    with collector_paused():
        out, _ = copy_graph(graph)
        if not (out.outputs or out.updates):
            out.outputs = _unused(out)
        _run(chosen, out, observe)
    out.finalize()
    return out


def _run(chosen: list[Pass], graph: Graph, observe: Callable[[str, Graph], None] | None) -> None:
    if any(p.name == "loops" for p in chosen):
        merge(graph)  # before the bodies of both are optimised
    _run_nested(chosen, graph)
    seen: dict[str, set[Node]] = {p.name: set() for p in chosen}
    verified = Verified() if config.get("verify") else None
    for _ in range(MAX_ROUNDS):
        changed = False
        for each in chosen:
            if each.run(graph, seen[each.name]):
                changed = True
                if verified is not None:
                    _check(each, graph, verified)
                if observe is not None:
                    observe(each.name, graph)
        if not changed:
            return


def _run_nested(chosen: list[Pass], graph: Graph) -> None:
    """Optimise the branches and bodies of control ops (as deep as the user's code nests them).

    Their sizes keep their names, by which the graphs around them know them.
    """
    chosen = [p for p in chosen if p.name != "unify"]
    edit = Edit(graph)
    done: dict[Graph, Graph] = {}
    for node in edit.walk():
        nested = [v for v in node.attrs.values() if isinstance(v, Graph)]
        if not nested:
            continue
        for inner in nested:
            if inner not in done:
                done[inner] = copy_graph(inner)[0]
                _run(chosen, done[inner], None)
        node = edit.clone(node, node.inputs)
        node.attrs = {k: done[v] if isinstance(v, Graph) else v for k, v in node.attrs.items()}
        edit.nodes.append(node)
        edit.replace(node)
    edit.commit()


def _unused(graph: Graph) -> list[Node]:
    used = {i for n in graph.nodes for i in n.inputs}
    return [n for n in graph.nodes if n not in used and isinstance(n.aval, AVal) and n.op.kind != "effect"]


def _chosen(passes: Sequence[str] | None) -> list[Pass]:
    disabled = config.get("disabled_passes")
    for name in [*(passes or ()), *disabled]:
        if name not in names():
            raise ValueError(f"no pass {name!r}; there are: {', '.join(names())}")
    if not config.get("optimize"):
        return []
    return [p for p in PIPELINE if (passes is None or p.name in passes) and p.name not in disabled]


def _check(each: Pass, graph: Graph, verified: Verified) -> None:
    try:
        verify(graph, verified)
    except VerifyError as error:
        raise VerifyError(f"after pass {each.name!r}: {error}") from error
