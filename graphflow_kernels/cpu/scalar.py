"""`ScalarBuilder`: the one vocabulary in which the scalar meaning of every op is emitted.

A rule such as ``emit=lambda b, x, y: b.maximum(x, y) * 0.5`` serves one element (``lanes == 1``, LLVM scalars) and a
whole register (``lanes > 1``, LLVM vectors) alike, and gives the same bits in both.
"""

from __future__ import annotations

from graphflow_kernels.cpu.arithmetic import Arithmetic
from graphflow_kernels.cpu.bits import Bits
from graphflow_kernels.cpu.division import Division
from graphflow_kernels.cpu.functions import Functions
from graphflow_kernels.cpu.lanewise import Lanes
from graphflow_kernels.cpu.memory import Memory


class ScalarBuilder(Arithmetic, Division, Functions, Bits, Memory, Lanes):
    """Emits instructions on `Value`s at the position of an ``llvmlite.ir.IRBuilder``.

    Args: `builder`, where to emit; `target`, the CPU; `lanes`, elements per value (a power of two).
    """
