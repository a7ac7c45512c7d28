"""Scheduling of convolutions: each is a kernel of its own whose epilogue takes in what follows, like a matrix product.

The gradient of a weight sums up the whole batch to few results. So that threads can share that, such a convolution
writes partial sums of fixed parts of its channels, which a loop kernel adds up: the same bits on any number of threads.
"""

from __future__ import annotations

from graphflow.core.dims import Dim, Size, product
from graphflow.core.view import View
from graphflow.ir.graph import Node
from graphflow.schedule.groups import Group, identity
from graphflow.schedule.kernels import Access, ConvKernel, Load, LoopKernel, Product, Reduce, Store
from graphflow.schedule.placement import Placement

MOST_SPLITS = 16
SPLIT_RESULTS = 1 << 18  # elements that all partial results together may have
SPLIT_TERMS = 1 << 12  # products that make one result, from which on splitting pays
UNKNOWN = 256  # what a symbolic size is taken to be


class Convolutions(Placement):
    """The part of the scheduler that knows convolutions."""

    def _conv(self, node: Node) -> None:
        x, w = (self.materialize(n) for n in node.inputs)
        shape, dtype = node.aval.shape, node.aval.dtype
        splits = _splits(node)
        domain = shape if splits == 1 else (splits, *shape)
        kernel = ConvKernel(
            node.inputs[0].aval.shape,
            node.inputs[1].aval.shape,
            Access(x.buffer, x.view.strides, x.view.offset),
            Access(w.buffer, w.view.strides, w.view.offset),
            dtype,
            LoopKernel(domain, nodes=[node]),
            splits=splits,
            **node.attrs,
        )
        group = Group(len(self.kernels), kernel.epilogue, contract=kernel)
        self.kernels.append(group)
        for buffer in (x.buffer, w.buffer):
            self.read_at[buffer].add(group.number)
        value = group.add(Product(dtype))
        if splits == 1:
            self._enter(group, node, value, identity(len(shape)))
            return
        partial = self.buffer(domain, dtype, "temp", None, node.name)
        strides = View.contiguous(domain).strides
        kernel.epilogue.stores.append(Store(value, Access(partial, strides), dtype))
        kernel.epilogue.why = "partial sums of parts of the channels"
        self.written_at[partial] = group.number
        total = Group(len(self.kernels), LoopKernel(domain, (0,)), fixed_axes=True)
        self.kernels.append(total)
        self.read_at[partial].add(total.number)
        load = total.add(Load(Access(partial, strides), dtype))
        self._enter(total, node, total.add(Reduce("add", load, dtype)), tuple(range(1, len(domain))))


def _splits(node: Node) -> int:
    """Into how many partial sums a convolution is cut: a power of two, like most batches. Follows from sizes alone."""
    results = product(node.aval.shape)
    groups, outputs, channels, *taps = node.inputs[1].aval.shape
    if isinstance(results, Dim) or results == 0 or node.aval.dtype.bits == 16:
        return 1
    terms = _rough(product(taps)) * _rough(channels)
    if terms < SPLIT_TERMS or channels == 1:
        return 1
    most = max(1, min(MOST_SPLITS, _rough(channels), SPLIT_RESULTS // results))
    return 1 << (most.bit_length() - 1)


def _rough(size: Size) -> int:
    return UNKNOWN if isinstance(size, Dim) else size
