"""What ``fit`` prints: a bar for each epoch, or a line."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from graphflow.keras.callbacks.base import Callback

REFRESH = 0.1  # seconds between two drawings: steps may take microseconds
_WIDTH = 20


class ProgbarLogger(Callback):
    """Prints the progress: ``verbose=1`` a bar that moves (in a terminal), 2 a line for each epoch."""

    def __init__(self, verbose: int = 1) -> None:
        super().__init__()
        self.verbose = verbose
        self._alone = False
        self._started = self._drawn = 0.0
        self._step = 0
        self._trained = 0.0
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch
        epochs = self.params.get("epochs")
        if self.verbose:
            print(f"Epoch {epoch + 1}/{epochs}", flush=True)
        self._begin()

    def _begin(self) -> None:
        self._started = self._drawn = time.perf_counter()
        self._step = 0
        self._trained = 0.0

    def begin_alone(self) -> None:
        """An evaluation of its own."""
        self._alone = True
        self._begin()

    def on_predict_begin(self, logs: Any = None) -> None:
        self.begin_alone()

    def on_predict_end(self, logs: Any = None) -> None:
        self.end_alone({})

    def tick(self, kind: str, step: int, logs: Callable[[], Mapping[str, Any]]) -> None:
        """After each batch; draws ten times a second."""
        if kind == "test" and not self._alone:
            return
        self._step = step
        now = time.perf_counter()
        self._trained = now - self._started
        if self.verbose == 1 and now - self._drawn > REFRESH and sys.stdout.isatty():
            self._drawn = now
            print("\r" + self._line({} if kind == "predict" else logs()), end="\x1b[K", flush=True)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._finish(logs or {})

    def end_alone(self, logs: Mapping[str, Any]) -> None:
        """The end of an evaluation of its own."""
        self._finish(logs)
        self._alone = False

    def _finish(self, logs: Mapping[str, Any]) -> None:
        if self.verbose:
            again = "\r" if self.verbose == 1 and sys.stdout.isatty() else ""
            print(again + self._line(logs), end="\x1b[K\n" if again else "\n", flush=True)

    def _line(self, logs: Mapping[str, Any]) -> str:
        total = self.params.get("steps")
        done = min(self._step / total, 1.0) if total else 0.0
        full = int(done * _WIDTH)
        bar = f" {'━' * full}{'─' * (_WIDTH - full)}" if self.verbose == 1 and total else ""
        spent = self._trained
        each = _seconds(spent / self._step) if self._step else "-"
        left = ""
        if total and self._step < total and self._step:
            left = f", {_seconds(spent / self._step * (total - self._step))} left"
        numbers = "".join(f" - {name}: {_number(value)}" for name, value in logs.items() if name != "outputs")
        size = self.params.get("samples_per_step")
        rate = f", {size * self._step / spent:,.0f} samples/s" if size and spent else ""
        return f"{self._step}/{total or '?'}{bar} {_seconds(spent)} {each}/step{rate}{left}{numbers}"


def _seconds(t: float) -> str:
    if t >= 60:
        return f"{int(t // 60)}:{int(t % 60):02d}"
    return f"{t:.1f}s" if t >= 1 else f"{t * 1e3:.0f}ms" if t >= 1e-2 else f"{t * 1e6:.0f}us"


def _number(value: Any) -> str:
    if not isinstance(value, (int, float)):
        return str(value)
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e5 else f"{value:.4e}"
