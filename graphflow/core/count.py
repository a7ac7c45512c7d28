"""A tensor's ``size``: the number of its elements, as the Array API has it, and a call, as PyTorch has it."""

from __future__ import annotations

from typing import Any

from graphflow.core.dims import Dim, Shape, product


class Count(int):
    """The number of elements; called, the shape or one size of it.

    >>> import graphflow as gf
    >>> x = gf.zeros((2, 3))
    >>> x.size, x.size(), x.size(0), x.size(-1)
    (6, (2, 3), 2, 3)
    """

    _shape: Shape

    def __call__(self, dim: int | None = None) -> Any:
        """The shape; with ``dim`` the size of that axis."""
        return self._shape if dim is None else self._shape[dim]


def count_of(shape: Shape) -> Any:
    """The number of elements of a shape."""
    number = product(shape)
    count = number.copy() if isinstance(number, Dim) else Count(number)  # the size itself may be part of the shape
    count._shape = shape
    return count
