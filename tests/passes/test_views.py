"""Movement ops and casts: chains become one op, and those that move nothing go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import graphflow as gf
from graphflow.core.dispatch import apply
from graphflow.core.dtypes import REAL, DType
from graphflow.ops.define import CAST
from graphflow.ops.movement import BROADCAST, PAD, PERMUTE, RESHAPE, SLICE
from graphflow.ops.picking import SCATTER
from graphflow.passes.views import holds
from tests.passes.tools import assert_kept, assert_rewrite

F = "float32[n, 3]"


def cast(x: Any, dtype: DType) -> Any:
    return apply(CAST, (x,), {"dtype": dtype})


def op(record: Any, x: Any, **attrs: Any) -> Any:
    """The op itself: the public functions leave out what does nothing."""
    return apply(record, (x,), attrs)


REWRITES: dict[str, tuple[Callable[..., Any], Callable[..., Any], str]] = {
    "stop_gradient": (gf.stop_gradient, lambda x: x, F),
    "reshape to the same": (lambda x: op(RESHAPE, x, shape=x.shape), lambda x: x, F),
    "broadcast to the same": (lambda x: op(BROADCAST, x, shape=x.shape), lambda x: x, F),
    "cast to the same": (lambda x: cast(x, gf.float32), lambda x: x, F),
    "permute nothing": (lambda x: op(PERMUTE, x, axes=(0, 1)), lambda x: x, F),
    "slice of all": (lambda x: op(SLICE, x, starts=(0, 0), sizes=x.shape, steps=(1, 1)), lambda x: x, F),
    "pad with nothing": (
        lambda x: op(PAD, x, low=(0, 0), high=(0, 0), interior=(0, 0), value=0.0),
        lambda x: x,
        F,
    ),
    "reshape of reshape": (
        lambda x: gf.reshape(gf.reshape(x, (2, 6)), (4, 3)),
        lambda x: gf.reshape(x, (4, 3)),
        "float32[12]",
    ),
    "reshape there and back": (lambda x: gf.reshape(gf.reshape(x, (6, 2)), (4, 3)), lambda x: x, "float32[4, 3]"),
    "permute of permute": (
        lambda x: gf.permute_dims(gf.permute_dims(x, (2, 0, 1)), (2, 0, 1)),
        lambda x: gf.permute_dims(x, (1, 2, 0)),
        "float32[2, n, 3]",
    ),
    "transpose of transpose": (lambda x: gf.permute_dims(gf.permute_dims(x, (1, 0)), (1, 0)), lambda x: x, F),
    "broadcast of broadcast": (
        lambda x: gf.broadcast_to(gf.broadcast_to(x, (4, 3)), (2, 4, 3)),
        lambda x: gf.broadcast_to(x, (2, 4, 3)),
        "float32[3]",
    ),
    "broadcast of new axes": (
        lambda x: gf.broadcast_to(gf.reshape(x, (1, 3)), (2, 3)),
        lambda x: gf.broadcast_to(x, (2, 3)),
        "float32[3]",
    ),
    "reshape of broadcast scalar": (
        lambda x: gf.reshape(gf.broadcast_to(x, (4, 3)), (12,)),
        lambda x: gf.broadcast_to(x, (12,)),
        "float32[]",
    ),
    "axes of size 1 after a broadcast": (
        lambda x: gf.reshape(gf.broadcast_to(x, (4, 3)), (4, 1, 3)),
        lambda x: gf.broadcast_to(gf.reshape(x, (4, 1, 1)), (4, 1, 3)),
        "float32[4, 1]",
    ),
    "permute of broadcast": (
        lambda x: gf.permute_dims(gf.broadcast_to(x, (4, 3)), (1, 0)),
        lambda x: gf.broadcast_to(gf.permute_dims(x, (1, 0)), (3, 4)),
        "float32[4, 1]",
    ),
    "slice of broadcast scalar": (
        lambda x: gf.broadcast_to(x, (4, 3))[1:3],
        lambda x: gf.broadcast_to(x, (2, 3)),
        "float32[]",
    ),
    "slice of slice": (
        lambda x: x[1:9:2][1:3],
        lambda x: op(SLICE, x, starts=(3,), sizes=(2,), steps=(2,)),
        "float32[10]",
    ),
    "flip of flip": (lambda x: gf.flip(gf.flip(x, axis=0), axis=0), lambda x: x, "float32[10]"),
    "wider and back": (lambda x: cast(cast(x, gf.float64), gf.float32), lambda x: x, F),
    "integers by way of floats": (
        lambda x: cast(cast(x, gf.float64), gf.int64),
        lambda x: cast(x, gf.int64),
        "int32[n, 3]",
    ),
    "a bool as a float as a bool": (lambda x: cast(cast(x, gf.float32), gf.bool_), lambda x: x, "bool[n, 3]"),
}


@pytest.mark.parametrize("name", REWRITES)
def test_chains_become_one(name: str) -> None:
    before, after, operand = REWRITES[name]
    assert_rewrite(before, after, operand, passes=("views",))


KEPT: dict[str, tuple[Callable[..., Any], str]] = {
    "a cast that rounds": (lambda x: cast(cast(x, gf.float16), gf.float32), F),
    "a cast that wraps round": (lambda x: cast(cast(x, gf.int8), gf.int32), "int32[n, 3]"),
    "integers that float32 cannot hold": (lambda x: cast(cast(x, gf.float32), gf.int32), "int32[n, 3]"),
    "a negative number as a float, then unsigned": (lambda x: cast(cast(x, gf.float32), gf.uint8), "int8[0]"),
    "a reshape that splits a broadcast axis": (
        lambda x: gf.reshape(gf.broadcast_to(x, (4, 6)), (4, 2, 3)),
        "float32[4, 1]",
    ),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_would_change_values_is_left_alone(name: str) -> None:
    function, operand = KEPT[name]
    assert_kept(function, operand, passes=("views",))


def test_updates_of_a_scatter_keep_their_order() -> None:
    def scatter(x: Any, places: Any, updates: Any) -> Any:
        return apply(SCATTER["add"], (x, places, updates), {"axis": 0})

    assert_rewrite(
        lambda x, i, u: scatter(x, i, op(PERMUTE, u, axes=(2, 0, 1, 3))),
        lambda x, i, u: scatter(x, op(PERMUTE, i, axes=(1, 2, 0)), u),
        *("int32[12, 3]", "int64[2, 4, n]", "int32[4, n, 2, 3]"),
        passes=("views",),
    )
    inside = ("int32[12, 3]", "int64[2, 4]", "int32[2, 3, 4]")
    assert_kept(lambda x, i, u: scatter(x, i, op(PERMUTE, u, axes=(0, 2, 1))), *inside, passes=("views",))


@pytest.mark.parametrize("wide", REAL, ids=str)
def test_what_a_dtype_holds(wide: DType) -> None:
    """By casting the extremes of each other dtype there and back."""
    for narrow in REAL:
        if not holds(wide, narrow):
            continue
        extremes = gf.tensor([True, False]) if narrow.kind == "bool" else _extremes(narrow)
        assert (extremes.astype(wide).astype(narrow).numpy() == extremes.numpy()).all(), (wide, narrow)


def _extremes(dtype: DType) -> Any:
    if dtype.is_int:
        limits = gf.iinfo(dtype)
        return gf.tensor([limits.min, limits.max, 1], dtype=dtype)
    info = gf.finfo(dtype)
    return gf.tensor([info.min, info.max, info.smallest_normal, 1 + info.eps], dtype=dtype)
