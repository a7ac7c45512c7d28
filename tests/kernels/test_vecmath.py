"""The elementary functions against wider arithmetic, on every target this machine can run."""

from __future__ import annotations

import re

import numpy as np
import pytest
from llvmlite import ir

from graphflow_kernels.cpu import Target, host, named
from graphflow_kernels.tools import reference
from graphflow_kernels.tools.native import Rule, assembly, compile_rules, emit_map

DTYPES = ("float32", "float64")


def targets() -> list[Target]:
    """The host's target and all lesser ones of its architecture."""
    best = host()
    lesser = {"avx512": ("avx2", "sse2"), "avx2": ("sse2",)}.get(best.name, ())
    return [best, *map(named, lesser)]


@pytest.fixture(scope="module", params=[(t, d) for t in targets() for d in DTYPES], ids=lambda p: f"{p[0].name}-{p[1]}")
def compiled(request):
    target, dtype = request.param
    rules = reference.rules(dtype)
    return dtype, {lanes: compile_rules(rules, target, lanes) for lanes in (1, target.lanes(dtype))}


@pytest.mark.parametrize("case", reference.CASES, ids=lambda case: case.name)
def test_accuracy_and_special_values(compiled, case):
    dtype, functions = compiled
    values = reference.arguments(case, dtype)
    scalar, vector = (by_name[case.name](*values) for by_name in functions.values())
    error, wrong = reference.errors(case, vector, reference.expected(case, values))
    # Where long double is no wider than float64, the reference itself may be off by one.
    slack = 1.0 if dtype == "float64" and np.finfo(np.longdouble).eps == np.finfo(np.float64).eps else 0.0
    worst = int(np.argmax(error))
    assert error[worst] <= getattr(case, dtype) + slack, [v[worst] for v in values]
    assert not wrong.any(), [v[wrong][:5] for v in values] + [vector[wrong][:5]]
    # NaN payloads apart, one lane and many lanes give the same bits.
    same = (scalar.view(f"u{scalar.itemsize}") == vector.view(f"u{vector.itemsize}")) | (
        np.isnan(scalar) & np.isnan(vector)
    )
    assert same.all(), [v[~same][:5] for v in values]


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_library_is_called(dtype):
    target = targets()[-1]
    module = ir.Module("rules")
    for name, rule in reference.rules(dtype).items():
        emit_map(module, f"graphflow.{name}", rule, target, target.lanes(dtype))
    text = assembly(module, target, opt=1)
    named_there = re.findall(r"(?:callq?|jmp|bl|movabsq)\s+[$\"]*([A-Za-z_][\w.]*)|([\w.]+)@(?:PLT|GOTPCREL)", text)
    others = {
        name for pair in named_there for name in pair if name and not name.startswith(("graphflow.", "_GLOBAL_OFFSET"))
    }
    assert "ret" in text and not others


def test_powers_of_integers_wrap():
    rule = Rule(lambda b, x, y: b.pow(x, y), ("int32", "int32"), "int32")
    power = compile_rules({"pow": rule}, host(), 8)["pow"]
    x = np.array([2, 3, -3, 7, 0, 0, 1, -1, 2, 10], "int32")
    y = np.array([31, 4, 5, 40, 0, 3, -2, -3, -1, 12], "int32")
    want = [(-(2**31)), 81, -243, (7**40 + 2**31) % 2**32 - 2**31, 1, 0, 1, -1, 0, (10**12 + 2**31) % 2**32 - 2**31]
    assert power(x, y).tolist() == want
