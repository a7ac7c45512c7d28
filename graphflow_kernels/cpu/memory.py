"""Loads and stores: contiguous, masked, broadcast, strided, gathered; 16-bit floats and bools converted on the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from graphflow_kernels.cpu import types
from graphflow_kernels.cpu.emitter import I32, I64, Emitter, mangled, undefined, vector_type, zero
from graphflow_kernels.cpu.value import Value

POINTER = ir.PointerType()
LONGEST_COMB = 4
"""Steps up to which strided elements are read and written as whole vectors with gaps."""
STREAMED_SIZE = 16
"""Bytes that a store past the cache writes at least."""
Index = Any
"""A Python int, an LLVM i64, or a scalar int64 `Value`."""


class Memory(Emitter):
    """The part of `ScalarBuilder` that reads and writes memory. Indices count elements of the dtype in memory."""

    def index(self, number: Index) -> Any:
        """`number` as an LLVM i64."""
        if isinstance(number, int):
            return ir.Constant(I64, number)
        return number.ir if isinstance(number, Value) else number

    def address(self, pointer: Any, index: Index, dtype: str) -> Any:
        """The address of element `index` of an array of `dtype` at `pointer`."""
        if isinstance(index, int) and index == 0:
            return pointer
        return self.builder.gep(pointer, [self.index(index)], source_etype=types.memory_type(dtype))

    # -- contiguous ------------------------------------------------------------------------------------------------

    def load(
        self, pointer: Any, index: Index, dtype: str, mask: Value | None = None, align: int | None = None
    ) -> Value:
        """Elements ``index ... index + lanes - 1``; zero in the lanes that `mask` leaves out, which are not touched.

        `align` is the alignment in bytes that the address is known to have; one element's where it is not given.
        """
        address = self.address(pointer, index, dtype)
        kind = self.wide(types.memory_type(dtype))
        align = align or types.ITEMSIZE[dtype]
        if mask is None:
            return self.load_convert(self.builder.load(address, typ=kind, align=align), dtype)
        kind = _vector(kind)
        bits = self.intrinsic(
            f"llvm.masked.load.{mangled(kind)}.p0", kind, address, *self._masked(mask, align), zero(kind)
        )
        return self.load_convert(self._unwrapped(bits), dtype)

    def store(
        self, x: Value, pointer: Any, index: Index, dtype: str, mask: Value | None = None, align: int | None = None
    ) -> None:
        """Write x as `dtype` to elements ``index ... index + lanes - 1``, only where `mask` holds."""
        address = self.address(pointer, index, dtype)
        bits = self.store_convert(self.splat(x), dtype)
        align = align or types.ITEMSIZE[dtype]
        if mask is None:
            self.builder.store(bits, address, align=align)
            return
        bits = self._wrapped(bits)
        self.intrinsic(
            f"llvm.masked.store.{mangled(bits.type)}.p0", ir.VoidType(), bits, address, *self._masked(mask, align)
        )

    def store_streamed(self, x: Value, pointer: Any, index: Index, dtype: str, large: Any) -> None:
        """`store`, past the cache where `large` (an LLVM i1) holds and the place is aligned; see `finish_streams`."""
        bits = self.store_convert(self.splat(x), dtype)
        size = self.lanes * types.ITEMSIZE[dtype]
        if size < STREAMED_SIZE or not isinstance(bits.type, ir.VectorType):
            self.store(x, pointer, index, dtype)
            return
        b, address = self.builder, self.address(pointer, index, dtype)
        offset = b.and_(b.ptrtoint(address, I64), ir.Constant(I64, size - 1))
        with b.if_else(b.and_(large, b.icmp_unsigned("==", offset, ir.Constant(I64, 0)))) as (past, through):
            with past:
                store = b.store(bits, address, align=size)
                store.set_metadata("nontemporal", b.module.add_metadata([ir.Constant(I32, 1)]))
            with through:
                b.store(bits, address, align=types.ITEMSIZE[dtype])

    def finish_streams(self) -> None:
        """Make what `store_streamed` wrote visible to other threads before what is written next."""
        if self.target.name in ("avx512", "avx2", "sse2"):
            self.intrinsic("llvm.x86.sse.sfence", ir.VoidType())
        else:
            self.builder.fence("seq_cst")

    def load_element(self, pointer: Any, index: Index, dtype: str) -> Value:
        """One element, as a single value (use `splat` to have it in every lane; arithmetic does so by itself)."""
        bits = self.builder.load(
            self.address(pointer, index, dtype), typ=types.memory_type(dtype), align=types.ITEMSIZE[dtype]
        )
        return self.load_convert(bits, dtype)

    def store_element(self, x: Value, pointer: Any, index: Index, dtype: str) -> None:
        """Write the single value x to one element."""
        address = self.address(pointer, index, dtype)
        self.builder.store(self.store_convert(x, dtype), address, align=types.ITEMSIZE[dtype])

    def prefetch(self, address: Any, write: bool = False) -> None:
        """Ask for the cache line at `address`, which need not exist; with `write`, to change it."""
        kind = ir.Constant(I32, int(write))
        self.intrinsic("llvm.prefetch.p0", ir.VoidType(), address, kind, ir.Constant(I32, 3), ir.Constant(I32, 1))

    # -- gathered --------------------------------------------------------------------------------------------------

    def gather(self, pointer: Any, indices: Value, dtype: str, mask: Value | None = None) -> Value:
        """Element ``indices[lane]`` in each lane; zero in the lanes that `mask` leaves out, which are not touched."""
        kind = _vector(self.wide(types.memory_type(dtype)))
        addresses = self._addresses(pointer, indices, kind.element)
        bits = self.intrinsic(
            f"llvm.masked.gather.{mangled(kind)}.v{self.lanes}p0",
            kind,
            addresses,
            *self._masked(mask, types.ITEMSIZE[dtype]),
            zero(kind),
        )
        return self.load_convert(self._unwrapped(bits), dtype)

    def scatter(self, x: Value, pointer: Any, indices: Value, dtype: str, mask: Value | None = None) -> None:
        """Write x to element ``indices[lane]`` of each lane, only where `mask` holds; later lanes win."""
        element = types.memory_type(dtype)
        addresses = self._addresses(pointer, indices, element)
        bits = self._wrapped(self.store_convert(self.splat(x), dtype))
        self.intrinsic(
            f"llvm.masked.scatter.{mangled(bits.type)}.v{self.lanes}p0",
            ir.VoidType(),
            bits,
            addresses,
            *self._masked(mask, types.ITEMSIZE[dtype]),
        )

    def load_strided(self, pointer: Any, index: Index, stride: Index, dtype: str, mask: Value | None = None) -> Value:
        """Elements ``index, index + stride, index + 2 * stride, ...``, one in each lane."""
        step = self._short_step(stride, dtype)
        if step is not None:
            return self._load_combed(self.address(pointer, index, dtype), step, dtype, mask)
        return self.gather(self.address(pointer, index, dtype), self._strided(stride), dtype, mask)

    def store_strided(
        self, x: Value, pointer: Any, index: Index, stride: Index, dtype: str, mask: Value | None = None
    ) -> None:
        """Write x to elements ``index, index + stride, index + 2 * stride, ...``."""
        step = self._short_step(stride, dtype)
        if step is not None:
            self._store_combed(self.splat(x), self.address(pointer, index, dtype), step, dtype, mask)
            return
        self.scatter(x, self.address(pointer, index, dtype), self._strided(stride), dtype, mask)

    # With a short step known beforehand, masked vectors of all elements between and a shuffle beat element by element.

    def _short_step(self, stride: Index, dtype: str) -> int | None:
        known = stride.constant if isinstance(stride, ir.Constant) else stride
        short = isinstance(known, int) and 2 <= known <= LONGEST_COMB and self.target.has_masks and self.lanes > 1
        # LLVM takes masked vectors of a few small elements apart, and loses one on the way.
        size = types.ITEMSIZE[dtype]
        whole = size >= 4 or (self.target.name == "avx512" and size * self.lanes >= 16)
        return known if short and whole else None

    def _load_combed(self, address: Any, step: int, dtype: str, mask: Value | None) -> Value:
        kind, total = _vector(self.wide(types.memory_type(dtype))), None
        for part in range(step):
            teeth = [i for i in range(self.lanes) if (part * self.lanes + i) % step == 0]
            there = self._teeth(teeth, part, step, mask)
            more = self.load_bits(address, part * self.lanes, dtype, kind, there)
            if total is None:
                total = more
                first = [min(lane * step, self.lanes - 1) for lane in range(self.lanes)]
                total = self._shuffled(more, more, first)
            else:
                lanes = {(part * self.lanes + i) // step: self.lanes + i for i in teeth}
                total = self._shuffled(total, more, [lanes.get(lane, lane) for lane in range(self.lanes)])
        return self.load_convert(total, dtype)

    def _store_combed(self, x: Value, address: Any, step: int, dtype: str, mask: Value | None) -> None:
        bits = self.store_convert(x, dtype)
        for part in range(step):
            teeth = [i for i in range(self.lanes) if (part * self.lanes + i) % step == 0]
            there = self._teeth(teeth, part, step, mask)
            lanes = self._shuffled(bits, bits, [(part * self.lanes + i) // step for i in range(self.lanes)])
            kind, to = lanes.type, self.address(address, part * self.lanes, dtype)
            condition = (ir.Constant(I32, types.ITEMSIZE[dtype]), there)
            self.intrinsic(f"llvm.masked.store.{mangled(kind)}.p0", ir.VoidType(), lanes, to, *condition)

    def load_bits(self, address: Any, index: int, dtype: str, kind: ir.VectorType, there: Any) -> Any:
        """Elements from `index` on as they are in memory, zeros where the LLVM mask `there` does not hold."""
        address = self.address(address, index, dtype)
        condition = (ir.Constant(I32, types.ITEMSIZE[dtype]), there)
        return self.intrinsic(f"llvm.masked.load.{mangled(kind)}.p0", kind, address, *condition, zero(kind))

    def _teeth(self, teeth: Sequence[int], part: int, step: int, mask: Value | None) -> Any:
        """The mask of these lanes of a part, as far as the strided lanes that they stand for are in `mask`."""
        kind = ir.VectorType(ir.IntType(1), self.lanes)
        pattern = ir.Constant(kind, [i in teeth for i in range(self.lanes)])
        if mask is None:
            return pattern
        spread = self._shuffled(mask.ir, mask.ir, [(part * self.lanes + i) // step for i in range(self.lanes)])
        return self.builder.and_(spread, pattern)

    def _shuffled(self, a: Any, b: Any, lanes: Sequence[int]) -> Any:
        return self.builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(I32, len(lanes)), list(lanes)))

    def _strided(self, stride: Index) -> Value:
        return self._self.iota("int64") * self.value(self.index(stride), "int64")

    def _addresses(self, pointer: Any, indices: Value, element: ir.Type) -> Any:
        """A vector of pointers to the elements with these numbers."""
        numbers = self.splat(self._self.cast(indices, "int64")).ir
        addresses = self.builder.gep(pointer, [numbers], source_etype=element)
        # llvmlite types the result as one pointer, whatever the indices are.
        addresses.type = self.wide(POINTER)
        return self._wrapped(addresses)

    # -- masks -----------------------------------------------------------------------------------------------------

    def mask_first(self, count: Index) -> Value:
        """True in the first `count` lanes; `count` may be negative or more than there are lanes."""
        rest = self.value(self.index(count), "int64")
        held = self.cast_int32(self._self.minimum(self._self.maximum(rest, 0), self.lanes))
        return self._self.lt(self._self.iota("int32"), held)

    def cast_int32(self, x: Value) -> Value:
        """The low half of an int64."""
        return self._self.cast(x, "int32")

    def _masked(self, mask: Value | None, align: int) -> tuple[Any, Any]:
        condition = self.const(True, "bool") if mask is None else self.splat(mask)
        return ir.Constant(I32, align), self._wrapped(condition.ir)

    # LLVM's masked instructions exist for vectors only: a single lane goes through a vector of one.

    def _wrapped(self, x: Any) -> Any:
        if self.lanes > 1:
            return x
        return self.builder.insert_element(undefined(vector_type(x.type, 1)), x, ir.Constant(I32, 0))

    def _unwrapped(self, x: Any) -> Any:
        return x if self.lanes > 1 else self.builder.extract_element(x, ir.Constant(I32, 0))

    # -- conversion between memory and registers -------------------------------------------------------------------

    def load_convert(self, bits: Any, dtype: str) -> Value:
        """What was loaded as `dtype` as a value: bytes to bool, 16-bit floats to float32."""
        if dtype == "bool":
            return self.value(self.builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, None)), "bool")
        if dtype in types.STORAGE_ONLY:
            return self._self.widen(bits, dtype)
        return self.value(bits, dtype)

    def store_convert(self, x: Value, dtype: str) -> Any:
        """The LLVM value to store for x as an element of `dtype`; x must have the compute dtype of `dtype`."""
        if x.dtype != types.compute_dtype(dtype):
            raise TypeError(f"a value of {types.compute_dtype(dtype)} expected to store as {dtype}, got {x.dtype}")
        if dtype == "bool":
            kind = x.ir.type
            byte = ir.IntType(8)
            return self.builder.zext(x.ir, ir.VectorType(byte, kind.count) if _is_vector(kind) else byte)
        return self._self.narrow(x, dtype) if dtype in types.STORAGE_ONLY else x.ir


def _is_vector(kind: ir.Type) -> bool:
    return isinstance(kind, ir.VectorType)


def _vector(kind: ir.Type) -> ir.VectorType:
    return kind if _is_vector(kind) else vector_type(kind, 1)
