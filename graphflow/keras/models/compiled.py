"""What ``compile`` was given, matched to the model's outputs: a loss and metrics for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graphflow.core import dispatch
from graphflow.core.errors import at_line, user_origin
from graphflow.core.tree import flatten
from graphflow.keras import losses, metrics
from graphflow.keras.metrics.accuracy import binary_or_sparse
from graphflow.keras.metrics.base import Mean, Metric
from graphflow.tensor import Tensor, as_tensor

_CROSSENTROPIES = {
    "binary": losses.BinaryCrossentropy,
    "sparse": losses.SparseCategoricalCrossentropy,
    "categorical": losses.CategoricalCrossentropy,
}


def outputs_of(y_pred: Any, names: Sequence[str]) -> dict[str, Tensor]:
    """The predictions by the names of the outputs."""
    if isinstance(y_pred, Mapping):
        return dict(y_pred)
    found = flatten(y_pred)[0]
    names = list(names) if len(names) == len(found) else [f"output_{i}" for i in range(len(found))]
    return dict(zip(names, found))


def by_output(what: str, given: Any, names: Sequence[str], each: bool = False) -> dict[str, Any]:
    """Something given for each output, by name: one for all, a list in their order, or a dict.

    ``each``: whether a list is meant for every output, unless it has one list or item for each of them.
    """
    if isinstance(given, Mapping):
        wrong = [name for name in given if name not in names]
        if wrong:
            raise ValueError(
                at_line(f"{what} is given for {wrong}, but the model's outputs are {list(names)}", user_origin())
            )
        return {name: given.get(name) for name in names}
    if isinstance(given, (list, tuple)) and not (each and len(names) == 1):
        if len(given) == len(names):
            return dict(zip(names, given))
        if not each:
            raise ValueError(
                at_line(f"{what} is given for {len(given)} outputs, the model has {list(names)}", user_origin())
            )
    return dict.fromkeys(names, given)


def _listed(given: Any) -> list[Any]:
    return [] if given is None else list(given) if isinstance(given, (list, tuple)) else [given]


class Compiled:
    """Losses and metrics. They are made when the first batch shows what the outputs and targets look like."""

    def __init__(self, loss: Any, loss_weights: Any, metrics_: Any, weighted_metrics: Any) -> None:
        for item in flatten(loss)[0]:  # a wrong name is noticed by compile
            if item not in ("crossentropy", "ce"):
                losses.as_loss(item)
        for word in [*_words(metrics_), *_words(weighted_metrics)]:
            if word.lower() not in ("accuracy", "acc", "crossentropy", "ce"):
                metrics.get(word)
        self.loss, self.loss_weights = loss, loss_weights
        self.metrics, self.weighted_metrics = metrics_, weighted_metrics
        self.names: list[str] = []
        self.of_output: dict[str, Any] = {}
        self.weights: dict[str, float] = {}
        self.trackers: dict[str, Mean] = {}
        self.made: dict[str, list[tuple[Metric, bool]]] = {}  # metrics, and whether samples' weights count
        self.built = False

    def build(self, y: Any, y_pred: Any, output_names: Sequence[str]) -> None:
        """Make losses and metrics for these targets and predictions."""
        predictions = outputs_of(y_pred, output_names)
        targets = self.targets(y, predictions, output_names)
        names = self.names = list(predictions)
        for name, loss in by_output("loss", self.loss, names).items():
            if isinstance(loss, str) and loss.lower() in ("crossentropy", "ce"):
                loss = _CROSSENTROPIES[binary_or_sparse(targets[name], predictions[name])]()
            self.of_output[name] = losses.as_loss(loss)
        for w in flatten(self.loss_weights)[0]:
            if not isinstance(w, (int, float, type(None))):
                raise TypeError(
                    f"loss_weights: a number for each output expected, got {w!r}; "
                    "metrics go by keyword: compile(optimizer, loss, metrics=[...])"
                )
        weights = by_output("loss_weights", self.loss_weights, names) if self.loss_weights is not None else {}
        self.weights = {name: float(w) for name, w in weights.items() if w is not None}
        if len(names) > 1:
            self.trackers = {name: Mean(f"{name}_loss") for name in names if self.of_output[name] is not None}
        for given, weighted in ((self.metrics, False), (self.weighted_metrics, True)):
            for name, kinds in by_output("metrics", given, names, each=True).items():
                for kind in _listed(kinds):
                    metric = metrics.for_shapes(kind, targets[name], predictions[name])
                    if len(names) > 1 and not metric.name.startswith(f"{name}_"):
                        metric.name = f"{name}_{metric.name}"
                    self.made.setdefault(name, []).append((metric, weighted))
        self.built = True

    def targets(self, y: Any, predictions: Mapping[str, Any], output_names: Sequence[str]) -> dict[str, Any]:
        """The targets by the names of the outputs."""
        names = list(predictions)
        if y is None:
            if any(v is not None for v in (self.of_output.values() if self.built else flatten(self.loss)[0])):
                raise ValueError(at_line("the loss needs targets: give y, or data of pairs (x, y)", user_origin()))
            return dict.fromkeys(names)
        if isinstance(y, Mapping):
            found = dict(y)
        elif isinstance(y, (list, tuple)):
            found = dict(zip(names, y)) if len(y) == len(names) else {}
        else:
            found = {names[0]: y} if len(names) == 1 else {}
        if [name for name in names if name not in found and self._wants(name)] or not found:
            have = list(y) if isinstance(y, Mapping) else f"{len(flatten(y)[0])} targets"
            raise ValueError(
                at_line(
                    f"the model has the outputs {names}, the data has {have}: give y as a list or dict with a target "
                    "for each output that has a loss",
                    user_origin(),
                )
            )
        return {name: None if found.get(name) is None else as_tensor(found[name]) for name in names}

    def _wants(self, name: str) -> bool:
        return self.of_output.get(name) is not None if self.built else not isinstance(self.loss, Mapping)

    def total(self, y: Any, y_pred: Any, sample_weight: Any, output_names: Sequence[str]) -> Any:
        """The weighted sum of the outputs' losses; None without any. Losses of several outputs are followed."""
        predictions = outputs_of(y_pred, output_names)
        targets = self.targets(y, predictions, output_names)
        weights = _sample_weights(sample_weight, list(predictions))
        found: Any = None
        for name, loss in self.of_output.items():
            if loss is None:
                continue
            value = loss(targets[name], predictions[name], weights[name])
            if name in self.trackers:
                with dispatch.no_grad():
                    self.trackers[name].update_state(value.detach(), batch_size(predictions[name]))
            if name in self.weights:
                value = value * self.weights[name]
            found = value if found is None else found + value
        return found

    def update(self, y: Any, y_pred: Any, sample_weight: Any, output_names: Sequence[str]) -> None:
        """Let the metrics see a batch."""
        predictions = outputs_of(y_pred, output_names)
        targets = self.targets(y, predictions, output_names)
        weights = _sample_weights(sample_weight, list(predictions))
        for name, listed in self.made.items():
            for metric, weighted in listed:
                metric.update_state(targets[name], predictions[name], weights[name] if weighted else None)

    def all_metrics(self) -> list[Metric]:
        """The metrics, in the order of the logs."""
        return [*self.trackers.values(), *(m for listed in self.made.values() for m, _ in listed)]


def _words(given: Any) -> list[str]:
    return [item for item in flatten(given)[0] if isinstance(item, str)]


def _sample_weights(sample_weight: Any, names: list[str]) -> dict[str, Any]:
    if isinstance(sample_weight, Mapping):
        return {name: sample_weight.get(name) for name in names}
    if isinstance(sample_weight, (list, tuple)) and len(sample_weight) == len(names):
        return dict(zip(names, sample_weight))
    return dict.fromkeys(names, sample_weight)


def batch_size(x: Any) -> Any:
    """How many samples a batch has, as a number in the graph."""
    from graphflow.core.dtypes import float32
    from graphflow.ops.reduce import count_along

    first = as_tensor(next(leaf for leaf in flatten(x)[0] if leaf is not None))
    return count_along(first, (0,), float32) if first.ndim else 1.0
