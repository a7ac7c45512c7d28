"""Sequences of different lengths: padded to one length, or packed one after the other, as in ``torch.nn.utils.rnn``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from graphflow.core.errors import ShapeError, TraceError, at_line, user_origin
from graphflow.ops.creation import full
from graphflow.ops.movement import concat, permute_dims, reshape, stack
from graphflow.ops.padding import pad
from graphflow.ops.picking import take
from graphflow.tensor import Tensor, as_tensor


class PackedSequence(NamedTuple):
    """Sequences, the longest first, without padding: ``data`` has step 0 of all of them, then step 1 of those that have
    one, ...

    ``batch_sizes`` says how many have each step. ``sorted_indices`` are the sequences' places before they were sorted,
    ``unsorted_indices`` their places now; None if they were sorted already.
    """

    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None = None
    unsorted_indices: Tensor | None = None

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The same with ``data.to(...)``."""
        return self._replace(data=self.data.to(*args, **kwargs))


def _numbers(values: Any, what: str) -> np.ndarray[Any, Any]:
    """Integers that must be known now."""
    if isinstance(values, Tensor) and values._node is not None:
        message = f"{what} must be known when the function is traced: give them as a list of numbers"
        raise TraceError(at_line(message + ", or give the layer padded sequences and lengths=", user_origin()))
    return np.asarray(values).astype(np.int64)


def pack_padded_sequence(
    input: Any, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Pack padded sequences (steps, batch, ...), with ``batch_first`` (batch, steps, ...).

    With ``enforce_sorted=False`` they may come in any order. Raises ShapeError for lengths that do not fit, ValueError
    for sequences that are not sorted though they should be.

    >>> from graphflow.nn.utils.rnn import pack_padded_sequence
    >>> packed = pack_padded_sequence(gf.tensor([[1, 2], [3, 0]]), [2, 1], batch_first=True)
    >>> packed.data.tolist(), packed.batch_sizes.tolist()
    ([1, 3, 2], [2, 1])
    """
    x = as_tensor(input)
    sizes = _numbers(lengths, "lengths")
    steps, batch = (x.shape[1], x.shape[0]) if batch_first else x.shape[:2]
    if sizes.shape != (batch,) or sizes.size == 0 or sizes.min() < 1 or sizes.max() > steps:
        message = f"pack_padded_sequence needs {batch} lengths in 1..{steps}, got {sizes.tolist()}"
        raise ShapeError(at_line(message, user_origin()))
    is_sorted = bool((sizes[:-1] >= sizes[1:]).all())
    if enforce_sorted and not is_sorted:
        message = "lengths must not increase with enforce_sorted=True, got"
        raise ValueError(at_line(f"{message} {sizes.tolist()}; pass enforce_sorted=False", user_origin()))
    order = None if enforce_sorted else np.argsort(-sizes, kind="stable")
    ordered = sizes if order is None else sizes[order]
    batch_sizes = (ordered[None, :] > np.arange(ordered[0])[:, None]).sum(1)
    packed = PackedSequence(x, Tensor(batch_sizes), *_orders(order))
    time_first = permute_dims(x, (1, 0, *range(2, x.ndim))) if batch_first else x
    return repack(time_first, packed)


def _orders(order: Any) -> tuple[Tensor | None, Tensor | None]:
    return (None, None) if order is None else (Tensor(order), Tensor(np.argsort(order)))


def repack(padded: Any, like: PackedSequence) -> PackedSequence:
    """Pack padded sequences (steps, batch, ...) as others are packed."""
    x = as_tensor(padded)
    step, place = _places(like)
    if like.sorted_indices is not None:
        place = _numbers(like.sorted_indices, "sorted_indices")[place]
    flat = reshape(x, (x.shape[0] * x.shape[1], *x.shape[2:]))
    return like._replace(data=take(flat, Tensor(step * x.shape[1] + place), axis=0))


def _places(packed: PackedSequence) -> tuple[Any, Any]:
    """The step, and the place among the sorted sequences, of each row of the data."""
    sizes = _numbers(packed.batch_sizes, "batch_sizes")
    return np.repeat(np.arange(len(sizes)), sizes), np.concatenate([np.arange(n) for n in sizes])


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Tensor, Tensor]:
    """Padded sequences (steps, batch, ...), with ``batch_first`` (batch, steps, ...), and their lengths.

    >>> from graphflow.nn.utils.rnn import pack_sequence, pad_packed_sequence
    >>> padded, lengths = pad_packed_sequence(pack_sequence([gf.tensor([1, 2]), gf.tensor([3])]), batch_first=True)
    >>> padded.tolist(), lengths.tolist()
    ([[1, 2], [3, 0]], [2, 1])
    """
    sizes = _numbers(sequence.batch_sizes, "batch_sizes")
    steps = len(sizes) if total_length is None else total_length
    if steps < len(sizes):
        raise ValueError(at_line(f"total_length {total_length} is less than the longest, {len(sizes)}", user_origin()))
    step, place = _places(sequence)
    rows = np.full((steps, int(sizes[0])), len(step))  # the row after the last holds the padding
    rows[step, place] = np.arange(len(step))
    lengths = (sizes[:, None] > np.arange(sizes[0])).sum(0)
    if sequence.unsorted_indices is not None:
        order = _numbers(sequence.unsorted_indices, "unsorted_indices")
        rows, lengths = rows[:, order], lengths[order]
    data = as_tensor(sequence.data)
    padding = full((1, *data.shape[1:]), padding_value, dtype=data.dtype)
    found = take(concat([data, padding]), Tensor(rows.T.copy() if batch_first else rows), axis=0)
    return found, Tensor(lengths)


def pad_sequence(
    sequences: Sequence[Any], batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Tensor:
    """Sequences (steps, ...) padded to the longest: (steps, batch, ...), with ``batch_first`` (batch, steps, ...).

    >>> from graphflow.nn.utils.rnn import pad_sequence
    >>> pad_sequence([gf.tensor([1, 2]), gf.tensor([3])], batch_first=True).tolist()
    [[1, 2], [3, 0]]
    """
    if padding_side not in ("right", "left"):
        raise ValueError(at_line(f"padding_side is 'right' or 'left', got {padding_side!r}", user_origin()))
    tensors = [as_tensor(s) for s in sequences]
    longest = max(int(t.shape[0]) for t in tensors)
    padded = []
    for t in tensors:
        missing = longest - int(t.shape[0])
        ends = (0, missing) if padding_side == "right" else (missing, 0)
        padded.append(pad(t, [ends, *[(0, 0)] * (t.ndim - 1)], constant_values=padding_value))
    return stack(padded, axis=0 if batch_first else 1)


def pack_sequence(sequences: Sequence[Any], enforce_sorted: bool = True) -> PackedSequence:
    """Pack sequences (steps, ...); see ``pack_padded_sequence``."""
    lengths = [int(as_tensor(s).shape[0]) for s in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpad_sequence(padded_sequences: Any, lengths: Any, batch_first: bool = False) -> list[Tensor]:
    """The sequences without their padding."""
    x = as_tensor(padded_sequences)
    x = x if batch_first else permute_dims(x, (1, 0, *range(2, x.ndim)))
    return [x[i, : int(n)] for i, n in enumerate(_numbers(lengths, "lengths"))]


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences that were packed."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)


def invert_permutation(permutation: Any) -> Tensor | None:
    """The permutation that undoes another."""
    return None if permutation is None else Tensor(np.argsort(_numbers(permutation, "permutation")))
