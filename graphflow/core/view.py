"""Strided views: where the elements of a value lie in a buffer, as an affine map from its indices to offsets.

View ops (reshape, permute, slice, flip, broadcast) are functions from one such map to another, so they copy nothing:
the kernel that reads the value follows the map. ``reshape`` gives None where no strides can express the result.
"""

from __future__ import annotations

from typing import NamedTuple

from graphflow.core.dims import Dim, Shape, Size, product


class View(NamedTuple):
    """Element ``(i, j, ...)`` lies at ``offset + i*strides[0] + j*strides[1] + ...``, counted in elements."""

    shape: Shape
    strides: tuple[Size, ...]
    offset: Size = 0

    @staticmethod
    def contiguous(shape: Shape) -> View:
        """The row-major view of a whole buffer."""
        strides: list[Size] = []
        step: Size = 1
        for size in reversed(shape):
            strides.append(step)
            step = step * size
        return View(shape, tuple(reversed(strides)))

    @property
    def is_contiguous(self) -> bool:
        """Whether it is row-major without gaps from offset 0 (strides of axes of size 1 do not matter)."""
        want = View.contiguous(self.shape).strides
        return self.offset == 0 and all(
            size == 1 or have == need for size, have, need in zip(self.shape, self.strides, want, strict=True)
        )

    def permute(self, axes: tuple[int, ...]) -> View:
        return View(tuple(self.shape[a] for a in axes), tuple(self.strides[a] for a in axes), self.offset)

    def slice(self, starts: tuple[Size, ...], sizes: Shape, steps: tuple[int, ...]) -> View:
        """The elements ``start, start + step, ...`` of each axis; a negative step walks backwards."""
        offset = self.offset
        for start, stride in zip(starts, self.strides, strict=True):
            offset = offset + start * stride
        return View(sizes, tuple(st * k for st, k in zip(self.strides, steps, strict=True)), offset)

    def broadcast_to(self, shape: Shape) -> View:
        lead = len(shape) - len(self.shape)
        strides: list[Size] = [0] * lead
        for size, stride, target in zip(self.shape, self.strides, shape[lead:], strict=True):
            strides.append(0 if size == 1 and target != 1 else stride)  # symbolic sizes that differ are assumed equal
        return View(shape, tuple(strides), self.offset)

    def reshape(self, shape: Shape) -> View | None:
        """The same elements in row-major order under another shape, or None if that takes a copy."""
        if self.is_contiguous:
            return View.contiguous(shape)._replace(offset=self.offset)
        old = [(s, st) for s, st in zip(self.shape, self.strides, strict=True) if s != 1]
        strides: list[Size] = []
        at = 0
        for group_old, group_new in _matching_groups([s for s, _ in old], shape):
            axes = old[at : at + len(group_old)]
            at += len(group_old)
            if any(axes[i][1] != axes[i + 1][0] * axes[i + 1][1] for i in range(len(axes) - 1)):
                return None
            step: Size = axes[-1][1] if axes else 0
            inner: list[Size] = []
            for size in reversed(group_new):
                inner.append(step)
                step = step * size
            strides.extend(reversed(inner))
        return View(shape, tuple(strides), self.offset) if len(strides) == len(shape) else None


def _matching_groups(old: list[Size], new: Shape) -> list[tuple[list[Size], list[Size]]]:
    """Cut two shapes of equal size into the shortest runs of axes with equal products."""
    groups: list[tuple[list[Size], list[Size]]] = []
    i = j = 0
    while i < len(old) or j < len(new):
        left: list[Size] = []
        right: list[Size] = []
        if i < len(old):
            left.append(old[i])
            i += 1
        if j < len(new):
            right.append(new[j])
            j += 1
        while product(left) != product(right):
            pl, pr = product(left), product(right)
            grow_left = i < len(old) and (j >= len(new) or (_number(pl) <= _number(pr)))
            if grow_left:
                left.append(old[i])
                i += 1
            elif j < len(new):
                right.append(new[j])
                j += 1
            else:
                return [(old, list(new))] if len(old) <= 1 else [([], [])]
        groups.append((left, right))
    return groups


def _number(size: Size) -> float:
    """Something to compare sizes by while matching: symbolic sizes count as large."""
    if isinstance(size, Dim):
        return float("inf") if len(size.terms) > 1 else 1e9 * abs(size.terms[0][1])
    return size
