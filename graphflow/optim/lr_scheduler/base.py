"""The base of the schedules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.core import dispatch
from graphflow.core.errors import TraceError, at_line, user_origin
from graphflow.optim.optimizer import Optimizer


class LRScheduler:
    """Base of the schedules: a subclass gives the learning rates of epoch ``self.last_epoch`` in ``get_lr``.

    Schedules multiply what they find, so several may work on one optimizer. ``last_epoch=-1`` starts at the beginning.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"a schedule needs an Optimizer, got {type(optimizer).__name__}")
        self.optimizer = optimizer
        self.last_epoch = last_epoch
        for group in optimizer.param_groups:
            if last_epoch == -1:
                group["initial_lr"] = group.get("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError("to resume a schedule, load the optimizer's state first: a group has no 'initial_lr'")
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self._last_lr: list[float] = [group["lr"] for group in optimizer.param_groups]
        self.step()

    def get_lr(self) -> list[float]:
        """The learning rate of each group at ``self.last_epoch``."""
        raise TypeError(f"{type(self).__name__} does not define get_lr()")

    def get_last_lr(self) -> list[float]:
        """The learning rates that the last ``step`` set."""
        return self._last_lr

    def step(self, epoch: int | None = None) -> None:
        """Go on to the next epoch, or to a given one. Raises TraceError in a compiled function."""
        if hasattr(dispatch.state.recorder, "guard"):
            raise TraceError(
                at_line(
                    "a schedule's step() in a compiled function would run only once, at tracing; call it after the "
                    "compiled function returned",
                    user_origin(),
                )
            )
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        self._set(self.get_lr() if epoch is None else self._lr_at_jump())

    def _lr_at_jump(self) -> list[float]:
        return self.get_lr()

    def _set(self, lrs: Sequence[float]) -> None:
        for group, lr in zip(self.optimizer.param_groups, lrs):
            group["lr"] = lr
        self._last_lr = list(lrs)

    @property
    def _now(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def _times(self, factor: float) -> list[float]:
        return [lr * factor for lr in self._now]

    def state_dict(self) -> dict[str, Any]:
        """The schedule's own numbers (not the optimizer's, not functions)."""
        return {
            name: value
            for name, value in self.__dict__.items()
            if name != "optimizer" and isinstance(value, (int, float, str, list, tuple, dict, type(None)))
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over ``state_dict()``."""
        self.__dict__.update(state_dict)
