"""What the scheduler works with: where values are, loop kernels that still grow, and how axes line up."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from graphflow.core.dims import Dim, Shape, Size
from graphflow.core.view import View
from graphflow.ir.graph import Node
from graphflow.schedule.kernels import (
    Access,
    AttentionKernel,
    BodyValue,
    Buffer,
    ContractKernel,
    ConvKernel,
    LoopKernel,
    operands,
    renumbered,
    value_level,
)

Axes = tuple["int | None", ...]  # for each axis of a value: the domain axis it runs along, None for size 1

CHEAP = 8  # cost, in additions, of storing a value and loading it again


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


@dataclass(frozen=True)
class Chain:
    """The ops that a floating value takes: their cost, how many follow one another, and the values as large as its own
    that they read."""

    cost: int
    length: int
    reads: frozenset[Node]

    @property
    def cheap(self) -> bool:
        """Whether computing it again costs less than storing and loading it."""
        return self.cost <= CHEAP and len(self.reads) <= 1


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
    contract: ContractKernel | ConvKernel | AttentionKernel | None = None  # whose epilogue the loop is

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
            with suppress(TypeError):
                self.numbers[value] = known
        return known

    def prune(self) -> None:
        """Drop the values that no store needs: other kernels compute them again."""
        body, kept = self.kernel.body, {0} if self.contract is not None else set()
        stack = [s.value for s in self.kernel.stores]
        while stack:
            i = stack.pop()
            if i not in kept:
                kept.add(i)
                stack.extend(operands(body[i]))
        if len(kept) == len(body):
            return
        moved = {old: new for new, old in enumerate(sorted(kept))}
        self.kernel.body = [renumbered(body[i], moved) for i in sorted(kept)]
        self.kernel.stores = [replace(s, value=moved[s.value]) for s in self.kernel.stores]
        gone = {n for n, fused in self.members.items() if fused.value not in kept}
        self.kernel.nodes = [n for n in self.kernel.nodes if n not in gone]

    def own_axes(self, shape: Shape) -> Axes | None:
        """How a result of this shape lies in the domain: all of it, or the part that is not reduced."""
        kernel = self.kernel
        if shape == kernel.shape:
            return identity(len(shape))
        if not self.fixed_axes:
            return None
        kept = tuple(i for i in range(len(kernel.shape)) if i not in kernel.reduced)
        if shape == tuple(kernel.shape[i] for i in kept):
            return kept
        keepdims = tuple(1 if i in kernel.reduced else s for i, s in enumerate(kernel.shape))
        if shape == keepdims:
            return tuple(None if i in kernel.reduced else i for i in range(len(shape)))
        return None


class Exact:
    """A constant's number, compared by its bits: 0.0 and -0.0 differ, NaN equals itself, 1 and 1.0 and True differ."""

    __slots__ = ("key", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        self.key = (type(value).__name__, repr(value))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Exact) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return repr(self.value)


def identity(rank: int) -> Axes:
    return tuple(range(rank))


def align(shape: Shape, where: Axes) -> Axes:
    """The domain axes of an operand that broadcasts (from the right) against a result lying along ``where``."""
    tail = where[len(where) - len(shape) :]
    return tuple(None if not isinstance(s, Dim) and s == 1 else a for s, a in zip(shape, tail, strict=True))


def aligned(axes: Axes, shape: Shape, where: Axes) -> bool:
    if len(shape) > len(where):
        return False
    want = align(shape, where)
    return all(
        (not isinstance(s, Dim) and s == 1) or have == need for s, have, need in zip(shape, axes, want, strict=True)
    )


def walk_of(source: Located, axes: Axes, rank: int) -> Access:
    """How the domain walks a located value whose axes lie along the domain as ``axes`` says."""
    strides: list[Size] = [0] * rank
    for size, stride, axis in zip(source.view.shape, source.view.strides, axes, strict=True):
        if axis is not None and (isinstance(size, Dim) or size != 1):
            strides[axis] = strides[axis] + stride
    return Access(source.buffer, tuple(strides), source.view.offset)


def reshaped_axes(source: Shape, axes: Axes, target: Shape) -> Axes | None:
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
