"""A model as a table: its layers with the shapes they give, parameters, bytes and floating-point operations."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from html import escape
from typing import Any, NamedTuple

from graphflow.core import dispatch
from graphflow.core.dims import Dim
from graphflow.core.tree import flatten
from graphflow.ir.graph import Graph, Node
from graphflow.nn.module import Module
from graphflow.tensor import Operators
from graphflow.trace.tracing import TensorSpec, trace
from graphflow.variable import Variable
from graphflow.viz import flops

_COUNTS = {"parameters", "bytes", "FLOP"}  # columns of numbers
_UNNAMED = re.compile(r".*\.\d+|axis\d+")  # what open sizes are called that nobody named


class Row(NamedTuple):
    """One call of a module. What its submodules have and do stands in their own rows."""

    path: str
    kind: str
    depth: int
    output: str  # shapes
    parameters: int
    nbytes: int  # of the parameters
    flops: int  # for one sample
    shared: bool  # its parameters stand in an earlier row


class Summary:
    """What ``gf.viz.summary`` gives: print it, or read ``rows``, ``parameters``, ``nbytes``, ``flops``..."""

    def __init__(self, name: str, rows: list[Row], variables: list[tuple[Variable, bool]], activations: int) -> None:
        self.name = name
        self.rows = rows
        self.parameters = sum(_size(v) for v, is_parameter in variables if is_parameter)
        self.trainable = sum(_size(v) for v, is_parameter in variables if is_parameter and v.trainable)
        self.buffers = sum(_size(v) for v, is_parameter in variables if not is_parameter)
        self.nbytes = sum(_nbytes(v) for v, _ in variables)
        self.activations = activations  # bytes of all layers' results, for one sample
        self.flops = sum(r.flops for r in rows)

    @property
    def totals(self) -> list[str]:
        """The lines below the table."""
        frozen = self.parameters - self.trainable
        kinds = f"{self.trainable:,} trainable, {frozen:,} frozen" if frozen else "all trainable"
        lines = [f"{self.parameters:,} parameters ({kinds})"]
        if self.buffers:
            lines[0] += f", {self.buffers:,} numbers in buffers"
        lines.append(f"{in_bytes(self.nbytes)} of weights")
        if self.activations or self.flops:
            lines[-1] += f"; for one sample {in_bytes(self.activations)} of results and {_in_units(self.flops)}FLOP"
        return lines

    def _table(self) -> list[tuple[str, ...]]:
        rows: list[tuple[str, ...]] = [("layer", "kind", "output", "parameters", "bytes", "FLOP")]
        for r in self.rows:
            cells = (f"{r.parameters:,}", in_bytes(r.nbytes)) if r.parameters else ("", "")
            if r.shared:
                cells = ("shared", "")
            name = "  " * r.depth + (r.path.rpartition(".")[2] or self.name)
            rows.append((name, r.kind, r.output, *cells, _in_units(r.flops) if r.flops else ""))
        known = [i for i in range(len(rows[0])) if i < 2 or any(row[i] for row in rows[1:])]
        return [tuple(row[i] for i in known) for row in rows]

    def __str__(self) -> str:
        table = self._table()
        widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
        lines = []
        for row in table:
            cells = [c.rjust(w) if h in _COUNTS else c.ljust(w) for h, c, w in zip(table[0], row, widths)]
            lines.append("  ".join(cells).rstrip())
        rule = "-" * max(map(len, lines))
        return "\n".join([lines[0], rule, *lines[1:], rule, *self.totals])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        cell = '<{0} style="text-align:{1};white-space:pre;padding:1px 9px 1px 0">{2}</{0}>'
        table, lines = self._table(), []
        for number, row in enumerate(table):
            tag = "th" if number == 0 else "td"
            sides = ("right" if head in _COUNTS else "left" for head in table[0])
            lines.append("".join(cell.format(tag, side, escape(c)) for side, c in zip(sides, row)))
        body = "".join(f"<tr>{line}</tr>" for line in lines)
        return f"<table>{body}</table><p>{'<br>'.join(map(escape, self.totals))}</p>"


def summary(model: Module, *inputs: Any, input_size: Any = None) -> Summary:
    """The layers of a model in the order they run, for inputs given as shapes, TensorSpecs, tensors or arrays.

    Sizes given as None stay open, and operations are counted for one sample. Without inputs the layers are listed as
    they were defined, without shapes. The model is traced in evaluation mode and left as it was; ``input_size`` is the
    shape under torchinfo's name. Raises what the model raises for inputs that do not fit it.

    >>> model = gf.nn.Sequential(gf.nn.Linear(784, 10), gf.nn.Softmax(1))
    >>> print(gf.viz.summary(model, (None, 784)))
    layer       kind        output      parameters    bytes    FLOP
    ---------------------------------------------------------------
    Sequential  Sequential  (None, 10)
      0         Linear      (None, 10)       7,850  31.4 kB  15.7 k
      1         Softmax     (None, 10)                          50
    ---------------------------------------------------------------
    7,850 parameters (all trainable)
    31.4 kB of weights; for one sample 80 B of results and 15.7 kFLOP
    """
    if not isinstance(model, Module):
        raise TypeError(f"summary needs a Module, got a {type(model).__name__}; for a function see gf.trace(...)")
    inputs = (input_size, *inputs) if input_size is not None else inputs
    variables = [(v, True) for v in model.parameters()] + [(v, False) for v in model.buffers()]
    calls = module_calls(model, inputs)[1] if inputs else [Call(p, m) for p, m in model.named_modules()]
    rows: list[Row] = []
    seen: set[int] = set()
    activations = 0
    for call in calls:
        own = [v for v in call.module._parameters.values() if v is not None]
        fresh = [v for v in own if id(v) not in seen]
        seen.update(map(id, own))
        if not call.children:
            activations += sum(flops.nbytes(t.aval) for t in call.results)
        work = flops.number(call.flops - sum((c.flops for c in call.children), 0))
        output = ", ".join(_shape(t.shape) for t in call.results)
        sizes = sum(map(_size, fresh)), sum(map(_nbytes, fresh))
        shared = bool(own) and not fresh
        rows.append(Row(call.path, type(call.module).__name__, call.depth, output, *sizes, work, shared))
    return Summary(type(model).__name__, rows, variables, activations)


class Call:
    """One call of a module while the model is traced."""

    def __init__(self, path: str, module: Module, graph: Graph | None = None, depth: int | None = None) -> None:
        self.path = path
        self.module = module
        self.depth = depth if depth is not None else path.count(".") + bool(path)
        self.children: list[Call] = []
        self.results: list[Any] = []
        self.nodes: list[Node] = []
        self.flops: Any = 0
        self._graph = graph
        self._start = len(graph.nodes) if graph is not None else 0

    def finish(self, output: Any) -> None:
        assert self._graph is not None
        self.results = [t for t in flatten(output)[0] if isinstance(t, Operators)]
        self.nodes = self._graph.nodes[self._start :]
        self.flops = flops.count(self.nodes)


def module_calls(model: Module, inputs: Sequence[Any]) -> tuple[Graph, list[Call]]:
    """The graph of a model, and all calls of modules in it, each before those inside of it."""
    calls: list[Call] = []
    running: list[Call] = []

    def enter(path: str, module: Module) -> None:
        recorder: Any = dispatch.state.recorder
        call = Call(path, module, recorder.graph, len(running))
        if running:
            running[-1].children.append(call)
        running.append(call)
        calls.append(call)

    with ExitStack() as stack:
        stack.enter_context(_evaluating(model))
        for path, module in model.named_modules():
            before = module.register_forward_pre_hook(lambda m, args, path=path: enter(path, m))
            after = module.register_forward_hook(lambda m, args, output: running.pop().finish(output))
            stack.enter_context(before)
            stack.enter_context(after)
        graph = trace(model, *map(_spec, inputs))
    return graph, calls


@contextmanager
def _evaluating(model: Module) -> Iterator[None]:
    modes = [(m, m.training) for m in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _spec(given: Any) -> Any:
    """An input as ``trace`` takes it: a tuple of sizes is the shape of a float32 tensor."""
    if isinstance(given, (tuple, list)) and all(s is None or isinstance(s, (int, Dim)) for s in given):
        return TensorSpec(given)
    return given


def _shape(shape: tuple[Any, ...]) -> str:
    """A shape; the open size of an input is None, as it was given, unless it was given a name."""
    sizes = ["None" if isinstance(s, Dim) and _UNNAMED.fullmatch(str(s)) else str(s) for s in shape]
    return f"({', '.join(sizes)}{',' * (len(sizes) == 1)})"


def _size(variable: Variable) -> int:
    size: int = variable.size
    return size


def _nbytes(variable: Variable) -> int:
    return _size(variable) * variable.dtype.itemsize


def _in_units(count: float, step: int = 1000) -> str:
    units = iter(("", "k", "M", "G", "T"))
    unit = next(units)
    while count >= step and unit != "T":
        count, unit = count / step, next(units)
    return f"{count:.3g} {unit}".rstrip() if unit or count != int(count) else f"{int(count)} "


def in_bytes(count: int) -> str:
    """Bytes for people: 31.4 kB."""
    return _in_units(count).rstrip() + ("B" if count >= 1000 else " B")
