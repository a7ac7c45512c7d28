"""Scheduling of control flow: the kernels of ``scan``, ``while_loop`` and ``cond``, in place, between marks.

The graph of a body or branch is scheduled by a walk of its own that shares the buffers of the one around it: what the
body takes is located where the operands lie, or in slots that move from step to step; what it gives is stored where it
is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from graphflow.core.dims import product
from graphflow.core.view import View
from graphflow.ir.graph import Graph, Node
from graphflow.schedule.groups import Located
from graphflow.schedule.kernels import Buffer
from graphflow.schedule.marks import Mark, Nested, Region, Swap, Walk, behind
from graphflow.schedule.placement import Placement


class ControlFlow(Placement):
    """The part of the scheduler that knows control flow."""

    visit: Callable[[Node], None]  # the walk over the nodes is the Fuser's

    def _control(self, node: Node) -> None:
        if node.op.name == "tuple_get":
            self.located[node] = self.results_of[node.inputs[0]][node.attrs["index"]]
            return
        getattr(self, f"_{node.op.name}")(node)

    def _scan(self, node: Node) -> None:
        carries, xs, length = node.attrs["carries"], node.attrs["xs"], node.attrs["length"]
        body = node.attrs["body"]
        region = Region(node, length, node.attrs["reverse"])
        state = self._state(node.inputs[:carries], region)
        slices = [self._slice(n, region) for n in node.inputs[carries : carries + xs]]
        constants = [self.materialize(n) for n in node.inputs[carries + xs :]]
        wholes: list[Located] = []
        targets = [s.after for s in region.swaps]
        for n in body.outputs[carries:]:
            shape = n.aval.shape
            whole = self.buffer((length, *shape), n.aval.dtype, "temp", None, n.name)
            slot = self.buffer(shape, n.aval.dtype, "slot", (whole,), n.name)
            region.walks.append(Walk(slot, whole, product(shape)))
            targets.append(slot)
            wholes.append(Located(whole, View.contiguous(whole.shape)))
        inside = self._inside(body, [*state, *slices, *constants], targets)
        kernels = [Mark("begin", region, nodes=[node]), *inside, Mark("again", region), Mark("end", region)]
        self._enclose(node, kernels, [*state, *wholes])

    def _while_loop(self, node: Node) -> None:
        carries = node.attrs["carries"]
        region = Region(node)
        state = self._state(node.inputs[:carries], region)
        constants = [self.materialize(n) for n in node.inputs[carries:]]
        test = node.attrs["test"]
        flag = self.buffer((), test.outputs[0].aval.dtype, "temp", None, "test")
        decides = self._inside(test, [*state, *constants], [flag])
        inside = self._inside(node.attrs["body"], [*state, *constants], [s.after for s in region.swaps])
        kernels = [Mark("begin", region, nodes=[node]), *decides, Mark("test", region, flag), *inside]
        self._enclose(node, [*kernels, Mark("again", region), Mark("end", region)], state)

    def _cond(self, node: Node) -> None:
        region = Region(node)
        flag = self._contiguous(node.inputs[0])
        operands = [self.materialize(n) for n in node.inputs[1:]]
        targets = [self.buffer(a.shape, a.dtype, "temp", None, node.name) for a in node.aval]
        yes, no = (self._inside(node.attrs[name], operands, targets) for name in ("true", "false"))
        kernels = [Mark("begin", region, nodes=[node]), Mark("test", region, flag), *yes, Mark("else", region), *no]
        results = [Located(b, View.contiguous(b.shape)) for b in targets]
        self._enclose(node, [*kernels, Mark("end", region)], results)

    # -- what a body works on ---------------------------------------------------------------------------------------
    def _state(self, initial: Sequence[Node], region: Region) -> list[Located]:
        """The slots of the state, whose first places have the initial values."""
        found = []
        for node in initial:
            shape, dtype = node.aval.shape, node.aval.dtype
            home, other = self.temp(node), self.temp(node)
            now, after = (self.buffer(shape, dtype, "slot", (home, other), node.name) for _ in range(2))
            self.deliver(node, home)
            region.swaps.append(Swap(now, after, home, other))
            found.append(Located(now, View.contiguous(shape)))
        return found

    def _slice(self, node: Node, region: Region) -> Located:
        """The slot that goes along the leading axis of a sequence, wherever it lies."""
        source = self.materialize(node)
        shape, strides, offset = source.view
        slot = self.buffer(shape[1:], node.aval.dtype, "slot", (source.buffer,), node.name)
        region.walks.append(Walk(slot, source.buffer, strides[0]))
        return Located(slot, View(shape[1:], strides[1:], offset))

    def _inside(self, graph: Graph, inputs: Sequence[Located], targets: Sequence[Buffer]) -> list[Any]:
        """The kernels of a nested graph that takes what lies at ``inputs`` and stores its outputs in ``targets``."""
        inner = type(self)(graph, list(inputs), outer=self)
        inner.wanted = {n: t for n, t in zip(graph.outputs, targets) if n not in inner.located}
        for node in inner.nodes:
            if node not in inner.located:
                inner.visit(node)
        for node, target in zip(graph.outputs, targets):
            inner.deliver(node, target)
        return inner.finished()

    def deliver(self, node: Node, target: Buffer) -> None:
        """Store a value in a given buffer."""
        if node in self.located and self.located[node].buffer is target:
            return  # it was brought there when it was made
        self.wanted.pop(node, None)
        if node in self.floating:
            self._settled(node)
        if node in self.fused:
            self._store(self.fused[node], target, View.contiguous(node.aval.shape))
        else:
            self._copy(node, self._copy_source(node), target)

    def _enclose(self, node: Node, kernels: list[Any], results: list[Located]) -> None:
        """Enter the kernels of a control op as one, with all that they read and write."""
        number = len(self.kernels)
        for kernel in kernels:
            for buffer in kernel.reads():
                for each in (buffer, *behind(buffer)):
                    self.read_at[each].add(number)
        for located in results:
            self.written_at[located.buffer] = number
        self.kernels.append(Nested(kernels))
        self.results_of[node] = results

    def finished(self) -> list[Any]:
        """All kernels in their final form, those of control ops in their places."""
        raise NotImplementedError
