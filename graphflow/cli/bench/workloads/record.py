"""What a workload is: one record, with a builder for each framework that runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Step = Callable[[], Any]
"""Does one step and gives its result: a number or an array of the framework."""

Compile = Callable[..., Any]
"""The framework's compiler (gf.compile, torch.compile, jax.jit, tf.function), or `eagerly` for none."""

Build = Callable[[Any, Compile], Step]
"""``build(data, compile)``: the step on that data, in one framework. Imports the framework inside."""


@dataclass(frozen=True)
class Workload:
    """One thing to measure, written for several frameworks.

    ``data()`` gives inputs and initial weights as NumPy arrays: all frameworks start from the same numbers, so the
    results of their first steps can be compared. A step does ``flops`` multiplications and additions in its matrix
    products, or, where memory is the limit, moves ``bytes``. ``goals`` are ratios to stay under: ``static`` of the
    compiled step to the best peer, ``eager`` of the eager one to PyTorch's.
    """

    name: str
    work: str
    data: Callable[[], Any]
    build: Mapping[str, Build]
    flops: int = 0
    bytes: int = 0
    goals: Mapping[str, float] = field(default_factory=dict)


def eagerly(function: Callable[..., Any]) -> Callable[..., Any]:
    """The compiler of those who do not compile."""
    return function
