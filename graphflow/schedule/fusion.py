"""Fusion: walks a graph once, in program order, and gathers its nodes into kernels.

Every node ends up in one of four ways:

- *located*: its elements lie in a buffer, reached through a strided View. View ops only change the View.
- *fused*: it is a value in the body of a loop kernel (a ``Group`` while it grows). A consumer joins the newest group
  among its operands' if it walks the same domain; an elementwise op without fused operands joins a group that reads
  one of its operands already (the optimizer's many updates, for example).
- *free*: constants, iota and sizes cost nothing and are repeated inside each kernel that wants them.
- *floating*: an elementwise op whose operands are all located or free waits for its first consumer and is computed
  inside that consumer's kernel. A cheap one is computed again in each kernel that wants it; a costly one (random bits,
  say) becomes a value of the first and is stored for the others.

A fused value that someone outside its group needs is stored ("materialised") and from then on located as well.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphflow.core.dims import Dim, Shape, Size, product, shape_str
from graphflow.core.errors import CompileError, at_line
from graphflow.core.view import View
from graphflow.ir.graph import Graph, Node
from graphflow.schedule.attention import Attentions
from graphflow.schedule.control import ControlFlow
from graphflow.schedule.convolution import Convolutions
from graphflow.schedule.groups import (
    Axes,
    Chain,
    Group,
    Located,
    align,
    aligned,
    identity,
    reshaped_axes,
    walk_of,
)
from graphflow.schedule.kernels import (
    Access,
    ContractKernel,
    HostStep,
    Indirect,
    Kernel,
    LibraryKernel,
    LoopKernel,
    Product,
    Program,
    Reduce,
)
from graphflow.schedule.marks import Nested
from graphflow.schedule.order import updates_early
from graphflow.schedule.placement import is_tiny
from graphflow.schedule.split import split_reduction
from graphflow.schedule.user import UserOps

MAX_REREAD = 1 << 16  # elements of a row that a second pass may walk again (a row that stays in cache)
MAX_CHAIN = 24  # ops in a floating chain
MAX_BODY = 128  # values in one kernel body, in all passes over a row: beyond this, compiling gets slow
MAX_LEVEL = 4  # reductions in one kernel that each need the one before: each walks the row once more


class Fuser(ControlFlow, Convolutions, Attentions, UserOps):
    """One walk over one graph."""

    # -- the walk ---------------------------------------------------------------------------------------------------
    def run(self) -> Program:
        for node in self.nodes:
            if node not in self.located:
                self.visit(node)
        results = [self.result(n) for n in self.graph.outputs]
        updates = self.updates()
        return Program(self.finished(), self.buffers, self.inputs, results, updates, self.all_nodes)

    def finished(self) -> list[Kernel]:
        kernels: list[Any] = []
        for kernel in map(self.finish, self.kernels):
            if not isinstance(kernel, LoopKernel):
                kernels.append(kernel)
            elif kernel.stores:
                kernels.extend(split_reduction(kernel, lambda shape, dtype: self.buffer(shape, dtype, "temp")))
        ordered: list[Kernel] = []
        for kernel in updates_early(kernels):
            ordered.extend(kernel.kernels if isinstance(kernel, Nested) else [kernel])
        return ordered

    def visit(self, node: Node) -> None:
        self.now = self.number[node]
        handler = getattr(self, f"_{node.op.kind}", None)
        if handler is None:
            raise CompileError(at_line(f"{node.op.name} cannot run in native code yet", node.origin))
        handler(node)

    def _source(self, node: Node) -> None:
        name = node.op.name
        if name == "variable_read":
            variable = node.attrs["variable"]
            self.located[node] = Located(self.variable(variable), View.contiguous(node.aval.shape))
        elif name == "constant":
            if node.attrs["value"].size != 1:
                self._bind(node, "constant", np.ascontiguousarray(node.attrs["value"]))
        elif name == "host_scalar":
            self._bind(node, "host", node.attrs["source"])
        elif name == "placeholder":
            raise CompileError(f"placeholder {node.name!r} is not among the program's inputs")
        elif name != "size_of":
            raise CompileError(at_line(f"{name} cannot run in native code", node.origin))

    def _view(self, node: Node) -> None:
        source = self.spread.get(node.inputs[0], node.inputs[0])
        if self.free(source) and source.op.name != "iota":  # one number, in whatever shape
            self.spread[node] = source
        elif not self._view_in_group(node):
            self.located[node] = self._view_of(self.materialize(node.inputs[0]), node)

    def _view_of(self, source: Located, node: Node) -> Located:
        view = node.op.emit(source.view, **node.attrs)
        if view is None:  # no strides express it: copy to a contiguous buffer first
            copy = self._copy(node.inputs[0], source, self.temp(node.inputs[0]))
            view = node.op.emit(copy.view, **node.attrs)
            return Located(copy.buffer, view)
        return Located(source.buffer, view)

    def _view_in_group(self, node: Node) -> bool:
        """A view of a fused value that only adds, drops or moves axes of size 1 stays in the group."""
        fused = self.fused.get(node.inputs[0])
        if fused is None:
            return False
        source, name = node.inputs[0].aval.shape, node.op.name
        if name == "stop_gradient":
            axes: Axes | None = fused.axes
        elif name == "permute":
            axes = tuple(fused.axes[a] for a in node.attrs["axes"])
        elif name == "reshape":
            axes = reshaped_axes(source, fused.axes, node.aval.shape)
        else:
            axes = None
        if axes is None:
            return False
        self._enter(fused.group, node, fused.value, axes)
        return True

    # -- elementwise ------------------------------------------------------------------------------------------------
    def _map(self, node: Node) -> None:
        if self.free(node):
            return
        self._settle(node, node.aval.shape)
        group = self._open_group(node, None)
        if group is not None and group.contract is not None and self._only_reduced(node):
            group = None  # a product's kernel cannot reduce it: better in the kernel that can, which needs its operands
        if group is None:
            chain = self._chain(node)
            if chain.length <= MAX_CHAIN and (chain.cheap or not is_tiny(node)):
                self.floating[node] = chain
                return
            group = self._new_group(node.aval.shape)
        self._join(group, node)

    def _only_reduced(self, node: Node) -> bool:
        users = self.users[node]
        return bool(users) and all(user.op.kind == "reduce" and user.attrs["axes"] for user in users)

    def _chain(self, node: Node) -> Chain:
        chains = [self.floating[n] for n in node.inputs if n in self.floating]
        reads = [n for n in node.inputs if n in self.located and n.aval.shape == node.aval.shape]
        return Chain(
            node.op.cost + sum(c.cost for c in chains),
            1 + max((c.length for c in chains), default=0),
            frozenset(reads).union(*(c.reads for c in chains)),
        )

    def _settle(self, node: Node, shape: Shape) -> None:
        """Give costly floating operands kernels of their own where this consumer would compute them many times."""
        for operand in node.inputs:
            if operand in self.floating and operand.aval.shape != shape and not self.floating[operand].cheap:
                self.materialize(operand)

    def _reduce(self, node: Node) -> None:
        source = node.inputs[0]
        axes = tuple(node.attrs["axes"])
        if not axes:  # nothing to combine: the operand itself
            self.located[node] = self.materialize(source)
            return
        self._settle(node, source.aval.shape)
        group = self._open_group(node, axes) or self._new_group(source.aval.shape)
        arg = self._operand(group, source, identity(len(source.aval.shape)))
        kernel = group.kernel
        if not group.fixed_axes:
            kernel.reduced = axes
            group.fixed_axes = True
        value = group.add(Reduce(node.op.emit, arg, node.aval.dtype))
        kept = tuple(i for i in range(len(kernel.shape)) if i not in axes)
        self._enter(group, node, value, kept)

    # -- finding a kernel to join ------------------------------------------------------------------------------------
    def _open_group(self, node: Node, axes: tuple[int, ...] | None, sharing: bool = False) -> Group | None:
        """The group the node can join, if any. ``axes``: the axes it reduces, None for an elementwise op."""
        shape = node.aval.shape if axes is None else node.inputs[0].aval.shape
        for group in self._candidates(node, sharing or axes is not None):
            if not all(n in group.members or self._ready(n) < group.number for n in node.inputs):
                group.kernel.why = group.kernel.why or f"{node.op.name} also needs a later kernel's result"
            elif self._fits(group, node, shape, axes):
                return group
            else:
                group.kernel.why = group.kernel.why or self._why_not(group, node, shape, axes)
        return None

    def _why_not(self, group: Group, node: Node, shape: Shape, axes: tuple[int, ...] | None) -> str:
        name, kernel = node.op.name, group.kernel
        if self._full(group, node, axes is not None):
            return f"{name} left out: the kernel has {len(kernel.body)} values, {1 + max(group.levels)} passes already"
        if axes is not None and group.contract is not None:
            return f"{name} left out: it reduces what a matrix product just made"
        if axes is not None and group.fixed_axes and kernel.reduced != axes:
            return f"{name} left out: it reduces axes {axes}, this kernel axes {kernel.reduced}"
        if shape != kernel.shape:
            return f"{name} left out: it walks {shape_str(shape)}, this kernel {shape_str(kernel.shape)}"
        return f"{name} left out: it would walk the rows once more"

    def _candidates(self, node: Node, sharing: bool) -> list[Group]:
        """Groups that hold one of the node's operands, then those that read one of its size; of each the newest first.

        ``sharing``: any operand, a number that many kernels read, say.
        """
        holders = {self.fused[n].group.number: self.fused[n].group for n in node.inputs if n in self.fused}
        shared = [n for n in node.inputs if n in self.located and (sharing or n.aval.shape == node.aval.shape)]
        if sharing:  # what waits to be computed here reads something, too
            shared += [
                r for n in node.inputs if n in self.floating for r in self.floating[n].reads if r in self.located
            ]
        readers = {g.number: g for n in shared for g in self.readers[self.located[n].buffer]}
        later = [k for k in sorted(readers, reverse=True) if k not in holders]
        return [holders[k] for k in sorted(holders, reverse=True)] + [readers[k] for k in later]

    def _ready(self, node: Node) -> int:
        """The number of the kernel after which the node's value exists (-1: before all)."""
        if node in self.fused:
            return self.fused[node].group.number
        if node in self.located:
            return self.written_at.get(self.located[node].buffer, -1)
        if node in self.floating:
            return max((self._ready(n) for n in node.inputs), default=-1)
        return -1

    def _fits(self, group: Group, node: Node, shape: Shape, axes: tuple[int, ...] | None) -> bool:
        kernel = group.kernel
        if self._full(group, node, axes is not None) or not isinstance(self.kernels[group.number], Group):
            return False
        if axes is not None:  # a reduction: over the whole domain, along the same axes
            if group.contract is not None or shape != kernel.shape or (group.fixed_axes and kernel.reduced != axes):
                return False
            source = self.fused.get(node.inputs[0])
            if source is not None and source.group is group and source.axes != identity(len(shape)):
                return False
            if not group.fixed_axes:
                return True
            return self._may_reread(group) or self._level(group, node.inputs[0]) == 0
        where = group.own_axes(shape)
        if where is None:
            return False
        for operand in node.inputs:
            fused = self.fused.get(operand)
            if fused is not None and fused.group is group and not aligned(fused.axes, operand.aval.shape, where):
                return False
        full = any(a in kernel.reduced for a in where)
        if full and not self._may_reread(group):
            return all(self._level(group, n) == 0 for n in node.inputs)
        return True

    def _full(self, group: Group, node: Node, reduces: bool) -> bool:
        """Whether a group has enough to do: values may be computed again in each pass over the rows."""
        level = max((self._level(group, n) for n in node.inputs), default=0) + reduces
        passes = 1 + max(level, max(group.levels, default=0))
        size = len(group.kernel.body)
        if size * passes > MAX_BODY and passes > 1:  # what is the same along the rows is computed once
            size += (passes - 1) * group.kernel.row_values().count(False)
        return level > MAX_LEVEL or size > MAX_BODY

    def _level(self, group: Group, node: Node) -> int:
        fused = self.fused.get(node)
        return group.levels[fused.value] if fused is not None and fused.group is group else 0

    def _may_reread(self, group: Group) -> bool:
        """Whether the rows of a group are short enough, and many enough, to walk them once more."""
        kernel = group.kernel
        row = product(kernel.shape[a] for a in kernel.reduced)
        outer = product(s for i, s in enumerate(kernel.shape) if i not in kernel.reduced)
        if not isinstance(row, Dim) and row <= 4096:
            return True
        if outer == 1:
            return False
        return isinstance(row, Dim) or row <= MAX_REREAD

    # -- gathers ----------------------------------------------------------------------------------------------------
    def _gather(self, node: Node) -> None:
        data, indices = node.inputs
        source, places = self.materialize(data), self.materialize(indices)
        axis, rank, count = node.attrs["axis"], len(node.aval.shape), len(indices.aval.shape)
        group = Group(len(self.kernels), LoopKernel(node.aval.shape))
        self.kernels.append(group)
        index = self._load(group, places, tuple(range(axis, axis + count)), indices)
        around = tuple(range(axis)) + tuple(range(axis + count, rank))
        self.read_at[source.buffer].add(group.number)
        strides: list[Size] = [0] * rank
        for domain_axis, own in zip(around, (i for i in range(len(data.aval.shape)) if i != axis), strict=True):
            strides[domain_axis] = source.view.strides[own]
        access = Access(source.buffer, tuple(strides), source.view.offset)
        value = group.add(
            Indirect(
                access, index, source.view.strides[axis], data.aval.shape[axis], data.aval.dtype, self.number[node]
            )
        )
        self._enter(group, node, value, identity(rank))

    # -- kernels of their own ---------------------------------------------------------------------------------------
    def _contract(self, node: Node) -> None:
        if node.op.name == "conv":
            self._conv(node)
            return
        if node.op.name.startswith("attention"):
            self._attention(node)
            return
        left, right = (self.materialize(n) for n in node.inputs)
        shape = node.aval.shape
        k = node.inputs[0].aval.shape[-1]
        batch = len(shape) - 2
        domain = len(shape) + 1  # batch.., m, n, k
        a = walk_of(left, (*align(left.view.shape[:-2], identity(batch)), batch, batch + 2), domain)
        b = walk_of(right, (*align(right.view.shape[:-2], identity(batch)), batch + 2, batch + 1), domain)
        epilogue = LoopKernel(shape)
        group = Group(len(self.kernels), epilogue)
        group.contract = ContractKernel(shape[:-2], shape[-2], shape[-1], k, a, b, node.aval.dtype, epilogue)
        self.kernels.append(group)
        for access in (a, b):
            self.read_at[access.buffer].add(group.number)
        self._enter(group, node, group.add(Product(node.aval.dtype)), identity(len(shape)))

    def _library(self, node: Node) -> None:
        inputs = [self._contiguous(n) for n in node.inputs]
        name, params = node.op.emit(*(n.aval for n in node.inputs), **node.attrs)
        output = self.temp(node)
        kernel = LibraryKernel(name, params, inputs, output, [node])
        for buffer in inputs:
            self.read_at[buffer].add(len(self.kernels))
        self.written_at[output] = len(self.kernels)
        self.kernels.append(kernel)
        self.located[node] = Located(output, View.contiguous(node.aval.shape))

    def _effect(self, node: Node) -> None:
        source = self._contiguous(node.inputs[0])
        self.read_at[source].add(len(self.kernels))
        self.kernels.append(HostStep(node, [source], None, [node]))
        self.located[node] = Located(source, View.contiguous(node.aval.shape))

    def _place(self, node: Node) -> None:
        """Copies of the operands into slices of a new buffer, after a fill where the operands leave gaps."""
        output = self.temp(node)
        whole = View.contiguous(node.aval.shape)
        placements = node.op.emit(*(n.aval for n in node.inputs), **node.attrs)
        filled = product(node.aval.shape) != sum(product(n.aval.shape) for n in node.inputs)
        if filled:
            self._fill(node, output, node.attrs.get("value", 0))
        for operand, where in zip(node.inputs, placements, strict=True):
            view = where(whole) if callable(where) else whole.slice(where[0], operand.aval.shape, where[1])
            if operand in self.floating:  # computed straight into its place
                del self.floating[operand]
                group = None if filled else self._group_with_all(operand)  # parts are often made of the same values
                self._join(group or self._new_group(operand.aval.shape), operand)
                self._store(self.fused[operand], output, view)
            elif operand in self.fused and not filled:
                self._store(self.fused[operand], output, view)
            else:
                self._copy(operand, self._copy_source(operand), output, Located(output, view))
        self.located[node] = Located(output, whole)

    def _group_with_all(self, node: Node) -> Group | None:
        """The newest group in which a floating value can be computed from what is there, whatever floats below it."""
        leaves: set[Node] = set()
        stack = [node]
        while stack:
            at = stack.pop()
            fresh = [n for n in at.inputs if not self.free(n)]
            stack.extend(n for n in fresh if n in self.floating)
            leaves.update(n for n in fresh if n not in self.floating)
        shape = node.aval.shape
        groups = {g.number: g for n in leaves if n in self.fused for g in [self.fused[n].group]}
        groups |= {g.number: g for n in leaves if n in self.located for g in self.readers[self.located[n].buffer]}
        for number in sorted(groups, reverse=True):
            group = groups[number]
            plain = not group.kernel.reduced and group.contract is None and isinstance(self.kernels[number], Group)
            if not plain or group.kernel.shape != shape or self._full(group, node, False):
                continue
            inside = [group.members[n].axes == identity(len(shape)) for n in leaves if n in group.members]
            if all(inside) and all(n in group.members or self._ready(n) < number for n in leaves):
                return group
        return None

    def finish(self, kernel: Any) -> Kernel:
        if not isinstance(kernel, Group):
            return kernel  # type: ignore[no-any-return]
        kernel.prune()
        if kernel.contract is not None:
            kernel.contract.nodes = kernel.kernel.nodes
            kernel.contract.why = kernel.kernel.why
            return kernel.contract
        return kernel.kernel


def schedule(graph: Graph, inputs: list[Node]) -> Program:
    """The kernels for a functionalised graph whose placeholders come in the order of ``inputs``."""
    return Fuser(graph, inputs).run()
