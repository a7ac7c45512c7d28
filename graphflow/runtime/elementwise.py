"""Elementwise operations on large tensors, run natively by eager mode: in several threads, where NumPy uses one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.core import config
from graphflow.core.aval import AVal
from graphflow.core.dims import Dim
from graphflow.core.dispatch import apply
from graphflow.core.op import Op
from graphflow.runtime.fused import KINDS, PureFunction
from graphflow.tensor import Tensor

LARGE = 1 << 17
"""Elements from which several threads beat NumPy's one."""
# Measured, float32: in NumPy these take at least twice as long as a native kernel in one thread ...
_SLOW = {"sigmoid", "logaddexp", "erf", "erfc", "lgamma", "polygamma", "floor_divide", "remainder", "hypot", "log1p"}
_SLOW |= {"sign", "nextafter", "copysign", "logical_and", "logical_or", "logical_xor", "logical_not"}
# ... and these at most half as long: its vector library knows them.
_FAST = {"pow", "sin", "cos", "tan", "sinh", "cosh", "asinh", "acosh", "atanh", "atan2", "atan", "random_bits", "iota"}
_SIZE = Dim("n")
_programs: dict[Any, Any] = {}  # for each operation on certain dtypes how often it was run, then its program


def run(op: Op, args: Sequence[Tensor], attrs: dict[str, Any]) -> Any:
    """The array that an elementwise operation gives for large operands; None where NumPy is to compute it."""
    name = op.name
    if op.kind != "map" or name in _FAST:
        return None
    arrays: list[Any] = [a._data for a in args]
    shape = max((a.shape for a in arrays), key=len)
    many = max(a.size for a in arrays) >= LARGE
    if not (many or name in _SLOW):
        return None
    key: list[Any] = [op, many, *attrs.items()]
    for a in arrays:
        if a.ndim and (a.shape != shape or not a.flags.c_contiguous):
            return None
        key += (a.dtype.num, a.ndim > 0)
    try:
        program = _programs.get(tuple(key), 0)
    except TypeError:  # an attribute that is not hashable
        return None
    if type(program) is int:
        program = _next(tuple(key), program, op, args, attrs, many)
    if program is None:
        return None
    return program.run([a.reshape(-1) if a.ndim > 1 else a for a in arrays])[0].reshape(shape)


def _next(key: tuple[Any, ...], count: int, op: Op, args: Sequence[Tensor], attrs: dict[str, Any], many: bool) -> Any:
    """Count one more call, and make the program when it is time."""
    if count < config.get("native_after"):
        if len(_programs) >= KINDS:
            _programs.clear()
        _programs[key] = count + 1
        return None
    avals = [AVal((_SIZE,) if a.ndim else (), a.dtype) for a in args]
    try:
        program: Any = PureFunction.record(op.name, lambda *operands: apply(op, operands, attrs), avals).executable
        program.num_threads = None if many else 1  # a thread takes longer to wake up than a few thousand elements
    except Exception:  # what cannot be compiled runs as it is written
        program = None
    _programs[key] = program
    return program
