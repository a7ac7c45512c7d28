"""Image transforms: by hand, by their randomness, and against torchvision where it is installed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.data import transforms as T
from graphflow.data.transforms import functional as F

GRAY = np.arange(12, dtype=np.uint8).reshape(3, 4)
RGB = np.random.default_rng(0).integers(0, 256, (9, 11, 3)).astype(np.uint8)


def tensor_of(image: np.ndarray) -> gf.Tensor:
    return F.pil_to_tensor(image)


def same(a: Any, b: Any) -> bool:
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and a.shape == b.shape and bool((a == b).all())


# -- without chance ---------------------------------------------------------------------------------------------------
def test_to_tensor_and_back() -> None:
    x = F.to_tensor(RGB)
    assert x.shape == (3, 9, 11) and x.dtype == gf.float32
    assert same(x.numpy(), (RGB.transpose(2, 0, 1) / np.float32(255)))
    assert F.to_tensor(GRAY).shape == (1, 3, 4)
    assert F.to_tensor(GRAY.astype(np.int32)).dtype == gf.int32  # only uint8 is scaled
    assert same(F.convert_image_dtype(F.to_tensor(RGB), gf.uint8), tensor_of(RGB))


def test_normalize() -> None:
    x = F.normalize(F.to_tensor(RGB), [0.1, 0.2, 0.3], [0.5, 0.5, 1.0])
    assert np.allclose(x.numpy()[2], RGB[..., 2] / 255 - 0.3, atol=1e-6)
    with pytest.raises(TypeError, match="put ToTensor"):
        F.normalize(RGB, 0.5, 0.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="floating-point"):
        F.normalize(tensor_of(RGB), 0.5, 0.5)
    with pytest.raises(ValueError, match="zero"):
        F.normalize(F.to_tensor(RGB), 0.5, 0.0)
    with pytest.raises(gf.errors.ShapeError, match="2 means"):
        F.normalize(F.to_tensor(RGB), [0.5, 0.5], 0.5)


@pytest.mark.parametrize(
    "transform",
    [
        T.Resize((5, 6)),
        T.Resize(4),
        T.CenterCrop((4, 13)),
        T.Pad((1, 2, 3, 4), fill=7),
        T.Pad(2, padding_mode="reflect"),
        T.Grayscale(3),
        T.RandomHorizontalFlip(1.0),
        T.RandomVerticalFlip(1.0),
        T.RandomCrop(8, padding=2, padding_mode="edge"),
        T.RandomRotation(40, "bilinear", expand=True),
        T.RandomAffine(20, (0.1, 0.2), (0.8, 1.2), (5, 10, -5, 5)),
        T.RandomPerspective(0.4, p=1.0),
        T.ColorJitter(0.4, 0.4, 0.4, 0.1),
        T.GaussianBlur(3),
        T.RandomInvert(1.0),
        T.RandomSolarize(100, p=1.0),
        T.RandomPosterize(3, p=1.0),
        T.RandomAutocontrast(1.0),
        T.RandomAdjustSharpness(2.0, p=1.0),
        T.RandomErasing(1.0),
    ],
    ids=lambda t: type(t).__name__,
)
def test_arrays_and_tensors_give_the_same_image(transform: Any) -> None:
    gf.random.seed(1)
    array = transform(RGB)
    gf.random.seed(1)
    tensor = transform(tensor_of(RGB))
    assert isinstance(array, np.ndarray) and isinstance(tensor, gf.Tensor)
    assert same(array.transpose(2, 0, 1), tensor)
    gf.random.seed(1)
    assert transform(RGB[..., 0]).ndim == (3 if isinstance(transform, T.Grayscale) else 2)


def test_flips_crops_and_pads_by_hand() -> None:
    assert same(F.hflip(GRAY), GRAY[:, ::-1]) and same(F.vflip(GRAY), GRAY[::-1])
    assert same(F.center_crop(GRAY, (1, 2)), GRAY[1:2, 1:3])
    assert F.crop(GRAY, -1, 0, 2, 2).tolist() == [[0, 0], [0, 1]]
    assert F.pad(GRAY[:1, :3], (2, 0), padding_mode="symmetric").tolist() == [[1, 0, 0, 1, 2, 2, 1]]
    assert F.pad(GRAY, -1).tolist() == [[5, 6]]
    assert [c.tolist() for c in F.five_crop(GRAY, (1, 1))] == [[[0]], [[3]], [[8]], [[11]], [[6]]]
    assert len(F.ten_crop(GRAY, 2)) == 10


def test_quarter_turns_are_exact() -> None:
    for mode in ("nearest", "bilinear"):
        assert same(F.rotate(GRAY, 90, mode, expand=True), np.rot90(GRAY))
        assert same(F.rotate(GRAY, 180, mode), np.rot90(GRAY, 2))
    assert same(F.affine(GRAY, 0, (1, 0), 1.0, 0, fill=9)[:, 1:], GRAY[:, :3])
    assert F.affine(GRAY, 0, (1, 0), 1.0, 0, fill=9)[:, 0].tolist() == [9, 9, 9]


def test_resize_keeps_constants_and_proportions() -> None:
    flat = np.full((7, 5), 200, np.uint8)
    for mode in ("nearest", "bilinear", "bicubic"):
        assert (F.resize(flat, (11, 3), mode) == 200).all()
    assert F.resize(RGB, 18).shape == (18, 22, 3) and F.resize(RGB, 18, max_size=20).shape[1] == 20
    assert T.Resize(6, interpolation=2).interpolation is T.InterpolationMode.BILINEAR  # Pillow's number
    with pytest.raises(ValueError, match="nearest, bilinear, bicubic"):
        T.Resize(6, interpolation="lanczos")


def test_colors_by_hand() -> None:
    red = np.array([[[255, 0, 0]]], np.uint8)
    assert F.adjust_hue(red, 1 / 3).tolist() == [[[0, 255, 0]]]
    assert F.adjust_saturation(red, 0.0).tolist() == [[[76, 76, 76]]]
    assert F.adjust_contrast(np.array([[0, 100]], np.uint8), 0.5).tolist() == [[25, 75]]
    assert F.rgb_to_grayscale(RGB).shape == (9, 11, 1)
    assert F.invert(F.to_tensor(red)).numpy().ravel().tolist() == [0, 1, 1]
    with pytest.raises(ValueError, match=r"\[-0.5, 0.5\]"):
        F.adjust_hue(red, 0.7)


# -- chance -----------------------------------------------------------------------------------------------------------
def test_seed_fixes_what_is_drawn() -> None:
    augment = T.Compose([T.RandomAffine(30, (0.2, 0.2)), T.ColorJitter(0.5, 0.5), T.ToTensor(), T.RandomErasing()])
    gf.random.seed(3)
    first = [augment(RGB) for _ in range(3)]
    gf.random.seed(3)
    assert all(same(a, augment(RGB)) for a in first)
    assert not same(first[0], first[1])


def test_probabilities() -> None:
    flips = [same(T.RandomHorizontalFlip(0.25)(GRAY), F.hflip(GRAY)) for _ in range(400)]
    assert 60 <= sum(flips) <= 140
    assert same(T.RandomHorizontalFlip(0.0)(GRAY), GRAY)
    add = [T.Lambda(lambda x: x + 1), T.Lambda(lambda x: x * 2)]
    assert {T.RandomOrder(add)(1) for _ in range(50)} == {3, 4}
    assert {T.RandomChoice(add, p=[1, 0])(3) for _ in range(50)} == {4}
    assert {T.RandomApply(add, p=0.5)(1) for _ in range(50)} == {1, 4}


def test_crops_reach_every_place() -> None:
    corners = {T.RandomCrop(2)(GRAY)[0, 0] for _ in range(200)}
    assert corners == {0, 1, 2, 4, 5, 6}
    assert T.RandomCrop(5, pad_if_needed=True)(GRAY).shape == (5, 5)
    with pytest.raises(gf.errors.ShapeError, match=r"\(5, 5\) does not fit"):
        T.RandomCrop(5)(GRAY)


def test_resized_crops_have_the_area_asked_for() -> None:
    crop = T.RandomResizedCrop(8, scale=(0.25, 0.5))
    image = np.zeros((100, 80), np.uint8)
    for _ in range(50):
        top, left, height, width = crop._rectangle(100, 80)
        assert 0.23 < height * width / 8000 < 0.52 and top + height <= 100 and left + width <= 80
        assert 0.7 < width / height < 1.4
    assert crop(image).shape == (8, 8)
    assert T.RandomResizedCrop(8)._rectangle(10, 1000) == (0, 493, 10, 13)  # too long: the middle


def test_erasing() -> None:
    x = gf.ones((3, 20, 20))
    holes = [float((T.RandomErasing(1.0)(x).numpy() == 0).mean()) for _ in range(40)]
    assert all(0.0 < share < 0.4 for share in holes)
    noisy = T.RandomErasing(1.0, value="random")(x).numpy()
    assert noisy.min() < 0 and x.numpy().min() == 1  # the tensor that came is as it was


def test_wrong_settings_are_noticed_when_made() -> None:
    for make, message in [
        (lambda: T.RandomHorizontalFlip(1.5), "between 0 and 1"),
        (lambda: T.Pad((1, 2, 3)), "1, 2 .* or 4"),
        (lambda: T.RandomRotation(-5), "not negative"),
        (lambda: T.RandomAffine(5, translate=(2, 0)), "between 0 and 1"),
        (lambda: T.ColorJitter(hue=0.6), "hue"),
        (lambda: T.GaussianBlur(4), "odd"),
        (lambda: T.RandomErasing(value="noise"), "random"),
    ]:
        with pytest.raises(ValueError, match=message):
            make()
    with pytest.raises(TypeError, match="takes transforms"):
        T.Compose([T.ToTensor(), 3])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="takes a list of transforms, got one ToTensor"):
        T.Compose(T.ToTensor())  # type: ignore[arg-type]
    with pytest.raises(gf.errors.ShapeError, match="looks like"):
        T.ToTensor()(np.zeros((3, 32, 32), np.uint8))
    with pytest.raises(TypeError, match="a NumPy array, a Tensor or a Pillow image, got str"):
        T.ToTensor()("cat.png")
    with pytest.raises(gf.errors.ShapeError, match="height, width"):
        T.RandomCrop(2)(np.zeros(3))


def test_repr_shows_the_settings() -> None:
    text = repr(T.Compose([T.ToTensor(), T.Normalize((0.5,), (0.25,))]))
    assert "ToTensor()" in text and "Normalize(mean=(0.5,), std=(0.25,), inplace=False)" in text


# -- against others ---------------------------------------------------------------------------------------------------
def test_pillow_images() -> None:
    pillow = pytest.importorskip("PIL.Image")
    image = pillow.fromarray(RGB)
    assert same(F.to_tensor(image), F.to_tensor(RGB)) and same(T.RandomCrop(9)(image).shape, (9, 9, 3))
    assert same(np.asarray(F.to_pil_image(F.to_tensor(RGB))), RGB)
    assert same(F.to_tensor(image.convert("L")), F.to_tensor(np.asarray(image.convert("L"))))
    assert F.to_tensor(image.convert("P")).shape == (3, 9, 11)
    mine, ref = F.resize(RGB, (5, 20)).astype(int), np.asarray(image.resize((20, 5), pillow.BILINEAR)).astype(int)
    assert abs(mine - ref).max() <= 1
    mine, ref = F.rotate(RGB, 30), np.asarray(image.rotate(30))
    assert (mine != ref).mean() < 0.01


def test_rotation_moves_points_as_the_angle_says() -> None:
    image = np.zeros((21, 21), np.float32)
    image[10, 18] = 1  # 8 to the right of the middle
    row, column = np.argwhere(F.rotate(image, 30) > 0).mean(0)
    assert abs(row - (10 - 8 * math.sin(math.radians(30)))) < 0.7
    assert abs(column - (10 + 8 * math.cos(math.radians(30)))) < 0.7
