"""Small questions that training asks: what is held out, how many steps, what do logs hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from graphflow.core.errors import at_line, user_origin
from graphflow.keras.models.batches import Arrays, Stream, batches, unpack
from graphflow.tensor import Operators


def outputs_log(made: Any) -> dict[str, Any]:
    return {"outputs": made}


def held_out(given: Any, batch_size: int | None, steps: int | None) -> Arrays | Stream:
    if isinstance(given, (list, tuple)) and len(given) in (2, 3):
        x, y, weight = unpack(given)
        return batches(x, y, weight, batch_size, False, steps)
    return batches(given, None, None, batch_size, False, steps)


def samples_per_step(data: Arrays | Stream) -> float | None:
    """How many samples a step has on average, where that is known."""
    if isinstance(data, Arrays):
        return min(data.samples, len(data) * data.batch_size) / len(data)
    return getattr(data.source, "batch_size", None)


def step_count(data: Arrays | Stream) -> int | None:
    try:
        return len(data)
    except TypeError:
        return None


def is_due(frequency: Any, epoch: int) -> bool:
    if isinstance(frequency, int):
        return (epoch + 1) % frequency == 0
    return epoch + 1 in frequency


def as_number(value: Any) -> Any:
    """A tensor as a number, or as a list of them."""
    if isinstance(value, Operators):
        array = np.asarray(value.numpy())
        return array.item() if array.ndim == 0 else array
    return value


def plain_logs(made: Any) -> dict[str, Any]:
    if not isinstance(made, Mapping):
        raise TypeError(
            at_line(f"train_step and test_step return a dict of logs, got a {type(made).__name__}", user_origin())
        )
    return {name: as_number(value) for name, value in made.items()}
