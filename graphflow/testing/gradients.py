"""check_grad: gradients against central differences, in float64, to any order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphflow.autograd import gradients
from graphflow.core.dtypes import float64
from graphflow.ir.interpreter import evaluate
from graphflow.ops.creation import zeros_like
from graphflow.ops.elementwise import needs_gradient
from graphflow.tensor import Tensor
from graphflow.testing.calls import Call, record, run_eager

Scalar = Callable[[Sequence[Tensor]], Tensor]
_SYMMETRIC_STEP = 1e-5  # truncation errs by h**2, cancellation by 1e-16 / h: both near 1e-10 here


def check_grad(
    fn: Callable[..., Any],
    *args: Any,
    order: int = 2,
    mode: str = "eager",
    directions: int = 2,
    rtol: float = 1e-5,
    atol: float = 1e-6,
    seed: int = 0,
) -> None:
    """Compare the gradients of ``fn(*args)`` with numeric ones, up to derivatives of order ``order``.

    Floating-point tensors, arrays and numbers among the (nested) arguments are the variables, as float64.
    Results are weighed with random numbers into one scalar f. For random directions v the slope ``<grad f, v>`` is
    compared with ``(f(x + hv) - f(x - hv)) / 2h``; the slope is then the function whose gradient the next order checks.
    ``mode`` is "eager" or "graph" (the gradient graph, run by the NumPy interpreter). Raises AssertionError naming
    order and argument.

    >>> import graphflow as gf
    >>> gf.testing.check_grad(lambda x, y: gf.sin(x) * y, gf.tensor([0.1, 0.2]), 3.0)
    """
    if mode not in ("eager", "graph"):
        raise ValueError(f'mode is "eager" or "graph", got {mode!r}')
    call = Call(fn, args, numbers=True, float_dtype=np.float64)
    if not call.floating:
        raise ValueError("check_grad needs a floating-point tensor, array or number among the arguments")
    rng = np.random.default_rng(seed)
    for _ in range(directions):
        function: Scalar = _weighed(call, int(rng.integers(2**31)))
        for level in range(1, order + 1):
            vectors = {i: rng.standard_normal(call.arrays[i].shape) for i in call.floating}
            slope = _slope(function, vectors)
            _compare(function, slope, call.arrays, vectors, level, mode, rtol, atol)
            function = slope


def _weighed(call: Call, seed: int) -> Scalar:
    """The results' elements, weighed and summed. Weights come from the shapes, so every evaluation has the same."""

    def scalar(tensors: Sequence[Tensor]) -> Tensor:
        rng = np.random.default_rng(seed)
        total: Any = None
        for out in call.run(tensors):
            if out.dtype.is_float:
                weight = rng.uniform(0.5, 1.5, out.shape) * rng.choice([-1.0, 1.0], out.shape)
                term = (out.astype(float64) * Tensor(np.asarray(weight))).sum()  # type: ignore[attr-defined]
                total = term if total is None else total + term
        if total is None:
            raise ValueError("check_grad: the function has no floating-point result")
        return total  # type: ignore[no-any-return]

    return scalar


def _slope(function: Scalar, vectors: dict[int, Any]) -> Scalar:
    """<grad f, v> as a function of the same arguments."""

    def slope(tensors: Sequence[Tensor]) -> Tensor:
        value = function(tensors)
        targets = [tensors[i] for i in vectors]
        found = gradients(value, targets) if needs_gradient(value) else [None] * len(targets)
        total: Any = zeros_like(value)
        for g, v in zip(found, vectors.values()):
            if g is not None:
                total = total + (g * Tensor(v)).sum()
        return total  # type: ignore[no-any-return]

    return slope


def _runner(function: Scalar, arrays: Sequence[Any], mode: str) -> Callable[[Sequence[Any]], float]:
    if mode == "eager":
        return lambda xs: float(run_eager(lambda ts: [function(ts)], xs)[0])
    _, inputs, outputs = record(lambda ts: [function(ts)], arrays)
    return lambda xs: float(evaluate(outputs, dict(zip(inputs, xs)))[0])  # type: ignore[arg-type]


def _compare(
    function: Scalar,
    slope: Scalar,
    arrays: Sequence[Any],
    vectors: dict[int, Any],
    level: int,
    mode: str,
    rtol: float,
    atol: float,
) -> None:
    value = _runner(function, arrays, mode)

    def numeric(chosen: dict[int, Any]) -> float:
        h = _SYMMETRIC_STEP
        ahead, behind = (
            [a + sign * h * chosen[i] if i in chosen else a for i, a in enumerate(arrays)] for sign in (1, -1)
        )
        return (value(ahead) - value(behind)) / (2 * h)

    expected, got = numeric(vectors), _runner(slope, arrays, mode)(arrays)
    if not np.isfinite(got) or abs(got - expected) > atol + rtol * abs(expected):
        lines = [f"derivative of order {level} ({mode}) along a random direction is {got:.8g}, numeric {expected:.8g}"]
        for i, v in vectors.items():
            alone = _runner(_slope(function, {i: v}), arrays, mode)(arrays)
            lines.append(f"  operand {i}, shape {arrays[i].shape}: {alone:.8g}, numeric {numeric({i: v}):.8g}")
        raise AssertionError("\n".join(lines))
