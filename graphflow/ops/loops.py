"""Loops that depend on data: ``scan`` over the leading axis of sequences, ``while_loop`` as long as a condition holds.

Eagerly both are Python loops. Recorded, each is one node that holds its body as a graph of its own; variables that the
body assigns are part of the loop's state, tensors from outside that it uses are further operands.

    scan        takes (initial state.., sequences.., constants..), its body (state.., slice of each.., constants..) and
                gives (state.., an element of each result..); the loop gives the last state and the elements stacked
    while_loop  takes (initial state.., constants..), as do ``test``, which gives a bool, and the body, which gives the
                next state; the loop gives the last
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from graphflow.core import dispatch
from graphflow.core.aval import AVal
from graphflow.core.dims import Size, evaluate, same_size, shape_str
from graphflow.core.dtypes import bool_
from graphflow.core.errors import DTypeError, ShapeError, TraceError, at_line, user_origin
from graphflow.core.op import Op, register
from graphflow.core.tree import Tree, flatten, unflatten
from graphflow.ops.define import public
from graphflow.ops.movement import stack
from graphflow.tensor import Tensor, as_tensor

Array = Any


# -- the records -------------------------------------------------------------------------------------------------------
def _check_operands(name: str, body: Any, avals: Sequence[AVal], count: int) -> None:
    if len(body.inputs) != count:
        raise ShapeError(f"{name}: the graph {body.name!r} takes {len(body.inputs)} operands, got {count}")
    for number, (before, after) in enumerate(zip(avals, body.outputs)):
        check_alike(name, number, before, after.aval)


def check_alike(name: str, number: int, before: AVal, after: AVal) -> None:
    """Raise unless the state that a loop's body returns is like the one it got."""
    if before.dtype is not after.dtype:
        raise DTypeError(
            f"{name}: part {number} of the state is {before.dtype}, but the body returns {after.dtype} for it; "
            "make the initial value of that dtype, or use .astype in the body"
        )
    if len(before.shape) != len(after.shape) or not all(map(same_size, before.shape, after.shape)):
        raise ShapeError(
            f"{name}: part {number} of the state has shape {shape_str(before.shape)}, but the body returns "
            f"{shape_str(after.shape)} for it"
        )


def _scan_infer(
    *avals: AVal, body: Any, carries: int, xs: int, length: Size, reverse: bool, extends: Any = None
) -> Any:
    _check_operands("scan", body, avals[:carries], len(avals))
    for x in avals[carries : carries + xs]:
        if not x.shape or not same_size(x.shape[0], length):
            raise ShapeError(f"scan over {length} steps cannot walk {x.describe()}")
    parts = [n.aval for n in body.outputs[carries:]]
    return (*(n.aval for n in body.outputs[:carries]), *(AVal((length, *p.shape), p.dtype) for p in parts))


def _scan_ref(
    *operands: Array,
    body: Any,
    carries: int,
    xs: int,
    length: int,
    reverse: bool,
    extends: Any = None,
    sizes: Mapping[str, int] | None = None,
) -> Any:
    from graphflow.ir.interpreter import run_nested

    sizes = sizes or {}
    state, sequences, constants = operands[:carries], operands[carries : carries + xs], operands[carries + xs :]
    results = []
    for node in body.outputs[carries:]:
        shape = [length, *(evaluate(s, sizes) for s in node.aval.shape)]
        results.append(np.empty(shape, node.aval.dtype.np))
    for i in _steps(length, reverse):
        found = run_nested(body, (*state, *(x[i] for x in sequences), *constants), sizes)
        state = found[:carries]
        for result, element in zip(results, found[carries:]):
            result[i] = element
    return (*state, *results)


def _scan_vjp(gs: Any, needed: Sequence[bool], *operands: Tensor, **attrs: Any) -> Any:
    from graphflow.trace.loop_gradients import scan_gradients

    return scan_gradients(gs, needed, operands, **attrs)


def _while_infer(*avals: AVal, test: Any, body: Any, carries: int, extends: Any = None) -> Any:
    _check_operands("while_loop", body, avals[:carries], len(avals))
    decides = test.outputs[0].aval
    if decides.shape != () or decides.dtype is not bool_:
        raise DTypeError(f"the condition of while_loop must be a 0-d bool tensor, got {decides.describe()}")
    return tuple(n.aval for n in body.outputs)


def _while_ref(
    *operands: Array, test: Any, body: Any, carries: int, extends: Any = None, sizes: Mapping[str, int] | None = None
) -> Any:
    from graphflow.ir.interpreter import run_nested

    state, constants = operands[:carries], operands[carries:]
    while run_nested(test, (*state, *constants), sizes or {})[0]:
        state = run_nested(body, (*state, *constants), sizes or {})
    return tuple(state)


def _while_vjp(gs: Any, needed: Sequence[bool], *operands: Tensor, **attrs: Any) -> Any:
    from graphflow.trace.loop_gradients import while_gradients

    return while_gradients(gs, needed, operands, **attrs)


SCAN = register(Op("scan", "control", _scan_infer, _scan_ref, _scan_vjp, joint=True, doc="A loop over sequences."))
WHILE = register(
    Op("while_loop", "control", _while_infer, _while_ref, _while_vjp, joint=True, doc="A loop while a graph says so.")
)


# -- the functions -----------------------------------------------------------------------------------------------------
class Nest:
    """The tensors in a nesting of containers; what is None in it stays None.

    ``weak`` says which of them were Python numbers: a body may give them another dtype.
    """

    def __init__(self, value: Any) -> None:
        leaves, self.tree = flatten(value)
        self.places = [i for i, leaf in enumerate(leaves) if leaf is not None]
        self.tensors = [as_tensor(leaves[i]) for i in self.places]
        self.weak = [type(leaves[i]) in (int, float) for i in self.places]
        self._count = len(leaves)

    def filled(self, tensors: Sequence[Tensor]) -> Any:
        """The nesting with other tensors."""
        leaves: list[Any] = [None] * self._count
        for place, t in zip(self.places, tensors, strict=True):
            leaves[place] = t
        return unflatten(self.tree, leaves)

    def promoted(self, other: Nest) -> list[Any] | None:
        """The dtypes that Python numbers make room for in favour of those of ``other``; None if all fit already."""
        found = [
            o.dtype if weak and o.dtype.kind in ("float", t.dtype.kind) else t.dtype
            for t, o, weak in zip(self.tensors, other.tensors, self.weak)
        ]
        return None if all(d is t.dtype for d, t in zip(found, self.tensors)) else found

    def astype(self, dtypes: Sequence[Any]) -> Nest:
        """The same in other dtypes."""
        return Nest(self.filled([t.astype(d) for t, d in zip(self.tensors, dtypes)]))  # type: ignore[attr-defined]

    def same_nesting(self, other: Nest) -> bool:
        """Whether another value nests in the same way."""
        return _plain(self.tree) == _plain(other.tree) and self.places == other.places


def _plain(tree: Tree) -> Any:
    """A nesting in which lists count as tuples: bodies may return either."""
    if tree.kind is None:
        return None
    kind = tuple if tree.kind in (list, tuple) else tree.kind if isinstance(tree.kind, type) else type(tree.kind)
    return (kind, tree.keys, tuple(_plain(c) for c in tree.children))


class Promoted(Exception):
    """A Python number in the initial state turned out to stand for a number of another dtype."""

    def __init__(self, dtypes: list[Any]) -> None:
        super().__init__()
        self.dtypes = dtypes


def new_state(name: str, state: Nest, returned: Any) -> Nest:
    """What a body returned for the state.

    Raises TraceError, DTypeError or ShapeError if it is not like it was, Promoted if the body must be recorded again.
    """
    found = Nest(returned)
    if not state.same_nesting(found):
        message = f"{name}: the body returns the state as {found.tree!r}, but it is {state.tree!r}"
        raise TraceError(at_line(message, user_origin()))
    promoted = state.promoted(found)
    if promoted is not None and dispatch.is_recording():
        raise Promoted(promoted)
    if promoted is not None:
        state = state.astype(promoted)
    for number, (before, after) in enumerate(zip(state.tensors, found.tensors)):
        try:
            check_alike(name, number, before.aval, after.aval)
        except (DTypeError, ShapeError) as error:
            raise type(error)(at_line(str(error), user_origin())) from None
    return found


def _steps(length: int, reverse: bool) -> Iterator[int]:
    return reversed(range(length)) if reverse else iter(range(length))  # type: ignore[return-value]


@public
def scan(
    body_fn: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: Any = None,
    reverse: bool = False,
) -> tuple[Any, Any]:
    """Walk the leading axis of ``xs`` with a state: ``state, y = body_fn(state, x)``; gives the state and all ``y``.

    ``init``, ``xs`` and ``y`` are tensors or nested containers of them; the elements of ``y`` are stacked along a new
    leading axis. Without ``xs`` the body runs ``length`` times on None. With ``reverse`` the walk begins at the end
    (the results stay in the order of ``xs``). In a graph the body is recorded once, whatever the length, which may be
    symbolic; it may use tensors from outside, assign to variables and draw random numbers. Differentiable, to any
    order. Raises ShapeError or DTypeError if the state changes its shape or dtype on the way (as ``jax.lax.scan``).

    >>> total, sums = gf.scan(lambda s, x: (s + x, s + x), gf.tensor(0.0), gf.tensor([1.0, 2.0, 3.0]))
    >>> total.item(), sums.tolist()
    (6.0, [1.0, 3.0, 6.0])
    """
    state, sequences = Nest(init), Nest(xs)
    steps = _length(sequences.tensors, length)
    if dispatch.is_recording() or any(t._node is not None for t in (*state.tensors, *sequences.tensors)):
        from graphflow.trace.loops import record_scan

        with dispatch.recording(dispatch.current((*state.tensors, *sequences.tensors))):
            try:
                return record_scan(body_fn, state, sequences, steps, reverse)
            except Promoted as found:
                return record_scan(body_fn, state.astype(found.dtypes), sequences, steps, reverse)
    if steps == 0:
        return _no_steps(body_fn, state, sequences)
    slices = [t.unbind(0) for t in sequences.tensors]
    results: list[Any] = [None] * steps
    for i in _steps(steps, reverse):
        carry, y = _pair(body_fn(state.filled(state.tensors), sequences.filled([s[i] for s in slices])))
        state, results[i] = new_state("scan", state, carry), Nest(y)
    first = results[0]
    stacked = [stack(list(parts)) for parts in zip(*(r.tensors for r in results))]
    return state.filled(state.tensors), first.filled(stacked)


def _no_steps(body_fn: Callable[..., Any], state: Nest, sequences: Nest) -> tuple[Any, Any]:
    """A scan over nothing: the body is recorded for the shapes of its results only."""
    from graphflow.trace.loops import result_avals

    nest, avals = result_avals(body_fn, state, sequences)
    empty = [Tensor(np.empty((0, *a.shape), a.dtype.np)) for a in avals]
    return state.filled(state.tensors), nest.filled(empty)


def _pair(result: Any) -> tuple[Any, Any]:
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        got = f"a {type(result).__name__}" + (f" of {len(result)}" if isinstance(result, (tuple, list)) else "")
        message = f"the body of scan must return (state, y), got {got}; return None for a y that is not needed"
        raise TraceError(at_line(message, user_origin()))
    return result[0], result[1]


def _length(sequences: Sequence[Tensor], length: Any) -> Any:
    """The number of steps. Raises ShapeError where the sequences do not agree about it."""
    if not sequences and length is None:
        raise ShapeError(at_line("scan needs xs, or the length", user_origin()))
    found = length
    for t in sequences:
        if not t.shape:
            raise ShapeError(
                at_line("scan walks the leading axis of xs, but there is a 0-d tensor in it", user_origin())
            )
        if found is not None and not same_size(found, t.shape[0]):
            raise ShapeError(at_line(f"scan: xs differ in length: {found} and {t.shape[0]}", user_origin()))
        found = t.shape[0] if found is None else found
    return found


@public
def while_loop(cond_fn: Callable[..., Any], body_fn: Callable[..., Any], init: Any) -> Any:
    """``state = body_fn(state)`` as long as ``cond_fn(state)`` is true, beginning with ``init``; gives the last state.

    The state is a tensor or a nested container of them, of unchanging shapes and dtypes; ``cond_fn`` gives a bool. If
    ``init`` is a list or tuple, the functions may also take its items as arguments of their own, as in TensorFlow. In a
    graph both functions are recorded once; they may use tensors from outside, and the body may assign to variables.
    Differentiable, to any order: the gradient runs the loop again, in blocks of steps whose states it keeps.

    >>> gf.while_loop(lambda s: s[0] < 5, lambda s: (s[0] + 1, s[1] * 2.0), (gf.tensor(0), gf.tensor(1.0)))[1].item()
    32.0
    """
    state = Nest(init)
    test, body = _as_taken(cond_fn, init), _as_taken(body_fn, init)
    if dispatch.is_recording() or any(t._node is not None for t in state.tensors):
        from graphflow.trace.loops import record_while

        with dispatch.recording(dispatch.current(tuple(state.tensors))):
            try:
                return record_while(test, body, state)
            except Promoted as found:
                return record_while(test, body, state.astype(found.dtypes))
    while _decision(test(state.filled(state.tensors))):
        state = new_state("while_loop", state, body(state.filled(state.tensors)))
    return state.filled(state.tensors)


def _as_taken(function: Callable[..., Any], init: Any) -> Callable[[Any], Any]:
    """The function of the whole state: itself, or one that takes the items of a list or tuple one by one."""
    if not isinstance(init, (list, tuple)):
        return function
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return function
    try:
        signature.bind(init)
    except TypeError:
        return lambda state: function(*state)
    return function


def _decision(value: Any) -> bool:
    decides = as_tensor(value)
    if decides.dtype is not bool_ or decides.shape != ():
        message = f"the condition of while_loop must be one bool, got {decides.aval.describe()}"
        raise DTypeError(at_line(message, user_origin()))
    return bool(decides._data)
