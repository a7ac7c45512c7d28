"""Steps along axes: sums, extremes, softmax, sorting."""

from __future__ import annotations

import graphflow as gf
from tests.programs.builder import BITS, Builder, Facts, Skip, Value, bits_of, is_static
from tests.programs.step import like, rough, step


# -- reductions ------------------------------------------------------------------------------------------------------
def needs_elements(p: Builder, v: Value, axes: tuple[int, ...]) -> None:
    for a in axes:
        if is_static(v.shape[a]) and v.shape[a] == 0:
            raise Skip
        p.not_empty |= not is_static(v.shape[a])


@step
def total(p: Builder) -> None:
    v = p.smooth()
    axes, keep = p.axes(v), bool(p.choose(2))
    growth = bits_of(p.count([v.shape[a] for a in axes]))
    if v.facts.exact and v.facts.high + v.facts.low + growth > BITS[v.tensor.dtype.name]:
        v = p.cut(v)
    if v.tensor.dtype.bits == 16 or (v.facts.exact and v.facts.high + v.facts.low + growth > BITS[v.tensor.dtype.name]):
        raise Skip
    p.call(
        lambda x: gf.sum(x, axis=axes, keepdims=keep),
        v,
        facts=like(v, high=v.facts.high + growth) if v.facts.exact else rough(v, high=v.facts.high + growth),
    )


@step
def statistics(p: Builder) -> None:
    v = p.smooth()
    axes, keep = p.axes(v), bool(p.choose(2))
    if v.tensor.dtype.bits == 16:
        raise Skip
    needs_elements(p, v, axes)
    f = p.one_of(
        [
            lambda x: gf.mean(x, axis=axes, keepdims=keep),
            lambda x: gf.var(x, axis=axes, keepdims=keep),
            lambda x: gf.logsumexp(x, axis=axes, keepdims=keep),
            lambda x: gf.sqrt(gf.sum(x * x, axis=axes, keepdims=keep) + 0.1) * 0.2,
            lambda x: x - gf.mean(x, axis=axes, keepdims=True),
            lambda x: (x - gf.mean(x, axis=axes, keepdims=True)) * gf.rsqrt(gf.var(x, axis=axes, keepdims=True) + 0.1),
            lambda x: gf.prod(gf.tanh(x) + 0.5, axis=axes[0], keepdims=keep) * 0.1,
        ]
    )
    p.call(f, v, facts=rough(v, high=v.facts.high + 3))


@step
def softmax(p: Builder) -> None:
    v = p.value(lambda v: v.is_float and v.shape and v.tensor.dtype.bits > 16)
    axis = p.axis(v)
    needs_elements(p, v, (axis,))
    f = p.one_of([gf.softmax, gf.log_softmax])
    p.call(lambda x: f(x, axis=axis), v, facts=rough(v, high=v.facts.high + 2))


@step
def extreme(p: Builder) -> None:
    v = p.value(lambda v: v.facts.exact and v.tensor.dtype.kind != "bool" and v.shape)
    axes, keep = p.axes(v), bool(p.choose(2))
    needs_elements(p, v, axes)
    f = p.one_of([gf.max, gf.min])
    p.call(lambda x: f(x, axis=axes, keepdims=keep), v, facts=v.facts)


@step
def place_of_extreme(p: Builder) -> None:
    v = p.value(lambda v: v.facts.exact and v.tensor.dtype.kind != "bool" and v.shape)
    axis, keep, f = p.axis(v), bool(p.choose(2)), p.one_of([gf.argmax, gf.argmin])
    needs_elements(p, v, (axis,))
    p.call(lambda x: f(x, axis=axis, keepdims=keep), v, facts=Facts(0, 0))


@step
def count(p: Builder) -> None:
    v = p.value(lambda v: v.tensor.dtype.kind == "bool" and v.shape)
    axes, keep = p.axes(v), bool(p.choose(2))
    f = p.one_of([gf.any, gf.all, gf.sum])
    p.call(lambda x: f(x, axis=axes, keepdims=keep), v, facts=Facts(0, 0))


@step
def sum_of_integers(p: Builder) -> None:
    v = p.value(lambda v: v.tensor.dtype.is_int and v.shape)
    axes = p.axes(v)
    f = p.one_of([gf.sum, gf.prod])
    p.call(lambda x: f(x, axis=axes), v, facts=Facts(0, 0))


@step
def running(p: Builder) -> None:
    v = p.value(lambda v: v.is_float and v.shape and v.tensor.dtype.bits > 16)
    axis = p.axis(v)
    growth = bits_of(p.count([v.shape[axis]]))
    if v.facts.exact and v.facts.high + v.facts.low + growth > BITS[v.tensor.dtype.name]:
        v = p.cut(v)
    p.call(
        lambda x: gf.cumulative_sum(x, axis=axis),
        v,
        facts=like(v, high=v.facts.high + growth) if v.facts.exact else rough(v, high=v.facts.high + growth),
    )


@step
def running_extreme(p: Builder) -> None:
    v = p.value(lambda v: v.facts.exact and v.tensor.dtype.kind != "bool" and v.shape)
    axis, f, places = p.axis(v), p.one_of([gf.cummax, gf.cummin]), bool(p.choose(2))
    p.call(lambda x: f(x, axis=axis)[places], v, facts=Facts(0, 0) if places else v.facts)


@step
def sort(p: Builder) -> None:
    v = p.value(lambda v: v.facts.exact and v.tensor.dtype.kind != "bool" and v.shape)
    axis, descending = p.axis(v), bool(p.choose(2))
    f = p.one_of([gf.sort, gf.argsort])
    facts = v.facts if f is gf.sort else Facts(0, 0)
    p.call(lambda x: f(x, axis=axis, descending=descending), v, facts=facts)
