"""One model, three ways to run it: eagerly, compiled, through a Session. Same parameters, same bits, no copying."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow import nn, optim
from graphflow.nn import functional as F

STEPS = 100


def make_model() -> nn.Module:
    gf.random.seed(7)
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.25), nn.Linear(32, 10))


def batches() -> list[tuple[np.ndarray, np.ndarray]]:
    images, labels = gf.datasets.load_digits("train")
    return [(images[i * 13 : i * 13 + 32], labels[i * 13 : i * 13 + 32]) for i in range(STEPS)]


def train_step(model: nn.Module, optimizer: Any) -> Callable[[Any, Any], Any]:
    def step(x: Any, y: Any) -> Any:
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def losses_eager() -> list[float]:
    model = make_model()
    step = train_step(model, optim.SGD(model.parameters(), lr=0.1, momentum=0.9))
    return [step(gf.tensor(x), gf.tensor(y)).item() for x, y in batches()]


def losses_compiled() -> list[float]:
    model = make_model()
    step = gf.compile(train_step(model, optim.SGD(model.parameters(), lr=0.1, momentum=0.9)))
    return [step(x, y).item() for x, y in batches()]


def session_step(model: nn.Module) -> Callable[[Any, Any], Any]:
    graph = gf.Graph()
    with graph:
        x = gf.placeholder((None, 64), name="x")
        y = gf.placeholder((None,), dtype=gf.int64, name="y")
        loss = F.cross_entropy(model(x), y)
        train = optim.SGD(lr=0.1, momentum=0.9).minimize(loss)
    session = gf.Session(graph)
    return lambda images, labels: session.run([train, loss], feed_dict={x: images, y: labels})[1]


def losses_session() -> list[float]:
    step = session_step(make_model())
    return [float(step(x, y)) for x, y in batches()]


def test_the_three_ways_learn_the_same() -> None:
    compiled, session, eager = losses_compiled(), losses_session(), losses_eager()
    assert compiled == session, "compiled and Session are the same program: equal to the bit"
    assert compiled[-1] < 0.5 * compiled[0]
    np.testing.assert_allclose(eager, compiled, rtol=1e-5)


def test_training_through_a_session_shows_in_eager_calls_and_back() -> None:
    model = make_model()
    step = session_step(model)
    model.eval()
    x, y = batches()[0]
    before = model(gf.tensor(x)).numpy().copy()
    model.train()
    first = float(step(x, y))
    model.eval()
    after = model(gf.tensor(x)).numpy()
    assert not np.allclose(before, after)
    with gf.no_grad():
        for p in model.parameters():
            p.assign(gf.zeros_like(p.value))
    model.train()
    assert float(step(x, y)) == pytest.approx(np.log(10), rel=1e-5) != first


def test_a_hundred_batch_sizes_are_one_trace_and_one_compile() -> None:
    model = make_model()
    step = gf.compile(train_step(model, optim.SGD(model.parameters(), lr=0.1)))
    images, labels = gf.datasets.load_digits("train")
    for size in range(1, 101):
        step(images[:size], labels[:size])
    info = step.cache_info()
    assert info.traces == 1 and info.compiles == 1 and info.hits == 99


LINE = r"test_three_ways\.py:\d+"


def names_this_line(error: BaseException) -> bool:
    return re.search(LINE, str(error)) is not None


def test_mistakes_name_the_users_line() -> None:
    with pytest.raises(ValueError, match="4.*5") as caught:
        gf.zeros((3, 4)) @ gf.zeros((5, 6))
    assert names_this_line(caught.value)
    with pytest.raises(TypeError) as caught2:
        gf.bitwise_and(gf.zeros(2), gf.zeros(2))
    assert names_this_line(caught2.value)
    with pytest.raises(gf.errors.GradientError, match="int64") as caught3:
        gf.gradients(gf.tensor(3), gf.tensor(2))
    assert names_this_line(caught3.value)

    @gf.compile
    def branch(x: Any) -> Any:
        return x if x.sum() > 0 else -x

    with pytest.raises(gf.errors.TraceError, match="gf.cond|gf.where") as caught4:
        branch(np.ones(3, np.float32))
    assert names_this_line(caught4.value)

    graph = gf.Graph()
    with graph:
        x = gf.placeholder((None, 3), name="pixels")
        total = gf.sum(x, axis=1)
    session = gf.Session(graph)
    with pytest.raises(gf.errors.FeedError, match="pixels") as caught5:
        session.run(total)
    assert names_this_line(caught5.value)
    with pytest.raises(gf.errors.FeedError, match="pixels") as caught6:
        session.run(total, {x: np.ones((2, 4), np.float32)})
    assert names_this_line(caught6.value)
    with pytest.raises(ValueError, match="pixels"):
        session.run("pixel")
