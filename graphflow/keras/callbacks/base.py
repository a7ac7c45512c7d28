"""Callback, History, and the list of callbacks that ``fit`` talks to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from graphflow.core.errors import at_line, user_origin


class Callback:
    """Base of callbacks: override what should happen when. ``self.model`` is the model, ``logs`` has loss and metrics.

    >>> import graphflow as gf
    >>> class Hello(gf.keras.callbacks.Callback):
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         print(epoch, list(logs))
    >>> model = gf.keras.Sequential([gf.keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> _ = model.fit(np.ones((4, 2)), np.ones(4), callbacks=[Hello()], verbose=0)
    0 ['loss']
    """

    model: Any = None
    params: dict[str, Any]

    def __init__(self) -> None:
        self.params = {}

    def set_model(self, model: Any) -> None:
        """Called by ``fit``: this is the model."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Called by ``fit``: epochs, steps, verbose."""
        self.params = params

    def on_train_begin(self, logs: Any = None) -> None:
        """Before the first epoch."""

    def on_train_end(self, logs: Any = None) -> None:
        """After the last epoch."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Before an epoch."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """After an epoch and its validation."""

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Before a training step."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """After a training step."""

    def on_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Before a training step (an older name)."""

    def on_batch_end(self, batch: int, logs: Any = None) -> None:
        """After a training step (an older name)."""

    def on_test_begin(self, logs: Any = None) -> None:
        """Before an evaluation or validation."""

    def on_test_end(self, logs: Any = None) -> None:
        """After an evaluation or validation."""

    def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Before a batch of an evaluation."""

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        """After a batch of an evaluation."""

    def on_predict_begin(self, logs: Any = None) -> None:
        """Before a prediction."""

    def on_predict_end(self, logs: Any = None) -> None:
        """After a prediction."""

    def on_predict_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Before a batch of a prediction."""

    def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
        """After a batch of a prediction."""


class History(Callback):
    """What ``fit`` gives: ``history`` has a list for loss and each metric, ``epoch`` the epochs' numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.history: dict[str, list[Any]] = {}
        self.epoch: list[int] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)

    def __repr__(self) -> str:
        return f"History({', '.join(self.history)}: {len(self.epoch)} epochs)"


class CallbackList:
    """Calls callbacks. What none of them overrides costs nothing, and logs are only read for those that ask."""

    def __init__(
        self,
        callbacks: Any,
        model: Any,
        verbose: Any,
        epochs: int,
        steps: int | None,
        history: History | None,
        samples: float | None = None,
    ) -> None:
        from graphflow.keras.callbacks.progress import ProgbarLogger

        given = callbacks if isinstance(callbacks, (list, tuple)) else [] if callbacks is None else [callbacks]
        for item in given:
            if isinstance(item, type) or not hasattr(item, "set_model"):
                hint = f"; write {item.__name__}()" if isinstance(item, type) else ""
                raise TypeError(at_line(f"callbacks are objects of Callback, got {item!r}{hint}", user_origin()))
        self.history: Any = history
        self.callbacks: list[Any] = list(given)
        verbose = 1 if verbose == "auto" or verbose is True else int(verbose)
        if verbose and not any(isinstance(c, ProgbarLogger) for c in given):
            self.callbacks.append(ProgbarLogger(verbose))
        if history is not None:  # last: callbacks may add to the logs
            self.callbacks.append(history)
        params = {"verbose": verbose, "epochs": epochs, "steps": steps, "samples_per_step": samples}
        for callback in self.callbacks:
            callback.set_params(params)
            callback.set_model(model)
        self._bars = [c for c in self.callbacks if isinstance(c, ProgbarLogger)]
        self._ends = {kind: self._those_with(kind, "end") for kind in ("train", "test", "predict")}
        self._begins = {kind: self._those_with(kind, "begin") for kind in ("train", "test", "predict")}

    def _those_with(self, kind: str, when: str) -> list[Callable[..., Any]]:
        """The methods that callbacks override for batches."""
        names = [f"on_{kind}_batch_{when}", *([f"on_batch_{when}"] if kind == "train" else [])]
        found = []
        for callback in self.callbacks:
            for name in names:
                own = getattr(type(callback), name, None)
                if name in vars(callback) or (own is not None and own is not getattr(Callback, name)):
                    found.append(getattr(callback, name))
        return found

    def _all(self, method: str, *args: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, method)(*args)

    def on_train_begin(self) -> None:
        self._all("on_train_begin", {})

    def on_train_end(self) -> None:
        self._all("on_train_end", {})

    def on_epoch_begin(self, epoch: int) -> None:
        self._all("on_epoch_begin", epoch, {})

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any]) -> None:
        self._all("on_epoch_end", epoch, logs)

    def on_part_begin(self, kind: str) -> None:
        """An epoch of training, a validation, a prediction."""
        if kind != "train":
            self._all(f"on_{kind}_begin", {})

    def on_part_end(self, kind: str, logs: Mapping[str, Any]) -> None:
        if kind != "train":
            self._all(f"on_{kind}_end", logs)

    def on_batch_begin(self, kind: str, number: int) -> None:
        for method in self._begins[kind]:
            method(number, {})

    def on_batch_end(self, kind: str, number: int, logs: Callable[[], Mapping[str, Any]]) -> None:
        """``logs`` reads them when somebody asks."""
        for bar in self._bars:
            bar.tick(kind, number + 1, logs)
        if self._ends[kind]:
            found = dict(logs())
            for method in self._ends[kind]:
                method(number, found)

    def on_test_begin_alone(self) -> None:
        """An evaluation that is no validation."""
        for bar in self._bars:
            bar.begin_alone()

    def on_test_end_alone(self, logs: Mapping[str, Any]) -> None:
        for bar in self._bars:
            bar.end_alone(logs)
