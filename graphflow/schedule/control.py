"""Scheduling of control flow: the kernels of ``scan``, ``while_loop`` and ``cond``, in place, between marks.

The graph of a body or branch is scheduled by a walk of its own that shares the buffers of the one around it: what the
body takes is located where the operands lie, or in slots that move from step to step; what it gives is stored where it
is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from graphflow.core.dims import product
from graphflow.core.view import View
from graphflow.ir.graph import Graph, Node
from graphflow.schedule.groups import Located
from graphflow.schedule.kernels import Buffer, ContractKernel
from graphflow.schedule.marks import Mark, Nested, Region, Swap, Walk, behind
from graphflow.schedule.panels import in_panels, may_have_panels, packing, panel_width, with_gates
from graphflow.schedule.placement import Placement


class State(NamedTuple):
    """A part of a loop's state: where a step reads and writes it, where it ends up, and stacks of the body's nodes."""

    now: Located
    after: Buffer
    last: Located
    stacks: list[tuple[Node, Located]]


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
        state = [self._stacked(node, i, region) or self._swapped(node.inputs[i], region) for i in range(carries)]
        slices = [self._slice(n, region) for n in node.inputs[carries : carries + xs]]
        constants = [self.materialize(n) for n in node.inputs[carries + xs :]]
        wanted = [(n, s.after) for n, s in zip(body.outputs, state)]
        stacks: list[Located] = []
        for n in body.outputs[carries:]:
            found = next((stack for s in state for kept, stack in s.stacks if kept is n), None)
            if found is None:
                slot, found = self._result(n, region)
                wanted.append((n, slot))
            stacks.append(found)
        inside = self._inside(body, [*(s.now for s in state), *slices, *constants], wanted)
        inside = self._packed_once(inside)
        kernels = [Mark("begin", region, nodes=[node]), *inside, Mark("again", region), Mark("end", region)]
        self._enclose(node, kernels, [*(s.last for s in state), *stacks])

    def _while_loop(self, node: Node) -> None:
        carries = node.attrs["carries"]
        region = Region(node)
        state = [self._swapped(n, region) for n in node.inputs[:carries]]
        inputs = [*(s.now for s in state), *(self.materialize(n) for n in node.inputs[carries:])]
        test, body = node.attrs["test"], node.attrs["body"]
        flag = self.buffer((), test.outputs[0].aval.dtype, "temp", None, "test")
        decides = self._inside(test, inputs, [(test.outputs[0], flag)])
        inside = self._packed_once(self._inside(body, inputs, [(n, s.after) for n, s in zip(body.outputs, state)]))
        kernels = [Mark("begin", region, nodes=[node]), *decides, Mark("test", region, flag), *inside]
        self._enclose(node, [*kernels, Mark("again", region), Mark("end", region)], [s.last for s in state])

    def _cond(self, node: Node) -> None:
        region = Region(node)
        flag = self._contiguous(node.inputs[0])
        operands = [self.materialize(n) for n in node.inputs[1:]]
        targets = [self.buffer(a.shape, a.dtype, "temp", None, node.name) for a in node.aval]
        branches = [node.attrs["true"], node.attrs["false"]]
        yes, no = (self._inside(graph, operands, list(zip(graph.outputs, targets))) for graph in branches)
        kernels = [Mark("begin", region, nodes=[node]), Mark("test", region, flag), *yes, Mark("else", region), *no]
        results = [Located(b, View.contiguous(b.shape)) for b in targets]
        self._enclose(node, [*kernels, Mark("end", region)], results)

    # -- what a body works on ---------------------------------------------------------------------------------------
    def _swapped(self, node: Node, region: Region) -> State:
        """A part of the state with two places, the first of which has the initial value."""
        shape, dtype = node.aval.shape, node.aval.dtype
        home, other = self.temp(node), self.temp(node)
        now, after = (self.buffer(shape, dtype, "slot", (home, other), node.name) for _ in range(2))
        self.deliver(node, home)
        region.swaps.append(Swap(now, after, home, other))
        here = Located(now, View.contiguous(shape))
        return State(here, after, here, [])

    def _stacked(self, scan: Node, number: int, region: Region) -> State | None:
        """A part of the state all of whose values are kept, one after the other, if the results want them."""
        node, body, carries = scan.inputs[number], scan.attrs["body"], scan.attrs["carries"]
        before, after = body.inputs[number], body.outputs[number]
        if before not in body.outputs[carries:] and after not in body.outputs[carries:]:
            return None
        length, shape, dtype = scan.attrs["length"], node.aval.shape, node.aval.dtype
        whole = self.buffer((length + 1, *shape), dtype, "temp", None, node.name)
        stride = product(shape)
        now, next_ = (self.buffer(shape, dtype, "slot", (whole,), node.name) for _ in range(2))
        region.walks += [
            Walk(now, whole, stride, int(region.reverse)),
            Walk(next_, whole, stride, int(not region.reverse)),
        ]
        one, all_ = View.contiguous(shape), View.contiguous((length, *shape))
        first, last = (length * stride, 0) if region.reverse else (0, length * stride)
        self.deliver(node, whole, one._replace(offset=first))
        earlier, later = all_, all_._replace(offset=stride)
        stacks = [(before, Located(whole, later if region.reverse else earlier))]
        stacks.append((after, Located(whole, earlier if region.reverse else later)))
        return State(Located(now, one), next_, Located(whole, one._replace(offset=last)), stacks)

    def _result(self, node: Node, region: Region) -> tuple[Buffer, Located]:
        """The slot that a result of the body goes to, and all of them."""
        shape = node.aval.shape
        whole = self.buffer((region.length, *shape), node.aval.dtype, "temp", None, node.name)  # type: ignore[arg-type]
        slot = self.buffer(shape, node.aval.dtype, "slot", (whole,), node.name)
        region.walks.append(Walk(slot, whole, product(shape)))
        return slot, Located(whole, View.contiguous(whole.shape))

    def _slice(self, node: Node, region: Region) -> Located:
        """The slot that goes along the leading axis of a sequence, wherever it lies."""
        source = self.materialize(node)
        shape, strides, offset = source.view
        slot = self.buffer(shape[1:], node.aval.dtype, "slot", (source.buffer,), node.name)
        region.walks.append(Walk(slot, source.buffer, strides[0]))
        return Located(slot, View(shape[1:], strides[1:], offset))

    def _inside(self, graph: Graph, inputs: Sequence[Located], wanted: Sequence[tuple[Node, Buffer]]) -> list[Any]:
        """The kernels of a nested graph that takes what lies at ``inputs``; some nodes are stored where wanted."""
        inner = type(self)(graph, list(inputs), outer=self)
        inner.wanted = {n: target for n, target in wanted if n not in inner.located}
        for node in inner.nodes:
            if node not in inner.located:
                inner.visit(node)
        for node, target in wanted:
            inner.deliver(node, target)
        return inner.finished()

    def deliver(self, node: Node, target: Buffer, view: View | None = None) -> None:
        """Store a value in a given buffer, or at a place in it."""
        if node in self.located and self.located[node].buffer is target:
            return  # it was brought there when it was made
        view = view or View.contiguous(node.aval.shape)
        self.wanted.pop(node, None)
        if node in self.floating:
            self._settled(node)
        if node in self.fused:
            self._store(self.fused[node], target, view)
        else:
            self._copy(node, self._copy_source(node), target, Located(target, view))

    def _packed_once(self, kernels: list[Any]) -> list[Any]:
        """Products with a matrix that is the same in every step read it as their tiles do: it is packed before."""
        written = {b for k in kernels for b in k.writes()}
        out: list[Any] = []
        left = list(kernels)
        while left:
            kernel = left.pop(0)
            if may_have_panels(kernel) and kernel.b.buffer.kind != "slot" and kernel.b.buffer not in written:
                joint = with_gates(kernel, left[0]) if left else None
                if joint is not None and not any(b in k.reads() for k in left[1:] for b in kernel.writes()):
                    kernel = joint
                    del left[0]
                kernel = self._packed(kernel)
            out.append(kernel)
        return out

    def _packed(self, kernel: ContractKernel) -> ContractKernel:
        width, parts = panel_width(kernel), kernel.parts
        if width is None:
            return kernel
        shape = (kernel.n // (parts * width), kernel.k, parts, width)  # type: ignore[operator]
        packed = self.buffer(shape, kernel.b.buffer.dtype, "temp", None, "packed")
        self.read_at[kernel.b.buffer].add(len(self.kernels))
        self.kernels.append(packing(kernel, packed))
        return in_panels(kernel, packed)

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
        raise NotImplementedError(f"{type(self).__name__} does not define finished()")
