"""L-BFGS, which looks at the loss several times in each step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from graphflow.core import dispatch
from graphflow.core.errors import StateError, TraceError, at_line, user_origin
from graphflow.nn.state import from_outside
from graphflow.optim.optimizer import Optimizer
from graphflow.tensor import Array, Tensor

_ARMIJO, _CURVATURE = 1e-4, 0.9  # the constants of the strong Wolfe conditions


class LBFGS(Optimizer):
    """Limited-memory BFGS (Nocedal and Wright, Numerical Optimization, 2006), for small models and whole batches.

    ``step`` needs a closure that clears the gradients, computes the loss, calls ``backward`` and returns the loss; a
    step makes up to ``max_iter`` iterations. ``line_search_fn`` is "strong_wolfe", or None for steps of ``lr``. The
    names and the state are PyTorch's. There is one group of parameters. Raises TraceError in a compiled function:
    which steps are taken depends on the loss's value. (The closure may call a compiled one.)

    >>> import graphflow as gf
    >>> w = gf.Variable([4.0, -3.0])
    >>> optimizer = gf.optim.LBFGS([w], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = ((w - gf.tensor([1.0, 2.0])) ** 2 * gf.tensor([1.0, 10.0])).sum()
    ...     loss.backward()
    ...     return loss
    >>> optimizer.step(closure).item(), w.numpy().round(3).tolist()
    (259.0, [1.0, 2.0])
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1.0,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        if line_search_fn not in (None, "strong_wolfe"):
            raise ValueError(f"LBFGS: line_search_fn is 'strong_wolfe' or None, got {line_search_fn!r}")
        settings = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, settings)
        if len(self.param_groups) != 1:
            raise ValueError(f"LBFGS takes one group of parameters, got {len(self.param_groups)}")
        self._memory = _Memory()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Iterate until a tolerance or ``max_iter`` is reached; gives the closure's first result."""
        if closure is None:
            raise TypeError(
                at_line(
                    "LBFGS.step needs a closure that computes loss and gradients and returns the loss", user_origin()
                )
            )
        if dispatch.state.recorder is not None:
            message = "LBFGS decides by the value of the loss, so it cannot be recorded: call its step outside"
            raise TraceError(at_line(f"{message} gf.compile; the closure may call a compiled function", user_origin()))
        results: list[Any] = []

        def evaluate() -> tuple[float, Array]:
            with dispatch.enable_grad():
                results.append(closure())
            return float(results[-1]), self._gradient()

        group, memory = self.param_groups[0], self._memory
        evaluations = memory.func_evals
        loss, gradient = self._evaluated(evaluate)
        for iteration in range(1, group["max_iter"] + 1):
            if np.abs(gradient).max(initial=0.0) <= group["tolerance_grad"]:
                break
            direction = memory.direction_from(gradient, group["history_size"])
            slope = float(gradient @ direction)
            if slope > -group["tolerance_change"]:
                break
            t = group["lr"] * (min(1.0, 1.0 / float(np.abs(gradient).sum())) if memory.n_iter == 1 else 1.0)
            before = loss
            left = group["max_eval"] - (memory.func_evals - evaluations)
            last = iteration == group["max_iter"] or left <= 0
            if group["line_search_fn"] is not None:
                t, loss, gradient = self._searched(evaluate, _Point(0.0, loss, gradient, slope), direction, t, left)
            else:
                self._move(self._values(), direction, t)
                if not last:  # there, nobody would look at it
                    loss, gradient = self._evaluated(evaluate)
            memory.step = t
            if last or np.abs(direction).max() * t <= group["tolerance_change"]:
                break
            if abs(loss - before) < group["tolerance_change"]:
                break
        return results[0]

    def _apply(self, grads: Mapping[Any, Any]) -> Any:
        raise TypeError(at_line("LBFGS looks at the loss several times: use step(closure)", user_origin()))

    # -- the parameters as one vector ---------------------------------------------------------------------------------
    def _evaluated(self, evaluate: Callable[[], tuple[float, Array]]) -> tuple[float, Array]:
        self._memory.func_evals += 1
        return evaluate()

    def _values(self) -> list[Array]:
        return [p._data for p in self._parameters()]

    def _gradient(self) -> Array:
        parts = [np.zeros(p.shape) if p.grad is None else p.grad.numpy() for p in self._parameters()]  # type: ignore[arg-type]
        kinds = [p.dtype.np for p in self._parameters()]
        return np.concatenate([g.ravel() for g in parts]).astype(np.result_type(np.float32, *kinds), copy=False)

    def _move(self, values: list[Array], direction: Array, t: float) -> None:
        """The parameters at ``values + t * direction``."""
        at = 0
        for p, value in zip(self._parameters(), values):
            change = direction[at : at + value.size].reshape(value.shape)
            p._store(np.asarray(value + t * change, p.dtype.np))
            at += value.size

    def _searched(
        self, evaluate: Callable[[], tuple[float, Array]], start: _Point, direction: Array, t: float, most: int
    ) -> tuple[float, float, Array]:
        """The step that the line search chose, taken; with the loss and the gradient there."""
        values = self._values()

        def at(t: float) -> _Point:
            self._move(values, direction, t)
            loss, gradient = self._evaluated(evaluate)
            return _Point(t, loss, gradient, float(gradient @ direction))

        smallest = self.param_groups[0]["tolerance_change"] / float(np.abs(direction).max())
        found = strong_wolfe(at, start, t, most, smallest)
        self._move(values, direction, found.t)
        return found.t, found.loss, found.gradient

    # -- state --------------------------------------------------------------------------------------------------------
    def state_dict(self) -> dict[str, Any]:
        """The history and the settings, as in PyTorch all of it under the first parameter."""
        state = {0: self._memory.saved()} if self._memory.func_evals else {}
        settings = {k: v for k, v in self.param_groups[0].items() if k != "params"}
        numbers = list(range(len(self.param_groups[0]["params"])))
        return {"state": state, "param_groups": [{**settings, "params": numbers}]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over ``state_dict()`` (or PyTorch's). Raises StateError if it is of other parameters."""
        (group,) = state_dict["param_groups"]
        own = self.param_groups[0]
        if len(group["params"]) != len(own["params"]):
            raise StateError(
                f"the optimizer has {len(own['params'])} parameters, the saved state {len(group['params'])}"
            )
        state = {int(k): v for k, v in state_dict["state"].items()}
        memory = _Memory.restored(state[0]) if 0 in state else _Memory()
        size = sum(v.size for v in self._values())
        if memory.direction is not None and memory.direction.size != size:
            raise StateError(f"the parameters have {size} elements, those of the saved state {memory.direction.size}")
        own.update({k: v for k, v in group.items() if k != "params"})
        self._memory = memory


class _Memory:
    """What the steps so far told of the curvature: the last changes of parameters and gradients."""

    def __init__(self) -> None:
        self.func_evals = self.n_iter = 0
        self.moves: list[Array] = []
        self.changes: list[Array] = []
        self.scale = 1.0  # of the first guess at the inverse Hessian
        self.direction: Array | None = None
        self.step = 0.0
        self.gradient: Array | None = None

    def direction_from(self, gradient: Array, history_size: int) -> Array:
        """The quasi-Newton direction (Nocedal and Wright, algorithm 7.4), after noting how the gradient changed."""
        self.n_iter += 1
        if self.direction is not None and self.gradient is not None:
            change, move = gradient - self.gradient, self.direction * self.step
            curvature = float(change @ move)
            if curvature > 1e-10:  # else the guess would not stay positive definite
                self.moves, self.changes = [*self.moves, move][-history_size:], [*self.changes, change][-history_size:]
                self.scale = curvature / float(change @ change)
        q = -gradient
        shares = []
        for move, change in zip(reversed(self.moves), reversed(self.changes)):
            share = float(move @ q) / float(move @ change)
            shares.append(share)
            q = q - change * share
        q = q * self.scale
        for move, change, share in zip(self.moves, self.changes, reversed(shares)):
            q = q + move * (share - float(change @ q) / float(move @ change))
        self.direction, self.gradient = q, gradient
        return q

    def saved(self) -> dict[str, Any]:
        own: dict[str, Any] = {"func_evals": self.func_evals, "n_iter": self.n_iter}
        if self.direction is None or self.gradient is None:
            return own
        vectors = {"old_dirs": self.changes, "old_stps": self.moves}
        return {
            **own,
            "d": Tensor(self.direction),
            "t": self.step,
            **{name: [Tensor(v) for v in kept] for name, kept in vectors.items()},
            "H_diag": self.scale,
            "prev_flat_grad": Tensor(self.gradient),
        }

    @classmethod
    def restored(cls, saved: Mapping[str, Any]) -> _Memory:
        memory = cls()
        memory.func_evals, memory.n_iter = int(saved["func_evals"]), int(saved["n_iter"])
        if saved.get("d") is not None:
            memory.direction, memory.gradient = (from_outside(saved[k]).numpy() for k in ("d", "prev_flat_grad"))
            memory.changes, memory.moves = (
                [from_outside(v).numpy() for v in saved[k]] for k in ("old_dirs", "old_stps")
            )
            memory.step, memory.scale = float(saved["t"]), float(saved["H_diag"])
        return memory


# -- the line search --------------------------------------------------------------------------------------------------
class _Point(NamedTuple):
    """The loss at ``t`` times the direction, the gradient there, and the slope along the direction."""

    t: float
    loss: float
    gradient: Array
    slope: float


def strong_wolfe(at: Callable[[float], _Point], start: _Point, t: float, most: int, smallest: float) -> _Point:
    """A point where the strong Wolfe conditions hold, or the lowest one after ``most`` evaluations.

    Nocedal and Wright, algorithms 3.5 (until two points have such a point between them) and 3.6 (then between them).
    Intervals shorter than ``smallest`` are not searched.
    """
    low, high = start, None
    for _ in range(most):
        now = at(t)
        too_high = not now.loss <= start.loss + _ARMIJO * now.t * start.slope  # also if it is NaN
        if not too_high and (now.loss < low.loss or low is start):
            if abs(now.slope) <= -_CURVATURE * start.slope:
                return now
            if high is None and now.slope < 0:  # downhill still: further out
                near, far = now.t + 0.01 * (now.t - low.t), 10.0 * now.t
                t = min(max(_cubic_minimum(low, now), near), far)
                low = now
                continue
            if high is None or now.slope * (high.t - low.t) >= 0:
                high = low
            low = now
        else:
            high = now
        width = high.t - low.t
        if abs(width) < smallest:
            break
        edge = 0.1 * abs(width)  # so that the interval shrinks by a tenth at least
        t = min(max(_cubic_minimum(low, high), min(low.t, high.t) + edge), max(low.t, high.t) - edge)
    return low


def _cubic_minimum(a: _Point, b: _Point) -> float:
    """Where the cubic through two points with their slopes is lowest; the middle, where there is no such place."""
    if not (math.isfinite(b.loss) and math.isfinite(b.slope)):
        return (a.t + b.t) / 2
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if square < 0:
        return (a.t + b.t) / 2
    d2 = math.copysign(math.sqrt(square), b.t - a.t)
    below = b.slope - a.slope + 2 * d2
    return b.t - (b.t - a.t) * (b.slope + d2 - d1) / below if below else (a.t + b.t) / 2
