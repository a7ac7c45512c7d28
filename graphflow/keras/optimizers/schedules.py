"""Learning rates that change with the steps: ``Adam(learning_rate=ExponentialDecay(1e-2, 1000, 0.9))``.

>>> import graphflow as gf
>>> rate = gf.keras.optimizers.schedules.ExponentialDecay(0.1, decay_steps=10, decay_rate=0.5)
>>> float(rate(0)), float(rate(20))
(0.1, 0.025)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from graphflow.core.dtypes import float64
from graphflow.keras import config
from graphflow.ops.define import cast
from graphflow.ops.elementwise import ceil, floor, minimum, where
from graphflow.ops.mathematical import cos, log
from graphflow.tensor import Tensor, as_tensor


class LearningRateSchedule(config.Configurable):
    """Base of schedules: a subclass writes ``__call__(step)``, which gives the rate of a step (0 is the first)."""

    kind = "schedules"

    def __call__(self, step: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not define __call__(self, step)")


def _number(step: Any) -> Tensor:
    return cast(as_tensor(step), float64)


class ExponentialDecay(LearningRateSchedule):
    """``initial * decay_rate ** (step / decay_steps)``; in stairs with ``staircase``."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ) -> None:
        self.initial_learning_rate, self.decay_steps, self.decay_rate = initial_learning_rate, decay_steps, decay_rate
        self.staircase = staircase

    def __call__(self, step: Any) -> Tensor:
        share = _number(step) / self.decay_steps
        share = floor(share) if self.staircase else share
        return self.initial_learning_rate * self.decay_rate**share  # type: ignore[no-any-return]


class InverseTimeDecay(ExponentialDecay):
    """``initial / (1 + decay_rate * step / decay_steps)``; in stairs with ``staircase``."""

    def __call__(self, step: Any) -> Tensor:
        share = _number(step) / self.decay_steps
        share = floor(share) if self.staircase else share
        return self.initial_learning_rate / (1.0 + self.decay_rate * share)  # type: ignore[return-value]


class PolynomialDecay(LearningRateSchedule):
    """From ``initial`` to ``end`` within ``decay_steps``, along (1 - share) ** power; over again with ``cycle``."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ) -> None:
        self.initial_learning_rate, self.decay_steps = initial_learning_rate, decay_steps
        self.end_learning_rate, self.power, self.cycle = end_learning_rate, power, cycle

    def __call__(self, step: Any) -> Tensor:
        at = _number(step)
        length: Any = self.decay_steps
        if self.cycle:
            length = length * where(at == 0, 1.0, ceil(at / self.decay_steps))
        else:
            at = minimum(at, length)
        span = self.initial_learning_rate - self.end_learning_rate
        return span * (1.0 - at / length) ** self.power + self.end_learning_rate  # type: ignore[operator, return-value]


class PiecewiseConstantDecay(LearningRateSchedule):
    """``values[i]`` up to ``boundaries[i]``, the last value after that. ValueError unless there is one value more."""

    def __init__(self, boundaries: Sequence[float], values: Sequence[float], name: str = "PiecewiseConstant") -> None:
        if len(boundaries) + 1 != len(values):
            raise ValueError(f"{len(boundaries)} boundaries need {len(boundaries) + 1} values, got {len(values)}")
        self.boundaries, self.values = list(boundaries), list(values)

    def __call__(self, step: Any) -> Tensor:
        at = _number(step)
        rate: Any = as_tensor(self.values[-1], float64)
        for boundary, value in zip(reversed(self.boundaries), reversed(self.values[:-1])):
            rate = where(at <= boundary, value, rate)
        return rate  # type: ignore[no-any-return]


class CosineDecay(LearningRateSchedule):
    """Half a cosine from ``initial`` to ``alpha * initial`` (Loshchilov and Hutter 2017), after a straight warm-up."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: float = 0,
    ) -> None:
        self.initial_learning_rate, self.decay_steps, self.alpha = initial_learning_rate, decay_steps, alpha
        self.warmup_target, self.warmup_steps = warmup_target, warmup_steps

    def __call__(self, step: Any) -> Tensor:
        at = _number(step)
        warm = self.warmup_steps if self.warmup_target is not None else 0
        peak = self.initial_learning_rate if self.warmup_target is None else self.warmup_target
        share = minimum(at - warm, self.decay_steps) / self.decay_steps
        rate = peak * ((1.0 - self.alpha) * 0.5 * (1.0 + cos(math.pi * share)) + self.alpha)
        if not warm:
            return rate  # type: ignore[return-value]
        rising = self.initial_learning_rate + (peak - self.initial_learning_rate) * at / warm
        return where(at < warm, rising, rate)


class CosineDecayRestarts(LearningRateSchedule):
    """Cosine decays one after the other, each ``t_mul`` times as long and from ``m_mul`` times as high."""

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: float,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
    ) -> None:
        self.initial_learning_rate, self.first_decay_steps = initial_learning_rate, first_decay_steps
        self.t_mul, self.m_mul, self.alpha = t_mul, m_mul, alpha

    def __call__(self, step: Any) -> Tensor:
        done = _number(step) / self.first_decay_steps
        if self.t_mul == 1.0:
            restart = floor(done)
            share = done - restart
        else:
            restart = floor(log(1.0 - done * (1.0 - self.t_mul)) / math.log(self.t_mul))
            before = (1.0 - self.t_mul**restart) / (1.0 - self.t_mul)
            share = (done - before) / self.t_mul**restart
        wave = 0.5 * self.m_mul**restart * (1.0 + cos(math.pi * share))
        return self.initial_learning_rate * ((1.0 - self.alpha) * wave + self.alpha)  # type: ignore[return-value]


def serialize(schedule: Any) -> Any:
    """A schedule as data."""
    return config.to_data(schedule)


def deserialize(data: Any, custom_objects: Any = None) -> Any:
    """A schedule from data."""
    return config.deserialize(data, custom_objects)
