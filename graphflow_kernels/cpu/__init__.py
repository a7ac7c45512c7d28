"""Emitters of LLVM IR for CPUs: targets, scalar and vector math, matrix multiplication.

What a caller needs at run time (targets, the shapes of products) imports no LLVM IR; emitters load when first named.
"""

from __future__ import annotations

from typing import Any

from graphflow_kernels.cpu.target import Target, host, named

__all__ = ["ScalarBuilder", "Target", "Value", "host", "named"]


def __getattr__(name: str) -> Any:
    if name == "ScalarBuilder":
        from graphflow_kernels.cpu.scalar import ScalarBuilder

        return ScalarBuilder
    if name == "Value":
        from graphflow_kernels.cpu.value import Value

        return Value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
