"""Elements in short steps, axes of a few elements, and values that are computed straight into their place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphflow as gf
import graphflow.nn.functional as F
from tests.native.common import kinds, native

rng = np.random.default_rng(0)


def normal(*shape: int) -> Any:
    return rng.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("step", [2, 3, 5])
def test_elements_in_steps(step: int) -> None:
    """Read, and written: the transpose of a slice puts zeros between its elements."""

    def stepped(x: gf.Tensor, y: gf.Tensor) -> Any:
        z = x[:, 1::step] * 2.0
        return (z, *gf.gradients([z * y], [x]), gf.astype(x[:, ::step] > 0, gf.float64))

    for width in (step + 1, 7 * step + 2, 40 * step + 3):
        x = normal(3, width)
        native(stepped, x, normal(*x[:, 1::step].shape))


def test_steps_in_every_dtype() -> None:
    for dtype in ("bool", "float16", "int64"):
        x = rng.integers(0, 100, (2, 75)).astype(dtype)
        native(lambda a: (gf.where(a[:, ::3] > 1, a[:, ::3], a[:, 1::3]), gf.concat([a[::2], a[1::2]])), x)


@pytest.mark.parametrize("shape", [(5, 7, 3), (40, 2, 2, 3), (3, 40, 5), (9, 4, 4, 4)])
def test_small_axes_are_written_out(shape: tuple[int, ...]) -> None:
    axes = tuple(range(len(shape)))
    x = normal(*shape)
    turned = (axes[-1], *axes[:-1])
    native(lambda a: (a + gf.arange(float(shape[-1])), gf.permute_dims(a, turned) * 2.0), x)
    native(lambda a: (gf.sum(a, -1), gf.max(a, axes[1:]), gf.softmax(a, 1)), x)


def test_the_gradient_of_a_maximum_needs_its_place_alone() -> None:
    """The place of each window's maximum is kept, not a mask of all elements, and the slopes go straight to theirs."""

    def both(x: gf.Tensor, g: gf.Tensor) -> Any:
        y = F.max_pool2d(x, 2)
        return (y, *gf.gradients([y], [x], [g]))

    made = native(both, normal(3, 2, 8, 26), normal(3, 2, 4, 13))
    assert kinds(made)[-1] == "Map"
    assert not any(b.dtype.kind == "bool" for b in made.program.buffers)
    native(both, normal(3, 2, 9, 27), normal(3, 2, 4, 13))  # a border that no window covers gets zeros


def test_parts_are_computed_where_they_belong() -> None:
    x, y = normal(4, 6), normal(4, 9)
    assert kinds(native(lambda x, y: gf.concat([gf.exp(x), y * 2.0], 1), x, y)) == ["Map", "Map"]
    made = native(lambda x: (gf.concat([x, gf.exp(x)]), gf.exp(x) + 1.0), x)
    assert sum(k == "Map" for k in kinds(made)) <= 3
    native(lambda x: gf.pad(gf.exp(x), [(1, 2), (0, 3)]), x)


def test_a_few_small_elements_in_steps() -> None:
    """LLVM's code for masked vectors of four 16-bit elements lost one of them."""
    x = np.arange(1, 13, dtype=np.float32).reshape(3, 4)
    for dtype in (gf.bfloat16, gf.float16, gf.int8, gf.int16):
        given = gf.asarray(x).astype(dtype)
        found = gf.compile(lambda v: gf.flip(v + 1, axis=1), dynamic=False)(given)
        np.testing.assert_array_equal(found.astype(gf.float32).numpy(), (x + 1)[:, ::-1])
