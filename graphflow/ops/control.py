"""Control flow that depends on data: ``cond`` runs one of two functions.

Its record holds the two branches as graphs of their own. They take the same operands: all that either of them uses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graphflow.core import dispatch
from graphflow.core.dtypes import bool_
from graphflow.core.errors import DTypeError, ShapeError, at_line, user_origin
from graphflow.core.op import Op, register
from graphflow.ops.define import public
from graphflow.tensor import Tensor, as_tensor

Array = Any


def _infer(pred: Any, *operands: Any, true: Any, false: Any) -> Any:
    if pred.shape != () or pred.dtype is not bool_:
        raise DTypeError(f"cond needs a 0-d bool tensor to decide, got {pred.describe()}")
    return tuple(n.aval for n in true.outputs)


def _ref(pred: Array, *operands: Array, true: Any, false: Any, sizes: Mapping[str, int] | None = None) -> Any:
    from graphflow.ir.interpreter import run_nested

    return run_nested(true if pred else false, operands, sizes or {})


def _vjp(
    gs: Mapping[int, Tensor], needed: Sequence[bool], pred: Tensor, *operands: Tensor, true: Any, false: Any
) -> Any:
    from graphflow.trace.branches import slopes_of

    wanted = [i for i, x in enumerate(operands) if needed[i + 1] and x.dtype.is_float]
    if not wanted:
        return (None,) * (1 + len(operands))
    found = cond(
        pred, slopes_of(true, tuple(gs), wanted), slopes_of(false, tuple(gs), wanted), [*gs.values()], *operands
    )
    by_place = dict(zip(wanted, found))
    return (None, *(by_place.get(i) for i in range(len(operands))))


COND = register(Op("cond", "control", _infer, _ref, _vjp, joint=True, doc="One of two graphs, as a bool decides."))


@public
def cond(pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any], *operands: Any) -> Any:
    """``true_fn(*operands)`` if ``pred`` is true, else ``false_fn(*operands)``; only the chosen one runs.

    ``pred`` is a bool or a 0-d bool tensor. In a graph both functions are recorded, and must return the same nesting of
    tensors of equal shapes and dtypes; they may use tensors from outside and assign to variables. Gradients pass
    through, to any order. Raises DTypeError for a ``pred`` that is no bool, ShapeError or DTypeError where the results
    differ.

    >>> f = gf.compile(lambda x: gf.cond(x.sum() > 0, lambda v: v * 2, lambda v: -v, x))
    >>> f(gf.tensor([1.0, 2.0])).tolist(), f(gf.tensor([-1.0, -2.0])).tolist()
    ([2.0, 4.0], [1.0, 2.0])
    """
    decides = as_tensor(pred)
    if decides.dtype is not bool_:
        raise DTypeError(at_line(f"cond needs a bool to decide, got {decides.aval.describe()}", user_origin()))
    if decides.shape != ():
        raise ShapeError(at_line(f"cond needs one bool to decide, got shape {decides.shape}", user_origin()))
    if decides._node is None:
        return (true_fn if decides._data else false_fn)(*operands)
    from graphflow.trace.branches import record_cond

    with dispatch.recording(dispatch.current((decides,))):
        return record_cond(decides, true_fn, false_fn, operands)
