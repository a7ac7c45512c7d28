"""Losses over classes that ask for margins, or that look away from what is easy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphflow.core.dims import shape_str
from graphflow.core.errors import ShapeError, at_line, user_origin
from graphflow.nn.functional.distance import pairwise_distance
from graphflow.ops.creation import beside, iota
from graphflow.ops.define import cast
from graphflow.ops.elementwise import maximum, minimum, relu, square, where
from graphflow.ops.losses import _check_labels, _pair, _reduced, binary_cross_entropy_with_logits
from graphflow.ops.mathematical import sigmoid
from graphflow.ops.movement import expand_dims, reshape
from graphflow.ops.picking import gather, take
from graphflow.ops.reduce import any as some
from graphflow.ops.reduce import count_along
from graphflow.ops.reduce import sum as total
from graphflow.ops.running import cumprod
from graphflow.tensor import Tensor, as_tensor


def _rows(name: str, input: Any, target: Any, rank: int) -> tuple[Tensor, Tensor, bool]:
    """Scores (batch, classes) and targets of that rank; and whether the batch axis was missing."""
    x, t = as_tensor(input), as_tensor(target)
    alone = x.ndim == 1
    if alone:
        x, t = expand_dims(x, 0), reshape(t, (1,) if rank == 1 else (1, *t.shape))
    if x.ndim != 2 or t.ndim != rank:
        wanted = "(batch,)" if rank == 1 else "(batch, classes)"
        message = f"{name} takes (batch, classes) and targets {wanted}, got {shape_str(x.shape)}, {shape_str(t.shape)}"
        raise ShapeError(at_line(message, user_origin()))
    return x, t, alone


def multi_margin_loss(
    input: Any, target: Any, p: int = 1, margin: float = 1.0, weight: Any = None, reduction: str = "mean"
) -> Tensor:
    """The sum over wrong classes of max(0, margin - x[right] + x[wrong]) ** p, over the number of classes.

    ``target`` are class numbers, ``weight`` one for each class. Raises ValueError unless p is 1 or 2.

    >>> import graphflow as gf
    >>> gf.nn.functional.multi_margin_loss(gf.tensor([[0.0, 0.5]]), gf.tensor([1])).item()
    0.25
    """
    if p not in (1, 2):
        raise ValueError(at_line(f"multi_margin_loss: p is 1 or 2, got {p}", user_origin()))
    x, t, alone = _rows("multi_margin_loss", input, target, 1)
    labels = _check_labels(t, x.shape[1], "multi_margin_loss")
    right = expand_dims(labels, 1)
    with beside(labels):
        wrong = iota((1, x.shape[1]), 1, labels.dtype) != right
    loss = relu(margin - gather(x, 1, right) + x)
    loss = loss if p == 1 else square(loss)
    if weight is not None:
        loss = loss * expand_dims(take(as_tensor(weight), labels), 1)
    each = total(where(wrong, loss, 0.0), axis=1) / count_along(x, (1,), x.dtype)
    return _reduced(reshape(each, ()) if alone else each, reduction)


def multilabel_margin_loss(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """The sum over pairs of a right and a wrong class of max(0, 1 - (x[right] - x[wrong])), over their number.

    A row of ``target`` has the right classes' numbers, then -1 in the places that are left.

    >>> import graphflow as gf
    >>> x, y = gf.tensor([[0.1, 0.2, 0.4, 0.8]]), gf.tensor([[3, 0, -1, 1]])
    >>> round(gf.nn.functional.multilabel_margin_loss(x, y).item(), 4)
    0.85
    """
    x, t, alone = _rows("multilabel_margin_loss", input, target, 2)
    if t.shape != x.shape:
        message = f"multilabel_margin_loss: target {shape_str(t.shape)} for input {shape_str(x.shape)}"
        raise ShapeError(at_line(message, user_origin()))
    labels = _check_labels(t, x.shape[1], "multilabel_margin_loss", ignore=-1)
    given = cumprod(cast(labels >= 0, labels.dtype), axis=1) == 1  # up to the first -1
    labels = where(given, labels, 0)
    with beside(labels):
        number = iota((1, 1, x.shape[1]), 2, labels.dtype)
    right = some((number == expand_dims(labels, 2)) & expand_dims(given, 2), axis=1)
    pairs = relu(1.0 - expand_dims(gather(x, 1, labels), 2) + expand_dims(x, 1))
    counted = expand_dims(given, 2) & ~expand_dims(right, 1)
    each = total(where(counted, pairs, 0.0), axis=(1, 2)) / count_along(x, (1,), x.dtype)
    return _reduced(reshape(each, ()) if alone else each, reduction)


def triplet_margin_with_distance_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    *,
    distance_function: Callable[[Any, Any], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """``triplet_margin_loss`` with a distance of one's own (``pairwise_distance`` by default)."""
    distance = distance_function or pairwise_distance
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = minimum(far, distance(positive, negative))
    return _reduced(relu(near - far + margin), reduction)


def sigmoid_focal_loss(
    inputs: Any, targets: Any, alpha: float = 0.25, gamma: float = 2.0, reduction: str = "none"
) -> Tensor:
    """The binary cross-entropy with logits times ``(1 - p) ** gamma``, p the probability of the truth.

    What is easy counts little (Lin et al. 2017). ``alpha`` weighs positive targets, ``1 - alpha`` negative ones; a
    negative ``alpha`` leaves that out. Names and defaults are torchvision's.

    >>> import graphflow as gf
    >>> gf.nn.functional.sigmoid_focal_loss(gf.tensor([0.0]), gf.tensor([1.0]), -1).numpy().round(4)
    array([0.1733], dtype=float32)
    """
    x, t = _pair("sigmoid_focal_loss", inputs, targets)
    p = sigmoid(x)
    missed = p * (1.0 - t) + (1.0 - p) * t
    loss = binary_cross_entropy_with_logits(x, t, reduction="none") * _power(missed, gamma)
    if alpha >= 0:
        loss = loss * (alpha * t + (1.0 - alpha) * (1.0 - t))
    return _reduced(loss, reduction)


def _power(x: Tensor, exponent: float) -> Tensor:
    """x >= 0 to a power, with a finite slope at 0 for exponents below 1."""
    if exponent == 2:
        return square(x)
    return maximum(x, 1e-12) ** exponent if 0 < exponent < 1 else x**exponent
