"""One ``apply(op, args, attrs)`` and the interpreters behind it.

Nothing else in GraphFlow knows the mode: an op applied to concrete tensors outside any graph is computed at once (the
eager interpreter); inside ``with graph:``, under tracing, or on a symbolic tensor it is recorded (a recorder).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from graphflow.core.op import Op


class Interpreter(Protocol):
    """Gives ops their meaning: eager evaluation or recording into a graph."""

    def apply(self, op: Op, args: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        """Apply an op to tensors; gives a tensor (a tuple of them for ops with several results)."""

    def read_variable(self, variable: Any) -> Any:
        """The variable's current value as a tensor."""

    def assign_variable(self, variable: Any, value: Any) -> Any:
        """Set the variable; gives the new value as a tensor (or an operation, when recorded)."""


class _State(threading.local):
    recorder: Interpreter | None = None  # the innermost recorder of this thread, None for eager
    grad_enabled: bool = True


state = _State()
_eager: list[Interpreter] = []  # filled by graphflow.tensor: the eager interpreter needs the Tensor class


def set_eager(interpreter: Interpreter) -> None:
    _eager[:] = [interpreter]


def current(args: tuple[Any, ...] = ()) -> Interpreter:
    """The interpreter for an op with these tensors."""
    if state.recorder is not None:
        return state.recorder
    for a in args:
        if a._node is not None:
            recorder: Interpreter = a._node.graph.recorder
            return recorder
    return _eager[0]


def apply(op: Op, args: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
    """Apply an op to tensors under the current interpreter."""
    recorder = state.recorder
    if recorder is None:
        for a in args:
            if a._node is not None:
                recorder = a._node.graph.recorder
                break
        else:
            recorder = _eager[0]
    return recorder.apply(op, args, attrs)


def is_recording() -> bool:
    return state.recorder is not None


@contextmanager
def recording(recorder: Interpreter | None) -> Iterator[None]:
    """Record into ``recorder`` inside the block (None: compute eagerly, whatever is around)."""
    saved, state.recorder = state.recorder, recorder
    try:
        yield
    finally:
        state.recorder = saved


def init_scope() -> Any:
    """A context in which ops run eagerly even under tracing: for making initial values of state."""
    return recording(None)


class no_grad:
    """Switch gradient recording off inside a ``with`` block, or for a decorated function.

    >>> import graphflow as gf
    >>> x = gf.tensor([1.0], requires_grad=True)
    >>> with gf.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    _enabled = False

    def __enter__(self) -> None:
        self._saved = state.grad_enabled
        state.grad_enabled = self._enabled

    def __exit__(self, *exc: object) -> None:
        state.grad_enabled = self._saved

    def __call__(self, function: Any) -> Any:
        from functools import wraps

        @wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with type(self)():
                return function(*args, **kwargs)

        return wrapped


class enable_grad(no_grad):
    """Switch gradient recording on inside a ``with`` block (for example inside ``no_grad``)."""

    _enabled = True


def is_grad_enabled() -> bool:
    """Whether operations are recorded for gradients in this thread."""
    return state.grad_enabled
