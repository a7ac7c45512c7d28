"""Attention: softmax(q k^T * scale + mask) v, as two primitives whose kernels never store the matrix of scores.

``attention`` and ``attention_gradient`` are kernels of tiles with a running softmax (graphflow_kernels.cpu.attention).
What follows from the gradients is written with ordinary ops, and so are attention with dropout and gradients of masks.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from graphflow.core import dispatch
from graphflow.core.aval import AVal
from graphflow.core.dims import Dim, Shape, broadcast_shapes, same_size, shape_str
from graphflow.core.dispatch import apply
from graphflow.core.dtypes import bool_
from graphflow.core.errors import DTypeError, ShapeError, at_line, user_origin
from graphflow.core.op import Sample
from graphflow.ops.arrange import matrix_transpose
from graphflow.ops.composite import dropout
from graphflow.ops.creation import beside, iota
from graphflow.ops.define import cast, primitive, promote
from graphflow.ops.elementwise import needs_gradient, rsqrt, where
from graphflow.ops.fused import fused
from graphflow.ops.linalg import matmul
from graphflow.ops.mathematical import exp
from graphflow.ops.movement import broadcast_to, concat, expand_dims, part, reshape, stack
from graphflow.ops.reduce import MAX, _reduce, floating
from graphflow.ops.reduce import sum as total
from graphflow.ops.special import identity, size_of, stop_gradient
from graphflow.tensor import Array, Tensor, as_tensor

NEVER = float("-inf")  # the score of a key that a query may not look at


# -- the meaning, in NumPy ---------------------------------------------------------------------------------------------
def _weights_ref(q: Array, k: Array, mask: Array | None, scale: float, causal: bool) -> Array:
    scores = np.matmul(q, k.swapaxes(-1, -2)) * q.dtype.type(scale)
    if mask is not None:
        scores = scores + mask
    if causal:
        scores = np.where(np.tri(*scores.shape[-2:]) > 0, scores, q.dtype.type(NEVER))
    most = scores.max(-1, keepdims=True, initial=NEVER)
    powers = np.exp(scores - np.where(most == NEVER, 0, most))
    sums = powers.sum(-1, keepdims=True)
    return powers / np.where(sums == 0, 1, sums)  # type: ignore[no-any-return]


def _wide(arrays: tuple[Array, ...]) -> list[Array]:
    """16-bit floats are added up in float32, as kernels do."""
    return [a.astype(np.float32) if a.dtype.itemsize == 2 else a for a in arrays]


def _attention_ref(*arrays: Array, scale: float, causal: bool) -> Array:
    q, k, v, *mask = _wide(arrays)
    with np.errstate(all="ignore"):
        weights = _weights_ref(q, k, mask[0] if mask else None, scale, causal)
        return np.matmul(weights, v).astype(arrays[0].dtype, copy=False)  # type: ignore[no-any-return]


def _gradient_ref(*arrays: Array, scale: float, causal: bool) -> Array:
    q, k, v, g, *mask = _wide(arrays)
    with np.errstate(all="ignore"):
        weights = _weights_ref(q, k, mask[0] if mask else None, scale, causal)
        slopes = weights * np.matmul(g, v.swapaxes(-1, -2))
        slopes = (slopes - weights * slopes.sum(-1, keepdims=True)) * q.dtype.type(scale)
        parts = np.matmul(slopes, k), np.matmul(slopes.swapaxes(-1, -2), q), np.matmul(weights.swapaxes(-1, -2), g)
        packed = np.stack(parts) if q.shape == k.shape else np.concatenate(parts, -2)
        return packed.astype(arrays[0].dtype, copy=False)


# -- the primitives ----------------------------------------------------------------------------------------------------
def _check(name: str, q: AVal, k: AVal, v: AVal, mask: tuple[AVal, ...]) -> Shape:
    """The shape of the result: that of q, with the size of v."""
    avals = (q, k, v, *mask)
    if not q.dtype.is_float or any(a.dtype is not q.dtype for a in avals):
        raise DTypeError(
            f"{name} takes operands of one floating-point dtype, got {', '.join(str(a.dtype) for a in avals)}"
        )
    fits = q.ndim == k.ndim == v.ndim >= 2 and all(
        same_size(a, b) and same_size(a, c) for a, b, c in zip(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    )
    if not fits or not same_size(q.shape[-1], k.shape[-1]) or not same_size(k.shape[-2], v.shape[-2]):
        shapes = ", ".join(shape_str(a.shape) for a in (q, k, v))
        raise ShapeError(
            f"{name} takes q (..., queries, size), k (..., keys, size) and v (..., keys, value size), got {shapes}"
        )
    scores = (*q.shape[:-1], k.shape[-2])
    for m in mask:
        if m.ndim < 2 or broadcast_shapes(m.shape, scores) != scores:
            raise ShapeError(f"{name}: a mask of shape {shape_str(m.shape)} does not broadcast to {shape_str(scores)}")
    return (*q.shape[:-1], v.shape[-1])


def _attention_infer(q: AVal, k: AVal, v: AVal, *mask: AVal, scale: float, causal: bool) -> AVal:
    return AVal(_check("attention", q, k, v, mask), q.dtype)


def _gradient_infer(q: AVal, k: AVal, v: AVal, g: AVal, *mask: AVal, scale: float, causal: bool) -> AVal:
    shape = _check("attention_gradient", q, k, v, mask)
    if g.shape != shape or not same_size(q.shape[-1], v.shape[-1]):
        raise ShapeError("attention_gradient takes a gradient of the result's shape, and one size for q, k and v")
    if q.shape[-2] == k.shape[-2]:
        return AVal((3, *q.shape), q.dtype)
    return AVal((*q.shape[:-2], q.shape[-2] + k.shape[-2] + k.shape[-2], q.shape[-1]), q.dtype)


def _attention_vjp(
    g: Tensor, out: Tensor, q: Tensor, k: Tensor, v: Tensor, *mask: Tensor, scale: float, causal: bool
) -> tuple[Tensor | None, ...]:
    operands = (q, k, v, g, *mask)
    settings: dict[str, Any] = {"scale": scale, "causal": causal}
    if q.shape[-1] == v.shape[-1]:
        gq, gk, gv = _unpacked(apply(ATTENTION_GRADIENT, operands, settings), q, k)
    else:
        gq, gk, gv = _gradients(*operands, **settings)
    if not mask:
        return gq, gk, gv
    if not needs_gradient(mask[0]):
        return gq, gk, gv, None
    return gq, gk, gv, cast(_score_gradients(*map(floating, operands), **settings)[1], q.dtype)


def _unpacked(packed: Tensor, q: Tensor, k: Tensor) -> list[Tensor]:
    """The gradients of q, k and v: side by side if there are as many keys as queries, else one below the other."""
    if packed.ndim > q.ndim:
        return [reshape(part(packed, 0, i, 1), packed.shape[1:]) for i in range(3)]
    queries, keys, axis = q.shape[-2], k.shape[-2], q.ndim - 2
    return [part(packed, axis, a, n) for a, n in ((0, queries), (queries, keys), (queries + keys, keys))]


def _gradient_vjp(g: Tensor, out: Tensor, *operands: Tensor, scale: float, causal: bool) -> Any:
    """By the gradients of the same written with ordinary ops."""
    from graphflow.autograd import gradients

    with dispatch.enable_grad():
        inputs = [identity(t) for t in operands]
        parts = _gradients(*inputs, scale=scale, causal=causal)
        packed = stack(parts) if g.ndim > operands[0].ndim else concat(parts, axis=-2)
        return gradients(packed, inputs, g)


def _samples(gradient: bool) -> list[Sample]:
    cases: list[tuple[Shape, Shape, Shape, Any, bool]] = [
        ((2, 5, 4), (2, 7, 4), (2, 7, 4), (1, 7), False),
        ((2, 2, 9, 3), (2, 2, 9, 3), (2, 2, 9, 3), None, True),
        ((1, 3, 3), (1, 0, 3), (1, 0, 3), None, False),
    ]
    if not gradient:
        cases.insert(0, ((5, 3), (4, 3), (4, 6), None, True))
    made = []
    for q, k, v, m, causal in cases:
        out = (*q[:-1], v[-1])
        args = (q, k, v, *((out,) if gradient else ()), *(() if m is None else (m,)))
        made.append(Sample(args, {"scale": 0.5, "causal": causal}))
    return made


ATTENTION = primitive(
    "attention",
    "contract",
    _attention_infer,
    _attention_ref,
    _attention_vjp,
    samples=lambda: _samples(False),
    dtypes="float",
    cost=8,
    doc="softmax(q k^T * scale + mask) v; with `causal`, query i sees the keys up to i. Rows that see none give zeros.",
)
ATTENTION_GRADIENT = primitive(
    "attention_gradient",
    "contract",
    _gradient_infer,
    _gradient_ref,
    _gradient_vjp,
    samples=lambda: _samples(True),
    dtypes="float",
    cost=20,
    doc="The gradients of attention in q, k and v as one tensor, from these and the result's gradient.",
)


# -- the same in ordinary ops ------------------------------------------------------------------------------------------
def attention_weights(q: Tensor, k: Tensor, mask: Tensor | None, scale: float, causal: bool) -> Tensor:
    """softmax(q k^T * scale + mask) along the keys; zeros where a query sees none."""
    scores = matmul(floating(q) * scale, matrix_transpose(floating(k)))
    if mask is not None:
        scores = scores + mask
    if causal:
        with beside(scores):
            queries, keys = (iota(scores.shape[-2:], axis) for axis in (0, 1))
        scores = where(keys <= queries, scores, NEVER)
    last = (scores.ndim - 1,)
    if scores.shape[-1] == 0:
        return scores
    most = stop_gradient(_reduce(MAX, scores, last, True))
    powers = exp(scores - where(most == NEVER, 0.0, most))
    sums = total(powers, axis=-1, keepdims=True)
    return powers / where(sums == 0, 1.0, sums)


def _gradients(q: Tensor, k: Tensor, v: Tensor, g: Tensor, *mask: Tensor, scale: float, causal: bool) -> list[Tensor]:
    """What ATTENTION_GRADIENT puts one below the other."""
    wide = [floating(t) for t in (q, k, v, g, *mask)]
    weights, slopes = _score_gradients(*wide, scale=scale, causal=causal)
    slopes, (q_, k_, _, g_, *_) = slopes * scale, wide
    parts = matmul(slopes, k_), matmul(matrix_transpose(slopes), q_), matmul(matrix_transpose(weights), g_)
    return [cast(x, q.dtype) for x in parts]


def _score_gradients(
    q: Tensor, k: Tensor, v: Tensor, g: Tensor, *mask: Tensor, scale: float, causal: bool
) -> tuple[Tensor, Tensor]:
    """The weights, and the gradient of the scores."""
    weights = attention_weights(q, k, mask[0] if mask else None, scale, causal)
    slopes = weights * matmul(g, matrix_transpose(v))
    return weights, slopes - weights * total(slopes, axis=-1, keepdims=True)


# -- the public function -----------------------------------------------------------------------------------------------
def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(query key^T * scale + attn_mask) value (Vaswani et al. 2017); scores are not stored (Dao et al. 2022).

    query (..., queries, size), key (..., keys, size), value (..., keys, value size); the axes before them broadcast. A
    bool mask is true where a query may look, a float one is added to the scores; ``is_causal`` lets query i see keys up
    to i. A query that sees no key gives zeros. ``scale`` is 1 / sqrt(size) by default. ``dropout_p`` zeroes weights,
    always: pass 0 outside of training. With ``enable_gqa`` several heads of queries (axis -3) share one of keys and
    values. Raises ShapeError where shapes do not fit, ValueError for both a mask and ``is_causal``.

    >>> import graphflow as gf
    >>> q = k = v = gf.ones((2, 4, 10, 8))
    >>> gf.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True).shape
    (2, 4, 10, 8)
    """
    if attn_mask is not None and is_causal:
        raise ValueError(
            at_line("attention takes attn_mask or is_causal=True, not both: put both in the mask", user_origin())
        )
    if not 0.0 <= dropout_p <= 1.0:
        raise ValueError(at_line(f"dropout_p should be a probability from 0 to 1, got {dropout_p}", user_origin()))
    return attend(query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa)


def attend(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any,
    dropout_p: float,
    is_causal: bool,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """``scaled_dot_product_attention`` that also takes both a mask and ``is_causal``."""
    if dropout_p > 0.0:  # draws random numbers: state, which no program of eager mode may have
        return _attend(query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa)
    return _attention(query, key, value, attn_mask, is_causal, scale, enable_gqa)


@fused("batch", "query", "key", "value", "attn_mask")
def _attention(
    query: Any, key: Any, value: Any, attn_mask: Any, is_causal: bool, scale: float | None, enable_gqa: bool
) -> Tensor:
    return _attend(query, key, value, attn_mask, 0.0, is_causal, scale, enable_gqa)


def _attend(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any,
    dropout_p: float,
    is_causal: bool,
    scale: float | None,
    enable_gqa: bool,
) -> Tensor:
    q, k, v = promote(query, key, value)
    for name, t in (("query", q), ("key", k), ("value", v)):
        if t.ndim < 2 or not t.dtype.is_float:
            raise ShapeError(
                at_line(f"attention: {name} should be floats of shape (..., length, size), got {t.aval}", user_origin())
            )
    mask = None if attn_mask is None else _additive(as_tensor(attn_mask), q)
    heads = q.shape
    if enable_gqa and q.ndim > 2 and k.ndim > 2 and q.shape[-3] != k.shape[-3]:
        q, k, v, mask = _grouped(q, k, v, mask)
    try:
        batch = broadcast_shapes(*(t.shape[:-2] for t in (q, k, v)), *(() if mask is None else (mask.shape[:-2],)))
    except ShapeError:
        shapes = ", ".join(shape_str(t.shape) for t in (q, k, v))
        raise ShapeError(
            at_line(f"attention of shapes {shapes}: the axes before the last two differ", user_origin())
        ) from None
    q, k, v = (t if t.shape[:-2] == batch else broadcast_to(t, (*batch, *t.shape[-2:])) for t in (q, k, v))
    number = _default_scale(q) if scale is None else scale
    if dropout_p or isinstance(number, Tensor):
        _check("attention", q.aval, k.aval, v.aval, () if mask is None else (mask.aval,))
        weights = attention_weights(q, k, mask, number, is_causal)
        out = cast(matmul(dropout(weights, dropout_p), floating(v)), v.dtype)
    else:
        operands = (q, k, v) if mask is None else (q, k, v, mask)
        out = apply(ATTENTION, operands, {"scale": float(number), "causal": bool(is_causal)})
    return reshape(out, (*heads[:-1], v.shape[-1])) if enable_gqa and out.ndim > len(heads) else out


def _default_scale(q: Tensor) -> Any:
    size = q.shape[-1]
    if not isinstance(size, Dim):
        return 1.0 / math.sqrt(max(size, 1))
    with beside(q):
        return rsqrt(size_of(size, floating(q).dtype))


def _additive(mask: Tensor, q: Tensor) -> Tensor:
    """A mask as numbers to add to the scores."""
    if mask.dtype is not bool_ and not mask.dtype.is_float:
        raise DTypeError(at_line(f"attention: attn_mask should be bool or floats, got {mask.dtype}", user_origin()))
    if mask.dtype is bool_:
        mask = where(mask, as_tensor(0.0, q.dtype), as_tensor(NEVER, q.dtype))
    mask = cast(mask, q.dtype)
    return mask if mask.ndim > 1 else expand_dims(mask, tuple(range(2 - mask.ndim)))


def _grouped(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Any:
    """Heads of queries in groups that share a head of keys and values, along an axis of its own."""
    heads, shared = q.shape[-3], k.shape[-3]
    if v.shape[-3] != shared or isinstance(heads, Dim) or isinstance(shared, Dim) or heads % shared:
        raise ShapeError(
            at_line(
                f"attention: {heads} heads of queries cannot share {shared} of keys, {v.shape[-3]} of values",
                user_origin(),
            )
        )
    q = reshape(q, (*q.shape[:-3], shared, heads // shared, *q.shape[-2:]))
    k, v = (expand_dims(t, t.ndim - 2) for t in (k, v))
    if mask is not None and mask.ndim > 2:
        grouped = (1, 1) if mask.shape[-3] == 1 else (shared, heads // shared)
        mask = reshape(mask, (*mask.shape[:-3], *grouped, *mask.shape[-2:]))
    return q, k, v, mask
