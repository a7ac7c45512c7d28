"""Attention layers, with Keras's names and weight layouts."""

from __future__ import annotations

import math
from typing import Any

from graphflow.core import dispatch
from graphflow.core.dtypes import bool_, int64
from graphflow.core.errors import at_line, user_origin
from graphflow.keras.layers.base import Layer
from graphflow.keras.layers.core import EinsumDense
from graphflow.keras.layers.shapes import shapes_of
from graphflow.ops.composite import dropout, softmax
from graphflow.ops.creation import beside, iota
from graphflow.ops.define import FUNCTIONS, cast
from graphflow.ops.elementwise import where
from graphflow.ops.linalg import matmul
from graphflow.ops.logic import greater_equal
from graphflow.ops.mathematical import tanh
from graphflow.ops.movement import expand_dims, permute_dims
from graphflow.ops.reduce import sum as total
from graphflow.tensor import Tensor, as_tensor

_FAR = -1e9  # what a masked score is set to: nothing is left of it after softmax


class MultiHeadAttention(Layer):
    """Attention of several heads (Vaswani et al. 2017): ``layer(query, value, key=value)``, (batch, steps, features).

    Sublayers query, key and value have kernels (features, heads, size), the output's (heads, size, features).

    >>> import graphflow as gf
    >>> layer = gf.keras.layers.MultiHeadAttention(num_heads=2, key_dim=4)
    >>> x = gf.ones((2, 5, 8))
    >>> layer(x, x, use_causal_mask=True).shape, layer.count_params()
    ((2, 5, 8), 288)
    """

    supports_masking = True

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: Any = None,
        attention_axes: Any = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        kwargs.pop("flash_attention", None)  # scores are never stored where that is possible
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        if attention_axes is not None:
            raise ValueError(at_line("attention_axes is not supported: permute or reshape before", user_origin()))
        self.num_heads, self.key_dim, self.value_dim = num_heads, key_dim, value_dim or key_dim
        self.dropout, self.use_bias = dropout, use_bias
        self.output_size = output_shape if output_shape is None or isinstance(output_shape, int) else output_shape[-1]
        self._common = {
            "kernel_initializer": kernel_initializer,
            "bias_initializer": bias_initializer,
            "kernel_regularizer": kernel_regularizer,
            "bias_regularizer": bias_regularizer,
            "kernel_constraint": kernel_constraint,
            "bias_constraint": bias_constraint,
        }

    def _build_for(self, args: Any, kwargs: Any) -> None:
        given = [*args, *(kwargs[n] for n in ("value", "key")[len(args) - 1 :] if kwargs.get(n) is not None)]
        with dispatch.init_scope():
            self.build(*(shapes_of(t) for t in given[:3]))
        self.__dict__["built"] = True

    def build(self, query_shape: Any, value_shape: Any = None, key_shape: Any = None) -> None:
        value_shape = query_shape if value_shape is None else value_shape
        key_shape = value_shape if key_shape is None else key_shape
        bias = self.use_bias

        def head(size: int, name: str, shape: Any) -> EinsumDense:
            made = EinsumDense(
                "abc,cde->abde",
                (None, self.num_heads, size),
                bias_axes="de" if bias else None,
                name=name,
                **self._common,
            )
            return _built(made, shape)

        self.query_dense = head(self.key_dim, "query", query_shape)
        self.key_dense = head(self.key_dim, "key", key_shape)
        self.value_dense = head(self.value_dim, "value", value_shape)
        out = EinsumDense(
            "abcd,cde->abe",
            (None, self.output_size or query_shape[-1]),
            bias_axes="e" if bias else None,
            name="attention_output",
            **self._common,
        )
        self.output_dense = _built(out, (None, None, self.num_heads, self.value_dim))

    def call(
        self,
        query: Any,
        value: Any,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        key = value if key is None else key
        q, k, v = (
            permute_dims(dense(x), (0, 2, 1, 3))  # (batch, heads, steps, size)
            for dense, x in ((self.query_dense, query), (self.key_dense, key), (self.value_dense, value))
        )
        mask = _joined(query_mask, value_mask, key_mask, attention_mask)
        attend = FUNCTIONS.get("scaled_dot_product_attention")
        rate = self.dropout if training else 0.0
        if (
            attend is not None
            and not return_attention_scores
            and not rate
            and not (use_causal_mask and mask is not None)
        ):
            out, scores = attend(q, k, v, attn_mask=mask, is_causal=use_causal_mask), None
        else:
            scores = matmul(q * (1.0 / math.sqrt(self.key_dim)), k.mT)
            if use_causal_mask:
                lower = expand_dims(expand_dims(causal(scores), 0), 0)
                mask = lower if mask is None else mask & lower
            scores = softmax(scores if mask is None else where(mask, scores, _FAR), axis=-1)
            out = matmul(dropout(scores, rate, True) if rate else scores, v)
        out = self.output_dense(permute_dims(out, (0, 2, 1, 3)))
        return (out, scores) if return_attention_scores else out


def _built(layer: EinsumDense, shape: Any) -> EinsumDense:
    layer.build(shape)
    layer.__dict__["built"] = True
    return layer


def causal(scores: Tensor) -> Tensor:
    """Whether a query (second last axis) may see a key (last axis): those up to its own place."""
    queries, keys = scores.shape[-2:]
    with beside(scores):
        return greater_equal(iota((queries, 1), 0, int64), iota((1, keys), 1, int64))


def _joined(query_mask: Any, value_mask: Any, key_mask: Any, attention_mask: Any) -> Any:
    """All masks as one, (batch, 1, queries, keys) with sizes of 1 where it is the same; None without masks."""
    found: Any = None
    for mask, axis in ((query_mask, -1), (value_mask, -2), (key_mask, -2)):
        if mask is not None:
            spread = expand_dims(expand_dims(cast(as_tensor(mask), bool_), axis), 1)
            found = spread if found is None else found & spread
    if attention_mask is not None:
        given = cast(as_tensor(attention_mask), bool_)
        given = expand_dims(given, 1) if given.ndim == 3 else given
        found = given if found is None else found & given
    return found


class Attention(Layer):
    """Dot-product attention (Luong et al. 2015): ``Attention()([query, value, key])``, key being value by default."""

    supports_masking = True

    def __init__(
        self,
        use_scale: bool = False,
        score_mode: str = "dot",
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if score_mode not in ("dot", "concat"):
            raise ValueError(at_line(f"score_mode is 'dot' or 'concat', got {score_mode!r}", user_origin()))
        self.use_scale, self.score_mode, self.dropout = use_scale, score_mode, dropout
        self.scale: Any = None
        self.concat_score_weight: Any = None

    def build(self, input_shape: Any) -> None:
        if self.use_scale:
            self.scale = self.add_weight((), "ones", name="scale")
        if self.score_mode == "concat":
            self.concat_score_weight = self.add_weight((), "ones", name="concat_score_weight")

    def _scores(self, query: Tensor, key: Tensor) -> Any:
        if self.score_mode == "dot":
            scores: Any = matmul(query, key.mT)
            return scores if self.scale is None else scores * self.scale
        spread = expand_dims(query, -2) + expand_dims(key, -3)
        spread = spread if self.scale is None else self.scale * spread
        return self.concat_score_weight * total(tanh(spread), axis=-1)

    def call(
        self,
        inputs: Any,
        mask: Any = None,
        training: bool = False,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        if not isinstance(inputs, (list, tuple)) or len(inputs) not in (2, 3):
            raise ValueError(at_line(f"{self.name} takes [query, value] or [query, value, key]", user_origin()))
        query, value, *rest = (self._floats(t) for t in inputs)
        key = rest[0] if rest else value
        scores = self._scores(query, key)
        given = list(mask) if isinstance(mask, (list, tuple)) else [None, None]
        seen = None if given[1] is None else expand_dims(cast(as_tensor(given[1]), bool_), -2)
        if use_causal_mask:
            lower = expand_dims(causal(scores), 0)
            seen = lower if seen is None else seen & lower
        weights = softmax(scores if seen is None else where(seen, scores, _FAR), axis=-1)
        if training and self.dropout:
            weights = dropout(weights, self.dropout, True)
        out = matmul(weights, value)
        if given[0] is not None:
            out = out * expand_dims(cast(as_tensor(given[0]), out.dtype), -1)
        return (out, weights) if return_attention_scores else out

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        return previous_mask[0] if isinstance(previous_mask, (list, tuple)) else None


class AdditiveAttention(Attention):
    """Additive attention (Bahdanau et al. 2015): ``sum(scale * tanh(query + key))`` are the scores."""

    def __init__(self, use_scale: bool = True, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(use_scale, dropout=dropout, **kwargs)

    def build(self, input_shape: Any) -> None:
        if self.use_scale:
            self.scale = self.add_weight((input_shape[0][-1],), "glorot_uniform", name="scale")

    def _scores(self, query: Tensor, key: Tensor) -> Any:
        spread = tanh(expand_dims(query, -2) + expand_dims(key, -3))
        return total(spread if self.scale is None else self.scale * spread, axis=-1)
