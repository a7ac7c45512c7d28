"""Random programs: chains of ops that nobody thought of, in every mode, with their gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

import graphflow as gf
from graphflow.testing import check_parity

Unary = Callable[[Any], Any]
# Each keeps numbers moderate and is continuous, so that differences of rounding stay differences of rounding.
UNARY: dict[str, Unary] = {
    "sin": gf.sin,
    "tanh": gf.tanh,
    "gelu": gf.gelu,
    "relu": gf.relu,
    "negative": lambda x: -x,
    "abs": abs,
    "exp": lambda x: gf.exp(gf.clip(x, -3.0, 1.0)),
    "log": lambda x: gf.log1p(abs(x)),
    "root": lambda x: gf.sqrt(x * x + 1.0),
    "scale": lambda x: x * 0.5 - 1.0,
    "through float64": lambda x: x.astype(gf.float64).sin().astype(gf.float32),
    "positive part": lambda x: gf.where(x > 0, x, 0.1 * x),
}
BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: gf.tanh(x) * y,
    "divide": lambda x, y: x / (1.0 + y * y),
    "maximum": gf.maximum,
    "choose": lambda x, y: gf.where(x < y, x, y),
}
# These need an axis, so a rank of 1 or more.
AXIS: dict[str, Callable[[Any, int], Any]] = {
    "sum": lambda x, a: gf.sum(x, axis=a) * 0.3,
    "mean": lambda x, a: gf.mean(x, axis=a, keepdims=True),
    "max": lambda x, a: gf.max(x, axis=a, keepdims=True),
    "var": lambda x, a: gf.var(x, axis=a, keepdims=True),
    "softmax": lambda x, a: gf.softmax(x, axis=a),
    "logsumexp": lambda x, a: gf.logsumexp(x, axis=a),
    "flip": lambda x, a: gf.flip(x, axis=a),
    "concat": lambda x, a: gf.concat([x, gf.cos(x)], axis=a),
    "half": lambda x, a: gf.take(x, gf.arange(0, x.shape[a], 2), axis=a),
    "first": lambda x, a: gf.moveaxis(x, a, 0)[:1],
    "turn": lambda x, a: gf.moveaxis(x, a, 0),
    "flatten": lambda x, a: gf.reshape(x, (-1,)),
    "row": lambda x, a: gf.expand_dims(x, axis=a),
    "roll": lambda x, a: gf.roll(x, 1, axis=a),
    "gram": lambda x, a: gf.matmul(gf.reshape(x, (x.shape[0], -1)), gf.reshape(x, (x.shape[0], -1)).T) * 0.1,
}
LARGEST = 600  # elements; larger values are not used further


@st.composite
def programs(draw: st.DrawFn) -> tuple[list[np.ndarray[Any, Any]], list[tuple[str, ...]]]:
    """Operands and a list of steps: (kind, name, two numbers that choose operands and axes)."""
    shapes = draw(
        mutually_broadcastable_shapes(num_shapes=draw(st.integers(1, 3)), max_dims=3, max_side=5)
    ).input_shapes
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    operands = [np.asarray(rng.normal(size=s).astype(np.float32)) for s in shapes]
    kinds = {"unary": UNARY, "binary": BINARY, "axis": AXIS}
    steps = []
    for _ in range(draw(st.integers(1, 9))):
        kind = draw(st.sampled_from(sorted(kinds)))
        name = draw(st.sampled_from(sorted(kinds[kind])))
        steps.append((kind, name, draw(st.integers(0, 99)), draw(st.integers(0, 99))))
    return operands, steps


def compose(steps: list[tuple[str, ...]], operands: list[Any]) -> Callable[[list[Any]], list[Any]]:
    """The program as a function. What depends on sizes is decided here, on numbers, the same for every mode."""
    values = [gf.tensor(x) for x in operands]
    calls: list[tuple[Callable[..., Any], tuple[int, ...]]] = []
    for kind, name, first, second in steps:
        i, j = (len(values) - 1 - int(n) % len(values) for n in (first, second))
        f, places = _step(kind, name, int(second), values[i], values[j])
        chosen = (i, j)[:places]
        new = f(*(values[k] for k in chosen))
        if new.size <= LARGEST:
            values.append(new)
            calls.append((f, chosen))

    def program(xs: list[Any]) -> list[Any]:
        results = list(xs)
        for f, chosen in calls:
            results.append(f(*(results[k] for k in chosen)))
        return results[-3:]

    return program


def _step(kind: str, name: str, number: int, x: gf.Tensor, y: gf.Tensor) -> tuple[Callable[..., Any], int]:
    """The function of a step and how many operands it takes."""
    if kind == "unary":
        return UNARY[name], 1
    if kind == "axis":
        axis = number % x.ndim if x.ndim else 0
        return (lambda v: AXIS[name](v, axis) if v.ndim else v * 2.0), 1
    try:
        gf.broadcast_shapes(x.shape, y.shape)
    except ValueError:
        return (lambda v, w: BINARY[name](v, w.sum() * 0.1)), 2
    return BINARY[name], 2


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(programs(), st.booleans())
def test_all_modes_agree_on_random_programs(program: tuple[list[Any], list[tuple[str, ...]]], symbolic: bool) -> None:
    operands, steps = program
    check_parity(compose(steps, operands), operands, tolerance=3e-5, symbolic=symbolic)
