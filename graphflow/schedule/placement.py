"""Placement: which buffers there are, and bringing values into them.

A value that someone outside its kernel needs is stored there ("materialised"); the graph's outputs get buffers of their
own, and new values of variables go straight into the variables' buffers where that harms no one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphflow.core.dims import Dim, Shape, product
from graphflow.core.dtypes import as_dtype
from graphflow.core.view import View
from graphflow.ir.graph import Graph, Node
from graphflow.schedule.groups import Axes, Chain, Exact, Fused, Group, Located, align, identity, walk_of
from graphflow.schedule.kernels import Buffer, Compute, Const, HostStep, Indirect, Load, LoopKernel, SizeValue, Store
from graphflow.schedule.order import last_that_may_fail

MAX_REPEAT = 64  # cost up to which a value is computed again rather than stored
MAX_REPEATED = 16  # ops up to which it is
TINY = 2  # elements up to which a value is computed ahead of its place in the program


class Placement:
    """The buffers of one program, where each node's value lies, and the kernels so far."""

    _open_group: Callable[..., Group | None]  # what may share a kernel, the Fuser decides

    def __init__(self, graph: Graph, inputs: list[Any], outer: Placement | None = None) -> None:
        """Begin with a graph's placeholders. ``outer`` is the walk around a nested graph: ``inputs`` tells where what
        the graph takes lies there."""
        self.graph = graph
        self.buffers: list[Buffer] = [] if outer is None else outer.buffers
        self.kernels: list[Any] = []  # Group while growing, Kernel when complete
        self.located: dict[Node, Located] = {}
        self.fused: dict[Node, Fused] = {}
        self.readers: dict[Buffer, list[Group]] = defaultdict(list)  # groups that load a buffer
        self.read_at: dict[Buffer, set[int]] = defaultdict(set)  # numbers of all kernels that read it
        self.variables: dict[Any, Buffer] = {}
        self.floating: dict[Node, Chain] = {}
        self.spread: dict[Node, Node] = {}  # views of a single number, and the node of that number
        self.nodes: list[Node] = tiny_first(graph.nodes)
        self.all_nodes: list[Node] = [] if outer is None else outer.all_nodes  # those of nested graphs, too
        self.number = {n: len(self.all_nodes) + i for i, n in enumerate(self.nodes)}
        self.all_nodes.extend(self.nodes)
        self.results_of: dict[Node, list[Located]] = {}  # of control ops, which have several
        self.wanted: dict[Node, Buffer] = {}  # where values are to lie
        self.users: dict[Node, list[Node]] = defaultdict(list)
        for n in self.nodes:
            for i in n.inputs:
                self.users[i].append(n)
        self.now = -1  # the number of the node that is being placed
        self.written_at: dict[Buffer, int] = {}
        if outer is None:
            self.status = self.buffer((2,), as_dtype("int64"), "status")
            self.inputs = [self._bind(n, "input", None) for n in inputs]
        else:
            self.status = outer.status
            self.located.update(zip(graph.inputs, inputs))

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
        """Memory for a value; where it is wanted at a given place, that place."""
        if node in self.wanted and shape is None:
            return self.wanted.pop(node)
        return self.buffer(node.aval.shape if shape is None else shape, node.aval.dtype, "temp", None, node.name)

    def free(self, node: Node) -> bool:
        """Whether the node is repeated in each kernel rather than computed once."""
        node = self.spread.get(node, node)
        if node.op.name in ("constant", "size_of"):
            return node not in self.located
        return node.op.name == "iota"

    def _new_group(self, shape: Shape) -> Group:
        group = Group(len(self.kernels), LoopKernel(shape))
        self.kernels.append(group)
        return group

    # -- values in a kernel's body -----------------------------------------------------------------------------------
    def _join(self, group: Group, node: Node) -> None:
        where = group.own_axes(node.aval.shape)
        assert where is not None
        args = tuple(self._operand(group, n, align(n.aval.shape, where)) for n in node.inputs)
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
            args = tuple(self._operand(group, n, align(n.aval.shape, axes)) for n in node.inputs)
            value = group.add(Compute(node.op, args, tuple(node.attrs.items()), node.aval.dtype, axes))
            if not self.floating[node].cheap and node.aval.shape == group.kernel.shape and axes == identity(len(axes)):
                del self.floating[node]
                self._enter(group, node, value, axes)
            else:
                group.kernel.nodes.append(node)
            return value
        if node not in self.located and node.aval.shape == group.kernel.shape and self._repeats(node):
            return self._repeat(group, node, axes)
        source = self.materialize(node)
        return self._load(group, source, axes, node)

    def _repeat(self, group: Group, node: Node, axes: Axes) -> int:
        """Compute a value that another kernel computes, too."""
        args = tuple(self._operand(group, n, align(n.aval.shape, axes)) for n in node.inputs)
        group.kernel.nodes.append(node)
        return group.add(Compute(node.op, args, tuple(node.attrs.items()), node.aval.dtype, axes))

    def _repeats(self, node: Node) -> bool:
        """Whether computing a value of another kernel once more beats storing it there and loading it here.

        It does if one load suffices, of a value that is stored anyway (the derivative of an activation, say, from the
        activation's argument), or two of values that are stored already. Variables are not read again, so that their
        updates need not wait.
        """
        if self._is_stored(node):
            return False
        cost, length, leaves, seen, stack = 0, 0, set(), {node}, [node]
        while stack:
            at = stack.pop()
            if at is not node and (at in self.located or not self._may_repeat(at)):
                leaves.add(at)
                continue
            if not self._may_repeat(at):
                return False
            cost, length = cost + at.op.cost, length + 1
            fresh = [i for i in at.inputs if i not in seen and not self.free(i)]
            seen.update(fresh)
            stack.extend(fresh)
            if cost > MAX_REPEAT or length > MAX_REPEATED:
                return False
        # Leaves that are smaller than the value count for nothing: means of rows, the places of maxima.
        large = [n for n in leaves if n.aval.shape == node.aval.shape]
        if len(large) > 1:
            return len(large) == 2 and all(n in self.located for n in large)
        return all(n in self.located or self._wanted(n, node) for n in large)

    def _is_stored(self, node: Node) -> bool:
        """Whether something to come takes the value from memory in any case: a matrix product, say."""
        later = [u for u in self.users.get(node, ()) if self.number[u] > self.now]
        return any(u.op.kind in ("contract", "library") or u.op.kind == "view" and self._is_stored(u) for u in later)

    def _may_repeat(self, node: Node) -> bool:
        reads = [self.located[i].buffer.kind for i in node.inputs if i in self.located]
        return node.op.kind == "map" and (node in self.fused or node in self.floating) and "variable" not in reads

    def _wanted(self, leaf: Node, node: Node) -> bool:
        """Whether something later uses a value, or others that are computed from it as ``node`` is: then it is stored
        in any case, or in place of several."""
        seen, stack = {node}, [leaf]
        while stack and len(seen) < 4 * MAX_REPEATED:
            at = stack.pop()
            if at in seen or at in self.located:
                continue
            seen.add(at)
            later = [u for u in self.users.get(at, ()) if self.number[u] > self.now]
            if later:
                return True
            stack.extend(u for u in self.users.get(at, ()) if self._may_repeat(u))
        return False

    def _free_value(self, group: Group, node: Node, axes: Axes) -> int:
        dtype = node.aval.dtype
        node = self.spread.get(node, node)
        if node.op.name == "constant":
            value = (
                node.attrs["value"].reshape(()).item()
                if dtype.name != "bfloat16"
                else float(node.attrs["value"].reshape(()))
            )
            return group.add(Const(Exact(value), dtype))
        if node.op.name == "size_of":
            return group.add(SizeValue(node.attrs["size"], dtype))
        return group.add(Compute(node.op, (), tuple(node.attrs.items()), dtype, axes))

    def _load(self, group: Group, source: Located, axes: Axes, node: Node) -> int:
        access = walk_of(source, axes, len(group.kernel.shape))
        if group.number not in self.read_at[source.buffer]:
            self.read_at[source.buffer].add(group.number)
            self.readers[source.buffer].append(group)
        return group.add(Load(access, node.aval.dtype))

    # -- copies ------------------------------------------------------------------------------------------------------
    def _copy_source(self, node: Node) -> Located | None:
        return None if self.free(node) else self.materialize(node)

    def _fill(self, node: Node, output: Buffer, value: Any) -> None:
        group = Group(len(self.kernels), LoopKernel(node.aval.shape, nodes=[node]))
        number = group.add(Const(Exact(value), node.aval.dtype))
        self._close(group, number, Located(output, View.contiguous(node.aval.shape)))

    def _copy(self, node: Node, source: Located | None, output: Buffer, target: Located | None = None) -> Located:
        """A kernel that copies a value; gives where the copy lies."""
        shape = node.aval.shape
        target = target or Located(output, View.contiguous(shape))
        group = Group(len(self.kernels), LoopKernel(shape, nodes=[node], why="copies elements to other places"))
        axes = identity(len(shape))
        number = self._free_value(group, node, axes) if source is None else self._load(group, source, axes, node)
        self._close(group, number, target)
        return target

    def _close(self, group: Group, value: int, target: Located) -> None:
        """Append a finished kernel that stores one value."""
        access = walk_of(target, identity(len(group.kernel.shape)), len(group.kernel.shape))
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
            self._settled(node)
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

    def _settled(self, node: Node) -> None:
        """Give a floating value a kernel: one that reads some of the same, or a new one."""
        del self.floating[node]
        self._join(self._open_group(node, None, sharing=True) or self._new_group(node.aval.shape), node)

    def _store(self, fused: Fused, output: Buffer, view: View) -> None:
        kernel = fused.group.kernel
        access = walk_of(Located(output, view), fused.axes, len(kernel.shape))
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
        if found is not None and found.buffer.kind == "temp" and found.view == View.contiguous(shape):
            same = found.buffer.shape == shape
            if same or (product(found.buffer.shape) == product(shape) and not self._host_reads(found.buffer)):
                found.buffer.kind, found.buffer.shape = "output", shape
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

    def _host_reads(self, buffer: Buffer) -> bool:
        return any(isinstance(k, HostStep) and buffer in k.inputs for k in self.kernels)

    def updates(self) -> list[tuple[Any, Buffer]]:
        """Bring the new values of variables into the variables' own buffers.

        Straight from the kernel that computes it, where nobody reads the old value in a later kernel or at another
        place; else through a copy at the end, which takes a detour where two variables exchange values.
        """
        pairs = [(node, self.variable(variable)) for variable, node in self.graph.updates]
        for node, _ in pairs:
            if node in self.floating:
                self._settled(node)
        last_check = last_that_may_fail(self.kernels)
        read_last = {self.located[n].buffer for n, _ in pairs if n in self.located and n not in self.fused}
        copies: list[tuple[Node, Buffer]] = []
        for node, own in pairs:
            fused = self.fused.get(node)
            # A check that comes later may still fail the run, which then changes no variable.
            safe = fused is not None and fused.group.number > last_check
            if fused is not None and safe and own not in read_last and self._in_place(own, fused):
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
        if group.contract is not None and own in (access.buffer for access in group.contract.operands):
            return False
        target = walk_of(Located(own, View.contiguous(own.shape)), fused.axes, len(group.kernel.shape))
        mine = [v for v in group.kernel.body if isinstance(v, (Load, Indirect)) and v.access.buffer is own]
        by_row = all(target.strides[a] == 0 for a in group.kernel.reduced)  # loaded and stored once, outside the loops
        once = max(group.levels) == 0 or (by_row and bool(group.kernel.reduced))
        return once and all(isinstance(v, Load) and v.access == target for v in mine)


def tiny_first(nodes: Sequence[Node]) -> list[Node]:
    """Program order, but coordinates and values of a few elements that depend on variables and constants come first.

    An optimizer's bias corrections, say: computed early, they do not keep the updates that use them out of the kernels
    that produce the gradients.
    """
    early: set[Node] = set()
    for node in nodes:
        small = node.op.kind in ("map", "view") and (is_tiny(node) or _is_iota(node))
        if node.op.kind == "source" or (small and all(i in early for i in node.inputs)):
            early.add(node)
    return [n for n in nodes if n in early] + [n for n in nodes if n not in early]


def is_tiny(node: Node) -> bool:
    size = product(node.aval.shape)
    return not isinstance(size, Dim) and size <= TINY


def _is_iota(node: Node) -> bool:
    """Whether it is an iota or a view of one, which is a kernel of its own."""
    while node.op.kind == "view":
        node = node.inputs[0]
    return node.op.name == "iota"
