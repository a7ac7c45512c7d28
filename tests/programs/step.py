"""What a step of a random program is: it adds a value to a Builder, or raises Skip if nothing fits it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.programs.builder import (
    EPSILON,
    Builder,
    Facts,
    Value,
)

Step = Callable[[Builder], Any]
STEPS: dict[str, Step] = {}


def step(function: Step) -> Step:
    STEPS[function.__name__] = function
    return function


def rough(*values: Value, high: int = 1) -> Facts:
    """The facts of a rounded result."""
    error = max(max(v.facts.error, EPSILON.get(v.tensor.dtype.name, 0.0)) for v in values)
    return Facts(high, 0, error)


def like(*values: Value, high: int | None = None, low: int | None = None) -> Facts:
    """The facts of a result as good as its operands."""
    return Facts(
        max(v.facts.high for v in values) if high is None else high,
        max(v.facts.low for v in values) if low is None else low,
        max(v.facts.error for v in values),
    )
