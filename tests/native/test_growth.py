"""Compiling larger graphs: time in proportion to the nodes, kernels of bounded size, equal blocks compiled once."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

import graphflow as gf
from graphflow import nn, optim
from graphflow.codegen.build import Instruction
from graphflow.nn import functional as F
from graphflow.runtime.executor import Native
from graphflow.schedule.fusion import MAX_BODY, MAX_LEVEL
from graphflow.schedule.kernels import LoopKernel
from tests.native.common import record


def chain(steps: int) -> Callable[[gf.Tensor], gf.Tensor]:
    def function(x: gf.Tensor) -> gf.Tensor:
        for _ in range(steps):
            x = gf.sqrt(x * 0.5 + 1.25)
        return x

    return function


def rows(steps: int) -> Callable[[gf.Tensor], gf.Tensor]:
    """Reductions that each need the one before."""

    def function(x: gf.Tensor) -> gf.Tensor:
        for _ in range(steps):
            x = gf.tanh(x) - gf.mean(x, axis=1, keepdims=True)
        return x

    return function


def layers(count: int) -> Callable[[gf.Tensor], gf.Tensor]:
    weights = [gf.Variable(np.eye(16, dtype=np.float32)) for _ in range(count)]

    def function(x: gf.Tensor) -> gf.Tensor:
        for w in weights:
            x = gf.relu(x @ w + 1.0)
        return x

    return function


def compiled(function: Callable[[gf.Tensor], gf.Tensor]) -> Native:
    x = np.ones((8, 16), np.float32)
    graph, inputs = record(function, [x])
    made = Native(graph, inputs)
    made.run([x])
    return made


@pytest.mark.parametrize("make", [chain, rows, layers])
def test_time_grows_with_the_number_of_nodes(make: Callable[[int], Callable[[gf.Tensor], gf.Tensor]]) -> None:
    compiled(make(300))  # the kernels, which both sizes share
    seconds = []
    for size in (60, 600):
        trials = []
        for _ in range(3):
            started = time.perf_counter()
            compiled(make(size))
            trials.append(time.perf_counter() - started)
        seconds.append(min(trials))
    assert seconds[1] < 25 * seconds[0] + 0.5  # linear, as far as a busy machine lets one see it; quadratic is 100


@pytest.mark.parametrize("make", [chain, rows, layers])
def test_larger_graphs_need_no_more_kernels_to_compile(make: Callable[[int], Callable[[gf.Tensor], gf.Tensor]]) -> None:
    def keys(made: Native) -> set[str]:
        return {step.unit.key for step in made.instructions if isinstance(step, Instruction)}

    small, large = compiled(make(200)), compiled(make(400))
    assert len(keys(large)) <= len(keys(small)) + 2 <= 9


@pytest.mark.parametrize("make", [chain, rows])
def test_kernels_end(make: Callable[[int], Callable[[gf.Tensor], gf.Tensor]]) -> None:
    for kernel in compiled(make(300)).program.kernels:
        if isinstance(kernel, LoopKernel):
            passes = 1 + max(kernel.levels())
            assert passes <= MAX_LEVEL + 1 and passes * len(kernel.body) <= 2 * MAX_BODY


class Block(nn.Module):
    """A transformer's block: attention over the time steps, then a layer of gelu."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: gf.Tensor) -> gf.Tensor:
        batch, steps, width = x.shape
        split = gf.reshape(self.qkv(self.norm1(x)), (batch, steps, 3, self.heads, width // self.heads))
        q, k, v = (gf.permute_dims(split, (2, 0, 3, 1, 4))[i] for i in range(3))
        scores = q @ gf.permute_dims(k, (0, 1, 3, 2)) * (width // self.heads) ** -0.5
        seen = gf.arange(steps)[:, None] >= gf.arange(steps)[None, :]
        weights = gf.softmax(gf.where(seen, scores, -np.inf), axis=-1)
        x = x + self.out(gf.reshape(gf.permute_dims(weights @ v, (0, 2, 1, 3)), (batch, steps, width)))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Transformer(nn.Module):
    def __init__(self, blocks: int, vocabulary: int = 16, width: int = 16, steps: int = 8) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.position = nn.Parameter(gf.zeros((steps, width)))
        self.blocks = nn.Sequential(*(Block(width, 2) for _ in range(blocks)))
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, vocabulary)

    def forward(self, x: gf.Tensor) -> gf.Tensor:
        logits = self.out(self.norm(self.blocks(self.embedding(x) + self.position)))
        return gf.reshape(logits, (-1, logits.shape[-1]))


def transformer_step(blocks: int) -> Callable[..., gf.Tensor]:
    gf.random.seed(1)
    model = Transformer(blocks)
    optimizer = optim.Adam(model.parameters(), lr=1e-3)

    def step(x: gf.Tensor, y: gf.Tensor) -> gf.Tensor:
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def batch() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 16, (4, 8)), rng.integers(0, 16, 32)


def test_a_transformer_learns_the_same_eagerly_and_compiled() -> None:
    x, y = batch()
    eager, compiled_step = transformer_step(2), gf.compile(transformer_step(2))
    for _ in range(3):
        want = eager(gf.tensor(x), gf.tensor(y)).item()
        assert compiled_step(x, y).item() == pytest.approx(want, rel=1e-4)


def test_more_blocks_are_hardly_more_kernels_to_compile() -> None:
    x, y = batch()
    counts = []
    for blocks in (2, 4, 8):
        step = gf.compile(transformer_step(blocks))
        step(x, y)
        executable = step._traces[0].executable
        counts.append(len({s.unit.key for s in executable.instructions if isinstance(s, Instruction)}))
    assert counts[1] <= 1.2 * counts[0] and counts[2] <= counts[1] + 2, counts
