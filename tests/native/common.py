"""Recording a function and running it natively beside the NumPy interpreter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from graphflow.core import dispatch
from graphflow.core.aval import AVal
from graphflow.core.dims import Dim
from graphflow.core.dtypes import as_dtype
from graphflow.ir.graph import Graph, Node
from graphflow.passes.functionalize import functionalize
from graphflow.runtime.executor import Interpreted, Native
from graphflow.trace.recorder import FunctionRecorder


def record(function: Callable[..., Any], arrays: list[Any], symbolic: bool = False) -> tuple[Graph, list[Node]]:
    """The function's pure graph, without passes; ``symbolic`` makes the arrays' common leading axis a size ``n``."""
    recorder = FunctionRecorder(Graph())
    with dispatch.recording(recorder):
        tensors = []
        for i, a in enumerate(arrays):
            shape = (Dim("n"), *a.shape[1:]) if symbolic and a.ndim else a.shape
            tensors.append(recorder.placeholder(AVal(shape, as_dtype(a.dtype)), f"x{i}"))
        out = function(*tensors)
    results = [t._node for t in (out if isinstance(out, tuple) else (out,))]
    assigns = [n for n in recorder.graph.nodes if n.op.name == "variable_assign"]
    graph, inputs = functionalize([*results, *assigns], [t._node for t in tensors])
    graph.outputs = graph.outputs[: len(results)]
    return graph, inputs


def native(function: Callable[..., Any], *arrays: Any, symbolic: bool = False, tolerance: float = 1e-5) -> Native:
    """Run natively, assert that it agrees with the interpreter, and give the executable."""
    graph, inputs = record(function, list(arrays), symbolic)
    executable = Native(graph, inputs)
    for have, want in zip(executable.run(arrays), Interpreted(graph, inputs).run(arrays), strict=True):
        assert have.dtype == want.dtype and have.shape == want.shape
        np.testing.assert_allclose(have, want, rtol=tolerance, atol=tolerance)
    return executable


def kinds(executable: Native) -> list[str]:
    return [k.kind for k in executable.program.kernels]
