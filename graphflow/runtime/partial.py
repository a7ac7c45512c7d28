"""Partial runs: one run of a graph that is fed and fetched in steps; nothing is computed twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.core.errors import FeedError, FetchError
from graphflow.core.tree import flatten
from graphflow.ir.graph import Graph, Node
from graphflow.ir.interpreter import Evaluation
from graphflow.runtime.build import RUN_LOCK
from graphflow.runtime.feeds import Feed, FeedSet, expand, node_of_key, unfed
from graphflow.runtime.fetches import Fetches
from graphflow.variable import Variable


class PartialRun:
    """The state of one partial run. It is a run like any other: reads see the variables as they were at its start."""

    def __init__(self, graph: Graph, fetches: Any, feeds: Sequence[Any]) -> None:
        self.graph = graph
        self.allowed = set(Fetches(graph, flatten(fetches)[0]).needed())
        self.feedable = [node_of_key(graph, key) for key in feeds]
        self.fed: dict[Node, Any] = {}
        self.fetched: set[Any] = set()
        # Taken now, since steps change the variables: nobody writes into an array that is shown.
        self.start = {v: v.numpy() for v in [*graph.variables(), *(n for n in self.allowed if isinstance(n, Variable))]}
        self.evaluation = Evaluation(self.start)

    def step(self, fetches: Any, feed_dict: Any) -> Any:
        """Feed some more, and fetch what can be computed now. Assignments that are reached take effect."""
        self._feed(feed_dict or {})
        wanted = Fetches(self.graph, fetches)
        needed = wanted.needed()
        for item in needed:
            if item not in self.allowed:
                raise FetchError(f"{item.name!r} was not among the fetches of partial_run_setup")
            if item in self.fetched:
                raise FetchError(f"{item.name!r} was fetched by an earlier step of this run")
        nodes = [n for n in needed if isinstance(n, Node)]
        for node in self.evaluation.needed(nodes):
            if node.op.name == "placeholder":
                if node in self.feedable:
                    raise FeedError(
                        f"{wanted.names()} needs {node.name!r}, which is to be fed by this or an earlier step"
                    )
                raise unfed(node)
        with RUN_LOCK:
            self.evaluation.run(nodes)
            self.evaluation.commit()
        self.fetched.update(needed)
        values = {id(n): self.evaluation.values[n] for n in nodes}
        values.update((id(v), self.start[v]) for v in needed if isinstance(v, Variable))
        return wanted.pack({k: None if v is None else np.array(v)[()] for k, v in values.items()})

    def _feed(self, feed_dict: Any) -> None:
        expanded, _ = expand(feed_dict)
        new = {node_of_key(self.graph, key): value for key, value in expanded.items()}
        for node in new:
            if node not in self.feedable:
                raise FeedError(f"{node.name!r} was not among the feeds of partial_run_setup")
            if node in self.fed:
                raise FeedError(f"{node.name!r} was fed by an earlier step of this run")
            if node in self.evaluation.values:
                raise FeedError(f"{node.name!r} was computed by an earlier step of this run; feed it before")
        arrays = {node: Feed(node).array(value) for node, value in new.items()}
        known = {**self.fed, **arrays}
        sizes = FeedSet(list(known), self.graph.assumptions).sizes([a.shape for a in known.values()])
        self.fed = known
        self.evaluation.feed(arrays, sizes)
