"""Kernels written by hand, as Python that Numba compiles: scatter, argsort, running sums and extremes, searchsorted.

``KERNELS[name](dtypes, params)`` makes the function ``kernel(table, args, begin, end, scratch)`` for operands and a
result of given dtypes; ``params`` are what the op's record says (axis, ranks). Kernels neither allocate nor raise.

All buffers are whole and row-major. The arguments of a kernel with k operands are

    [operand 0 .. operand k-1, result, status, node, *shape of operand 0, .., *shape of operand k-1, *shape of result]

where the first k + 2 are numbers of buffers in ``table``. ``status`` is an int64 buffer: on an index out of range a
kernel writes ``node`` to status[0] and the index to status[1], and goes on with the nearest index inside.

The work is split into ``chunks(name, shapes)`` chunks; a kernel finds the bounds of its chunks by the same rule, so the
split depends on sizes alone and each element is computed in one fixed order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property, partial
from typing import Any, NamedTuple

import numpy as np

Function = Callable[[int, int, int, int, int], None]
Params = Mapping[str, Any]

KERNELS: dict[str, Callable[[Sequence[str], Params], LazyKernel]] = {}

GRAIN = 32768  # elements read or written that are worth a chunk
MOST = 64  # chunks
_SET, _ADD, _MUL, _MIN, _MAX = range(5)


def chunks(name: str, shapes: Sequence[Sequence[int]]) -> int:
    """The number of chunks of a call, given the shapes of its operands and its result. Needs no compiler."""
    sizes = [_product(s) for s in shapes]
    if name == "argsort":
        return _parts(sizes[0] * 8)
    if name == "searchsorted":
        return _parts(sizes[1] * 8)
    if name.startswith("scatter"):
        return _parts(sizes[0] + sizes[2])
    return _parts(sizes[0])


def _product(sizes: Sequence[int]) -> int:
    out = 1
    for size in sizes:
        out *= size
    return out


def _parts(work: int) -> int:
    return max(1, min(MOST, work // GRAIN))


@cache
def pointer_at() -> Any:
    """``at(address, dtype)``: a pointer to numbers of a type, which Numba indexes like an array."""
    from numba import types
    from numba.extending import intrinsic

    @intrinsic
    def at(typing_context: Any, address: Any, dtype: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            return builder.inttoptr(values[0], context.get_value_type(signature.return_type))

        return types.CPointer(dtype.dtype)(address, dtype), generate

    return at


class Element(NamedTuple):
    """Elements of a dtype in memory: ``load(address, i)``, ``store(address, i, value)``, and the type of numbers."""

    load: Any
    store: Any
    number: Any


@cache
def _element(dtype: str) -> Element:
    """A bool is a byte; 16-bit floats are computed with in float32 and rounded when they are stored."""
    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic

    from graphflow_kernels.cpu import ScalarBuilder, host
    from graphflow_kernels.cpu.types import compute_dtype

    memory = "uint8" if dtype == "bool" else dtype
    name = compute_dtype(memory)
    kind = getattr(types, name)

    @intrinsic
    def load(typing_context: Any, address: Any, index: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            pointer = builder.inttoptr(values[0], ir.PointerType())
            return ScalarBuilder(builder, host(), 1).load_element(pointer, values[1], memory).ir

        return kind(types.intp, types.intp), generate

    @intrinsic
    def store(typing_context: Any, address: Any, index: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            b = ScalarBuilder(builder, host(), 1)
            pointer = builder.inttoptr(values[0], ir.PointerType())
            b.store_element(b.value(values[2], name), pointer, values[1], memory)
            return context.get_dummy_value()

        return types.void(types.intp, types.intp, kind), generate

    return Element(load, store, getattr(np, name))


class LazyKernel:
    """A kernel whose function is made when it is compiled: where its code is found in a cache, Numba is not imported.

    ``__numba__`` is how Numba finds the Python function of an object that it is given in place of one.
    """

    __numba__ = "function"

    def __init__(self, make: Callable[..., Any], name: str, dtypes: Sequence[str], params: Params) -> None:
        self._made_of = make, name, dtypes, params
        self.__name__ = name

    @cached_property
    def function(self) -> Function:
        make, *arguments = self._made_of
        return make(*arguments)  # type: ignore[no-any-return]


def _kernel(*names: str) -> Callable[[Any], Any]:
    def add(make: Any) -> Any:
        for name in names:
            KERNELS[name] = partial(LazyKernel, make, name)
        return make

    return add


@_kernel("scatter_set", "scatter_add", "scatter_mul", "scatter_min", "scatter_max")
def _scatter(name: str, dtypes: Sequence[str], params: Params) -> Function:
    """A chunk owns some rows of the result and applies the updates that fall into them, in order.

    The result may lie where the operand does.
    """
    at, (load, store, number) = pointer_at(), _element(dtypes[0])
    axis, rank, index_rank = params["axis"], params["rank"], params["index_rank"]
    mode = {"set": _SET, "add": _ADD, "mul": _MUL, "min": _MIN, "max": _MAX}[name.partition("_")[2]]

    def scatter(table: int, args: int, begin: int, end: int, scratch: int) -> None:
        a, t = at(args, np.int64), at(table, np.int64)
        x, index, updates, out = t[a[0]], at(t[a[1]], np.int64), t[a[2]], t[a[3]]
        status, node = at(t[a[4]], np.int64), a[5]
        outer, n, inner, count = 1, a[6 + axis], 1, 1
        for i in range(axis):
            outer *= a[6 + i]
        for i in range(axis + 1, rank):
            inner *= a[6 + i]
        for i in range(index_rank):
            count *= a[6 + rank + i]
        parts = max(1, min(MOST, (outer * n * inner + outer * count * inner) // GRAIN))
        if begin == 0:
            for k in range(count):
                if index[k] < -n or index[k] >= n:
                    status[0], status[1] = node, index[k]
        rows = outer * n
        first, last = rows * begin // parts, rows * end // parts
        if x != out:
            for i in range(first * inner, last * inner):
                store(out, i, load(x, i))
        if first == last:
            return
        for o in range(first // n, (last - 1) // n + 1):
            for k in range(count):
                j = index[k]
                if j < 0:
                    j += n
                row = o * n + min(max(j, 0), n - 1)
                if first <= row < last:
                    for i in range(inner):
                        u, v = load(updates, (o * count + k) * inner + i), load(out, row * inner + i)
                        if mode == _ADD:
                            u = number(v + u)
                        elif mode == _MUL:
                            u = number(v * u)
                        elif mode == _MIN:
                            u = u if u < v or u != u else v
                        elif mode == _MAX:
                            u = u if u > v or u != u else v
                        store(out, row * inner + i, u)

    return scatter


@_kernel("cumsum", "cumprod")
def _cumulative(name: str, dtypes: Sequence[str], params: Params) -> Function:
    """A chunk owns some lines along the axis; neighbouring lines go in step, so that memory is read in order."""
    at, (load, store, number) = pointer_at(), _element(dtypes[0])
    axis, rank = params["axis"], params["rank"]
    is_sum = name == "cumsum"

    def cumulative(table: int, args: int, begin: int, end: int, scratch: int) -> None:
        a, t = at(args, np.int64), at(table, np.int64)
        x, out = t[a[0]], t[a[1]]
        outer, n, inner = 1, a[4 + axis], 1
        for i in range(axis):
            outer *= a[4 + i]
        for i in range(axis + 1, rank):
            inner *= a[4 + i]
        parts = max(1, min(MOST, outer * n * inner // GRAIN))
        lines = outer * inner
        first, last = lines * begin // parts, lines * end // parts
        if first == last or n == 0:
            return
        for o in range(first // inner, (last - 1) // inner + 1):
            start, stop = max(first - o * inner, 0), min(last - o * inner, inner)
            base = o * n * inner
            for i in range(base + start, base + stop):
                store(out, i, load(x, i))
            for _ in range(1, n):
                base += inner
                for i in range(base + start, base + stop):
                    before, own = load(out, i - inner), load(x, i)
                    store(out, i, number(before + own) if is_sum else number(before * own))

    return cumulative


@_kernel("cumargmax", "cumargmin")
def _cumarg(name: str, dtypes: Sequence[str], params: Params) -> Function:
    """As running sums: the places of the extremes so far, the last of equal ones; after a NaN the last NaN's."""
    at, load = pointer_at(), _element(dtypes[0]).load
    axis, rank = params["axis"], params["rank"]
    is_max = name == "cumargmax"

    def cumarg(table: int, args: int, begin: int, end: int, scratch: int) -> None:
        a, t = at(args, np.int64), at(table, np.int64)
        x, out = t[a[0]], at(t[a[1]], np.int64)
        outer, n, inner = 1, a[4 + axis], 1
        for i in range(axis):
            outer *= a[4 + i]
        for i in range(axis + 1, rank):
            inner *= a[4 + i]
        parts = max(1, min(MOST, outer * n * inner // GRAIN))
        lines = outer * inner
        first, last = lines * begin // parts, lines * end // parts
        if first == last or n == 0:
            return
        for o in range(first // inner, (last - 1) // inner + 1):
            start, stop = max(first - o * inner, 0), min(last - o * inner, inner)
            base = o * n * inner
            for i in range(base + start, base + stop):
                out[i] = 0
            for k in range(1, n):
                for i in range(start, stop):
                    at_best = out[base + (k - 1) * inner + i]
                    best, own = load(x, base + at_best * inner + i), load(x, base + k * inner + i)
                    reaches = own >= best if is_max else own <= best
                    out[base + k * inner + i] = k if own != own or (best == best and reaches) else at_best

    return cumarg


@_kernel("searchsorted")
def _searchsorted(name: str, dtypes: Sequence[str], params: Params) -> Function:
    """Binary search of each value in a sorted vector; NaN counts as greater than everything."""
    at, load = pointer_at(), _element(dtypes[0]).load
    rank, right = params["rank"], params["right"]

    def searchsorted(table: int, args: int, begin: int, end: int, scratch: int) -> None:
        a, t = at(args, np.int64), at(table, np.int64)
        x, values, out = t[a[0]], t[a[1]], at(t[a[2]], np.int64)
        n, count = a[5], 1
        for i in range(rank):
            count *= a[6 + i]
        parts = max(1, min(MOST, count * 8 // GRAIN))
        for i in range(count * begin // parts, count * end // parts):
            v = load(values, i)
            low, high = 0, n
            while low < high:
                middle = (low + high) // 2
                m = load(x, middle)
                if right:
                    before = not (v < m or (m != m and v == v))
                else:
                    before = m < v or (v != v and m == m)
                if before:
                    low = middle + 1
                else:
                    high = middle
            out[i] = low

    return searchsorted


@_kernel("argsort")
def _argsort(name: str, dtypes: Sequence[str], params: Params) -> Function:
    """Heapsort of the positions in each row by (value, position), which makes it stable without more memory.

    NaN counts as greater than everything.
    """
    at, load = pointer_at(), _element(dtypes[0]).load
    rank = params["rank"]

    def argsort(table: int, args: int, begin: int, end: int, scratch: int) -> None:
        a, t = at(args, np.int64), at(table, np.int64)
        x, out = t[a[0]], at(t[a[1]], np.int64)
        n, rows = a[4 + rank - 1], 1
        for i in range(rank - 1):
            rows *= a[4 + i]
        parts = max(1, min(MOST, rows * n * 8 // GRAIN))
        for row in range(rows * begin // parts, rows * end // parts):
            base = row * n
            for i in range(n):
                out[base + i] = i
            for step in range(n // 2 + max(0, n - 1)):
                # First each inner node sinks, which makes a heap; then the greatest goes behind it, again and again.
                if step < n // 2:
                    node, size = n // 2 - 1 - step, n
                    item = out[base + node]
                else:
                    node, size = 0, n - 1 - (step - n // 2)
                    item = out[base + size]
                    out[base + size] = out[base]
                v = load(x, base + item)
                while True:
                    child = 2 * node + 1
                    if child >= size:
                        break
                    c = out[base + child]
                    w = load(x, base + c)
                    if child + 1 < size:
                        d = out[base + child + 1]
                        u = load(x, base + d)
                        if w < u or (u != u and w == w) or ((w == u or (w != w and u != u)) and c < d):
                            child, c, w = child + 1, d, u
                    if not (v < w or (w != w and v == v) or ((v == w or (v != v and w != w)) and item < c)):
                        break
                    out[base + node] = c
                    node = child
                out[base + node] = item

    return argsort
