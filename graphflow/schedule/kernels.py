"""Kernel IR: what the scheduler hands to the code generator.

A Program is a list of kernels over numbered buffers. Most kernels are loops (``LoopKernel``): a domain of axes, some of
them reduced, and a straight-line body that is evaluated at every point. Elementwise chains, reductions and rows
(softmax, normalisation: several reductions over one row) are all of this one form. The others call a kernel written by
hand (``LibraryKernel``), multiply matrices (``ContractKernel``), convolve (``ConvKernel``), attend
(``AttentionKernel``) or leave native code for a moment (``HostStep``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from graphflow.core.dims import Dim, Shape, Size, shape_str
from graphflow.core.dtypes import DType
from graphflow.core.op import Op
from graphflow.ir.graph import Node

BufferKind = Literal["status", "input", "variable", "constant", "host", "size", "temp", "output", "slot"]


@dataclass(eq=False)
class Buffer:
    """Memory for one value. ``payload``: the Variable, the constant's array, the host scalar's source, or the size.

    A "slot" has no memory of its own: in a loop it lies in one place of the buffers ``payload`` after the other.
    """

    index: int
    shape: Shape
    dtype: DType
    kind: BufferKind
    payload: Any = None
    name: str = ""

    def __repr__(self) -> str:
        return f"{self.kind[0]}{self.index}:{self.dtype}{shape_str(self.shape)}"


@dataclass(frozen=True)
class Access:
    """How a buffer is walked over a kernel's domain: the element at point i is at offset + sum(i * strides)."""

    buffer: Buffer
    strides: tuple[Size, ...]
    offset: Size = 0


# -- the body of a loop: values, each defined after its operands -------------------------------------------------------
@dataclass(frozen=True)
class Load:
    access: Access
    dtype: DType


@dataclass(frozen=True)
class Product:
    """In the epilogue of a contraction: the finished element of the product (of its part number ``part``)."""

    dtype: DType
    part: int = 0


@dataclass(frozen=True)
class Const:
    value: Any  # a Python bool, int or float
    dtype: DType


@dataclass(frozen=True)
class SizeValue:
    """A symbolic size as a number of the given dtype."""

    size: Size
    dtype: DType


@dataclass(frozen=True)
class Compute:
    """A map op. ``axes`` gives the domain axis of each axis of the op's own result (None: size 1)."""

    op: Op
    args: tuple[int, ...]
    attrs: tuple[tuple[str, Any], ...]
    dtype: DType
    axes: tuple[int | None, ...] = ()


@dataclass(frozen=True)
class Indirect:
    """A gathered element: ``access`` at the point, plus ``index * stride``; the index must lie in 0..extent-1."""

    access: Access
    index: int
    stride: Size
    extent: Size
    dtype: DType
    node: int  # number of the graph node, for the status buffer


@dataclass(frozen=True)
class Reduce:
    """A value combined over all reduced axes of the kernel."""

    combine: str
    arg: int
    dtype: DType


BodyValue = Load | Product | Const | SizeValue | Compute | Indirect | Reduce


def value_level(value: BodyValue, levels: list[int]) -> int:
    """How many reductions over the row must be finished before a value is known, given the earlier values' levels."""
    if isinstance(value, Reduce):
        return levels[value.arg] + 1
    if isinstance(value, Compute):
        return max((levels[a] for a in value.args), default=0)
    return levels[value.index] if isinstance(value, Indirect) else 0


def operands(value: BodyValue) -> tuple[int, ...]:
    """The numbers of the values that a value is computed from."""
    if isinstance(value, Compute):
        return value.args
    return (value.index,) if isinstance(value, Indirect) else (value.arg,) if isinstance(value, Reduce) else ()


def renumbered(value: BodyValue, numbers: Mapping[int, int]) -> BodyValue:
    """The same value where its operands have other numbers."""
    if isinstance(value, Compute):
        return replace(value, args=tuple(numbers[a] for a in value.args))
    if isinstance(value, Indirect):
        return replace(value, index=numbers[value.index])
    return replace(value, arg=numbers[value.arg]) if isinstance(value, Reduce) else value


@dataclass(frozen=True)
class Store:
    value: int
    access: Access
    dtype: DType


@dataclass(eq=False)
class LoopKernel:
    """A loop nest over ``shape``; axes in ``reduced`` are combined away by the Reduce values."""

    shape: Shape
    reduced: tuple[int, ...] = ()
    body: list[BodyValue] = field(default_factory=list)
    stores: list[Store] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    why: str = ""  # why the fusion stopped here
    split: tuple[int, int] | None = None  # (reduced axis, rows): a unit reduces this many rows, see split.py

    @property
    def kind(self) -> str:
        passes = 1 + max((self.levels()), default=0)
        return "Map" if not self.reduced else "Reduce" if passes <= 2 and not self._rereads() else "Row"

    def levels(self) -> list[int]:
        """For each value of the body: how many reductions over the row must be finished before it is known."""
        out: list[int] = []
        for value in self.body:
            out.append(value_level(value, out))
        return out

    def row_values(self) -> list[bool]:
        """For each value: whether it is the same all along the reduced axes."""
        out: list[bool] = []
        for value in self.body:
            if isinstance(value, (Load, Indirect)):
                flat = all(value.access.strides[a] == 0 for a in self.reduced)
                out.append(flat and (not isinstance(value, Indirect) or out[value.index]))
            elif isinstance(value, Compute):
                # An op such as iota depends on where it is; its axes say on what.
                here = not value.op.indexed or not any(a in self.reduced for a in value.axes)
                out.append(here and all(out[a] for a in value.args))
            else:
                out.append(True)
        return out

    def _rereads(self) -> bool:
        levels, rows = self.levels(), self.row_values()
        return any(
            levels[s.value] > 0 and any(s.access.strides[a] != 0 for a in self.reduced) for s in self.stores
        ) or any(levels[i] > 0 and not rows[i] for i in range(len(self.body)))

    def reads(self) -> list[Buffer]:
        return [v.access.buffer for v in self.body if isinstance(v, (Load, Indirect))]

    def writes(self) -> list[Buffer]:
        return [s.access.buffer for s in self.stores]


def computed_from(kernel: LoopKernel, number: int) -> set[int]:
    """The values that are computed at the same point for this one, itself included."""
    found, stack = {number}, [number]
    while stack:
        value = kernel.body[stack.pop()]
        fresh = [] if isinstance(value, Reduce) else [i for i in operands(value) if i not in found]
        found.update(fresh)
        stack.extend(fresh)
    return found


@dataclass(eq=False)
class ContractKernel:
    """C[b.., m, n] = sum over k of A[b.., m, k] * B[b.., k, n], then a body per element (``epilogue``).

    ``a``, ``b`` walk the domain (batch.., m, n, k); the epilogue is a LoopKernel over (batch.., m, n) whose value 0 is
    the product. Where the n columns come in several ``parts`` of equal size, the epilogue walks the columns of one part
    and finds the elements of all parts side by side.
    """

    batch: Shape
    m: Size
    n: Size
    k: Size
    a: Access
    b: Access
    dtype: DType
    epilogue: LoopKernel
    nodes: list[Node] = field(default_factory=list)
    why: str = ""
    kind: str = "Contract"
    parts: int = 1

    @property
    def operands(self) -> list[Access]:
        return [self.a, self.b]

    def reads(self) -> list[Buffer]:
        return [self.a.buffer, self.b.buffer, *self.epilogue.reads()]

    def writes(self) -> list[Buffer]:
        return self.epilogue.writes()


@dataclass(eq=False)
class ConvKernel:
    """out[n, g*o, p] = sum over c, t of x[n, g, c, p * stride + t * dilation - low] * w[g, o, c, t], then a body.

    ``a`` walks x, ``b`` walks w, both along their own axes. The epilogue is a LoopKernel over the result's axes, whose
    value 0 is the sum; with several ``splits`` it has one more axis in front: each partial sum is over a part of c.
    """

    x: Shape
    w: Shape
    a: Access
    b: Access
    dtype: DType
    epilogue: LoopKernel
    splits: int
    strides: tuple[int, ...]
    low: Shape
    dilations: tuple[int, ...]
    sizes: Shape
    outputs_first: bool
    nodes: list[Node] = field(default_factory=list)
    why: str = ""
    kind: str = "Conv"

    @property
    def operands(self) -> list[Access]:
        return [self.a, self.b]

    def reads(self) -> list[Buffer]:
        return [self.a.buffer, self.b.buffer, *self.epilogue.reads()]

    def writes(self) -> list[Buffer]:
        return self.epilogue.writes()


@dataclass(eq=False)
class AttentionKernel:
    """softmax(q k^T * scale + mask) v, or the gradients of it in q, k and v, then a body per element.

    ``operands`` walk q, k, v, backward also the result's gradient, then perhaps the mask, along their own axes.
    The epilogue is a LoopKernel over the op's result, whose value 0 is that.
    """

    shapes: list[Shape]
    operands: list[Access]
    backward: bool
    dtype: DType
    epilogue: LoopKernel
    scale: float
    causal: bool
    nodes: list[Node] = field(default_factory=list)
    why: str = ""
    kind: str = "Attention"

    @property
    def own(self) -> int:
        """How many operands there are without a mask."""
        return 4 if self.backward else 3

    def reads(self) -> list[Buffer]:
        return [*(access.buffer for access in self.operands), *self.epilogue.reads()]

    def writes(self) -> list[Buffer]:
        return self.epilogue.writes()


@dataclass(eq=False)
class LibraryKernel:
    """A kernel written by hand, over whole contiguous buffers."""

    name: str
    params: Any
    inputs: list[Buffer]
    output: Buffer
    nodes: list[Node] = field(default_factory=list)
    why: str = "a library kernel"
    kind: str = "Library"

    def reads(self) -> list[Buffer]:
        return list(self.inputs)

    def writes(self) -> list[Buffer]:
        return [self.output]


@dataclass(eq=False)
class HostStep:
    """What Python does between two stretches of native code: prints, numeric checks, functions of the user's."""

    node: Node
    inputs: list[Buffer]
    output: Buffer | None = None
    nodes: list[Node] = field(default_factory=list)
    why: str = "runs in Python"
    kind: str = "Host"

    def reads(self) -> list[Buffer]:
        return list(self.inputs)

    def writes(self) -> list[Buffer]:
        return [] if self.output is None else [self.output]


Kernel = LoopKernel | ContractKernel | ConvKernel | AttentionKernel | LibraryKernel | HostStep


@dataclass(eq=False)
class Program:
    """Kernels in order, and the buffers they work on. ``results`` are the buffers of the graph's outputs."""

    kernels: list[Kernel]
    buffers: list[Buffer]
    inputs: list[Buffer]
    results: list[Buffer]
    updates: list[tuple[Any, Buffer]]
    nodes: list[Node]  # by number, for errors

    def dim_names(self) -> list[str]:
        names: set[str] = set()
        for buffer in self.buffers:
            for size in buffer.shape:
                if isinstance(size, Dim):
                    names |= size.names()
        return sorted(names)
