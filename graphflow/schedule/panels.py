"""Matrix products that read one operand in panels: a matrix used again and again is brought into that order once.

The product's columns are cut into panels of two vector registers. A panel's columns lie side by side, row after row, so
that the product needs no packing of its own: it becomes a batch of narrow products, each with its panel.

The columns of a recurrent layer's product are the gates, one after the other, of which an elementwise kernel makes the
next state. There a panel has a vector of each gate, so that this kernel can be the product's epilogue.
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
    Product,
    Store,
    operands,
    renumbered,
)

PANEL_BYTES = 48 * 1024  # a panel that is larger would be packed by the product itself
WIDTHS = (128, 64)  # bytes of a panel's row: two vectors, or one
GATES_BYTES = 128 * 1024  # a panel of several gates is walked once for every few rows
MAX_BODY = 128  # values in the epilogue of a product
MAX_PARTS = 4
FEW_ROWS, MANY_ROWS = 8, 256  # of fewer rows products are sums along vectors; of more, packing does not count


def may_have_panels(kernel: Any) -> bool:
    """Whether a kernel is a product with a matrix that is worth packing once."""
    if not isinstance(kernel, ContractKernel) or kernel.batch or isinstance(kernel.n, Dim) or isinstance(kernel.k, Dim):
        return False
    if not isinstance(kernel.m, Dim) and not FEW_ROWS < kernel.m <= MANY_ROWS:
        return False
    if any(isinstance(v, Compute) and v.op.indexed for v in kernel.epilogue.body):
        return False  # such ops ask for their place among the columns
    return kernel.a.buffer.dtype is kernel.b.buffer.dtype and kernel.dtype.name in ("float32", "float64")


def panel_width(kernel: Any) -> int | None:
    """How many columns the panels of a product should have; None for a product that is better left as it is."""
    if not may_have_panels(kernel):
        return None
    if kernel.parts > 1:
        return _lanes(kernel)
    size = kernel.dtype.itemsize
    fitting = [w // size for w in WIDTHS if w * kernel.k <= PANEL_BYTES and kernel.n % (w // size) == 0]
    return fitting[0] if fitting and kernel.n > fitting[0] else None


def packing(kernel: ContractKernel, packed: Buffer) -> LoopKernel:
    """The kernel that brings the second operand of a product into panels."""
    row, column = kernel.b.strides[2], kernel.b.strides[1]
    panels, k, parts, width = packed.shape
    out = LoopKernel(packed.shape, nodes=list(kernel.nodes[:1]), why="a matrix is packed once for all steps")
    strides = (column * width, row, column * panels * width, column)
    out.body = [Load(Access(kernel.b.buffer, strides, kernel.b.offset), packed.dtype)]
    out.stores = [Store(0, Access(packed, (k * parts * width, parts * width, width, 1)), packed.dtype)]
    return out


def in_panels(kernel: ContractKernel, packed: Buffer) -> ContractKernel:
    """The product with its second operand in panels."""
    panels, k, parts, width = packed.shape
    assert isinstance(parts, int)
    old = kernel.epilogue
    epilogue = replace(old, shape=(panels, kernel.m, width), body=[_in_panel(v, width) for v in old.body])
    epilogue.stores = [replace(s, access=_split(s.access, width)) for s in old.stores]
    a = Access(kernel.a.buffer, (0, kernel.a.strides[0], 0, kernel.a.strides[2]), kernel.a.offset)
    b = Access(packed, (k * parts * width, 0, 1, parts * width))
    return replace(kernel, batch=(panels,), n=parts * width, a=a, b=b, epilogue=epilogue, parts=parts)


def _split(access: Access, width: Any) -> Access:
    row, column = access.strides
    return Access(access.buffer, (column * width, row, column), access.offset)


def _in_panel(value: BodyValue, width: Any) -> BodyValue:
    if isinstance(value, (Load, Indirect)):
        return replace(value, access=_split(value.access, width))
    return replace(value, axes=()) if isinstance(value, Compute) else value


# -- gates -------------------------------------------------------------------------------------------------------------
def with_gates(product: Any, gates: Any) -> ContractKernel | None:
    """A product and the elementwise kernel that alone reads its columns, in equal parts, as one kernel; None if they
    are not such a pair. Its epilogue walks the columns of one part.
    """
    reads = _reads_of_parts(product, gates)
    if reads is None:
        return None
    (m, n), (store,), parts = gates.shape, product.epilogue.stores, product.n // gates.shape[1]
    body: list[BodyValue] = []
    results: list[int] = []
    for part in range(parts):
        first = len(body)
        body += [_of_part(value, part, n, first) for value in product.epilogue.body]
        results.append(first + store.value)
    numbers: dict[int, int] = {}
    for i, value in enumerate(gates.body):
        numbers[i] = results[reads[i]] if i in reads else len(body)
        if i not in reads:
            body.append(renumbered(value, numbers) if operands(value) else value)
    if len(body) > MAX_BODY:
        return None
    nodes = [*product.nodes, *gates.nodes]
    stores = [replace(s, value=numbers[s.value]) for s in gates.stores]
    epilogue = LoopKernel((m, n), body=body, stores=stores, nodes=nodes)
    return replace(product, epilogue=epilogue, nodes=nodes, why=gates.why, parts=parts)


def _reads_of_parts(product: Any, gates: Any) -> dict[int, int] | None:
    """Which values of an elementwise kernel are elements of which part of a product; None unless each element of the
    product is read where that of part 0 is."""
    if not may_have_panels(product) or not isinstance(gates, LoopKernel) or gates.reduced or len(gates.shape) != 2:
        return None
    if any(isinstance(v, Compute) and v.op.indexed for v in gates.body) or len(product.epilogue.stores) != 1:
        return None
    (m, n), whole = gates.shape, product.epilogue.stores[0].access
    if not isinstance(n, int) or m != product.m or n % _lanes(product) or whole.buffer.kind != "temp":
        return None
    parts = product.n // max(n, 1)
    if not 1 < parts <= MAX_PARTS or parts * n != product.n:
        return None
    if parts * _lanes(product) * product.k * product.dtype.itemsize > GATES_BYTES:
        return None
    if {*product.reads(), *product.writes()} & set(gates.writes()):
        return None
    found: dict[int, int] = {}
    starts = [whole.offset + part * whole.strides[1] * n for part in range(parts)]
    for i, value in enumerate(gates.body):
        if isinstance(value, (Load, Indirect)) and value.access.buffer is whole.buffer:
            access = value.access
            if isinstance(value, Indirect) or access.strides != whole.strides or access.offset not in starts:
                return None
            found[i] = starts.index(access.offset)
    return found


def _of_part(value: BodyValue, part: int, columns: int, first: int) -> BodyValue:
    """A value of a product's epilogue for a part of the columns, in a body in which it comes ``first`` later."""
    if isinstance(value, Product):
        return replace(value, part=part)
    moved = renumbered(value, {i: i + first for i in operands(value)}) if operands(value) else value
    if isinstance(moved, (Load, Indirect)):
        access = moved.access
        return replace(moved, access=replace(access, offset=access.offset + part * columns * access.strides[1]))
    return moved


def _lanes(product: ContractKernel) -> int:
    """The elements of a vector."""
    from graphflow_kernels.cpu.target import host

    return host().lanes(product.dtype.name)
