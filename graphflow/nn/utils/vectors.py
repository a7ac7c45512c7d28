"""All parameters as one vector, and back."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from graphflow.ops.movement import concat, reshape
from graphflow.tensor import Tensor, as_tensor
from graphflow.variable import Variable


def parameters_to_vector(parameters: Iterable[Variable]) -> Tensor:
    """All parameters, one after the other, as one axis."""
    return concat([reshape(p.read(), -1) for p in parameters], 0)


def vector_to_parameters(vector: Any, parameters: Iterable[Variable]) -> None:
    """Assign the pieces of a vector to the parameters. Raises ValueError if its size is not theirs together."""
    vector, parameters = as_tensor(vector), list(parameters)
    sizes = [math.prod(p.shape) for p in parameters]
    if vector.shape != (sum(sizes),):
        raise ValueError(f"the parameters have {sum(sizes)} elements, the vector shape {vector.shape}")
    start = 0
    for p, size in zip(parameters, sizes):
        p.assign(reshape(vector[start : start + size], p.shape))  # type: ignore[index]
        start += size
