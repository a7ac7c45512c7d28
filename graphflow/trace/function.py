"""One trace of a Python function: its graph, the state it reads and changes, and the program made of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphflow import variable as variables
from graphflow.autograd import backward
from graphflow.core import dispatch
from graphflow.core.aval import AVal
from graphflow.core.dims import Dim, Shape, bind_sizes, evaluate, shape_str
from graphflow.core.dtypes import as_dtype
from graphflow.core.errors import GraphError
from graphflow.core.tree import flatten, unflatten
from graphflow.ir.graph import Graph, Node, has_effect
from graphflow.tensor import Tensor, as_tensor
from graphflow.trace.derivative import PureProgram
from graphflow.trace.recorder import ConsumedGradient, FunctionRecorder
from graphflow.trace.signature import READY, ArrayKey, Signature, ready
from graphflow.trace.tracing import Operation, recording_function


class TracedFunction:
    """A recorded call of a function, for all calls whose arguments and state are like it."""

    def __init__(
        self,
        name: str,
        fn: Callable[..., Any],
        signature: Signature,
        arguments: tuple[Sequence[Any], Any],
        shapes: Sequence[Shape],
        names: Sequence[str],
    ) -> None:
        started = time.perf_counter()
        self.name = name
        self.signature = signature
        self.shapes = list(shapes)
        self.graph = Graph(name)
        recorder = FunctionRecorder(self.graph)
        leaves, tree = arguments
        with recording_function(recorder):
            symbolic = self._make_inputs(recorder, leaves, names)
            args, kwargs = unflatten(tree, symbolic)
            result = fn(*args, **kwargs)
            self._take_results(recorder, result)
        self._take_state(recorder)
        recorder.finish(name)
        self.executable: Any = None
        self.trace_seconds = time.perf_counter() - started
        self.compile_seconds = 0.0

    # -- tracing ------------------------------------------------------------------------------------------------------
    def _make_inputs(self, recorder: FunctionRecorder, leaves: Sequence[Any], names: Sequence[str]) -> list[Any]:
        """The arguments with a symbolic tensor for each tensor and array."""
        shapes = iter(self.shapes)
        self.inputs: list[Node] = []
        self._input_tensors: list[Tensor] = []
        self._argument_grads: list[tuple[int, Node]] = []  # gradients that arguments have already: hidden inputs
        out = []
        for leaf, key, name in zip(leaves, self.signature.leaves, names):
            if type(key) is ArrayKey:
                aval = AVal(next(shapes), as_dtype(key.dtype))
                tensor = recorder.placeholder(aval, name, requires_grad=key.requires_grad)
                if key.has_grad:
                    tensor.grad = recorder.placeholder(aval, f"{name}.grad")
                    self._argument_grads.append((len(self.inputs), tensor.grad._node))
                self.inputs.append(tensor._node)
                self._input_tensors.append(tensor)
                leaf = tensor
            out.append(leaf)
        return out

    def _take_results(self, recorder: FunctionRecorder, result: Any) -> None:
        """What is returned: symbolic tensors are computed at each call, everything else is given back as it is."""
        found, self._tree = flatten(result)
        self.results: list[Any] = []
        for item in found:
            if isinstance(item, Tensor) and item._node is not None and recorder.lift(item).graph is not self.graph:
                raise GraphError(
                    f"{self.name} returns {item.name!r} of graph {item.graph.name!r}, which it was not given"
                )
            self.results.append(None if isinstance(item, Operation) else item)

    def _take_state(self, recorder: FunctionRecorder) -> None:
        """Hidden inputs and outputs: gradients; and the facts of Python's state that were asked for."""
        self._guards = [(owner, name, value) for (owner, name), value in recorder.guards.items()]
        self._had_grad = list(recorder.had_grad.items())
        self._facts = [(v, v.trainable, v.dtype) for v in self.graph.variables()]
        self._facts_epoch = variables.epoch()
        self._grad_inputs = list(recorder.grad_inputs.items())
        self._kept: list[tuple[Any, Tensor]] = []  # variables, and the gradients they are left with
        self._cleared: list[Any] = []
        self._consumed: list[Any] = []
        for v, g in recorder.grads.items():
            before = recorder.grad_inputs.get(v)
            if g is None:
                if v not in recorder.had_grad or recorder.had_grad[v]:
                    self._cleared.append(v)
            elif v in recorder.consumed and v not in recorder.had_grad:
                self._consumed.append(v)
            elif before is None or g._node is not before:
                with recording_function(recorder):
                    self._kept.append((v, Tensor(None, recorder.lift(as_tensor(g)))))
        self._mark = ConsumedGradient(self.name)
        self._argument_kept = [
            (i, t.grad)
            for i, t in enumerate(self._input_tensors)
            if t.grad is not None and (i, t.grad._node) not in self._argument_grads
        ]
        self.effects = [n for n in self.graph.nodes if has_effect(n)]
        trains = any(n.op.name == "variable_assign" and n.attrs["variable"].trainable for n in self.effects)
        symbolic = [t for t in self.results if isinstance(t, Tensor) and t._node is not None]
        self._differentiable = (
            any(t.requires_grad for t in symbolic)
            and not (trains or recorder.differentiated or self._argument_kept)
            and dispatch.state.grad_enabled
        )

    # -- does it fit a call? ------------------------------------------------------------------------------------------
    def holds(self) -> bool:
        """Whether Python's state is as it was at tracing, as far as the trace depends on it."""
        for owner, name, value in self._guards:
            if getattr(owner, name) != value:
                return False
        for v, had in self._had_grad:
            if (v._grad is not None) is not had:
                return False
        if variables.epoch() != self._facts_epoch:
            if any(v.trainable is not trainable or v.dtype is not dtype for v, trainable, dtype in self._facts):
                return False
            self._facts_epoch = variables.epoch()
        return True

    def broken_facts(self) -> list[str]:
        """What of Python's state has changed since tracing."""
        found = []
        for owner, name, value in self._guards:
            if getattr(owner, name) != value:
                found.append(f"{name} of {_label(owner)} is {getattr(owner, name)!r} instead of {value!r}")
        for v, had in self._had_grad:
            if (v._grad is not None) is not had:
                found.append(f"{v.name} has {'no' if had else 'a'} gradient from before")
        for v, trainable, dtype in self._facts:
            if v.trainable is not trainable:
                found.append(f"{v.name} {'requires' if v.trainable else 'does not require'} a gradient")
            if v.dtype is not dtype:
                found.append(f"{v.name} is {v.dtype} instead of {dtype}")
        return found

    def misfit(self, shapes: Sequence[tuple[int, ...]]) -> str | None:
        """Why these shapes do not fit, or None if they do."""
        sizes: dict[str, int] = {}
        for node, want, have in zip(self.inputs, self.shapes, shapes):
            if not bind_sizes(want, have, sizes):
                known = {n: sizes[n] for s in want if isinstance(s, Dim) for n in s.names() if n in sizes}
                where = f" with {known}" if known else ""
                return f"{node.name} has shape {shape_str(have)} instead of {shape_str(want)}{where}"
        for a, b in self.graph.assumptions:
            if evaluate(a, sizes) != evaluate(b, sizes):
                return (
                    f"the trace takes the sizes {a} = {evaluate(a, sizes)} and {b} = {evaluate(b, sizes)} to be equal"
                )
        return None

    # -- running ------------------------------------------------------------------------------------------------------
    def compile(self, optimize: bool, num_threads: int | None) -> None:
        """Make the program."""
        from graphflow.runtime.build import RUN_LOCK, build

        started = time.perf_counter()
        symbolic = [t for t in self.results if isinstance(t, Tensor) and t._node is not None]
        wanted = [*symbolic, *(g for _, g in self._kept), *(g for _, g in self._argument_kept)]
        fetches = list(dict.fromkeys(t._node for t in wanted))
        place = {node: i for i, node in enumerate(fetches)}
        feeds = [*self.inputs, *(n for _, n in self._grad_inputs), *(n for _, n in self._argument_grads)]
        self._lock = RUN_LOCK
        self._outputs = [place[t._node] if isinstance(t, Tensor) and t._node is not None else -1 for t in self.results]
        self._single = self._outputs == [0] and self._tree.kind is None
        self._kept_at = [(v, place[g._node]) for v, g in self._kept]
        self._argument_kept_at = [(i, place[g._node]) for i, g in self._argument_kept]
        self._has_hidden = len(feeds) != len(self.inputs)
        self._has_effects_on_grads = bool(self._kept or self._cleared or self._consumed or self._argument_kept)
        self.executable = build(fetches, feeds, self.effects, optimize=optimize, num_threads=num_threads)
        self._pure = self._derivative(symbolic) if self._differentiable else None
        more = self._pure is not None or self._has_hidden or self._has_effects_on_grads
        self.only_runs = self._single and not more and hasattr(self.executable, "prepared")  # a call may be quick
        self.compile_seconds = time.perf_counter() - started

    def _derivative(self, symbolic: Sequence[Tensor]) -> PureProgram:
        reads = [n for n in self.graph.nodes if n.op.name == "variable_read" and n.attrs["when"] == "start"]
        self._read_variables = [n.attrs["variable"] for n in reads]
        return PureProgram.of(symbolic, [*self.inputs, *reads])

    def __call__(self, arrays: Sequence[Any], originals: Sequence[Any]) -> Any:
        """Run on the arguments' arrays; ``originals`` are the tensors or arrays that they came from."""
        inputs = [a if a.flags.num & READY == READY else ready(a) for a in arrays]
        if self._has_hidden:
            grads = [*(v._grad for v, _ in self._grad_inputs), *(originals[i].grad for i, _ in self._argument_grads)]
            inputs += [ready(g._data) for g in grads]
        with self._lock:
            before = self._before(originals) if self._pure is not None else None
            outputs = self.executable.run(inputs)
            if self._has_effects_on_grads:
                self._leave_gradients(outputs, originals)
        if self._single and before is None:
            return Tensor(outputs[0])
        tensors = [Tensor(out) for out in outputs]
        if before is not None:
            self._pure.attach(tensors, before)  # type: ignore[union-attr]
        leaves = [tensors[at] if at >= 0 else value for at, value in zip(self._outputs, self.results)]
        return unflatten(self._tree, leaves)

    def quick(self, arrays: Sequence[Any]) -> Callable[[Sequence[Any]], Any] | None:
        """What to call for arrays of exactly these shapes if nothing has to be done but run the program, else None.

        It gives None where the trace does not hold any more.
        """
        run = self.executable.prepared(arrays, self._lock)
        if run is None:
            self.only_runs = False
            return None
        epoch, guarded = variables.epoch, bool(self._guards or self._had_grad)

        def call(arrays: Sequence[Any]) -> Tensor | None:
            if (guarded or self._facts_epoch != epoch()) and not self.holds():
                return None
            return Tensor(run(arrays))

        return call

    def _before(self, originals: Sequence[Any]) -> list[Tensor]:
        """The arguments and the variables' values, as the gradient needs them later."""
        kept = [a if type(a) is Tensor else Tensor(np.array(a)) for a in originals]
        return [*kept, *(v.snapshot() for v in self._read_variables)]

    def _leave_gradients(self, outputs: Sequence[Any], originals: Sequence[Any]) -> None:
        for v, at in self._kept_at:
            v._grad = Tensor(outputs[at])
        for v in self._cleared:
            v._grad = None
        for v in self._consumed:
            v._grad = self._mark
        for i, at in self._argument_kept_at:
            if originals[i]._tape is None:
                originals[i].grad = Tensor(outputs[at])
            else:  # the argument was computed from leaves: pass its gradient on to them
                backward(originals[i], Tensor(outputs[at]), retain_graph=True)

    def explain(self) -> str:
        """The graph, and how it runs."""
        kernels = self.executable.explain() if hasattr(self.executable, "explain") else "runs on the NumPy interpreter"
        text = getattr(self.executable, "graph", self.graph).to_text()
        return f"-- optimized graph --\n{text}\n-- program --\n{kernels}"


def _label(owner: Any) -> str:
    name = getattr(owner, "name", None)
    return f"{type(owner).__name__} {name}" if isinstance(name, str) else type(owner).__name__
