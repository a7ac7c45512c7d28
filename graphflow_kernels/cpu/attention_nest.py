"""What attention forward and backward share: packed operands, a block's scores, their softmax, finished rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from llvmlite import ir

from graphflow_kernels.cpu.attention_plan import Attention
from graphflow_kernels.cpu.attention_tile import I1, TileShape, product_tile
from graphflow_kernels.cpu.emitter import I64
from graphflow_kernels.cpu.gemm_pack import packer
from graphflow_kernels.cpu.gemm_plan import Layout
from graphflow_kernels.cpu.loops import Integers, Size, loop
from graphflow_kernels.cpu.scalar import ScalarBuilder
from graphflow_kernels.cpu.value import Value
from graphflow_kernels.cpu.vecmath.exponential import LOG2_E

NEVER = float("-inf")
Pointer = Callable[[Value], Any]
"""Given the number of the attention in the batch, the address of the first element of an operand."""
Epilogue = Callable[[ScalarBuilder, Value, Value, Value, Value, "Value | None", Value], None]
"""``epilogue(b, part, row, column, values, mask, batch)``: does what is to be done with finished values.

Stores are its task. `part` is 0 for the result or the gradient of queries, 1 and 2 for those of keys and values.
"""


class Scores(NamedTuple):
    """Scores of a block of queries from `start` on: a row for each of `keys` from `first` on, `step` apart."""

    place: Any
    step: Size
    start: Value
    first: Value
    keys: Value


class Nest:
    """What both directions share: packed operands, a block's scores and their softmax."""

    def __init__(
        self,
        attention: Attention,
        builder: ir.IRBuilder,
        operands: Sequence[Pointer],
        scratch: Any,
        epilogue: Epilogue,
        number: Callable[[str], Any],
    ) -> None:
        self.attention, self.builder, self.epilogue = attention, builder, epilogue
        self.dtype, self.lanes, self.height = attention.dtype, attention.lanes, attention.rows
        self.width, self.parts = attention.width, range(attention.score_tile[1])
        self.s = ScalarBuilder(builder, attention.target, 1)
        self.v = ScalarBuilder(builder, attention.target, attention.lanes)
        self.ints = Integers(self.s)
        self.number = lambda name: self.s.value(number(name), "int64")
        names = ("q", "k", "v", "g") if attention.backward else ("q", "k", "v")
        self.names = names if attention.mask is None else (*names, "mask")
        self.operands = operands
        self.scratch = scratch
        self.batch: Value  # the number of the attention that is at work,
        self.bases: dict[str, Any]  # and where its operands begin
        self.kept = builder.alloca(I64)  # of which attention the keys and values are packed
        builder.store(I64(-1), self.kept)
        # A vector of queries each: the greatest score, the sum of weights, and that of their gradients.
        self.most, self.sums, self.dots = ([Held(self.v, self.dtype) for _ in self.parts] for _ in range(3))
        # Powers of 2 take fewer steps than those of e. A mask may hold numbers that no factor may make infinite.
        base2 = attention.mask is None
        self.factor = attention.scale * (LOG2_E if base2 else 1.0)
        self.power = self.v.exp2 if base2 else self.v.exp

    def turn_to(self, batch: Value) -> None:
        """Work on one attention of the batch. Its place takes divisions to find, which are done once."""
        self.batch = batch
        self.bases = {name: pointer(batch) for name, pointer in zip(self.names, self.operands)}

    def area(self, name: str) -> Any:
        return self.s.address(self.scratch, self.number(f"{name}_at"), self.dtype)

    def at(self, pointer: Any, row: Size, step: Size, column: Size = 0) -> Any:
        return self.s.address(pointer, self.ints.value(row) * step + column, self.dtype)

    # -- copies ----------------------------------------------------------------------------------------------------
    def pack(self, name: str, first: Size, count: Value, size: str, wide: str) -> None:
        """Rows of an operand, one after the other, each as long as whole tiles."""
        attention, v = self.attention, self.v
        row, column = self.number(f"{name}_row"), self.number(f"{name}_col")
        source = self.s.address(self.bases[name], row * first, attention.memory_dtype)
        unit, known = attention.units["qkvg".index(name)], attention.size if size == "size" else attention.values
        if not unit or known is None or known % self.lanes or attention.memory_dtype != self.dtype:
            steps = (row, column, self.number(size), count)
            self._pack(source, (None, 1 if unit else None), steps, self.area(name), self.number(wide), 0)
            return
        with loop(self.s, 0, count) as r:
            start, target = self.at(source, r, row), self.at(self.area(name), r, self.number(wide))
            for c in range(0, known, self.lanes):
                v.store(v.load(start, c, self.dtype), target, c, self.dtype)

    def pack_turned(self, name: str, first: Value, count: Value, size: str) -> None:
        """A block's rows of an operand as columns. Those past the last row are copies of it."""
        row, column = self.number(f"{name}_row"), self.number(f"{name}_col")
        source = self.s.address(self.bases[name], row * first, self.attention.memory_dtype)
        unit = self.attention.units["qkvg".index(name)]
        steps = (column, row, count, self.number(size))
        self._pack(source, (1 if unit else None, None), steps, self.area(f"{name}t"), self.width, 0)

    def pack_mask(self, scores: Scores, rows: Value) -> None:
        """A block's part of the mask, as the scores lie."""
        if self.attention.mask is None:
            return
        row, column = self.number("m_row"), self.number("m_col")
        source = self.s.address(
            self.bases["mask"], row * scores.start + column * scores.first, self.attention.memory_dtype
        )
        unit = 1 if self.attention.mask == 1 else None
        self._pack(source, (unit, None), (column, row, rows, scores.keys), self.area("m"), self.width, 0)

    def _pack(self, source: Any, known: Any, steps: Sequence[Value], to: Any, width: Size, panel: Size) -> None:
        kind = self.attention.memory_dtype
        function = packer(self.attention, self.builder.module, Layout(kind, None, None), *known)  # type: ignore[arg-type]
        self.call(function, source, *steps, to, width, panel)

    def call(self, function: ir.Function, *arguments: Any) -> None:
        """Call an internal function; numbers and values become i64, pointers and flags stay."""
        self.builder.call(function, [self.ints.ir(x) if type(x) in (int, Value) else x for x in arguments])

    def product(
        self, a: Any, a_step: Size, b: Any, count: Value, c: Any, more: Any, wide: str, turned: bool = True
    ) -> None:
        """Rows of a tile times a matrix of queries or values, whose rows and those of the result are `wide`."""
        attention = self.attention
        vectors = attention.vectors(attention.size if wide == "wide" else attention.values)
        function = product_tile(attention, self.builder.module, TileShape(self.height, vectors, turned))
        step = self.number(wide)
        with loop(self.s, 0, step, vectors * self.lanes) as j:
            b_here, c_here = (self.s.address(p, j, self.dtype) for p in (b, c))
            self.call(function, a, a_step, b_here, step, count, c_here, step, more)

    # -- scores ----------------------------------------------------------------------------------------------------
    def limit(self, row: Value) -> Value:
        """How many keys the queries up to and without this one see."""
        keys = self.number("keys")
        return self.s.minimum(keys, row) if self.attention.causal else keys

    def against(self, rows: str, wide: str, size: str, turned: str, scores: Scores, place: Any) -> None:
        """All keys (or values) of a block's scores, packed as rows, times its queries (or gradients) as columns."""
        attention = self.attention
        height, vectors = attention.score_tile
        known = attention.size if size == "size" else attention.values
        apart = None if known is None else attention.row(known, known)
        function = product_tile(attention, self.builder.module, TileShape(height, vectors, False, apart))
        step, columns = self.number(wide), self.area(turned)
        with loop(self.s, 0, scores.keys, height) as j:
            a, c = self.at(self.area(rows), scores.first + j, step), self.at(place, j, scores.step)
            self.call(function, a, step, columns, self.width, self.number(size), c, scores.step, I1(0))

    def over_keys(self, scores: Scores, body: Callable[[Value, list[Value | None]], None]) -> None:
        """``body(key, unseen)`` for each of the keys; for each vector of queries, which of them do not see the key."""
        s, count = self.s, scores.keys
        if not self.attention.causal:
            with loop(s, 0, count) as key:
                body(key, [None for _ in self.parts])
            return
        # Keys that all of the block's queries see come first.
        behind = scores.first - scores.start
        whole = s.minimum(s.maximum(1 - behind, 0), count)
        with loop(s, 0, whole) as key:
            body(key, [None for _ in self.parts])
        with loop(s, whole, count) as key:
            body(key, [self.v.mask_first(behind + key - i * self.lanes) for i in self.parts])

    def exponent(self, scores: Scores, key: Value, part: int, unseen: Value | None, base: Value | None) -> Value:
        """What the power is taken of, less a base: the score of a key with a vector of queries."""
        v, column = self.v, part * self.lanes
        x = v.load(self.at(scores.place, key, scores.step), column, self.dtype)
        if self.attention.mask is None:
            x = x * self.factor if base is None else v.fma(x, self.factor, -base)
        else:
            x = v.fma(x, self.factor, v.load(self.at(self.area("m"), key, self.width), column, self.dtype))
            x = x if base is None else x - base
        return x if unseen is None else v.select(unseen, NEVER, x)

    def bases_of(self, scores: Scores, before: Sequence[Value] | None = None) -> list[Value]:
        """The greatest exponent of each query, in `most` and, where it sees no key at all, 0 here."""
        v = self.v
        for i in self.parts:
            self.most[i].set(v.const(NEVER, self.dtype) if before is None else before[i])

        def greater(key: Value, unseen: list[Value | None]) -> None:
            for i, most in enumerate(self.most):
                x = self.exponent(scores, key, i, unseen[i], None)
                most.set(v.select(x > most.get(), x, most.get()))  # no NaN: that one's power is NaN soon enough

        self.over_keys(scores, greater)
        return [v.select(most.get() == NEVER, 0.0, most.get()) for most in self.most]

    def inverse(self, total: Value) -> Value:
        """1 / the sum of powers; 0 where no key is seen."""
        return self.v.select(total == 0.0, total, 1.0 / total)

    # -- results ---------------------------------------------------------------------------------------------------
    def finish(self, part: Size, row: Value, source: Any, size: Value, factor: Value | None = None) -> None:
        """Hand one row of finished values to the epilogue, a vector at a time."""
        s, v, ints = self.s, self.v, self.ints
        known = self.attention.values  # as long as queries and keys where there is a gradient
        even = known is not None and known % self.lanes == 0
        masked = self.attention.target.name == "avx512" and not even
        whole = size if masked or even else ints.quotient(size, self.lanes) * self.lanes

        def some(b: ScalarBuilder, column: Value, mask: Value | None) -> None:
            values = b.load(source, column, self.dtype)
            if factor is not None:
                values = values * b.splat(b.value(factor.ir, self.dtype))
            self.epilogue(b, ints.value(part), row, column, values, mask, self.batch)

        with loop(s, 0, whole, self.lanes) as c:
            some(v, c, v.mask_first(size - c) if masked else None)
        if not masked and not even:
            with loop(s, whole, size) as c:
                some(s, c, None)


class Held:
    """A vector that changes from one turn of a loop to the next."""

    def __init__(self, v: ScalarBuilder, dtype: str) -> None:
        self.v, self.dtype = v, dtype
        self.place = v.builder.alloca(v.llvm_type(dtype))

    def get(self) -> Value:
        return self.v.value(self.v.builder.load(self.place, typ=self.v.llvm_type(self.dtype)), self.dtype)

    def set(self, value: Value) -> None:
        self.v.builder.store(value.ir, self.place)
