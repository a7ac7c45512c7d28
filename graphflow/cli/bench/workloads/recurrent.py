"""Text classifiers: an embedding, a recurrent layer over 50 steps, its last result to two classes; with Adam."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np

from graphflow.cli.bench.workloads.record import Compile, Step, Workload

WORDS, FEATURES, HIDDEN, STEPS, BATCH = 5000, 64, 128, 50, 32
GATES = {"LSTM": 4, "GRU": 3}


class Data(NamedTuple):
    kind: str
    weights: dict[str, np.ndarray]
    """By the names of PyTorch's modules."""
    x: np.ndarray
    y: np.ndarray


def data(kind: str) -> Data:
    """Weights as PyTorch draws them, any words, any classes."""
    rng = np.random.default_rng(0)
    gates = GATES[kind] * HIDDEN
    shapes = {
        "layer.weight_ih_l0": (gates, FEATURES),
        "layer.weight_hh_l0": (gates, HIDDEN),
        "layer.bias_ih_l0": (gates,),
        "layer.bias_hh_l0": (gates,),
        "last.weight": (2, HIDDEN),
        "last.bias": (2,),
    }
    bound = HIDDEN**-0.5
    weights = {name: rng.uniform(-bound, bound, shape) for name, shape in shapes.items()}
    weights["table.weight"] = rng.standard_normal((WORDS, FEATURES))
    weights = {name: w.astype(np.float32) for name, w in weights.items()}
    return Data(kind, weights, rng.integers(0, WORDS, (BATCH, STEPS)), rng.integers(0, 2, BATCH))


def flops(kind: str) -> int:
    """Of the layer's products: forward, and the gradients of both operands."""
    return 3 * 2 * STEPS * BATCH * GATES[kind] * HIDDEN * (FEATURES + HIDDEN)


def graphflow_train(d: Data, compile: Compile) -> Step:
    import graphflow as gf
    from graphflow import nn
    from graphflow.nn import functional as F

    class Text(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(WORDS, FEATURES)
            self.layer = getattr(nn, d.kind)(FEATURES, HIDDEN, batch_first=True)
            self.last = nn.Linear(HIDDEN, 2)

        def forward(self, x: Any) -> Any:
            results, _ = self.layer(self.table(x))
            return self.last(results[:, -1])

    model = Text()
    model.load_state_dict(d.weights)
    optimizer = gf.optim.Adam(model.parameters(), lr=1e-3)

    @compile
    def step(x: gf.Tensor, y: gf.Tensor) -> gf.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    x, y = gf.asarray(d.x), gf.asarray(d.y)
    return lambda: step(x, y)


def torch_train(d: Data, compile: Compile) -> Step:
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Text(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(WORDS, FEATURES)
            self.layer = getattr(nn, d.kind)(FEATURES, HIDDEN, batch_first=True)
            self.last = nn.Linear(HIDDEN, 2)

        def forward(self, x: Any) -> Any:
            results, _ = self.layer(self.table(x))
            return self.last(results[:, -1])

    model = Text()
    model.load_state_dict({name: torch.from_numpy(w) for name, w in d.weights.items()})
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


def _jax_cell(kind: str, p: Any, state: Any, x: Any) -> Any:
    import jax
    import jax.numpy as jnp

    h, c = state
    if kind == "LSTM":
        i, f, g, o = jnp.split(x + h @ p["layer.weight_hh_l0"].T + p["layer.bias_hh_l0"], 4, axis=1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
    else:
        xr, xz, xn = jnp.split(x, 3, axis=1)
        hr, hz, hn = jnp.split(h @ p["layer.weight_hh_l0"].T + p["layer.bias_hh_l0"], 3, axis=1)
        z = jax.nn.sigmoid(xz + hz)
        h = (1 - z) * jnp.tanh(xn + jax.nn.sigmoid(xr + hr) * hn) + z * h
    return (h, c), None


def jax_train(d: Data, compile: Compile) -> Step:
    import jax
    import jax.numpy as jnp

    def loss_of(p: Any, x: Any, y: Any) -> Any:
        rows = p["table.weight"][x].transpose(1, 0, 2)
        inputs = rows @ p["layer.weight_ih_l0"].T + p["layer.bias_ih_l0"]
        zero = jnp.zeros((x.shape[0], HIDDEN))
        (h, _), _ = jax.lax.scan(partial(_jax_cell, d.kind, p), (zero, zero), inputs)
        logits = h @ p["last.weight"].T + p["last.bias"]
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1))

    each = jax.tree_util.tree_map

    def adam(p: Any, state: Any, x: Any, y: Any) -> Any:
        loss, gradient = jax.value_and_grad(loss_of)(p, x, y)
        m, v, t = state
        t = t + 1
        m = each(lambda a, g: 0.9 * a + 0.1 * g, m, gradient)
        v = each(lambda a, g: 0.999 * a + 0.001 * g * g, v, gradient)

        def update(p: Any, m: Any, v: Any) -> Any:
            return p - 1e-3 * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8)

        return each(update, p, m, v), (m, v, t), loss

    weights = {name: jnp.asarray(w) for name, w in d.weights.items()}
    zeros = each(jnp.zeros_like, weights)
    kept = [weights, (zeros, each(jnp.zeros_like, weights), jnp.zeros(()))]
    step = compile(adam, donate_argnums=(0, 1))
    x, y = jnp.asarray(d.x), jnp.asarray(d.y)

    def run() -> Any:
        kept[0], kept[1], loss = step(kept[0], kept[1], x, y)
        return loss.block_until_ready()

    return run


TRAIN = {"graphflow": graphflow_train, "torch": torch_train, "jax": jax_train}
LSTM, GRU = (
    Workload(
        kind.lower(),
        f"Embedding({WORDS}, {FEATURES}), {kind}({HIDDEN}), {STEPS} steps, batch {BATCH}, last to 2 classes, Adam",
        partial(data, kind),
        TRAIN,
        flops=flops(kind),
        goals={"static": 0.50, "eager": 0.90},
    )
    for kind in ("LSTM", "GRU")
)
