"""Ops of the user's own: ``custom_op`` makes one from a NumPy function, and from a Numba kernel where there is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from graphflow.core.aval import AVal
from graphflow.core.dispatch import apply
from graphflow.core.dtypes import as_dtype
from graphflow.core.errors import DTypeError, GradientError, ShapeError, at_line, user_origin
from graphflow.core.op import OPS, Op
from graphflow.ops.define import public
from graphflow.tensor import Tensor, as_tensor


class UserKernel:
    """A Numba kernel and its settings; its text tells apart what must not share code."""

    def __init__(self, function: Callable[..., Any], settings: dict[str, Any]) -> None:
        self.function = function
        self.settings = settings

    def __repr__(self) -> str:
        return f"user kernel {id(self.function)} {self.settings!r}"


@public
def custom_op(
    forward: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    output: Callable[..., Any] | None = None,
    vjp: Callable[..., Any] | None = None,
    kernel: Callable[..., Any] | None = None,
) -> Callable[..., Any]:
    """Make an op of a NumPy function: for every mode, with a gradient, and natively if there is a Numba kernel.

    The result takes tensors and, by keyword, settings (numbers, strings, tuples), which become part of the graph.

    forward  ``forward(*arrays, **settings)`` gives the array, and depends on nothing else; it must not change arrays.
             It has the meaning; eager code, and programs where there is no kernel, call it
    name     the op's name in graphs and errors; that of the function if left out. Defining it again replaces it
    output   ``output(*specs, **settings)`` gives the result's ``(shape, dtype)`` from operands that have ``shape`` and
             ``dtype`` (sizes may be symbolic); if left out, these are the first operand's
    vjp      ``vjp(g, out, *tensors, **settings)`` gives a gradient for each operand (None: none), written with
             graphflow functions; if left out, asking for one raises GradientError
    kernel   ``kernel(out, *arrays, **settings)`` fills `out`, with code that Numba compiles. Arrays are C-contiguous.
             A compiled program calls it without going through Python

    Raises ShapeError or DTypeError where `forward` gives something else than `output` says, and ValueError for a name
    that a built-in op has.

    >>> import numpy as np
    >>> def fill(out, x, low):
    ...     for i in range(x.size):
    ...         out.flat[i] = max(x.flat[i], low)
    >>> at_least = gf.custom_op(
    ...     lambda x, low: np.maximum(x, np.float32(low)),
    ...     name="at_least",
    ...     vjp=lambda g, out, x, low: gf.where(x > low, g, 0.0),
    ...     kernel=fill,
    ... )
    >>> at_least(gf.tensor([1.0, 3.0]), low=2.0).numpy(), gf.compile(lambda x: at_least(x, low=2.0))([1.0, 3.0]).numpy()
    (array([2., 3.], dtype=float32), array([2., 3.], dtype=float32))
    """
    if forward is None:
        return lambda f: custom_op(f, name=name, output=output, vjp=vjp, kernel=kernel)
    for what, value in (("forward", forward), ("output", output), ("vjp", vjp), ("kernel", kernel)):
        if value is not None and not callable(value):
            raise TypeError(f"custom_op: {what} must be a function, got a {type(value).__name__}")
    op = _record(str(name or getattr(forward, "__name__", "custom")), forward, output, vjp, kernel)
    known = OPS.get(op.name)
    if known is not None and known.kind != "custom":
        raise ValueError(f"custom_op: {op.name!r} is a built-in op; give another name")
    OPS[op.name] = op

    def call(*operands: Any, **settings: Any) -> Tensor:
        if not operands:
            raise TypeError(f"{op.name} takes at least one tensor; settings go by keyword")
        return apply(op, tuple(as_tensor(x) for x in operands), settings)  # type: ignore[no-any-return]

    call.__name__, call.__doc__ = op.name, forward.__doc__
    return call


def _record(name: str, forward: Any, output: Any, vjp: Any, kernel: Any) -> Op:
    def infer(*operands: AVal, **settings: Any) -> AVal:
        if output is None:
            return AVal(operands[0].shape, operands[0].dtype)
        shape, dtype = output(*operands, **settings)
        return AVal(tuple(shape), as_dtype(dtype))

    def ref(*arrays: Any, **settings: Any) -> Any:
        views = [np.asarray(a).view() for a in arrays]
        for view in views:
            view.flags.writeable = False
        result = np.asarray(forward(*views, **settings))
        wanted = infer(*(AVal(v.shape, as_dtype(v.dtype)) for v in views), **settings)
        if result.shape != wanted.shape:
            problem = f"{name} gave shape {result.shape}, {_promised(output)} {wanted.shape}"
            raise ShapeError(at_line(f"{problem}; make forward and output agree", user_origin()))
        if result.dtype != wanted.dtype.np:
            problem = f"{name} gave {result.dtype}, {_promised(output)} {wanted.dtype}"
            raise DTypeError(at_line(f"{problem}; cast the result, or say so in output", user_origin()))
        return result

    def rule(g: Tensor, out: Tensor, *inputs: Tensor, **settings: Any) -> tuple[Any, ...]:
        if vjp is None:
            raise GradientError(at_line(f"{name} has no gradient: give custom_op a vjp, or detach", user_origin()))
        slopes = vjp(g, out, *inputs, **settings)
        slopes = tuple(slopes) if isinstance(slopes, (tuple, list)) else (slopes,)
        if len(slopes) != len(inputs):
            problem = f"the vjp of {name} must give one gradient for each of {len(inputs)} operands, got {len(slopes)}"
            raise GradientError(at_line(problem, user_origin()))
        return tuple(None if s is None else as_tensor(s) for s in slopes)

    def emit(*operands: AVal, **settings: Any) -> tuple[str, UserKernel]:
        return "user", UserKernel(kernel, settings)

    doc = (forward.__doc__ or f"{name}, an op of the user's.").partition("\n")[0]
    return Op(name, "custom", infer, ref, rule, emit if kernel else None, dtypes="any", doc=doc)


def _promised(output: Any) -> str:
    return "where its first operand has" if output is None else "where its output function says"
