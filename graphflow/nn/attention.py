"""Attention of several heads."""

from __future__ import annotations

import math
from typing import Any

from graphflow.core.dims import Shape, Size, same_size, shape_str
from graphflow.core.dtypes import bool_
from graphflow.core.errors import ShapeError, at_line, user_origin
from graphflow.nn import functional as F
from graphflow.nn import init
from graphflow.nn.linear import Linear, new_parameter
from graphflow.nn.module import Module
from graphflow.ops.attention import NEVER, attend, attention_weights
from graphflow.ops.creation import beside, iota, zeros
from graphflow.ops.define import cast
from graphflow.ops.elementwise import where
from graphflow.ops.linalg import matmul
from graphflow.ops.movement import broadcast_to, concat, expand_dims, permute_dims, reshape
from graphflow.ops.padding import pad
from graphflow.ops.reduce import mean
from graphflow.tensor import Tensor, as_tensor


class MultiheadAttention(Module):
    """Attention in ``num_heads`` heads, between linear layers (Vaswani et al. 2017); PyTorch's arguments and weights.

    query (queries, batch, embed_dim), key (keys, batch, kdim) and value (keys, batch, vdim), or with the batch in front
    if ``batch_first``, or without it. Gives the result, of the query's shape, and the weights (batch, queries, keys),
    the heads' mean if ``average_attn_weights``, or None without ``need_weights``, which is faster.
    ``key_padding_mask`` (batch, keys) and ``attn_mask`` (queries, keys) or (batch * heads, queries, keys) are true
    where a query must *not* look, or are added to the scores. With ``is_causal`` query i sees the keys up to i, and
    ``attn_mask``, which then says the same, is not read. A query that sees no key gets zeros before the last layer.

    >>> import graphflow as gf
    >>> layer = gf.nn.MultiheadAttention(8, 2, batch_first=True)
    >>> x = gf.ones((3, 5, 8))
    >>> out, weights = layer(x, x, x)
    >>> out.shape, weights.shape
    ((3, 5, 8), (3, 5, 5))
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if embed_dim <= 0 or num_heads <= 0 or embed_dim % num_heads:
            raise ValueError(f"embed_dim should be a multiple of num_heads, got {embed_dim} and {num_heads}")
        self.embed_dim, self.num_heads, self.head_dim = embed_dim, num_heads, embed_dim // num_heads
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.dropout = dropout
        self.batch_first = batch_first
        self.add_zero_attn = add_zero_attn
        alike = self.kdim == self.vdim == embed_dim

        def weight(size: int, wanted: bool) -> Any:
            return new_parameter((embed_dim, size), dtype, device) if wanted else None

        self.register_parameter(
            "in_proj_weight", new_parameter((3 * embed_dim, embed_dim), dtype, device) if alike else None
        )
        self.register_parameter("q_proj_weight", weight(embed_dim, not alike))
        self.register_parameter("k_proj_weight", weight(self.kdim, not alike))
        self.register_parameter("v_proj_weight", weight(self.vdim, not alike))
        self.register_parameter("in_proj_bias", new_parameter((3 * embed_dim,), dtype, device) if bias else None)
        for name in ("bias_k", "bias_v"):
            self.register_parameter(name, new_parameter((1, 1, embed_dim), dtype, device) if add_bias_kv else None)
        self.out_proj = Linear(embed_dim, embed_dim, bias, device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew; biases are zeros."""
        for name in ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"):
            if getattr(self, name) is not None:
                init.xavier_uniform_(getattr(self, name))
        if self.in_proj_bias is not None:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)
        if self.bias_k is not None:
            init.xavier_normal_(self.bias_k)
            init.xavier_normal_(self.bias_v)

    def forward(
        self,
        query: Any,
        key: Any,
        value: Any,
        key_padding_mask: Any = None,
        need_weights: bool = True,
        attn_mask: Any = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        same, shared = query is key and key is value, key is value
        query, key, value = as_tensor(query), as_tensor(key), as_tensor(value)
        alone = query.ndim == 2
        self._check(query, key, value)
        if alone:
            axis = 0 if self.batch_first else 1
            query, key, value = (expand_dims(t, axis) for t in (query, key, value))
        q, k, v = self._projected(query, key, value, same, shared)
        k, v, added = self._with_more_keys(k, v)
        mask = self._mask(query, key, None if is_causal else attn_mask, key_padding_mask, added)
        causal = is_causal and not added
        if is_causal and added:  # what was added, every query sees
            unseen = self._mask(query, key, _above_diagonal(q, k.shape[2] - added), None, added)
            mask = unseen if mask is None else mask + unseen
        p = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            wide = attention_weights(q, k, mask, 1.0 / math.sqrt(self.head_dim), causal)
            weights = F.dropout(wide, p) if p else wide
            heads = cast(matmul(weights, v), v.dtype)
            weights = mean(weights, 1) if average_attn_weights else weights
            weights = weights[0] if alone else weights  # type: ignore[index]
        else:
            heads = attend(q, k, v, mask, p, causal)
        out = self.out_proj(self._merged(heads))
        return reshape(out, (*out.shape[:axis], *out.shape[axis + 1 :])) if alone else out, weights

    def _check(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        sizes = (self.embed_dim, self.kdim, self.vdim)
        fits = query.ndim in (2, 3) and query.ndim == key.ndim == value.ndim
        if not fits or any(t.shape[-1] != n for t, n in zip((query, key, value), sizes)):
            raise ShapeError(
                at_line(
                    f"MultiheadAttention takes query, key and value of rank 2 or 3 whose last sizes are {sizes}, "
                    f"got shapes {query.shape}, {key.shape} and {value.shape}",
                    user_origin(),
                )
            )

    # -- projections -------------------------------------------------------------------------------------------------
    def _projected(self, query: Tensor, key: Tensor, value: Tensor, same: bool, shared: bool) -> list[Tensor]:
        """q, k and v, each (batch, heads, length, head_dim): views of one product for each different operand."""
        weight, bias, d = self.in_proj_weight, self.in_proj_bias, self.embed_dim

        def part(of: Any, first: int, count: int) -> Any:
            return None if of is None else as_tensor(of)[first * d : (first + count) * d]

        if weight is None:
            weights = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
            operands = zip((query, key, value), weights, range(3))
            return [self._heads(F.linear(x, w, part(bias, i, 1)), 1)[0] for x, w, i in operands]
        if same:
            return self._heads(F.linear(query, weight, bias), 3)
        q = self._heads(F.linear(query, part(weight, 0, 1), part(bias, 0, 1)), 1)
        if shared:
            return q + self._heads(F.linear(key, part(weight, 1, 2), part(bias, 1, 2)), 2)
        rest = ((key, 1), (value, 2))
        return q + [self._heads(F.linear(x, part(weight, i, 1), part(bias, i, 1)), 1)[0] for x, i in rest]

    def _heads(self, x: Tensor, count: int) -> list[Tensor]:
        """Several projections side by side, taken apart: (batch, heads, length, head_dim) each."""
        first, second = x.shape[:2]
        parts = reshape(x, (first, second, count, self.num_heads, self.head_dim))
        parts = permute_dims(parts, (2, 0, 3, 1, 4) if self.batch_first else (2, 1, 3, 0, 4))
        return [parts[i] for i in range(count)]  # type: ignore[index]

    def _merged(self, heads: Tensor) -> Tensor:
        """The heads' results side by side, in the query's layout."""
        heads = permute_dims(heads, (0, 2, 1, 3) if self.batch_first else (2, 0, 1, 3))
        return reshape(heads, (*heads.shape[:2], self.embed_dim))

    def _with_more_keys(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, int]:
        """Keys and values with those that every query sees; how many these are."""
        added = 0
        if self.bias_k is not None:
            shape = (k.shape[0], self.num_heads, 1, self.head_dim)
            more = (broadcast_to(reshape(as_tensor(b), (1, *shape[1:])), shape) for b in (self.bias_k, self.bias_v))
            k, v = (concat([t, m], axis=2) for t, m in zip((k, v), more))
            added += 1
        if self.add_zero_attn:
            with beside(k):
                none = zeros((k.shape[0], self.num_heads, 1, self.head_dim), dtype=k.dtype)
            k, v = concat([k, none], axis=2), concat([v, none], axis=2)
            added += 1
        return k, v, added

    # -- masks ---------------------------------------------------------------------------------------------------------
    def _mask(self, query: Tensor, key: Tensor, attn_mask: Any, key_padding_mask: Any, added: int) -> Tensor | None:
        """Both masks as one to add to scores (batch, heads, queries, keys); None for none."""
        axis = 0 if self.batch_first else 1
        batch, queries, keys = query.shape[axis], query.shape[1 - axis], key.shape[1 - axis]
        masks = []
        if attn_mask is not None:
            mask = _scores(as_tensor(attn_mask), query)
            _fits("attn_mask", mask, (queries, keys), (batch * self.num_heads, queries, keys))
            if mask.ndim == 3:
                mask = reshape(mask, (batch, self.num_heads, queries, keys))
            masks.append(mask)
        if key_padding_mask is not None:
            mask = _scores(as_tensor(key_padding_mask), query)
            _fits("key_padding_mask", mask, (batch, keys), (keys,))
            masks.append(reshape(mask, (mask.shape[0] if mask.ndim == 2 else 1, 1, 1, keys)))
        if not masks:
            return None
        mask = masks[0] if len(masks) == 1 else masks[0] + masks[1]
        return pad(mask, [(0, 0)] * (mask.ndim - 1) + [(0, added)]) if added else mask

    def extra_repr(self) -> str:
        return f"{self.embed_dim}, {self.num_heads}, dropout={self.dropout}, batch_first={self.batch_first}"


def _fits(name: str, mask: Tensor, *shapes: Shape) -> None:
    """Raises ShapeError for a mask that has none of the shapes."""
    if not any(mask.ndim == len(s) and all(map(same_size, mask.shape, s)) for s in shapes):
        wanted = " or ".join(map(shape_str, shapes))
        raise ShapeError(
            at_line(f"MultiheadAttention: {name} should have shape {wanted}, got {mask.shape}", user_origin())
        )


def _scores(mask: Tensor, like: Tensor) -> Tensor:
    """A mask as numbers to add: -inf where a bool one is true."""
    if mask.dtype is bool_:
        return where(mask, as_tensor(NEVER, like.dtype), as_tensor(0.0, like.dtype))
    return cast(mask, like.dtype)


def _above_diagonal(q: Tensor, keys: Size) -> Tensor:
    """True where a key comes after the query."""
    shape = (q.shape[2], keys)
    with beside(q):
        return iota(shape, 1) > iota(shape, 0)
