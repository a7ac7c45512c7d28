"""Composite functions that eager mode runs as native programs.

A function marked ``@fused`` is an ordinary composite of public functions. Recorded, it is just that. Called eagerly
again and again with operands of one kind, it becomes one native program (graphflow/runtime/fused.py) in place of many
NumPy calls; its gradient becomes another. The first ``gf.config(native_after=...)`` calls run as written, so trying
something out never waits for a compiler, and which calls those are is a matter of counting only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from graphflow.core.config import current as settings
from graphflow.core.dispatch import state
from graphflow.core.errors import IndexingError
from graphflow.tensor import Tensor, as_tensor
from graphflow.variable import Parameter, Variable

_NUMBERS = (int, float, bool, str, type(None))  # arguments that are part of the program

Layout = str | Callable[[tuple[int, ...], dict[str, Any]], str]


class Composite:
    """What eager mode knows of one marked function.

    layout    how operands may differ in size and still share a program:
              "batch"  along axis 0, of those named in ``batched``
              "rows"   along all axes of the first operand but its last
              "flat"   in any way, if they are all of one shape: the function is elementwise
              or a function of the first operand's shape and the other arguments that chooses one of these
    recheck   NaN in the result may stand for an error (labels out of range): then the plain function decides
    """

    def __init__(self, function: Callable[..., Any], layout: Layout, batched: Sequence[str], recheck: bool) -> None:
        self.function = function
        self.name = function.__name__
        code = function.__code__
        self.parameters = code.co_varnames[: code.co_argcount]
        self.layout = layout
        self.batched = frozenset(batched)
        self.recheck = recheck
        self.calls: dict[Any, Any] = {}  # for each kind of call: its FusedCall, or None to run the function as it is
        self.families: dict[Any, Any] = {}  # kinds of calls that share a program
        self.sizes: dict[Any, set[Any]] = {}  # the shapes of families that differ in nothing else
        self.axes_agree = False  # whether a program for any size needs to know that sizes of different axes are equal
        self.failures: list[str] = []  # why programs could not be made

    def prepare(self, key: tuple[Any, ...], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The native call for arguments of a kind that has none yet; None until it was seen often enough."""
        from graphflow.runtime.fused import prepare

        return prepare(self, key, args, kwargs)


COMPOSITES: list[Composite] = []


def fused(layout: Layout, *batched: str, recheck: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Mark a composite of public functions for native programs in eager mode (see ``Composite``)."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        composite = Composite(function, layout, batched, recheck)
        COMPOSITES.append(composite)
        calls = composite.calls

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            if state.recorder is not None or not settings.native:
                return function(*args, **kwargs)
            key: list[Any] = []
            operands: list[Tensor] = []
            for a in (*args, *kwargs.values()) if kwargs else args:
                kind = type(a)
                if kind is Parameter or kind is Variable:
                    a = a._snapshot if a._snapshot is not None else a.snapshot()
                elif kind is not Tensor:
                    if kind in _NUMBERS:
                        key += (kind, a) if a or kind is not float else (kind, str(a))  # tells -0.0 from 0.0
                        continue
                    if kind is tuple and all(type(i) is int for i in a):
                        key.append(a)
                        continue
                    if kind is np.ndarray:
                        args, kwargs = _as_tensors(args), dict(zip(kwargs, _as_tensors(kwargs.values())))
                        return call(*args, **kwargs)
                    return function(*args, **kwargs)
                data = a._data
                if data is None:
                    return function(*args, **kwargs)
                operands.append(a)
                key += (data.dtype.num, data.shape)
            signature = (*key, *kwargs) if kwargs else tuple(key)
            try:
                found = calls[signature]
            except KeyError:
                found = composite.prepare(signature, args, kwargs)
            if found is not None:
                try:
                    result = found(operands)
                except IndexingError:  # the plain function's message is about what the user wrote
                    return function(*args, **kwargs)
                if not recheck or not _has_nan(result._data):
                    return result
            return function(*args, **kwargs)

        call.composite = composite  # type: ignore[attr-defined]
        return call

    return decorate


def _as_tensors(values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(as_tensor(v) if type(v) is np.ndarray else v for v in values)


def _has_nan(data: Any) -> bool:
    if data.ndim:
        return bool((data != data).any())
    value = data.item()
    return bool(value != value)


def all_axes_but_last(shape: tuple[int, ...], given: dict[str, Any]) -> str:
    """The layout of functions along one ``axis`` (``dim``): rows, where that is the last one."""
    axis = given.get("dim")
    axis = given.get("axis", -1) if axis is None else axis
    return "rows" if axis == -1 or (axis == 1 and len(shape) == 2) else "batch"
