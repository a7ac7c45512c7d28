"""Running one random program in every mode, for several sizes and several times, and comparing what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import graphflow as gf
from graphflow.core import dispatch
from graphflow.core.aval import AVal
from graphflow.ir.graph import Graph, Node
from graphflow.ir.text import to_text
from graphflow.passes import optimize
from graphflow.passes.edit import copy_graph
from graphflow.passes.functionalize import functionalize
from graphflow.runtime.executor import Interpreted, Native
from graphflow.tensor import Tensor
from graphflow.trace.recorder import FunctionRecorder
from tests.programs.builder import EPSILON, SMALL, Builder, Call, Facts, Scale, replay, sample
from tests.programs.steps import STEPS

SLACK = 2000  # how many rounding errors a rough value, and a gradient, may be off


@dataclass
class Program:
    """A drawn program: what it takes, what it does, what it gives."""

    scale: Scale
    avals: list[AVal]
    facts: list[Facts]
    variables: list[tuple[Any, Facts]]
    calls: list[Call]
    outputs: list[int]
    output_facts: list[Facts]
    names: list[str]
    not_empty: bool
    differentiate: bool
    targets: list[int] = field(default_factory=list)  # intermediate values that gradients are taken in

    def run(self, tensors: Sequence[Any]) -> list[Any]:
        """The results, and the gradients of their weighed sum."""
        values = replay(self.calls, tensors)
        results = [values[i] for i in self.outputs]
        if not self.differentiate:
            return results
        total: Any = None
        for number, out in enumerate(results):
            if out.dtype.is_float and out.requires_grad:
                weights = out.detach() * 0.25 + (1.0 + number)
                term = (out * weights).astype(gf.float32).sum()
                total = term if total is None else total + term
        if total is None:
            return results
        targets = [v for v in (*tensors, *(values[i] for i in self.targets)) if v.dtype.is_float and v.requires_grad]
        targets += [v.read() for v, _ in self.variables if v.dtype.is_float]
        found = gf.autograd.gradients(total, targets)
        return [*results, *(g for g in found if g is not None)]

    def arrays(self, n: int, m: int, seed: int) -> list[Any]:
        rng = np.random.default_rng(seed)
        sizes = {"n": n, "m": m}
        return [sample(rng, a.evaluate(sizes), a.dtype, f) for a, f in zip(self.avals, self.facts)]

    def sizes(self) -> list[tuple[int, int]]:
        names = set().union(*(a.dim_names() for a in self.avals))
        if not names:
            return self.scale.runs[:2]
        return [s for s in self.scale.runs if not (self.not_empty and 0 in s)]


def build(
    operands: list[AVal],
    exact: int,
    genes: list[tuple[str, tuple[int, ...]]],
    last: int,
    state: int,
    scale: Scale = SMALL,
) -> Program:
    """The program that genes describe. Bits of ``exact``: which operands are; ``state``: which variables there are."""
    facts = [
        Facts(1, 2) if exact >> i & 1 or not a.dtype.is_float else Facts(2, 0, EPSILON[a.dtype.name])
        for i, a in enumerate(operands)
    ]
    variables = make_variables(state, operands)
    graph = Graph("scratch")
    recorder = FunctionRecorder(graph)
    with dispatch.recording(recorder):
        tensors = [recorder.placeholder(a, f"x{i}", requires_grad=a.dtype.is_float) for i, a in enumerate(operands)]
        builder = Builder(scale, list(zip(tensors, facts)), variables)
        names = [name for name, gene in genes if builder.run_gene(STEPS[name], gene)]
        values = builder.values
        count = len(values)
        outputs = sorted({count - 1, *(i for i in range(count) if last >> i & 1)})[-6:]
        inner = [i for i in range(len(operands), count) if values[i].is_float and last >> (i + 3) & 1][:2]
    return Program(
        scale,
        operands,
        facts,
        variables,
        builder.calls,
        outputs,
        [values[i].facts for i in outputs],
        names,
        builder.not_empty,
        last % 3 != 0,
        inner,
    )


def make_variables(state: int, operands: Sequence[AVal]) -> list[tuple[Any, Facts]]:
    rng = np.random.default_rng(state)
    made: list[tuple[Any, Facts]] = []
    static = [a.shape for a in operands if a.is_static] or [(3,)]
    if state & 1:
        data = rng.integers(-8, 8, static[state % len(static)]) * 0.25
        made.append((gf.Variable(data.astype(np.float32), name="exact"), Facts(2, 2)))
    if state & 2:
        data = rng.normal(size=static[-1]).clip(-2, 2)
        made.append((gf.Variable(data.astype(np.float32), name="rough"), Facts(4, 0, EPSILON["float32"])))
    if state & 4:
        made.append((gf.Variable(np.arange(3), name="count"), Facts(0, 0)))
    return made


# -- the modes -------------------------------------------------------------------------------------------------------
State = list[Any]


def record(program: Program) -> tuple[Graph, list[Node], int]:
    """The program as a functionalised graph, its inputs, and how many outputs are results."""
    recorder = FunctionRecorder(Graph("program"))
    with dispatch.recording(recorder):
        inputs = [recorder.placeholder(a, f"x{i}", requires_grad=a.dtype.is_float) for i, a in enumerate(program.avals)]
        outputs = [recorder.lift(t) for t in program.run(inputs)]
    recorder.graph.verify()
    effects = [n for n in recorder.graph.nodes if n.op.name == "variable_assign"]
    graph, placeholders = functionalize(outputs, [t._node for t in inputs], effects)
    return graph, placeholders, len(outputs)


class Runs:
    """What a program gives and leaves in its variables, run after run, beginning from the same state."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.cells = [*(v for v, _ in program.variables), gf.random.default_generator.state]
        self.start = [v._data.copy() for v in self.cells]
        self.feeds = [program.arrays(n, m, seed) for seed, (n, m) in enumerate(program.sizes())]
        self.feeds.append(program.arrays(*program.sizes()[0], seed=99))  # the first sizes again
        self.wanted = self.collect(self._eager)
        self.count = len(program.outputs)

    def collect(self, run: Any) -> list[tuple[list[Any], list[Any]]]:
        """The results and the state after each run; results and values read must not change afterwards."""
        for v, data in zip(self.cells, self.start):
            v._store(data.copy())
        out, kept = [], []
        for arrays in self.feeds:
            before = [v.numpy() for v in self.cells] if len(out) % 2 else []
            copies = [a.copy() for a in (*before, *arrays)]
            results = run(arrays)
            kept.append(([*results, *before, *arrays], [*(r.copy() for r in results), *copies]))
            out.append((results, [v._data.copy() for v in self.cells]))
        for have, want in kept:
            for a, b in zip(have, want):
                assert np.array_equal(a, b, equal_nan=a.dtype.kind == "f"), "an array changed after the run"
        return out

    def _eager(self, arrays: list[Any]) -> list[Any]:
        with np.errstate(all="ignore"):
            tensors = [Tensor(a, requires_grad=d.dtype.is_float) for a, d in zip(arrays, self.program.avals)]
            return [np.array(t._data) for t in self.program.run(tensors)]

    def check(self, mode: str, run: Any, shown: Any = None) -> None:
        """Compare a mode with eager."""
        have = self.collect(run)
        for number, ((results, state), (wanted, left)) in enumerate(zip(have, self.wanted)):
            where = f"{mode}, run {number} with shapes {[a.shape for a in self.feeds[number]]}"
            assert len(results) == len(wanted), where
            for i, (a, b) in enumerate(zip([*results, *state], [*wanted, *left])):
                facts = self._facts(i, len(results))
                found = difference(a, b, facts)
                if found:
                    what = "result" if i < self.count else "gradient" if i < len(results) else "variable"
                    text = to_text(shown, origins=False) if shown is not None else ""
                    raise AssertionError(f"{where}: {what} {i}: {found}\nsteps: {self.program.names}\n{text}")

    def _facts(self, i: int, results: int) -> float:
        if i < self.count:
            return self.program.output_facts[i].error
        if i < results:
            every = [f.error for f in self.program.output_facts]
            return max(EPSILON["float32"], *every)
        cells = [f.error for _, f in self.program.variables]
        return cells[i - results] if i - results < len(cells) else 0.0


def difference(have: Any, want: Any, error: float) -> str:
    """What is different between two arrays; nothing may be where ``error`` is 0."""
    if have.shape != want.shape or have.dtype != want.dtype:
        return f"{have.dtype}{have.shape}, expected {want.dtype}{want.shape}"
    if have.dtype.kind in "biu" or not want.size:
        return "" if np.array_equal(have, want) else f"{have!r}, expected {want!r}"
    a, b = have.astype(np.float64), want.astype(np.float64)
    finite = np.isfinite(b)
    if not np.array_equal(np.isfinite(a), finite) or not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return f"{have!r}, expected {want!r}"
    a, b = a[finite], b[finite]
    error = max(error, EPSILON[want.dtype.name]) if error else 0.0
    bound = SLACK * error * (max(1.0, np.abs(b).max(initial=0.0)))
    return "" if (np.abs(a - b) <= bound).all() else f"{have!r}, expected {want!r}"


def check(program: Program, *, each_pass: bool = True, unoptimized: bool = False, eager_native: bool = False) -> None:
    """Eager, recorded, after each pass and native: the same results, gradients and state in all runs."""
    with gf.config(native_after=-1):
        runs = Runs(program)
        graph, inputs, _ = record(program)

        def interpreted(g: Graph) -> Any:
            executable = Interpreted(g, [g.find(n.name) for n in inputs])

            def run(arrays: list[Any]) -> list[Any]:
                with np.errstate(all="ignore"):
                    return [np.asarray(r) for r in executable.run(arrays)]

            return run

        runs.check("recorded", interpreted(graph), graph)

        def observe(name: str, g: Graph) -> None:
            if each_pass:
                copy = copy_graph(g)[0]
                runs.check(f"after pass {name}", interpreted(copy), copy)

        optimized = optimize(graph, observe=observe)
        native = Native(optimized, [optimized.find(n.name) for n in inputs])
        try:
            runs.check("native", native.run, optimized)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{native.explain()}") from None
        if unoptimized:
            runs.check("native without passes", Native(graph, inputs).run, graph)
    if eager_native:
        with gf.config(native_after=0):
            runs.check("eager, natively", runs._eager)
