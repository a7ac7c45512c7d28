"""Schedules of cosine shape, the one-cycle policy, and cycles of triangles."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any

from graphflow.optim.lr_scheduler.base import LRScheduler
from graphflow.optim.optimizer import Optimizer


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the initial rate down to ``eta_min`` in ``T_max`` epochs (Loshchilov and Hutter 2017)."""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0:
            return self._now
        if (self.last_epoch - 1 - self.T_max) % (2 * self.T_max) == 0:  # from the lowest point up again
            rise = (1 - math.cos(math.pi / self.T_max)) / 2
            return [lr + (base - self.eta_min) * rise for lr, base in zip(self._now, self.base_lrs)]
        ratio = self._height(self.last_epoch) / self._height(self.last_epoch - 1)
        return [ratio * (lr - self.eta_min) + self.eta_min for lr in self._now]

    def _height(self, epoch: int) -> float:
        return 1 + math.cos(math.pi * epoch / self.T_max)

    def _lr_at_jump(self) -> list[float]:
        height = self._height(self.last_epoch) / 2
        return [self.eta_min + (base - self.eta_min) * height for base in self.base_lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half a cosine down to ``eta_min`` in ``T_0`` epochs, then again in ``T_0 * T_mult``, and so on.

    ``step(epoch)`` takes fractions of epochs.
    """

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        if T_0 <= 0 or not isinstance(T_0, int):
            raise ValueError(f"T_0 must be a positive integer, got {T_0}")
        if T_mult < 1 or not isinstance(T_mult, int):
            raise ValueError(f"T_mult must be an integer of at least 1, got {T_mult}")
        self.T_0 = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        period, since = self.T_0, self.last_epoch
        while since >= period:
            since -= period
            period *= self.T_mult
        height = (1 + math.cos(math.pi * since / period)) / 2
        return [self.eta_min + (base - self.eta_min) * height for base in self.base_lrs]


class OneCycleLR(LRScheduler):
    """Up to ``max_lr`` and down to nearly nothing, momentum the other way (Smith and Topin 2018, arXiv:1708.07120).

    The number of steps is ``total_steps``, or ``epochs * steps_per_epoch``; ``step()`` after each batch.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError("give total_steps, or epochs and steps_per_epoch")
            total_steps = epochs * steps_per_epoch
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy is 'cos' or 'linear', got {anneal_strategy!r}")
        self.total_steps = total_steps
        self.anneal_strategy = anneal_strategy
        self.cycle_momentum = cycle_momentum
        rise = pct_start * total_steps - 1
        if three_phase:
            parts = [(rise, "initial", "max"), (2 * rise, "max", "initial"), (total_steps - 1, "initial", "min")]
        else:
            parts = [(rise, "initial", "max"), (total_steps - 1, "max", "min")]
        self.phases = [(float(end), start, to) for end, start, to in parts]
        groups = optimizer.param_groups
        highest: list[Any] = list(max_lr) if isinstance(max_lr, (list, tuple)) else [max_lr] * len(groups)
        for group, top in zip(groups, highest, strict=True):
            if last_epoch == -1:
                group["initial_lr"] = top / div_factor
                group["max_lr"] = top
                group["min_lr"] = group["initial_lr"] / final_div_factor
                group.update(initial_momentum=max_momentum, max_momentum=base_momentum, min_momentum=max_momentum)
        if cycle_momentum and not ("momentum" in groups[0] or "betas" in groups[0]):
            raise ValueError("the optimizer has no momentum to cycle: use cycle_momentum=False")
        super().__init__(optimizer, last_epoch)

    def _between(self, start: float, end: float, share: float) -> float:
        if self.anneal_strategy == "linear":
            return start + (end - start) * share
        return end + (start - end) / 2 * (1 + math.cos(math.pi * share))

    def get_lr(self) -> list[float]:
        at = self.last_epoch
        if at > self.total_steps:
            raise ValueError(f"step {at} of a cycle of {self.total_steps} steps")
        ends = [end for end, _, _ in self.phases]
        number = min(bisect_left(ends, at), len(ends) - 1)
        begin = ends[number - 1] if number else 0.0
        end, start, to = self.phases[number]
        share = (at - begin) / (end - begin)
        for group in self.optimizer.param_groups if self.cycle_momentum else ():
            set_momentum(group, self._between(group[f"{start}_momentum"], group[f"{to}_momentum"], share))
        groups = self.optimizer.param_groups
        return [self._between(group[f"{start}_lr"], group[f"{to}_lr"], share) for group in groups]


class CyclicLR(LRScheduler):
    """Up from ``base_lr`` to ``max_lr`` in ``step_size_up`` steps and down again, over and over (Smith 2017).

    ``mode`` "triangular" repeats, "triangular2" halves the height with each cycle, "exp_range" multiplies it by
    ``gamma`` with each step; or ``scale_fn`` gives the height, of the number of the cycle or (``scale_mode``
    "iterations") of the step. Momentum goes the other way. ``step()`` after each batch.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | Sequence[float],
        max_lr: float | Sequence[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float = 0.8,
        max_momentum: float = 0.9,
        last_epoch: int = -1,
    ) -> None:
        if mode not in _HEIGHTS and scale_fn is None:
            raise ValueError(f"mode is one of {', '.join(map(repr, _HEIGHTS))}, got {mode!r}; or give scale_fn")
        groups = optimizer.param_groups
        if cycle_momentum and not ("momentum" in groups[0] or "betas" in groups[0]):
            raise ValueError("the optimizer has no momentum to cycle: use cycle_momentum=False")
        self.up, self.down = float(step_size_up), float(step_size_up if step_size_down is None else step_size_down)
        self.mode, self.gamma, self.scale_fn = mode, gamma, scale_fn
        self.scale_mode = scale_mode if scale_fn is not None else "iterations" if mode == "exp_range" else "cycle"
        self.cycle_momentum = cycle_momentum
        self.base_momentum, self.max_momentum = base_momentum, max_momentum
        lowest, highest = (
            list(lr) if isinstance(lr, (list, tuple)) else [lr] * len(groups) for lr in (base_lr, max_lr)
        )
        self.max_lrs = highest
        if last_epoch == -1:
            for group, lr in zip(groups, lowest, strict=True):
                group["lr"] = group["initial_lr"] = lr
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        total = self.up + self.down
        cycle = math.floor(1 + self.last_epoch / total)
        at = self.last_epoch - (cycle - 1) * total
        share = at / self.up if at <= self.up else (total - at) / self.down
        height = self.scale_fn or (lambda n: _HEIGHTS[self.mode](n, self.gamma))
        share *= height(cycle if self.scale_mode == "cycle" else self.last_epoch)
        for group in self.optimizer.param_groups if self.cycle_momentum else ():
            set_momentum(group, self.max_momentum - (self.max_momentum - self.base_momentum) * share)
        return [base + (top - base) * share for base, top in zip(self.base_lrs, self.max_lrs)]


_HEIGHTS: dict[str, Callable[[float, float], float]] = {
    "triangular": lambda cycle, gamma: 1.0,
    "triangular2": lambda cycle, gamma: 0.5 ** (cycle - 1),
    "exp_range": lambda step, gamma: gamma**step,
}


def set_momentum(group: dict[str, Any], momentum: float) -> None:
    """Set the momentum, or Adam's first beta."""
    if "betas" in group:
        group["betas"] = (momentum, *group["betas"][1:])
    else:
        group["momentum"] = momentum
