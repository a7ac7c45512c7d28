"""Gradients through compiled functions: a traced function as one differentiable operation of eager code.

What a compiled function returns can be differentiated as if its lines had run eagerly. The gradient is a program of its
own, made when it is first asked for, that computes the forward pass again from the values at the call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.autograd import gradients
from graphflow.core import dispatch
from graphflow.core.dims import collecting_assumptions
from graphflow.core.op import Op
from graphflow.ir.graph import Graph, Node, rebuild
from graphflow.tensor import Tape, Tensor
from graphflow.trace.recorder import Recorder
from graphflow.trace.signature import ready


class PureProgram:
    """A graph without state, from inputs to outputs. The graph belongs to this object, which may add to it."""

    def __init__(self, inputs: Sequence[Node], outputs: Sequence[Node], passing: Sequence[bool] | None = None) -> None:
        self.inputs = list(inputs)
        self.outputs = list(outputs)
        self.passing = [n.aval.dtype.is_float for n in outputs] if passing is None else list(passing)  # gradients
        first = outputs[0].aval
        self.op = Op("compiled_call", "library", lambda *avals, **attrs: first, _no_reference, self._vjp)
        self._executable: Any = None
        self._backward: dict[Any, PureProgram] = {}

    @staticmethod
    def of(outputs: Sequence[Tensor], inputs: Sequence[Node]) -> PureProgram:
        """The program that computes ``outputs`` from any nodes ``inputs`` of a traced function, without its effects."""
        from graphflow.passes.functionalize import functionalize

        passing: dict[Node, bool] = {}
        for t in outputs:
            passing[t._node] = passing.get(t._node, False) or t.requires_grad
        graph, placeholders = functionalize(list(passing), inputs)
        _, mapping = rebuild(graph, [*placeholders, *graph.outputs], _without_effects)
        return PureProgram(
            [mapping[n] for n in placeholders], [mapping[n] for n in graph.outputs], list(passing.values())
        )

    def attach(self, results: Sequence[Tensor], args: Sequence[Tensor]) -> None:
        """Make eager tensors, computed from ``args`` by this program, differentiable."""
        needs = any(a.requires_grad for a in args)
        for index, (tensor, passes) in enumerate(zip(results, self.passing)):
            if needs and passes:
                tensor.requires_grad = True
                tensor._tape = Tape(self.op, tuple(args), {"_index": index})

    def run(self, args: Sequence[Tensor]) -> list[Tensor]:
        """The outputs for eager tensors, differentiable again."""
        from graphflow.runtime.build import RUN_LOCK, build

        if self._executable is None:
            self._executable = build(self.outputs, self.inputs)
        with RUN_LOCK:
            arrays = self._executable.run([ready(a._data) for a in args])
        results = [Tensor(a) for a in arrays]
        if dispatch.state.grad_enabled:
            self.attach(results, args)
        return results

    def _vjp(self, g: Tensor, out: Tensor, *args: Tensor, _index: int) -> tuple[Tensor | None, ...]:
        wanted = tuple(i for i, a in enumerate(args) if a.requires_grad and a.dtype.is_float)
        key = (_index, wanted)
        if key not in self._backward:
            self._backward[key] = self._gradient(_index, wanted)
        slopes: list[Tensor | None] = [None] * len(args)
        for i, slope in zip(wanted, self._backward[key].run([*args, g])):
            slopes[i] = slope
        return tuple(slopes)

    def _gradient(self, index: int, wanted: Sequence[int]) -> PureProgram:
        """The program of inputs and a seed that gives the gradients of one output."""
        graph, mapping = rebuild(self.inputs[0].graph, [*self.inputs, *self.outputs], lambda *_: None)
        recorder = Recorder(graph)
        with dispatch.recording(recorder), collecting_assumptions(graph.assumptions, loud=False):
            seed = recorder.placeholder(self.outputs[index].aval, "seed")
            inputs = [Tensor(None, mapping[n]) for n in self.inputs]
            targets = [inputs[i] for i in wanted]
            found = gradients([Tensor(None, mapping[self.outputs[index]])], targets, [seed])
            slopes = [t * 0 if s is None else s for s, t in zip(found, targets)]
        return PureProgram([*(t._node for t in inputs), seed._node], [s._node for s in slopes])


def _without_effects(graph: Graph, node: Node, inputs: tuple[Node, ...]) -> Node | None:
    """Prints and checks happened in the forward pass: going through it again does not repeat them."""
    return inputs[0] if node.op.kind == "effect" and inputs else None


def _no_reference(*args: Any, **attrs: Any) -> Any:
    raise RuntimeError("a compiled call is computed by its program")
