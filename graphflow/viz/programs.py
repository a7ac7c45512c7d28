"""What runs: an optimized graph, its kernels, and what a profile measured of them."""

from __future__ import annotations

from typing import Any, NamedTuple

from graphflow.ir.graph import Graph, Node
from graphflow.nn.module import Module
from graphflow.runtime.profiler import Measured, Profile
from graphflow.trace.compile import CompiledFunction
from graphflow.viz.summary import module_calls


class Shown(NamedTuple):
    """A graph, the label of the kernel that each node is (first) part of, and the kernels by their labels."""

    graph: Graph
    labels: dict[Node, str]
    kernels: dict[str, Any]
    measured: dict[str, Measured]


def program_of(source: Any, *inputs: Any) -> Shown:
    """Of a Graph, a compiled function (its newest trace), a Profile, or a Module with its inputs.

    Raises RuntimeError for a function that has not been called yet, TypeError for anything else.
    """
    if isinstance(source, Module):
        if not inputs:
            raise TypeError(f"the graph of a {type(source).__name__} needs its inputs, such as (None, 784)")
        return Shown(module_calls(source, inputs)[0], {}, {}, {})
    if isinstance(source, Graph):
        return Shown(source, {}, {}, {})
    if isinstance(source, CompiledFunction):
        return _of(source.newest().executable, [])
    if isinstance(source, Profile):
        return _of(source.executable, source.entries)
    raise TypeError(
        f"a gf.Graph, a Module, a function made by gf.compile, or a Profile can be shown, not a "
        f"{type(source).__name__}; gf.trace(fn, spec) makes a graph of a function"
    )


def _of(executable: Any, entries: list[Measured]) -> Shown:
    kernels = executable.program.kernels if hasattr(executable, "program") else ()
    by_label = {f"{number} {kernel.kind}": kernel for number, kernel in enumerate(kernels)}
    labels: dict[Node, str] = getattr(executable, "kernel_labels", dict)()
    return Shown(executable.graph, labels, by_label, {e.label: e for e in entries if e.label})
