"""grid_sample and affine_grid beyond the layer grid: symbolic sizes, places that are no numbers, mistakes."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.core.errors import DTypeError, ShapeError
from graphflow.nn import functional as F

rng = np.random.default_rng(0)
IMAGE = rng.standard_normal((2, 3, 4, 5)).astype("float32")
PLACES = rng.uniform(-2.5, 2.5, (2, 3, 4, 2)).astype("float32")


def test_the_identity() -> None:
    theta = gf.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]] * 2)
    for align in (False, True):
        grid = F.affine_grid(theta, IMAGE.shape, align)
        for mode in ("bilinear", "nearest", "bicubic"):
            found = F.grid_sample(gf.tensor(IMAGE), grid, mode, "border", align)
            np.testing.assert_allclose(found.numpy(), IMAGE, rtol=1e-5, atol=1e-5)
    flipped = F.affine_grid(theta * gf.tensor([-1.0, 1.0, 1.0]), IMAGE.shape)
    np.testing.assert_allclose(F.grid_sample(gf.tensor(IMAGE), flipped).numpy(), IMAGE[..., ::-1], rtol=1e-5, atol=1e-5)


def test_sizes_need_not_be_known() -> None:
    def sample(x: Any, grid: Any) -> Any:
        return F.grid_sample(x, grid, padding_mode="reflection")

    compiled = gf.compile(sample, dynamic=(0, 1, 2))
    for size, space, places in [(3, (4, 5), (6, 7)), (5, (7, 5), (3, 4))]:
        x = gf.tensor(rng.standard_normal((size, 8, *space)).astype("float32"))
        grid = gf.tensor(rng.uniform(-2, 2, (size, *places, 2)).astype("float32"))
        np.testing.assert_allclose(compiled(x, grid).numpy(), sample(x, grid).numpy(), rtol=1e-5, atol=1e-5)
    assert compiled.cache_info().traces == 1


def test_places_far_outside_and_no_places() -> None:
    grid = gf.tensor([[[[1e30, 0.0], [0.0, -1e30], [float("nan"), 0.0], [0.0, float("inf")]]]])
    found = F.grid_sample(gf.tensor(IMAGE[:1]), grid, "nearest")
    assert found.shape == (1, 3, 1, 4) and not found.numpy().any()


def test_mistakes() -> None:
    x, grid = gf.tensor(IMAGE), gf.tensor(PLACES)
    with pytest.raises(ShapeError, match="needed are .batch, channels, height, width"):
        F.grid_sample(x, grid[:1])
    with pytest.raises(ShapeError, match="bicubic"):
        F.grid_sample(gf.ones((1, 1, 2, 2, 2)), gf.ones((1, 1, 1, 1, 3)), "bicubic")
    with pytest.raises(ValueError, match="mode is one of 'bilinear', 'nearest', 'bicubic', got 'linear'"):
        F.grid_sample(x, grid, "linear")
    with pytest.raises(ValueError, match="padding_mode is one of"):
        F.grid_sample(x, grid, padding_mode="wrap")
    with pytest.raises(DTypeError, match="floating-point images"):
        F.grid_sample(gf.ones((1, 1, 2, 2), dtype=gf.int32), gf.ones((1, 1, 1, 2), dtype=gf.int32))
    with pytest.raises(ShapeError, match="affine_grid of maps"):
        F.affine_grid(gf.ones((2, 3)), IMAGE.shape)


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("rank", [2, 3])
def test_every_setting_beside_pytorch(rank: int) -> None:
    torch = pytest.importorskip("torch")
    shapes = (2, 3, 4, 5, 3)[: rank + 2], (2, *(3, 4, 2)[:rank], rank)
    arrays: list[Any] = [rng.standard_normal(shapes[0]), rng.uniform(-2.5, 2.5, shapes[1])]
    modes = ("bilinear", "nearest", *(("bicubic",) if rank == 2 else ()))
    for settings in itertools.product(modes, ("zeros", "border", "reflection"), (False, True)):
        ours = [gf.tensor(a, requires_grad=True) for a in arrays]
        theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
        y, z = F.grid_sample(*ours, *settings), torch.nn.functional.grid_sample(*theirs, *settings)
        (y * y).sum().backward()
        (z * z).sum().backward()
        np.testing.assert_allclose(y.numpy(), z.detach().numpy(), rtol=1e-9, atol=1e-12, err_msg=str(settings))
        for a, b in zip(ours, theirs):
            found = np.zeros(a.shape) if a.grad is None else a.grad.numpy()
            np.testing.assert_allclose(found, b.grad.numpy(), rtol=1e-8, atol=1e-10, err_msg=str(settings))
