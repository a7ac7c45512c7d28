"""CPU targets: names, caps, and that no code of this package needs graphflow."""

from __future__ import annotations

import subprocess
import sys

import pytest

from graphflow_kernels.cpu.target import CAP_VARIABLE, host, named


def test_lanes_follow_the_vector_width():
    assert [named(n).lanes("float32") for n in ("avx512", "avx2", "sse2", "neon", "generic")] == [16, 8, 4, 4, 4]
    assert [named("avx2").lanes(d) for d in ("float64", "float16", "bfloat16", "int8", "bool")] == [4, 8, 8, 32, 32]


def test_unknown_names_are_errors():
    with pytest.raises(ValueError, match="no CPU target is called 'avx1024'; expected one of avx512, avx2"):
        named("avx1024")


def test_the_environment_caps_the_host(monkeypatch):
    monkeypatch.delenv(CAP_VARIABLE, raising=False)
    best = host()
    assert best.cpu and best.features
    if best.name in ("avx512", "avx2"):
        monkeypatch.setenv(CAP_VARIABLE, "sse2")
        assert host() == named("sse2")
        monkeypatch.setenv(CAP_VARIABLE, "neon")
        with pytest.raises(ValueError, match="GRAPHFLOW_CPU=neon"):
            host()
    monkeypatch.setenv(CAP_VARIABLE, "best")
    with pytest.raises(ValueError, match="no CPU target"):
        host()


@pytest.mark.parametrize("name", ["avx512", "avx2", "sse2", "neon"])
def test_code_can_be_generated_for_every_target(name):
    import llvmlite.binding as llvm
    from llvmlite import ir

    from graphflow_kernels.tools.native import assembly, emit_map
    from graphflow_kernels.tools.reference import rules

    module = ir.Module("exp")
    emit_map(module, "exp", rules("float32")["exp"], named(name), named(name).lanes("float32"))
    try:
        text = assembly(module, named(name), opt=1)
    except RuntimeError as error:
        assert "No available targets" in str(error) or "Unable to find target" in str(error)
        pytest.skip(f"this llvmlite {llvm.llvm_version_info} was built without {name}")
    assert {"avx512": "zmm", "avx2": "ymm", "sse2": "xmm", "neon": "fmla"}[name] in text


def test_importing_the_kernels_imports_neither_graphflow_nor_numba():
    code = "import sys, graphflow_kernels.cpu; print(sorted({'graphflow', 'numba'} & set(sys.modules)))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"
