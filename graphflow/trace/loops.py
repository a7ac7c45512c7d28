"""Recording the bodies of ``scan`` and ``while_loop`` into graphs of their own.

A body's graph takes, in this order: the state (the user's, then the variables that the loop assigns), a slice of each
sequence, and the constants: what it uses from outside. It gives the state again, then the results of one step. So the
body is pure: a variable that it assigns, the counter of random draws, say, is carried from step to step, and assigned
once, after the loop. Prints and checks stay in the body.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from graphflow.core import dispatch
from graphflow.core.aval import AVal
from graphflow.core.dims import Size, collecting_assumptions
from graphflow.core.errors import DTypeError, TraceError, at_line, user_origin
from graphflow.ir.graph import Graph, Node, copy_node
from graphflow.ops import special
from graphflow.ops.creation import zeros
from graphflow.ops.loops import SCAN, WHILE, Nest, Promoted, new_state
from graphflow.tensor import Tensor, as_tensor
from graphflow.trace.branches import BranchRecorder, after_assignments
from graphflow.trace.recorder import FunctionRecorder, Recorder


class BodyRecorder(BranchRecorder):
    """Records a body: a variable is a placeholder of its own, which may have to become part of the state."""

    def __init__(self, name: str, outer: Recorder) -> None:
        super().__init__(Graph(name), outer)
        self.entries: dict[Any, tuple[Node, Tensor]] = {}  # variables: their placeholders, and their values outside

    def _read_through(self, variable: Any, read: Callable[[Any], Tensor]) -> Tensor:
        if variable in self.state:
            return self.state[variable]
        self.enter(variable, read)
        inside, value = self.entries[variable]
        return Tensor(None, inside, requires_grad=value.requires_grad)

    def enter(self, variable: Any, read: Callable[[Any], Tensor]) -> None:
        """Note a variable's value outside, and make its placeholder."""
        if variable not in self.entries:
            with dispatch.recording(self.outer):
                value = read(variable)
            self.outer.lift(value)
            self.entries[variable] = (self.placeholder(value.aval, variable.name)._node, value)

    def assign_variable(self, variable: Any, value: Tensor) -> Tensor:
        self.enter(variable, self.outer.read_variable_now)
        return super().assign_variable(variable, value)

    def new_value(self, variable: Any) -> Node:
        """The value of a variable after the body."""
        return self.state[variable]._node if variable in self.state else self.entries[variable][0]


class Body:
    """A function recorded on a state and slices of sequences."""

    def __init__(self, name: str, outer: Recorder, state: Sequence[AVal], slices: Sequence[AVal] = ()) -> None:
        self.recorder = BodyRecorder(name, outer)
        graph = self.recorder.graph
        self.state = [self.recorder.placeholder(a, f"state{i}", a.dtype.is_float) for i, a in enumerate(state)]
        self.slices = [self.recorder.placeholder(a, f"x{i}", a.dtype.is_float) for i, a in enumerate(slices)]
        self.results: list[Node] = []
        self.graph = graph

    def run(self, function: Callable[[], Sequence[Tensor]]) -> None:
        """Record a function that gives the results."""
        with dispatch.recording(self.recorder), collecting_assumptions(self.recorder.graph.assumptions):
            self.results = [self.recorder.lift(as_tensor(t)) for t in function()]

    @property
    def variables(self) -> list[Any]:
        """Those that it assigns."""
        return list(self.recorder.state)

    def finish(self, carried: Sequence[Any], constants: Constants, outputs: Sequence[Node]) -> Graph:
        """The graph with its placeholders in order: state, carried variables, slices, constants."""
        inside = {v: node for v, (node, _) in self.recorder.entries.items()}
        order = [t._node for t in self.state]
        order += [inside.get(v) for v in carried]
        order += [t._node for t in self.slices]
        order += [self.recorder.captures.get(n) for n in constants.nodes]
        order += [inside.get(v) for v in constants.variables]
        avals = [*(t.aval for t in self.state), *(AVal(v.shape, v.dtype) for v in carried)]
        avals += [*(t.aval for t in self.slices), *(n.aval for n in constants.nodes)]
        avals += [AVal(v.shape, v.dtype) for v in constants.variables]
        out = Graph(self.graph.name)
        out.assumptions = self.graph.assumptions
        mapping: dict[Node, Node] = {}
        for node, aval in zip(order, avals):
            if node is None:
                out.add(special.PLACEHOLDER, (), {"shape": aval.shape, "dtype": aval.dtype}, name="unused")
            else:
                mapping[node] = copy_node(out, node, (), {})
        for node in self.graph.nodes:
            if node not in mapping:
                mapping[node] = copy_node(out, node, tuple(mapping[i] for i in node.inputs), mapping)
        out.outputs = [mapping[n] for n in outputs]
        return out


class Constants:
    """What bodies use from outside: nodes, and variables that no body assigns."""

    def __init__(self, bodies: Sequence[Body], carried: Sequence[Any]) -> None:
        recorders = [b.recorder for b in bodies]
        self.nodes = list(dict.fromkeys(n for r in recorders for n in r.captures))
        self.needing = set().union(*(r.needing for r in recorders))
        self.values = {v: value for r in recorders for v, (_, value) in r.entries.items()}
        state = set(map(id, carried))
        self.variables = [v for v in self.values if id(v) not in state]

    def tensors(self) -> list[Tensor]:
        """The operands."""
        found = [Tensor(None, n, requires_grad=n in self.needing) for n in self.nodes]
        return found + [self.values[v] for v in self.variables]


def record_scan(
    body_fn: Callable[[Any, Any], Any], state: Nest, sequences: Nest, length: Size, reverse: bool
) -> tuple[Any, Any]:
    """Record the body, and the node that runs it ``length`` times."""
    outer: Any = dispatch.state.recorder
    body, results = _record_body(body_fn, state, sequences, outer)
    carried = body.variables
    constants = Constants([body], carried)
    count = len(state.tensors)
    after = [*body.results[:count], *(body.recorder.new_value(v) for v in carried)]
    outputs = [*after, *body.results[count:]]
    if not outputs:  # prints only: something must be there to hold the loop
        return _with_dummy(body_fn, state, sequences, length, reverse)
    graph = body.finish(carried, constants, outputs)
    outer.graph.assumptions.extend(graph.assumptions)
    initial = [*state.tensors, *(constants.values[v] for v in carried)]
    attrs = {"body": graph, "carries": len(initial), "xs": len(sequences.tensors), "length": length}
    operands = (*initial, *sequences.tensors, *constants.tensors())
    found = outer.apply(SCAN, operands, {**attrs, "reverse": bool(reverse)})
    made = [*found[:count], *found[len(initial) :]]
    made = after_assignments(outer, carried, found[count : len(initial)], made)
    return state.filled(made[:count]), results.filled(made[count:])


def _with_dummy(body_fn: Any, state: Nest, sequences: Nest, length: Size, reverse: bool) -> tuple[Any, Any]:
    def body(dummy: Any, x: Any) -> Any:
        carry, y = body_fn(state.filled([]), x)
        return dummy, (carry, y)

    _, (carry, y) = record_scan(body, Nest(zeros(())), sequences, length, reverse)
    return carry, y


def _record_body(
    body_fn: Callable[[Any, Any], Any], state: Nest, sequences: Nest, outer: Recorder
) -> tuple[Body, Nest]:
    """The recorded body of a scan, and how the results of one step nest."""
    from graphflow.ops.loops import _pair

    slices = [AVal(t.shape[1:], t.dtype) for t in sequences.tensors]
    body = Body("body", outer, [t.aval for t in state.tensors], slices)
    nests: list[Nest] = []

    def run() -> list[Tensor]:
        carry, y = _pair(body_fn(state.filled(body.state), sequences.filled(body.slices)))
        nests.append(Nest(y))
        return [*new_state("scan", _inside(state, body), carry).tensors, *nests[0].tensors]

    body.run(run)
    return body, nests[0]


def _inside(state: Nest, body: Body) -> Nest:
    """The state as the body gets it."""
    inside = Nest(state.filled(body.state))
    inside.weak = state.weak
    return inside


def result_avals(body_fn: Callable[[Any, Any], Any], state: Nest, sequences: Nest) -> tuple[Nest, list[AVal]]:
    """How the results of one step nest, and what they are: of a scan that has no steps to tell it."""
    recorder = FunctionRecorder(Graph("no steps"))
    with dispatch.recording(recorder):
        try:
            body, results = _record_body(body_fn, state, sequences, recorder)
        except Promoted as found:
            body, results = _record_body(body_fn, state.astype(found.dtypes), sequences, recorder)
    return results, [n.aval for n in body.results[len(state.tensors) :]]


def record_while(cond_fn: Callable[[Any], Any], body_fn: Callable[[Any], Any], state: Nest) -> Any:
    """Record condition and body, and the node that runs them."""
    outer: Any = dispatch.state.recorder
    avals = [t.aval for t in state.tensors]
    if not avals:
        raise TraceError(at_line("while_loop needs a state to decide by, got no tensors", user_origin()))
    test, body = Body("test", outer, avals), Body("body", outer, avals)
    test.run(lambda: [as_tensor(cond_fn(state.filled(test.state)))])
    body.run(lambda: new_state("while_loop", _inside(state, body), body_fn(state.filled(body.state))).tensors)
    if test.variables:
        names = ", ".join(v.name for v in test.variables)
        message = (
            f"the condition of while_loop assigns to {names} (drawing random numbers does, too); do it in the body"
        )
        raise TraceError(at_line(message, user_origin()))
    decides = test.results[0].aval
    if decides.shape != () or decides.dtype.name != "bool":
        message = f"the condition of while_loop must be one bool, got {decides.describe()}"
        raise DTypeError(at_line(message, user_origin()))
    carried = body.variables
    constants = Constants([body, test], carried)
    after = [*body.results, *(body.recorder.new_value(v) for v in carried)]
    attrs: dict[str, Any] = {
        "test": test.finish(carried, constants, test.results),
        "body": body.finish(carried, constants, after),
        "carries": len(after),
    }
    outer.graph.assumptions.extend([*attrs["test"].assumptions, *attrs["body"].assumptions])
    operands = (*state.tensors, *(constants.values[v] for v in carried), *constants.tensors())
    found = outer.apply(WHILE, operands, attrs)
    count = len(avals)
    return state.filled(after_assignments(outer, carried, found[count:], found[:count]))
