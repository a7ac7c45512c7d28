"""Steps that move elements: views, and elements that others choose."""

from __future__ import annotations

from typing import Any

import graphflow as gf
from tests.programs.builder import Builder, Facts, Skip, Value, bits_of, fits_together, is_one, is_static
from tests.programs.step import like, step


# -- views -----------------------------------------------------------------------------------------------------------
@step
def turn(p: Builder) -> None:
    v = p.value(lambda v: len(v.shape) > 1)
    axes = list(range(len(v.shape)))
    for i in range(len(axes)):
        j = i + p.choose(len(axes) - i)
        axes[i], axes[j] = axes[j], axes[i]
    p.call(lambda x: gf.permute_dims(x, tuple(axes)), v, facts=v.facts)


@step
def cut(p: Builder) -> None:
    v = p.value(lambda v: v.shape)
    key: list[Any] = []
    for size in v.shape:
        if is_static(size):
            kinds = [
                slice(None),
                slice(None, None, -1),
                slice(1, None),
                slice(None, None, 2),
                slice(-2, None),
                slice(1, -1),
                0,
                slice(None, 1, -2),
                slice(1, 1),
            ]
        else:
            kinds = [slice(None), slice(None, None, -1), slice(None, None, 2), slice(None, None, -3), slice(0, None)]
        key.append(p.one_of(kinds))
        if p.choose(4) == 0:
            key.append(None)
    if any(isinstance(k, int) and s == 0 for k, s in zip([k for k in key if k is not None], v.shape)):
        raise Skip
    p.call(lambda x: x[tuple(key)], v, facts=v.facts)


@step
def first(p: Builder) -> None:
    """The first or last of a symbolic axis, which must not be empty."""
    v = p.value(lambda v: any(not is_static(s) for s in v.shape))
    axis = p.axis(v, lambda s: not is_static(s))
    p.not_empty = True
    f = p.one_of(
        [
            lambda x: gf.moveaxis(x, axis, 0)[0],
            lambda x: gf.moveaxis(x, axis, 0)[-1],
            lambda x: gf.moveaxis(x, axis, 0)[:1],
        ]
    )
    p.call(f, v, facts=v.facts, assumes=True)


@step
def reshape(p: Builder) -> None:
    v = p.value()
    static = [a for a, s in enumerate(v.shape) if is_static(s)]
    kind = p.choose(5)
    if kind == 0:
        shape: tuple[Any, ...] = (-1,)
    elif kind == 1:
        axis = p.axis(v)
        shape = (*v.shape[:axis], *p.one_of([(1, v.shape[axis]), (v.shape[axis], 1)]), *v.shape[axis + 1 :])
    elif kind == 2:
        shape = tuple(s for s in v.shape if not is_one(s))
    elif kind == 3 and static:
        axis = p.one_of(static)
        size = v.shape[axis]
        factor = p.one_of([f for f in range(1, size + 1) if size % f == 0])
        shape = (*v.shape[:axis], factor, size // factor, *v.shape[axis + 1 :])
    else:
        if len(v.shape) < 2:
            raise Skip
        axis = p.choose(len(v.shape) - 1)
        shape = (*v.shape[:axis], v.shape[axis] * v.shape[axis + 1], *v.shape[axis + 2 :])
    if 0 in v.shape and -1 in shape:
        raise Skip
    p.call(lambda x: gf.reshape(x, _shape_of(x, v.shape, shape)), v, facts=v.facts)


def _shape_of(x: Any, seen: tuple[Any, ...], shape: tuple[Any, ...]) -> tuple[Any, ...]:
    """The target shape for another mode or size: symbolic sizes are read off the operand."""
    sizes = {str(s): now for s, now in zip(seen, x.shape) if not is_static(s)}

    def now(size: Any) -> Any:
        if is_static(size):
            return size
        if str(size) in sizes:
            return sizes[str(size)]
        return _product_now(size, seen, x.shape)

    return tuple(now(s) for s in shape)


def _product_now(size: Any, seen: tuple[Any, ...], have: tuple[Any, ...]) -> Any:
    for i in range(len(seen) - 1):
        if seen[i] * seen[i + 1] == size:
            return have[i] * have[i + 1]
    raise AssertionError(size)


@step
def expand(p: Builder) -> None:
    v = p.value(lambda v: len(v.shape) < 4)
    w = p.value(lambda w: len(w.shape) <= 4)
    shape = fits_together(v.shape, w.shape)
    if shape is None or len(shape) > len(w.shape) or shape != tuple(w.shape):
        raise Skip
    p.call(lambda x, y: gf.broadcast_to(x, y.shape), v, w, facts=v.facts)


@step
def shift(p: Builder) -> None:
    v = p.value(lambda v: v.shape and all(is_one(s) or is_static(s) and s > 1 or not is_static(s) for s in v.shape))
    axis = p.axis(v, is_static)
    number = p.choose(5) - 2
    f = p.one_of([lambda x: gf.roll(x, number, axis=axis), lambda x: gf.flip(x, axis=axis), lambda x: gf.flip(x)])
    p.call(f, v, facts=v.facts)


@step
def triangle(p: Builder) -> None:
    v = p.value(lambda v: len(v.shape) >= 2 and v.tensor.dtype.kind != "bool")
    f, k = p.one_of([gf.tril, gf.triu]), p.choose(3) - 1
    p.call(lambda x: f(x, k=k), v, facts=v.facts)


@step
def diagonal(p: Builder) -> None:
    v = p.value(lambda v: len(v.shape) >= 2 and is_static(v.shape[0]) and v.shape[0] == v.shape[1])
    p.call(lambda x: gf.diagonal(x), v, facts=v.facts)


# -- elements in other places ----------------------------------------------------------------------------------------
@step
def concat(p: Builder) -> None:
    v = p.value(lambda v: v.shape)
    axis = p.axis(v)

    def alike(w: Value) -> bool:
        if w.tensor.dtype is not v.tensor.dtype or len(w.shape) != len(v.shape):
            return False
        return all(i == axis or s == t for i, (s, t) in enumerate(zip(v.shape, w.shape)))

    operands = [v, *(p.value(alike) for _ in range(1 + p.choose(2)))]
    if p.choose(2):
        operands.reverse()
    p.call(lambda *xs: gf.concat(list(xs), axis=axis), *operands, facts=like(*operands))


@step
def stack(p: Builder) -> None:
    v = p.value(lambda v: len(v.shape) < 4)
    w = p.value(lambda w: w.tensor.dtype is v.tensor.dtype and w.shape == v.shape)
    axis = p.choose(len(v.shape) + 1)
    p.call(lambda x, y: gf.stack([x, y, x], axis=axis), v, w, facts=like(v, w))


@step
def pad(p: Builder) -> None:
    v = p.value(lambda v: v.shape and v.is_float)
    widths = [(p.choose(3), p.choose(3)) for _ in v.shape]
    value = float(p.choose(3)) - 1.0
    p.call(lambda x: gf.pad(x, widths, constant_values=value), v, facts=like(v, high=max(v.facts.high, 1)))


@step
def split(p: Builder) -> None:
    v = p.value(lambda v: any(is_static(s) and s > 1 for s in v.shape))
    axis = p.axis(v, lambda s: is_static(s) and s > 1)
    size = v.shape[axis]
    at = 1 + p.choose(size - 1)
    p.call(lambda x: gf.split(x, [at, size - at], axis=axis)[0], v, facts=v.facts)
    p.call(lambda x: gf.split(x, [at, size - at], axis=axis)[1], v, facts=v.facts)


@step
def repeat(p: Builder) -> None:
    v = p.value(lambda v: v.shape)
    axis = p.axis(v)
    times = tuple(2 if a == axis else 1 for a in range(len(v.shape)))
    f = p.one_of([lambda x: gf.tile(x, times), lambda x: gf.repeat(x, 2, axis=axis)])
    p.call(f, v, facts=v.facts)


@step
def pick(p: Builder) -> None:
    """Elements picked by computed indices."""
    v = p.value(lambda v: any(is_static(s) and s > 0 for s in v.shape))
    axis = p.axis(v, lambda s: is_static(s) and s > 0)
    index = p.value(lambda w: w.tensor.dtype.is_int and len(w.shape) <= 2)
    size = v.shape[axis]
    f = p.one_of(
        [
            lambda x, i: gf.take(x, gf.remainder(i.astype(gf.int64), size), axis=axis),
            lambda x, i: gf.take(x, gf.remainder(i.astype(gf.int64), size) - size, axis=axis),
            lambda x, i: gf.moveaxis(x, axis, 0)[gf.remainder(i.astype(gf.int64), size)],
        ]
    )
    p.call(f, v, index, facts=v.facts)


@step
def along(p: Builder) -> None:
    v = p.value(lambda v: any(is_static(s) and s > 0 for s in v.shape))
    axis = p.axis(v, lambda s: is_static(s) and s > 0)
    index = p.value(lambda w: w.tensor.dtype.is_int and w.shape == v.shape)
    size = v.shape[axis]
    p.call(
        lambda x, i: gf.take_along_axis(x, gf.remainder(i.astype(gf.int64), size), axis=axis), v, index, facts=v.facts
    )


@step
def scatter(p: Builder) -> None:
    v = p.value(lambda v: v.facts.exact and v.is_float and v.shape and is_static(v.shape[0]) and v.shape[0] > 0)
    index = p.value(lambda w: w.tensor.dtype.is_int and len(w.shape) == 1)
    if v.tensor.dtype.bits == 16:
        raise Skip
    v = p.cut(v)
    size, growth = v.shape[0], bits_of(p.count(index.shape)) + 1
    f = p.one_of(
        [
            lambda x, i: x.at[gf.remainder(i.astype(gf.int64), size)].add(1.5),
            lambda x, i: x.at[gf.remainder(i.astype(gf.int64), size)].set(x[0] * 0.5),
            lambda x, i: x.at[gf.remainder(i.astype(gf.int64), size)].max(x[size - 1]),
        ]
    )
    p.call(f, v, index, facts=Facts(2 + growth, 3))


@step
def one_hot(p: Builder) -> None:
    v = p.value(lambda v: v.tensor.dtype.is_int and len(v.shape) < 3)
    p.call(lambda x: gf.one_hot(gf.remainder(x.astype(gf.int64), 3), 3, dtype=gf.float32), v, facts=Facts(1, 0))
