"""Scheduling of attention: forward and backward are each a kernel of their own, with what follows in the epilogue."""

from __future__ import annotations

from graphflow.ir.graph import Node
from graphflow.schedule.groups import Group, identity
from graphflow.schedule.kernels import Access, AttentionKernel, LoopKernel, Product
from graphflow.schedule.placement import Placement


class Attentions(Placement):
    """The part of the scheduler that knows attention."""

    def _attention(self, node: Node) -> None:
        located = [self.materialize(n) for n in node.inputs]
        epilogue = LoopKernel(node.aval.shape, nodes=[node])
        kernel = AttentionKernel(
            [n.aval.shape for n in node.inputs],
            [Access(x.buffer, x.view.strides, x.view.offset) for x in located],
            node.op.name == "attention_gradient",
            node.aval.dtype,
            epilogue,
            **node.attrs,
        )
        group = Group(len(self.kernels), epilogue, contract=kernel)
        self.kernels.append(group)
        for x in located:
            self.read_at[x.buffer].add(group.number)
        self._enter(group, node, group.add(Product(node.aval.dtype)), identity(len(node.aval.shape)))
