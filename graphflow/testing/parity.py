"""check_parity: eager, recorded, optimized and compiled must give the same values and the same gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphflow.autograd import gradients
from graphflow.core.errors import at_line
from graphflow.ir.graph import Graph, Node
from graphflow.ir.interpreter import evaluate
from graphflow.ops.elementwise import needs_gradient
from graphflow.passes import optimize
from graphflow.passes.functionalize import functionalize
from graphflow.tensor import Tensor
from graphflow.testing.calls import Call, record, run_eager, state_restored
from graphflow.testing.compare import difference

Feeds = dict[Node, Any]


def check_parity(
    fn: Callable[..., Any],
    *args: Any,
    grad: bool = True,
    symbolic: bool = False,
    compiled: bool = True,
    tolerance: float | None = None,
) -> None:
    """Check that ``fn(*args)`` gives the same in every mode: results, and gradients of their weighed sum.

    The (nested) tensors and arrays among the arguments become the operands; gradients are taken in those that are
    floating-point and in the trainable variables that ``fn`` reads. Compared with the eager result are the recorded
    graph on the NumPy interpreter, the graph after each pass that changed it, and native code (if ``compiled``).
    ``symbolic`` records with symbolic leading sizes. Variables and the random stream are put back.

    Raises AssertionError naming the mode and, where it can be found, the first node that differs, with the line that
    made it. ``tolerance`` replaces the one of the dtype (see ``assert_close``).

    >>> import graphflow as gf
    >>> gf.testing.check_parity(lambda x: gf.softmax(x * 2).sum(axis=0), gf.ones((2, 3)))
    """
    call = Call(fn, args, numbers=False)
    graph, inputs, outputs = record(call.run, call.arrays, symbolic)
    function: Callable[[Sequence[Tensor]], list[Tensor]] = call.run
    if grad:
        function = _with_gradients(call, [v for v in graph.variables() if v.requires_grad])
        graph, inputs, outputs = record(function, call.arrays, symbolic)
    feeds = dict(zip(inputs, call.arrays, strict=True))
    with state_restored(graph.variables()):
        expected = run_eager(function, call.arrays)
    _agree("the recorded graph", evaluate(outputs, feeds, commit=False), expected, outputs, tolerance)

    pure, placeholders = functionalize(outputs, inputs)
    observe = _Observer(pure, call.arrays, expected, tolerance)
    optimized = optimize(pure, observe=observe)
    if compiled:
        _check_native(optimized, call.arrays, expected, tolerance, graph.variables())


def _with_gradients(call: Call, variables: Sequence[Any]) -> Callable[[Sequence[Tensor]], list[Tensor]]:
    """The function's results, followed by its gradients."""

    def function(tensors: Sequence[Tensor]) -> list[Tensor]:
        results = call.run(tensors)
        total: Any = None
        for number, out in enumerate(results):
            if out.dtype.is_float and needs_gradient(out):
                # Not all alike: sums of equal gradients would hide elements that changed places.
                weights = out.detach() * 0.25 + (1.0 + number)  # type: ignore[operator]
                term = (out * weights).sum()
                total = term if total is None else total + term.astype(total.dtype)
        if total is None:
            return results
        targets = [*(tensors[i] for i in call.floating), *variables]
        found = gradients(total, targets)
        return [*results, *(g for g in found if g is not None)]

    return function


def _agree(
    mode: str, values: Sequence[Any], expected: Sequence[Any], outputs: Sequence[Node], tolerance: float | None
) -> None:
    for number, (value, want, node) in enumerate(zip(values, expected, outputs, strict=True)):
        found = difference(value, want, tolerance)
        if found is not None:
            raise AssertionError(at_line(f"{mode}: result {number} ({node.name!r}): {found}", node.origin))


class _Observer:
    """Runs the graph after each pass, compares with the eager result and, to find the node, with the pass before."""

    def __init__(self, graph: Graph, arrays: Sequence[Any], expected: Sequence[Any], tolerance: float | None) -> None:
        self.arrays = arrays
        self.expected = expected
        self.tolerance = tolerance
        self.before = self._trace(graph)[1]

    def _trace(self, graph: Graph) -> tuple[list[Any], dict[str, Any]]:
        """The outputs and the value of every node by name."""
        seen: dict[str, Any] = {}
        feeds = dict(zip(graph.inputs, self.arrays, strict=True))
        values = evaluate(graph.outputs, feeds, commit=False, observe=lambda n, v: seen.__setitem__(n.name, v))
        return values, seen

    def __call__(self, name: str, graph: Graph) -> None:
        values, seen = self._trace(graph)
        try:
            _agree(f"after pass {name!r}", values, self.expected, graph.outputs, self.tolerance)
        except AssertionError as error:
            for node in graph.nodes:
                if node.name in self.before and isinstance(seen.get(node.name), np.ndarray):
                    found = difference(seen[node.name], self.before[node.name], self.tolerance)
                    if found is not None:
                        line = at_line(f"first node that differs from before the pass: {node!r}: {found}", node.origin)
                        raise AssertionError(f"{error}\n{line}") from None
            raise
        self.before = seen


def _check_native(
    graph: Graph, arrays: Sequence[Any], expected: Sequence[Any], tolerance: float | None, variables: Sequence[Any]
) -> None:
    with state_restored(variables):
        values = _run_native(graph, graph.outputs, arrays)
    try:
        _agree("native code", values, expected, graph.outputs, tolerance)
    except AssertionError as error:
        first = _first_wrong_node(graph, arrays, tolerance, variables)
        raise AssertionError(f"{error}\n{first}" if first else str(error)) from None


def _run_native(graph: Graph, fetches: Sequence[Node], arrays: Sequence[Any]) -> list[Any]:
    from graphflow.runtime.executor import make_executable

    pure, inputs = functionalize(fetches, graph.inputs)
    pure.updates = []
    return make_executable(pure, inputs).run([np.asarray(a, order="C") for a in arrays])


def _first_wrong_node(
    graph: Graph, arrays: Sequence[Any], tolerance: float | None, variables: Sequence[Any]
) -> str | None:
    """Compile up to each node in turn until one's native value is not the interpreter's."""
    feeds = dict(zip(graph.inputs, arrays, strict=True))
    for node in graph.nodes:
        if node.op.kind in ("source", "effect", "control") or node.aval is None or isinstance(node.aval, tuple):
            continue
        with state_restored(variables):
            (value,) = _run_native(graph, [node], arrays)
            (want,) = evaluate([node], feeds, commit=False)
        found = difference(value, want, tolerance)
        if found is not None:
            return at_line(f"first node that differs from its reference: {node!r}: {found}", node.origin)
    return None
