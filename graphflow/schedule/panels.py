"""Matrix products that read one operand in panels: a matrix used again and again is brought into that order once.

The product's columns are cut into panels of two vector registers. A panel's columns lie side by side, row after row, so
that the product needs no packing of its own: it becomes a batch of narrow products, each with its panel.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from graphflow.core.dims import Dim
from graphflow.schedule.kernels import (
    Access,
    BodyValue,
    Buffer,
    Compute,
    ContractKernel,
    Indirect,
    Load,
    LoopKernel,
    Store,
)

PANEL_BYTES = 48 * 1024  # a panel that is larger would be packed by the product itself
WIDTHS = (128, 64)  # bytes of a panel's row: two vectors, or one
FEW_ROWS, MANY_ROWS = 8, 256  # of fewer rows products are sums along vectors; of more, packing does not count


def panel_width(kernel: Any) -> int | None:
    """How many columns the panels of a product should have; None for a product that is better left as it is."""
    if not isinstance(kernel, ContractKernel) or kernel.batch or isinstance(kernel.n, Dim) or isinstance(kernel.k, Dim):
        return None
    if not isinstance(kernel.m, Dim) and not FEW_ROWS < kernel.m <= MANY_ROWS:
        return None
    if any(isinstance(v, Compute) and v.op.indexed for v in kernel.epilogue.body):
        return None  # such ops ask for their place among the columns
    if kernel.a.buffer.dtype is not kernel.b.buffer.dtype or kernel.dtype.name not in ("float32", "float64"):
        return None
    size = kernel.dtype.itemsize
    fitting = [w // size for w in WIDTHS if w * kernel.k <= PANEL_BYTES and kernel.n % (w // size) == 0]
    return fitting[0] if fitting and kernel.n > fitting[0] else None


def packing(kernel: ContractKernel, packed: Buffer, width: int) -> LoopKernel:
    """The kernel that brings the second operand of a product into panels."""
    row, column = kernel.b.strides[2], kernel.b.strides[1]
    out = LoopKernel(packed.shape, nodes=list(kernel.nodes[:1]), why="a matrix is packed once for all steps")
    dtype = packed.dtype
    out.body = [Load(Access(kernel.b.buffer, (column * width, row, column), kernel.b.offset), dtype)]
    out.stores = [Store(0, Access(packed, (kernel.k * width, width, 1)), dtype)]
    return out


def in_panels(kernel: ContractKernel, packed: Buffer, width: int) -> ContractKernel:
    """The product with its second operand in panels."""

    def split(access: Access) -> Access:
        row, column = access.strides
        return Access(access.buffer, (column * width, row, column), access.offset)

    def moved(value: BodyValue) -> BodyValue:
        if isinstance(value, (Load, Indirect)):
            return replace(value, access=split(value.access))
        return replace(value, axes=()) if isinstance(value, Compute) else value

    old = kernel.epilogue
    panels = packed.shape[0]
    epilogue = replace(old, shape=(panels, kernel.m, width), body=[moved(v) for v in old.body])
    epilogue.stores = [replace(s, access=split(s.access)) for s in old.stores]
    a = Access(kernel.a.buffer, (0, kernel.a.strides[0], 0, kernel.a.strides[2]), kernel.a.offset)
    b = Access(packed, (kernel.k * width, 0, 1, width))
    return replace(kernel, batch=(panels,), n=width, a=a, b=b, epilogue=epilogue)
