"""Products, and steps that know where they are: coordinates, sizes, state, chance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import graphflow as gf
from tests.programs.builder import BITS, Builder, Facts, Skip, Value, bits_of, fits_together, is_static
from tests.programs.step import like, rough, step


# -- products --------------------------------------------------------------------------------------------------------
@step
def matmul(p: Builder) -> None:
    v = p.value(lambda v: v.is_float and len(v.shape) >= 2)

    def fits(w: Value) -> bool:
        if (
            w.tensor.dtype is not v.tensor.dtype
            or len(w.shape) < 2
            or fits_together(v.shape[:-2], w.shape[:-2]) is None
        ):
            return False
        return w.shape[-2] == v.shape[-1] or w.shape[-1] == v.shape[-1]

    w = p.value(fits)
    turned = w.shape[-2] != v.shape[-1]
    _product(p, v, w, v.shape[-1], lambda x, y: x @ (gf.matrix_transpose(y) if turned else y))


@step
def gram(p: Builder) -> None:
    v = p.value(lambda v: v.is_float and len(v.shape) >= 2)
    if p.choose(2):
        _product(p, v, v, v.shape[-1], lambda x, y: x @ gf.matrix_transpose(y))
    else:
        _product(p, v, v, v.shape[-2], lambda x, y: gf.matrix_transpose(x) @ y)


@step
def weigh(p: Builder) -> None:
    """A product with a constant matrix, and perhaps a bias."""
    v = p.value(lambda v: v.is_float and v.shape and is_static(v.shape[-1]) and v.tensor.dtype.bits > 16)
    rows, columns, bias = v.shape[-1], 1 + p.choose(6), bool(p.choose(2))
    dtype = v.tensor.dtype

    def product(x: Any, _: Any) -> Any:
        w = gf.remainder(gf.arange(rows * columns), 5).astype(dtype).reshape(rows, columns) * 0.5 - 1.0
        out = x @ w
        return gf.relu(out) + gf.arange(columns).astype(dtype) if bias and v.facts.exact else out

    _product(p, v, v, rows, product)


@step
def contract(p: Builder) -> None:
    v = p.value(lambda v: v.is_float and len(v.shape) >= 1)
    w = p.value(lambda w: w.tensor.dtype is v.tensor.dtype and w.shape == v.shape)
    letters = "abcd"[: len(v.shape)]
    axis = p.axis(v)
    short = letters.replace(letters[axis], "")
    equation = f"{letters},{letters}->{p.one_of([short, short[::-1], ''])}"
    count = v.shape[axis] if not equation.endswith(">") else _all(v.shape)
    _product(p, v, w, count, lambda x, y: gf.einsum(equation, x, y))


def _all(shape: Any) -> Any:
    out: Any = 1
    for s in shape:
        out = out * s
    return out


def _product(p: Builder, v: Value, w: Value, terms: Any, function: Callable[[Any, Any], Any]) -> None:
    if v.tensor.dtype.bits == 16:
        raise Skip
    growth = bits_of(p.count([terms]))
    if v.facts.exact and w.facts.exact:
        cut = p.cut(v)
        v, w = cut, (cut if w is v else p.cut(w))
        if 8 + growth <= BITS[v.tensor.dtype.name]:
            p.call(function, v, w, facts=Facts(4 + growth, 4))
        return
    p.call(function, v, w, facts=rough(v, w, high=v.facts.high + w.facts.high + growth))


# -- where things are, state, chance ---------------------------------------------------------------------------------
@step
def coordinates(p: Builder) -> None:
    v = p.value(lambda v: v.shape)
    axis = p.axis(v)

    def places(x: Any) -> Any:
        shape = tuple(x.shape[axis] if a == axis else 1 for a in range(len(x.shape)))
        return gf.remainder(gf.arange(x.shape[axis]), 5).reshape(shape)

    p.call(places, v, facts=Facts(0, 0))


@step
def sizes(p: Builder) -> None:
    v = p.value(lambda v: v.is_float and v.tensor.dtype.bits > 16 and any(not is_static(s) for s in v.shape))
    axis = p.axis(v, lambda s: not is_static(s))
    p.call(
        lambda x: x / (gf.zeros_like(x) + 1.0 + gf.ones((x.shape[axis],)).sum()), v, facts=rough(v, high=v.facts.high)
    )


@step
def constant(p: Builder) -> None:
    number = [0.0, -0.0, 1.0, -1.0, 2.0, 0.5][p.choose(6)]
    v = p.exact()
    f = p.one_of([lambda x: gf.full_like(x, number), lambda x: gf.zeros_like(x) + number])
    p.call(f, v, facts=Facts(1, 1))


@step
def chance(p: Builder) -> None:
    v = p.value(lambda v: v.is_float and v.tensor.dtype.bits > 16 and all(map(is_static, v.shape)))
    shape = v.shape
    f = p.one_of(
        [
            lambda x: x * (gf.random.uniform(shape) < 0.5).astype(x.dtype),
            lambda x: x + gf.floor(gf.random.uniform(shape) * 4.0).astype(x.dtype),
        ]
    )
    p.call(f, v, facts=like(v, high=max(v.facts.high, 2) + 1))


@step
def read(p: Builder) -> None:
    if not p.variables:
        raise Skip
    variable, facts = p.one_of(p.variables)
    p.call(lambda *_: variable.read(), p.values[0], facts=facts)


@step
def assign(p: Builder) -> None:
    """A variable takes a value, or adds one up; what it holds always has the same facts."""
    if not p.variables:
        raise Skip
    variable, facts = p.one_of(p.variables)
    shape = tuple(variable.shape)
    v = p.value(
        lambda v: v.tensor.dtype is variable.dtype and (v.facts.exact or not facts.exact) and tuple(v.shape) == shape
    )
    if facts.exact and v.is_float:
        v = p.cut(v)
    if not variable.dtype.is_float:
        f = p.one_of([variable.assign, variable.assign_add])
    elif facts.exact:
        f = p.one_of([variable.assign, lambda x: variable.assign(gf.remainder(variable.read() + x, 4.0) - 2.0)])
    else:
        f = p.one_of(
            [lambda x: variable.assign(gf.tanh(x)), lambda x: variable.assign(variable.read() * 0.5 + x * 0.1)]
        )
    p.call(f, v, facts=facts)
