"""Connectionist temporal classification: a loss for sequences whose labels have no places (Graves et al. 2006)."""

from __future__ import annotations

import math
from typing import Any

from graphflow.core.dims import Dim, shape_str
from graphflow.core.errors import DTypeError, ShapeError, at_line, user_origin
from graphflow.ops.creation import beside, iota
from graphflow.ops.define import cast
from graphflow.ops.elementwise import clip, maximum, minimum, where
from graphflow.ops.fused import fused
from graphflow.ops.loops import scan
from graphflow.ops.losses import _reduced
from graphflow.ops.mathematical import exp, log, logaddexp
from graphflow.ops.movement import broadcast_to, concat, expand_dims, part, reshape, stack
from graphflow.ops.picking import as_index, pick, take_along_axis
from graphflow.ops.reduce import floating, mean, result_dtype
from graphflow.ops.running import cumsum
from graphflow.tensor import Tensor, as_tensor

_NEVER = -1e30  # the logarithm of a probability of zero: finite, so that gradients are


def _fail(message: str) -> ShapeError:
    return ShapeError(at_line(f"ctc_loss: {message}", user_origin()))


def ctc_loss(
    log_probs: Any,
    targets: Any,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """The negative log likelihood of label sequences, over all ways to lay them along the time.

    log_probs       (time, batch, classes), or (time, classes): logarithms of probabilities, as of ``log_softmax``
    targets         (batch, longest) labels, without ``blank``; or all of them one after the other
    input_lengths   of each sequence, at most time
    target_lengths  of each label sequence
    reduction       "mean" divides each loss by the length of its labels first
    zero_infinity   losses of labels that cannot fit into their time count nothing (else they are infinite)

    Raises ShapeError for shapes that do not go together.

    >>> import graphflow as gf
    >>> even = gf.full((2, 1, 2), 0.5).log()
    >>> round(gf.nn.functional.ctc_loss(even, gf.tensor([[1]]), [2], [1]).exp().item() ** -1, 4)
    0.75
    """
    x, labels = as_tensor(log_probs), as_tensor(targets)
    if not labels.dtype.is_int:
        raise DTypeError(at_line(f"ctc_loss needs integer targets, got {labels.dtype}", user_origin()))
    if x.ndim not in (2, 3):
        raise _fail(f"log_probs are (time, batch, classes), or (time, classes), got {shape_str(x.shape)}")
    alone = x.ndim == 2
    wide = expand_dims(floating(x), 1) if alone else floating(x)
    times, lengths = (reshape(as_index(n), -1) for n in (input_lengths, target_lengths))
    labels = as_index(reshape(labels, (1, -1)) if alone else labels)
    if labels.ndim == 1:
        labels = _rows(labels, lengths)
    batch = wide.shape[1]
    for name, have in (("targets", labels), ("input_lengths", times), ("target_lengths", lengths)):
        if have.shape[0] != batch and not isinstance(have.shape[0], Dim) and not isinstance(batch, Dim):
            raise _fail(f"{name} are for {have.shape[0]} sequences, log_probs for {batch}")
    loss = -_likelihood(wide, labels, times, lengths, blank)
    impossible = loss > -0.5 * _NEVER
    loss = where(impossible, 0.0 if zero_infinity else math.inf, where(impossible, 0.0, loss))
    if reduction == "mean":
        out = mean(loss / cast(maximum(lengths, 1), loss.dtype))
    else:
        out = _reduced(reshape(loss, ()) if alone else loss, reduction)
    return cast(out, result_dtype(x))


def _rows(labels: Tensor, lengths: Tensor) -> Tensor:
    """Labels that stand one after the other, as rows of the longest (of all, while nobody knows the longest)."""
    numbers = lengths._data
    longest = labels.shape[0] if numbers is None else max(int(numbers.max(initial=0)), 1)
    ends = cumsum(lengths, axis=0)
    with beside(labels):
        place = expand_dims(ends - lengths, 1) + iota((1, longest), 1)
    return pick(labels, clip(place, 0, labels.shape[0] - 1), 0)


@fused("batch", "x")
def _likelihood(x: Tensor, labels: Tensor, times: Tensor, lengths: Tensor, blank: int) -> Tensor:
    """The logarithm of the probability of each label sequence: the forward algorithm, one time after the other."""
    batch, longest = labels.shape
    with beside(labels):
        between = broadcast_to(as_tensor(blank, labels.dtype), (batch, longest))
        place = iota((1, 2 * longest + 1), 1)
    # Labels with a blank before, between and behind them. A step goes on to the next, or over a blank to a new label.
    path = reshape(stack([between, labels], axis=2), (batch, 2 * longest))
    path = concat([path, part(between, 1, 0, 1)], 1) if longest != 0 else broadcast_to(as_tensor(blank), (batch, 1))
    path = minimum(maximum(path, 0), x.shape[2] - 1)
    before = concat([path[:, :2] * 0 - 1, path[:, :-2]], 1) if longest != 0 else path  # type: ignore[index]
    jumps = (path != blank) & (path != before)
    emitted = take_along_axis(x, broadcast_to(expand_dims(path, 0), (x.shape[0], *path.shape)), 2)
    first = where(place < 2, part(emitted, 0, 0, 1)[0], _NEVER)  # type: ignore[index]
    never = first[:, :1] * 0 + _NEVER  # type: ignore[index]

    def step(carry: tuple[Tensor, Tensor], now: Tensor) -> Any:
        reached, time = carry
        one = concat([never, reached[:, :-1]], 1)  # type: ignore[index]
        two = where(jumps, concat([never, never, reached[:, :-2]], 1), _NEVER) if longest != 0 else never  # type: ignore[index]
        new = _logs_added(reached, one, two) + now
        new = where(expand_dims(time < times, 1), maximum(new, _NEVER), reached)
        return (new, time + 1), None

    with beside(x):
        one = as_tensor(1, times.dtype)
    (reached, _), _ = scan(step, (first, one), part(emitted, 0, 1, x.shape[0] - 1))
    last = expand_dims(2 * lengths, 1)
    ends = take_along_axis(reached, last, 1)
    within = take_along_axis(reached, maximum(last - 1, 0), 1)
    both = where(last > 0, logaddexp(ends, within), ends)
    return reshape(both, (batch,))


def _logs_added(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """log(exp(a) + exp(b) + exp(c))."""
    most = maximum(maximum(a, b), c).detach()
    return most + log(exp(a - most) + exp(b - most) + exp(c - most))
