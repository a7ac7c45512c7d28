"""Comparisons, tests, logic and bits: elementwise ops without gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from graphflow.ops.define import elementwise


def _comparison(name: str, ref: Any, emit: Any, symbol: str, methods: tuple[str, ...]) -> Callable[..., Any]:
    return elementwise(
        name,
        ref,
        emit,
        arity=2,
        dtypes="any",
        result="bool",
        methods=methods,
        commutative=symbol in ("==", "!="),
        doc=f"Whether x1 {symbol} x2, as bool.",
    )


equal = _comparison("equal", np.equal, lambda b, x, y: x == y, "==", ("__eq__", "eq"))
not_equal = _comparison("not_equal", np.not_equal, lambda b, x, y: x != y, "!=", ("__ne__", "ne"))
less = _comparison("less", np.less, lambda b, x, y: x < y, "<", ("__lt__", "lt"))
less_equal = _comparison("less_equal", np.less_equal, lambda b, x, y: x <= y, "<=", ("__le__", "le"))
greater = _comparison("greater", np.greater, lambda b, x, y: x > y, ">", ("__gt__", "gt"))
greater_equal = _comparison("greater_equal", np.greater_equal, lambda b, x, y: x >= y, ">=", ("__ge__", "ge"))


def _test(name: str, ref: Any, emit: Any, doc: str, dtypes: str = "numeric") -> Callable[..., Any]:
    return elementwise(name, ref, emit, dtypes=dtypes, result="bool", methods=(name,), doc=doc)


isnan = _test("isnan", np.isnan, lambda b, x: b.isnan(x), "Whether x is NaN.")
isinf = _test("isinf", np.isinf, lambda b, x: b.isinf(x), "Whether x is an infinity.")
isfinite = _test("isfinite", np.isfinite, lambda b, x: b.isfinite(x), "Whether x is neither NaN nor an infinity.")
signbit = _test("signbit", np.signbit, lambda b, x: b.signbit(x), "Whether the sign bit is set.", dtypes="float")


def _logical(name: str, ref: Any, emit: Any, doc: str) -> Callable[..., Any]:
    return elementwise(
        name,
        ref,
        emit,
        arity=2,
        dtypes="any",
        result="bool",
        methods=(name,),
        commutative=True,
        doc=f"{doc}, as bool; a number is true if it is not zero.",
    )


logical_and = _logical("logical_and", np.logical_and, lambda b, x, y: b.logical_and(x, y), "Whether both are true")
logical_or = _logical("logical_or", np.logical_or, lambda b, x, y: b.logical_or(x, y), "Whether one is true")
logical_xor = _logical(
    "logical_xor", np.logical_xor, lambda b, x, y: b.logical_xor(x, y), "Whether exactly one is true"
)
logical_not = elementwise(
    "logical_not",
    np.logical_not,
    lambda b, x: b.logical_not(x),
    dtypes="any",
    result="bool",
    methods=("logical_not",),
    doc="Whether x is false (zero), as bool.",
)


def _bitwise(name: str, ref: Any, emit: Any, operator: str, doc: str) -> Callable[..., Any]:
    return elementwise(
        name,
        ref,
        emit,
        arity=2,
        dtypes="int or bool",
        methods=(f"__{operator}__", name),
        reflected=f"__r{operator}__",
        commutative=True,
        doc=doc,
    )


bitwise_and = _bitwise("bitwise_and", np.bitwise_and, lambda b, x, y: x & y, "and", "x1 & x2.")
bitwise_or = _bitwise("bitwise_or", np.bitwise_or, lambda b, x, y: x | y, "or", "x1 | x2.")
bitwise_xor = _bitwise("bitwise_xor", np.bitwise_xor, lambda b, x, y: x ^ y, "xor", "x1 ^ x2.")
bitwise_invert = elementwise(
    "bitwise_invert",
    np.bitwise_not,
    lambda b, x: b.bitwise_invert(x),
    dtypes="int or bool",
    methods=("__invert__", "bitwise_invert", "bitwise_not"),
    doc="All bits turned over; logical not of bools.",
)


def _shift(name: str, ref: Any, emit: Any, operator: str, doc: str) -> Callable[..., Any]:
    return elementwise(
        name,
        ref,
        emit,
        arity=2,
        dtypes="int",
        methods=(f"__{operator}__", name),
        reflected=f"__r{operator}__",
        low=0,
        high=6,
        doc=doc,
    )


bitwise_left_shift = _shift(
    "bitwise_left_shift", np.left_shift, lambda b, x, y: x << y, "lshift", "x1 << x2; 0 for shifts beyond the width."
)
bitwise_right_shift = _shift(
    "bitwise_right_shift", np.right_shift, lambda b, x, y: x >> y, "rshift", "x1 >> x2, keeping the sign."
)
