"""Callbacks that steer the training: stop it, change the learning rate, keep the best weights."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable
from typing import Any

from graphflow.core.errors import at_line, user_origin
from graphflow.keras.callbacks.base import Callback


class Monitor:
    """Whether a number that is watched got better."""

    def __init__(self, monitor: str, mode: str, min_delta: float = 0.0) -> None:
        if mode not in ("auto", "min", "max"):
            raise ValueError(at_line(f"mode is 'auto', 'min' or 'max', got {mode!r}", user_origin()))
        self.name = monitor
        up = mode == "max" or (mode == "auto" and _grows(monitor))
        self.sign = 1.0 if up else -1.0
        self.min_delta = abs(min_delta)
        self.best = -math.inf * self.sign

    def value(self, owner: Any, logs: Any) -> float | None:
        """The number in the logs; a warning and None where it is not there."""
        found = (logs or {}).get(self.name)
        if found is None:
            missing = self.name.startswith("val_") and not any(name.startswith("val_") for name in logs or {})
            warnings.warn(
                f"{type(owner).__name__} watches {self.name!r}, which is not in the logs: {', '.join(logs or {})}"
                + ("; give fit validation_data or validation_split" if missing else ""),
                stacklevel=5,
            )
        return found

    def better(self, value: float, than: float | None = None) -> bool:
        """Whether a value is better than the best one by ``min_delta``."""
        return (value - (self.best if than is None else than)) * self.sign > self.min_delta

    def reset(self) -> None:
        """Forget the best."""
        self.best = -math.inf * self.sign


def _grows(name: str) -> bool:
    """Whether more of it is better."""
    words = ("acc", "auc", "precision", "recall", "f1", "fbeta", "iou", "r2", "true_")
    plain = name.removeprefix("val_")
    return any(word in plain for word in words) and "loss" not in plain


class EarlyStopping(Callback):
    """Stops when a number has not got better by ``min_delta`` for ``patience`` epochs.

    ``restore_best_weights`` goes back to the weights of the best epoch; ``baseline`` is what has to be beaten.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__()
        self._monitor = Monitor(monitor, mode, min_delta)
        self.patience, self.verbose, self.baseline = patience, verbose, baseline
        self.restore_best_weights, self.start_from_epoch = restore_best_weights, start_from_epoch
        self.stopped_epoch = self.best_epoch = self.wait = 0
        self.best_weights: Any = None

    @property
    def best(self) -> float:
        return self._monitor.best

    def on_train_begin(self, logs: Any = None) -> None:
        self._monitor.reset()
        self.stopped_epoch = self.best_epoch = self.wait = 0
        self.best_weights = None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        value = self._monitor.value(self, logs)
        if value is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self.best_weights, self.best_epoch = self.model.get_weights(), epoch
        self.wait += 1
        if self._monitor.better(value):
            self._monitor.best, self.best_epoch = value, epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            if self.baseline is None or self._monitor.better(value, self.baseline):
                self.wait = 0
            return
        if self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Any = None) -> None:
        if self.stopped_epoch and self.verbose:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.restore_best_weights and self.best_weights is not None:
            if self.verbose:
                print(f"Restoring the weights of epoch {self.best_epoch + 1}")
            self.model.set_weights(self.best_weights)


class ModelCheckpoint(Callback):
    """Saves the model, or its weights, after each epoch (or each ``save_freq`` batches).

    The file's name may have fields: ``"m-{epoch:02d}-{val_loss:.2f}.gf"``. Files are replaced as a whole.
    """

    def __init__(
        self,
        filepath: Any,
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__()
        if save_freq != "epoch" and not isinstance(save_freq, int):
            raise ValueError(at_line(f"save_freq is 'epoch' or a number of batches, got {save_freq!r}", user_origin()))
        self.filepath = os.fspath(filepath)
        self._monitor = Monitor(monitor, mode)
        if initial_value_threshold is not None:
            self._monitor.best = initial_value_threshold
        self.verbose, self.save_best_only, self.save_weights_only = verbose, save_best_only, save_weights_only
        self.save_freq = save_freq
        self._batches = 0
        self._epoch = 0
        if save_freq != "epoch":
            self.on_train_batch_end = self._count  # type: ignore[method-assign]

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.save_freq == "epoch":
            self._save(epoch, logs or {})

    def _count(self, batch: int, logs: Any = None) -> None:
        self._batches += 1
        if self._batches % int(self.save_freq) == 0:
            self._save(self._epoch, logs or {})

    def _save(self, epoch: int, logs: Any) -> None:
        if self.save_best_only:
            value = self._monitor.value(self, logs)
            if value is None or not self._monitor.better(value):
                return
            self._monitor.best = value
        try:
            path = self.filepath.format(epoch=epoch + 1, **logs)
        except KeyError as error:
            raise KeyError(
                f"the name {self.filepath!r} has the field {error}; there are: epoch, {', '.join(logs)}"
            ) from None
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        (self.model.save_weights if self.save_weights_only else self.model.save)(path)
        if self.verbose:
            print(f"Epoch {epoch + 1}: saved {path}")


class ReduceLROnPlateau(Callback):
    """Multiplies the learning rate by ``factor`` when a number has not got better for ``patience`` epochs."""

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        if factor >= 1.0:
            raise ValueError(at_line(f"factor is less than 1, got {factor}", user_origin()))
        self._monitor = Monitor(monitor, mode, min_delta)
        self.factor, self.patience, self.verbose = factor, patience, verbose
        self.cooldown, self.min_lr = cooldown, min_lr
        self.wait = self._resting = 0

    def on_train_begin(self, logs: Any = None) -> None:
        self._monitor.reset()
        self.wait = self._resting = 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        rate = _rate(self.model)
        if isinstance(logs, dict):
            logs["learning_rate"] = rate
        value = self._monitor.value(self, logs)
        if value is None:
            return
        if self._resting:
            self._resting -= 1
            self.wait = 0
        if self._monitor.better(value):
            self._monitor.best, self.wait = value, 0
        elif not self._resting:
            self.wait += 1
            if self.wait >= self.patience and rate > self.min_lr:
                new = max(rate * self.factor, self.min_lr)
                _set_rate(self.model, new)
                self._resting, self.wait = self.cooldown, 0
                if self.verbose:
                    print(f"Epoch {epoch + 1}: the learning rate goes down to {new:g}")


class LearningRateScheduler(Callback):
    """Sets the learning rate before each epoch to ``schedule(epoch, rate)`` (or ``schedule(epoch)``)."""

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        super().__init__()
        self.schedule, self.verbose = schedule, verbose

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        now = _rate(self.model)
        try:
            rate = self.schedule(epoch, now)
        except TypeError:
            rate = self.schedule(epoch)
        if not isinstance(rate, (int, float)) and not hasattr(rate, "item"):
            raise TypeError(
                at_line(f"the schedule gives a number for an epoch, got a {type(rate).__name__}", user_origin())
            )
        _set_rate(self.model, float(rate))
        if self.verbose:
            print(f"Epoch {epoch + 1}: the learning rate is {float(rate):g}")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if isinstance(logs, dict):
            logs["learning_rate"] = _rate(self.model)


def _rate(model: Any) -> float:
    optimizer = model.optimizer
    return float(optimizer.learning_rate if hasattr(optimizer, "learning_rate") else optimizer.param_groups[0]["lr"])


def _set_rate(model: Any, rate: float) -> None:
    if hasattr(model.optimizer, "learning_rate"):
        model.optimizer.learning_rate = rate
        return
    for group in model.optimizer.param_groups:
        group["lr"] = rate


class TerminateOnNaN(Callback):
    """Stops when the loss is no number any more."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        loss = (logs or {}).get("loss")
        if loss is not None and not math.isfinite(loss):
            print(f"Batch {batch}: the loss is {loss}, the training ends")
            self.model.stop_training = True
