"""Parameters take the memory of one array: what they go back to is drawn again, or shared until they are written."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.core.dtypes import as_dtype
from graphflow.nn.draws import Draw


def allocated(make: Callable[[], Any]) -> tuple[int, int]:
    """The bytes that what is made keeps, and the most that making it took."""
    gf.nn.Linear(8, 8)  # what is imported and remembered at first use
    tracemalloc.start()
    try:
        made = make()
        kept, most = tracemalloc.get_traced_memory()
        assert made is not None
        return kept, most
    finally:
        tracemalloc.stop()


def test_a_layer_is_made_in_little_more_memory_than_its_parameters() -> None:
    kept, most = allocated(lambda: gf.nn.Linear(1000, 1000))
    nbytes = 4 * 1001 * 1000
    assert kept < 1.05 * nbytes
    assert most < 2.2 * nbytes  # zeros, which are never touched, and the numbers


def test_an_array_is_copied_once() -> None:
    array = np.random.default_rng(0).normal(size=(1000, 1000))
    kept, most = allocated(lambda: gf.Variable(array))
    assert kept < 1.05 * array.nbytes
    assert most < 1.05 * array.nbytes
    tensor = gf.tensor(array)
    assert allocated(lambda: gf.Variable(tensor))[1] < 0.05 * array.nbytes


def test_slots_and_other_constants_keep_one_number() -> None:
    model = gf.nn.Linear(1000, 1000)
    p = model.weight
    p.grad = gf.ones(p.shape)
    optimizer = gf.optim.SGD([p], lr=0.1, momentum=0.9)
    optimizer.step()
    (slot,) = (v for v in optimizer.state[p].values() if v.shape == p.shape)
    assert slot._initial.strides == (0, 0)
    v = gf.Variable(np.broadcast_to(np.float32(-0.0), (3, 4)))
    v.assign(v + 1)
    v.initialize()
    np.testing.assert_array_equal(np.signbit(v.numpy()), np.ones((3, 4), bool))
    mixed = gf.Variable(np.array([0.0, -0.0, 0.0], np.float32))
    mixed.initialize()
    np.testing.assert_array_equal(np.signbit(mixed.numpy()), [False, True, False])


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("kind", ["uniform", "normal"])
def test_a_draw_is_what_the_generator_gives(kind: str, dtype: str) -> None:
    for shape, settings in (((), (0.0, 1.0)), ((5, 7), (-0.3, 0.7)), ((0, 3), (0.0, 1.0)), ((130, 129), (0.5, 2.0))):
        generator = gf.random.Generator(5)
        generator.set_state((5, 7))
        with gf.config(native_after=-1):
            expected = getattr(generator, kind)(shape, *settings, dtype=dtype).numpy()
        draw = Draw(kind, (5, 7), shape, settings, as_dtype(dtype))
        assert draw.next_state == generator.get_state()
        for _ in range(2):
            drawn = draw().numpy()
            assert drawn.dtype == expected.dtype and drawn.shape == shape
            assert drawn.tobytes() == expected.tobytes()


def test_initial_values_come_back_bit_by_bit_in_every_mode() -> None:
    with gf.Graph() as graph:
        drawn = gf.nn.init.kaiming_uniform_(gf.nn.Parameter(gf.zeros((30, 20)), name="drawn"))
        normal = gf.nn.init.normal_(gf.nn.Parameter(gf.zeros((30, 20)), name="normal"))
        given = gf.Variable(np.arange(600.0, dtype=np.float32).reshape(30, 20), name="given")
        both = (drawn, normal, given)
        train = gf.group(*[v.assign_sub(v * 0.5 + 1) for v in both])
        init = gf.global_variables_initializer()
    start = [v.numpy().copy() for v in both]
    with gf.Session(graph) as sess:
        for optimize in (True, False):
            with gf.config(optimize=optimize):
                sess.run(train)
                sess.run(train)
                assert all((v.numpy() != s).any() for v, s in zip(both, start))
                sess.run(init)
                assert all(v.numpy().tobytes() == s.tobytes() for v, s in zip(both, start))
    for v, s in zip(both, start):
        v.assign(v + 1)
        v.initialize()
        assert v.numpy().tobytes() == s.tobytes()


def test_what_is_written_in_place_is_not_what_others_share() -> None:
    tensor = gf.tensor(np.arange(6.0, dtype=np.float32))
    a, b = gf.Variable(tensor), gf.Variable(tensor)
    c = deepcopy(a)

    @gf.compile
    def add(x: gf.Tensor) -> None:
        a.assign_add(x)
        c.assign_sub(x)

    for _ in range(3):
        add(gf.ones(6))
    np.testing.assert_array_equal(a.numpy(), np.arange(6.0) + 3)
    np.testing.assert_array_equal(c.numpy(), np.arange(6.0) - 3)
    for kept in (b.numpy(), tensor.numpy(), a.initial_value(), c.initial_value()):
        np.testing.assert_array_equal(kept, np.arange(6.0))
    a.initialize()
    add(gf.ones(6))
    np.testing.assert_array_equal(a.initial_value(), np.arange(6.0))


def test_a_converted_parameter_goes_back_to_its_rounded_start() -> None:
    layer = gf.nn.Linear(5, 3)
    start = layer.weight.numpy().copy()
    layer.to(gf.float16)
    layer.weight.assign(layer.weight + 1)
    layer.weight.initialize()
    np.testing.assert_array_equal(layer.weight.numpy(), start.astype(np.float16))
    layer.to(gf.float32)
    layer.weight.initialize()
    np.testing.assert_array_equal(layer.weight.numpy(), start.astype(np.float16).astype(np.float32))
