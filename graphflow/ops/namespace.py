"""What the Array API standard asks of a namespace besides functions of tensors: data types, constants, inspection."""

from __future__ import annotations

import math
from typing import Any

from graphflow.core import dtypes
from graphflow.core.dtypes import DType, as_dtype, make_finfo, make_iinfo, promote_types, scalar_result_type
from graphflow.ops.define import public
from graphflow.tensor import Operators

e, pi, inf, nan = math.e, math.pi, math.inf, math.nan
newaxis = None

# The kinds of the standard, and those of our dtypes that belong to each.
_KINDS: dict[str, tuple[str, ...]] = {
    "bool": ("bool",),
    "signed integer": ("int",),
    "unsigned integer": ("uint",),
    "integral": ("int", "uint"),
    "real floating": ("float",),
    "complex floating": ("complex",),
    "numeric": ("int", "uint", "float", "complex"),
}


def _dtype_of(value: Any) -> DType:
    """A dtype, or that of an array."""
    if isinstance(value, Operators) or (hasattr(value, "__array__") and hasattr(value, "dtype")):
        value = value.dtype
    return as_dtype(value)


@public
def finfo(type: Any, /) -> dtypes.finfo:
    """The limits of a floating-point dtype, or of a tensor's. Raises DTypeError for other dtypes.

    >>> import graphflow as gf
    >>> gf.finfo(gf.float32).bits, gf.finfo(gf.float64).eps
    (32, 2.220446049250313e-16)
    """
    return make_finfo(_dtype_of(type))


@public
def iinfo(type: Any, /) -> dtypes.iinfo:
    """The limits of an integer dtype, or of a tensor's. Raises DTypeError for other dtypes.

    >>> import graphflow as gf
    >>> gf.iinfo(gf.int8).max
    127
    """
    return make_iinfo(_dtype_of(type))


@public
def isdtype(dtype: Any, kind: Any) -> bool:
    """Whether a dtype is of a kind: a dtype, a kind's name ("integral", "real floating", ...), or a tuple of them.

    >>> import graphflow as gf
    >>> gf.isdtype(gf.int8, "integral"), gf.isdtype(gf.float32, (gf.float64, "bool"))
    (True, False)
    """
    if isinstance(kind, tuple):
        return any(isdtype(dtype, k) for k in kind)
    if isinstance(kind, str):
        if kind not in _KINDS:
            raise ValueError(f"no kind of dtypes {kind!r}; there are: {', '.join(map(repr, _KINDS))}")
        return as_dtype(dtype).kind in _KINDS[kind]
    return as_dtype(dtype) is as_dtype(kind)


@public
def can_cast(from_: Any, to: Any, /) -> bool:
    """Whether promotion can turn a dtype (or a tensor's) into another.

    >>> import graphflow as gf
    >>> gf.can_cast(gf.int8, gf.int16), gf.can_cast(gf.float32, gf.int32)
    (True, False)
    """
    return dtypes.can_cast(_dtype_of(from_), as_dtype(to))


@public
def result_type(*arrays_and_dtypes: Any) -> DType:
    """The dtype of an operation on these tensors, dtypes and Python numbers (which follow the others).

    >>> import graphflow as gf
    >>> gf.result_type(gf.int8, gf.int16), gf.result_type(gf.ones(2), 1)
    (graphflow.int16, graphflow.float32)
    """
    numbers = [v for v in arrays_and_dtypes if type(v) in (bool, int, float)]
    found = [_dtype_of(v) for v in arrays_and_dtypes if type(v) not in (bool, int, float)]
    if not found:
        if not numbers:
            raise ValueError("result_type needs at least one argument")
        found = [as_dtype(type(v)) for v in numbers]
    out = found[0]
    for dtype in found[1:]:
        out = promote_types(out, dtype)
    for number in numbers:
        out = scalar_result_type(out, number)
    return out


class ArrayNamespaceInfo:
    """The Array API's inspection of a namespace."""

    def capabilities(self) -> dict[str, Any]:
        """What tensors can do; results of data-dependent shape need concrete tensors."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> str:
        return "cpu"

    def devices(self) -> list[str]:
        return ["cpu"]

    def default_dtypes(self, *, device: Any = None) -> dict[str, DType]:
        """The dtypes that Python numbers get."""
        return {
            "real floating": dtypes.default_float,
            "complex floating": dtypes.complex64,
            "integral": dtypes.default_int,
            "indexing": dtypes.default_int,
        }

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, DType]:
        """The standard's dtypes that tensors can have, by name (there are float16 and bfloat16 besides)."""
        standard = [d for d in dtypes.REAL if not (d.is_float and d.bits == 16)]
        return {d.name: d for d in standard if kind is None or isdtype(d, kind)}


@public
def __array_namespace_info__() -> ArrayNamespaceInfo:
    """What the namespace offers: ``capabilities``, ``default_device``, ``default_dtypes``, ``devices``, ``dtypes``."""
    return ArrayNamespaceInfo()
