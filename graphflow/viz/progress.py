"""A progress bar for training: step, loss and metrics, samples per second, time left."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sized
from typing import Any

REFRESH = 0.1  # seconds between two drawings: a step may take microseconds
LOG_WIDTH = 160  # columns where the output is no terminal: nothing is cut off in a log


class Progress:
    """A bar for one epoch, or for any loop.

    steps   the iterable to go through, or how many steps there are (None: not known)
    title   what stands in front
    file    where to draw; None takes standard error
    hidden  True draws nothing: for loops that may be silent

    ``for batch in Progress(loader): ...`` counts steps and samples itself; ``show(loss=loss)`` sets the numbers behind
    the bar. Otherwise use it as a context manager and call ``update(samples=32, loss=loss)`` after each step. Numbers
    may be tensors. It draws ten times a second in a terminal and in notebooks, and once, at the end, in a file.

    >>> with gf.viz.Progress(3, "Epoch 1/1", hidden=True) as bar:
    ...     for step in range(3):
    ...         bar.update(samples=32, loss=gf.tensor(0.5), accuracy=0.75)
    >>> bar.steps, bar.samples, bar.text.split("  ")[-2:]
    (3, 96, ['loss 0.5000', 'accuracy 0.7500'])
    """

    def __init__(
        self, steps: Iterable[Any] | int | None = None, title: str = "", *, file: Any = None, hidden: bool = False
    ) -> None:
        self.total = steps if isinstance(steps, int) else _length(steps)
        self.title = title
        self.steps = 0
        self.samples = 0
        self.numbers: dict[str, Any] = {}
        self._source = None if isinstance(steps, int) else steps
        self._file = file
        self._hidden = hidden
        self._bar: Any = None
        self._started = self._drawn = time.perf_counter()
        self._stopped: float | None = None

    # -- in a loop ----------------------------------------------------------------------------------------------------
    def __iter__(self) -> Iterator[Any]:
        if self._source is None:
            raise TypeError("this Progress was given a number of steps; give it an iterable to go through")
        with self:
            for item in self._source:
                yield item
                self.update(samples=_batch_size(item))

    def __len__(self) -> int:
        if self.total is None:
            raise TypeError("this Progress does not know how many steps there are")
        return self.total

    def update(self, steps: int = 1, samples: int = 0, **numbers: Any) -> None:
        """Count steps and samples, and set numbers to show; cheap enough to call after every step."""
        self.steps += steps
        self.samples += samples
        self.show(**numbers)

    def show(self, **numbers: Any) -> None:
        """Set numbers behind the bar (loss, metrics): floats, 0-d arrays or tensors."""
        if numbers:
            self.numbers.update(numbers)
        now = time.perf_counter()
        if self._bar is not None and now - self._drawn > REFRESH:
            self._drawn = now
            self._draw()

    # -- life ---------------------------------------------------------------------------------------------------------
    def __enter__(self) -> Progress:
        self._started = self._drawn = time.perf_counter()
        self._stopped = None
        if not self._hidden:
            self._bar = _rich_bar(self._file)
            self._task = self._bar.add_task(self.title, total=self.total, text="")
            self._bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stopped = time.perf_counter()
        if self._bar is not None:
            self._draw()
            self._bar.stop()
            self._bar = None

    def _draw(self) -> None:
        self._bar.update(self._task, completed=self.steps, text=self.text, refresh=True)

    # -- what it says -------------------------------------------------------------------------------------------------
    @property
    def seconds(self) -> float:
        """The time since the loop began, or that it took."""
        return (self._stopped if self._stopped is not None else time.perf_counter()) - self._started

    @property
    def text(self) -> str:
        """Speed, time and numbers, as they stand behind the bar."""
        parts = []
        count, unit = (self.samples, "samples") if self.samples else (self.steps, "steps")
        if self.seconds > 0:
            parts.append(f"{_thousands(count / self.seconds)} {unit}/s")
        if self._stopped is None and self.total and self.steps:
            parts.append(f"{_clock(self.seconds * (self.total - self.steps) / self.steps)} left")
        else:
            parts.append(_clock(self.seconds))
        parts += [f"{name} {_number(value)}" for name, value in self.numbers.items()]
        return "  ".join(parts)


def _rich_bar(file: Any) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as RichProgress
    from rich.table import Column

    console = Console(file=file, stderr=file is None)
    if not console.is_terminal and not console.is_jupyter:
        console.width = LOG_WIDTH
    once = Column(no_wrap=True)
    columns = (
        TextColumn("{task.description}", table_column=once, markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(table_column=once),
        TextColumn("{task.fields[text]}", table_column=once, markup=False),
    )
    # No thread that redraws: it would take the interpreter from steps that last microseconds.
    return RichProgress(*columns, console=console, auto_refresh=False)


def _length(source: Any) -> int | None:
    if not isinstance(source, Sized):
        return None
    try:
        return len(source)
    except TypeError:  # a loader over a stream has a __len__ that refuses
        return None


def _batch_size(batch: Any) -> int:
    """The leading size of the first array in a batch; 0 if there is none."""
    while isinstance(batch, (tuple, list, dict)) and batch:
        batch = next(iter(batch.values())) if isinstance(batch, dict) else batch[0]
    shape = getattr(batch, "shape", ())
    return shape[0] if shape else 0


def _thousands(value: float) -> str:
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"


def _clock(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f}s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _number(value: Any) -> str:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return str(value)
    return f"{number:.4f}" if 1e-3 <= abs(number) < 1e4 or number == 0 else f"{number:.3e}"
