"""Random programs: how they are built, and what is known of their values without running them.

A program is drawn as a list of *genes*, each a handful of numbers; a step reads from its numbers which operands, axes
and sizes it takes. It is decided once, on symbolic tensors, which steps fit and what they take: then the same calls are
replayed in every mode and for every size.

Modes may differ in the last digits of a sum or a sine, and a comparison, a sort or a jump would make that a difference
of everything that follows. So a value is either *exact* (multiples of a power of two, few enough bits that all modes
compute the same number) and may meet any op, or *rough* and meets smooth ops only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, log2, prod
from typing import Any, NamedTuple

import numpy as np

import graphflow as gf
from graphflow.core.dims import Dim, evaluate
from graphflow.core.errors import GraphFlowError

Gene = Sequence[int]
BITS = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}
EPSILON = {"float16": 1e-3, "bfloat16": 8e-3, "float32": 1.2e-7, "float64": 2.2e-16}
N, M = Dim("n"), Dim("m")


class Scale(NamedTuple):
    """How large a program's values are."""

    axes: list[Any]  # the sizes that operands' axes have
    runs: list[tuple[int, int]]  # the numbers for N and M, run after run
    unknown: int  # what a symbolic size counts as in bounds: no run has a larger one
    most: int  # elements of a value; larger ones are not made


SMALL = Scale([N, 3, 4, 1, 5, 2, M, 17, 8, 0], [(2, 3), (0, 2), (1, 1), (37, 5), (3, 0)], 64, 1 << 14)
LARGE = Scale([N, 64, 3, 1, 130, 5000, M, 17, 9], [(700, 3), (1, 66), (65, 1), (3000, 40)], 1 << 12, 1 << 19)


class Skip(Exception):
    """The step does not fit what is there."""


class Facts(NamedTuple):
    """What is known of numbers: |x| <= 2**high; exact ones are multiples of 2**-low; ``error`` of rough ones."""

    high: int = 1
    low: int = 2
    error: float = 0.0

    @property
    def exact(self) -> bool:
        return self.error == 0.0


@dataclass
class Value:
    """A value of the program: its symbolic tensor while the program is built, and its place among all values."""

    number: int
    tensor: Any
    facts: Facts

    @property
    def shape(self) -> tuple[Any, ...]:
        return self.tensor.shape

    @property
    def is_float(self) -> bool:
        return self.tensor.dtype.is_float


class Call(NamedTuple):
    function: Callable[..., Any]
    operands: tuple[int, ...]


class Builder:
    """Builds one program."""

    def __init__(
        self, scale: Scale, inputs: Sequence[tuple[Any, Facts]], variables: Sequence[tuple[Any, Facts]] = ()
    ) -> None:
        self.scale = scale
        self.values = [Value(i, t, f) for i, (t, f) in enumerate(inputs)]
        self.inputs = len(self.values)
        self.calls: list[Call] = []
        self.variables = list(variables)
        self.not_empty = False  # whether the program has no meaning where a symbolic size is 0
        self._gene: list[int] = []

    # -- choices ----------------------------------------------------------------------------------------------------
    def choose(self, count: int) -> int:
        """A number below ``count``, the next that the gene tells."""
        if count <= 0:
            raise Skip
        number = self._gene.pop(0) if self._gene else 0
        return number % count

    def one_of(self, options: Sequence[Any]) -> Any:
        return options[self.choose(len(options))]

    def value(self, fits: Callable[[Value], Any] = lambda v: True) -> Value:
        """One of the values that fit, the newest first."""
        return self.one_of([v for v in reversed(self.values) if fits(v)])

    def smooth(self) -> Value:
        """A float value of any kind."""
        return self.value(lambda v: v.is_float)

    def exact(self) -> Value:
        """A float value of which all bits are known to be the same in all modes."""
        return self.value(lambda v: v.is_float and v.facts.exact)

    def integer(self) -> Value:
        return self.value(lambda v: v.tensor.dtype.is_int)

    def truth(self) -> Value:
        return self.value(lambda v: v.tensor.dtype.kind == "bool")

    def axis(self, v: Value, fits: Callable[[Any], Any] = lambda size: True) -> int:
        return self.one_of([a for a, s in enumerate(v.shape) if fits(s)])

    def axes(self, v: Value) -> tuple[int, ...]:
        """Some of the axes, at least one."""
        bits = self.choose(1 << len(v.shape))
        return tuple(a for a in range(len(v.shape)) if bits >> a & 1) or (self.axis(v),)

    def partner(self, v: Value, fits: Callable[[Value], Any]) -> Value:
        """A value of the same dtype that broadcasts with v."""
        return self.value(
            lambda w: w.tensor.dtype is v.tensor.dtype and fits(w) and fits_together(v.shape, w.shape) is not None
        )

    def count(self, shape: Sequence[Any]) -> int:
        """The most elements that a shape has in any run."""
        return most_elements(shape, self.scale)

    # -- making values ------------------------------------------------------------------------------------------------
    def call(self, function: Callable[..., Any], *operands: Value, facts: Facts, assumes: bool = False) -> Value:
        """The value of a function of values; one that gets too large for exactness is cut to few bits again.

        ``assumes``: the function may take something for granted of symbolic sizes.
        """
        made = self._call(function, operands, facts, assumes)
        dtype = made.tensor.dtype
        if dtype.is_float and made.facts.exact and made.facts.high + made.facts.low > BITS[dtype.name] - 2:
            made = self.cut(made)
        elif dtype.is_float and not made.facts.exact and made.facts.high > 4:
            made = self._call(lambda x: gf.tanh(x * 0.25) * 4.0, (made,), made.facts._replace(high=2))
        return made

    def cut(self, v: Value) -> Value:
        """An exact value with few bits, made from an exact value."""
        return self._call(lambda x: gf.remainder(gf.floor(x * 4.0), 16.0) * 0.25 - 2.0, (v,), Facts(2, 2))

    def _call(
        self, function: Callable[..., Any], operands: Sequence[Value], facts: Facts, assumes: bool = False
    ) -> Value:
        graph = self.values[0].tensor.graph
        assumed = list(graph.assumptions)
        try:
            tensor = function(*(v.tensor for v in operands))
        except GraphFlowError:
            graph.assumptions[:] = assumed
            raise Skip from None
        if (graph.assumptions != assumed and not assumes) or self.count(tensor.shape) > self.scale.most:
            graph.assumptions[:] = assumed  # sizes that no run is sure to have
            raise Skip
        if tensor.dtype.is_float and facts.exact and facts.high + facts.low > BITS[tensor.dtype.name]:
            raise Skip  # it needs more bits than there are
        value = Value(len(self.values), tensor, facts)
        self.values.append(value)
        self.calls.append(Call(function, tuple(v.number for v in operands)))
        return value

    def run_gene(self, step: Callable[[Builder], Any], gene: Gene) -> bool:
        """Add a step to the program; gives whether it fitted."""
        self._gene = list(gene)
        count = len(self.values)
        try:
            step(self)
        except Skip:
            del self.values[count:]
            del self.calls[count - self.inputs :]
            return False
        return True


def replay(calls: Sequence[Call], inputs: Sequence[Any]) -> list[Any]:
    """All values of the program for other inputs, in whatever mode is on."""
    values = list(inputs)
    for function, operands in calls:
        values.append(function(*(values[i] for i in operands)))
    return values


# -- sizes -----------------------------------------------------------------------------------------------------------
def most_elements(shape: Sequence[Any], scale: Scale) -> int:
    """The most elements that a shape has in any run."""
    return prod(evaluate(s, {"n": scale.unknown, "m": scale.unknown}) for s in shape)


def bits_of(count: int) -> int:
    """log2, rounded up, of how much larger a sum of so many terms is."""
    return ceil(log2(max(count, 1)))


def fits_together(a: Sequence[Any], b: Sequence[Any]) -> tuple[Any, ...] | None:
    """The shape that two shapes broadcast to for sure, whatever the symbolic sizes; None if there is none."""
    out: list[Any] = []
    for i in range(max(len(a), len(b))):
        x = a[len(a) - 1 - i] if i < len(a) else 1
        y = b[len(b) - 1 - i] if i < len(b) else 1
        if x != y and not is_one(x) and not is_one(y):
            return None
        out.append(y if is_one(x) else x)
    return tuple(reversed(out))


def is_one(size: Any) -> bool:
    return not isinstance(size, Dim) and size == 1


def is_static(size: Any) -> bool:
    return not isinstance(size, Dim)


def sample(rng: np.random.Generator, shape: Sequence[int], dtype: Any, facts: Facts) -> np.ndarray[Any, Any]:
    """Numbers that fit the facts."""
    if dtype.kind == "bool":
        return np.asarray(rng.random(shape) < 0.5)
    if dtype.is_int:
        return rng.integers(0, 7, shape).astype(dtype.np)
    if facts.exact:
        top = 1 << facts.high + facts.low
        return np.asarray(rng.integers(-top, top + 1, shape) * 2.0**-facts.low).astype(dtype.np)
    return np.asarray(rng.normal(size=shape).clip(-3, 3)).astype(dtype.np)
