"""Pictures of training: curves and confusion matrices. Matplotlib draws them (an extra).

Figures are made without pyplot: nothing is shown, and nothing of the user's plots is touched. A notebook shows a figure
that a cell ends with; elsewhere give ``path``, or call the figure's ``savefig``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from graphflow.core.errors import ShapeError
from graphflow.tensor import Operators
from graphflow.viz.extras import need

_DOTS = 40  # points up to which each gets a dot


def plot_history(history: Any, path: Any = None, *, smooth: int = 1) -> Any:
    """Curves of training: one picture for each quantity, with its values on validation data dashed.

    history  a dict of lists, an object whose ``history`` is one (Keras), or a list of losses
    path     where to write the picture (.png, .svg, .pdf)
    smooth   the number of values that a moving mean is taken over

    Gives the Matplotlib figure. Raises ValueError if there is nothing to draw.

    >>> figure = gf.viz.plot_history({"loss": [1.0, 0.5, 0.4], "val_loss": [1.1, 0.7, 0.6]})
    >>> [line.get_label() for line in figure.axes[0].lines]
    ['training', 'validation']
    """
    series = _series(history)
    names = [n for n in series if not (n.startswith("val_") and n[4:] in series)]
    if not names:
        raise ValueError("the history is empty: there is nothing to draw")
    figure = _figure(figsize=(5.2 * len(names), 3.4))
    for axis, name in zip(np.atleast_1d(figure.subplots(1, len(names))), names):
        for key, label, style in ((name, "training", "-"), (f"val_{name}", "validation", "--")):
            if key in series:
                values = _moving_mean(series[key], smooth)
                steps = np.arange(1, len(values) + 1)
                dots = "o" if len(values) <= _DOTS else ""
                axis.plot(steps, values, style, marker=dots, markersize=3, linewidth=1.5, label=label)
        _dress(axis, name.replace("_", " "), "epoch" if len(series[name]) <= 1000 else "step")
        if f"val_{name}" in series:
            axis.legend(frameon=False)
    return _written(figure, path)


def plot_confusion(
    targets: Any,
    predictions: Any = None,
    path: Any = None,
    *,
    labels: Sequence[Any] | None = None,
    normalize: bool = False,
) -> Any:
    """A confusion matrix: rows are true classes, columns predicted ones.

    targets, predictions  class numbers (n,); predictions may be scores (n, classes). With ``targets`` alone: the matrix
    labels                the classes' names
    normalize             shares of each row in place of counts

    Gives the Matplotlib figure. Raises ShapeError for shapes that do not fit.

    >>> figure = gf.viz.plot_confusion([0, 1, 1], [0, 1, 0], labels=["cat", "dog"])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['1', '0', '1', '1']
    """
    matrix = confusion(_array(targets), None if predictions is None else _array(predictions), labels)
    count = len(matrix)
    shown = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1) if normalize else matrix
    size = max(3.2, 0.42 * count + 1.6)
    figure = _figure(figsize=(size, size))
    axis = figure.subplots()
    axis.imshow(shown, cmap="Blues")
    middle = shown.max() / 2 if shown.size else 0
    for row, column in np.ndindex(count, count):
        value = shown[row, column]
        text = f"{value:.2f}" if normalize else f"{value:g}"
        colour = "white" if value > middle else "black" if value else "#bbbbbb"
        axis.text(column, row, text, ha="center", va="center", fontsize="small", color=colour)
    names = list(map(str, labels)) if labels is not None else list(map(str, range(count)))
    axis.set_xticks(range(count), names, rotation=45 if max(map(len, names)) > 3 else 0)
    axis.set_yticks(range(count), names)
    axis.set_xlabel("predicted")
    axis.set_ylabel("true")
    right = np.trace(matrix) / max(matrix.sum(), 1)
    axis.set_title(f"{right:.1%} of {int(matrix.sum())} right", loc="left", fontsize="medium")
    return _written(figure, path)


def plot_images(images: Any, titles: Sequence[Any] | None = None, path: Any = None, *, columns: int = 8) -> Any:
    """Pictures in a grid: (n, height, width), (n, channels, height, width) with 1, 3 or 4 channels, or channels last.

    ``titles`` stand above the pictures. Gives the Matplotlib figure. Raises ShapeError for other shapes.
    """
    array = _array(images)
    if array.ndim == 4 and array.shape[1] in (1, 3, 4):
        array = array.transpose(0, 2, 3, 1)
    if array.ndim == 4 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[-1] not in (3, 4)):
        raise ShapeError(f"plot_images needs (n, height, width) or (n, channels, height, width), got {array.shape}")
    if titles is not None and len(titles) < len(array):
        raise ValueError(f"there are {len(array)} pictures and only {len(titles)} titles")
    columns = max(1, min(columns, len(array)))
    rows = -(-len(array) // columns)
    figure = _figure(figsize=(1.1 * columns, (1.3 if titles is not None else 1.1) * max(rows, 1)))
    for number, axis in enumerate(np.ravel(figure.subplots(max(rows, 1), columns, squeeze=False))):
        axis.axis("off")
        if number < len(array):
            axis.imshow(array[number], cmap="gray" if array.ndim == 3 else None)
            if titles is not None:
                axis.set_title(str(titles[number]), fontsize="small", pad=2)
    return _written(figure, path)


def confusion(targets: Any, predictions: Any, labels: Sequence[Any] | None) -> Any:
    """The matrix of counts, from class numbers or as it was given."""
    if predictions is None:
        if targets.ndim != 2 or targets.shape[0] != targets.shape[1]:
            raise ShapeError(f"a confusion matrix is square, got shape {targets.shape}; or give the predictions, too")
        return targets
    if predictions.ndim == targets.ndim + 1:
        predictions = predictions.argmax(axis=-1)
    if targets.ndim != 1 or targets.shape != predictions.shape:
        raise ShapeError(f"{targets.shape} true classes and {predictions.shape} predicted ones do not fit together")
    if any(a.size and a.min() < 0 for a in (targets, predictions)):
        raise ValueError("classes are numbers from 0 on; a negative one was given")
    count = max(
        [len(labels) if labels is not None else 0, *(int(a.max()) + 1 for a in (targets, predictions) if a.size)]
    )
    matrix = np.zeros((count, count), np.int64)
    np.add.at(matrix, (targets.astype(np.int64), predictions.astype(np.int64)), 1)
    return matrix


# -- parts -------------------------------------------------------------------------------------------------------------
def _series(history: Any) -> dict[str, list[float]]:
    history = getattr(history, "history", history)
    if not isinstance(history, Mapping):
        history = {"loss": history}
    found = {str(k): [float(v) for v in (values if np.ndim(values) else [values])] for k, values in history.items()}
    return {k: v for k, v in found.items() if v}


def _moving_mean(values: list[float], width: int) -> Any:
    """Each value's mean with those before it, up to ``width`` of them."""
    sums = np.cumsum([0.0, *values])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - max(width, 1), 0)
    return (sums[ends] - sums[starts]) / (ends - starts)


def _figure(**options: Any) -> Any:
    return need("matplotlib.figure", "drawing").Figure(layout="constrained", **options)


def _dress(axis: Any, name: str, unit: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_title(name, loc="left", fontsize="medium")
    axis.set_xlabel(unit)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)


def _written(figure: Any, path: Any) -> Any:
    if path is not None:
        figure.savefig(path, dpi=120)
    return figure


def _array(value: Any) -> Any:
    return value.numpy() if isinstance(value, Operators) else np.asarray(value)
