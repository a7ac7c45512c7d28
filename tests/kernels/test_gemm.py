"""Generated matrix multiplication: every layout, size and target against NumPy, and the rules behind the tiles."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

from graphflow_kernels.cpu import host, named
from graphflow_kernels.cpu.gemm_plan import BASE_TILES, Gemm, Layout, Tile
from graphflow_kernels.tools.native import assembly
from graphflow_kernels.tools.products import EVERYTHING, Product, emit_product

LESSER = {"avx512": ("avx512", "avx2", "sse2"), "avx2": ("avx2", "sse2")}.get(host().name, (host().name,))
TARGETS = [host() if name == host().name else named(name) for name in LESSER]
STRIDES = ("a_row", "a_col", "b_row", "b_col")


def operands(batch, m, n, k, layout="nn", dtype="float32"):
    """Random operands; each letter of the layout: n (as written), t (transposed), s (every second element)."""
    rng = np.random.default_rng(0)

    def one(rows, columns, kind):
        shape = {"n": (rows, columns), "t": (columns, rows), "s": (rows, 2 * columns)}[kind]
        x = rng.normal(size=(batch, *shape)).astype(dtype)
        return {"n": x, "t": x.transpose(0, 2, 1), "s": x[:, :, ::2]}[kind]

    return one(m, k, layout[0]), one(k, n, layout[1])


def check(product, a, b, tolerance=2e-6):
    got = product(a, b)
    want = a.astype("float64") @ b.astype("float64")
    scale = np.abs(a).astype("float64") @ np.abs(b).astype("float64") + 1e-30
    assert not np.isnan(got).any()
    assert (np.abs(got - want) / scale).max(initial=0.0) < tolerance
    return got


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
@pytest.mark.parametrize("layout", ["nn", "nt", "tn", "tt", "ss"])
def test_all_sizes_and_layouts_with_one_kernel(target, layout):
    a, b = operands(1, 5, 5, 5, layout)
    strides = {"nn": ("a_col", "b_col"), "nt": ("a_col", "b_row"), "tn": ("a_row", "b_col"), "tt": ("a_row", "b_row")}
    product = Product(target, a, b, strides.get(layout, ()))
    for m, n, k in [
        (1, 1, 1),
        (1, 40, 7),
        (3, 5, 200),
        (13, 33, 16),
        (29, 64, 17),
        (64, 31, 1),
        (70, 100, 50),
        (300, 9, 33),
    ]:
        check(product, *operands(1, m, n, k, layout))
    check(product, *operands(3, 20, 24, 10, layout))
    assert product(*operands(2, 0, 4, 3, layout)).shape == (2, 0, 4)
    assert (product(*operands(1, 4, 7, 0, layout)) == 0).all()


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
@pytest.mark.parametrize("layout", ["nn", "nt", "tn", "tt"])
def test_known_sizes(target, layout):
    for m, n, k in [(1, 70, 33), (1, 300, 20), (6, 40, 20), (50, 10, 24), (37, 1, 40), (45, 96, 40)]:
        a, b = operands(2, m, n, k, layout)
        check(Product(target, a, b, EVERYTHING), a, b)


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
@pytest.mark.parametrize("layout", ["nn", "tt"])
def test_float64(target, layout):
    a, b = operands(1, 35, 29, 50, layout, "float64")
    check(Product(target, a, b, EVERYTHING), a, b, 1e-15)
    product = Product(target, a, b, ("a_col", "b_col") if layout == "nn" else ("a_row", "b_row"))
    for m, n, k in [(35, 29, 50), (9, 80, 6), (1, 3, 2)]:
        check(product, *operands(1, m, n, k, layout, "float64"), 1e-15)


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
@pytest.mark.parametrize("layout", ["nn", "nt", "tn", "ss"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_16_bit_operands_with_float32_sums(target, layout, dtype):
    a, b = operands(1, 30, 21, 40, layout)
    if dtype == "bfloat16":
        short_a, short_b = ((x.astype("float32").view("uint32") >> 16).astype("uint16") for x in (a.copy(), b.copy()))
        short_a = short_a.reshape(a.shape)
        wide = [(x.astype("uint32") << 16).view("float32") for x in (short_a, short_b)]
    else:
        short_a, short_b = a.astype("float16"), b.astype("float16")
        wide = [short_a.astype("float32"), short_b.astype("float32")]
    got = Product(target, short_a, short_b, EVERYTHING)(short_a, short_b)
    np.testing.assert_allclose(got, wide[0] @ wide[1], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("sizes", [(100, 300, 40), (3, 2000, 40), (500, 10, 30), (20, 600, 90)])
@pytest.mark.parametrize("layout", ["nn", "nt"])
def test_grouping_of_chunks_changes_no_bit(sizes, layout):
    a, b = operands(2, *sizes, layout)
    product = Product(host(), a, b, EVERYTHING)
    output, plan, call = product.prepared(a, b)
    call(0, plan.nchunks)
    assert plan.nchunks >= 2
    for threads in (2, 3, 4, plan.nchunks):
        cuts = [t * plan.nchunks // threads for t in range(threads + 1)]
        ranges = list(itertools.pairwise(cuts))
        np.testing.assert_array_equal(product(a, b, ranges[::-1]), output)


def test_known_and_run_time_sizes_stay_within_their_scratch():
    for known, sizes in itertools.product([EVERYTHING, STRIDES, ()], [(33, 70, 50), (5, 500, 90), (300, 12, 8)]):
        a, b = operands(1, *sizes, "nt")
        product = Product(host(), a, b, known)
        _, plan, call = product.prepared(a, b)
        call(0, plan.nchunks)
        assert call.within_scratch()


def test_operands_are_read_only_where_they_exist():
    # Operands that end at the end of a page: reading past them would end the process.
    import mmap

    for layout, (m, n, k) in itertools.product(["nn", "nt", "tn", "tt"], [(15, 33, 17), (5, 40, 19), (40, 7, 21)]):
        placed = []
        for x in operands(1, m, n, k, layout):
            base = x if x.flags.c_contiguous else x.transpose(0, 2, 1)
            pages = -(-base.nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
            memory = mmap.mmap(-1, pages)
            flat = np.frombuffer(memory, "float32")[-base.size :].reshape(base.shape)
            flat[:] = base
            placed.append(flat if base is x else flat.transpose(0, 2, 1))
        check(Product(host(), *placed, EVERYTHING), *placed)


def test_nan_and_infinity_reach_the_result_and_no_further():
    a, b = operands(1, 20, 40, 30)
    a[0, 3, 5], b[0, 7, 38], a[0, 19, 2] = np.nan, np.inf, -np.inf
    got = Product(host(), a, b, EVERYTHING)(a, b)[0]
    want = (a.astype("float64") @ b.astype("float64"))[0]
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    np.testing.assert_array_equal(np.isinf(got), np.isinf(want))


def test_the_epilogue_is_fused():
    a, b = operands(1, 30, 50, 20)
    product = Product(host(), a, b, EVERYTHING, finish=lambda sb, x: sb.maximum(x, 0.0) * 2 + 1)
    np.testing.assert_allclose(product(a, b), np.maximum(a @ b, 0) * 2 + 1, rtol=1e-5, atol=1e-5)


def test_tiles_fit_the_registers_of_every_target():
    for name, tiles in BASE_TILES.items():
        target = named(name)
        for size, (rows, vectors) in tiles.items():
            dtype = "float32" if size == 4 else "float64"
            for m, n in itertools.product([None, 1, 2, 3, 5, 7, 8, 10, 31, 64, 100, 256], [None, 1, 10, 33, 64, 512]):
                product = Gemm(target, m, n, None, Layout(dtype, None, 1), Layout(dtype, None, 1))
                tile = product.tile
                # The sums, a row of B, an element of A, and the product where it is not fused with the sum.
                in_registers = tile.rows * tile.vectors + tile.vectors + 1
                assert product.single_row or in_registers <= target.registers
                assert tile.rows <= product.lanes or tile.rows % product.lanes == 0
                assert all(h <= tile.rows for h in product.heights) and product.heights[0] == tile.rows
            assert rows * vectors + vectors + 1 + (not target.has_fma) <= target.registers


def test_the_rule_for_tiles():
    def tile(name, m, n, dtype="float32"):
        return Gemm(named(name), m, n, None, Layout(dtype, None, 1), Layout(dtype, None, 1)).tile

    assert tile("avx512", None, None) == Tile(14, 2)
    assert tile("avx512", 256, 512) == Tile(13, 2)  # 20 * 13 rows; 14 would compute 266
    assert tile("avx512", 1, 512) == Tile(1, 32)  # added up in memory
    assert tile("avx512", 2, 512) == Tile(2, 8)
    assert tile("avx512", 256, 10) == Tile(8, 1)  # A is read in place: no tile past the last row
    assert tile("avx512", None, None, "float64") == Tile(8, 3)
    assert tile("avx2", None, None) == Tile(6, 2)
    assert tile("sse2", None, None) == Tile(4, 2)
    assert tile("neon", None, None) == Tile(8, 3)


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
def test_sums_stay_in_registers(target):
    """No vector goes to the stack: that halves the speed, and by how much depends on the stack's alignment."""
    for sizes, dtype in [((512, 512, 512), "float32"), ((None, 64, 96), "float32"), ((256, 256, 256), "float64")]:
        m, n, k = sizes
        product = Gemm(target, m, n, k, Layout(dtype, k, 1), Layout(dtype, n, 1))
        text = assembly(emit_product(product), target, opt=0)
        functions = re.findall(r'^"?gf_tile\.[\w.]+"?:\n(.*?)\.cfi_endproc', text, re.DOTALL | re.MULTILINE)
        assert len(functions) >= len(product.heights)
        assert not [body for body in functions if re.search(r"mm\d+, -?\d*\(%rsp\)", body)]


def test_heights_for_sizes_known_at_run_time_waste_few_rows():
    product = Gemm(named("avx512"), None, 512, 128, Layout("float32", 128, 1), Layout("float32", 512, 1))
    assert product.heights == (14, 8)
    heights = {m: product.height(m) for m in (1, 14, 16, 20, 28, 32, 64, 1400)}
    assert heights == {1: 14, 14: 14, 16: 8, 20: 14, 28: 14, 32: 8, 64: 14, 1400: 14}


def test_chunks_depend_on_sizes_only_and_small_products_are_one():
    product = Gemm(named("avx512"), None, None, None, Layout("float32", None, 1), Layout("float32", None, 1))
    assert product.plan(1, 32, 64, 32).nchunks == 1
    assert product.plan(16, 32, 64, 32).nchunks == 16
    assert product.plan(1, 256, 256, 256).nchunks >= 8
    assert product.plan(1, 0, 256, 256).nchunks == 0
    assert product.plan(1, 2048, 2048, 2048).scratch_bytes < 5 << 20


def test_missing_run_time_numbers_are_an_error():
    from graphflow_kernels.cpu import gemm

    product = Gemm(host(), None, 4, 4, Layout("float32", None, 1), Layout("float32", 4, 1))
    with pytest.raises(
        ValueError, match="run-time numbers expected for m, a_row, tile_rows, .*; missing a_row, tile_rows"
    ):
        gemm.emit(product, None, None, None, None, None, None, None, {"m": None})


def test_other_architectures_compile():
    product = Gemm(named("neon"), 64, 64, 64, Layout("float32", 64, 1), Layout("float32", 64, 1))
    try:
        assert "fmla" in assembly(emit_product(product), named("neon"), opt=1)
    except RuntimeError as error:
        pytest.skip(f"this llvmlite was built without AArch64: {error}")
