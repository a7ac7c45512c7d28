"""Metric: a number over all batches so far. Its state is sums in Variables, so it works in every mode."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from graphflow.core import dispatch
from graphflow.core.dtypes import float64, int64
from graphflow.core.errors import StateError
from graphflow.ops.define import cast
from graphflow.ops.elementwise import where
from graphflow.tensor import Tensor, as_tensor
from graphflow.variable import Variable

Sums = dict[str, Any]


class Metric:
    """Base of metrics. A subclass names its sums and says what a batch adds to them and what they come to.

    ``update(predictions, targets)`` takes a batch into account, ``compute()`` gives the value over all batches since
    ``reset()``; calling the metric does the first and gives the value of that batch alone. All of it works eagerly, in
    compiled functions and in graphs (where ``update`` gives the operation to run).

    >>> class Average(gf.metrics.Metric):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.add_sum("total"), self.add_sum("count", dtype="int64")
    ...     def count(self, values):
    ...         return {"total": gf.sum(values), "count": values.size}
    ...     def value(self, total, count):
    ...         return total / count
    >>> metric = Average()
    >>> metric(gf.tensor([1.0, 3.0])).item(), metric(gf.tensor([5.0])).item(), metric.compute().item()
    (2.0, 5.0, 3.0)
    """

    def __init__(self) -> None:
        self._sums: dict[str, Variable] = {}

    # -- what subclasses write ----------------------------------------------------------------------------------------
    def add_sum(self, name: str, shape: tuple[int, ...] = (), dtype: str = "float64") -> None:
        """A new part of the state, that starts as zeros: float64 so that long sums stay exact, or int64 for counts."""
        with dispatch.init_scope():
            start = np.zeros(shape, dtype)
            self._sums[name] = Variable(start, name=f"{type(self).__name__.lower()}.{name}", trainable=False)

    def count(self, *batch: Any, **options: Any) -> Sums:
        """What a batch adds to each of the sums."""
        raise NotImplementedError(f"{type(self).__name__} does not define count()")

    def value(self, *parts: Any, **sums: Any) -> Any:
        """What the sums come to."""
        raise NotImplementedError(f"{type(self).__name__} does not define value()")

    # -- what users call ----------------------------------------------------------------------------------------------
    def update(self, *batch: Any, **options: Any) -> Any:
        """Take a batch into account. In a graph it gives the operation that does so, else None."""
        with dispatch.no_grad():
            return self._add(self.count(*batch, **options))

    def compute(self) -> Any:
        """The value over all batches since the last reset."""
        with dispatch.no_grad():
            return self.value(**{name: v._read_now() for name, v in self._sums.items()})

    def __call__(self, *batch: Any, **options: Any) -> Any:
        """Take a batch into account; gives the value of this batch alone."""
        with dispatch.no_grad():
            added = self.count(*batch, **options)
            self._add(added)
            return self.value(**{name: cast(as_tensor(added[name]), v.dtype) for name, v in self._sums.items()})

    def reset(self) -> Any:
        """Start over, at the start of an epoch. In a graph it gives the operation that does so."""
        return done([v.assign(np.zeros(v.shape, v.dtype.np)) for v in self._sums.values()])

    def merge(self, other: Metric) -> None:
        """Add what another metric of this kind has seen (in another process, say)."""
        if type(other) is not type(self) or set(other._sums) != set(self._sums):
            raise StateError(f"cannot merge a {type(other).__name__} into a {type(self).__name__}")
        for name, v in self._sums.items():
            v.assign_add(other._sums[name].snapshot())

    def state_dict(self) -> dict[str, Tensor]:
        """The sums so far."""
        return {name: v.snapshot() for name, v in self._sums.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from saved sums. Raises StateError where they do not fit."""
        for name, v in self._sums.items():
            if name not in state or tuple(np.shape(state[name])) != v.shape:
                raise StateError(f"the state of a {type(self).__name__} needs {name!r} of shape {v.shape}")
        for name, v in self._sums.items():
            v.assign(state[name])

    def _add(self, added: Sums) -> Any:
        if set(added) != set(self._sums):
            raise StateError(f"{type(self).__name__} counts {sorted(added)}, its sums are {sorted(self._sums)}")
        return done([v.assign_add(cast(as_tensor(added[name]), v.dtype)) for name, v in self._sums.items()])

    def __repr__(self) -> str:
        settings = ", ".join(f"{k}={v!r}" for k, v in self.__dict__.items() if not k.startswith("_"))
        return f"{type(self).__name__}({settings})"


def done(assigned: list[Any]) -> Any:
    """The operation that does all the assignments of a graph; None where they have happened (or are traced)."""
    recorder = dispatch.state.recorder
    if recorder is None or hasattr(recorder, "guard"):
        return None
    from graphflow.trace.tracing import group

    return group(*assigned)


def real(x: Any) -> Any:
    """In float64."""
    return cast(as_tensor(x), float64)


def whole(x: Any) -> Any:
    """In int64."""
    return cast(as_tensor(x), int64)


def ratio(part: Any, of: Any, empty: float = 0.0) -> Any:
    """part / of in float64; ``empty`` where there is nothing to divide by."""
    part, divisor = real(part), real(of)
    return where(divisor == 0, empty, part / where(divisor == 0, 1.0, divisor))


class Mean(Metric):
    """The mean of all values: of losses over an epoch, for example; ``weight`` counts a value more than once.

    >>> loss = gf.metrics.Mean()
    >>> loss.update(2.0, weight=32); loss.update(5.0, weight=16)
    >>> loss.compute().item()
    3.0
    """

    def __init__(self) -> None:
        super().__init__()
        self.add_sum("total")
        self.add_sum("weight")

    def count(self, values: Any, weight: Any = 1.0) -> Sums:
        values = real(values)
        weights = values * 0 + real(weight)
        return {"total": (values * weights).sum(), "weight": weights.sum()}

    def value(self, total: Any, weight: Any) -> Any:
        return ratio(total, weight, float("nan"))


class Sum(Metric):
    """The sum of all values."""

    def __init__(self) -> None:
        super().__init__()
        self.add_sum("total")

    def count(self, values: Any) -> Sums:
        return {"total": real(values).sum()}

    def value(self, total: Any) -> Any:
        return total


class MetricCollection:
    """Several metrics of the same predictions and targets, by name.

    >>> scores = gf.metrics.MetricCollection([gf.metrics.Accuracy(), gf.metrics.F1Score(num_classes=3)])
    >>> scores.update(gf.tensor([0, 1, 2, 2]), gf.tensor([0, 1, 1, 2]))
    >>> {name: round(value.item(), 3) for name, value in scores.compute().items()}
    {'Accuracy': 0.75, 'F1Score': 0.778}
    """

    def __init__(self, metrics: Iterable[Metric] | Mapping[str, Metric]) -> None:
        named = metrics.items() if isinstance(metrics, Mapping) else [(type(m).__name__, m) for m in metrics]
        self.metrics: dict[str, Metric] = {}
        for name, metric in named:
            if name in self.metrics:
                raise ValueError(f"two metrics are called {name!r}: give a dict with a name for each")
            self.metrics[name] = metric

    def update(self, *batch: Any, **options: Any) -> Any:
        """``update`` of each."""
        return done([op for m in self.metrics.values() if (op := m.update(*batch, **options)) is not None])

    def compute(self) -> dict[str, Any]:
        """``compute`` of each, by name."""
        return {name: metric.compute() for name, metric in self.metrics.items()}

    def __call__(self, *batch: Any, **options: Any) -> dict[str, Any]:
        """Take a batch into account; gives the values of this batch alone."""
        return {name: metric(*batch, **options) for name, metric in self.metrics.items()}

    def reset(self) -> Any:
        """``reset`` of each."""
        return done([op for m in self.metrics.values() if (op := m.reset()) is not None])

    def __getitem__(self, name: str) -> Metric:
        return self.metrics[name]
