"""The order of kernels: updates of variables right after what they need, and never before a check that may fail."""

from __future__ import annotations

import re

import numpy as np
import pytest

import graphflow as gf
from graphflow import nn
from graphflow.nn import functional as F


def kernels(function) -> list[str]:
    """The lines of explain() that name a kernel, with the line of what it reads and writes."""
    lines = function.explain().splitlines()
    return [line + lines[i + 1] for i, line in enumerate(lines[:-1]) if re.match(r" *\d+ [A-Z]", line)]


def test_weights_are_updated_right_after_the_gradient_that_passes_them():
    """In the order of the backward pass, not behind all of it: what a gradient reads is still in the caches."""
    model = nn.Sequential(nn.Linear(40, 30), nn.ReLU(), nn.Linear(30, 20), nn.ReLU(), nn.Linear(20, 3))
    optimizer = gf.optim.Adam(model.parameters())

    @gf.compile
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    x, y = gf.ones((8, 40)), gf.zeros((8,), dtype="int64")
    losses = [float(step(x, y)) for _ in range(3)]
    assert losses[2] < losses[0]
    found = kernels(step)
    updates = {
        i: next(n for n, line in enumerate(found) if f"{i}.weight.exp_avg" in line and "Contract" in line)
        for i in (0, 2, 4)
    }
    passing = max(n for n, line in enumerate(found) if "less_equal" in line and "Contract" in line)
    assert updates[4] < passing < min(updates[0], updates[2])  # passing: from the second layer to the first


def test_a_new_value_waits_for_those_who_need_the_old_one():
    v = gf.Variable(np.arange(6.0).reshape(2, 3))
    w = gf.Variable(np.ones((3, 2)))

    @gf.compile
    def exchange(x):
        a, b = v @ x, w @ x[:2, :2]
        v.assign(v + 1.0)
        late = (a @ w) + (gf.sin(a) @ w)
        w.assign(b * 2.0)
        return late, v * 1.0

    x = np.arange(9.0).reshape(3, 3)
    for _ in range(3):
        before_v, before_w = v.numpy().copy(), w.numpy().copy()
        late, now = exchange(gf.asarray(x))
        a = before_v @ x
        np.testing.assert_allclose(late.numpy(), a @ before_w + np.sin(a) @ before_w)
        np.testing.assert_allclose(v.numpy(), before_v + 1)
        np.testing.assert_allclose(now.numpy(), before_v + 1)
        np.testing.assert_allclose(w.numpy(), before_w @ x[:2, :2] * 2)


@pytest.mark.parametrize("after", [False, True], ids=["index first", "index last"])
def test_an_index_out_of_range_changes_nothing(after: bool):
    """Not even an optimizer's count of steps, which is computed before everything else."""
    table = gf.Variable(np.ones((5, 4), np.float32))
    weight = gf.Variable(np.ones((4, 3), np.float32))
    count = gf.Variable(np.zeros((), np.int64))

    @gf.compile
    def step(x, places):
        count.assign_add(1)
        found = None if after else gf.take(table, places, axis=0)
        weight.assign(weight - 0.1 * (x.T @ (x @ weight)) / gf.cast(count + 0, "float32"))
        return gf.take(table, places, axis=0) if found is None else found

    x = gf.ones((6, 4))
    step(x, gf.asarray([0, 1]))
    before = weight.numpy().copy()
    with pytest.raises(IndexError, match="out of range"):
        step(x, gf.asarray([0, 5]))
    np.testing.assert_array_equal(weight.numpy(), before)
    assert count.numpy() == 1
    step(x, gf.asarray([0, 4]))
    assert count.numpy() == 2


def test_a_second_use_of_the_same_indices_stops_nothing():
    """An embedding's gradient goes back to the rows that were read: the indices have been found good already."""
    model = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(12, 3))
    optimizer = gf.optim.SGD(model.parameters(), lr=0.1)

    @gf.compile
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    places = gf.asarray([[0, 1, 2], [3, 4, 5]])
    step(places, gf.asarray([0, 1]))
    before = {name: value.numpy().copy() for name, value in model.named_parameters()}
    with pytest.raises(IndexError):
        step(gf.asarray([[0, 1, 9], [3, 4, 5]]), gf.asarray([0, 1]))
    for name, value in model.named_parameters():
        np.testing.assert_array_equal(value.numpy(), before[name])
    found = kernels(step)
    weight = next(n for n, line in enumerate(found) if re.search(r"-> .*:float32\(3, 12\) 2\.weight", line))
    assert weight < next(n for n, line in enumerate(found) if "scatter_add" in line)


@pytest.mark.parametrize("how", ["slices", "copies", "parts"])
def test_indices_that_were_only_partly_found_good_may_still_fail(how: str):
    """A first gather reads some of the indices, a later one others: until then no variable changes."""
    table = gf.Variable(np.ones((5, 4), np.float32))
    weight = gf.Variable(np.ones((4, 3), np.float32))

    @gf.compile
    def step(x, places):
        if how == "parts":
            joined = gf.concat([places[:2], places[2:] * 1])
            first = gf.take(table, places[:2], axis=0)
            rest = joined
        else:
            first, rest = gf.take(table, places[:2], axis=0), places[2:]
        if how == "copies":
            rest = gf.flip(rest, axis=0)
        product = x.T @ (x @ weight)
        weight.assign(weight - 0.1 * product)
        return first.sum(), gf.take(table, rest, axis=0) + product.sum()

    x = gf.ones((6, 4))
    step(x, gf.asarray([0, 1, 2, 3]))
    before = weight.numpy().copy()
    with pytest.raises(IndexError, match="out of range"):
        step(x, gf.asarray([0, 1, 2, 7]))
    np.testing.assert_array_equal(weight.numpy(), before)
