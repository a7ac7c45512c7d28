"""Data types and their promotion (Array API standard, with PyTorch's rule for mixed kinds:

Float beats int beats bool).
"""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

import numpy as np

from graphflow.core.errors import DTypeError


class DType:
    """An element type. One instance per type exists, so identity is equality.

    Compares equal to the NumPy dtype and to the name it stands for, and NumPy accepts it wherever it takes a dtype.

    >>> import graphflow as gf, numpy as np
    >>> gf.float32 == np.float32, gf.float32 == "float32", np.zeros(2, gf.int8).dtype
    (True, True, dtype('int8'))
    """

    __slots__ = ("_np", "bits", "kind", "name")

    def __init__(self, name: str, kind: str, bits: int) -> None:
        self.name = name
        self.kind = kind  # "bool" | "int" | "uint" | "float" | "complex"
        self.bits = bits
        self._np: np.dtype[Any] | None = None if name == "bfloat16" else np.dtype(name)

    @property
    def np(self) -> np.dtype[Any]:
        """The NumPy dtype (bfloat16 comes from ml_dtypes, imported on first use)."""
        if self._np is None:
            import ml_dtypes

            self._np = np.dtype(ml_dtypes.bfloat16)
        return self._np

    dtype = np  # lets numpy.dtype(gf.float32) work: NumPy looks for this attribute

    @property
    def itemsize(self) -> int:
        return max(1, self.bits // 8)

    @property
    def is_float(self) -> bool:
        return self.kind == "float"

    @property
    def is_int(self) -> bool:
        return self.kind in ("int", "uint")

    def __eq__(self, other: object) -> bool:
        if isinstance(other, DType):
            return self is other
        try:
            return self is as_dtype(other)
        except (TypeError, ValueError):
            return False

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"graphflow.{self.name}"

    def __str__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Any, ...]:
        return (as_dtype, (self.name,))


bool_ = DType("bool", "bool", 8)
int8, int16, int32, int64 = (DType(f"int{b}", "int", b) for b in (8, 16, 32, 64))
uint8, uint16, uint32, uint64 = (DType(f"uint{b}", "uint", b) for b in (8, 16, 32, 64))
float16, float32, float64 = (DType(f"float{b}", "float", b) for b in (16, 32, 64))
bfloat16 = DType("bfloat16", "float", 16)
# Complex numbers are tokens only: the Array API names them, no op takes them.
complex64, complex128 = (DType(f"complex{b}", "complex", b) for b in (64, 128))

REAL = (bool_, int8, int16, int32, int64, uint8, uint16, uint32, uint64, float16, bfloat16, float32, float64)
FLOATS = (float16, bfloat16, float32, float64)
INTS = (int8, int16, int32, int64, uint8, uint16, uint32, uint64)
BY_NAME: dict[str, DType] = {d.name: d for d in (*REAL, complex64, complex128)}
default_float = float32
default_int = int64
_CACHE: dict[Any, DType] = {**BY_NAME, float: default_float, int: default_int, bool: bool_, complex: complex64}


def as_dtype(value: Any) -> DType:
    """The DType for a DType, a NumPy dtype or scalar type, a name, or Python's ``float``/``int``/``bool``.

    Raises DTypeError (a TypeError) for anything that GraphFlow has no type for.
    """
    if isinstance(value, DType):
        return value
    try:
        return _CACHE[value]
    except (KeyError, TypeError):
        pass
    try:
        name = np.dtype(value).name
    except TypeError:
        name = str(value)
    if name not in BY_NAME:
        raise DTypeError(f"no GraphFlow dtype for {value!r}; there are: {', '.join(BY_NAME)}")
    with contextlib.suppress(TypeError):
        _CACHE[value] = BY_NAME[name]
    return BY_NAME[name]


_RANK = {"bool": 0, "uint": 1, "int": 1, "float": 2, "complex": 3}


def promote_types(a: DType, b: DType) -> DType:
    """The smallest dtype that holds both, by the Array API table; a float and an int give that float.

    >>> from graphflow.core.dtypes import promote_types, int8, uint8, float16, bfloat16
    >>> promote_types(int8, uint8), promote_types(float16, bfloat16)
    (graphflow.int16, graphflow.float32)
    """
    if a is b:
        return a
    ra, rb = _RANK[a.kind], _RANK[b.kind]
    if ra != rb:
        return a if ra > rb else b
    if a.kind == b.kind:
        if a.bits == b.bits:  # float16 with bfloat16: neither holds the other
            return float32
        return a if a.bits > b.bits else b
    signed, unsigned = (a, b) if a.kind == "int" else (b, a)
    if signed.bits > unsigned.bits:
        return signed
    if unsigned.bits == 64:
        raise DTypeError(f"{signed} and {unsigned} have no common integer type; cast one with .astype first")
    return BY_NAME[f"int{unsigned.bits * 2}"]


def result_type(*dtypes: DType) -> DType:
    """Promotion folded over any number of dtypes."""
    out = dtypes[0]
    for d in dtypes[1:]:
        out = promote_types(out, d)
    return out


def scalar_result_type(dtype: DType, value: bool | int | float) -> DType:
    """The dtype of ``tensor op python_scalar``: the tensor's, unless the scalar is of a higher kind."""
    if isinstance(value, bool):
        return dtype
    if isinstance(value, int):
        return default_int if dtype.kind == "bool" else dtype
    return dtype if dtype.kind in ("float", "complex") else default_float


def can_cast(src: DType, dst: DType) -> bool:
    """Whether promotion alone can turn ``src`` into ``dst`` (Array API ``can_cast``)."""
    try:
        return promote_types(src, dst) is dst
    except DTypeError:
        return False


class finfo(NamedTuple):
    """Limits of a floating-point type."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: DType


class iinfo(NamedTuple):
    """Limits of an integer type."""

    bits: int
    max: int
    min: int
    dtype: DType


def make_finfo(dtype: Any) -> finfo:
    d = as_dtype(dtype)
    if not d.is_float:
        raise DTypeError(f"finfo needs a floating-point dtype, got {d}")
    if d is bfloat16:
        import ml_dtypes

        limits: Any = ml_dtypes.finfo
        f: Any = limits(ml_dtypes.bfloat16)
    else:
        f = np.finfo(d.np)
    return finfo(d.bits, float(f.eps), float(f.max), float(f.min), float(f.smallest_normal), d)


def make_iinfo(dtype: Any) -> iinfo:
    d = as_dtype(dtype)
    if not d.is_int:
        raise DTypeError(f"iinfo needs an integer dtype, got {d}")
    i = np.iinfo(d.np)
    return iinfo(d.bits, int(i.max), int(i.min), d)
