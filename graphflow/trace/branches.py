"""Recording the branches of ``cond`` into graphs of their own, inside the graph that is being recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from graphflow.autograd import gradients
from graphflow.core import dispatch
from graphflow.core.dims import collecting_assumptions, same_size, shape_str
from graphflow.core.errors import DTypeError, GradientError, ShapeError, TraceError, at_line, user_origin
from graphflow.core.tree import flatten, unflatten
from graphflow.ir.graph import Graph, Node, copy_node
from graphflow.ops import special
from graphflow.ops.control import COND
from graphflow.ops.creation import zeros_like
from graphflow.ops.special import identity
from graphflow.tensor import Operators, Tensor, as_tensor
from graphflow.trace.recorder import Recorder


class BranchRecorder(Recorder):
    """Records a branch: tensors from outside become placeholders, variables are read and later assigned outside."""

    by_hand = False

    def __init__(self, graph: Graph, outer: Recorder) -> None:
        super().__init__(graph)
        self.outer = outer
        self.captures: dict[Node, Node] = {}  # nodes outside, and their placeholders here
        self.needing: set[Node] = set()  # those that require a gradient
        self.state: dict[Any, Tensor] = {}  # new values of variables
        if hasattr(outer, "guard"):
            self.guard = outer.guard

    def lift(self, t: Tensor) -> Node:
        if t._node is None or t._node.graph is self.graph:
            return super().lift(t)
        node = self.outer.lift(t)
        if node.graph is not self.outer.graph:
            return node  # of a graph that has nothing to do with this: adding it raises
        if t.requires_grad:
            self.needing.add(node)
        return self.capture(node)

    def capture(self, node: Node) -> Node:
        """The placeholder for a node outside."""
        if node not in self.captures:
            attrs = {"shape": node.aval.shape, "dtype": node.aval.dtype}
            self.captures[node] = self.graph.add(special.PLACEHOLDER, (), attrs, name=node.name, origin=node.origin)
        return self.captures[node]

    def read_variable(self, variable: Any) -> Tensor:
        return self._read_through(variable, self.outer.read_variable)

    def read_variable_now(self, variable: Any) -> Tensor:
        return self._read_through(variable, self.outer.read_variable_now)

    def _read_through(self, variable: Any, read: Callable[[Any], Tensor]) -> Tensor:
        if variable in self.state:
            return self.state[variable]
        with dispatch.recording(self.outer):
            value = read(variable)
        return Tensor(None, self.lift(value), requires_grad=value.requires_grad)

    def assign_variable(self, variable: Any, value: Tensor) -> Tensor:
        self.state[variable] = Tensor(None, self.lift(value))
        return self.state[variable]

    def variable_made(self, variable: Any) -> None:
        self.outer.variable_made(variable)

    def read_grad(self, variable: Any) -> Any:
        raise self._no_gradients()

    def write_grad(self, variable: Any, value: Any) -> None:
        raise self._no_gradients()

    def _no_gradients(self) -> GradientError:
        return GradientError(
            at_line(
                ".grad inside a branch or a loop's body; use gf.gradients there, or backward() outside", user_origin()
            )
        )


class Branch:
    """One branch: its recorder and what it returned."""

    def __init__(self, name: str, fn: Callable[..., Any], operands: Sequence[Any], outer: Recorder) -> None:
        self.name = name
        self.recorder = BranchRecorder(Graph(name), outer)
        with dispatch.recording(self.recorder), collecting_assumptions(self.recorder.graph.assumptions):
            found, self.tree = flatten(fn(*operands))
            self.is_tensor = [isinstance(item, Operators) for item in found]
            self.others = [None if t else item for item, t in zip(found, self.is_tensor)]
            self.results = [Tensor(None, self._own(as_tensor(i))) for i, t in zip(found, self.is_tensor) if t]

    def _own(self, t: Tensor) -> Node:
        return self.recorder.lift(t)

    def finish(self, captured: Sequence[Node], variables: Sequence[Any]) -> Graph:
        """The graph of the branch, with a placeholder for each captured node, in order; variables' values come last."""
        for node in captured:
            self.recorder.capture(node)
        with dispatch.recording(self.recorder):
            values = [self.recorder.read_variable(v)._node for v in variables]
        out = Graph(self.name)
        out.assumptions = self.recorder.graph.assumptions
        mapping: dict[Node, Node] = {}
        for inside in [self.recorder.captures[node] for node in captured]:
            mapping[inside] = copy_node(out, inside, (), {})
        for node in self.recorder.graph.nodes:
            if node not in mapping:
                mapping[node] = copy_node(out, node, tuple(mapping[i] for i in node.inputs), mapping)
        out.outputs = [mapping[n] for n in [*(t._node for t in self.results), *values]]
        return out


def record_cond(
    pred: Tensor, true_fn: Callable[..., Any], false_fn: Callable[..., Any], operands: Sequence[Any]
) -> Any:
    """Record both branches and the node that chooses between them; gives the results, nested as they are returned."""
    outer: Any = dispatch.state.recorder
    branches = [Branch(n, fn, operands, outer) for n, fn in (("true", true_fn), ("false", false_fn))]
    _check_alike(*branches)
    variables = list(dict.fromkeys(v for b in branches for v in b.recorder.state))
    for v in variables:  # the branch that does not assign keeps the value there is
        outer_value = outer.read_variable_now(v)
        for b in branches:
            if v not in b.recorder.state:
                b.recorder.state[v] = Tensor(None, b.recorder.lift(outer_value))
    captured = list(dict.fromkeys(n for b in branches for n in b.recorder.captures))
    graphs = [b.finish(captured, variables) for b in branches]
    needing = branches[0].recorder.needing | branches[1].recorder.needing
    tensors = [Tensor(None, n, requires_grad=n in needing) for n in captured]
    outputs = outer.apply(COND, (pred, *tensors), {"true": graphs[0], "false": graphs[1]})
    count = len(branches[0].results)
    supply = iter(after_assignments(outer, variables, outputs[count:], outputs[:count]))
    leaves = [next(supply) if t else item for t, item in zip(branches[0].is_tensor, branches[0].others)]
    return unflatten(branches[0].tree, leaves)


def after_assignments(
    outer: Any, variables: Sequence[Any], values: Sequence[Tensor], results: Sequence[Tensor]
) -> list[Tensor]:
    """Assign what a control op gives for variables, and its other results.

    In a graph built by hand, only what the fetches need runs: there the results need the assignments.
    """
    assigned = [outer.assign_variable(v, value)._node for v, value in zip(variables, values)]
    if not (assigned and outer.by_hand):
        return list(results)
    with outer.graph.control_dependencies(assigned):
        return [identity(t) for t in results]


def _check_alike(one: Branch, two: Branch) -> None:
    """Raise unless both branches return the same nesting of tensors of equal shape and dtype."""
    if one.tree != two.tree or one.is_tensor != two.is_tensor:
        raise TraceError(
            at_line(f"the branches of cond return different things: {one.tree!r} and {two.tree!r}", user_origin())
        )
    for a, b in zip(one.others, two.others):
        if a is not b and a != b:
            raise TraceError(
                at_line(
                    f"the branches of cond return {a!r} and {b!r}, which no run can choose; return tensors",
                    user_origin(),
                )
            )
    for a, b in zip(one.results, two.results):
        if a.dtype is not b.dtype:
            raise DTypeError(
                at_line(f"the branches of cond return {a.dtype} and {b.dtype}; use .astype", user_origin())
            )
        if a.ndim != b.ndim or not all(map(same_size, a.shape, b.shape)):
            shapes = f"{shape_str(a.shape)} and {shape_str(b.shape)}"
            raise ShapeError(at_line(f"the branches of cond return shapes {shapes}", user_origin()))


def slopes_of(graph: Graph, indices: Sequence[int], wanted: Sequence[int]) -> Callable[..., list[Tensor]]:
    """A function of some outputs' gradients and a branch's operands: the gradients in the operands ``wanted``."""

    def slopes(gs: Sequence[Tensor], *operands: Tensor) -> list[Tensor]:
        own = [identity(x) for x in operands]  # nodes of this branch, which gradients are taken in
        results = inline(graph, own)
        targets = [own[i] for i in wanted]
        found = gradients([results[i] for i in indices], targets, gs)
        return [zeros_like(t) if s is None else s for s, t in zip(found, targets)]

    return slopes


def inline(graph: Graph, operands: Sequence[Tensor]) -> list[Tensor]:
    """Apply a graph's ops to tensors, under the current interpreter; prints and checks are left out."""
    values = inlined(graph, operands)
    return [values[n] for n in graph.outputs]


def inlined(graph: Graph, operands: Sequence[Tensor]) -> dict[Node, Any]:
    """``inline``, but gives the values of all nodes."""
    values: dict[Node, Any] = dict(zip(graph.inputs, operands))
    for node in graph.nodes:
        if node in values:
            continue
        args = tuple(values[i] for i in node.inputs)
        if node.op.name == "constant":
            values[node] = Tensor(node.attrs["value"])
        elif node.op.name == "tuple_get":
            values[node] = args[0][node.attrs["index"]]
        elif node.op.kind == "effect":
            values[node] = args[0] if args else None
        else:
            with dispatch.no_grad() if node.stop else dispatch.enable_grad():
                values[node] = dispatch.apply(node.op, args, node.attrs)
    return values
