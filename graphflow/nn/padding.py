"""Layers that put more elements around their input: constants, reflections, copies of the border, or the other end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.core.dims import shape_str
from graphflow.core.errors import ShapeError, at_line, user_origin
from graphflow.nn import functional as F
from graphflow.nn.module import Module
from graphflow.tensor import Tensor, as_tensor

Widths = int | Sequence[int]


class _Pad(Module):
    """Base: ``padding`` is one width for all sides, or (before, after) of the last axis, then of the one before it."""

    rank: int  # spatial axes
    mode: str

    def __init__(self, padding: Widths) -> None:
        super().__init__()
        widths = (padding,) * (2 * self.rank) if isinstance(padding, int) else tuple(padding)
        if len(widths) != 2 * self.rank:
            raise ValueError(f"{type(self).__name__} takes one width or {2 * self.rank}, got {padding}")
        self.padding = widths

    def forward(self, input: Any) -> Tensor:
        x = as_tensor(input)
        if self.mode != "constant" and x.ndim not in (self.rank + 1, self.rank + 2):
            message = f"{type(self).__name__} takes rank {self.rank + 2}, or without batch, got {shape_str(x.shape)}"
            raise ShapeError(at_line(message, user_origin()))
        return F.pad(x, self.padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    mode = "constant"

    def __init__(self, padding: Widths, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Any) -> Tensor:
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """``value`` around the last axis."""

    rank = 1


class ConstantPad2d(_ConstantPad):
    """``value`` around the last two axes.

    >>> import graphflow as gf
    >>> gf.nn.ConstantPad2d((1, 0, 0, 1), 7.0)(gf.zeros((1, 1, 1))).tolist()
    [[[7.0, 0.0], [7.0, 7.0]]]
    """

    rank = 2


class ConstantPad3d(_ConstantPad):
    """``value`` around the last three axes."""

    rank = 3


class _ZeroPad(_ConstantPad):
    def __init__(self, padding: Widths) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad1d(_ZeroPad):
    """Zeros around the last axis."""

    rank = 1


class ZeroPad2d(_ZeroPad):
    """Zeros around the last two axes."""

    rank = 2


class ZeroPad3d(_ZeroPad):
    """Zeros around the last three axes."""

    rank = 3


class ReflectionPad1d(_Pad):
    """The input reflected at the ends of its last axis; the ends themselves are not repeated.

    >>> import graphflow as gf
    >>> gf.nn.ReflectionPad1d(2)(gf.arange(4.0).reshape(1, 4)).tolist()
    [[2.0, 1.0, 0.0, 1.0, 2.0, 3.0, 2.0, 1.0]]
    """

    rank, mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """The input reflected at the borders of its last two axes."""

    rank, mode = 2, "reflect"


class ReflectionPad3d(_Pad):
    """The input reflected at the borders of its last three axes."""

    rank, mode = 3, "reflect"


class ReplicationPad1d(_Pad):
    """The first and last elements of the last axis repeated.

    >>> import graphflow as gf
    >>> gf.nn.ReplicationPad1d((1, 2))(gf.arange(3.0).reshape(1, 3)).tolist()
    [[0.0, 0.0, 1.0, 2.0, 2.0, 2.0]]
    """

    rank, mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """The borders of the last two axes repeated."""

    rank, mode = 2, "replicate"


class ReplicationPad3d(_Pad):
    """The borders of the last three axes repeated."""

    rank, mode = 3, "replicate"


class CircularPad1d(_Pad):
    """What lies at the other end of the last axis.

    >>> import graphflow as gf
    >>> gf.nn.CircularPad1d(1)(gf.arange(3.0).reshape(1, 3)).tolist()
    [[2.0, 0.0, 1.0, 2.0, 0.0]]
    """

    rank, mode = 1, "circular"


class CircularPad2d(_Pad):
    """What lies at the other ends of the last two axes."""

    rank, mode = 2, "circular"


class CircularPad3d(_Pad):
    """What lies at the other ends of the last three axes."""

    rank, mode = 3, "circular"
