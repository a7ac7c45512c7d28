"""Metric: a number over all batches of an epoch, whose running sums are Variables: it works in every mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from graphflow.core import dispatch
from graphflow.core.dtypes import as_dtype
from graphflow.keras import config, initializers
from graphflow.ops.arrange import squeeze
from graphflow.ops.define import cast
from graphflow.ops.elementwise import maximum, sqrt, where
from graphflow.ops.movement import broadcast_to
from graphflow.ops.reduce import count_along, mean
from graphflow.ops.reduce import sum as total
from graphflow.tensor import Tensor, as_tensor
from graphflow.variable import Variable


class Metric(config.Configurable):
    """Base of metrics: a subclass makes its state with ``add_variable`` and writes ``update_state`` and ``result``.

    >>> import graphflow as gf
    >>> class Largest(gf.keras.metrics.Metric):
    ...     def __init__(self, name="largest"):
    ...         super().__init__(name)
    ...         self.most = self.add_variable((), "zeros", name="most")
    ...     def update_state(self, y_true, y_pred, sample_weight=None):
    ...         self.most.assign(gf.maximum(self.most, gf.max(y_pred)))
    ...     def result(self):
    ...         return self.most.value
    >>> metric = Largest()
    >>> metric.update_state(None, gf.tensor([1.0, 3.0])); metric.update_state(None, gf.tensor([2.0]))
    >>> metric.result().item()
    3.0
    """

    kind = "metrics"

    def __init__(self, dtype: Any = None, name: str | None = None) -> None:
        if isinstance(dtype, str) and name is None and dtype not in _DTYPES:  # super().__init__("my_metric")
            dtype, name = None, dtype
        self.name = name or config.unique_name(config.snake_case(type(self).__name__))
        self.dtype = as_dtype(dtype or "float32")
        self._own: list[tuple[Variable, np.ndarray[Any, Any]]] = []

    def add_variable(
        self, shape: Any = (), initializer: Any = "zeros", dtype: Any = None, name: str | None = None, **ignored: Any
    ) -> Variable:
        """A new part of the state."""
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        with dispatch.init_scope():
            value = initializers.get(initializer)(shape, dtype=dtype or self.dtype)
            made = Variable(value, name=f"{self.name}.{name or 'state'}", trainable=False)
        self._own.append((made, np.array(made.numpy())))
        return made

    add_weight = add_variable

    @property
    def variables(self) -> list[Variable]:
        """The state."""
        return [v for v, _ in self._own]

    def update_state(self, *args: Any, **kwargs: Any) -> Any:
        """Take a batch into account."""
        raise NotImplementedError(f"{type(self).__name__} does not define update_state()")

    def result(self) -> Any:
        """The number over all batches so far."""
        raise NotImplementedError(f"{type(self).__name__} does not define result()")

    def reset_state(self) -> None:
        """Start over."""
        for variable, value in self._own:
            if dispatch.is_recording():
                variable.assign(value)
            else:
                variable._store(value.copy())

    reset_states = reset_state

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """``update_state`` and ``result``."""
        with dispatch.no_grad():
            self.update_state(*args, **kwargs)
            return self.result()


_DTYPES = ("float16", "bfloat16", "float32", "float64", "int32", "int64")


def add_to(variable: Variable, value: Any) -> None:
    """Add a tensor to a part of the state, in its dtype."""
    variable.assign_add(cast(as_tensor(value), variable.dtype))


def ratio(part: Any, whole: Any) -> Tensor:
    """part / whole, 0 where there is nothing."""
    whole = as_tensor(whole)
    return where(whole == 0, 0.0, as_tensor(part) / where(whole == 0, 1.0, whole))  # type: ignore[no-any-return]


def weigh(values: Any, sample_weight: Any) -> tuple[Tensor, Any]:
    """Each sample's value times its weight (the mean over its other axes), and the weights."""
    values = as_tensor(values)
    weight = None
    if sample_weight is not None:
        weight = cast(as_tensor(sample_weight), values.dtype)
        if weight.ndim == values.ndim + 1 and weight.shape[-1] == 1:
            weight = squeeze(weight, -1)
        if values.ndim > weight.ndim:
            values = mean(values, axis=tuple(range(weight.ndim, values.ndim)))
        weight = broadcast_to(weight, values.shape)
        values = values * weight
        if weight.ndim > 1:
            weight = mean(weight, axis=tuple(range(1, weight.ndim)))
    if values.ndim > 1:
        values = mean(values, axis=tuple(range(1, values.ndim)))
    return values, weight


class Mean(Metric):
    """The (weighted) mean of what it is given.

    >>> import graphflow as gf
    >>> metric = gf.keras.metrics.Mean()
    >>> metric.update_state([1.0, 3.0]); metric.update_state([5.0]); metric.result().item()
    3.0
    """

    def __init__(self, name: str | None = "mean", dtype: Any = None) -> None:
        super().__init__(dtype, name)
        self.total = self.add_variable(name="total")
        self.count = self.add_variable(name="count")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        values, weight = weigh(cast(as_tensor(values), self.dtype), sample_weight)
        add_to(self.total, total(values))
        if weight is not None:
            add_to(self.count, total(weight))
        else:
            add_to(self.count, count_along(values, (0,), self.dtype) if values.ndim else 1.0)

    def result(self) -> Tensor:
        return ratio(self.total, self.count)

    def value(self) -> float:
        """The result, read without touching anything: what progress bars show while a program runs."""
        count = float(self.count._data)
        return float(self.total._data) / count if count else 0.0


class Sum(Metric):
    """The (weighted) sum of what it is given."""

    def __init__(self, name: str | None = "sum", dtype: Any = None) -> None:
        super().__init__(dtype, name)
        self.total = self.add_variable(name="total")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        values, _ = weigh(cast(as_tensor(values), self.dtype), sample_weight)
        add_to(self.total, total(values))

    def result(self) -> Tensor:
        return self.total.value


class MeanMetricWrapper(Mean):
    """The mean of a function ``f(y_true, y_pred, **settings)`` of the samples."""

    def __init__(self, fn: Callable[..., Any], name: str | None = None, dtype: Any = None, **settings: Any) -> None:
        super().__init__(name or getattr(fn, "__name__", "metric"), dtype)
        self.fn = fn
        self.settings = settings

    def update_state(  # type: ignore[override]
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        super().update_state(self.fn(y_true, y_pred, **self.settings), sample_weight)


class RootMean(Mean):
    """The root of the mean."""

    def result(self) -> Tensor:
        return sqrt(maximum(super().result(), 0.0))

    def value(self) -> float:
        return super().value() ** 0.5
