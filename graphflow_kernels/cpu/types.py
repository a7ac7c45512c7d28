"""The dtypes kernels know, and the LLVM types they live in."""

from __future__ import annotations

from llvmlite import ir

ITEMSIZE: dict[str, int] = {
    "bool": 1,
    "int8": 1,
    "int16": 2,
    "int32": 4,
    "int64": 8,
    "uint8": 1,
    "uint16": 2,
    "uint32": 4,
    "uint64": 8,
    "float16": 2,
    "bfloat16": 2,
    "float32": 4,
    "float64": 8,
}
"""Bytes of one element in memory."""

STORAGE_ONLY = ("float16", "bfloat16")
"""Dtypes that exist in memory only: loads widen them to float32, stores round back."""


def is_float(dtype: str) -> bool:
    """Whether `dtype` is a floating-point type."""
    return dtype.startswith(("float", "bfloat"))


def is_unsigned(dtype: str) -> bool:
    """Whether `dtype` is an unsigned integer."""
    return dtype.startswith("uint")


def is_integer(dtype: str) -> bool:
    """Whether `dtype` is an integer (bool is not)."""
    return dtype.startswith(("int", "uint"))


def bits(dtype: str) -> int:
    """Bits of one element in a register (a bool takes one)."""
    return 1 if dtype == "bool" else 8 * ITEMSIZE[dtype]


def compute_dtype(dtype: str) -> str:
    """The dtype that values of `dtype` have in registers."""
    return "float32" if dtype in STORAGE_ONLY else dtype


def element_type(dtype: str) -> ir.Type:
    """The LLVM type of one element of `dtype` in a register."""
    if dtype == "float32":
        return ir.FloatType()
    if dtype == "float64":
        return ir.DoubleType()
    if dtype in STORAGE_ONLY:
        return ir.IntType(16)
    return ir.IntType(bits(dtype))


def memory_type(dtype: str) -> ir.Type:
    """The LLVM type of one element of `dtype` in memory: a bool is a byte, a 16-bit float its bits."""
    return ir.IntType(8) if dtype == "bool" else element_type(dtype)
