"""Gradients of loops.

Of ``scan``: the body and its gradient are recorded into one graph, which is then cut in two. The forward part keeps, as
further results of the scan, those of its values that the gradient uses (the residuals); the rest is the body of a scan
in the opposite direction, which takes them as sequences. Its state are the gradients of the state, and sums of the
constants' gradients. Both are scans like any other, so derivatives of any order follow.

Of ``while_loop``, whose number of steps is not known beforehand: the steps are counted, then gone through backwards in
blocks of fixed length. Each block's first state is computed again from the start; within the block a scan keeps the
residuals. Memory stays bounded, the time is about n * n / (2 * BLOCK) further steps for n steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from graphflow.autograd import gradients
from graphflow.core import dispatch
from graphflow.core.dims import collecting_assumptions
from graphflow.ir.graph import Graph, Node, copy_node
from graphflow.ir.nested import cut_out
from graphflow.ops.control import cond
from graphflow.ops.creation import arange, zeros
from graphflow.ops.loops import SCAN, scan, while_loop
from graphflow.ops.special import identity
from graphflow.tensor import Tensor, as_tensor
from graphflow.trace.branches import inline, inlined
from graphflow.trace.recorder import Recorder

BLOCK = 64  # steps of a while_loop whose residuals are kept at a time


def flows(body: Graph) -> list[set[int]]:
    """For each output of a body the numbers of the inputs that gradients pass to from it."""
    reached: dict[Node, Any] = {}
    inputs = {n: i for i, n in enumerate(body.inputs)}
    for node in body.nodes:
        if node in inputs:
            reached[node] = {inputs[node]} if node.aval.dtype.is_float else set()
        elif node.op.name == "tuple_get":
            reached[node] = reached[node.inputs[0]][node.attrs["index"]]
        elif node.op.joint:
            own = [set() if node.stop else f for f in _flows_through(node)]
            reached[node] = [set().union(*(reached[node.inputs[i]] for i in f)) for f in own]
        elif node.stop or not node.op.vjp or not node.aval.dtype.is_float:
            reached[node] = set()
        else:
            reached[node] = set().union(*(reached[i] for i in node.inputs))
    return [reached[n] for n in body.outputs]


def _flows_through(node: Node) -> list[set[int]]:
    """For each result of a control op the numbers of the operands that gradients pass to from it."""
    if node.op.name == "cond":
        both = zip(flows(node.attrs["true"]), flows(node.attrs["false"]))
        return [{i + 1 for i in one | two} for one, two in both]
    return state_flows(node.attrs["body"], node.attrs["carries"])


def state_flows(body: Graph, carries: int) -> list[set[int]]:
    """``flows`` after any number of steps, through the state. A state of no steps is its initial value."""
    found = flows(body)
    for i in range(carries):
        if body.inputs[i].aval.dtype.is_float:
            found[i] = found[i] | {i}
    for _ in range(carries):
        found = [f.union(*(found[i] for i in f if i < carries)) for f in found]
    return found


def active_state(body: Graph, carries: int, given: Sequence[int], needed: Sequence[bool]) -> list[int]:
    """The parts of the state whose gradients are not zero, and lead to some that are wanted.

    ``given``: the outputs that have a gradient from outside.
    """
    reach = state_flows(body, carries)
    alive = set().union(*(reach[j] for j in given))
    wanted = {i for i, want in enumerate(needed) if want}
    return [i for i in range(carries) if i in alive and reach[i] & wanted and body.inputs[i].aval.dtype.is_float]


# -- scan --------------------------------------------------------------------------------------------------------------
def scan_gradients(
    gs: dict[int, Tensor],
    needed: Sequence[bool],
    operands: Sequence[Tensor],
    body: Graph,
    carries: int,
    xs: int,
    length: Any,
    reverse: bool,
    extends: Any = None,
) -> list[Tensor | None]:
    """The gradients of a scan's operands, given those of its results."""
    state = active_state(body, carries, list(gs), needed)
    results = [j for j in gs if j >= carries]
    wanted = [i for i in range(carries, len(operands)) if needed[i] and operands[i].dtype.is_float]
    backward = BackwardBody(body, carries, xs, state, results, wanted)
    stacks = _residuals(operands, body, backward.residuals, carries, xs, length, reverse)
    seeds = [gs[i] if i in gs else zeros(operands[i].shape, dtype=operands[i].dtype) for i in state]
    sums = [zeros(operands[i].shape, dtype=operands[i].dtype) for i in backward.constants]
    sequences = [*stacks, *(gs[j] for j in results), *(operands[i] for i in backward.slices)]
    found = dispatch.apply(
        SCAN,
        (*seeds, *sums, *sequences, *(operands[i] for i in backward.fixed)),
        {
            "body": backward.graph,
            "carries": len(seeds) + len(sums),
            "xs": len(sequences),
            "length": length,
            "reverse": not reverse,
        },
    )
    slopes: list[Tensor | None] = [None] * len(operands)
    for i, slope in zip([*state, *backward.constants, *backward.sequences], found):
        slopes[i] = slope
    return slopes


def _residuals(
    operands: Sequence[Tensor], body: Graph, kept: Sequence[Node], carries: int, xs: int, length: Any, reverse: bool
) -> list[Tensor]:
    """The values of some of a body's nodes at all steps: of the same scan, with these for further results."""
    known = body.outputs[carries:]
    fresh = [n for n in kept if n not in known]
    if not fresh and not kept:
        return []
    graph, mapping = _copy(body, [*body.outputs, *fresh])
    attrs = {"body": graph, "carries": carries, "xs": xs, "length": length, "reverse": reverse, "extends": body}
    found = dispatch.apply(SCAN, tuple(operands), attrs)[carries:]
    places = {n: i for i, n in reversed(list(enumerate([*known, *fresh])))}
    return [found[places[n]] for n in kept]


def _copy(body: Graph, outputs: Sequence[Node]) -> tuple[Graph, dict[Node, Node]]:
    """A body with other outputs. Prints and checks happen in the original."""
    out = Graph(body.name)
    out.assumptions = list(body.assumptions)
    mapping: dict[Node, Node] = {}
    for node in body.nodes:
        inputs = tuple(mapping[i] for i in node.inputs)
        mapping[node] = inputs[0] if node.op.kind == "effect" and inputs else copy_node(out, node, inputs, {})
    out.outputs = [mapping[n] for n in outputs]
    return out, mapping


class BackwardBody:
    """The body of the scan that goes backwards.

    ``graph``      takes (gradients of the state.., sums of the constants' gradients.., residuals.., gradients of the
                   results.., slices.., constants..) and gives the first two again, then the gradients of the slices
    residuals      the nodes of the forward body whose values it takes
    slices, fixed  the operands of the scan whose slices, and which themselves, it takes
    constants, sequences   those of the operands ``wanted`` that have a gradient
    """

    def __init__(
        self, body: Graph, carries: int, xs: int, state: Sequence[int], results: Sequence[int], wanted: Sequence[int]
    ) -> None:
        self.joint = Graph("backward")
        recorder = Recorder(self.joint)
        with dispatch.recording(recorder), collecting_assumptions(self.joint.assumptions), dispatch.enable_grad():
            inputs = [recorder.placeholder(n.aval, n.name, n.aval.dtype.is_float) for n in body.inputs]
            values = inlined(body, inputs)
            outputs = [values[body.outputs[j]] for j in (*state, *results)]
            mark = len(self.joint.nodes)
            seeds = [recorder.placeholder(t.aval, "gradient") for t in outputs]
            targets = [inputs[i] for i in (*state, *wanted)]
            found = gradients(outputs, targets, seeds) if outputs and targets else [None] * len(targets)
            slopes = [
                zeros(t.shape, dtype=t.dtype) if s is None else s
                for s, t in zip(found[: len(state)], targets[: len(state)])
            ]
            have = {i: s for i, s in zip(wanted, found[len(state) :]) if s is not None}
            self.constants = [i for i in have if i >= carries + xs]
            self.sequences = [i for i in have if i < carries + xs]
            sums = [recorder.placeholder(inputs[i].aval, "sum") for i in self.constants]
            totals = [s + have[i] for s, i in zip(sums, self.constants)]
            ends = [recorder.lift(t) for t in (*slopes, *totals, *(have[i] for i in self.sequences))]
        self._origin = {t._node: n for n, t in values.items() if isinstance(t, Tensor) and t._node is not None}
        self._inputs = {t._node: i for i, t in enumerate(inputs)}
        self._forward = {n for n in self.joint.nodes[:mark] if n not in self._inputs}
        self._varying = self._depending(carries + xs)
        cut = self._cut(ends)
        self.residuals = [self._origin[n] for n in cut if self._inputs.get(n, 0) < carries or n in self._forward]
        kept = [n for n in cut if self._origin[n] in self.residuals]
        self.slices = [self._inputs[n] for n in cut if n not in kept and self._inputs[n] < carries + xs]
        self.fixed = [self._inputs[n] for n in cut if n not in kept and self._inputs[n] >= carries + xs]
        taken = {i: n for n, i in self._inputs.items()}
        count = len(state)
        order = [*(s._node for s in seeds[:count]), *(s._node for s in sums), *kept]
        order += [*(s._node for s in seeds[count:]), *(taken[i] for i in (*self.slices, *self.fixed))]
        self.joint.assumptions = list(dict.fromkeys([*body.assumptions, *self.joint.assumptions]))
        self.graph = cut_out(self.joint, order, ends)

    def _depending(self, first: int) -> set[Node]:
        """The forward part's nodes whose values differ from step to step."""
        found = {n for n, i in self._inputs.items() if i < first}
        for node in self.joint.nodes:
            if node in self._forward and not found.isdisjoint(node.inputs):
                found.add(node)
        return found

    def _cut(self, ends: Sequence[Node]) -> list[Node]:
        """Where the backward part begins: what of the forward part it takes as it is, in program order.

        Views, and what follows from constants, are computed again.
        """
        seen: set[Node] = set()
        taken: set[Node] = set()
        stack = list(ends)
        while stack:
            node = stack.pop()
            if node in seen:
                continue
            seen.add(node)
            again = node.op.kind in ("view", "source") or node not in self._varying
            if node in self._inputs or (node in self._forward and not again and node in self._origin):
                taken.add(node)
            else:
                stack.extend(node.inputs)
        return sorted(taken, key=lambda n: n.id)


# -- while_loop --------------------------------------------------------------------------------------------------------
def while_gradients(
    gs: dict[int, Tensor],
    needed: Sequence[bool],
    operands: Sequence[Tensor],
    test: Graph,
    body: Graph,
    carries: int,
    extends: Any = None,
) -> list[Tensor | None]:
    """The gradients of a while_loop's operands, given those of its results."""
    state = active_state(body, carries, list(gs), needed)
    reached = set().union(*(f for i, f in enumerate(state_flows(body, carries)) if i in state))
    wanted = [i for i in range(carries, len(operands)) if needed[i] and i in reached]
    initial, constants = list(operands[:carries]), operands[carries:]

    def step(values: Sequence[Tensor]) -> list[Tensor]:
        return inline(body, [*values, *constants])

    def going_on(values: Sequence[Tensor]) -> Tensor:
        return inline(test, [*values, *constants])[0]

    zero = as_tensor(0)
    count = while_loop(lambda s: going_on(s[1]), lambda s: (s[0] + 1, step(s[1])), (zero, initial))[0]

    def block(first: Tensor) -> Callable[..., list[Tensor]]:
        """Up to BLOCK steps, from step ``first`` on, as a function of the state and the wanted constants."""

        def run(values: Sequence[Tensor], own: Sequence[Tensor]) -> list[Tensor]:
            fixed = list(constants)
            for i, t in zip(wanted, own):
                fixed[i - carries] = t

            def one(values: Any, number: Tensor) -> Any:
                stepped = cond(number < count, lambda v: inline(body, [*v, *fixed]), lambda v: list(v), values)
                return stepped, None

            return scan(one, list(values), first + arange(BLOCK))[0]  # type: ignore[no-any-return]

        return run

    def backwards(s: Any) -> Any:
        first, slopes, sums = s
        # The state at the block's first step, from the start again.
        at = while_loop(lambda v: v[0] < first, lambda v: (v[0] + 1, step(v[1])), (zero, initial))[1]
        values = [identity(t) for t in at]
        own = [identity(operands[i]) for i in wanted]
        ends = block(first)(values, own)
        targets = [*(values[i] for i in state), *own]
        found = gradients([ends[i] for i in state], targets, slopes)
        made = [zeros(t.shape, dtype=t.dtype) if g is None else g for g, t in zip(found, targets)]
        return first - BLOCK, made[: len(state)], [a + b for a, b in zip(sums, made[len(state) :])]

    if not state:
        return [None] * len(operands)
    seeds = [gs[i] if i in gs else zeros(operands[i].shape, dtype=operands[i].dtype) for i in state]
    sums = [zeros(operands[i].shape, dtype=operands[i].dtype) for i in wanted]
    last = (count - 1) // BLOCK * BLOCK
    _, dstate, dconstants = while_loop(lambda s: s[0] >= 0, backwards, (last, seeds, sums))
    slopes: list[Tensor | None] = [None] * len(operands)
    for i, slope in zip([*state, *wanted], [*dstate, *dconstants]):
        slopes[i] = slope
    return slopes
