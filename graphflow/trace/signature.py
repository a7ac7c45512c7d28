"""Signatures of calls: what of the arguments a trace depends on, and how two calls differ.

Tensors and arrays count by dtype and shape; everything else is static: numbers, strings, None and dtypes by value,
other objects (modules, Variables, functions) by identity.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from graphflow.core import config, dispatch
from graphflow.core.dims import Dim, Shape, shape_str
from graphflow.core.dtypes import DType, as_dtype
from graphflow.core.tree import Tree
from graphflow.tensor import Tensor

READY = 0x101  # NumPy's flag bits C_CONTIGUOUS | ALIGNED: what programs take
_BY_VALUE = {bool, int, float, complex, str, bytes, type(None), type, DType, range, np.dtype}


class ArrayKey(NamedTuple):
    """What counts of a tensor or array."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    requires_grad: bool = False
    has_grad: bool = False


class Identity:
    """An object that counts as itself."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value  # kept alive, so that no other object gets its id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identity) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)

    def __repr__(self) -> str:
        return f"a certain {type(self.value).__name__}"


def is_array(leaf: Any) -> bool:
    """Whether an argument becomes a symbolic tensor."""
    return (type(leaf) is Tensor and leaf._node is None) or isinstance(leaf, (np.ndarray, np.generic))


def array_of(leaf: Any) -> Any:
    """Its array."""
    return leaf._data if type(leaf) is Tensor else np.asarray(leaf)


def ready(array: Any) -> Any:
    """The array in a form that programs take: C-contiguous and aligned."""
    return array if array.flags.num & READY == READY else np.require(array, requirements=("C", "A"))


def leaf_key(leaf: Any) -> Any:
    """What counts of one argument: an ArrayKey, or a hashable stand-in for a static value."""
    if is_array(leaf):
        array = array_of(leaf)
        as_dtype(array.dtype)  # refuses what no tensor can hold
        if type(leaf) is Tensor and leaf.requires_grad:
            return ArrayKey(array.dtype, array.shape, True, leaf._tape is None and leaf.grad is not None)
        return ArrayKey(array.dtype, array.shape)
    kind = type(leaf)
    if kind is float:
        return (kind, leaf.hex())  # tells -0.0 from 0.0, and NaN equals itself
    if kind in _BY_VALUE:
        return (kind, leaf)  # with the type: 1, 1.0 and True are equal but not the same
    if kind is slice:
        return (kind, leaf_key(leaf.start), leaf_key(leaf.stop), leaf_key(leaf.step))
    return Identity(leaf)


def environment() -> tuple[Any, ...]:
    """The settings of this thread that a trace depends on."""
    return (dispatch.state.grad_enabled, config.current.key)


class Signature:
    """One call's arguments, by what counts of them."""

    def __init__(self, leaves: Sequence[Any], tree: Tree) -> None:
        self.environment = environment()
        self.tree = tree
        self.leaves = tuple(map(leaf_key, leaves))
        self.key = (self.environment, tree, self.leaves)

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shapes of the tensors and arrays."""
        return [k.shape for k in self.leaves if type(k) is ArrayKey]

    @property
    def family(self) -> Any:
        """The same without the sizes."""
        loose = tuple(k._replace(shape=len(k.shape)) if type(k) is ArrayKey else k for k in self.leaves)  # type: ignore
        return (self.environment, self.tree, loose)

    def describe(self, names: Sequence[str], shapes: Sequence[Shape]) -> str:
        """For reports: ``x: float32(x.0, 64), training: True``."""
        sizes = iter(shapes)
        return ", ".join(
            f"{name}: {k.dtype.name}{shape_str(next(sizes))}" if type(k) is ArrayKey else f"{name}: {show(k)}"
            for name, k in zip(names, self.leaves)
        )


def show(key: Any) -> str:
    """A static value, for messages."""
    if not isinstance(key, tuple):
        return repr(key)
    return repr(float.fromhex(key[1])) if key[0] is float else repr(key[1])


def symbolic_shapes(shapes: Sequence[tuple[int, ...]], names: Sequence[str], axes: Sequence[int]) -> list[Shape]:
    """The shapes with a ``Dim`` for each size on one of ``axes``; equal sizes share one, named after the first.

    >>> from graphflow.trace.signature import symbolic_shapes
    >>> symbolic_shapes([(32, 784), (32,), (5,)], ["x", "y", "z"], (0,))
    [(x.0, 784), (x.0,), (z.0,)]
    """
    dims: dict[int, Dim] = {}
    return [
        tuple(dims.setdefault(s, Dim(f"{name}.{axis}")) if axis in axes else s for axis, s in enumerate(shape))
        for shape, name in zip(shapes, names)
    ]


def differences(new: Signature, old: Signature, names: Sequence[str], old_shapes: Sequence[Shape]) -> list[str]:
    """In what a call differs from the one that an earlier trace was made for."""
    found = []
    if new.environment[0] != old.environment[0]:
        found.append(f"gradients are switched {'on' if new.environment[0] else 'off'}")
    if new.environment[1] != old.environment[1]:
        found.append("gf.config changed")
    if new.tree != old.tree:
        return [*found, "the arguments nest differently"]
    shapes = iter(old_shapes)
    for name, a, b in zip(names, new.leaves, old.leaves):
        if type(a) is not ArrayKey or type(b) is not ArrayKey:
            shape = next(shapes) if type(b) is ArrayKey else None
            if a != b:
                was = f"{b.dtype.name}{shape_str(shape)}" if shape is not None else show(b)  # type: ignore[union-attr]
                found.append(f"{name} is {'an array' if type(a) is ArrayKey else show(a)} instead of {was}")
            continue
        shape = next(shapes)
        if a.dtype != b.dtype:
            found.append(f"{name} is {a.dtype.name} instead of {b.dtype.name}")
        if len(a.shape) != len(shape) or any(not isinstance(s, Dim) and s != t for s, t in zip(shape, a.shape)):
            found.append(f"{name} has shape {shape_str(a.shape)} instead of {shape_str(shape)}")
        if a.requires_grad != b.requires_grad:
            found.append(f"{name} {'requires' if a.requires_grad else 'does not require'} a gradient")
        if a.has_grad != b.has_grad:
            found.append(f"{name} has {'a' if a.has_grad else 'no'} gradient from before")
    return found
