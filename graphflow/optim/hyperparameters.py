"""The settings of a parameter group as update rules see them, in every mode."""

from __future__ import annotations

from typing import Any

from graphflow.core import dispatch
from graphflow.core.dtypes import float64
from graphflow.tensor import Operators, as_tensor


class Hyperparameter:
    """One number of a parameter group, looked up anew each time: what recorded graphs hold in place of the number."""

    __slots__ = ("group", "index", "name")

    def __init__(self, group: dict[str, Any], name: str, index: int | None = None) -> None:
        self.group = group
        self.name = name
        self.index = index

    def __call__(self) -> float:
        value = self.group[self.name]
        return float(value if self.index is None else value[self.index])

    @property
    def used(self) -> bool:
        """Whether it is switched on (not 0, False or None): rules leave out what is not."""
        return is_used(self.group.get(self.name))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hyperparameter) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> tuple[int, str, int | None]:
        return id(self.group), self.name, self.index

    def __repr__(self) -> str:
        index = "" if self.index is None else f"[{self.index}]"
        return f"{self.name}{index}={self():g}"


class Hyperparameters:
    """A parameter group's settings as attributes: Python numbers, or tensors that each run of the graph reads anew.

    So a scheduler may change them between runs of a compiled step. Which of them are in use at all is part of the
    program: ``on`` notes it as a guard, and a compiled step is traced anew when that changes. (A Session's graph keeps
    what was in use when it was built.)
    """

    def __init__(self, group: dict[str, Any]) -> None:
        self._group = group
        self._recorder: Any = dispatch.state.recorder
        self._numbers: dict[tuple[str, int | None], Any] = {}

    def __getattr__(self, name: str) -> Any:
        if name not in self._group:
            raise AttributeError(f"the parameter group has no {name!r}; it has: {', '.join(self._group)}")
        value = self._group[name]
        if isinstance(value, (tuple, list)):
            return tuple(self._number(name, i, v) for i, v in enumerate(value))
        return self._number(name, None, value)

    def fixed(self, name: str) -> Any:
        """A setting that only matters when slots are made."""
        return self._group[name]

    def on(self, name: str) -> bool:
        """Whether a setting is in use: there, and not 0, False or None."""
        used = is_used(self._group.get(name))
        guard = getattr(self._recorder, "guard", None)
        if guard is not None:
            guard(Hyperparameter(self._group, name), "used", used)
        return used

    def optional(self, name: str) -> Any:
        """The number, or None if the setting is not in use."""
        return getattr(self, name) if self.on(name) else None

    def _number(self, name: str, index: int | None, value: Any) -> Any:
        if self._recorder is None:
            return float(value)
        key = (name, index)
        if key not in self._numbers:
            if isinstance(value, Operators):  # the user's own tensor, placeholder or Variable
                self._numbers[key] = as_tensor(value, float64)
            else:
                label = name if index is None else f"{name}{index + 1}"
                self._numbers[key] = self._recorder.host_scalar(
                    Hyperparameter(self._group, name, index), float64, label
                )
        return self._numbers[key]


def is_used(value: Any) -> bool:
    """Whether a setting is switched on; a tensor counts as on, whatever its value."""
    return isinstance(value, Operators) or bool(value)
