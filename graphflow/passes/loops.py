"""Loops: what need not be done in every step is done once, outside.

- *extended scans*: gradients run a scan again with further results; one scan does for all.
- *unused* results, parts of the state, sequences and constants go; what the body leaves as it is becomes a constant.
- *invariant* values, the same in every step, are computed before the loop.
- *products of a sequence's slices* with a constant matrix are one product of the whole sequence before the loop.
- *sums over steps* of products ``a_t @ b_t``, or of reductions, are one product (one reduction) of the whole
  sequences after the loop: the gradient of a recurrent layer's weight, say, is one product over all time steps.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from graphflow.core.dims import collecting_assumptions
from graphflow.ir.graph import Graph, Node, has_effect
from graphflow.ir.nested import cut_out
from graphflow.passes import dce
from graphflow.passes.edit import Edit
from graphflow.passes.extended import merge

HOISTED = ("map", "reduce", "contract")  # kinds of ops that are computed before the loop, once, if they may be


def run(graph: Graph, seen: set[Node]) -> bool:
    """Make the scans of a graph do less in each step."""
    changed = merge(graph)
    if not any(n.op.name == "scan" and n not in seen for n in graph.nodes):
        return changed
    dce.run(graph, set())  # results that nothing uses must not look as if they were used
    edit = Edit(graph)
    with collecting_assumptions(edit.assumed):  # sizes that the graph assumes to be equal pass for equal
        _rewrite(graph, edit, seen)
    return edit.commit() or changed


def _rewrite(graph: Graph, edit: Edit, seen: set[Node]) -> None:
    used = _used_results(graph)
    loops: dict[Node, _Scan] = {}  # scans that are made anew
    originals = iter(graph.nodes)
    for node in edit.walk():
        old = next(originals)
        if node.op.name == "scan" and node not in seen:
            loop = _Scan(edit, node, used.get(old, set()))
            if loop.simplify():
                loops[old] = loop
                made = loop.remake()
                seen.add(made)
                edit.replace(made)
            else:
                seen.add(node)
        elif node.op.name == "tuple_get" and old.inputs[0] in loops:
            edit.replace(loops[old.inputs[0]].result(node.attrs["index"], node))


def _used_results(graph: Graph) -> dict[Node, set[int]]:
    """The results of each node with several that something uses."""
    used = {i for n in graph.nodes for i in (*n.inputs, *n.control)} | {*graph.outputs, *(n for _, n in graph.updates)}
    found: dict[Node, set[int]] = {}
    for node in graph.nodes:
        if node.op.name == "tuple_get" and node in used:
            found.setdefault(node.inputs[0], set()).add(node.attrs["index"])
    return found


class _Operand(NamedTuple):
    """What the body takes: its node in there, and what is given outside."""

    inside: Node
    outside: Node


class _Sum(NamedTuple):
    """The initial value, and a term added in each step: a product or reduction, times factors that stay the same."""

    initial: Node
    term: Node
    factors: list[Node]

    @property
    def sources(self) -> list[Node]:
        """The values of each step that the term is made of."""
        return [_base(i) for i in self.term.inputs]


class _Scan:
    """A scan being made anew.

    ``state``, ``sequences``, ``constants``: what the body takes; ``after``: the new value of each part of the state;
    ``results``: the nodes of the body that are stacked; ``places``: where the old results are found: the node outside,
    or ("state" or "result", node of the body).
    """

    def __init__(self, edit: Edit, node: Node, used: set[int]) -> None:
        self.edit = edit
        self.node = node
        attrs = node.attrs
        body: Graph = attrs["body"]
        self.body = body
        carries, xs = attrs["carries"], attrs["xs"]
        operands = [_Operand(*pair) for pair in zip(body.inputs, node.inputs, strict=True)]
        self.length = attrs["length"]
        self.state, self.sequences = operands[:carries], operands[carries : carries + xs]
        self.constants = operands[carries + xs :]
        self.after = list(body.outputs[:carries])
        self.results = list(body.outputs[carries:])
        self.places: dict[int, Any] = {}
        self.known = {o.inside: o.outside for o in self.sequences}  # slices, and what they are slices of
        self.fixed = {o.inside: o.outside for o in self.constants}  # what is the same in every step, and its value
        for i in range(carries):
            self.places[i] = ("state", self.state[i].inside)
        for j, n in enumerate(self.results):
            self.places[carries + j] = ("result", n)
        self.used = used
        self.folded: dict[Node, Any] = {}  # constants whose numbers the body knows
        self.sums: dict[Node, _Sum] = {}  # state that became a sum after the loop
        self.products: dict[Node, Node] = {}  # results that became products after the loop
        self.changed = False
        self.made = node

    def simplify(self) -> bool:
        """Do less in each step; gives whether anything changed."""
        self._unchanged_state()
        self._single_numbers()
        if not has_effect(self.node):
            self._unused()
            self._sums_over_steps()
        self._products_of_results()
        self._products_of_slices()
        self._invariants()
        if self.changed and not has_effect(self.node):
            self._unused()
        return self.changed

    # -- what can go ------------------------------------------------------------------------------------------------
    def _unchanged_state(self) -> None:
        for operand, after in list(zip(self.state, self.after)):
            if after is operand.inside:
                self._drop_state(operand)
                self.constants.append(operand)
                self.fixed[operand.inside] = operand.outside
                self.places = {n: operand.outside if p == ("state", after) else p for n, p in self.places.items()}

    def _single_numbers(self) -> None:
        """Constants of one element are known inside."""
        for operand in list(self.constants):
            if operand.outside.op.name == "constant" and operand.outside.attrs["value"].size == 1:
                self.constants.remove(operand)
                self.folded[operand.inside] = operand.outside.attrs["value"]
                self.changed = True

    def _drop_state(self, operand: _Operand) -> None:
        at = self.state.index(operand)
        del self.state[at], self.after[at]
        self.changed = True

    def _unused(self) -> None:
        """Keep what the used results need, from step to step."""
        places = [self.places[i] for i in self.used]
        wanted = {p[1] for p in places if type(p) is tuple}
        sources = {n for inside, total in self.sums.items() if inside in wanted for n in total.sources}
        sources |= {p.inputs[0] for n, p in self.products.items() if n in wanted}
        own = {o.inside for o in self.sequences}
        results = [n for n in dict.fromkeys(self.results) if n not in own and (("result", n) in places or n in sources)]
        state = {o.inside: (o, after) for o, after in zip(self.state, self.after)}
        needed: set[Node] = set()
        stack = [*results, *(n for n in state if ("state", n) in places)]
        while stack:
            node = stack.pop()
            if node in needed:
                continue
            needed.add(node)
            if node in own:
                continue
            stack.extend((*node.inputs, *node.control))
            if node in state:
                stack.append(state[node][1])
        kept = [pair for n, pair in state.items() if n in needed]
        sequences = [o for o in self.sequences if o.inside in needed]
        constants = [o for o in self.constants if o.inside in needed]
        before = [len(x) for x in (self.results, self.state, self.sequences, self.constants)]
        self.results, self.sequences, self.constants = results, sequences, constants
        self.state, self.after = [o for o, _ in kept], [after for _, after in kept]
        self.changed |= before != [len(x) for x in (results, self.state, sequences, constants)]

    # -- before the loop --------------------------------------------------------------------------------------------
    def _invariants(self) -> None:
        """Values that follow from constants alone are computed outside, and become constants themselves."""
        fixed = set(self.fixed)
        taken: dict[Node, None] = {}
        given = {o.inside for o in (*self.state, *self.sequences, *self.constants)}
        for node in self.body.nodes:
            if node in fixed or node in given:
                continue
            if (
                node.op.kind in (*HOISTED, "view", "source")
                and node.op.name != "placeholder"
                and fixed.issuperset(node.inputs)
            ):
                fixed.add(node)
            else:
                taken.update(dict.fromkeys(_beneath_views(i) for i in node.inputs))
        taken.update(dict.fromkeys(_beneath_views(n) for n in (*self.results, *self.after)))
        for node in taken:
            if node in fixed and node not in self.fixed and node.op.kind in HOISTED and node.inputs:
                self.constants.append(_Operand(node, self._outside(node)))
                self.changed = True

    def _outside(self, node: Node) -> Node:
        """Compute an invariant node outside."""
        known, stack = self.fixed, [node]
        while stack:
            at = stack[-1]
            missing = [i for i in at.inputs if i not in known]
            if at not in known and missing:
                stack.extend(missing)
                continue
            stack.pop()
            if at not in known:
                known[at] = self.edit.make(at.op, tuple([known[i] for i in at.inputs]), at.attrs, at)
        return known[node]

    def _products_of_slices(self) -> None:
        """``x_t @ w`` for all steps is one product before the loop."""
        slices = {o.inside: o.outside for o in self.sequences}
        for node in self.body.nodes:
            if node.op.name != "matmul" or len(node.aval.shape) != 2 or node in slices:
                continue
            a = node.inputs[0]
            x = a.inputs[0] if a.op.name == "reshape" else a
            if x in slices and len(x.aval.shape) <= 2 and _beneath_views(node.inputs[1]) in self.fixed:
                self.sequences.append(_Operand(node, self._all_products(node, slices[x], node.aval.shape)))
                self.changed = True

    def _all_products(self, node: Node, whole: Node, shape: Any) -> Node:
        """``a_t @ w`` of all steps, given all ``a``; each result in a given shape."""
        m, k = node.inputs[0].aval.shape
        rows = self.edit.make("reshape", (whole,), {"shape": (self.length * m, k)}, node)
        made = self.edit.make("matmul", (rows, self._outside(node.inputs[1])), {}, node)
        return self.edit.make("reshape", (made,), {"shape": (self.length, *shape)}, node)

    # -- after the loop ---------------------------------------------------------------------------------------------
    def _sums_over_steps(self) -> None:
        """``s = s + a_t @ b_t`` is one product of all ``a`` and all ``b``, if nothing else looks at s on the way."""
        users, varying = self._users(), self._varying()
        for operand, after in list(zip(self.state, self.after)):
            if after.op.name != "add" or operand.inside not in after.inputs:
                continue
            if users[operand.inside] != 1 or users[after] != 1:
                continue
            term, factors = after.inputs[after.inputs[0] is operand.inside], []
            while term.op.name == "multiply" and term.aval == operand.inside.aval:
                inner = [i for i in term.inputs if i in varying]
                if len(inner) != 1:
                    break
                factors += [i for i in term.inputs if i not in varying]
                term = inner[0]
            found = _Sum(operand.outside, term, factors)
            product_of_two = term.op.name == "matmul" and len(term.aval.shape) == 2
            plain_sum = term.op.name == "sum" and found.sources == list(term.inputs)
            if (product_of_two or plain_sum) and term.aval == operand.inside.aval and varying.issuperset(found.sources):
                self._drop_state(operand)
                self.sums[operand.inside] = found
                self.results.extend(found.sources)

    def _products_of_results(self) -> None:
        """Results ``a_t @ w`` are one product after the loop, if nothing in the loop uses them."""
        users, varying = self._users(), self._varying()
        for result in dict.fromkeys(self.results):
            node = result.inputs[0] if result.op.name == "reshape" else result
            if node.op.name != "matmul" or len(node.aval.shape) != 2 or users[result] != self.results.count(result):
                continue
            if (node is result or users[node] == 1) and node.inputs[0] in varying and self._is_fixed(node.inputs[1]):
                self.products[result] = node
                self.results = [*(n for n in self.results if n is not result), node.inputs[0]]
                self.changed = True

    def _is_fixed(self, node: Node) -> bool:
        return _beneath_views(node) in self.fixed

    def _users(self) -> dict[Node, int]:
        """How often each node is used in the body or by what it gives."""
        users: dict[Node, int] = {}
        for used in [*(i for n in self.body.nodes for i in n.inputs), *self.results, *self.after]:
            users[used] = users.get(used, 0) + 1
        return users

    def _varying(self) -> set[Node]:
        """The nodes of the body that depend on the step."""
        found = {o.inside for o in (*self.state, *self.sequences)}
        for node in self.body.nodes:
            if not found.isdisjoint(node.inputs):
                found.add(node)
        return found

    def _total(self, term: Node) -> Node:
        """The sum of a product or reduction over all steps."""
        make, length = self.edit.make, self.length
        if term.op.name == "sum":
            axes = (0, *(a + 1 for a in term.attrs["axes"]))
            return make("sum", (self._whole(term.inputs[0], term),), {**term.attrs, "axes": axes}, term)
        sides = []
        for side, value in enumerate(term.inputs):
            base = _base(value)
            whole = self._whole(base, term)
            first, second = base.aval.shape
            along = (value is base) == (side == 1)  # whether the summed axis is the first one of a slice
            if not along:
                whole = make("permute", (whole,), {"axes": (1, 0, 2)}, term)
            shape = (length * first, second) if along else (first, length * second)
            flat = make("reshape", (whole,), {"shape": shape}, term)
            sides.append(flat if along == (side == 1) else make("permute", (flat,), {"axes": (1, 0)}, term))
        return make("matmul", tuple(sides), {}, term)

    # -- the end ----------------------------------------------------------------------------------------------------
    def remake(self) -> Node:
        """The new scan; the old one if nothing is left to do in steps."""
        outputs = [*self.after, *self.results]
        if not outputs:
            return self.node
        operands = [*self.state, *self.sequences, *self.constants]
        body = cut_out(self.body, [o.inside for o in operands], outputs, self.folded)
        attrs = {"body": body, "carries": len(self.state), "xs": len(self.sequences), "length": self.length}
        attrs["reverse"] = self.node.attrs["reverse"]
        self.made = self.edit.make("scan", tuple(o.outside for o in operands), attrs, self.node)
        return self.made

    def result(self, number: int, like: Node) -> Node:
        """What stands for one of the old scan's results."""
        place = self.places[number]
        if isinstance(place, Node):
            return place
        kind, inside = place
        if kind == "result":
            return self._whole(inside, like)
        if inside in self.sums:
            initial, term, factors = self.sums[inside]
            total = self._total(term)
            for factor in factors:
                total = self.edit.make("multiply", (total, self._outside(factor)), {}, term)
            return self.edit.make("add", (initial, total), {}, term)
        return self._part([o.inside for o in self.state].index(inside), like)

    def _whole(self, inside: Node, like: Node) -> Node:
        """The values of a node of the body at all steps."""
        if inside in self.known:
            return self.known[inside]
        if inside in self.products:
            node = self.products[inside]
            return self._all_products(node, self._whole(node.inputs[0], like), inside.aval.shape)
        return self._part(len(self.state) + self.results.index(inside), like)

    def _part(self, index: int, like: Node) -> Node:
        return self.edit.make("tuple_get", (self.made,), {"index": index}, like)


def _base(node: Node) -> Node:
    """What a value is the transpose of, or the value itself."""
    return node.inputs[0] if node.op.name == "permute" and node.attrs["axes"] == (1, 0) else node


def _beneath_views(node: Node) -> Node:
    while node.op.kind == "view":
        node = node.inputs[0]
    return node
