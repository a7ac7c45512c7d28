"""Scheduling of the user's own ops: a kernel of their own where Numba compiles them, else a step in Python."""

from __future__ import annotations

from graphflow.core.view import View
from graphflow.ir.graph import Node
from graphflow.schedule.groups import Located
from graphflow.schedule.kernels import HostStep, LibraryKernel
from graphflow.schedule.placement import Placement

STORED_ONLY = ("float16", "bfloat16")
"""Dtypes that Numba knows no numbers of."""


class UserOps(Placement):
    """The part of the scheduler that knows the user's ops."""

    def _custom(self, node: Node) -> None:
        inputs = [self._contiguous(n) for n in node.inputs]
        output = self.temp(node)
        number = len(self.kernels)
        for buffer in inputs:
            self.read_at[buffer].add(number)
        self.written_at[output] = number
        in_numba = all(b.dtype.name not in STORED_ONLY for b in (*inputs, output))
        if node.op.emit is not None and in_numba:
            name, params = node.op.emit(*(n.aval for n in node.inputs), **node.attrs)
            self.kernels.append(LibraryKernel(name, params, inputs, output, [node], "the user's kernel"))
        else:
            self.kernels.append(HostStep(node, inputs, output, [node]))
        self.located[node] = Located(output, View.contiguous(node.aval.shape))
