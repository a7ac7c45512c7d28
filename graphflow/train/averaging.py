"""Averaged weights, and knowing when to stop."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from graphflow.core import dispatch
from graphflow.core.dtypes import float32
from graphflow.core.errors import StateError
from graphflow.metrics.base import done
from graphflow.nn.module import Module
from graphflow.ops.define import cast
from graphflow.ops.elementwise import minimum
from graphflow.variable import Variable


class EMA:
    """The exponential moving average of parameters (Polyak averaging), which often predict better than themselves.

    parameters  a Module, or an iterable of Variables
    decay       how much of the average stays at each update
    warmup      begin with less: min(decay, (1 + n) / (10 + n)) at update n, as in TensorFlow

    Call ``update()`` after each optimizer step, eagerly or in the compiled one; evaluate in ``with ema.applied():``.

    >>> w = gf.Variable([0.0]); ema = gf.train.EMA([w], decay=0.9)
    >>> _ = w.assign([1.0]); ema.update()
    >>> with ema.applied():
    ...     w.numpy().round(4)
    array([0.1], dtype=float32)
    >>> w.item()
    1.0
    """

    def __init__(self, parameters: Module | Iterable[Variable], decay: float = 0.999, warmup: bool = False) -> None:
        if not 0 <= decay <= 1:
            raise ValueError(f"decay must be between 0 and 1, got {decay}")
        listed = parameters.parameters() if isinstance(parameters, Module) else parameters
        self.decay = decay
        self.warmup = warmup
        self.parameters = list(listed)
        if not all(isinstance(p, Variable) for p in self.parameters) or not self.parameters:
            raise TypeError("EMA takes a Module or a list of Variables, at least one")
        with dispatch.init_scope():
            self.averages = [Variable(p.numpy(), name=f"{p.name}.average", trainable=False) for p in self.parameters]
            self._updates = Variable(np.int64(0), name="updates", trainable=False)

    def update(self) -> Any:
        """Let the averages follow the parameters. In a graph it gives the operation that does so."""
        with dispatch.no_grad():
            keep: Any = self.decay
            if self.warmup:
                n = cast(self._updates._read_now(), float32)
                keep = minimum(self.decay, (1 + n) / (10 + n))
            assigned = [self._updates.assign_add(np.int64(1))]
            for p, average in zip(self.parameters, self.averages):
                now = average._read_now()
                assigned.append(average.assign(now + (p._read_now() - now) * (1 - keep)))
            return done(assigned)

    def average(self, parameter: Variable) -> Variable:
        """The average of a parameter. KeyError if it is none of them."""
        for p, average in zip(self.parameters, self.averages):
            if p is parameter:
                return average
        raise KeyError(f"{parameter.name!r} is not averaged here")

    @contextmanager
    def applied(self) -> Iterator[None]:
        """A block in which the parameters are their averages."""
        own = [p.snapshot() for p in self.parameters]
        self.copy_to()
        try:
            yield
        finally:
            for p, value in zip(self.parameters, own):
                p.assign(value)

    def copy_to(self) -> None:
        """Set the parameters to their averages, for good."""
        for p, average in zip(self.parameters, self.averages):
            p.assign(average.snapshot())

    def state_dict(self) -> dict[str, Any]:
        """Averages and the number of updates."""
        return {"averages": [a.snapshot() for a in self.averages], "updates": self._updates.item()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state_dict()``. Raises StateError where the shapes differ."""
        saved = [np.asarray(a) for a in state["averages"]]
        if [a.shape for a in saved] != [p.shape for p in self.parameters]:
            raise StateError(f"the saved averages have shapes {[a.shape for a in saved]}")
        for average, value in zip(self.averages, saved):
            average.assign(value)
        self._updates.assign(np.int64(state["updates"]))


class EarlyStopping:
    """Says when a value has not improved for ``patience`` epochs.

    mode       "min" for losses, "max" for accuracies
    min_delta  what counts as an improvement
    module     if given, its best weights are kept; ``restore()`` puts them back

    >>> early = gf.train.EarlyStopping(patience=2)
    >>> [early(loss) for loss in (1.0, 0.5, 0.6, 0.5)], early.best, early.best_epoch
    ([False, False, False, True], 0.5, 1)
    """

    def __init__(
        self, patience: int = 0, min_delta: float = 0.0, mode: str = "min", module: Module | None = None
    ) -> None:
        if mode not in ("min", "max"):
            raise ValueError(f"mode is 'min' or 'max', got {mode!r}")
        self.patience = patience
        self.min_delta = abs(min_delta)
        self.mode = mode
        self.module = module
        self.best = math.inf if mode == "min" else -math.inf
        self.best_epoch = -1
        self.epoch = -1
        self._weights: dict[str, Any] | None = None

    def __call__(self, value: Any) -> bool:
        """Look at the value of an epoch; gives whether to stop. NaN is no improvement."""
        number = float(value)
        self.epoch += 1
        gain = self.best - number if self.mode == "min" else number - self.best
        if gain > self.min_delta:
            self.best, self.best_epoch = number, self.epoch
            self._weights = self.module.state_dict() if self.module is not None else None
        return self.epoch - self.best_epoch >= max(self.patience, 1)

    @property
    def improved(self) -> bool:
        """Whether the last value is the best."""
        return self.epoch == self.best_epoch and self.epoch >= 0

    def restore(self) -> None:
        """Give the module its best weights. Raises StateError if there are none."""
        if self.module is None or self._weights is None:
            raise StateError("there are no weights to restore: give EarlyStopping the module, and it a value")
        self.module.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        """Best value, epochs, and the best weights if they are kept."""
        return {"best": self.best, "best_epoch": self.best_epoch, "epoch": self.epoch, "weights": self._weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state_dict()``."""
        self.best, self.best_epoch, self.epoch = state["best"], state["best_epoch"], state["epoch"]
        self._weights = state["weights"]
