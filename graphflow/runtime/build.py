"""From nodes to an executable: functionalise, optimise, compile. Sessions and compiled functions come through here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.core import locks
from graphflow.core.collector import collector_paused
from graphflow.core.dims import Dim
from graphflow.core.errors import FeedError, at_line
from graphflow.ir.graph import Graph, Node, nested
from graphflow.passes.functionalize import functionalize
from graphflow.passes.pipeline import optimize as run_passes
from graphflow.runtime.executor import Executable, make_executable
from graphflow.runtime.recall import recalled

# Programs run one at a time: they share the variables and the threads. Reentrant, since prints and learning rates are
# Python code that may run something else.
RUN_LOCK = locks.rlock()


def build(
    fetches: Sequence[Node],
    feeds: Sequence[Node],
    effects: Sequence[Node] = (),
    *,
    optimize: bool = True,
    num_threads: int | None = None,
) -> Executable:
    """An executable that takes arrays for ``feeds``, gives those of ``fetches`` and does ``effects``.

    With ``optimize=False`` the graph runs as it was built, on the NumPy interpreter. Raises FeedError if the feeds do
    not tell all the symbolic sizes that are needed.
    """
    with collector_paused():
        return _build(*functionalize(fetches, feeds, effects), optimize, num_threads)


def _build(graph: Graph, inputs: Sequence[Node], optimize: bool, num_threads: int | None) -> Executable:
    _check_sizes(graph, inputs)
    if not optimize:
        return make_executable(graph, inputs, native=False)

    def make() -> Executable:
        optimized = run_passes(graph)
        native = not any(n.op.kind == "control" and _needs_python(n) for n in optimized.nodes)
        return make_executable(
            optimized, [optimized.find(n.name) for n in inputs], native=native, num_threads=num_threads
        )

    return recalled(graph, inputs, num_threads, make)


def _needs_python(node: Node) -> bool:
    """Whether something in a loop or a branch runs in Python, a print or the user's function: natively it cannot."""
    return any(n.op.kind == "effect" or (n.op.kind == "custom" and n.op.emit is None) for n in nested(node))


def _check_sizes(graph: Graph, inputs: Sequence[Node]) -> None:
    told = {line[0] for n in inputs for s in n.aval.shape if isinstance(s, Dim) and (line := s.as_line()) is not None}
    for node in graph.nodes:
        sizes: list[Any] = list(node.aval.shape) if hasattr(node.aval, "shape") else []
        missing = {name for s in [*sizes, node.attrs.get("size")] if isinstance(s, Dim) for name in s.names()} - told
        if missing:
            raise FeedError(
                at_line(
                    f"{node.name!r} needs the size {min(missing)}, which what is fed does not tell; feed the "
                    "placeholder that it belongs to, too",
                    node.origin,
                )
            )
