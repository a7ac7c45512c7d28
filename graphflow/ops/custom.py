"""Values with gradient rules of their own: the user's with ``custom_gradient``, and those of our own composites."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from graphflow.core.dispatch import apply
from graphflow.core.errors import GradientError, at_line, user_origin
from graphflow.core.op import Op, Sample, register
from graphflow.ops.define import public
from graphflow.tensor import Tensor, as_tensor


def _gradient(g: Tensor, out: Tensor, value: Tensor, *args: Tensor, gradient: Any) -> tuple[Any, ...]:
    slopes = gradient(g)
    slopes = tuple(slopes) if isinstance(slopes, (tuple, list)) else (slopes,)
    if len(slopes) != len(args):
        raise GradientError(
            at_line(
                f"a custom gradient must give one gradient for each of {len(args)} arguments, got {len(slopes)}",
                user_origin(),
            )
        )
    return (None, *(None if s is None else as_tensor(s) for s in slopes))


GIVES_FIRST: set[str] = set()
"""Ops whose value is their first operand: the others are there for the gradient. Graphs that run keep none of them."""


def rule(name: str, vjp: Callable[..., Any], doc: str, samples: Callable[[], list[Sample]], dtypes: str = "any") -> Op:
    """Register an op that gives its first operand and has the gradient rule ``vjp(g, out, value, *args, **attrs)``.

    ``vjp`` gives None for the value. A composite computes that without gradients, then applies the op to it and to what
    the rule wants to know; written with graphflow functions of these operands, the rule can be differentiated again.
    """
    GIVES_FIRST.add(name)
    op = Op(
        name,
        "view",
        lambda value, *args, **attrs: value,
        lambda value, *args, **attrs: value,
        vjp,
        lambda view, **attrs: view,
        samples,
        dtypes,
        doc=doc,
    )
    return register(op)


WITH_GRADIENT = rule(
    "with_gradient",
    _gradient,
    "A value with a gradient rule of the user's own.",
    lambda: [Sample(((2, 3), (2, 3)), {"gradient": lambda g: g}, grad=False)],
)


@public
def custom_gradient(function: Callable[..., Any]) -> Callable[..., Tensor]:
    """Give a function a gradient of its own (TensorFlow's decorator), in every mode.

    The function takes tensors and returns ``(value, gradient)``; ``gradient(g)`` takes the gradient of the value and
    gives one for each argument (None: no gradient), written with graphflow functions. Raises GradientError where their
    number is wrong.

    >>> @gf.custom_gradient
    ... def log1pexp(x):
    ...     e = gf.exp(x)
    ...     return gf.log(1 + e), lambda g: g * (1 - 1 / (1 + e))
    >>> gf.grad(log1pexp)(gf.tensor(100.0)).item()
    1.0
    """

    @wraps(function)
    def wrapped(*args: Any) -> Tensor:
        tensors = tuple(as_tensor(a) for a in args)
        value, gradient = function(*tensors)  # what ``gradient`` closes over is differentiable, for higher orders
        operands = (as_tensor(value).detach(), *tensors)
        return apply(WITH_GRADIENT, operands, {"gradient": gradient})  # type: ignore[no-any-return]

    return wrapped
