"""Eager steps as native programs: the update of all parameters in one call, recorded from the same update rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphflow.core import config
from graphflow.tensor import Operators
from graphflow.variable import Variable

RECORDINGS = 8  # per optimizer: settings that are switched on and off at every step are not worth a program each


class NativeSteps:
    """What an optimizer remembers of its eager steps: for each set of parameters a count of steps, then a program."""

    def __init__(self) -> None:
        self._steps: dict[tuple[Variable, ...], int | NativeStep] = {}
        self._recordings = 0
        self.failure: str | None = None  # why there are no programs

    def take(self, optimizer: Any, grads: Mapping[Variable, Any]) -> bool:
        """Update natively, if there is a program for these parameters (or if it is time for one); else give False."""
        key = tuple(grads)
        step = self._steps.get(key, 0)
        if isinstance(step, int):
            if step < config.get("native_after"):
                self._steps[key] = step + 1
                return False
        elif step.fits(grads):
            step.run(grads)
            return True
        if self.failure is not None or self._recordings >= RECORDINGS or not _recordable(optimizer):
            return False
        self._recordings += 1
        try:
            step = self._steps[key] = NativeStep(optimizer, grads)
        except Exception as error:  # what cannot be compiled runs as it is written
            self.failure = f"{type(error).__name__}: {error}"
            return False
        step.run(grads)
        return True

    def __deepcopy__(self, memo: Any) -> NativeSteps:
        return NativeSteps()

    def __reduce__(self) -> Any:
        return (NativeSteps, ())


class NativeStep:
    """A recorded step of an optimizer for certain parameters, their gradients being the inputs."""

    def __init__(self, optimizer: Any, grads: Mapping[Variable, Any]) -> None:
        from graphflow.core.aval import AVal
        from graphflow.ir.graph import Graph
        from graphflow.runtime.build import RUN_LOCK, build
        from graphflow.runtime.fused import recording_defaults
        from graphflow.trace.recorder import FunctionRecorder

        graph = Graph(f"{type(optimizer).__name__}.step")
        recorder = FunctionRecorder(graph)
        with recording_defaults(recorder):
            inputs = {p: recorder.placeholder(AVal(p.shape, g.dtype), f"{p.name}.grad") for p, g in grads.items()}
            optimizer._apply(inputs)
            effects = [n for n in graph.nodes if n.op.kind == "effect"]
            self._executable = build([], [t._node for t in inputs.values()], effects)
        self._guards = [(owner, name, value) for (owner, name), value in recorder.guards.items()]
        self._dtypes = [(p.dtype, g._data.dtype) for p, g in grads.items()]
        self._lock = RUN_LOCK

    def fits(self, grads: Mapping[Variable, Any]) -> bool:
        """Whether the optimizer's settings in use, and all dtypes, are as they were."""
        for owner, name, value in self._guards:
            if getattr(owner, name) != value:
                return False
        for (p, g), (own, dtype) in zip(grads.items(), self._dtypes):
            if p.dtype is not own or g._data.dtype != dtype:
                return False
        return True

    def run(self, grads: Mapping[Variable, Any]) -> None:
        """Update the parameters and the optimizer's state."""
        arrays = [g._data for g in grads.values()]
        with self._lock:
            self._executable.run([a if a.flags.c_contiguous else a.copy() for a in arrays])


def _recordable(optimizer: Any) -> bool:
    """Whether the rule is GraphFlow's own, so that recording it once stands for running it at each step."""
    rules = (getattr(type(optimizer), name) for name in ("update", "scalars", "slots", "counts"))
    fixed = any(isinstance(v, Operators) for group in optimizer.param_groups for v in group.values())
    return all(rule.__module__.startswith("graphflow.") for rule in rules) and not fixed
