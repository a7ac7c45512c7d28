"""Compiling units: addresses that work, errors that name the unit, code for the CPU asked for."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest
from llvmlite import ir

from graphflow.codegen import batch, jit, llvm
from graphflow.codegen import cache as disk
from graphflow.codegen.host import host
from graphflow.codegen.jit import Unit, compile_units
from graphflow.core.errors import CompileError
from graphflow_kernels.cpu.shared import shared_function
from tests.runtime import tiny


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHFLOW_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(jit, "_addresses", {})


def call(address: int, buffers: list[np.ndarray], begin: int, end: int) -> None:
    word = ctypes.c_size_t
    table = np.array([each.ctypes.data for each in buffers])
    args = np.arange(len(buffers))
    ctypes.CFUNCTYPE(None, *[word] * 5)(address)(table.ctypes.data, args.ctypes.data, begin, end, 0)


def add_by(address: int) -> np.ndarray:
    x, y = np.arange(100, dtype=np.float32), np.linspace(0, 1, 100, dtype=np.float32)
    z = np.zeros(100, np.float32)
    call(address, [x, y, z], 10, 90)
    assert not z[:10].any() and not z[90:].any()
    return z[10:90] - (x + y)[10:90]


def test_a_batch_of_kernels_computes() -> None:
    units = [tiny.adder(constant) for constant in range(1, 8)]
    addresses = compile_units(units)
    assert len(set(addresses.values())) == 7
    for constant, unit in enumerate(units, 1):
        np.testing.assert_allclose(add_by(addresses[unit.key]), constant, atol=1e-5)


def test_a_known_unit_is_not_compiled_again() -> None:
    unit = tiny.adder(11)
    first = compile_units([unit])
    before = jit.compiled
    assert compile_units([unit, tiny.adder(11)]) == first
    assert jit.compiled == before
    assert compile_units([unit, tiny.adder(12)])[unit.key] == first[unit.key]
    assert jit.compiled == before + 1


def test_no_units() -> None:
    assert compile_units([]) == {}


def test_parts_compile_in_parallel(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ir.Module()
    tiny.adder(20).emit(module, "kernel")
    monkeypatch.setattr(batch, "PART", str(module).count("\n") * 3 // 2)
    monkeypatch.setenv("GRAPHFLOW_NUM_THREADS", "3")
    parts = []
    original = llvm.object_code
    monkeypatch.setattr(llvm, "object_code", lambda part, machine: parts.append(len(part)) or original(part, machine))
    units = [tiny.adder(constant) for constant in (21, 22, 23, 24, 25)]
    addresses = compile_units(units)
    assert sum(parts) == 5 and max(parts) <= 2
    for constant, unit in enumerate(units, 21):
        np.testing.assert_allclose(add_by(addresses[unit.key]), constant, atol=1e-5)


def test_helpers_of_one_name_stay_apart() -> None:
    def with_helper(value: int) -> Unit:
        def emit(module: ir.Module, symbol: str) -> None:
            helper = ir.Function(module, ir.FunctionType(tiny.I64, []), "helper")
            helper.attributes.add("noinline")
            ir.IRBuilder(helper.append_basic_block()).ret(tiny.number(value))
            b, function = tiny.start(module, symbol)
            b.store(b.call(helper, []), tiny.buffer(b, function, 0, tiny.I64))
            b.ret_void()

        return Unit(f"{value:x}", emit)

    addresses = compile_units([with_helper(171), with_helper(205)])
    out = np.zeros(1, np.int64)
    for key, value in (("ab", 171), ("cd", 205)):
        call(addresses[key], [out], 0, 1)
        assert out[0] == value


def test_shared_functions_are_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def calls(constant: int) -> Unit:
        def emit(module: ir.Module, symbol: str) -> None:
            def body(builder: ir.IRBuilder, place: ir.Value) -> None:
                made.append(constant)
                place = builder.bitcast(place, tiny.I64.as_pointer())
                builder.store(builder.add(builder.load(place), tiny.number(1000)), place)

            helper = shared_function(module, "helper", [ir.IntType(8).as_pointer()], body, "adds 1000")
            b, function = tiny.start(module, symbol)
            place = tiny.buffer(b, function, 0, tiny.I64)
            b.store(tiny.number(constant), place)
            b.call(helper, [b.bitcast(place, ir.IntType(8).as_pointer())])
            b.ret_void()

        return Unit(f"5ba{constant:x}", emit, program=constant % 2 == 0)

    def results(units: list[Unit]) -> list[int]:
        out = np.zeros(1, np.int64)
        found = []
        for address in compile_units(units).values():
            call(address, [out], 0, 1)
            found.append(int(out[0]))
        return found

    assert results([calls(constant) for constant in range(4)]) == [1000, 1001, 1002, 1003]
    assert results([calls(4)]) == [1004]
    monkeypatch.setattr(jit, "_addresses", {})  # as in a new process
    before = jit.compiled
    assert results([calls(2), calls(4)]) == [1002, 1004] and jit.compiled == before
    monkeypatch.setattr(jit, "_addresses", {})
    assert results([calls(5)]) == [1005]
    assert len(made) == 1
    cache = disk.disk_cache()
    helper = next(symbol for found in cache.find([jit.entry_name(calls(2).key, host())]) for symbol in found.imports)
    (Path(cache.root) / "index" / jit.entry_name(helper.removeprefix("gf_"), host())).unlink()
    monkeypatch.setattr(jit, "_addresses", {})
    assert results([calls(0)]) == [1000], "without the shared function, the kernel counts as absent"
    assert len(made) == 2


def _raises(module: ir.Module, symbol: str) -> None:
    raise ZeroDivisionError("no such tile")


def _defines_nothing(module: ir.Module, symbol: str) -> None:
    pass


def _leaves_a_block_open(module: ir.Module, symbol: str) -> None:
    tiny.start(module, symbol)


def _calls_what_is_not_there(module: ir.Module, symbol: str) -> None:
    b, _ = tiny.start(module, symbol)
    b.call(ir.Function(module, ir.FunctionType(ir.VoidType(), []), "no_such_function"), [])
    b.ret_void()


@pytest.mark.parametrize(
    ("emit", "reason"),
    [
        (_raises, "ZeroDivisionError: no such tile"),
        (_defines_nothing, "did not define the function"),
        (_leaves_a_block_open, "parsing error"),
        (_calls_what_is_not_there, "calls no_such_function"),
    ],
)
def test_a_bad_unit_is_named(emit: jit.Emit, reason: str) -> None:
    good, bad = tiny.adder(31), Unit("bad", emit, "matmul of step 3")
    with pytest.raises(CompileError, match=f"(?s)matmul of step 3.*{reason}"):
        compile_units([good, bad])
    np.testing.assert_allclose(add_by(compile_units([good])[good.key]), 31, atol=1e-5)


def test_the_capped_cpu_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    def emit(module: ir.Module, symbol: str) -> None:
        b, function = tiny.start(module, symbol)
        vector = ir.VectorType(tiny.F32, 16)
        places = [b.bitcast(tiny.buffer(b, function, position, tiny.F32), vector.as_pointer()) for position in (0, 1)]
        value = b.load(places[0])
        value.align = 4
        b.store(b.fadd(value, value), places[1]).align = 4
        b.ret_void()

    def size_of_code(cpu: str) -> int:
        monkeypatch.setenv("GRAPHFLOW_CPU", cpu)
        codes = []
        original = llvm.object_code
        monkeypatch.setattr(llvm, "object_code", lambda *args: codes.append(original(*args)) or codes[-1])
        address = compile_units([Unit("capped", emit)])["capped"]
        monkeypatch.setattr(llvm, "object_code", original)
        x, y = np.arange(16, dtype=np.float32), np.zeros(16, np.float32)
        call(address, [x, y], 0, 1)
        np.testing.assert_array_equal(y, 2 * x)
        return codes[0]

    if "+avx," not in host().features:
        pytest.skip("needs a CPU with vectors of several widths")
    wide, narrow = size_of_code(""), size_of_code("sse2")
    assert wide != narrow
    assert len(jit._addresses) == 2, "code for one CPU is not used for another"


def test_python_kernels() -> None:
    from numba import carray, types
    from numba.extending import intrinsic

    @intrinsic
    def words(typing_context, address):
        def generate(context, builder, signature, args):
            return builder.inttoptr(args[0], tiny.I64.as_pointer())

        return types.CPointer(types.int64)(types.intp), generate

    def fill(table: int, args: int, begin: int, end: int, scratch: int) -> None:
        index = carray(words(args), (1,))[0]
        out = carray(words(carray(words(table), (index + 1,))[index]), (end,))
        for i in range(begin, end):
            out[i] = i * i // (i - 3)  # zero at 3 must not raise: NumPy's rules

    def raising(table: int, args: int, begin: int, end: int, scratch: int) -> None:
        if begin > end:
            raise ValueError("empty")

    def untyped(table: int, args: int, begin: int, end: int, scratch: int) -> None:
        print(*{table})

    address = compile_units([Unit.python("fed", fill), tiny.adder(41)])["fed"]
    out = np.full(9, -1)
    call(address, [out], 4, 8)
    assert out.tolist() == [-1, -1, -1, -1, 16, 12, 12, 12, -1]
    with pytest.raises(CompileError, match="raising.*raise_in_a_native_kernel"):
        compile_units([Unit.python("fee", raising)])
    with pytest.raises(CompileError, match="(?s)untyped.*print"):
        compile_units([Unit.python("fef", untyped)])
