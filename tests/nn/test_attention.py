"""Attention against its formula and against PyTorch: masks, causal, shared heads, rows that see nothing, every mode."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np
import pytest

import graphflow as gf
import graphflow.nn.functional as F
from graphflow import nn
from graphflow.testing import check_grad, check_parity

rng = np.random.default_rng(0)
NEVER = float("-inf")


def normal(*shape: int, dtype: str = "float64") -> np.ndarray:
    return rng.normal(size=shape).astype(dtype)


def formula(q: Any, k: Any, v: Any, mask: Any = None, causal: bool = False, scale: float | None = None) -> Any:
    scores = q @ k.swapaxes(-1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if mask is not None:
        scores = np.where(mask, scores, NEVER) if mask.dtype == bool else scores + mask
    if causal:
        scores = np.where(np.tri(*scores.shape[-2:], dtype=bool), scores, NEVER)
    powers = np.exp(scores - np.maximum(scores.max(-1, keepdims=True), -1e300))
    return powers / np.maximum(powers.sum(-1, keepdims=True), 1e-300) @ v


def some_mask(kind: str, *shape: int) -> Any:
    seen = rng.random(shape) < 0.6
    seen[..., 1, :] = False  # a query that sees nothing
    return seen if kind == "bool" else np.where(seen, normal(*shape), NEVER)


SHAPES = [((2, 3, 5, 8), (2, 3, 7, 8)), ((9, 4), (11, 4)), ((1, 2, 40, 33), (1, 2, 70, 33))]


@pytest.mark.parametrize("kind", ["none", "causal", "bool", "float"])
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_the_formula_in_every_mode(shapes: Any, kind: str) -> None:
    q, k, v = normal(*shapes[0]), normal(*shapes[1]), normal(*shapes[1])
    mask = some_mask(kind, q.shape[-2], k.shape[-2]) if kind in ("bool", "float") else None

    def attend(q: Any, k: Any, v: Any) -> Any:
        return F.scaled_dot_product_attention(q, k, v, mask, is_causal=kind == "causal")

    want = formula(q, k, v, mask, kind == "causal")
    np.testing.assert_allclose(attend(*map(gf.tensor, (q, k, v))).numpy(), want, atol=1e-12)
    check_parity(attend, q, k, v)
    check_parity(attend, *(a.astype(np.float32) for a in (q, k, v)))


@pytest.mark.parametrize("mode", ["eager", "graph"])
@pytest.mark.parametrize(
    "case", ["causal", "mask", *(pytest.param(c, marks=pytest.mark.slow) for c in ("sizes", "values"))]
)
def test_gradients_to_second_order(case: str, mode: str) -> None:
    q, k, v = normal(2, 4, 3), normal(2, 5 if case == "sizes" else 4, 3), normal(2, 4, 3)
    v = normal(2, k.shape[1], 6 if case == "values" else 3)
    mask = normal(4, k.shape[1]) if case == "mask" else None
    if mask is None:
        check_grad(lambda *t: F.scaled_dot_product_attention(*t, is_causal=case == "causal"), q, k, v, mode=mode)
    else:  # a learned one, shared by the batch
        check_grad(F.scaled_dot_product_attention, q, k, v, mask, mode=mode)


def test_settings() -> None:
    q, k, v = normal(2, 6, 5, 8), normal(2, 2, 7, 8), normal(2, 2, 7, 4)
    full = [np.repeat(t, 3, axis=1) for t in (k, v)]
    mask = some_mask("bool", 6, 5, 7)
    got = F.scaled_dot_product_attention(q, k, v, mask, scale=0.3, enable_gqa=True)
    np.testing.assert_allclose(got.numpy(), formula(q, *full, mask, scale=0.3), atol=1e-12)
    check_parity(lambda *t: F.scaled_dot_product_attention(*t, is_causal=True, enable_gqa=True), q, k, v)
    half = F.scaled_dot_product_attention(*(t.astype(np.float16) for t in (q, *full)))
    assert half.dtype is gf.float16
    np.testing.assert_allclose(half.numpy(), formula(q, *full), atol=2e-2)
    broadcast = F.scaled_dot_product_attention(q[:, :1], full[0], full[1][:1])
    np.testing.assert_allclose(broadcast.numpy(), formula(q[:, :1], full[0], full[1][:1]), atol=1e-12)


def test_dropout_of_weights() -> None:
    q, k, v = normal(1, 200, 4), normal(1, 50, 4), np.ones((1, 50, 1))
    out = F.scaled_dot_product_attention(q, k, v, dropout_p=0.5).numpy()
    assert abs(out.mean() - 1) < 0.05 and out.std() > 0.05
    check_parity(lambda *t: F.scaled_dot_product_attention(*t, dropout_p=0.5), q, k, v, grad=False)


def test_any_length_and_batch_in_one_program() -> None:
    @gf.compile(dynamic=(0, 2))
    def attend(q: gf.Tensor) -> gf.Tensor:
        return F.scaled_dot_product_attention(q, q, q, is_causal=True)

    for batch, length in ((2, 3), (3, 90), (2, 700), (4, 1)):
        q = normal(batch, 2, length, 5)
        np.testing.assert_allclose(attend(gf.tensor(q)).numpy(), formula(q, q, q, causal=True), atol=1e-12)
    assert attend.cache_info().traces <= 2


def test_the_same_bits_on_any_number_of_threads() -> None:
    q, k, v, g = (normal(3, 2, 300, 24, dtype="float32") for _ in range(4))

    def run(threads: int) -> list[Any]:
        @gf.compile(num_threads=threads)
        def step(q: gf.Tensor, k: gf.Tensor, v: gf.Tensor) -> Any:
            out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            return [out, *gf.gradients(out, [q, k, v], gf.tensor(g))]

        return [t.numpy() for t in step(*(gf.tensor(t, requires_grad=True) for t in (q, k, v)))]

    for a, b in zip(run(1), run(3)):
        np.testing.assert_array_equal(a, b)


def test_mistakes() -> None:
    q = gf.ones((2, 3, 4))
    with pytest.raises(ValueError, match="not both"):
        F.scaled_dot_product_attention(q, q, q, gf.ones((3, 3)), is_causal=True)
    with pytest.raises(gf.errors.ShapeError, match="queries, size"):
        F.scaled_dot_product_attention(q, gf.ones((2, 3, 5)), q)
    with pytest.raises(gf.errors.ShapeError, match="do not broadcast"):
        F.scaled_dot_product_attention(q, q, q, gf.ones((2, 2)))
    with pytest.raises(gf.errors.DTypeError, match="bool or floats"):
        F.scaled_dot_product_attention(q, q, q, gf.ones((3, 3), dtype=gf.int64))
    with pytest.raises(ValueError, match="probability"):
        F.scaled_dot_product_attention(q, q, q, dropout_p=2.0)
    with pytest.raises(ValueError, match="multiple of num_heads"):
        nn.MultiheadAttention(8, 3)
    with pytest.raises(gf.errors.ShapeError, match="last sizes"):
        nn.MultiheadAttention(8, 2)(q, q, q)
    layer, x = nn.MultiheadAttention(4, 2, batch_first=True), gf.ones((2, 5, 4))
    with pytest.raises(gf.errors.ShapeError, match="attn_mask should have shape"):
        layer(x, q, q, attn_mask=gf.ones((3, 3)))
    with pytest.raises(gf.errors.ShapeError, match="key_padding_mask should have shape"):
        layer(x, q, q, key_padding_mask=gf.ones((2, 5)))
    with pytest.raises(ValueError, match="activation"):
        nn.TransformerEncoderLayer(8, 2, activation="swish")


# -- layers against PyTorch --------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def torch() -> Any:
    return pytest.importorskip("torch")


def same_run(torch: Any, ours: Any, theirs: Any, arrays: list[Any], **options: Any) -> None:
    """Outputs, gradients of inputs and of parameters. Masks among the options are arrays."""
    tolerance = 1e-5 if arrays[0].dtype == np.float32 else 1e-10
    kind = getattr(torch, arrays[0].dtype.name)
    theirs.to(kind)
    ours.to(arrays[0].dtype.name).load_state_dict(theirs.state_dict())
    assert list(ours.state_dict()) == list(theirs.state_dict())
    a = [gf.tensor(x, requires_grad=True) for x in arrays]
    b = [torch.tensor(x, requires_grad=True) for x in arrays]
    masks = {n: o for n, o in options.items() if isinstance(o, np.ndarray)}
    y = ours(*a, **options | {n: gf.tensor(o) for n, o in masks.items()})
    z = theirs(*b, **options | {n: torch.tensor(o) for n, o in masks.items()})
    if isinstance(z, tuple):
        assert (y[1] is None) == (z[1] is None)
        if z[1] is not None:
            np.testing.assert_allclose(y[1].numpy(), z[1].detach().numpy(), rtol=tolerance, atol=tolerance)
        y, z = y[0], z[0]
    np.testing.assert_allclose(y.numpy(), z.detach().numpy(), rtol=tolerance, atol=tolerance)
    weights = normal(*y.shape, dtype=arrays[0].dtype.name)
    ours.zero_grad(), theirs.zero_grad()
    (y * weights).sum().backward()
    (z * torch.tensor(weights)).sum().backward()
    own = dict(ours.named_parameters())
    pairs = [(x.grad, t.grad) for x, t in zip(a, b)] + [(own[n].grad, p.grad) for n, p in theirs.named_parameters()]
    for x, t in pairs:
        if t is not None:
            np.testing.assert_allclose(x.numpy(), t.numpy(), rtol=10 * tolerance, atol=10 * tolerance)


def both(torch: Any, kind: str, *args: Any, **settings: Any) -> tuple[Any, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about its fast path for inference
        theirs = getattr(torch.nn, kind)(*args, **settings)
    with torch.no_grad():
        for p in theirs.parameters():
            p.add_(0.2 * torch.randn_like(p))
    return getattr(nn, kind)(*args, **settings), theirs


def masks_of(chosen: str, batch: int, heads: int, queries: int, keys: int, dtype: str) -> dict[str, Any]:
    """No query loses all its keys: PyTorch's layers give NaN for such."""
    out: dict[str, Any] = {}
    if "p" in chosen:
        out["key_padding_mask"] = np.arange(keys)[None] >= np.array([keys, keys - 2, 2])[:batch, None]
    if "a" in chosen:
        hidden = np.triu(np.ones((queries, keys), bool), 2)
        out["attn_mask"] = hidden if "A" not in chosen else np.where(hidden, NEVER, 0.3).astype(dtype)
        if "h" in chosen:
            out["attn_mask"] = np.broadcast_to(out["attn_mask"], (batch * heads, queries, keys)).copy()
        if "key_padding_mask" in out and out["attn_mask"].dtype != bool:
            out["key_padding_mask"] = np.where(out["key_padding_mask"], NEVER, 0).astype(dtype)
    return out


LAYOUTS = {
    "plain": ({}, "", "float32"),
    "batch first": ({"batch_first": True}, "pa", "float32"),
    "no bias": ({"bias": False}, "a", "float64"),
    "more keys": ({"add_bias_kv": True, "add_zero_attn": True}, "paA", "float64"),
    "other sizes": ({"kdim": 6, "vdim": 4, "batch_first": True}, "pah", "float32"),
}


@pytest.mark.torch
@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("name", LAYOUTS)
def test_multihead_attention(torch: Any, name: str, need_weights: bool) -> None:
    settings, masks, dtype = LAYOUTS[name]
    ours, theirs = both(torch, "MultiheadAttention", 8, 2, **settings)
    sizes = (8, settings.get("kdim", 8), settings.get("vdim", 8))
    first = settings.get("batch_first")
    arrays = [normal(*((3, n, d) if first else (n, 3, d)), dtype=dtype) for n, d in zip((5, 7, 7), sizes)]
    options = masks_of(masks, 3, 2, 5, 7, dtype)
    same_run(torch, ours, theirs, arrays, need_weights=need_weights, **options)


@pytest.mark.torch
@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("masks", ["", "p", "a", "aA", "pa", "paA", "pah", "ahA"])
@pytest.mark.parametrize("bias,more,zero,first", [*itertools.product([True, False], repeat=4)])
def test_multihead_attention_grid(
    torch: Any, bias: bool, more: bool, zero: bool, first: bool, masks: str, dtype: str
) -> None:
    settings = {"bias": bias, "add_bias_kv": more, "add_zero_attn": zero, "batch_first": first}
    for sizes, weights, average in (((8, 8), True, False), ((8, 8), False, True), ((6, 4), True, True)):
        ours, theirs = both(torch, "MultiheadAttention", 8, 4, kdim=sizes[0], vdim=sizes[1], **settings)
        shapes = [(3, n, d) if first else (n, 3, d) for n, d in zip((5, 7, 7), (8, *sizes))]
        arrays = [normal(*s, dtype=dtype) for s in shapes]
        options = masks_of(masks, 3, 4, 5, 7, dtype)
        same_run(torch, ours, theirs, arrays, need_weights=weights, average_attn_weights=average, **options)


@pytest.mark.torch
def test_self_attention_alone_and_causal(torch: Any) -> None:
    ours, theirs = both(torch, "MultiheadAttention", 8, 2)
    ours.load_state_dict(theirs.state_dict())
    x = normal(6, 8, dtype="float32")
    hidden = np.triu(np.ones((6, 6), bool), 1)
    t = torch.tensor(x)
    z, w = theirs(t, t, t, attn_mask=torch.tensor(hidden), is_causal=True)
    g = gf.tensor(x)
    for need in (True, False):
        y, v = ours(g, g, g, need_weights=need, is_causal=True)
        np.testing.assert_allclose(y.numpy(), z.detach().numpy(), atol=1e-5)
    assert v is None
    np.testing.assert_allclose(ours(g, g, g, is_causal=True)[1].numpy(), w.detach().numpy(), atol=1e-6)
    more = nn.MultiheadAttention(8, 2, add_bias_kv=True)  # causal, but for the key that is added
    given = gf.tensor(hidden)
    for need in (True, False):
        y, z = (more(g, g, g, need_weights=need, **m)[0] for m in ({"is_causal": True}, {"attn_mask": given}))
        np.testing.assert_allclose(y.numpy(), z.numpy(), atol=1e-6)


ENCODERS = {
    "post-norm": {"activation": "gelu"},
    "pre-norm": {"norm_first": True, "batch_first": True},
    "no bias": {"bias": False, "layer_norm_eps": 1e-3},
}


@pytest.mark.torch
@pytest.mark.parametrize("name", ENCODERS)
def test_encoder_and_decoder_layers(torch: Any, name: str) -> None:
    settings: dict[str, Any] = {"dim_feedforward": 16, "dropout": 0.0, **ENCODERS[name]}
    dtype = "float64" if name == "no bias" else "float32"
    ours, theirs = both(torch, "TransformerEncoderLayer", 8, 2, **settings)
    first = settings.get("batch_first")
    src, tgt = (normal(*((3, n, 8) if first else (n, 3, 8)), dtype=dtype) for n in (6, 5))
    hidden = np.triu(np.ones((6, 6), bool), 1)
    padding = np.arange(6)[None] >= np.array([6, 5, 3])[:, None]
    same_run(torch, ours, theirs, [src], src_mask=hidden, src_key_padding_mask=padding)
    ours, theirs = both(torch, "TransformerDecoderLayer", 8, 2, **settings)
    masks = {"tgt_mask": hidden[:5, :5], "memory_key_padding_mask": padding}
    same_run(torch, ours, theirs, [tgt, src], **masks)


@pytest.mark.torch
@pytest.mark.parametrize("first", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_transformer(torch: Any, first: bool) -> None:
    settings = {"dim_feedforward": 16, "dropout": 0.0, "batch_first": first, "norm_first": first}
    ours, theirs = both(torch, "Transformer", 8, 2, 2, 2, **settings)
    src, tgt = (normal(*((3, n, 8) if first else (n, 3, 8)), dtype="float32") for n in (6, 5))
    hidden = np.triu(np.ones((5, 5), bool), 1)
    padding = np.arange(6)[None] >= np.array([6, 5, 3])[:, None]
    masks = {"src_key_padding_mask": padding, "memory_key_padding_mask": padding, "tgt_mask": hidden}
    same_run(torch, ours, theirs, [src, tgt], **masks)
    given = theirs.generate_square_subsequent_mask(4).numpy()
    np.testing.assert_array_equal(nn.Transformer.generate_square_subsequent_mask(4).numpy(), given)


def test_layers_in_every_mode() -> None:
    layer = nn.TransformerDecoderLayer(8, 2, 16, batch_first=True, norm_first=True, dropout=0.2)
    tgt, memory = normal(2, 5, 8, dtype="float32"), normal(2, 6, 8, dtype="float32")
    padding = np.array([[False] * 6, [False] * 4 + [True] * 2])

    def run(tgt: Any, memory: Any) -> Any:
        return layer(tgt, memory, tgt_is_causal=True, memory_key_padding_mask=padding)

    check_parity(run, tgt, memory)  # dropout draws the same numbers in every mode
    layer.eval()
    check_parity(run, tgt, memory)
    first, second = (run(gf.tensor(tgt), gf.tensor(memory)).numpy() for _ in range(2))
    np.testing.assert_array_equal(first, second)
    layer.train()
    assert np.abs(run(gf.tensor(tgt), gf.tensor(memory)).numpy() - first).max() > 1e-3


def test_layers_gradients_to_second_order() -> None:
    layer = nn.TransformerEncoderLayer(4, 2, 6, dropout=0.0, activation="gelu", batch_first=True, dtype="float64")
    check_grad(lambda x: layer(x, is_causal=True), normal(2, 3, 4), directions=1)


def test_copies_do_not_share_weights() -> None:
    stack = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), 2, nn.LayerNorm(8))
    assert len(list(stack.parameters())) == 2 * 12 + 2
    first, second = stack.layers
    np.testing.assert_array_equal(first.linear1.weight.numpy(), second.linear1.weight.numpy())
    first.linear1.weight.assign(first.linear1.weight * 2)
    assert np.abs(first.linear1.weight.numpy() - second.linear1.weight.numpy()).max() > 0


def test_a_query_that_sees_no_key_gets_zeros() -> None:
    layer = nn.MultiheadAttention(8, 2, batch_first=True, bias=False)
    x = gf.tensor(normal(2, 3, 8, dtype="float32"), requires_grad=True)
    hidden = gf.tensor([[False] * 3, [True] * 3])
    for need in (True, False):
        out, weights = layer(x, x, x, key_padding_mask=hidden, need_weights=need)
        assert not out.numpy()[1].any() and out.numpy()[0].any()
        (out * out).sum().backward()
        assert np.isfinite(x.grad.numpy()).all()
    assert weights is None


def test_masks_of_many_lengths_stay_native():
    """A mask has the number of keys on another axis than the keys: programs for any size know that they are equal."""
    from graphflow.ops.fused import COMPOSITES

    rng = np.random.default_rng(0)
    before = [len(c.failures) for c in COMPOSITES]
    with gf.config(native_after=0):
        for length in range(3, 9):
            q, k, v = (rng.standard_normal((2, 2, length, 4)) for _ in range(3))
            mask = rng.random((2, 1, 1, length)) > 0.3
            mask[..., 0] = True
            found = F.scaled_dot_product_attention(gf.asarray(q), gf.asarray(k), gf.asarray(v), gf.asarray(mask))
            scores = np.where(mask, q @ k.swapaxes(-1, -2) / 2, -np.inf)
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            np.testing.assert_allclose(found.numpy(), weights / weights.sum(-1, keepdims=True) @ v, rtol=1e-10)
    assert [len(c.failures) for c in COMPOSITES] == before
