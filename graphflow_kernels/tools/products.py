"""Runs generated matrix multiplications on NumPy arrays: for tests and benchmarks, and as an example of their use."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from llvmlite import ir

from graphflow_kernels.cpu import gemm
from graphflow_kernels.cpu.emitter import I64
from graphflow_kernels.cpu.gemm_plan import Gemm, Layout, Plan
from graphflow_kernels.cpu.memory import POINTER
from graphflow_kernels.cpu.scalar import ScalarBuilder
from graphflow_kernels.cpu.target import Target
from graphflow_kernels.cpu.value import Value
from graphflow_kernels.tools.native import Native

GUARD = 256
"""Bytes behind the scratch memory that must stay as they are."""
GUARD_BYTE = 0xA5
Finish = Callable[[ScalarBuilder, Value], Value]


def emit_product(product: Gemm, finish: Finish | None = None) -> ir.Module:
    """A module with the function ``kernel`` of the native ABI that stores finish(A @ B) in a contiguous C.

    The table holds A, B and C; the arguments are their numbers in the table, the strides of the batch in A, B and C,
    and ``product.run_time``, then n again as the stride of C.
    """
    module = ir.Module("product")
    signature = ir.FunctionType(ir.VoidType(), [POINTER, POINTER, I64, I64, POINTER])
    function = ir.Function(module, signature, "kernel")
    table, arguments, begin, end, scratch = function.args
    builder = ir.IRBuilder(function.append_basic_block())

    def argument(number: int) -> Any:
        return builder.load(builder.gep(arguments, [I64(number)], source_etype=I64), typ=I64)

    def pointer(number: int) -> Any:
        return builder.load(builder.gep(table, [argument(number)], source_etype=POINTER), typ=POINTER)

    pointers = [pointer(number) for number in range(3)]
    strides = [argument(number) for number in range(3, 6)]
    run_time = {name: argument(6 + i) for i, name in enumerate(product.run_time)}
    row_of_c = argument(6 + len(run_time))

    def operand(number: int, dtype: str) -> gemm.Pointer:
        return lambda b, batch: b.address(pointers[number], batch * b.value(strides[number], "int64"), dtype)

    def store(b: ScalarBuilder, row: Value, column: Value, values: Value, mask: Value | None, batch: Value) -> None:
        place = batch * b.value(strides[2], "int64") + row * b.value(row_of_c, "int64") + column
        b.store(finish(b, values) if finish else values, pointers[2], place, product.dtype, mask=mask)

    a, b = operand(0, product.a.dtype), operand(1, product.b.dtype)
    gemm.emit(product, builder, a, b, begin, end, scratch, store, run_time)
    builder.ret_void()
    return module


class Product:
    """A compiled A @ B for arrays of one layout; ``known`` names the sizes and strides fixed when it is compiled."""

    def __init__(
        self, target: Target, a: np.ndarray, b: np.ndarray, known: Iterable[str], finish: Finish | None = None
    ) -> None:
        known = set(known)
        sizes = self._numbers(a, b)
        fixed = {name: value if name in known else None for name, value in sizes.items()}
        layout_a, layout_b = (
            Layout(_name(x), fixed[f"{key}_row"], fixed[f"{key}_col"]) for key, x in (("a", a), ("b", b))
        )
        self.gemm = Gemm(target, fixed["m"], fixed["n"], fixed["k"], layout_a, layout_b)
        self._native = Native(emit_product(self.gemm, finish), target, opt=0)
        pointer, integer = ctypes.c_void_p, ctypes.c_int64
        self._kernel = self._native.function("kernel", pointer, pointer, integer, integer, pointer)

    def __call__(self, a: np.ndarray, b: np.ndarray, ranges: Iterable[tuple[int, int]] | None = None) -> np.ndarray:
        """A @ B, the chunks done in the given ranges (all at once where none are given)."""
        output, plan, call = self.prepared(a, b)
        for begin, end in ranges or [(0, plan.nchunks)]:
            call(begin, end)
        return output

    def prepared(self, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, Plan, Call]:
        """The output, the plan, and a function that does a range of chunks."""
        sizes = self._numbers(a, b)
        output = np.full((a.shape[0], sizes["m"], sizes["n"]), np.nan, self.gemm.dtype)
        plan = self.gemm.plan(a.shape[0], sizes["m"], sizes["n"], sizes["k"])
        table = np.array([x.ctypes.data for x in (a, b, output)], "int64")
        batch = [x.strides[0] // x.itemsize for x in (a, b, output)]
        numbers = sizes | plan.blocks._asdict()
        run_time = [numbers[name] for name in self.gemm.run_time]
        arguments = np.array([0, 1, 2, *batch, *run_time, sizes["n"]], "int64")

        return output, plan, Call(self._kernel, table, arguments, plan.scratch_bytes, (self, a, b, output))

    @staticmethod
    def _numbers(a: np.ndarray, b: np.ndarray) -> dict[str, int]:
        sizes = {"m": a.shape[1], "n": b.shape[2], "k": a.shape[2]}
        for key, x in (("a", a), ("b", b)):
            sizes[f"{key}_row"], sizes[f"{key}_col"] = (stride // x.itemsize for stride in x.strides[1:])
        return sizes


class Call:
    """Does ranges of chunks of one product."""

    def __init__(self, kernel: Any, table: np.ndarray, arguments: np.ndarray, scratch: int, keep: Any) -> None:
        self.memory = _aligned(scratch + GUARD)
        self.memory[scratch:] = GUARD_BYTE
        self._kernel, self._keep = kernel, (table, arguments, keep)
        # Looked up once: that takes longer than a small product.
        self._addresses = (table.ctypes.data, arguments.ctypes.data, self.memory.ctypes.data)

    def __call__(self, begin: int, end: int) -> None:
        table, arguments, memory = self._addresses
        self._kernel(table, arguments, begin, end, memory)

    def within_scratch(self) -> bool:
        """Whether nothing has been written behind the scratch memory."""
        return bool((self.memory[-GUARD:] == GUARD_BYTE).all())


EVERYTHING = ("m", "n", "k", "a_row", "a_col", "b_row", "b_col")
"""All that can be known when a product is compiled."""


def _name(x: np.ndarray) -> str:
    """The dtype's name; uint16 arrays hold bfloat16."""
    return "bfloat16" if x.dtype == np.uint16 else x.dtype.name


def _aligned(size: int) -> np.ndarray:
    memory = np.zeros(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size]
