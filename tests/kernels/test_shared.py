"""Shared functions: equal contents stand for equal code, whichever product asks."""

from __future__ import annotations

from itertools import product

from llvmlite import ir

from graphflow_kernels.cpu.gemm_plan import Gemm, Layout
from graphflow_kernels.cpu.memory import POINTER
from graphflow_kernels.cpu.shared import Module, shared_function
from graphflow_kernels.cpu.target import named
from graphflow_kernels.tools.products import emit_product

SIZES = [(None, 64, 96), (1, 128, 784), (None, 10, 128), (784, 130, None), (8, 512, None), (256, 16, 256), (100, 1, 40)]


def test_functions_of_one_name_are_the_same_in_all_products() -> None:
    seen: dict[str, str] = {}
    uses = 0
    for target, (m, n, k), dtype in product(("avx512", "sse2"), SIZES, ("float32", "float64")):
        # Stored row by row, or transposed; with strides that are not known.
        for a, b in product([(k, 1), (1, m), (None, None)], [(n, 1), (1, k), (None, 1)]):
            module = emit_product(Gemm(named(target), m, n, k, Layout(dtype, *a), Layout(dtype, *b)))
            for function in module.functions:
                if function.name.startswith("gf_"):
                    assert seen.setdefault(function.name, str(function)) == str(function)
                    uses += 1
    assert len(seen) < uses / 5, "few functions serve many products"


def test_a_sharing_module_only_declares_them() -> None:
    def body(builder: ir.IRBuilder, place: ir.Value) -> None:
        builder.store(ir.Constant(ir.IntType(64), 7), place)

    module = Module("kernels")
    function = shared_function(module, "seven", [POINTER], body, content=("seven", 7))
    assert function.is_declaration and list(module.shared) == [function.name]
    assert shared_function(module, "seven", [POINTER], body, content=("seven", 7)) is function
    assert shared_function(module, "seven", [POINTER], body, content=("seven", 8)) is not function
    own = shared_function(module, "own", [POINTER], body)
    assert not own.is_declaration and own.linkage == "internal" and own.name not in module.shared
    parts = ir.Module("parts")
    module.shared[function.name](parts, function.name)
    assert "store i64 7" in str(parts.globals[function.name])
