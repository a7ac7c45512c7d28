"""Attention as LLVM IR: blocks of queries against blocks of keys around register tiles, forward and backward."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from graphflow_kernels.cpu.attention_plan import Attention
from graphflow_kernels.cpu.attention_tile import I1, product_tile
from graphflow_kernels.cpu.emitter import I64
from graphflow_kernels.cpu.gemm_pack import packer
from graphflow_kernels.cpu.gemm_plan import Layout
from graphflow_kernels.cpu.loops import Integers, Size, loop
from graphflow_kernels.cpu.scalar import ScalarBuilder
from graphflow_kernels.cpu.value import Value

NEVER = float("-inf")
Pointer = Callable[[Value], Any]
"""Given the number of the attention in the batch, the address of the first element of an operand."""
Epilogue = Callable[[ScalarBuilder, Value, Value, Value, Value, "Value | None", Value], None]
"""``epilogue(b, part, row, column, values, mask, batch)``: does what is to be done with finished values.

Stores are its task. `part` is 0 for the result or the gradient of queries, 1 and 2 for those of keys and values.
"""


def emit(
    attention: Attention,
    builder: ir.IRBuilder,
    operands: Sequence[Pointer],
    begin: Any,
    end: Any,
    scratch: Any,
    epilogue: Epilogue,
    number: Callable[[str], Any],
) -> None:
    """Emit chunks `begin` to `end` (LLVM i64) of a batch of attentions at the builder's position.

    `operands` are q, k, v, backward also the result's gradient, then the mask if there is one. `number` gives an
    LLVM i64 for each of ``attention_plan.NUMBERS``; `scratch` is memory of this thread, of the size that the plan says.
    """
    kind = _Backward if attention.backward else _Forward
    kind(attention, builder, operands, scratch, epilogue, number).chunks(begin, end)


class _Nest:
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
        self.s = ScalarBuilder(builder, attention.target, 1)
        self.v = ScalarBuilder(builder, attention.target, attention.lanes)
        self.ints = Integers(self.s)
        self.number = lambda name: self.s.value(number(name), "int64")
        names = ("q", "k", "v", "g") if attention.backward else ("q", "k", "v")
        self.names = names if attention.mask is None else (*names, "mask")
        self.operands = operands
        self.scratch = scratch
        self.most, self.sums, self.dots = (
            self.s.address(self.area("rows"), self.number("block_rows") * i, self.dtype) for i in range(3)
        )
        self.batch: Value  # the number of the attention that is at work,
        self.bases: dict[str, Any]  # and where its operands begin
        self.kept = builder.alloca(I64)  # of which attention the keys and values are packed
        builder.store(I64(-1), self.kept)
        self.peak, self.total = (builder.alloca(self.v.llvm_type(self.dtype)) for _ in range(2))

    def turn_to(self, batch: Value) -> None:
        """Work on one attention of the batch. Its place takes divisions to find, which are done once."""
        self.batch = batch
        self.bases = {name: pointer(batch) for name, pointer in zip(self.names, self.operands)}

    def area(self, name: str) -> Any:
        return self.s.address(self.scratch, self.number(f"{name}_at"), self.dtype)

    def at(self, pointer: Any, row: Size, step: Value, column: Size = 0) -> Any:
        return self.s.address(pointer, self.ints.value(row) * step + column, self.dtype)

    # -- copies ----------------------------------------------------------------------------------------------------
    def pack(self, name: str, first: Size, count: Value, size: str, wide: str, to: str) -> None:
        """Rows of an operand, one after the other, each as long as whole tiles."""
        row, column = self.number(f"{name}_row"), self.number(f"{name}_col")
        self._pack(name, first, (row, column), self.number(size), count, to, self.number(wide), 0, turned=False)

    def pack_turned(self, name: str, size: str, to: str) -> None:
        """All rows of an operand as columns, in panels of a tile's width."""
        row, column, width = self.number(f"{name}_row"), self.number(f"{name}_col"), self.attention.key_width
        steps, panel = (column, row), self.number(size) * width
        self._pack(name, 0, steps, self.number("keys"), self.number(size), to, width, panel, turned=True)

    def _pack(
        self,
        name: str,
        first: Size,
        steps: tuple[Value, Value],
        across: Value,
        along: Value,
        to: str,
        width: Size,
        panel: Size,
        turned: bool,
    ) -> None:
        attention, kind = self.attention, self.attention.memory_dtype
        unit = 1 if attention.units["qkvg".index(name)] else None
        source = self.s.address(self.bases[name], self.number(f"{name}_row") * first, kind)
        strides = (unit, None) if turned else (None, unit)
        function = packer(attention, self.builder.module, Layout(kind, None, unit), *strides)  # type: ignore[arg-type]
        self.call(function, source, *steps, across, along, self.area(to), width, panel)

    def call(self, function: ir.Function, *arguments: Any) -> None:
        """Call an internal function; numbers and values become i64, pointers and flags stay."""
        self.builder.call(function, [self.ints.ir(x) if type(x) in (int, Value) else x for x in arguments])

    def product(
        self, a: Any, a_step: Value, b: Any, b_step: Size, count: Value, c: Any, c_step: Value, more: Any, size: Any
    ) -> None:
        """Rows of a tile times a matrix of queries or values; `size`: their length if known, the name of the other."""
        known, wide = size
        vectors = self.attention.vectors(known)
        turned = isinstance(more, bool) and more
        function = product_tile(self.attention, self.builder.module, vectors, turned)
        more = I1(int(more)) if isinstance(more, bool) else more
        with loop(self.s, 0, self.number(wide), vectors * self.lanes) as j:
            b_here, c_here = (self.s.address(p, j, self.dtype) for p in (b, c))
            self.call(function, a, a_step, b_here, b_step, count, c_here, c_step, more)

    # -- scores ----------------------------------------------------------------------------------------------------
    def limit(self, row: Value) -> Value:
        """How many keys the queries up to and without this one see."""
        keys = self.number("keys")
        return self.s.minimum(keys, row) if self.attention.causal else keys

    def against_keys(
        self, rows: Any, step: Value, packed: Any, size: Value, first: Value, count: Value, to: Any
    ) -> None:
        """A tile of rows times packed columns of keys (or values), from key `first` on."""
        width = self.attention.key_width
        function = product_tile(self.attention, self.builder.module, 2)
        with loop(self.s, 0, count, width) as j:
            panel = self.s.address(packed, (first + j) * size, self.dtype)
            there = self.s.address(to, j, self.dtype)
            self.call(function, rows, step, panel, width, size, there, self.number("score_wide"), I1(0))

    def softmax_row(self, row: Value, query: Value, first: Value, count: Value, start: Any) -> None:
        """One row of a block's scores becomes powers of e over its greatest so far; older sums are scaled to that.

        `count` keys from `first` on were computed; those that the query does not see get no weight. The greatest and
        the sum so far are not looked at if this is the `start`.
        """
        s, v, b = self.s, self.v, self.builder
        scores = self.at(self.area("s"), row, self.number("score_wide"))
        seen = self.limit(query + 1) - first
        b.store(v.const(NEVER, self.dtype).ir, self.peak)
        b.store(v.const(0.0, self.dtype).ir, self.total)
        with loop(s, 0, count, self.lanes) as c:
            values = v.load(scores, c, self.dtype) * self.attention.scale
            inside = v.mask_first(seen - c)
            if self.attention.mask is not None:
                values = values + self.mask_values(query, first + c, inside)
            values = v.select(inside, values, NEVER)
            v.store(values, scores, c, self.dtype)
            b.store(v.maximum(self.held(self.peak), values).ir, self.peak)
        most = s.value(v.reduce_max(self.held(self.peak)).ir, self.dtype)
        if start is not True:
            before = s.load_element(self.most, row, self.dtype)
            most = s.maximum(before, most)
        base = s.select(most == NEVER, s.const(0.0, self.dtype), most)
        spread = v.splat(v.value(base.ir, self.dtype))
        with loop(s, 0, count, self.lanes) as c:
            powers = v.exp(v.load(scores, c, self.dtype) - spread)
            v.store(powers, scores, c, self.dtype)
            b.store((self.held(self.total) + powers).ir, self.total)
        total = s.value(v.reduce_sum(self.held(self.total)).ir, self.dtype)
        if start is True:
            s.store_element(total, self.sums, row, self.dtype)
            return
        s.store_element(most, self.most, row, self.dtype)
        with b.if_else(start) as (alone, more):
            with alone:
                s.store_element(total, self.sums, row, self.dtype)
            with more:
                shrink = s.exp(before - base)
                old = s.load_element(self.sums, row, self.dtype)
                s.store_element(old * shrink + total, self.sums, row, self.dtype)
                self.shrink_row(row, shrink)

    def shrink_row(self, row: Value, factor: Value) -> None:
        """Scale what a row of the result has so far."""

    def held(self, place: Any) -> Value:
        return self.v.value(self.builder.load(place, typ=self.v.llvm_type(self.dtype)), self.dtype)

    def mask_values(self, query: Value, key: Value, inside: Value) -> Value:
        """What is added to the scores of one query with as many keys as a vector has lanes."""
        kind, step = self.attention.memory_dtype, self.attention.mask
        pointer = self.s.address(self.bases["mask"], self.number("m_row") * query, kind)
        if step == 0:
            return self.v.load_element(pointer, 0, kind)
        if step == 1:
            return self.v.load(pointer, key, kind, mask=inside)
        stride = self.number("m_col")
        return self.v.load_strided(pointer, key * stride, stride, kind, inside)

    def inverse(self, row: Value) -> Value:
        """1 / the sum of a row's powers; 0 for a row that sees no key."""
        total = self.s.load_element(self.sums, row, self.dtype)
        return self.s.select(total == 0.0, total, 1.0 / total)

    def start_rows(self, rows: Value) -> None:
        with loop(self.s, 0, rows) as r:
            self.s.store_element(self.s.const(NEVER, self.dtype), self.most, r, self.dtype)
            self.s.store_element(self.s.const(0.0, self.dtype), self.sums, r, self.dtype)

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


class _Forward(_Nest):
    """A chunk is some queries of one attention; chunks that follow each other share its packed keys and values."""

    def chunks(self, begin: Any, end: Any) -> None:
        s, ints, blocks = self.s, self.ints, self.number("blocks")
        with loop(s, s.value(begin, "int64"), s.value(end, "int64")) as chunk:
            self.turn_to(ints.quotient(chunk, blocks))
            number = chunk - self.batch * blocks
            if self.attention.causal:
                # Early queries see few keys: first and last ones take turns, so that threads have equal work.
                half = ints.quotient(number, 2)
                number = s.select(number - half * 2 == 0, half, blocks - 1 - half)
            kept = self.builder.load(self.kept, typ=I64)
            with self.builder.if_then(self.builder.icmp_signed("!=", kept, self.batch.ir)):
                self.pack_turned("k", "size", "kt")
                self.pack("v", 0, self.number("keys"), "values", "value_wide", "v")
                self.builder.store(self.batch.ir, self.kept)
            first = number * self.number("chunk_rows")
            last = s.minimum(self.number("queries"), first + self.number("chunk_rows"))
            with loop(s, 0, ints.rounded_up(last - first, self.number("block_rows"))) as i:
                start = first + i * self.number("block_rows")
                self.block(start, s.minimum(self.number("block_rows"), last - start))

    def block(self, start: Value, rows: Value) -> None:
        """A block of queries against all keys that it sees."""
        s, ints = self.s, self.ints
        self.pack("q", start, rows, "size", "wide", "q")
        self.start_rows(rows)
        step = self.number("block_keys")
        # Without any key there is one block all the same: its empty products are the zeros that come out.
        keys = s.maximum(ints.rounded_up(self.limit(start + rows), step), 1)
        with loop(s, 0, keys) as number:
            first = number * step
            with loop(s, 0, rows, self.height) as tile:
                self.tile(start, tile, s.minimum(rows - tile, self.height), first)
        out = self.area("o")
        with loop(s, 0, rows) as r:
            source = self.at(out, r, self.number("value_wide"))
            self.finish(0, start + r, source, self.number("values"), self.inverse(r))

    def tile(self, start: Value, tile: Value, rows: Value, first: Value) -> None:
        """A tile's rows against a block of keys, added to their part of the result."""
        s, wide = self.s, self.number("value_wide")
        q = self.at(self.area("q"), tile, self.number("wide"))
        scores = self.at(self.area("s"), tile, self.number("score_wide"))
        count = s.minimum(self.limit(start + tile + self.height) - first, self.number("block_keys"))
        self.against_keys(q, self.number("wide"), self.area("kt"), self.number("size"), first, count, scores)
        with loop(s, 0, rows) as r:
            self.softmax_row(tile + r, start + tile + r, first, count, (first == 0).ir)
        values, out = self.at(self.area("v"), first, wide), self.at(self.area("o"), tile, wide)
        size = (self.attention.values, "value_wide")
        self.product(scores, self.number("score_wide"), values, wide, count, out, wide, (first > 0).ir, size)

    def shrink_row(self, row: Value, factor: Value) -> None:
        wide = self.number("value_wide")
        out, factors = self.at(self.area("o"), row, wide), self.v.splat(self.v.value(factor.ir, self.dtype))
        with loop(self.s, 0, wide, self.lanes) as c:
            self.v.store(self.v.load(out, c, self.dtype) * factors, out, c, self.dtype)


class _Backward(_Nest):
    """A chunk is one attention."""

    def chunks(self, begin: Any, end: Any) -> None:
        s, ints, keys = self.s, self.ints, self.number("keys")
        with loop(s, s.value(begin, "int64"), s.value(end, "int64")) as batch:
            self.turn_to(batch)
            self.pack_turned("k", "size", "kt")
            self.pack("k", 0, keys, "size", "wide", "k")
            self.pack_turned("v", "values", "v")
            for name, wide in (("dk", "wide"), ("dv", "value_wide")):
                area = self.area(name)
                with loop(s, 0, ints.rounded_up(keys, self.height) * self.height * self.number(wide), self.lanes) as i:
                    self.v.store(self.v.const(0.0, self.dtype), area, i, self.dtype)
            step = self.number("block_rows")
            with loop(s, 0, ints.rounded_up(self.number("queries"), step)) as i:
                self.block(i * step, s.minimum(step, self.number("queries") - i * step))
            with loop(s, 0, keys) as key:
                self.finish(1, key, self.at(self.area("dk"), key, self.number("wide")), self.number("size"))
            with loop(s, 0, keys) as key:
                self.finish(2, key, self.at(self.area("dv"), key, self.number("value_wide")), self.number("values"))

    def block(self, start: Value, rows: Value) -> None:
        """A block of queries: their own gradient, and their share of those of keys and values."""
        s, wide = self.s, self.number("wide")
        self.pack("q", start, rows, "size", "wide", "q")
        self.pack("g", start, rows, "values", "value_wide", "g")
        with loop(s, 0, rows, self.height) as tile:
            self.tile(start, tile, s.minimum(rows - tile, self.height))
        with loop(s, 0, rows) as r:
            self.finish(0, start + r, self.at(self.area("dq"), r, wide), self.number("size"))
        self.keys_and_values(start, rows)

    def tile(self, start: Value, tile: Value, rows: Value) -> None:
        """Weights and gradients of scores of a tile's rows, and the gradient of its queries."""
        s, none = self.s, self.s.const(0, "int64")
        wide, value_wide, score_wide = (self.number(n) for n in ("wide", "value_wide", "score_wide"))
        scores, slopes = (self.at(self.area(n), tile, score_wide) for n in ("s", "ds"))
        count = self.limit(start + tile + self.height)
        q, g = self.at(self.area("q"), tile, wide), self.at(self.area("g"), tile, value_wide)
        self.against_keys(q, wide, self.area("kt"), self.number("size"), none, count, scores)
        self.against_keys(g, value_wide, self.area("v"), self.number("values"), none, count, slopes)
        with loop(s, 0, rows) as r:
            self.softmax_row(tile + r, start + tile + r, none, count, True)
            self.slopes(tile + r, start + tile + r, count)
        dq = self.at(self.area("dq"), tile, wide)
        self.product(slopes, score_wide, self.area("k"), wide, count, dq, wide, I1(0), (self.attention.size, "wide"))

    def slopes(self, row: Value, query: Value, count: Value) -> None:
        """A row of powers becomes weights, the row of their gradients that of the scores."""
        s, v, b = self.s, self.v, self.builder
        scores, slopes = (self.at(self.area(n), row, self.number("score_wide")) for n in ("s", "ds"))
        inverse = v.splat(v.value(self.inverse(row).ir, self.dtype))
        seen = self.limit(query + 1)
        b.store(v.const(0.0, self.dtype).ir, self.total)
        with loop(s, 0, count, self.lanes) as c:
            weights = v.load(scores, c, self.dtype) * inverse
            v.store(weights, scores, c, self.dtype)
            slope = v.select(v.mask_first(seen - c), weights * v.load(slopes, c, self.dtype), 0.0)
            v.store(slope, slopes, c, self.dtype)
            b.store((self.held(self.total) + slope).ir, self.total)
        total = v.splat(v.value(v.reduce_sum(self.held(self.total)).ir, self.dtype))
        with loop(s, 0, count, self.lanes) as c:
            slope = v.load(slopes, c, self.dtype) - v.load(scores, c, self.dtype) * total
            v.store(slope * self.attention.scale, slopes, c, self.dtype)

    def keys_and_values(self, start: Value, rows: Value) -> None:
        """Add a block's share to the gradients of the keys and values that it sees."""
        s, score_wide = self.s, self.number("score_wide")
        shares = (("dk", "ds", "q", "wide", self.attention.size), ("dv", "s", "g", "value_wide", self.attention.values))
        with loop(s, 0, self.limit(start + rows), self.height) as key:
            # Causal: the queries before the tile's first key do not see it.
            unseen = s.maximum(key - start, 0) if self.attention.causal else s.const(0, "int64")
            for to, left, right, wide, known in shares:
                a = self.at(self.area(left), unseen, score_wide, key)
                b = self.at(self.area(right), unseen, self.number(wide))
                c = self.at(self.area(to), key, self.number(wide))
                self.product(
                    a, score_wide, b, self.number(wide), rows - unseen, c, self.number(wide), True, (known, wide)
                )
