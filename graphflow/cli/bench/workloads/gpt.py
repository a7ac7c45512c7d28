"""Transformers: the training step of a small GPT, and of a vision transformer made of the same blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphflow.cli.bench.workloads.record import Compile, Step, Workload

BATCH, WIDTH, HEADS = 16, 128, 4
Parameters = dict[str, np.ndarray]


@dataclass(frozen=True)
class Data:
    """Weights by the names of PyTorch's state_dict, inputs and classes."""

    parameters: Parameters
    x: np.ndarray
    y: np.ndarray
    blocks: int
    causal: bool


def _linear(rng: np.random.Generator, name: str, inputs: int, outputs: int) -> Parameters:
    bound = inputs**-0.5
    shapes = {"weight": (outputs, inputs), "bias": (outputs,)}
    return {f"{name}.{n}": rng.uniform(-bound, bound, s).astype(np.float32) for n, s in shapes.items()}


def _norm(name: str, width: int) -> Parameters:
    return {f"{name}.weight": np.ones(width, np.float32), f"{name}.bias": np.zeros(width, np.float32)}


def _block(rng: np.random.Generator, name: str, d: int) -> Parameters:
    return (
        _norm(f"{name}.n1", d)
        | _norm(f"{name}.n2", d)
        | _linear(rng, f"{name}.qkv", d, 3 * d)
        | _linear(rng, f"{name}.o", d, d)
        | _linear(rng, f"{name}.f1", d, 4 * d)
        | _linear(rng, f"{name}.f2", 4 * d, d)
    )


def data(blocks: int, tokens: int, outputs: int, patch: int = 0) -> Data:
    """A GPT over ``outputs`` tokens, or, with patches of so many numbers, a ViT of ``outputs`` classes."""
    rng = np.random.default_rng(0)
    d = WIDTH
    if patch:
        parameters = _linear(rng, "e", patch, d)
        x: np.ndarray = rng.standard_normal((BATCH, tokens, patch), np.float32)
        y = rng.integers(0, outputs, BATCH)
    else:
        parameters = {"e.weight": rng.standard_normal((outputs, d), np.float32)}
        x, y = rng.integers(0, outputs, (BATCH, tokens)), rng.integers(0, outputs, BATCH * tokens)
    parameters["p"] = np.zeros((tokens, d), np.float32)
    for i in range(blocks):
        parameters |= _block(rng, f"b.{i}", d)
    parameters |= _norm("n", d) | _linear(rng, "u", d, outputs)
    return Data(parameters, x, y, blocks, causal=not patch)


def flops(blocks: int, tokens: int, outputs: int, patch: int = 0) -> int:
    """Of the products of a step: forward, and twice as many backward (without a gradient of the inputs)."""
    d, rows = WIDTH, BATCH * tokens
    weights = blocks * 12 * d * d * rows + d * outputs * (BATCH if patch else rows) + patch * d * rows
    attention = blocks * 2 * rows * tokens * d // (1 if patch else 2)  # of causal attention, what is not skipped
    return 2 * (3 * weights + 3 * attention + blocks * rows * tokens * d // (1 if patch else 2)) - 2 * patch * d * rows


# -- GraphFlow and PyTorch: the same classes, in either's words --------------------------------------------------------
def _modules(nn: Any, F: Any, embed: Any, zeros: Any) -> Any:
    """The classes Block and Model, from one of the two libraries."""

    class Block(nn.Module):  # type: ignore[misc]
        def __init__(self, d: int, heads: int, causal: bool) -> None:
            super().__init__()
            self.heads, self.causal = heads, causal
            self.n1, self.n2 = nn.LayerNorm(d), nn.LayerNorm(d)
            self.qkv, self.o = nn.Linear(d, 3 * d), nn.Linear(d, d)
            self.f1, self.f2 = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

        def forward(self, x: Any) -> Any:
            batch, tokens, d = x.shape
            q, k, v = self.qkv(self.n1(x)).reshape(batch, tokens, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
            a = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
            x = x + self.o(a.transpose(1, 2).reshape(batch, tokens, d))
            return x + self.f2(F.gelu(self.f1(self.n2(x))))

    class Model(nn.Module):  # type: ignore[misc]
        def __init__(self, d: Data) -> None:
            super().__init__()
            self.causal = d.causal
            shapes = {name: value.shape for name, value in d.parameters.items()}
            self.e = embed(*shapes["e.weight"]) if d.causal else nn.Linear(*reversed(shapes["e.weight"]))
            self.p = zeros(shapes["p"])
            self.b = nn.Sequential(*(Block(WIDTH, HEADS, d.causal) for _ in range(d.blocks)))
            self.n = nn.LayerNorm(WIDTH)
            self.u = nn.Linear(*reversed(shapes["u.weight"]))

        def forward(self, x: Any) -> Any:
            h = self.n(self.b(self.e(x) + self.p))
            return self.u(h).flatten(0, 1) if self.causal else self.u(h.mean(1))

    return Model


def graphflow_train(d: Data, compile: Compile) -> Step:
    import graphflow as gf
    from graphflow import nn
    from graphflow.nn import functional as F

    model = _modules(nn, F, nn.Embedding, lambda shape: nn.Parameter(np.zeros(shape, np.float32)))(d)
    model.load_state_dict(d.parameters)
    optimizer = gf.optim.Adam(model.parameters(), lr=1e-3)

    @compile
    def step(x: gf.Tensor, y: gf.Tensor) -> gf.Tensor:
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    x, y = gf.asarray(d.x), gf.asarray(d.y)
    return lambda: step(x, y)


def torch_train(d: Data, compile: Compile) -> Step:
    import torch
    import torch.nn.functional as F
    from torch import nn

    model = _modules(nn, F, nn.Embedding, lambda shape: nn.Parameter(torch.zeros(shape)))(d)
    model.load_state_dict({name: torch.from_numpy(value) for name, value in d.parameters.items()})
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    compiled = compile(model)
    x, y = torch.from_numpy(d.x), torch.from_numpy(d.y)

    def step() -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(compiled(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


# -- JAX ---------------------------------------------------------------------------------------------------------------
def _jax_forward(p: Mapping[str, Any], x: Any, blocks: int, causal: bool) -> Any:
    import jax
    import jax.numpy as jnp

    def norm(name: str, x: Any) -> Any:
        centered = x - x.mean(-1, keepdims=True)
        scaled = centered * jax.lax.rsqrt((centered**2).mean(-1, keepdims=True) + 1e-5)
        return scaled * p[f"{name}.weight"] + p[f"{name}.bias"]

    def linear(name: str, x: Any) -> Any:
        return x @ p[f"{name}.weight"] + p[f"{name}.bias"]

    h = (p["e.weight"][x] if causal else linear("e", x)) + p["p"]
    batch, tokens, d = h.shape
    mask = jnp.tril(jnp.ones((tokens, tokens), bool))
    for i in range(blocks):
        b = f"b.{i}"
        shape = (batch, tokens, 3, HEADS, d // HEADS)
        q, k, v = linear(f"{b}.qkv", norm(f"{b}.n1", h)).reshape(shape).transpose(2, 0, 3, 1, 4)
        scores = q @ k.swapaxes(-1, -2) * (d // HEADS) ** -0.5
        scores = jnp.where(mask, scores, -1e9) if causal else scores
        a = (jax.nn.softmax(scores) @ v).transpose(0, 2, 1, 3).reshape(batch, tokens, d)
        h = h + linear(f"{b}.o", a)
        h = h + linear(f"{b}.f2", jax.nn.gelu(linear(f"{b}.f1", norm(f"{b}.n2", h)), approximate=False))
    h = norm("n", h)
    return linear("u", h).reshape(batch * tokens, -1) if causal else linear("u", h.mean(1))


def jax_train(d: Data, compile: Compile) -> Step:
    import jax
    import jax.numpy as jnp

    # Weights of layers are (inputs, outputs) here; the table of the embedding stays.
    turned = {n for n, v in d.parameters.items() if v.ndim == 2 and n != "p" and not (n == "e.weight" and d.causal)}
    parameters = {n: jnp.asarray(v.T if n in turned else v) for n, v in d.parameters.items()}
    each = jax.tree_util.tree_map

    def loss_of(p: Any, x: Any, y: Any) -> Any:
        logits = jax.nn.log_softmax(_jax_forward(p, x, d.blocks, d.causal))
        return -jnp.mean(jnp.take_along_axis(logits, y[:, None], 1))

    def adam(p: Any, state: Any, x: Any, y: Any) -> Any:
        loss, gradient = jax.value_and_grad(loss_of)(p, x, y)
        m, v, t = state
        t = t + 1
        m = each(lambda a, g: 0.9 * a + 0.1 * g, m, gradient)
        v = each(lambda a, g: 0.999 * a + 0.001 * g * g, v, gradient)

        def update(p: Any, m: Any, v: Any) -> Any:
            return p - 1e-3 * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8)

        return each(update, p, m, v), (m, v, t), loss

    kept = [parameters, (each(jnp.zeros_like, parameters), each(jnp.zeros_like, parameters), jnp.zeros(()))]
    step = compile(adam, donate_argnums=(0, 1))
    x, y = jnp.asarray(d.x), jnp.asarray(d.y)

    def run() -> Any:
        kept[0], kept[1], loss = step(kept[0], kept[1], x, y)
        return loss.block_until_ready()

    return run


BUILD = {"graphflow": graphflow_train, "torch": torch_train, "jax": jax_train}
GPT = Workload(
    "gpt",
    "2 pre-norm transformer blocks, d=128, 4 heads, causal, 64 tokens, vocabulary 256, batch 16, Adam",
    lambda: data(2, 64, 256),
    BUILD,
    flops=flops(2, 64, 256),
    goals={"static": 0.45, "eager": 0.80},
)
VIT = Workload(
    "vit",
    "the same blocks without a mask on 64 patches of 4x4 RGB pixels, mean over them, 10 classes, batch 16, Adam",
    lambda: data(2, 64, 10, patch=48),
    BUILD,
    flops=flops(2, 64, 10, patch=48),
    goals={"static": 0.45, "eager": 0.80},
)
