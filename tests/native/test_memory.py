"""Where buffers lie: lifetimes, reuse of what is no longer needed, and what that must never change."""

from __future__ import annotations

import random

import numpy as np
import pytest

import graphflow as gf
from graphflow import nn, optim
from graphflow.nn import functional as F
from graphflow.runtime.executor import Native
from graphflow.schedule.memory import MANY, Arena, Lifetime, place
from tests.native.common import native, record

rng = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32)


def some_lifetimes(count: int) -> list[Lifetime]:
    draw = random.Random(count)
    firsts = [draw.randrange(count) for _ in range(count)]
    return [Lifetime(draw.choice([0, 4, 64, 100, 4096]), f, f + draw.randrange(1, 30)) for f in firsts]


def least(lifetimes: list[Lifetime]) -> int:
    """The most bytes that are in use at one time."""
    ends = max(each.last for each in lifetimes) + 1
    return max(sum(-(-s // 64) * 64 for s, f, l in lifetimes if f <= time <= l) for time in range(ends))


@pytest.mark.parametrize("count", [1, 2, 30, 300, MANY + 200])
def test_buffers_in_use_at_the_same_time_do_not_overlap(count: int) -> None:
    lifetimes = some_lifetimes(count)
    offsets, total = place(lifetimes)
    for i, (a, start) in enumerate(zip(lifetimes, offsets)):
        assert start % 64 == 0 and start + a.size <= total
        for b, other in zip(lifetimes[:i], offsets[:i]):
            apart = start + a.size <= other or other + b.size <= start
            assert apart or a.last < b.first or b.last < a.first or not a.size or not b.size
    assert total <= 1.3 * least(lifetimes)


def test_many_buffers_are_placed_in_a_moment() -> None:
    import time

    lifetimes = some_lifetimes(20_000)
    started = time.perf_counter()
    place(lifetimes)
    assert time.perf_counter() - started < 5  # a search of all pairs takes minutes


def test_what_follows_a_dying_buffer_takes_its_place() -> None:
    def function(x: gf.Tensor, w: gf.Tensor) -> gf.Tensor:
        return gf.softmax(x @ w, axis=1) @ w

    made = native(function, normal(64, 64), normal(64, 64))
    arena = Arena(made.program)
    assert len(arena.place_of) == 2 and len(set(arena.place_of.values())) == 1
    assert made.peak_bytes == 64 * 64 * 4


def test_a_scatter_leaves_what_it_scatters_into_in_its_place() -> None:
    places, updates = np.array([3, 0, 3]), normal(3, 4)

    def gradient(table: gf.Tensor, twice: bool) -> gf.Tensor:
        start = gf.tanh(table)
        made = start.index_add(0, gf.tensor(places), gf.tensor(updates)) * 2
        return made + start if twice else made

    table = normal(5, 4)
    want = np.tanh(table)
    np.add.at(want, places, updates)
    for twice in (False, True):
        executable = native(lambda t, twice=twice: gradient(t, twice), table)
        (pair,) = [(k.inputs[0], k.output) for k in executable.program.kernels if k.kind == "Library"]
        shared = executable.arena.place_of[pair[0]] is executable.arena.place_of[pair[1]]
        assert shared is not twice
        (got,) = executable.run([table])
        np.testing.assert_allclose(got, want * 2 + twice * np.tanh(table), rtol=1e-5)


def test_a_buffer_that_is_read_elsewhere_keeps_its_place() -> None:
    def function(x: gf.Tensor, w: gf.Tensor) -> gf.Tensor:
        product = x @ w
        turned = gf.tanh(product) + product.T  # reads the product at two places
        return turned @ w + gf.sum(product)

    native(function, normal(32, 32), normal(32, 32), tolerance=1e-4)


def test_a_value_that_needs_what_an_earlier_store_overwrites() -> None:
    v, u = gf.Variable(normal(4, 5), name="v"), gf.Variable(normal(4, 5), name="u")
    w = gf.Variable(normal(5, 5), name="w")
    old = v.numpy().copy()

    def step(x: gf.Tensor) -> gf.Tensor:
        before, product = v.value, x @ w
        v.assign(product)
        u.assign(before * product)
        return gf.sum(x)

    x = normal(4, 5)
    graph, inputs = record(step, [x])
    Native(graph, inputs).run([x])
    np.testing.assert_allclose(v.numpy(), x @ w.numpy(), rtol=1e-5)
    np.testing.assert_allclose(u.numpy(), old * (x @ w.numpy()), rtol=1e-5)


def test_the_derivative_of_an_activation_is_not_stored() -> None:
    """Of gelu the backward pass needs one array, from which it computes the derivative."""
    w, b = nn.Parameter(normal(32, 64)), nn.Parameter(normal(64))
    v = nn.Parameter(normal(64, 1))

    @gf.compile
    def step(x: gf.Tensor) -> gf.Tensor:
        loss = gf.sum(F.gelu(x @ w + b) @ v)
        loss.backward()
        return loss

    step(normal(128, 32))
    large = 128 * 64 * 4
    assert "temporary memory" in step.explain()
    assert step._traces[0].executable.peak_bytes < 3.2 * large  # the sum, gelu of it, the gradient


def test_a_training_step_needs_little_more_than_its_activations() -> None:
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = optim.Adam(model.parameters(), lr=1e-3)

    @gf.compile
    def step(x: gf.Tensor, y: gf.Tensor) -> gf.Tensor:
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    batch = 256
    step(normal(batch, 64), np.zeros(batch, np.int64))
    activations = batch * (128 + 128 + 10) * 4
    assert step._traces[0].executable.peak_bytes < 2.2 * activations
