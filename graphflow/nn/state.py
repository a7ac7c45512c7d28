"""State that is saved: buffers, and putting saved values back into Variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from graphflow.core import dispatch
from graphflow.core.errors import StateError
from graphflow.tensor import Operators, Tensor, as_tensor
from graphflow.variable import Variable


class LoadResult(NamedTuple):
    """What ``load_state_dict(strict=False)`` could not match."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Buffer(Variable):
    """A Variable that a Module lists among its buffers; ``persistent=False`` keeps it out of ``state_dict``."""

    def __init__(self, data: Any, *, persistent: bool = True) -> None:
        super().__init__(data, trainable=False)
        self.persistent = persistent


def from_outside(value: Any) -> Tensor:
    """A tensor of GraphFlow's for one that may be NumPy's or PyTorch's."""
    return as_tensor(value if isinstance(value, Operators) else np.asarray(value))


def load_into(
    owner: str, variables: Mapping[str, Variable], saved: Mapping[str, Any], strict: bool, own_dtypes: bool = False
) -> LoadResult:
    """Assign saved values to variables by name, all or (if one does not fit) none. See ``Module.load_state_dict``.

    With ``own_dtypes`` the variables get the dtypes of the values.
    """
    missing = [path for path in variables if path not in saved]
    unexpected = [path for path in saved if path not in variables]
    problems = [f"missing: {path}" for path in missing] + [f"unexpected: {path}" for path in unexpected]
    problems = problems if strict else []
    values: list[tuple[Variable, Any]] = []
    with dispatch.init_scope(), dispatch.no_grad():
        for path, variable in variables.items():
            if path not in saved:
                continue
            value = from_outside(saved[path])
            if value.shape != variable.shape:
                problems.append(f"shape: {path} is {variable.shape} here, {value.shape} in the state_dict")
            values.append((variable, value))
        if problems:
            listed = "\n  ".join(problems)
            raise StateError(f"the state_dict does not fit {owner}:\n  {listed}")
        for variable, value in values:
            if own_dtypes and variable.dtype is not value.dtype:
                variable.convert(value.dtype)
            variable.assign(value.astype(variable.dtype))
    return LoadResult(missing, unexpected)
