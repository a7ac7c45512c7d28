"""Fused calls with loops in them keep what their gradient needs of each step.

The gradient of a fused call computes its forward part again, which costs next to nothing for elementwise functions, and
half as much as the whole backward pass for a recurrent layer. So where a gradient may be asked for, a call with a scan
in it runs another program: with the results, it gives what the gradient's scan takes from the forward one. These
values stand on the tape as further operands, which require no gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from sys import getrefcount
from typing import Any

import numpy as np

from graphflow.autograd import gradients
from graphflow.core import dispatch
from graphflow.core.aval import AVal
from graphflow.ir.graph import Graph, Node, rebuild
from graphflow.ir.nested import cut_out
from graphflow.passes.extended import merge
from graphflow.runtime.executor import fresh_memory
from graphflow.runtime.fused import FusedCall, PureFunction, recording_defaults
from graphflow.tensor import Tensor
from graphflow.trace.branches import inline
from graphflow.trace.recorder import Recorder

_state = dispatch.state


class SavingCall(FusedCall):
    """A fused call for operands of which those ``wanted`` require a gradient."""

    def __init__(self, call: FusedCall, wanted: tuple[int, ...]) -> None:
        self._wanted = wanted
        whole = _Differentiated(call.pure.name, call.pure.operands, call.pure.results, call.pure.passing, wanted)
        super().__init__(call.pure, call.function, call.into, call.back)
        self._forward = whole.forward()
        self._forward.executable.memory = Recycled(len(call.pure.results))  # type: ignore[attr-defined]
        self._backward = [whole.backward(i) for i in range(len(call.pure.results))]

    def __call__(self, operands: Sequence[Tensor]) -> Any:
        data: list[Any] = [t._data for t in operands]
        arrays = self._forward.executable.run([d if d.flags.c_contiguous else d.copy() for d in data])
        count = len(self.pure.results)
        results = [Tensor(a) for a in arrays[:count]]
        self._attach(results, (*operands, *map(Tensor, arrays[count:])))
        return results[0] if self.pure.single else results

    def vjp(self, g: Tensor, out: Tensor, *args: Tensor, _index: int) -> Sequence[Tensor | None]:
        operands = args[: len(self.pure.operands)]
        if _state.grad_enabled:  # the gradient is to be differentiated itself, also through what was kept
            again = super().vjp(g, out, *operands, _index=_index)
            return [*again, *[None] * (len(args) - len(operands))]
        pure, present = self._backward[_index]
        found: list[Tensor | None] = [None] * len(args)
        if pure is None:
            return found
        if _state.recorder is not None or g._data is None:
            slopes = inline(self._recorded([t.aval for t in operands]).backward_graph(_index), [*args, g])
        else:
            data: list[Any] = [t._data for t in (*args, g)]
            arrays = pure.executable.run([d if d.flags.c_contiguous else d.copy() for d in data])
            slopes = [Tensor(a) for a in arrays]
        for i, slope in zip(present, slopes):
            found[i] = slope
        return found

    def _recorded(self, avals: Sequence[AVal]) -> _Differentiated:
        """The function once more, for operands of these sizes."""
        recorder = Recorder(Graph(self.name))
        with recording_defaults(recorder):
            operands = [recorder.placeholder(a, f"operand{i}", a.dtype.is_float) for i, a in enumerate(avals)]
            made = self.function(*operands)
        results = [made] if isinstance(made, Tensor) else made
        nodes = [t._node for t in operands], [t._node for t in results]
        return _Differentiated(self.name, *nodes, self.pure.passing, self._wanted)


class _Differentiated:
    """A pure function and the gradients of all its results in one graph, which is then cut in two."""

    def __init__(
        self,
        name: str,
        operands: Sequence[Node],
        results: Sequence[Node],
        passes: Sequence[bool],
        wanted: tuple[int, ...],
    ) -> None:
        self.name = name
        graph, mapping = rebuild(operands[0].graph, [*operands, *results], lambda *_: None)
        self.recorder = Recorder(graph)
        self.slopes: list[dict[int, Node]] = []
        self.seeds: list[Node] = []
        with recording_defaults(self.recorder):
            inputs = [Tensor(None, mapping[n], n.aval.dtype.is_float) for n in operands]
            for result, passing in zip(results, passes):
                seed = self.recorder.placeholder(result.aval, "gradient", True)
                targets = [inputs[i] for i in wanted]
                found = gradients([Tensor(None, mapping[result])], targets, [seed]) if passing else [None] * len(wanted)
                self.slopes.append({i: s._node for i, s in zip(wanted, found) if s is not None})
                self.seeds.append(seed._node)
        self.operands: list[Node] = [t._node for t in inputs]
        graph.outputs = [*(mapping[n] for n in results), *(n for s in self.slopes for n in s.values())]
        merge(graph)  # the scans of the function and of its gradients become one
        ends = iter(graph.outputs)
        self.results = [next(ends) for _ in results]
        self.slopes = [{i: next(ends) for i in s} for s in self.slopes]
        self.graph = graph
        self.kept = self._kept()

    def _kept(self) -> list[Node]:
        """What the gradients take from loops that do not depend on them."""
        late = set(self.seeds)
        for node in self.graph.nodes:
            if not late.isdisjoint(node.inputs):
                late.add(node)
        found: dict[Node, None] = {}
        seen: set[Node] = set()
        stack = [n for s in self.slopes for n in s.values()]
        while stack:
            node = stack.pop()
            if node in seen:
                continue
            seen.add(node)
            if node.op.name == "tuple_get" and node not in late:
                found[node] = None
            else:
                stack.extend(node.inputs)
        return sorted(found, key=lambda n: n.id)

    def forward(self) -> PureFunction:
        """The function that also gives what is kept."""
        return self._function(cut_out(self.graph, self.operands, [*self.results, *self.kept]))

    def backward_graph(self, index: int) -> Graph:
        """From operands, what was kept and a result's gradient to the gradients of operands."""
        inputs = [*self.operands, *self.kept, self.seeds[index]]
        return cut_out(self.graph, inputs, list(self.slopes[index].values()))

    def backward(self, index: int) -> tuple[PureFunction | None, tuple[int, ...]]:
        """That as a function, and which operands' gradients it gives."""
        slopes = self.slopes[index]
        return (self._function(self.backward_graph(index)), tuple(slopes)) if slopes else (None, ())

    def _function(self, graph: Graph) -> PureFunction:
        with recording_defaults(self.recorder):
            return PureFunction(self.name, graph.inputs, [Tensor(None, n, True) for n in graph.outputs], False)


class Recycled:
    """Memory for results, of which those from number ``first`` on are used again when nobody looks at them any more.

    What is kept for a gradient dies at every step of a training loop, and new memory costs more than filling it.
    """

    def __init__(self, first: int) -> None:
        self.first = first
        self._pool: dict[Any, list[Any]] = {}

    def __call__(self, outputs: Sequence[tuple[tuple[int, ...], Any]]) -> list[Any]:
        found = fresh_memory(outputs[: self.first])
        for number, (shape, dtype) in enumerate(outputs[self.first :]):
            if len(self._pool) > MANY:  # sizes that change all the time
                self._pool.clear()
            pool = self._pool.setdefault((number, shape), [])
            unused = _unused(pool)
            if unused is None:
                unused = fresh_memory([(shape, dtype)])[0]
                if len(pool) < COPIES:
                    pool.append(unused)
            found.append(unused)
        return found


MANY, COPIES = 64, 4


def _unused(pool: list[Any]) -> Any:
    """An array that nothing but the pool refers to."""
    for array in pool:
        if getrefcount(array) <= _ALONE:
            return array
    return None


def _count_alone() -> int:
    """What ``_unused`` finds for such an array: it depends on the version of Python."""
    for array in [np.empty(1)]:
        return getrefcount(array)
    return 0


_ALONE = _count_alone()


def saving(call: FusedCall, operands: Sequence[Tensor], known: dict[Any, Any]) -> Any:
    """The call that keeps what its gradient in these operands needs; None if there is none."""
    wanted = tuple([i for i, t in enumerate(operands) if t.requires_grad])
    if wanted not in known:
        known[wanted] = SavingCall(call, wanted) if wanted else None
    return known[wanted]
