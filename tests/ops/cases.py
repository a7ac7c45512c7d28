"""Operands for the tests that walk the registry."""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from graphflow.core import dtypes
from graphflow.core.dispatch import apply
from graphflow.core.dtypes import DType
from graphflow.core.op import OPS, Op, Sample
from graphflow.ops.define import DTYPE_KINDS

# What has no meaning of its own: the recorder or the runtime supplies the value, or the op acts on the world. Tests of
# graphs, variables and sessions exercise these.
NOT_FUNCTIONS = {"source", "effect", "control"}

# Ops without a gradient rule, and why they need none.
NOT_DIFFERENTIABLE = {
    **dict.fromkeys(["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"], "bool result"),
    **dict.fromkeys(["isnan", "isinf", "isfinite", "signbit"], "bool result"),
    **dict.fromkeys(["logical_and", "logical_or", "logical_xor", "logical_not", "any", "all"], "bool result"),
    **dict.fromkeys(["bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_invert"], "integer operands"),
    **dict.fromkeys(["bitwise_left_shift", "bitwise_right_shift"], "integer operands"),
    **dict.fromkeys(["iota", "random_bits"], "no floating-point operand"),
    **dict.fromkeys(["argsort", "searchsorted", "cumargmax", "cumargmin"], "integer result"),
    "nextafter": "a step of rounding error, not a function of real numbers",
    "stop_gradient": "that is what it is for",
}

FUNCTIONS = [name for name, op in OPS.items() if op.kind not in NOT_FUNCTIONS]
DIFFERENTIABLE = [name for name in FUNCTIONS if OPS[name].vjp is not None]


def operand_dtypes(op: Op) -> list[DType]:
    kinds = DTYPE_KINDS.get(op.dtypes, DTYPE_KINDS["any"])
    return [d for d in dtypes.REAL if d.kind in kinds and (op.dtypes != "wide float" or d.bits > 16)]


def operands(sample: Sample, dtype: DType, seed: str = "") -> tuple[Any, ...]:
    """The sample's arrays: given ones as they are, shapes filled with numbers from its range."""
    rng = np.random.default_rng(zlib.crc32(f"{seed} {sample.args} {dtype}".encode()))
    return tuple(a if isinstance(a, np.ndarray) else _fill(rng, a, sample, dtype) for a in sample.args)


def _fill(rng: np.random.Generator, shape: tuple[int, ...], sample: Sample, dtype: DType) -> Any:
    if dtype.kind == "bool":
        return np.asarray(rng.random(shape) < 0.5)
    if dtype.is_float:
        return np.asarray(rng.uniform(sample.low, sample.high, shape)).astype(dtype.np)
    low, high = math.ceil(sample.low), math.floor(sample.high)
    return rng.integers(max(low, 0) if dtype.kind == "uint" else low, max(high, 1) + 1, shape).astype(dtype.np)


def cases(op: Op) -> Iterator[tuple[Sample, DType, tuple[Any, ...]]]:
    """Every sample with every dtype the op takes."""
    for sample in op.samples():  # type: ignore[misc]
        given = all(isinstance(a, np.ndarray) for a in sample.args)
        for dtype in operand_dtypes(op)[: 1 if given else None]:
            yield sample, dtype, operands(sample, dtype, op.name)


def call(op: Op, sample: Sample) -> Any:
    """The op on this sample's operands as a function of tensors."""
    return lambda *xs: apply(op, tuple(xs), sample.attrs)


SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.0, 1e-30, -1e-30, 88.0, -104.0, 1e30, math.inf, -math.inf, math.nan]


def special_operands(arity: int, dtype: DType) -> tuple[Any, ...]:
    """Every combination of numbers at which formulas break: zeros of both signs, infinities, NaN, extreme integers."""
    if dtype.is_float:
        values = np.array(SPECIAL if arity < 3 else [-1.0, 0.0, 2.0, math.inf, -math.inf, math.nan])
        with np.errstate(over="ignore"):
            values = values.astype(dtype.np)
    elif dtype.kind == "bool":
        values = np.array([False, True])
    else:
        limits = dtypes.make_iinfo(dtype)
        small = [0, 1, 2, 3, 7] + ([-1, -2, -3] if dtype.kind == "int" else [])
        values = np.array([*small, limits.min, limits.max, limits.max // 2], dtype=dtype.np)
    return tuple(np.array(column) for column in zip(*itertools.product(values, repeat=arity)))
