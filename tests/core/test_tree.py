"""Trees: nested values, their leaves, and what taking them apart leaves behind."""

from __future__ import annotations

import gc
import weakref
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest

import graphflow as gf
from graphflow.core.tree import flatten, unflatten


class Pair(NamedTuple):
    a: Any
    b: Any


@dataclass
class Record:
    x: Any
    y: Any


@pytest.mark.parametrize(
    "value",
    [1, [1, (2, [3])], {"a": 1, "b": (2, [3])}, Pair(1, [2]), Record(1, (2, 3)), OrderedDict(q=1, p=[2]), [], ()],
)
def test_a_tree_is_rebuilt_from_its_leaves(value: Any) -> None:
    leaves, tree = flatten(value)
    assert unflatten(tree, leaves) == value
    assert flatten(unflatten(tree, [10 * leaf for leaf in leaves]))[0] == [10 * leaf for leaf in leaves]


def test_leaves_can_be_named() -> None:
    leaves, tree = flatten([1, (2, 3)], lambda v: isinstance(v, tuple))
    assert leaves == [1, (2, 3)]
    assert unflatten(tree, ["a", "b"]) == ["a", "b"]


class Leaf:
    pass


@pytest.fixture
def no_collection() -> Any:
    gc.disable()
    yield
    gc.enable()


def test_leaves_die_without_garbage_collection(no_collection: None) -> None:
    leaf = Leaf()
    seen = weakref.ref(leaf)
    leaves, tree = flatten({"a": [leaf]})
    again = unflatten(tree, leaves)
    assert again["a"][0] is leaf
    del leaf, leaves, again
    assert seen() is None


def test_what_an_eager_loop_computed_dies_with_its_result(no_collection: None) -> None:
    w = gf.Variable(np.eye(3, dtype=np.float32))
    seen = []

    def step(carry: gf.Tensor, x: gf.Tensor) -> tuple[gf.Tensor, gf.Tensor]:
        new = gf.tanh(carry @ w + x)
        seen.append(weakref.ref(new))
        return new, new

    carry, results = gf.scan(step, gf.zeros((2, 3)), gf.ones((4, 2, 3)))
    (carry.sum() + results.sum()).backward()
    assert w.grad is not None and len(seen) == 4
    del carry, results
    assert not any(ref() is not None for ref in seen)
