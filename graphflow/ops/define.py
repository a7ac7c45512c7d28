"""How op records become public functions and Tensor methods.

``elementwise``, ``reduction`` and ``primitive`` each take everything about one op, register its record, attach its
methods and operators to Tensor and Variable, and give back the public function. One call is one op.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from graphflow.core import dispatch, quiet
from graphflow.core.aval import AVal
from graphflow.core.dims import Dim, broadcast_shapes
from graphflow.core.dispatch import apply
from graphflow.core.dtypes import DType, bool_, default_float, promote_types
from graphflow.core.errors import DTypeError, at_line, user_origin
from graphflow.core.op import Kind, Op, Sample, register
from graphflow.tensor import Operators, Tensor, as_tensor, number

# Which dtypes an op takes, by the names used in records. Ints given to a "float" op become float32, as in PyTorch.
DTYPE_KINDS: dict[str, tuple[str, ...]] = {
    "any": ("bool", "int", "uint", "float"),
    "numeric": ("int", "uint", "float"),
    "float": ("float",),
    "wide float": ("float",),  # of 32 bits or more: what calls the op sees to that
    "int": ("int", "uint"),
    "int or bool": ("bool", "int", "uint"),
    "bool": ("bool",),
}

_NP_BOOL = np.dtype(bool)

FUNCTIONS: dict[str, Callable[..., Any]] = {}  # every public function made here; graphflow/__init__ exports them


def public(function: Callable[..., Any] | None = None, *, methods: Iterable[str] = (), name: str | None = None) -> Any:
    """Make a function part of ``gf.*`` and, under ``methods``, a method of Tensor and Variable."""

    def attach(f: Callable[..., Any]) -> Callable[..., Any]:
        FUNCTIONS[name or f.__name__] = f
        for method in methods:
            setattr(Operators, method, f)
        return f

    return attach(function) if function is not None else attach


def elementwise(
    name: str,
    ref: Callable[..., Any],
    emit: Callable[..., Any],
    vjp: Callable[..., Any] | None = None,
    *,
    arity: int = 1,
    dtypes: str = "numeric",
    result: str = "same",
    methods: tuple[str, ...] = (),
    reflected: str | None = None,
    samples: Callable[[], Iterable[Sample]] | None = None,
    low: float = -2.0,
    high: float = 2.0,
    commutative: bool = False,
    cost: int = 1,
    doc: str = "",
) -> Callable[..., Tensor]:
    """Define an elementwise op: its record, public function, methods and operators.

    ref      NumPy reference on arrays of one common dtype; a result of another dtype is cast back
    emit     (b, *values) -> value with a ScalarBuilder
    vjp      (g, out, *inputs) -> gradients, in graphflow functions; None where it has no gradient
    dtypes   a key of DTYPE_KINDS; "float" turns integer operands into float32
    result   "same" dtype as the operands, or "bool"
    methods  method and operator names; ``reflected`` names the swapped operator (``__radd__``)
    low, high, samples   what the registry's tests feed it
    """
    out_bool = result == "bool"

    def infer(*avals: AVal) -> AVal:
        dtype = avals[0].dtype
        for a in avals[1:]:
            if a.dtype is not dtype:
                raise DTypeError(f"{name} needs operands of one dtype, got {' and '.join(str(a.dtype) for a in avals)}")
        if dtype.kind not in DTYPE_KINDS[dtypes]:
            raise DTypeError(f"{name} takes {dtypes} tensors, got {dtype}")
        shape = avals[0].shape if arity == 1 else broadcast_shapes(*(a.shape for a in avals))
        return AVal(shape, bool_ if out_bool else dtype)

    def exact_ref(*arrays: Any) -> Any:
        token = quiet.enter()
        try:
            out = ref(*arrays)
            dtype = _NP_BOOL if out_bool else arrays[0].dtype
            return out if out.dtype is dtype or out.dtype == dtype else out.astype(dtype)
        finally:
            quiet.leave(token)

    default_samples = samples or (lambda: _default_samples(arity, low, high))
    record = register(
        Op(name, "map", infer, exact_ref, vjp, emit, default_samples, dtypes, commutative, cost, doc or name)
    )
    function = _FRONTS[arity](record)
    _dress(function, name, doc)
    public(function, methods=methods, name=name)
    if reflected is not None:
        setattr(Operators, reflected, _swapped(function))
    return function


def _default_samples(arity: int, low: float, high: float) -> list[Sample]:
    shapes: list[tuple[Any, ...]] = [((3, 4),) * arity, ((),) * arity, ((0, 2),) * arity]
    if arity == 2:
        shapes += [((3, 1), (4,)), ((), (2, 3))]
    if arity == 3:
        shapes += [((3, 1), (4,), ())]
    return [Sample(s, low=low, high=high) for s in shapes]


def _unary(op: Op) -> Callable[..., Tensor]:
    kinds = DTYPE_KINDS[op.dtypes]

    def function(x: Any, /) -> Tensor:
        if type(x) is not Tensor:
            x = as_tensor(x)
        if x.dtype.kind not in kinds:
            x = coerce(op, x)
        return apply(op, (x,), {})  # type: ignore[no-any-return]

    return function


def _binary(op: Op) -> Callable[..., Tensor]:
    kinds = DTYPE_KINDS[op.dtypes]

    def function(x1: Any, x2: Any, /) -> Tensor:
        # The usual cases first: two tensors of one dtype, or one of floating-point numbers and a Python number.
        if type(x1) is Tensor:
            dtype = x1.dtype
            if dtype.kind in kinds:
                if type(x2) is Tensor:
                    if x2.dtype is dtype:
                        return apply(op, (x1, x2), {})  # type: ignore[no-any-return]
                elif dtype.kind == "float" and (type(x2) is float or type(x2) is int):
                    return apply(op, (x1, number(x2, dtype)), {})  # type: ignore[no-any-return]
        elif type(x2) is Tensor and (type(x1) is float or type(x1) is int):
            dtype = x2.dtype
            if dtype.kind == "float" and "float" in kinds:
                return apply(op, (number(x1, dtype), x2), {})  # type: ignore[no-any-return]
        if not (_operand(x1) and _operand(x2)):
            return NotImplemented
        return apply(op, tuple(coerce(op, t) for t in promote(x1, x2)), {})  # type: ignore[no-any-return]

    return function


def _variadic(op: Op) -> Callable[..., Tensor]:
    def function(*xs: Any) -> Tensor:
        return apply(op, tuple(coerce(op, t) for t in promote(*xs)), {})  # type: ignore[no-any-return]

    return function


_FRONTS: dict[int, Callable[[Op], Callable[..., Tensor]]] = {1: _unary, 2: _binary, 3: _variadic}


def _operand(value: Any) -> bool:
    return isinstance(value, (Operators, int, float, np.ndarray, np.generic, list, tuple, Dim))


def promote(*values: Any) -> tuple[Tensor, ...]:
    """The operands as tensors of their common dtype; Python numbers take the tensors' dtype where it can hold them.

    A symbolic size counts as a Python number.
    """
    dtype: DType | None = None
    tensors: list[Any] = []
    has_size = False
    for v in values:
        if isinstance(v, (bool, int, float, Dim)) and not isinstance(v, np.generic):
            tensors.append(v)
            has_size = has_size or type(v) is Dim
            continue
        t = as_tensor(v)
        tensors.append(t)
        dtype = t.dtype if dtype is None else promote_types(dtype, t.dtype)
    if dtype is None:
        tensors = [as_tensor(v) for v in tensors]
        dtype = tensors[0].dtype
        for t in tensors[1:]:
            dtype = promote_types(dtype, t.dtype)
    else:
        if has_size:  # sizes are read in the graph of the tensors they meet
            with dispatch.recording(dispatch.current(tuple(t for t in tensors if type(t) is Tensor))):
                tensors = [as_tensor(t, like=dtype) if isinstance(t, Dim) else t for t in tensors]
        tensors = [t if isinstance(t, Tensor) else as_tensor(t, like=dtype) for t in tensors]
        for t in tensors:
            dtype = promote_types(dtype, t.dtype)
    return tuple(t if t.dtype is dtype else cast(t, dtype) for t in tensors)


def coerce(op: Op, x: Tensor) -> Tensor:
    """Integers given to a floating-point op become float32; any other unfit dtype raises DTypeError."""
    dtype = x.dtype
    if dtype.kind in DTYPE_KINDS[op.dtypes]:
        return x
    if op.dtypes == "float" and dtype.kind in ("int", "uint", "bool"):
        return cast(x, default_float)
    raise DTypeError(at_line(f"{op.name} takes {op.dtypes} tensors, got {dtype}", user_origin()))


def primitive(
    name: str,
    kind: Kind,
    infer: Callable[..., Any],
    ref: Callable[..., Any],
    vjp: Callable[..., Any] | None = None,
    emit: Any = None,
    *,
    samples: Callable[[], Iterable[Sample]] | None = None,
    dtypes: str = "any",
    cost: int = 1,
    doc: str = "",
) -> Op:
    """Register a record whose public function is written by hand (it normalises arguments, then calls ``apply``)."""
    return register(Op(name, kind, infer, ref, vjp, emit, samples, dtypes, cost=cost, doc=doc or name))


def cast(x: Tensor, dtype: DType) -> Tensor:
    """x in another dtype (the ``cast`` op)."""
    return x if x.dtype is dtype else apply(CAST, (x,), {"dtype": dtype})


def _cast_ref(x: Any, dtype: DType) -> Any:
    token = quiet.enter()
    try:
        return x.astype(dtype.np)
    finally:
        quiet.leave(token)


def _cast_vjp(g: Tensor, out: Tensor, x: Tensor, dtype: DType) -> tuple[Tensor | None]:
    return (cast(g, x.dtype) if x.dtype.is_float and dtype.is_float else None,)


CAST = primitive(
    "cast",
    "map",
    lambda a, dtype: AVal(a.shape, dtype),
    _cast_ref,
    _cast_vjp,
    lambda b, x, dtype: b.cast(x, dtype.name),
    samples=lambda: [Sample(((3, 4),), {"dtype": bool_}, grad=False), Sample(((3, 4),), {"dtype": default_float})],
)


def _swapped(function: Callable[..., Any]) -> Callable[..., Any]:
    def reflected(self: Any, other: Any) -> Any:
        return function(other, self)

    return reflected


def _dress(function: Callable[..., Any], name: str, doc: str) -> None:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc or f"Elementwise {name}."
    function.__module__ = "graphflow"
