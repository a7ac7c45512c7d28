"""Does the data fit the model? Asked once, before the first step, so that the answer can be in the user's words."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from graphflow.core.errors import IndexingError, ShapeError, at_line, user_origin
from graphflow.core.tree import flatten
from graphflow.keras.losses.functions import sparse_categorical_crossentropy
from graphflow.keras.losses.kinds import SparseCategoricalCrossentropy
from graphflow.keras.models.compiled import by_output
from graphflow.keras.models.network import misfit, shape_message


def check_data(model: Any, x: Any, y: Any, sample_weight: Any) -> None:
    """Raise ShapeError or IndexingError that says what to do, if x or y cannot be meant for the model."""
    network = model._network
    if network is None:
        return
    for place, array in zip(network.flat_inputs, network._matched(x)):
        shape = (None, *np.shape(array)[1:])
        near = len(shape) == len(place.shape) - 1 and place.shape[-1] == 1
        near = near or (len(shape) == len(place.shape) + 1 and shape[-1] == 1)
        if misfit(shape, place.shape) and not near:
            raise ShapeError(at_line(shape_message(place, np.shape(array)), user_origin()))
    if y is None or not model.compiled:
        return
    names = model.output_names
    targets = y if isinstance(y, Mapping) else dict(zip(names, flatten(y)[0]))
    for name, loss in by_output("loss", model._compiled.loss, names).items():
        output = network.flat_outputs[names.index(name)]
        if targets.get(name) is not None and _is_sparse(loss):
            check_labels(name, np.asarray(targets[name]), output.shape[-1], getattr(loss, "settings", {}))


def _is_sparse(loss: Any) -> bool:
    if isinstance(loss, str):
        return loss.replace("_", "").lower() == "sparsecategoricalcrossentropy"
    return isinstance(loss, SparseCategoricalCrossentropy) or loss is sparse_categorical_crossentropy


def check_labels(name: str, labels: np.ndarray[Any, Any], classes: int | None, settings: Mapping[str, Any]) -> None:
    """Raise IndexingError for class numbers that the output has no unit for."""
    if classes is None or not labels.size or (labels.ndim > 1 and labels.shape[-1] == classes and classes > 1):
        return  # rows instead of numbers: the loss says so
    ignored = settings.get("ignore_class")
    wrong = (labels < 0) | (labels >= classes)
    if ignored is not None:
        wrong &= labels != ignored
    if wrong.any():
        label = labels[wrong].flat[0]
        hint = "labels start at 0: use y - 1" if labels.min() == 1 and labels.max() == classes else ""
        hint = hint or f"give the last layer {int(labels.max()) + 1} units, or look for wrong labels"
        raise IndexingError(
            at_line(
                f"the label {label} is out of range for output {name!r}: it has {classes} units; {hint}",
                user_origin(),
            )
        )


def check_loss(model: Any, logs: Mapping[str, Any], epoch: int) -> None:
    """Warn once per ``compile`` when the loss is no number any more."""
    loss = logs.get("loss")
    if isinstance(loss, float) and not math.isfinite(loss) and not model.__dict__.get("_warned_of_nan"):
        model.__dict__["_warned_of_nan"] = True
        warnings.warn(
            f"the loss is {loss} in epoch {epoch + 1}: look for NaN in the data and labels out of range, lower the "
            "learning rate or set clipnorm; gf.config(check_numerics=True) names the line that makes it, "
            "callbacks.TerminateOnNaN() stops there",
            stacklevel=4,
        )
