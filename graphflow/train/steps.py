"""Optimizer steps that happen now and then: under a condition, or once for several batches."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphflow.core import dispatch
from graphflow.core.errors import TraceError, at_line, user_origin
from graphflow.ops.elementwise import where
from graphflow.ops.logic import logical_not
from graphflow.optim.hyperparameters import Hyperparameters
from graphflow.variable import Variable


def step_where(optimizer: Any, condition: Any) -> None:
    """``optimizer.step()`` if the condition holds. In a compiled function the step is computed, and kept if it does."""
    recorder = dispatch.state.recorder
    if recorder is None:
        if bool(condition):
            optimizer.step()
        return
    if not hasattr(recorder, "guard"):
        raise TraceError(
            at_line("steps under a condition work eagerly and in gf.compile, not in a graph", user_origin())
        )
    with dispatch.no_grad():
        before = [(v, v._read_now()) for v in _state(optimizer)]
        optimizer.step()
        for v, old in before:
            v.assign(where(condition, v._read_now(), old))


def _state(optimizer: Any) -> list[Variable]:
    """All that a step changes: parameters with gradients, their slots and counters (made if they are not there)."""
    found: dict[int, Variable] = {}
    for group in optimizer.param_groups:
        params = [p for p in group["params"] if p.grad is not None]
        settings = Hyperparameters(group)
        optimizer._make_state(params, optimizer.slots(settings), optimizer.counts(settings))
        for p in params:
            found.update({id(v): v for v in (p, *optimizer.state[p].values())})
    return list(found.values())


class GradientAccumulation:
    """One optimizer step for several batches: their mean gradient is that of one large batch.

    Call ``step()`` after each ``backward()``, in place of ``optimizer.step()`` and ``zero_grad()``; every ``steps``-th
    call updates. The loss of each batch is its mean, unscaled. Works eagerly and in compiled functions, where the sums
    are Variables.

    >>> w = gf.Variable([0.0]); optimizer = gf.optim.SGD([w], lr=1.0)
    >>> accumulation = gf.train.GradientAccumulation(optimizer, steps=2)
    >>> for x in (1.0, 3.0):
    ...     (w * x).sum().backward()
    ...     accumulation.step()
    ...     print(w.item())
    0.0
    -2.0
    """

    def __init__(self, optimizer: Any, steps: int) -> None:
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        self.optimizer = optimizer
        self.steps = steps
        self._sums: dict[Variable, Variable] = {}
        with dispatch.init_scope():
            self._count = Variable(np.int64(0), name="accumulated", trainable=False)

    def step(self) -> None:
        """Take the gradients of a batch; update with every ``steps``-th."""
        params = [p for group in self.optimizer.param_groups for p in group["params"] if p.grad is not None]
        with dispatch.no_grad():
            count = self._count._read_now() + 1
            due = count >= self.steps
            totals = {p: self._sum(p)._read_now() + p.grad for p in params}
            for p, total in totals.items():
                p.grad = total / self.steps
            step_where(self.optimizer, due)
            waiting = logical_not(due)
            for p, total in totals.items():
                self._sums[p].assign(where(waiting, total, 0.0))
            self._count.assign(where(waiting, count, 0))
        self.optimizer.zero_grad()

    @property
    def pending(self) -> int:
        """How many batches wait for the next update."""
        return self._count.item()  # type: ignore[no-any-return]

    def _sum(self, p: Variable) -> Variable:
        if p not in self._sums:
            with dispatch.init_scope():
                zeros = np.zeros(p.shape, p.dtype.np)  # type: ignore[arg-type]
                self._sums[p] = Variable(zeros, name=f"{p.name}.accumulated", trainable=False)
        return self._sums[p]

    def state_dict(self) -> dict[str, Any]:
        """The sums so far, in the order of the optimizer's parameters."""
        order = [p for group in self.optimizer.param_groups for p in group["params"]]
        return {"count": self.pending, "sums": [self._sums[p].snapshot() if p in self._sums else None for p in order]}

    def load_state_dict(self, state: Any) -> None:
        """Go on from saved sums."""
        order = [p for group in self.optimizer.param_groups for p in group["params"]]
        for p, saved in zip(order, state["sums"]):
            if saved is not None:
                self._sum(p).assign(saved)
        self._count.assign(np.int64(state["count"]))
