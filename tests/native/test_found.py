"""What random programs found: each was once wrong in native code."""

from __future__ import annotations

import numpy as np

import graphflow as gf
from tests.native.common import native


def test_an_integer_that_is_the_same_in_all_lanes_divided_by_a_constant() -> None:
    native(lambda x: gf.one_hot(gf.remainder(x, 3), 3) + gf.floor_divide(x, 2), np.array(7))
    native(lambda x: gf.remainder(x, 3) + gf.floor_divide(x, 2), np.arange(40, dtype=np.uint8))


def test_the_value_of_an_assignment_leads_gradients_to_the_variable() -> None:
    v = gf.Variable([1.0, 2.0], name="v")

    def step(x: gf.Tensor) -> gf.Tensor:
        new = v.assign(v.value * x)
        v.grad = None
        gf.sum(new * x).backward()
        return v.grad

    x = gf.tensor([2.0, 3.0])
    assert step(x).tolist() == [2.0, 3.0]
    assert gf.compile(step)(x).tolist() == [2.0, 3.0]


def test_the_gradient_of_a_slice_in_steps_of_an_axis_that_is_empty() -> None:
    def slope(x: gf.Tensor) -> gf.Tensor:
        return gf.autograd.gradients(gf.sum(x[::-3] * 3.0) + gf.sum(gf.square(x[::2])), x)

    made = native(slope, np.ones((7, 2), np.float32), symbolic=True)
    for rows in (0, 1, 2, 3, 6):
        x = np.ones((rows, 2), np.float32)
        assert np.array_equal(made.run([x])[0], slope(gf.tensor(x, requires_grad=True)).numpy())
