"""A rewrite tester: what a pass makes of a function, as structure and as values; a failure prints the graphs."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from graphflow.core import dispatch
from graphflow.core.aval import AVal
from graphflow.core.dims import Dim
from graphflow.core.dtypes import BY_NAME
from graphflow.ir.graph import Graph
from graphflow.ir.interpreter import evaluate
from graphflow.ir.text import to_text
from graphflow.passes import optimize
from graphflow.trace.recorder import Recorder

Function = Callable[..., Any]
SIZES = {"n": 4, "m": 4, "k": 3}
SPECIAL = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-40, 3e38, 2.0, -3.0, 0.5]


def aval(text: str) -> AVal:
    """``float32[n, 3]`` as an abstract value."""
    match = re.fullmatch(r"(\w+)\[(.*)\]", text)
    assert match, text
    sizes = [s.strip() for s in match[2].split(",") if s.strip()]
    return AVal(tuple(int(s) if s.isdigit() else Dim(s) for s in sizes), BY_NAME[match[1]])


def record(function: Function, *operands: str) -> Graph:
    """The graph of a function of placeholders ``x0, x1, ...``; its results are the graph's outputs."""
    graph = Graph()
    recorder = Recorder(graph)
    with dispatch.recording(recorder):
        out = function(*[recorder.placeholder(aval(text), f"x{i}") for i, text in enumerate(operands)])
        graph.outputs = [recorder.lift(t) for t in (out if isinstance(out, tuple) else (out,))]
    return graph


def feeds(graph: Graph, seed: int = 0, special: bool = True) -> dict[Any, Any]:
    """Values for the placeholders; floats have every troublesome number among them."""
    rng = np.random.default_rng(seed)
    return {node: sample(rng, node.aval.evaluate(SIZES), node.aval.dtype.np, special) for node in graph.inputs}


def sample(rng: Any, shape: tuple[int, ...], dtype: np.dtype[Any], special: bool = True) -> Any:
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind in "iu":
        low = 0 if dtype.kind == "u" else -9
        return rng.integers(low, 10, shape).astype(dtype)
    array = rng.normal(size=shape)
    if special and array.size:
        chosen = rng.random(shape) < 0.4
        array = np.where(chosen, rng.choice(SPECIAL, size=shape), array)
    with np.errstate(over="ignore"):
        return np.asarray(array).astype(dtype)


def values(graph: Graph, given: dict[str, Any]) -> list[Any]:
    """The outputs and the variables' new values by the NumPy interpreter; placeholders are fed by name."""
    fetches = [*graph.outputs, *(n for _, n in graph.updates)]
    with np.errstate(all="ignore"):
        return evaluate(fetches, {graph.find(k): v for k, v in given.items()}, commit=False)


def structure(graph: Graph) -> str:
    """The text of what the outputs need, with names and order that only depend on the structure."""
    names: dict[Any, str] = {}
    lines: list[str] = []
    stack = [(n, False) for n in reversed([*graph.outputs, *(n for _, n in graph.updates)])]
    while stack:
        node, done = stack.pop()
        if node in names:
            continue
        if not done:
            stack.append((node, True))
            stack.extend((i, False) for i in reversed(node.inputs))
            continue
        names[node] = node.name if node.op.name == "placeholder" else f"v{len(names)}"
        attrs = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in node.attrs.items()}
        lines.append(
            f"{names[node]} = {node.op.name}({', '.join(names[i] for i in node.inputs)}) {attrs} : {node.aval}"
        )
    ends = ", ".join(names[n] for n in [*graph.outputs, *(n for _, n in graph.updates)])
    return "\n".join([*(line for line in lines if "= placeholder" not in line), f"return {ends}"])


def assert_same_values(before: Graph, after: Graph, *, exact: bool = True, special: bool = True) -> None:
    """Both graphs give the same bits (or nearly the same numbers) for several inputs."""
    for seed in range(3):
        given = {n.name: v for n, v in feeds(before, seed, special).items()}
        for want, have in zip(values(before, given), values(after, given), strict=True):
            shown = f"\nbefore:\n{to_text(before, origins=False)}\nafter:\n{to_text(after, origins=False)}\nfor {given}"
            assert have.dtype == want.dtype and have.shape == want.shape, shown
            if exact:
                assert same_bits(want, have), f"{want} became {have}{shown}"
            else:
                np.testing.assert_allclose(have, want, rtol=2e-5, atol=1e-6, err_msg=shown)


def same_bits(a: Any, b: Any) -> bool:
    """The same numbers, signs of zeros included; all NaN are alike."""
    if a.dtype.kind not in "fV":
        return bool(np.array_equal(a, b))
    a, b = a.astype(np.float64), b.astype(np.float64)
    nans = np.isnan(a)
    return bool(
        np.array_equal(nans, np.isnan(b)) and (np.signbit(a) == np.signbit(b))[~nans].all() and (a == b)[~nans].all()
    )


def assert_rewrite(
    before: Function,
    after: Function,
    *operands: str,
    passes: tuple[str, ...],
    exact: bool = True,
    special: bool = True,
) -> Graph:
    """Optimised by ``passes``, the graph of ``before`` is that of ``after``, and gives what it gave before."""
    graph, wanted = record(before, *operands), record(after, *operands)
    optimized = optimize(graph, (*passes, "dce"))
    have, want = structure(optimized), structure(wanted)
    assert have == want, f"before:\n{structure(graph)}\n\nafter {passes}:\n{have}\n\nexpected:\n{want}"
    assert_same_values(graph, optimized, exact=exact, special=special)
    return optimized


def assert_kept(function: Function, *operands: str, passes: tuple[str, ...]) -> None:
    """The passes change nothing."""
    assert_rewrite(function, function, *operands, passes=passes)
