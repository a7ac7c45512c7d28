"""What ops take for granted of symbolic sizes, besides that they are equal (core/dims.py)."""

from __future__ import annotations

from graphflow.core.dims import Dim, Size, same_size


def assume_not_negative(size: Size) -> bool:
    """Whether a difference of sizes is at least 0; where only data can tell it is assumed, and checked when data comes.

    Assumptions are equalities, so ``n - 4 >= 0`` is written ``4 // (n + 1) == 0``. Differences with symbolic sizes on
    both sides cannot be written so; of those the kernels' own checks must do.
    """
    if not isinstance(size, Dim):
        return size >= 0
    if any(factor < 0 for atoms, factor in size.terms if atoms):
        return True
    for atoms, _ in size.terms:
        for atom in atoms:
            if not isinstance(atom, str) and not assume_not_negative(atom[1]):
                return False
    constant = dict(size.terms).get((), 0)
    if constant < 0:
        same_size(-constant // (size - constant + 1), 0)
    return True
