"""Schedules of schedules, and the one that watches a metric."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from graphflow.optim.lr_scheduler.base import LRScheduler
from graphflow.optim.optimizer import Optimizer


class SequentialLR(LRScheduler):
    """One schedule after another, changing over at the epochs ``milestones``."""

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int], last_epoch: int = -1
    ) -> None:
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"{len(schedulers)} schedules need {len(schedulers) - 1} milestones, got {len(milestones)}"
            )
        self.schedulers = tuple(schedulers)
        self.milestones = list(milestones)
        self.optimizer = optimizer
        self.last_epoch = last_epoch + 1
        for group in optimizer.param_groups:  # each schedule's construction has stepped: begin anew with the first
            group["lr"] = group["initial_lr"]
        for scheduler in self.schedulers:
            scheduler.last_epoch -= 1
        self.schedulers[0].step()
        self._last_lr = self.schedulers[0].get_last_lr()

    def step(self, epoch: int | None = None) -> None:
        """Go on to the next epoch of the schedule whose turn it is."""
        self.last_epoch += 1
        number = bisect_right(self.milestones, self.last_epoch)
        scheduler = self.schedulers[number]
        if number > 0 and self.milestones[number - 1] == self.last_epoch:
            scheduler.step(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()

    def state_dict(self) -> dict[str, Any]:
        return _with_states(super().state_dict(), self.schedulers)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(_states_loaded(state_dict, self.schedulers))


class ChainedScheduler(LRScheduler):
    """Several schedules at once: each ``step()`` steps all of them, in their order."""

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        if not schedulers:
            raise ValueError("ChainedScheduler needs at least one schedule")
        self.schedulers = tuple(schedulers)
        self.optimizer = schedulers[0].optimizer if optimizer is None else optimizer
        for scheduler in self.schedulers:
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ValueError("ChainedScheduler does not take ReduceLROnPlateau: its step needs a metric")
            if scheduler.optimizer is not self.optimizer:
                raise ValueError(f"the {type(scheduler).__name__} is of another optimizer than the first schedule")
        self.last_epoch = 0
        self._last_lr = self._now

    def step(self, epoch: int | None = None) -> None:
        """Go on to the next epoch of every schedule."""
        self.last_epoch += 1
        for scheduler in self.schedulers:
            scheduler.step()
        self._last_lr = self._now

    def state_dict(self) -> dict[str, Any]:
        return _with_states(super().state_dict(), self.schedulers)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(_states_loaded(state_dict, self.schedulers))


def _with_states(own: dict[str, Any], schedulers: Sequence[LRScheduler]) -> dict[str, Any]:
    return {**own, "schedulers": [s.state_dict() for s in schedulers]}


def _states_loaded(saved: dict[str, Any], schedulers: Sequence[LRScheduler]) -> dict[str, Any]:
    """The state without that of the schedules, which they have got."""
    own = dict(saved)
    for scheduler, state in zip(schedulers, own.pop("schedulers"), strict=True):
        scheduler.load_state_dict(state)
    return own


class ReduceLROnPlateau(LRScheduler):
    """The rate times ``factor`` when a metric has not improved for more than ``patience`` epochs: ``step(metric)``."""

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        if factor >= 1.0:
            raise ValueError(f"factor must be below 1, got {factor}")
        if mode not in ("min", "max") or threshold_mode not in ("rel", "abs"):
            raise ValueError(f"mode is 'min' or 'max', threshold_mode 'rel' or 'abs'; got {mode!r}, {threshold_mode!r}")
        self.optimizer = optimizer
        self.mode, self.factor, self.patience = mode, factor, patience
        self.threshold, self.threshold_mode, self.cooldown, self.eps = threshold, threshold_mode, cooldown, eps
        count = len(optimizer.param_groups)
        self.min_lrs: list[Any] = list(min_lr) if isinstance(min_lr, (list, tuple)) else [min_lr] * count
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = self.last_epoch = 0
        self._last_lr = self._now

    def step(self, metrics: Any, epoch: int | None = None) -> None:  # type: ignore[override]
        """Tell the metric of an epoch: a number or a tensor of one element."""
        value = float(metrics)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self._is_better(value):
            self.best, self.num_bad_epochs = value, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            lowered = [max(lr * self.factor, least) for lr, least in zip(self._now, self.min_lrs)]
            self._set([new if old - new > self.eps else old for old, new in zip(self._now, lowered)])
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = self._now

    def _is_better(self, value: float) -> bool:
        sign = 1 if self.mode == "max" else -1
        if (
            self.threshold_mode == "rel"
        ):  # PyTorch's: best * (1 - threshold) for "min", best * (1 + threshold) for "max"
            return sign * value > sign * self.best * (1 + sign * self.threshold)
        return sign * value > sign * self.best + self.threshold
