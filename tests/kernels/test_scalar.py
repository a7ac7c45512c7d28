"""Arithmetic, memory, lanes and bits of `ScalarBuilder` against NumPy, for one lane and for many."""

from __future__ import annotations

import ctypes

import ml_dtypes
import numpy as np
import pytest
from llvmlite import ir

from graphflow_kernels.cpu import ScalarBuilder, host, named
from graphflow_kernels.cpu.memory import POINTER
from graphflow_kernels.tools.native import Native, Rule, compile_rules

INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
FLOATS = ("float32", "float64")
LANES = (1, 8)


def operands(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays of 37 numbers with the awkward ones among them."""
    rng = np.random.default_rng(3)
    if dtype in FLOATS:
        edges = np.array([0, -0.0, 1.5, -2.5, np.inf, -np.inf, np.nan, 1e-20, -1e20, 7, 0.1, 5.25, -5.25])
        x, y = np.repeat(edges, 13), np.tile(edges, 13)
        return x.astype(dtype), y.astype(dtype)
    info = np.iinfo(dtype)
    x = rng.integers(max(info.min, -100), 100, 37).astype(dtype)
    y = rng.integers(max(info.min, -5), 6, 37).astype(dtype)
    x[:4], y[:4] = [info.min, info.min, info.max, 0], [info.max if info.min == 0 else -1, 1, 3, 0]
    return x, y


def run(name: str, rule: Rule, *values: np.ndarray) -> np.ndarray:
    """The result of a rule, checked to be the same for all numbers of lanes, and on the least of the targets."""
    results = [compile_rules({name: rule}, host(), lanes)[name](*values) for lanes in LANES]
    if host().name in ("avx2", "avx512"):
        results.append(compile_rules({name: rule}, named("sse2"), 4)[name](*values))
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)
    return results[0]


BINARY = {"add": "add", "sub": "subtract", "mul": "multiply", "minimum": "minimum", "maximum": "maximum"}
BINARY |= {name: name for name in ("floor_divide", "remainder", "fmod")}


@pytest.mark.parametrize("dtype", INTEGERS + FLOATS)
@pytest.mark.parametrize("name", BINARY)
def test_binary_arithmetic(name, dtype):
    x, y = operands(dtype)
    with np.errstate(all="ignore"):
        want = getattr(np, BINARY[name])(x, y)
    np.testing.assert_array_equal(
        run(name, Rule(lambda b, x, y: getattr(b, name)(x, y), (dtype,) * 2, dtype), x, y), want
    )


@pytest.mark.parametrize("dtype", INTEGERS + FLOATS)
@pytest.mark.parametrize("name", ["eq", "ne", "lt", "le", "gt", "ge"])
def test_comparisons(name, dtype):
    x, y = operands(dtype)
    rule = Rule(lambda b, x, y: getattr(b, name)(x, y), (dtype,) * 2, "bool")
    want = {"eq": x == y, "ne": x != y, "lt": x < y, "le": x <= y, "gt": x > y, "ge": x >= y}[name]
    np.testing.assert_array_equal(run(name, rule, x, y), want)


@pytest.mark.parametrize("dtype", FLOATS)
def test_unary_on_floats(dtype):
    x = np.concatenate([operands(dtype)[0], np.linspace(-3, 3, 25).astype(dtype)])
    for name in ("floor", "ceil", "trunc", "round", "sign", "abs", "isnan", "isinf", "isfinite", "signbit"):
        output = "bool" if name.startswith("is") or name == "signbit" else dtype
        got = run(name, Rule(lambda b, x, name=name: getattr(b, name)(x), (dtype,), output), x)
        want = getattr(np, name)(x)
        np.testing.assert_array_equal(got, want, err_msg=name)
        if output == dtype and name != "sign":
            np.testing.assert_array_equal(np.signbit(got), np.signbit(want), err_msg=name)


@pytest.mark.parametrize("dtype", FLOATS)
def test_copysign_and_nextafter(dtype):
    x, y = operands(dtype)
    for name in ("copysign", "nextafter"):
        got = run(name, Rule(lambda b, x, y, name=name: getattr(b, name)(x, y), (dtype,) * 2, dtype), x, y)
        with np.errstate(all="ignore"):
            want = getattr(np, name)(x, y)
        np.testing.assert_array_equal(got, want)
        np.testing.assert_array_equal(np.signbit(got[~np.isnan(got)]), np.signbit(want[~np.isnan(want)]))


@pytest.mark.parametrize("dtype", INTEGERS)
def test_shifts_and_bits(dtype):
    x, _ = operands(dtype)
    width = 8 * x.itemsize
    y = np.arange(x.size).astype(dtype) % np.array(width + 3, dtype)
    inside = y < width
    shifted = np.where(inside, np.left_shift(x, np.minimum(y, width - 1)), 0)
    np.testing.assert_array_equal(run("shl", Rule(lambda b, x, y: x << y, (dtype,) * 2, dtype), x, y), shifted)
    kept = np.right_shift(x, np.minimum(y, width - 1))
    want = kept if dtype.startswith("int") else np.where(inside, kept, 0)
    np.testing.assert_array_equal(run("shr", Rule(lambda b, x, y: x >> y, (dtype,) * 2, dtype), x, y), want)
    got = run("mixed", Rule(lambda b, x, y: (x & y) | (~x ^ 5), (dtype,) * 2, dtype), x, y)
    np.testing.assert_array_equal(got, (x & y) | (~x ^ np.array(5, dtype)))


def test_casts_from_floats_saturate_and_take_nan_to_zero():
    x = np.array([1.9, -1.9, 300.0, -300.0, 1e30, -1e30, np.nan, np.inf, -np.inf, -0.5], "float32")
    for dtype in INTEGERS:
        info = np.iinfo(dtype)
        want = [0 if np.isnan(v) else int(max(info.min, min(info.max, np.trunc(v)))) for v in x]
        got = run(dtype, Rule(lambda b, x, dtype=dtype: b.cast(x, dtype), ("float32",), dtype), x)
        assert got.tolist() == want
    assert run("bool", Rule(lambda b, x: b.cast(x, "bool"), ("float32",), "bool"), x).all()


@pytest.mark.parametrize("source", (*INTEGERS, "bool"))
def test_casts_of_integers(source):
    x = np.array([True, False] * 9) if source == "bool" else operands(source)[0]
    for dtype in (*INTEGERS, *FLOATS, "bool"):
        got = run(dtype, Rule(lambda b, x, dtype=dtype: b.cast(x, dtype), (source,), dtype), x)
        np.testing.assert_array_equal(got, x.astype(dtype))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_every_16_bit_float_survives_and_rounds_to_even(dtype):
    kind = np.dtype(ml_dtypes.bfloat16 if dtype == "bfloat16" else "float16")
    stored = np.arange(2**16, dtype="uint16").view(kind)
    carried = stored.view("uint16") if dtype == "bfloat16" else stored
    as_float = run("widen", Rule(lambda b, x: x, (dtype,), "float32"), carried)
    np.testing.assert_array_equal(as_float, stored.astype("float32"))
    whole = as_float[np.isfinite(as_float)]
    with np.errstate(over="ignore"):
        middle = (whole[1:] + whole[:-1]) / 2
        close = np.concatenate([np.nextafter(whole, np.float32(np.inf)), whole * np.float32(1.0003), middle])
    edges = np.array([65504, 65519.9, 65520, -70000, 6e-8, 2.9e-8, 3e-8, np.nan, np.inf, -np.inf, -0.0], "float32")
    x = np.concatenate([close, edges])
    with np.errstate(over="ignore"):
        want = x.astype(kind).astype("float32")
    got = run("round", Rule(lambda b, x: b.round_to(x, dtype), ("float32",), "float32"), x)
    np.testing.assert_array_equal(got, want)


def test_philox_gives_the_published_numbers():
    def emit(b, c0, c1, c2, c3, k0, k1):
        outputs = b.philox4x32((c0, c1, c2, c3), (k0, k1))
        word = b.cast(b.iota("int32"), "uint32") * 0
        return sum(outputs[1:], outputs[0]) + word

    pi = ["243f6a88", "85a308d3", "13198a2e", "03707344", "a4093822", "299f31d0"]
    keys = [[0] * 6, [2**32 - 1] * 6, [int(word, 16) for word in pi]]
    published = ["6627e8d5 e169c58d bc57ac4c 9b00dbd8", "408f276d 41c83b0e a20bc7c6 6d5451fd"]
    published += ["d16cfe09 94fdcceb 5001e420 24126ea1"]
    columns = [np.array(column, "uint32") for column in zip(*keys)]
    for number in range(4):
        rule = Rule(lambda b, *v, n=number: b.philox4x32(v[:4], v[4:])[n], ("uint32",) * 6, "uint32")
        want = [int(row.split()[number], 16) for row in published]
        assert run("philox", rule, *columns).tolist() == want
    total = run("sum", Rule(emit, ("uint32",) * 6, "uint32"), *columns)
    assert total.tolist() == [sum(int(w, 16) for w in row.split()) % 2**32 for row in published]


def test_mulhi():
    x = np.array([2**32 - 1, 12345, 2**31], "uint32")
    got = run("mulhi", Rule(lambda b, x: b.mulhi_u32(x, 0xD2511F53), ("uint32",), "uint32"), x)
    assert got.tolist() == [int(v) * 0xD2511F53 >> 32 for v in x]


@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_reductions_over_lanes_keep_one_order(dtype):
    x = (np.random.default_rng(0).normal(size=8) * 100).astype(dtype)
    for name, reference in (("sum", np.add), ("prod", np.multiply), ("min", np.minimum), ("max", np.maximum)):
        rule = Rule(lambda b, x, name=name: getattr(b, f"reduce_{name}")(x), (dtype,), dtype)
        want = x
        while want.size > 1:
            want = reference(want[: want.size // 2], want[want.size // 2 :])
        assert (compile_rules({name: rule}, host(), 8)[name](x) == want[0]).all()


def test_any_and_all_over_lanes():
    rows = {"none": [0] * 8, "one": [0, 0, 1, 0, 0, 0, 0, 0], "most": [1] * 7 + [0], "every": [1] * 8}
    functions = compile_rules(
        {name: Rule(lambda b, x, n=name: getattr(b, f"reduce_{n}")(x), ("bool",), "bool") for name in ("any", "all")},
        host(),
        8,
    )
    for values in rows.values():
        x = np.array(values, "bool")
        assert functions["any"](x).all() == x.any() and functions["all"](x).all() == x.all()


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("target", ["host", "sse2"])
@pytest.mark.parametrize("dtype", ["float32", "int8", "bool", "float64"])
def test_masked_gathered_and_strided_memory(lanes, target, dtype):
    if target == "sse2" and host().name not in ("avx2", "avx512", "sse2"):
        pytest.skip("not this architecture")
    module = ir.Module("memory")
    kind = ir.FunctionType(ir.VoidType(), [POINTER, POINTER, ir.IntType(64)])
    chosen = host() if target == "host" else named(target)

    def kernel(name, body):
        function = ir.Function(module, kind, name)
        builder = ir.IRBuilder(function.append_basic_block())
        body(ScalarBuilder(builder, chosen, lanes), *function.args)
        builder.ret_void()

    def masked(b, source, output, count):
        mask = b.mask_first(count)
        b.store(b.load(source, 1, dtype, mask=mask), output, 2, dtype, mask=mask)

    def gathered(b, source, output, count):
        mask = b.mask_first(count)
        value = b.gather(source, 20 - b.iota("int64") * 2, dtype, mask=mask)
        b.scatter(value, output, b.iota("int64") * 3, dtype, mask=mask)

    def strided(b, source, output, count):
        b.store_strided(b.load_strided(source, 3, 2, dtype), output, 1, 2, dtype)

    for name, body in (("masked", masked), ("gathered", gathered), ("strided", strided)):
        kernel(name, body)
    native = Native(module, chosen, opt=1)
    source = np.random.default_rng(1).integers(0, 2 if dtype == "bool" else 100, 32).astype(dtype)

    def call(name, count):
        output = np.zeros(32, dtype)
        pointer = ctypes.c_void_p
        native.function(name, pointer, pointer, ctypes.c_int64)(source.ctypes.data, output.ctypes.data, count)
        return output

    for count in (-3, 0, 1, 5, 100):
        n = max(0, min(count, lanes))
        want = np.zeros(32, dtype)
        want[2 : 2 + n] = source[1 : 1 + n]
        np.testing.assert_array_equal(call("masked", count), want)
        want = np.zeros(32, dtype)
        want[: 3 * n : 3] = source[20 - 2 * np.arange(n)]
        np.testing.assert_array_equal(call("gathered", count), want)
    want = np.zeros(32, dtype)
    want[1 : 1 + 2 * lanes : 2] = source[3 : 3 + 2 * lanes : 2]
    np.testing.assert_array_equal(call("strided", 0), want)


def test_single_values_meet_vectors_and_constants_adapt():
    def emit(b, x):
        single = b.lane(x, 0)
        assert not isinstance((single + 1).ir.type, ir.VectorType)
        return b.select(x > single, x * single, 2 - x)

    x = np.array([3, 1, 5, 2, 9, 3, 4, 0], "float32")
    got = compile_rules({"f": Rule(emit, ("float32",), "float32")}, host(), 8)["f"](x)
    np.testing.assert_array_equal(got, np.where(x > 3, x * 3, 2 - x))


def test_mistakes_are_errors():
    function = ir.Function(ir.Module(), ir.FunctionType(ir.VoidType(), []), "f")
    b = ScalarBuilder(ir.IRBuilder(function.append_basic_block()), host(), 4)
    x, n = b.const(1.0, "float32"), b.const(1, "int32")
    with pytest.raises(TypeError, match="operands of one dtype expected, got float32 and int32"):
        x + n
    with pytest.raises(TypeError, match="b.select"):
        bool(x < 2)
    with pytest.raises(TypeError, match="a floating-point value expected, got int32"):
        b.exp(n)
    with pytest.raises(TypeError, match="1.5 is no int32"):
        n + 1.5
    with pytest.raises(TypeError, match="no meaning for bool"):
        (x < 2) - (x < 3)
    with pytest.raises(TypeError, match="32 bits expected to bitcast float32, got int64"):
        b.bitcast(x, "int64")
