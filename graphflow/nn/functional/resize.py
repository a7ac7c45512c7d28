"""Images of another size: ``interpolate``, one axis after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.core.dims import Dim, Shape, Size, shape_str
from graphflow.core.errors import ShapeError, at_line, user_origin
from graphflow.nn.functional.adaptive import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d
from graphflow.ops.creation import beside, literal
from graphflow.ops.define import cast
from graphflow.ops.fused import fused
from graphflow.ops.movement import broadcast_to, reshape
from graphflow.ops.picking import pick
from graphflow.ops.reduce import floating
from graphflow.tensor import Array, Tensor, as_tensor

_RANKS = {  # the numbers of spatial axes that each mode takes
    "nearest": (1, 2, 3),
    "nearest-exact": (1, 2, 3),
    "linear": (1,),
    "bilinear": (2,),
    "trilinear": (3,),
    "bicubic": (2,),
    "area": (1, 2, 3),
}
_ALIGNED = ("linear", "bilinear", "trilinear", "bicubic")  # the modes that ``align_corners`` means something to
_AREA = {1: adaptive_avg_pool1d, 2: adaptive_avg_pool2d, 3: adaptive_avg_pool3d}


def _bad(message: str) -> ValueError:
    return ValueError(at_line(f"interpolate: {message}", user_origin()))


def interpolate(
    input: Any,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """(batch, channels, *space) with the space resized to ``size``, or multiplied by ``scale_factor``.

    ``mode`` is "nearest", "nearest-exact", "linear", "bilinear", "trilinear" (for 1, 2, 3 spatial axes), "bicubic" or
    "area". With ``align_corners`` the centres of the corner elements stay where they are. Symbolic spatial sizes are
    taken by "nearest" with a whole ``scale_factor``. Raises ValueError for settings that do not go together.

    >>> import graphflow as gf
    >>> x = gf.tensor([[[1.0, 3.0]]])
    >>> gf.nn.functional.interpolate(x, scale_factor=2).tolist()
    [[[1.0, 1.0, 3.0, 3.0]]]
    >>> gf.nn.functional.interpolate(x, 3, mode="linear", align_corners=True).tolist()
    [[[1.0, 2.0, 3.0]]]
    """
    x = as_tensor(input)
    rank = x.ndim - 2
    if mode not in _RANKS:
        raise _bad(f"mode is one of {', '.join(map(repr, _RANKS))}, got {mode!r}")
    if rank not in _RANKS[mode]:
        axes = " or ".join(map(str, _RANKS[mode]))
        raise ShapeError(
            at_line(f"interpolate: {mode!r} takes {axes} spatial axes, got {shape_str(x.shape)}", user_origin())
        )
    if align_corners is not None and mode not in _ALIGNED:
        raise _bad(f"align_corners is for {', '.join(_ALIGNED)}, not for {mode!r}")
    if antialias:
        raise _bad("antialias is not supported; use mode='area' to make images smaller")
    space = x.shape[2:]
    sizes, scales = _sizes(space, size, scale_factor)
    if recompute_scale_factor:
        scales = (None,) * rank
    if mode == "area":
        return _AREA[rank](x, sizes)  # type: ignore[arg-type]
    return _interpolated(x, sizes, mode, bool(align_corners), *scales)


@fused("batch", "x")
def _interpolated(
    x: Tensor,
    sizes: Shape,
    mode: str,
    align_corners: bool,
    scale0: float | None,
    scale1: float | None = None,
    scale2: float | None = None,
) -> Tensor:
    wide = floating(x) if mode in _ALIGNED else x
    for axis, (want, scale) in enumerate(zip(sizes, (scale0, scale1, scale2)), 2):
        wide = _resized(wide, axis, x.shape[axis], want, scale, mode, align_corners)
    return cast(wide, x.dtype)


def _sizes(space: Shape, size: Any, scale_factor: Any) -> tuple[Shape, tuple[float | None, ...]]:
    """The wanted sizes, and the given scales, one of each for an axis."""
    rank = len(space)
    if (size is None) == (scale_factor is None):
        raise _bad("either size or scale_factor must be given")
    value = scale_factor if size is None else size
    each = tuple(value) if isinstance(value, (tuple, list)) else (value,) * rank
    if len(each) != rank:
        raise _bad(f"{'scale_factor' if size is None else 'size'} is one number or {rank}, got {value}")
    if size is not None:
        sizes: Shape = each
        scales: tuple[float | None, ...] = (None,) * rank
    else:
        scales = tuple(float(s) for s in each)
        sizes = tuple(_scaled(have, s) for have, s in zip(space, scales))
    if any(not isinstance(n, Dim) and n < 1 for n in sizes):
        raise _bad(f"the result would have sizes {sizes}")
    return sizes, scales


def _scaled(size: Size, scale: Any) -> Size:
    if isinstance(size, Dim) and scale.is_integer():
        return size * int(scale)
    return int(np.floor(float(int(size)) * scale))


def _resized(
    x: Tensor, axis: int, have: Size, want: Size, scale: float | None, mode: str, align_corners: bool
) -> Tensor:
    if mode.startswith("nearest"):
        return _nearest(x, axis, have, want, scale, mode)
    if want == have and (scale is None or scale == 1.0):
        return x
    place = _source(int(have), int(want), scale, align_corners)
    taps = _cubic(place) if mode == "bicubic" else _linear(place, int(have))
    out: Any = None
    for index, weight in taps:
        along = tuple(-1 if a == axis else 1 for a in range(x.ndim))
        with beside(x):
            index_ = literal(np.clip(index, 0, int(have) - 1))
            weight_ = literal(weight.astype(x.dtype.np).reshape(along))
        term = pick(x, index_, axis) * weight_
        out = term if out is None else out + term
    return out  # type: ignore[no-any-return]


def _repeated(x: Tensor, axis: int, times: int) -> Tensor:
    """Every element ``times`` times: a view, whose gradient is a sum."""
    if times == 1:
        return x
    shape = x.shape
    spread = reshape(x, (*shape[: axis + 1], 1, *shape[axis + 1 :]))
    spread = broadcast_to(spread, (*shape[: axis + 1], times, *shape[axis + 1 :]))
    return reshape(spread, (*shape[:axis], shape[axis] * times, *shape[axis + 1 :]))


def _step(have: int, want: int, scale: float | None) -> float:
    """How far apart neighbours of the result are in the input."""
    return 1.0 / scale if scale is not None and scale > 0 else have / want


def _nearest(x: Tensor, axis: int, have: Size, want: Size, scale: float | None, mode: str) -> Tensor:
    if isinstance(have, Dim) and scale is not None and scale.is_integer():
        return _repeated(x, axis, int(scale))
    have, want = int(have), int(want)  # a symbolic size raises SymbolicDimError, which says what to do
    number = np.arange(want, dtype=np.float32)
    number = number + np.float32(0.5) if mode == "nearest-exact" else number
    # In single precision, as in PyTorch: near borders between two elements the rounding decides.
    places = np.floor(number * np.float32(_step(have, want, scale)))
    places = np.minimum(places, have - 1).astype(np.int64)
    if want % have == 0 and (places == np.arange(want) // (want // have)).all():
        return _repeated(x, axis, want // have)
    with beside(x):
        return pick(x, literal(places), axis)


def _source(have: int, want: int, scale: float | None, align_corners: bool) -> Array:
    """Where each element of the result lies among those of the input."""
    number = np.arange(want, dtype=np.float64)
    if align_corners:
        return number * ((have - 1) / (want - 1) if want > 1 else 0.0)
    return (number + 0.5) * _step(have, want, scale) - 0.5


def _linear(place: Array, have: int) -> list[tuple[Array, Array]]:
    """Indices and weights of the two neighbours."""
    place = np.maximum(place, 0.0)
    first = np.minimum(np.floor(place).astype(np.int64), have - 1)
    share = np.minimum(place - first, 1.0)
    return [(first, 1.0 - share), (first + 1, share)]


def _cubic(place: Array) -> list[tuple[Array, Array]]:
    """Indices and weights of the four neighbours."""
    first = np.floor(place)
    return [(first.astype(np.int64) + k, w) for k, w in zip((-1, 0, 1, 2), cubic_weights(place - first))]


def cubic_weights(t: Any) -> list[Any]:
    """The weights of the four neighbours of places ``t`` past the second (Keys 1981, with a = -0.75)."""
    a = -0.75

    def near(d: Any) -> Any:
        return ((a + 2) * d - (a + 3)) * d * d + 1

    def far(d: Any) -> Any:
        return ((d - 5) * d + 8) * d * a - 4 * a

    return [far(t + 1), near(t), near(1 - t), far(2 - t)]


def upsample(
    input: Any,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """``interpolate`` by its old name."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Any, size: Any = None, scale_factor: Any = None) -> Tensor:
    """``interpolate`` with the nearest element."""
    return interpolate(input, size, scale_factor, "nearest")


def upsample_bilinear(input: Any, size: Any = None, scale_factor: Any = None) -> Tensor:
    """``interpolate`` with mode "bilinear" and aligned corners."""
    return interpolate(input, size, scale_factor, "bilinear", align_corners=True)
