"""Compiles emission rules and kernels with LLVM directly and calls them on arrays: for tests and benchmarks."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir

from graphflow_kernels.cpu.emitter import I64
from graphflow_kernels.cpu.memory import POINTER
from graphflow_kernels.cpu.scalar import ScalarBuilder
from graphflow_kernels.cpu.target import Target


class Rule(NamedTuple):
    """An elementwise function: ``emit(b, *values)`` and the dtypes of its operands and its result."""

    emit: Callable[..., Any]
    inputs: tuple[str, ...]
    output: str


def optimised(module: ir.Module, target: Target, opt: int) -> tuple[Any, Any]:
    """The module after LLVM's passes (none for 0), and the target machine, which always generates good code."""
    import llvmlite.binding as llvm

    machine = target.machine(opt=2)
    parsed = llvm.parse_assembly(str(module))
    parsed.verify()
    if opt == 0:
        return parsed, machine
    options = llvm.create_pipeline_tuning_options(speed_level=opt)
    passes = llvm.create_pass_builder(machine, options)
    passes.getModulePassManager().run(parsed, passes)
    return parsed, machine


def assembly(module: ir.Module, target: Target, opt: int = 3) -> str:
    """The assembly that the module becomes."""
    parsed, machine = optimised(module, target, opt)
    return machine.emit_assembly(parsed)


class Native:
    """Machine code in memory; it lives as long as this object."""

    def __init__(self, module: ir.Module, target: Target, opt: int = 3) -> None:
        import llvmlite.binding as llvm

        self._engine = llvm.create_mcjit_compiler(*optimised(module, target, opt))
        self._engine.finalize_object()

    def function(self, name: str, *kinds: Any) -> Callable[..., None]:
        """The function `name` as a callable that takes arguments of these ctypes."""
        call = ctypes.CFUNCTYPE(None, *kinds)(self._engine.get_function_address(name))
        call.native = self  # type: ignore[attr-defined]  # the code lives as long as somebody can call it
        return call


def emit_map(module: ir.Module, name: str, rule: Rule, target: Target, lanes: int) -> None:
    """Emit ``void name(inputs..., output, n)``, which applies the rule to n elements."""
    kinds = [POINTER] * (len(rule.inputs) + 1) + [I64]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), name)
    *pointers, output, count = function.args
    entry, loop, done = (function.append_basic_block(label) for label in ("entry", "loop", "done"))
    builder = ir.IRBuilder(entry)
    builder.cbranch(builder.icmp_signed(">", count, I64(0)), loop, done)
    builder.position_at_end(loop)
    i = builder.phi(I64)
    i.add_incoming(I64(0), entry)
    b = ScalarBuilder(builder, target, lanes)
    mask = b.mask_first(builder.sub(count, i)) if lanes > 1 else None
    values = [b.load(p, i, dtype, mask=mask) for p, dtype in zip(pointers, rule.inputs)]
    b.store(rule.emit(b, *values), output, i, rule.output, mask=mask)
    following = builder.add(i, I64(lanes))
    i.add_incoming(following, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, count), loop, done)
    builder.position_at_end(done)
    builder.ret_void()


def compile_rules(rules: Mapping[str, Rule], target: Target, lanes: int, opt: int = 1) -> dict[str, Callable[..., Any]]:
    """Each rule as a function from arrays to an array, all compiled in one module."""
    module = ir.Module("rules")
    for name, rule in rules.items():
        emit_map(module, name, rule, target, lanes)
    native = Native(module, target, opt)
    return {name: _on_arrays(native, name, rule) for name, rule in rules.items()}


def _on_arrays(native: Native, name: str, rule: Rule) -> Callable[..., Any]:
    call = native.function(name, *[ctypes.c_void_p] * (len(rule.inputs) + 1), ctypes.c_int64)

    def apply(*arrays: np.ndarray) -> np.ndarray:
        operands = [np.ascontiguousarray(a, numpy_dtype(d)) for a, d in zip(arrays, rule.inputs)]
        output = np.empty(operands[0].shape, numpy_dtype(rule.output))
        call(*(a.ctypes.data for a in operands), output.ctypes.data, output.size)
        return output

    apply.native = native  # type: ignore[attr-defined]
    return apply


def numpy_dtype(name: str) -> np.dtype[Any]:
    """NumPy's dtype of that name; bfloat16 as its bits in uint16."""
    return np.dtype("uint16" if name == "bfloat16" else name)
