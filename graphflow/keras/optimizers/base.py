"""Optimizer: ``gf.optim``'s engine with Keras's settings: schedules, weight decay, clipping, moving averages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from graphflow.core import dispatch
from graphflow.core.dtypes import float64
from graphflow.core.errors import at_line, user_origin
from graphflow.keras import config
from graphflow.keras.optimizers.schedules import LearningRateSchedule
from graphflow.nn.utils import clip_by_global_norm
from graphflow.ops.define import cast
from graphflow.ops.elementwise import clip, maximum, where
from graphflow.ops.matrices import vector_norm
from graphflow.optim.optimizer import Optimizer as Engine
from graphflow.tensor import as_tensor
from graphflow.variable import Variable


class Rate(float):
    """A learning rate: a number that can be assigned to."""

    _owner: Any

    def assign(self, value: Any) -> None:
        """Set the optimizer's learning rate."""
        self._owner.learning_rate = value

    def numpy(self) -> float:
        return float(self)


class Optimizer(config.Configurable, Engine):
    """Base of Keras's optimizers: a subclass says which slots it keeps and how one parameter is updated.

    learning_rate    a number, or a schedule
    weight_decay     shrinks weights by this share times the learning rate at each step
    clipnorm, clipvalue, global_clipnorm   limits for each gradient's norm, each number, the norm of all gradients
    use_ema          keeps moving averages of the weights, which take their place when ``fit`` ends
    """

    kind = "optimizers"
    counters = {"step": 0}

    def __init__(
        self,
        learning_rate: Any = 0.001,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **settings: Any,
    ) -> None:
        if sum(limit is not None for limit in (clipnorm, clipvalue, global_clipnorm)) > 1:
            raise ValueError(at_line("give one of clipnorm, clipvalue and global_clipnorm", user_origin()))
        if loss_scale_factor is not None or gradient_accumulation_steps is not None:
            raise ValueError(
                at_line("loss scaling and gradient accumulation are in gf.train, not in the optimizer", user_origin())
            )
        own = {"lr": 0.0 if callable(learning_rate) else float(learning_rate), "weight_decay": weight_decay or 0.0}
        Engine.__init__(self, None, {**own, **settings})
        self.name = name or config.snake_case(type(self).__name__)
        self._schedule = learning_rate if callable(learning_rate) else None
        self.clipnorm, self.clipvalue, self.global_clipnorm = clipnorm, clipvalue, global_clipnorm
        self.use_ema, self.ema_momentum = use_ema, ema_momentum
        self.ema_overwrite_frequency = ema_overwrite_frequency
        self._averages: dict[Variable, Variable] = {}

    # -- settings ------------------------------------------------------------------------------------------------------
    @property
    def learning_rate(self) -> Rate:
        """The learning rate now; assign to it, or ``.assign(...)``."""
        value = self.param_groups[0]["lr"] if self._schedule is None else float(self._schedule(self.iterations.item()))
        rate = Rate(value)
        rate._owner = self
        return rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        if isinstance(value, LearningRateSchedule):
            self._schedule = value
        elif self._schedule is not None:
            raise TypeError(
                at_line(
                    "the learning rate follows a schedule; make the optimizer with a number to set it", user_origin()
                )
            )
        else:
            for group in self.param_groups:
                group["lr"] = float(value)

    lr = learning_rate

    @property
    def iterations(self) -> Variable:
        """How many steps were made."""
        for own in self.state.values():
            return own["step"]
        return Variable(np.asarray(0), name="iterations", trainable=False)

    @property
    def variables(self) -> list[Variable]:
        """The slots of all parameters."""
        found = {id(v): v for own in self.state.values() for v in own.values()}
        return list(found.values())

    def build(self, variables: Iterable[Variable]) -> None:
        """Make the slots for these parameters now."""
        from graphflow.optim.hyperparameters import Hyperparameters

        group = self.param_groups[0]
        present = {id(p) for p in group["params"]}
        group["params"].extend(v for v in variables if id(v) not in present)
        h = Hyperparameters(group)
        self._make_state(group["params"], self.slots(h), self.counts(h))

    def apply(self, grads: Iterable[Any], trainable_variables: Iterable[Variable]) -> Any:
        """``apply_gradients`` with two lists."""
        return self.apply_gradients(zip(grads, trainable_variables))

    def get_config(self) -> dict[str, Any]:
        found = super().get_config()
        if self._schedule is None:
            found["learning_rate"] = float(self.learning_rate)
        return found

    # -- the step ------------------------------------------------------------------------------------------------------
    def numbers(self, xp: Any, h: Any, step: Any, lr: Any) -> dict[str, Any]:
        """The numbers of a step, computed once for all parameters; ``step`` counts from 1."""
        return {"lr": lr}

    def _scalars(self, xp: Any, h: Any, count: SimpleNamespace) -> dict[str, Any]:
        count.step = count.step + 1
        lr = h.lr
        if self._schedule is not None:
            lr = as_tensor(self._schedule(count.step - 1))
            lr = float(lr) if xp is np else cast(lr, float64)
        decay = h.optional("weight_decay")
        fixed = {"maximize": False, "l2": None, "shrink": None if decay is None else 1 - lr * decay}
        return {**self.numbers(xp, h, count.step, lr), **fixed}

    def _apply(self, grads: Mapping[Variable, Any]) -> Any:
        with dispatch.no_grad():
            done = super()._apply(self._clipped(grads))
            assigned = [*apply_constraints(grads), *(self._follow(v) for v in grads if self.use_ema)]
        if done is None:
            return None
        from graphflow.trace.tracing import group

        return group(done, *assigned)

    def _clipped(self, grads: Mapping[Variable, Any]) -> Mapping[Variable, Any]:
        if self.clipvalue is not None:
            return {v: clip(g, -self.clipvalue, self.clipvalue) for v, g in grads.items()}
        if self.clipnorm is not None:
            limit = self.clipnorm
            return {v: g * (limit / maximum(vector_norm(g), limit)) for v, g in grads.items()}
        if self.global_clipnorm is not None:
            limit = self.global_clipnorm
            clipped, _ = clip_by_global_norm(list(grads.values()), limit)
            return dict(zip(grads, clipped))
        return grads

    def _follow(self, v: Variable) -> Any:
        if v not in self._averages:
            with dispatch.init_scope():
                self._averages[v] = Variable(v.numpy(), name=f"{v.name}.average", trainable=False)
        average = self._averages[v]
        # The first step takes the weights as they are.
        share = where(self.state[v]["step"]._read_now() > 1, self.ema_momentum, 0.0)
        share = cast(share, v.dtype)
        return average.assign(average._read_now() * share + v._read_now() * (1.0 - share))

    def finalize_variable_values(self, variables: Iterable[Variable]) -> None:
        """Put the moving averages in the weights' place."""
        for v in variables:
            if v in self._averages:
                v.assign(self._averages[v].value.detach())


def apply_constraints(variables: Iterable[Variable]) -> list[Any]:
    """Project weights to where their constraints want them."""
    held = [(v, c) for v in variables if (c := getattr(v, "constraint", None)) is not None]
    return [v.assign(constraint(v._read_now())) for v, constraint in held]
