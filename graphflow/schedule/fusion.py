"""Fusion: walks a graph once, in program order, and gathers its nodes into kernels.

Every node ends up in one of three ways:

- *located*: its elements lie in a buffer, reached through a strided View. View ops only change the View.
- *fused*: it is a value in the body of a loop kernel (a ``Group`` while it grows). A consumer joins the newest group
  among its operands' if it walks the same domain; an elementwise op without fused operands joins a group that reads
  one of its operands already (the optimizer's many updates, for example).
- *free*: constants, iota and sizes cost nothing and are repeated inside each kernel that wants them.
- *floating*: a cheap elementwise op whose operands are all located or free waits for its first consumer and is computed
  inside that consumer's kernel (again in each, if several want it).

A fused value that someone outside its group needs is stored ("materialised") and from then on located as well.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphflow.core.dims import Dim, Shape, Size, product, shape_str
from graphflow.core.dtypes import as_dtype
from graphflow.core.errors import CompileError, at_line
from graphflow.core.view import View
from graphflow.ir.graph import Graph, Node
from graphflow.schedule.kernels import (
    Access,
    BodyValue,
    Buffer,
    Compute,
    Const,
    ContractKernel,
    HostStep,
    Indirect,
    Kernel,
    LibraryKernel,
    Load,
    LoopKernel,
    Product,
    Program,
    Reduce,
    SizeValue,
    Store,
    value_level,
)
from graphflow.schedule.split import split_reduction

Axes = tuple["int | None", ...]  # for each axis of a value: the domain axis it runs along, None for size 1
MAX_REREAD = 1 << 16  # elements of a row that a second pass may walk again (a row that stays in cache)
FLOATING_COST = 8  # cost up to which a chain without fused operands is computed again rather than stored
TINY = 2  # elements up to which a value is computed ahead of its place in the program
MAX_BODY = 400  # values in one kernel body: beyond this, compiling gets slow and registers run out


@dataclass(eq=False)
class Located:
    """A value that lies in a buffer."""

    buffer: Buffer
    view: View


@dataclass(eq=False)
class Fused:
    """A value in a group's body."""

    group: Group
    value: int
    axes: Axes


@dataclass(eq=False)
class Group:
    """A loop kernel that is still growing. ``number`` is its place in the order of kernels."""

    number: int
    kernel: LoopKernel
    members: dict[Node, Fused] = field(default_factory=dict)
    loads: dict[tuple[int, tuple[Size, ...], Size], int] = field(default_factory=dict)
    numbers: dict[BodyValue, int] = field(default_factory=dict)
    levels: list[int] = field(default_factory=list)
    fixed_axes: bool = False  # reductions fix which axes are reduced
    contract: ContractKernel | None = None

    def add(self, value: BodyValue) -> int:
        """The number of a body value, appended if it is new."""
        try:
            known = self.numbers.get(value)
        except TypeError:  # an unhashable attribute
            known = None
        if known is None:
            self.kernel.body.append(value)
            self.levels.append(value_level(value, self.levels))
            known = len(self.kernel.body) - 1
            with contextlib.suppress(TypeError):
                self.numbers[value] = known
        return known


class Fuser:
    """One walk over one graph."""

    def __init__(self, graph: Graph, inputs: list[Node]) -> None:
        self.graph = graph
        self.buffers: list[Buffer] = []
        self.kernels: list[Any] = []  # Group while growing, Kernel when complete
        self.located: dict[Node, Located] = {}
        self.fused: dict[Node, Fused] = {}
        self.readers: dict[Buffer, list[Group]] = defaultdict(list)  # groups that load a buffer
        self.read_at: dict[Buffer, set[int]] = defaultdict(set)  # numbers of all kernels that read it
        self.variables: dict[Any, Buffer] = {}
        self.floating: dict[Node, int] = {}  # cost of the chain that ends in the node
        self.spread: dict[Node, Node] = {}  # views of a single number, and the node of that number
        self.nodes: list[Node] = tiny_first(graph.nodes)
        self.number = {n: i for i, n in enumerate(self.nodes)}
        self.status = self.buffer((2,), as_dtype("int64"), "status")
        self.inputs = [self._bind(n, "input", None) for n in inputs]
        self.written_at: dict[Buffer, int] = {}

    # -- buffers ----------------------------------------------------------------------------------------------------
    def buffer(self, shape: Shape, dtype: Any, kind: Any, payload: Any = None, name: str = "") -> Buffer:
        made = Buffer(len(self.buffers), shape, dtype, kind, payload, name)
        self.buffers.append(made)
        return made

    def _bind(self, node: Node, kind: Any, payload: Any) -> Buffer:
        made = self.buffer(node.aval.shape, node.aval.dtype, kind, payload, node.name)
        self.located[node] = Located(made, View.contiguous(node.aval.shape))
        return made

    def variable(self, variable: Any) -> Buffer:
        if variable not in self.variables:
            self.variables[variable] = self.buffer(variable.shape, variable.dtype, "variable", variable, variable.name)
        return self.variables[variable]

    def temp(self, node: Node, shape: Shape | None = None) -> Buffer:
        return self.buffer(node.aval.shape if shape is None else shape, node.aval.dtype, "temp", None, node.name)

    # -- the walk ---------------------------------------------------------------------------------------------------
    def run(self) -> Program:
        for node in self.nodes:
            if node not in self.located:
                self.visit(node)
        results = [self.result(n) for n in self.graph.outputs]
        updates = self.updates()
        kernels: list[Kernel] = []
        for kernel in map(self.finish, self.kernels):
            if not isinstance(kernel, LoopKernel):
                kernels.append(kernel)
            elif kernel.stores:
                kernels.extend(split_reduction(kernel, lambda shape, dtype: self.buffer(shape, dtype, "temp")))
        return Program(kernels, self.buffers, self.inputs, results, updates, self.nodes)

    def visit(self, node: Node) -> None:
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

    def free(self, node: Node) -> bool:
        """Whether the node is repeated in each kernel rather than computed once."""
        node = self.spread.get(node, node)
        if node.op.name in ("constant", "size_of"):
            return node not in self.located
        return node.op.name == "iota"

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
            axes = _reshaped_axes(source, fused.axes, node.aval.shape)
        else:
            axes = None
        if axes is None:
            return False
        self.fused[node] = fused.group.members[node] = Fused(fused.group, fused.value, axes)
        return True

    # -- elementwise ------------------------------------------------------------------------------------------------
    def _map(self, node: Node) -> None:
        if self.free(node):
            return
        group = self._open_group(node, None)
        if group is None:
            cost = node.op.cost + sum(self.floating.get(n, 0) for n in node.inputs)
            if cost <= FLOATING_COST:
                self.floating[node] = cost
                return
            group = self._new_group(node.aval.shape)
        self._join(group, node)

    def _reduce(self, node: Node) -> None:
        source = node.inputs[0]
        axes = tuple(node.attrs["axes"])
        if not axes:  # nothing to combine: the operand itself
            self.located[node] = self.materialize(source)
            return
        group = self._open_group(node, axes) or self._new_group(source.aval.shape)
        arg = self._operand(group, source, _identity(len(source.aval.shape)))
        kernel = group.kernel
        if not group.fixed_axes:
            kernel.reduced = axes
            group.fixed_axes = True
        value = group.add(Reduce(node.op.emit, arg, node.aval.dtype))
        kept = tuple(i for i in range(len(kernel.shape)) if i not in axes)
        self._enter(group, node, value, kept)

    def _new_group(self, shape: Shape) -> Group:
        group = Group(len(self.kernels), LoopKernel(shape))
        self.kernels.append(group)
        return group

    def _open_group(self, node: Node, axes: tuple[int, ...] | None) -> Group | None:
        """The group the node can join, if any. ``axes``: the axes it reduces, None for an elementwise op."""
        shape = node.aval.shape if axes is None else node.inputs[0].aval.shape
        for group in self._candidates(node):
            if not all(n in group.members or self._ready(n) < group.number for n in node.inputs):
                group.kernel.why = group.kernel.why or f"{node.op.name} also needs a later kernel's result"
            elif self._fits(group, node, shape, axes):
                return group
            else:
                group.kernel.why = group.kernel.why or self._why_not(group, node, shape, axes)
        return None

    def _why_not(self, group: Group, node: Node, shape: Shape, axes: tuple[int, ...] | None) -> str:
        name, kernel = node.op.name, group.kernel
        if len(kernel.body) > MAX_BODY:
            return f"{name} left out: the kernel has {len(kernel.body)} values already"
        if axes is not None and group.contract is not None:
            return f"{name} left out: it reduces what a matrix product just made"
        if axes is not None and group.fixed_axes and kernel.reduced != axes:
            return f"{name} left out: it reduces axes {axes}, this kernel axes {kernel.reduced}"
        if shape != kernel.shape:
            return f"{name} left out: it walks {shape_str(shape)}, this kernel {shape_str(kernel.shape)}"
        return f"{name} left out: it would walk the rows once more"

    def _candidates(self, node: Node) -> list[Group]:
        """Groups that hold one of the node's operands, or read one already; newest first."""
        found: dict[int, Group] = {}
        for operand in node.inputs:
            if operand in self.fused:
                group = self.fused[operand].group
                found[group.number] = group
            if operand in self.located:
                for group in self.readers[self.located[operand].buffer]:
                    found[group.number] = group
        return [found[k] for k in sorted(found, reverse=True)]

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
        if len(kernel.body) > MAX_BODY or not isinstance(self.kernels[group.number], Group):
            return False
        if axes is not None:  # a reduction: over the whole domain, along the same axes
            if group.contract is not None or shape != kernel.shape or (group.fixed_axes and kernel.reduced != axes):
                return False
            source = self.fused.get(node.inputs[0])
            if source is not None and source.group is group and source.axes != _identity(len(shape)):
                return False
            if not group.fixed_axes:
                return True
            return self._may_reread(group) or self._level(group, node.inputs[0]) == 0
        where = self._own_axes(group, shape)
        if where is None:
            return False
        for operand in node.inputs:
            fused = self.fused.get(operand)
            if fused is not None and fused.group is group and not _aligned(fused.axes, operand.aval.shape, where):
                return False
        full = any(a in kernel.reduced for a in where)
        if full and not self._may_reread(group):
            return all(self._level(group, n) == 0 for n in node.inputs)
        return True

    def _own_axes(self, group: Group, shape: Shape) -> Axes | None:
        """How a result of this shape lies in the group's domain: all of it, or the part that is not reduced."""
        kernel = group.kernel
        if shape == kernel.shape:
            return _identity(len(shape))
        if not group.fixed_axes:
            return None
        kept = tuple(i for i in range(len(kernel.shape)) if i not in kernel.reduced)
        if shape == tuple(kernel.shape[i] for i in kept):
            return kept
        keepdims = tuple(1 if i in kernel.reduced else s for i, s in enumerate(kernel.shape))
        if shape == keepdims:
            return tuple(None if i in kernel.reduced else i for i in range(len(shape)))
        return None

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

    def _join(self, group: Group, node: Node) -> None:
        where = self._own_axes(group, node.aval.shape)
        assert where is not None
        args = tuple(self._operand(group, n, _align(n.aval.shape, where)) for n in node.inputs)
        attrs = tuple(node.attrs.items())
        value = group.add(Compute(node.op, args, attrs, node.aval.dtype, where))
        self._enter(group, node, value, where)

    def _enter(self, group: Group, node: Node, value: int, axes: Axes) -> None:
        group.kernel.nodes.append(node)
        self.fused[node] = group.members[node] = Fused(group, value, axes)

    def _operand(self, group: Group, node: Node, axes: Axes) -> int:
        """The body value of an operand whose axes lie along the domain as ``axes`` says."""
        fused = self.fused.get(node)
        if fused is not None and fused.group is group:
            return fused.value
        if node not in self.located and self.free(node):
            return self._free_value(group, node, axes)
        if node not in self.located and node in self.floating:
            args = tuple(self._operand(group, n, _align(n.aval.shape, axes)) for n in node.inputs)
            group.kernel.nodes.append(node)
            return group.add(Compute(node.op, args, tuple(node.attrs.items()), node.aval.dtype, axes))
        source = self.materialize(node)
        return self._load(group, source, axes, node)

    def _free_value(self, group: Group, node: Node, axes: Axes) -> int:
        dtype = node.aval.dtype
        node = self.spread.get(node, node)
        if node.op.name == "constant":
            value = (
                node.attrs["value"].reshape(()).item()
                if dtype.name != "bfloat16"
                else float(node.attrs["value"].reshape(()))
            )
            return group.add(Const(_Exact(value), dtype))
        if node.op.name == "size_of":
            return group.add(SizeValue(node.attrs["size"], dtype))
        return group.add(Compute(node.op, (), tuple(node.attrs.items()), dtype, axes))

    def _load(self, group: Group, source: Located, axes: Axes, node: Node) -> int:
        access = _access(source, axes, len(group.kernel.shape))
        if group.number not in self.read_at[source.buffer]:
            self.read_at[source.buffer].add(group.number)
            self.readers[source.buffer].append(group)
        return group.add(Load(access, node.aval.dtype))

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
        self._enter(group, node, value, _identity(rank))

    # -- kernels of their own ---------------------------------------------------------------------------------------
    def _contract(self, node: Node) -> None:
        left, right = (self.materialize(n) for n in node.inputs)
        shape = node.aval.shape
        k = node.inputs[0].aval.shape[-1]
        batch = len(shape) - 2
        domain = len(shape) + 1  # batch.., m, n, k
        a = _access(left, (*_align(left.view.shape[:-2], _identity(batch)), batch, batch + 2), domain)
        b = _access(right, (*_align(right.view.shape[:-2], _identity(batch)), batch + 2, batch + 1), domain)
        epilogue = LoopKernel(shape)
        group = Group(len(self.kernels), epilogue)
        group.contract = ContractKernel(shape[:-2], shape[-2], shape[-1], k, a, b, node.aval.dtype, epilogue)
        self.kernels.append(group)
        for access in (a, b):
            self.read_at[access.buffer].add(group.number)
        self._enter(group, node, group.add(Product(node.aval.dtype)), _identity(len(shape)))

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
        self.kernels.append(HostStep(node, source, [node]))
        self.located[node] = Located(source, View.contiguous(node.aval.shape))

    def _place(self, node: Node) -> None:
        """Copies of the operands into slices of a new buffer, after a fill where the operands leave gaps."""
        output = self.temp(node)
        whole = View.contiguous(node.aval.shape)
        placements = node.op.emit(*(n.aval for n in node.inputs), **node.attrs)
        if product(node.aval.shape) != sum(product(n.aval.shape) for n in node.inputs):
            self._fill(node, output, node.attrs.get("value", 0))
        for operand, (starts, steps) in zip(node.inputs, placements, strict=True):
            target = Located(output, whole.slice(starts, operand.aval.shape, steps))
            self._copy(operand, self._copy_source(operand), output, target)
        self.located[node] = Located(output, whole)

    def _copy_source(self, node: Node) -> Located | None:
        return None if self.free(node) else self.materialize(node)

    def _fill(self, node: Node, output: Buffer, value: Any) -> None:
        group = Group(len(self.kernels), LoopKernel(node.aval.shape, nodes=[node]))
        number = group.add(Const(_Exact(value), node.aval.dtype))
        self._close(group, number, Located(output, View.contiguous(node.aval.shape)))

    def _copy(self, node: Node, source: Located | None, output: Buffer, target: Located | None = None) -> Located:
        """A kernel that copies a value; gives where the copy lies."""
        shape = node.aval.shape
        target = target or Located(output, View.contiguous(shape))
        group = Group(len(self.kernels), LoopKernel(shape, nodes=[node], why="copies elements to other places"))
        axes = _identity(len(shape))
        number = self._free_value(group, node, axes) if source is None else self._load(group, source, axes, node)
        self._close(group, number, target)
        return target

    def _close(self, group: Group, value: int, target: Located) -> None:
        """Append a finished kernel that stores one value."""
        access = _access(target, _identity(len(group.kernel.shape)), len(group.kernel.shape))
        group.kernel.stores.append(Store(value, access, target.buffer.dtype))
        self.written_at[target.buffer] = len(self.kernels)
        self.kernels.append(group.kernel)

    # -- materialising ----------------------------------------------------------------------------------------------
    def materialize(self, node: Node) -> Located:
        """Where the node's value lies; a fused value gets a buffer and a store."""
        found = self.located.get(node)
        if found is not None:
            return found
        if node in self.floating:
            del self.floating[node]
            self._join(self._new_group(node.aval.shape), node)
        fused = self.fused.get(node)
        if fused is None:
            return self._materialize_free(node)
        if node.op.kind == "view" and node.inputs[0] in self.located:
            source = self.located[node.inputs[0]]
            view = node.op.emit(source.view, **node.attrs)
            if view is not None:
                self.located[node] = Located(source.buffer, view)
                return self.located[node]
        output = self.temp(node)
        self._store(fused, output, View.contiguous(node.aval.shape))
        self.located[node] = Located(output, View.contiguous(node.aval.shape))
        return self.located[node]

    def _store(self, fused: Fused, output: Buffer, view: View) -> None:
        kernel = fused.group.kernel
        access = _access(Located(output, view), fused.axes, len(kernel.shape))
        kernel.stores.append(Store(fused.value, access, output.dtype))
        self.written_at[output] = max(self.written_at.get(output, -1), fused.group.number)

    def _materialize_free(self, node: Node) -> Located:
        if node.op.name == "constant" and node not in self.spread:
            self._bind(node, "constant", np.ascontiguousarray(node.attrs["value"]))
            return self.located[node]
        output = self.temp(node)
        self._copy(node, None, output)
        self.located[node] = Located(output, View.contiguous(node.aval.shape))
        return self.located[node]

    def _contiguous(self, node: Node) -> Buffer:
        source = self.materialize(node)
        whole = source.view.is_contiguous and product(source.buffer.shape) == product(node.aval.shape)
        return source.buffer if whole else self._copy(node, source, self.temp(node)).buffer

    # -- results ----------------------------------------------------------------------------------------------------
    def result(self, node: Node) -> Buffer:
        """A buffer of its own for one of the graph's outputs."""
        shape, found = node.aval.shape, self.located.get(node)
        if found is not None and found.buffer.kind == "temp" and found.view == View.contiguous(found.buffer.shape):
            if found.buffer.shape == shape:
                found.buffer.kind = "output"
                return found.buffer
        output = self.buffer(shape, node.aval.dtype, "output", None, node.name)
        if node in self.floating:
            self.materialize(node)
            return self.result(node)
        if node in self.fused:
            self._store(self.fused[node], output, View.contiguous(shape))
        else:
            self._copy(node, self._copy_source(node), output)
        return output

    def updates(self) -> list[tuple[Any, Buffer]]:
        """Bring the new values of variables into the variables' own buffers.

        Straight from the kernel that computes it, where nobody reads the old value in a later kernel or at another
        place; else through a copy at the end, which takes a detour where two variables exchange values.
        """
        pairs = [(node, self.variable(variable)) for variable, node in self.graph.updates]
        for node, _ in pairs:
            if node in self.floating:
                del self.floating[node]
                self._join(self._new_group(node.aval.shape), node)
        read_last = {self.located[n].buffer for n, _ in pairs if n in self.located and n not in self.fused}
        copies: list[tuple[Node, Buffer]] = []
        for node, own in pairs:
            fused = self.fused.get(node)
            if fused is not None and own not in read_last and self._in_place(own, fused):
                self._store(fused, own, View.contiguous(node.aval.shape))
            else:
                copies.append((node, own))
        targets = {own for _, own in copies}
        moves: list[tuple[Node, Located | None, Buffer]] = []
        for node, own in copies:
            source = self._copy_source(node)
            if source is not None and source.buffer in targets:
                source = self._copy(node, source, self.temp(node))
            moves.append((node, source, own))
        for node, source, own in moves:
            self._copy(node, source, own)
        return [(variable, self.variable(variable)) for variable, _ in self.graph.updates]

    def _in_place(self, own: Buffer, fused: Fused) -> bool:
        """Whether a group may store into a variable's buffer: no one needs the old value later or elsewhere."""
        group = fused.group
        if max(self.read_at[own], default=-1) > group.number or self.written_at.get(own, -1) >= 0:
            return False
        if group.number not in self.read_at[own]:
            return True
        if group.contract is not None and own in (group.contract.a.buffer, group.contract.b.buffer):
            return False
        target = _access(Located(own, View.contiguous(own.shape)), fused.axes, len(group.kernel.shape))
        mine = [v for v in group.kernel.body if isinstance(v, (Load, Indirect)) and v.access.buffer is own]
        by_row = all(target.strides[a] == 0 for a in group.kernel.reduced)  # loaded and stored once, outside the loops
        once = max(group.levels) == 0 or (by_row and bool(group.kernel.reduced))
        return once and all(isinstance(v, Load) and v.access == target for v in mine)

    def finish(self, kernel: Any) -> Kernel:
        if not isinstance(kernel, Group):
            return kernel  # type: ignore[no-any-return]
        if kernel.contract is not None:
            kernel.contract.nodes = kernel.kernel.nodes
            kernel.contract.why = kernel.kernel.why
            return kernel.contract
        return kernel.kernel


def tiny_first(nodes: Sequence[Node]) -> list[Node]:
    """Program order, but values of a few elements that depend on variables and constants alone come first.

    An optimizer's bias corrections, say: computed early, they do not keep the updates that use them out of the kernels
    that produce the gradients.
    """
    early: set[Node] = set()
    for node in nodes:
        if node.op.kind == "source":
            early.add(node)
        elif node.op.kind in ("map", "view") and all(i in early for i in node.inputs):
            size = product(node.aval.shape)
            if not isinstance(size, Dim) and size <= TINY:
                early.add(node)
    return [n for n in nodes if n in early] + [n for n in nodes if n not in early]


class _Exact:
    """A constant's number, compared by its bits: 0.0 and -0.0 differ, NaN equals itself, 1 and 1.0 and True differ."""

    __slots__ = ("key", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        self.key = (type(value).__name__, repr(value))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Exact) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return repr(self.value)


def _identity(rank: int) -> Axes:
    return tuple(range(rank))


def _align(shape: Shape, where: Axes) -> Axes:
    """The domain axes of an operand that broadcasts (from the right) against a result lying along ``where``."""
    tail = where[len(where) - len(shape) :]
    return tuple(None if not isinstance(s, Dim) and s == 1 else a for s, a in zip(shape, tail, strict=True))


def _aligned(axes: Axes, shape: Shape, where: Axes) -> bool:
    if len(shape) > len(where):
        return False
    want = _align(shape, where)
    return all(
        (not isinstance(s, Dim) and s == 1) or have == need for s, have, need in zip(shape, axes, want, strict=True)
    )


def _access(source: Located, axes: Axes, rank: int) -> Access:
    """How the domain walks a located value whose axes lie along the domain as ``axes`` says."""
    strides: list[Size] = [0] * rank
    for size, stride, axis in zip(source.view.shape, source.view.strides, axes, strict=True):
        if axis is not None and (isinstance(size, Dim) or size != 1):
            strides[axis] = strides[axis] + stride
    return Access(source.buffer, tuple(strides), source.view.offset)


def _reshaped_axes(source: Shape, axes: Axes, target: Shape) -> Axes | None:
    """Axes after a reshape that only inserts or removes axes of size 1, else None."""
    real = [(s, a) for s, a in zip(source, axes, strict=True) if isinstance(s, Dim) or s != 1]
    out: list[int | None] = []
    for size in target:
        if not isinstance(size, Dim) and size == 1:
            out.append(None)
        elif real and real[0][0] == size:
            out.append(real.pop(0)[1])
        else:
            return None
    return None if real else tuple(out)


def schedule(graph: Graph, inputs: list[Node]) -> Program:
    """The kernels for a functionalised graph whose placeholders come in the order of ``inputs``."""
    return Fuser(graph, inputs).run()
