"""Generated convolutions: sizes, strides, layouts and targets against NumPy, and the rules behind the blocks."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from graphflow_kernels.cpu import host, named
from graphflow_kernels.cpu.conv_plan import SUMS_BYTES, W_BYTES, X_BYTES, Conv, Geometry
from graphflow_kernels.cpu.conv_plan import named as by_name
from graphflow_kernels.tools.convolutions import Convolution

LESSER = {"avx512": ("avx512", "avx2", "sse2"), "avx2": ("avx2", "sse2")}.get(host().name, (host().name,))
TARGETS = [host() if name == host().name else named(name) for name in LESSER]
OTHERS = [pytest.param(target, marks=pytest.mark.slow) for target in TARGETS[1:]]
ONE = (1, 1, 1)
MANY = (1, 3, 7, 8, 15, 16, 30, 32, 48, 64, 70)


def definition(x, w, sizes, strides, low, dilations):
    """(output, image, d, h, w), in float64."""
    x, w = x.astype("float64"), w.astype("float64")
    out = np.zeros((w.shape[0], w.shape[1], x.shape[0], *sizes))
    for place in itertools.product(*map(range, sizes)):
        for tap in itertools.product(*map(range, w.shape[3:])):
            at = [p * s + k * d - lo for p, s, k, d, lo in zip(place, strides, tap, dilations, low)]
            if all(0 <= i < n for i, n in zip(at, x.shape[3:])):
                out[(..., *place)] += np.einsum("ngc,goc->gon", x[(..., *at)], w[(..., *tap)])
    return out.reshape(-1, *out.shape[2:])


def operands(x, w, dtype="float32"):
    rng = np.random.default_rng(0)
    return rng.normal(size=x).astype(dtype), rng.normal(size=w).astype(dtype)


def check(kernel, x, w, sizes, strides=ONE, low=(0, 0, 0), dilations=ONE, splits=1, tolerance=2e-6):
    parts = kernel(x, w, sizes, strides, low, dilations, splits=splits)
    want = definition(x, w, sizes, strides, low, dilations)
    scale = definition(abs(x), abs(w), sizes, strides, low, dilations) + 1e-30
    assert not np.isnan(parts).any()
    assert (np.abs(parts.astype("float64").sum(0) - want) / scale).max(initial=0.0) < tolerance


# x, w (outputs of a group, channels), sizes, strides, low, dilations
CASES = [
    ((2, 1, 3, 1, 6, 5), (1, 4, 3, 1, 3, 2), (1, 4, 4), ONE, (0, 0, 0), ONE),
    ((2, 1, 3, 1, 6, 20), (1, 37, 3, 1, 3, 3), (1, 6, 20), ONE, (0, 1, 1), ONE),
    ((3, 2, 2, 4, 9, 8), (2, 17, 2, 2, 3, 2), (3, 4, 5), (1, 2, 2), (0, 1, 1), (1, 2, 1)),
    ((1, 1, 1, 1, 1, 50), (1, 1, 1, 1, 1, 7), (1, 1, 25), (1, 1, 2), (0, 0, 3), (1, 1, 1)),
    ((2, 3, 1, 1, 7, 9), (3, 1, 1, 1, 3, 3), (1, 7, 9), ONE, (0, 1, 1), ONE),
    ((1, 1, 2, 1, 4, 4), (1, 5, 2, 1, 2, 2), (1, 2, 2), (1, 3, 3), (0, -1, 0), (1, 1, 2)),
    ((4, 1, 20, 1, 3, 3), (1, 16, 20, 1, 1, 1), (1, 3, 3), ONE, (0, 0, 0), ONE),
]


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.slow)])
def test_one_kernel_for_all_sizes(target, dtype):
    kernel = Convolution(target, *operands((1,) * 6, (1,) * 6, dtype))
    for x, w, *settings in CASES:
        check(kernel, *operands(x, w, dtype), *settings, tolerance=2e-6 if dtype == "float32" else 1e-14)


@pytest.mark.parametrize("target", [TARGETS[0], *OTHERS], ids=lambda t: t.name)
@pytest.mark.parametrize("outputs", [4, 40, *(pytest.param(n, marks=pytest.mark.slow) for n in MANY)])
def test_known_numbers_of_outputs(target, outputs):
    x, w = operands((2, 1, 5, 1, 7, 6), (1, outputs, 5, 1, 3, 3))
    check(Convolution(target, x, w, outputs), x, w, (1, 7, 6), low=(0, 1, 1))


def few(outputs, rows, target=None, dtype="float32"):
    """A kernel whose vectors lie along rows, and the cases that it can do, with this number of outputs."""
    cases = []
    for x, w, sizes, strides, low, dilations in CASES:
        if (strides if rows[0] else dilations)[-1] == 1:
            cases.append((*operands(x, (w[0], outputs, *w[2:]), dtype), sizes, strides, low, dilations))
    return Convolution(target or host(), *operands((1,) * 6, (1,) * 6, dtype), outputs, rows), cases


@pytest.mark.parametrize("target", [TARGETS[0], *OTHERS], ids=lambda t: t.name)
@pytest.mark.parametrize("rows", [(64, 0), (8, 0), (0, 63), (0, 7)], ids=["places", "8 places", "taps", "8 taps"])
@pytest.mark.parametrize("outputs", [1, 6, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 3, 5, 8))])
def test_few_outputs(outputs, rows, target):
    kernel, cases = few(outputs, rows, target)
    assert kernel.conv.along == ("places" if rows[0] else "taps")
    for case in cases:
        check(kernel, *case)
        check(kernel, *case, splits=3)


@pytest.mark.parametrize("rows", [(64, 0), (0, 63)], ids=["places", "taps"])
def test_few_outputs_in_blocks_of_every_size(rows, monkeypatch):
    from graphflow_kernels.cpu import conv_plan

    kernel, cases = few(3, rows, dtype="float64")
    for limit in (1 << 9, 1):
        for name in ("X_BYTES", "W_BYTES", "SUMS_BYTES"):
            monkeypatch.setattr(conv_plan, name, limit)
        for case in cases:
            check(kernel, *case, tolerance=1e-14)


def test_whole_vectors_of_taps(monkeypatch):
    from graphflow_kernels.cpu import conv_plan

    x, w = operands((2, 2, 3, 1, 20, 40), (2, 3, 3, 1, 16, 32))
    kernel = Convolution(host(), x, w, 3, (0, 32))
    assert kernel.conv.exact
    check(kernel, x, w, (1, 5, 9))
    monkeypatch.setattr(conv_plan, "W_BYTES", 64)
    check(kernel, x, w, (1, 5, 9), splits=2)


@pytest.mark.parametrize("rows", [(64, 0), (0, 63)], ids=["places", "taps"])
def test_what_lies_behind_a_row_is_not_added(rows):
    """Infinite elements count where a tap meets them, nowhere else."""
    kernel, cases = few(2, rows)
    x, w, *settings = cases[1]
    x[..., 3:5] = np.inf
    with np.errstate(invalid="ignore"):
        want = definition(x, w, *settings)
        np.testing.assert_array_equal(np.isnan(kernel(x, w, *settings)[0]), np.isnan(want))


@pytest.mark.slow
def test_strides_of_every_kind():
    x, w = operands((2, 1, 3, 1, 8, 9), (1, 20, 3, 1, 3, 3))
    last = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 2, -1)), -1, 2)  # channels last in memory
    turned = np.swapaxes(np.ascontiguousarray(np.swapaxes(w, 1, 2)), 1, 2)[..., ::-1, ::-1]
    spread = np.repeat(x, 2, axis=-1)[..., ::2]
    for a, b in itertools.product((x, last, spread), (w, turned)):
        check(Convolution(host(), a, b, 20), a, b, (1, 8, 9), low=(0, 1, 1))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_16_bit_operands_with_float32_sums(dtype):
    x, w = operands((2, 1, 5, 1, 7, 6), (1, 9, 5, 1, 3, 3))
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
        import ml_dtypes

        x, w = x.astype(ml_dtypes.bfloat16), w.astype(ml_dtypes.bfloat16)
    else:
        x, w = x.astype(dtype), w.astype(dtype)
    check(Convolution(host(), x, w, 9), x, w, (1, 7, 6), low=(0, 1, 1))


def test_nothing_to_do_and_nothing_to_add():
    kernel = Convolution(host(), *operands((1,) * 6, (1,) * 6))
    assert kernel(*operands((0, 1, 2, 1, 3, 3), (1, 2, 2, 1, 2, 2)), (1, 2, 2), ONE, (0, 0, 0), ONE).size == 0
    assert kernel(*operands((2, 1, 2, 1, 3, 3), (1, 0, 2, 1, 2, 2)), (1, 2, 2), ONE, (0, 0, 0), ONE).size == 0
    assert (kernel(*operands((2, 1, 0, 1, 3, 3), (1, 3, 0, 1, 2, 2)), (1, 2, 2), ONE, (0, 0, 0), ONE) == 0).all()
    assert (kernel(*operands((2, 1, 2, 1, 3, 3), (1, 3, 2, 1, 0, 2)), (1, 2, 2), ONE, (0, 0, 0), ONE) == 0).all()


@pytest.mark.parametrize("splits", [1, 5, 16])
def test_partial_sums_of_the_channels(splits):
    """More parts than channels too: what is left over is zero."""
    x, w = operands((3, 1, 9, 1, 5, 6), (1, 18, 9, 1, 4, 5))
    check(Convolution(host(), x, w, 18), x, w, (1, 2, 2), splits=splits)


@pytest.mark.parametrize("limits", [(1 << 12, 1 << 12, 1 << 11), (1 << 9, 1 << 9, 1 << 8), (1, 1, 1)])
def test_blocks_of_every_size(limits, monkeypatch):
    """With little cache, batch, places, outputs, channels and taps are all cut into blocks; the sums stay the same."""
    from graphflow_kernels.cpu import conv_plan

    for name, limit in zip(("X_BYTES", "W_BYTES", "SUMS_BYTES"), limits):
        monkeypatch.setattr(conv_plan, name, limit)
    kernel = Convolution(host(), *operands((1,) * 6, (1,) * 6))
    for x, w, *settings in CASES:
        check(kernel, *operands(x, w), *settings)


def test_grouping_of_chunks_changes_no_bit(monkeypatch):
    from graphflow_kernels.cpu import conv_plan

    for name, limit in {"CHUNK_PRODUCTS": 10, "X_BYTES": 500, "W_BYTES": 500, "SUMS_BYTES": 500}.items():
        monkeypatch.setattr(conv_plan, name, limit)
    kernel = Convolution(host(), *operands((1,) * 6, (1,) * 6))
    counts = []
    for x, w, *settings in CASES:
        x, w = operands(x, w)
        out, plan, call = kernel.prepared(x, w, *settings)
        call(0, plan.nchunks)
        ranges = [(i, i + 1) for i in reversed(range(plan.nchunks))]
        np.testing.assert_array_equal(kernel(x, w, *settings, ranges=ranges), out)
        counts.append(plan.nchunks)
    assert sum(count > 1 for count in counts) > len(CASES) // 2, counts  # the smallest have one tile on some CPUs


def test_operands_are_read_only_where_they_exist():
    """The operands lie at the end of a page behind which there is nothing."""
    import mmap

    def guarded(array):
        size = -(-array.nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
        memory = mmap.mmap(-1, size + mmap.PAGESIZE)
        whole = np.frombuffer(memory, np.uint8)
        placed = whole[size - array.nbytes : size].view(array.dtype).reshape(array.shape)
        placed[...] = array
        whole[size:] = 0xFF  # NaN
        return placed

    kernel = Convolution(host(), *operands((1,) * 6, (1,) * 6))
    for x, w, *settings in CASES:
        x, w = operands(x, w)
        check(kernel, guarded(x), guarded(w), *settings)


def geometry(batch, channels, size, outputs, taps, splits=1):
    shape, kernel = (
        (channels * size * size, 0, size * size, 0, size, 1),
        (0, channels * taps * taps, taps * taps, 0, taps, 1),
    )
    low = (0, taps // 2, taps // 2)
    sizes = (1, size, size)
    return Geometry(batch, 1, outputs, channels, sizes, (1, taps, taps), sizes, shape, kernel, ONE, ONE, low, splits)


@pytest.mark.parametrize(
    "sizes", [(16, 64, 32, 64, 3), (16, 512, 7, 512, 3), (1, 64, 224, 64, 3), (8, 2048, 8, 512, 1)]
)
def test_blocks_fit_the_cache(sizes):
    conv = Conv(named("avx512"), "float32", "float32", sizes[3], True, True)
    plan = conv.plan(geometry(*sizes))
    assert plan.scratch_bytes < X_BYTES + 4 * W_BYTES + SUMS_BYTES + (256 << 10)
    assert 8 <= plan.nchunks <= 64


def test_chunks_do_not_depend_on_threads_but_on_work():
    conv = Conv(named("avx512"), "float32", "float32", 8, True, True)
    assert conv.plan(geometry(1, 3, 8, 8, 3)).nchunks == 1
    assert conv.plan(geometry(64, 16, 32, 8, 3)).nchunks > 8


def test_weights_that_lie_as_one_are_walked_as_one():
    conv = Conv(named("avx512"), "float32", "float32", 8, True, True)
    assert by_name(conv.plan(geometry(1, 3, 8, 8, 3)).numbers)["joined"] == 3
