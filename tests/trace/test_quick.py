"""Calls that only run a program take a short cut from the third on: it must see all that the long way sees."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import graphflow as gf
from graphflow import nn


@pytest.fixture(scope="module")
def scaled():
    w = gf.Variable(np.arange(6, dtype=np.float32).reshape(3, 2), name="w", trainable=False)
    return w, gf.compile(lambda x: gf.matmul(x, w) + 1.0)


def warm(f, *args):
    for _ in range(3):
        f(*args)
    assert f._quick  # the short cut is there


def test_assignments_show(scaled):
    w, f = scaled
    x = np.ones((4, 3), np.float32)
    warm(f, x)
    for value in (2.0, 3.0):
        w.assign(np.full((3, 2), value, np.float32))
        np.testing.assert_array_equal(f(x).numpy(), np.full((4, 2), 3 * value + 1, np.float32))


def test_results_stay_and_views_are_read_right(scaled):
    w, f = scaled
    w.assign(np.ones((3, 2), np.float32))
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    warm(f, x)
    first = f(x)
    kept = first.numpy().copy()
    second = f(np.asfortranarray(x) * 2)  # not C-contiguous
    np.testing.assert_array_equal(first.numpy(), kept)
    np.testing.assert_array_equal(second.numpy(), 2 * x.sum(1, keepdims=True) + np.ones((4, 2)))
    np.testing.assert_array_equal(f(gf.asarray(x)).numpy(), kept)


def test_larger_sizes_between_calls(scaled):
    """The memory that all sizes share moves when a larger one comes."""
    g = gf.compile(lambda x: gf.cumsum(gf.exp(x), axis=0) / gf.sum(gf.exp(x)))
    small = np.linspace(0, 1, 5, dtype=np.float32)
    want = g(small).numpy()
    for _ in range(3):
        g(small)
    g(np.linspace(0, 1, 50_000, dtype=np.float32))
    np.testing.assert_array_equal(g(small).numpy(), want)


def test_modes_and_gradients_are_still_asked_for():
    model = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5))
    f = gf.compile(lambda x: model(x))
    x = np.ones((2, 3), np.float32)
    model.eval()
    with gf.no_grad():
        warm(f, x)
        plain = f(x).numpy()
    y = f(x)  # gradients wanted: another trace
    assert y.requires_grad
    y.sum().backward()
    assert model[0].weight.grad is not None
    with gf.no_grad():
        np.testing.assert_array_equal(f(x).numpy(), plain)
        model.train()
        gf.random.seed(0)
        outputs = [f(x).numpy() for _ in range(6)]
        assert not all(np.array_equal(outputs[0], o) for o in outputs)


def test_many_threads_at_once(scaled):
    w, f = scaled
    w.assign(np.ones((3, 2), np.float32))
    warm(f, np.ones((4, 3), np.float32))
    wrong = []

    def work(number: int) -> None:
        x = np.full((4, 3), number, np.float32)
        for _ in range(200):
            if not np.array_equal(f(x).numpy(), np.full((4, 2), 3 * number + 1, np.float32)):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
