"""What must hold for every op: these tests walk the registry, so a new op is tested by being registered."""

from __future__ import annotations

import numpy as np
import pytest

from graphflow.core import dtypes
from graphflow.core.aval import AVal
from graphflow.core.dims import Dim, collecting_assumptions, evaluate
from graphflow.core.dtypes import as_dtype, float32, float64
from graphflow.core.op import OPS
from graphflow.tensor import Tensor
from graphflow.testing import assert_close, check_grad, check_parity
from tests.ops.cases import (
    DIFFERENTIABLE,
    FUNCTIONS,
    NOT_DIFFERENTIABLE,
    call,
    cases,
    operand_dtypes,
    operands,
    special_operands,
)

EMITTED_BY_KIND = {"gather", "contract"}  # the scheduler knows these, their records need no rule
SIZES_IN_ATTRS = {"shape", "sizes", "starts", "low", "high"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_record_is_complete(name: str) -> None:
    op = OPS[name]
    assert op.samples is not None and list(op.samples()), "no samples: nothing would test it"
    assert op.emit is not None or op.kind in EMITTED_BY_KIND, "no rule to emit native code"
    assert op.doc
    assert (op.vjp is None) == (name in NOT_DIFFERENTIABLE), "give it a gradient rule, or here a reason to have none"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_infer_agrees_with_the_reference(name: str) -> None:
    op = OPS[name]
    for sample, _, arrays in cases(op):
        result = op.ref(*arrays, **sample.attrs)
        inferred = op.infer(*(Tensor(a).aval for a in arrays), **sample.attrs)
        for aval, array in zip(*((x,) if not isinstance(x, tuple) else x for x in (inferred, result)), strict=True):
            assert aval == AVal(np.shape(array), as_dtype(array.dtype)), (sample, arrays[0].dtype)


@pytest.mark.parametrize("name", [n for n in FUNCTIONS if OPS[n].kind in ("map", "reduce", "contract")])
def test_infer_takes_symbolic_sizes(name: str) -> None:
    """Each size above 1 becomes a symbol, equal sizes the same; the result must be the same shape in symbols."""
    op = OPS[name]
    for sample, dtype, arrays in cases(op):
        if SIZES_IN_ATTRS & sample.attrs.keys():
            continue
        avals = [AVal(tuple(Dim(f"n{s}") if s > 1 else s for s in a.shape), as_dtype(a.dtype)) for a in arrays]
        with collecting_assumptions([]):
            symbolic = op.infer(*avals, **sample.attrs)
        sizes = {f"n{s}": s for a in arrays for s in a.shape}
        static = op.infer(*(Tensor(a).aval for a in arrays), **sample.attrs)
        assert tuple(evaluate(s, sizes) for s in symbolic.shape) == static.shape, (sample, dtype)
        assert symbolic.dtype is static.dtype


@pytest.mark.parametrize("name", FUNCTIONS)
def test_low_precision_is_near_float64(name: str) -> None:
    op = OPS[name]
    for sample, dtype, arrays in cases(op):
        if not dtype.is_float or dtype is float64 or name == "nextafter":
            continue
        wide = [a.astype(np.float64) if as_dtype(a.dtype).is_float else a for a in arrays]
        got, exact = op.ref(*arrays, **sample.attrs), op.ref(*wide, **sample.attrs)
        for g, e in zip(*(x if isinstance(x, tuple) else (x,) for x in (got, exact)), strict=True):
            assert_close(g, np.asarray(e).astype(g.dtype), {"float32": 2e-6}.get(dtype.name))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_operands_need_not_be_contiguous(name: str) -> None:
    op = OPS[name]
    for sample, _, arrays in cases(op):
        spread = [np.repeat(a[..., None], 2, axis=-1)[..., 0] if a.ndim else a for a in arrays]
        turned = [np.asfortranarray(a) if a.ndim else a for a in arrays]
        want = op.ref(*arrays, **sample.attrs)
        for other in (spread, turned):
            got = op.ref(*other, **sample.attrs)
            for g, w in zip(*(x if isinstance(x, tuple) else (x,) for x in (got, want)), strict=True):
                np.testing.assert_allclose(np.float64(g), np.float64(w), rtol=1e-2)


@pytest.mark.parametrize("mode", ["eager", "graph"])
@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_to_second_order(name: str, mode: str) -> None:
    op = OPS[name]
    for sample in op.samples():  # type: ignore[misc]
        arrays = operands(sample, float64, name)
        rounds = sample.attrs.get("dtype", float64) is not float64  # a cast: differences would see its steps
        if sample.grad and not rounds and all(a.size for a in arrays) and any(a.dtype.kind == "f" for a in arrays):
            check_grad(call(op, sample), *arrays, mode=mode, directions=1)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_native_code_agrees(name: str) -> None:
    """All samples in all dtypes, and their gradients, through the recorder, every pass and native code."""
    op = OPS[name]
    chosen = list(cases(op))

    def everything(groups: list[tuple[Tensor, ...]]) -> list[Tensor]:
        return [call(op, sample)(*xs) for (sample, _, _), xs in zip(chosen, groups, strict=True)]

    check_parity(everything, [arrays for _, _, arrays in chosen])


@pytest.mark.parametrize("name", [n for n in FUNCTIONS if OPS[n].kind == "map" and n not in ("iota", "random_bits")])
def test_native_code_agrees_at_special_values(name: str) -> None:
    op = OPS[name]
    sample = next(iter(op.samples()))  # type: ignore[misc]
    chosen = [d for d in (float32, float64, dtypes.int32, dtypes.uint8, dtypes.int64) if d in operand_dtypes(op)]
    groups = [special_operands(len(sample.args), dtype) for dtype in chosen]
    if name == "where":
        groups = [(np.isfinite(g[0]), *g[1:]) for g in groups]

    def everything(groups: list[tuple[Tensor, ...]]) -> list[Tensor]:
        return [call(op, sample)(*xs) for xs in groups]

    check_parity(everything, groups, grad=False)
