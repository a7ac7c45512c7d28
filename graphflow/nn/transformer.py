"""Transformers: encoder and decoder layers, stacks of them, and both together (Vaswani et al. 2017)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from graphflow.core.errors import ShapeError, at_line, user_origin
from graphflow.nn import functional as F
from graphflow.nn import init
from graphflow.nn.attention import MultiheadAttention
from graphflow.nn.container import ModuleList
from graphflow.nn.dropout import Dropout
from graphflow.nn.linear import Linear
from graphflow.nn.module import Module
from graphflow.nn.normalization import LayerNorm
from graphflow.ops.attention import NEVER
from graphflow.ops.creation import full, triu
from graphflow.tensor import Tensor

ACTIVATIONS: dict[str, Callable[[Any], Tensor]] = {"relu": F.relu, "gelu": F.gelu}


class _Layer(Module):
    """What encoder and decoder layers share: attention and two linear layers, each with dropout, norm and a detour."""

    def __init__(
        self,
        attentions: tuple[str, ...],
        d_model: int,
        nhead: int,
        dim_feedforward: int,
        dropout: float,
        activation: str | Callable[[Any], Tensor],
        layer_norm_eps: float,
        batch_first: bool,
        norm_first: bool,
        bias: bool,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        if isinstance(activation, str) and activation not in ACTIVATIONS:
            raise ValueError(
                f"activation should be {' or '.join(map(repr, ACTIVATIONS))} or a function, got {activation!r}"
            )
        for name in attentions:
            heads = MultiheadAttention(
                d_model, nhead, dropout, bias, batch_first=batch_first, device=device, dtype=dtype
            )
            self.register_module(name, heads)
        self.linear1 = Linear(d_model, dim_feedforward, bias, device, dtype)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, device, dtype)
        self.norm_first = norm_first
        parts = range(1, len(attentions) + 2)
        for i in parts:
            self.register_module(f"norm{i}", LayerNorm(d_model, layer_norm_eps, bias=bias, device=device, dtype=dtype))
        for i in parts:
            self.register_module(f"dropout{i}", Dropout(dropout))
        self.activation = ACTIVATIONS[activation] if isinstance(activation, str) else activation

    def _around(self, number: int, x: Any, part: Callable[[Any], Tensor]) -> Tensor:
        """x plus what a part of the layer makes of it; the norm comes before the part or after the sum."""
        norm, dropout = self._modules[f"norm{number}"], self._modules[f"dropout{number}"]
        assert norm is not None and dropout is not None
        if self.norm_first:
            return x + dropout(part(norm(x)))  # type: ignore[no-any-return]
        return norm(x + dropout(part(x)))  # type: ignore[no-any-return]

    def _feed_forward(self, x: Any) -> Any:
        return self.linear2(self.dropout(self.activation(self.linear1(x))))


class TransformerEncoderLayer(_Layer):
    """Self-attention and a network of two layers; PyTorch's arguments and weights.

    src (length, batch, d_model), or (batch, length, d_model) if ``batch_first``; masks as in ``MultiheadAttention``.

    >>> import graphflow as gf
    >>> layer = gf.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    >>> layer(gf.ones((3, 5, 8)), is_causal=True).shape
    (3, 5, 8)
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Any], Tensor] = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        sizes = d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps
        super().__init__(("self_attn",), *sizes, batch_first, norm_first, bias, device, dtype)

    def forward(
        self, src: Any, src_mask: Any = None, src_key_padding_mask: Any = None, is_causal: bool = False
    ) -> Tensor:
        def attend(x: Any) -> Any:
            return self.self_attn(x, x, x, src_key_padding_mask, False, src_mask, is_causal=is_causal)[0]

        return self._around(2, self._around(1, src, attend), self._feed_forward)


class TransformerDecoderLayer(_Layer):
    """Self-attention, attention to what an encoder gave (``memory``), and a network of two layers.

    tgt (length, batch, d_model) and memory (its length, batch, d_model), or with the batch in front if ``batch_first``.

    >>> import graphflow as gf
    >>> layer = gf.nn.TransformerDecoderLayer(8, 2, 16, batch_first=True)
    >>> layer(gf.ones((3, 5, 8)), gf.ones((3, 7, 8)), tgt_is_causal=True).shape
    (3, 5, 8)
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Any], Tensor] = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        sizes = d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps
        super().__init__(("self_attn", "multihead_attn"), *sizes, batch_first, norm_first, bias, device, dtype)

    def forward(
        self,
        tgt: Any,
        memory: Any,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        def attend(x: Any) -> Any:
            return self.self_attn(x, x, x, tgt_key_padding_mask, False, tgt_mask, is_causal=tgt_is_causal)[0]

        def look_up(x: Any) -> Any:
            masks = memory_key_padding_mask, False, memory_mask
            return self.multihead_attn(x, memory, memory, *masks, is_causal=memory_is_causal)[0]

        x = self._around(2, self._around(1, tgt, attend), look_up)
        return self._around(3, x, self._feed_forward)


def _copies(layer: Module, count: int) -> ModuleList:
    return ModuleList(copy.deepcopy(layer) for _ in range(count))


class TransformerEncoder(Module):
    """``num_layers`` copies of an encoder layer, then perhaps a norm.

    All copies start with the layer's weights, as in PyTorch, whose last two settings change nothing here.

    >>> import graphflow as gf
    >>> layer = gf.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    >>> gf.nn.TransformerEncoder(layer, 2)(gf.ones((3, 5, 8))).shape
    (3, 5, 8)
    """

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__()
        self.layers = _copies(encoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self, src: Any, mask: Any = None, src_key_padding_mask: Any = None, is_causal: bool | None = None
    ) -> Tensor:
        for layer in self.layers:
            src = layer(src, mask, src_key_padding_mask, is_causal=bool(is_causal))
        return src if self.norm is None else self.norm(src)  # type: ignore[no-any-return]


class TransformerDecoder(Module):
    """``num_layers`` copies of a decoder layer, then perhaps a norm.

    >>> import graphflow as gf
    >>> layer = gf.nn.TransformerDecoderLayer(8, 2, 16, batch_first=True)
    >>> gf.nn.TransformerDecoder(layer, 2)(gf.ones((3, 5, 8)), gf.ones((3, 7, 8))).shape
    (3, 5, 8)
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers = _copies(decoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        tgt: Any,
        memory: Any,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        masks = tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask
        for layer in self.layers:
            tgt = layer(tgt, memory, *masks, tgt_is_causal=bool(tgt_is_causal), memory_is_causal=memory_is_causal)
        return tgt if self.norm is None else self.norm(tgt)  # type: ignore[no-any-return]


class Transformer(Module):
    """An encoder and a decoder that looks at what the encoder gives; PyTorch's arguments and weights.

    src (its length, batch, d_model), tgt (length, batch, d_model), or with the batch in front if ``batch_first``.

    >>> import graphflow as gf
    >>> model = gf.nn.Transformer(8, 2, 1, 1, 16, batch_first=True)
    >>> model(gf.ones((3, 7, 8)), gf.ones((3, 5, 8)), tgt_is_causal=True).shape
    (3, 5, 8)
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Any], Tensor] = F.relu,
        custom_encoder: Module | None = None,
        custom_decoder: Module | None = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        settings = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias)

        def norm() -> LayerNorm:
            return LayerNorm(d_model, layer_norm_eps, bias=bias, device=device, dtype=dtype)

        self.encoder = custom_encoder or TransformerEncoder(
            TransformerEncoderLayer(*settings, device, dtype), num_encoder_layers, norm()
        )
        self.decoder = custom_decoder or TransformerDecoder(
            TransformerDecoderLayer(*settings, device, dtype), num_decoder_layers, norm()
        )
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first
        for parameter in self.parameters():
            if len(parameter.shape) > 1:
                init.xavier_uniform_(parameter)

    def forward(
        self,
        src: Any,
        tgt: Any,
        src_mask: Any = None,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        src_key_padding_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        if src.shape[-1] != self.d_model or tgt.shape[-1] != self.d_model:
            raise ShapeError(
                at_line(
                    f"Transformer takes src and tgt whose last size is {self.d_model}, got {src.shape} and {tgt.shape}",
                    user_origin(),
                )
            )
        memory = self.encoder(src, src_mask, src_key_padding_mask, is_causal=src_is_causal)
        masks = tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask
        return self.decoder(  # type: ignore[no-any-return]
            tgt, memory, *masks, tgt_is_causal=tgt_is_causal, memory_is_causal=memory_is_causal
        )

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Tensor:
        """Zeros on and below the diagonal, -inf above: a causal mask to add to scores.

        >>> import graphflow as gf
        >>> gf.nn.Transformer.generate_square_subsequent_mask(2).tolist()
        [[0.0, -inf], [0.0, 0.0]]
        """
        return triu(full((sz, sz), NEVER, dtype=dtype, device=device), k=1)
