"""Attention as LLVM IR: blocks of queries against blocks of keys around register tiles, forward and backward."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from graphflow_kernels.cpu.attention_nest import NEVER, Epilogue, Nest, Pointer, Scores
from graphflow_kernels.cpu.attention_plan import Attention
from graphflow_kernels.cpu.attention_tile import I1
from graphflow_kernels.cpu.emitter import I64
from graphflow_kernels.cpu.loops import loop
from graphflow_kernels.cpu.value import Value


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


class _Forward(Nest):
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
                self.pack("k", 0, self.number("keys"), "size", "wide")
                self.pack("v", 0, self.number("keys"), "values", "value_wide")
                self.builder.store(self.batch.ir, self.kept)
            first = number * self.number("chunk_rows")
            last = s.minimum(self.number("queries"), first + self.number("chunk_rows"))
            with loop(s, first, last, self.width) as start:
                self.block(start, s.minimum(self.width, last - start))

    def row_numbers(self, which: int, part: int = 0) -> Any:
        """Memory for a number of each query: 0 the greatest exponents, 1 the sums, 2 factors."""
        return self.s.address(self.area("rows"), which * self.width + part * self.lanes, self.dtype)

    def block(self, start: Value, rows: Value) -> None:
        """A block of queries against all keys that it sees."""
        s, v = self.s, self.v
        self.pack_turned("q", start, rows, "size")
        for i in self.parts:
            v.store(v.const(NEVER, self.dtype), self.row_numbers(0, i), 0, self.dtype)
            v.store(v.const(0.0, self.dtype), self.row_numbers(1, i), 0, self.dtype)
        # Without any key there is one part all the same: its empty products are the zeros that come out.
        seen, step = self.limit(start + rows), self.number("block_keys")
        with loop(s, 0, s.maximum(seen, 1), step) as first:
            count = s.minimum(seen - first, step)
            self.part(Scores(self.area("s"), self.width, start, first, count), rows)
        for i in self.parts:
            total = v.load(self.row_numbers(1, i), 0, self.dtype)
            v.store(self.inverse(total), self.row_numbers(2, i), 0, self.dtype)
        wide, factors = self.number("value_wide"), self.row_numbers(2)
        with loop(s, 0, rows) as r:
            factor = s.load_element(factors, r, self.dtype)
            self.finish(0, start + r, self.at(self.area("o"), r, wide), self.number("values"), factor)

    def part(self, scores: Scores, rows: Value) -> None:
        """A block of queries against some keys, added to the result so far."""
        s, wide, first = self.s, self.number("value_wide"), scores.first
        self.against("k", "wide", "size", "qt", scores, scores.place)
        self.pack_mask(scores, rows)
        self.softmax(scores)
        later = (first > 0).ir
        with self.builder.if_then(later), loop(s, 0, rows) as r:
            self.shrink_row(r)
        with loop(s, 0, rows, self.height) as tile:
            seen = s.minimum(self.limit(scores.start + tile + self.height) - first, scores.keys)
            values, out = self.at(self.area("v"), first, wide), self.at(self.area("o"), tile, wide)
            weights = s.address(scores.place, tile, self.dtype)
            self.product(weights, self.width, values, s.maximum(seen, 0), out, later, "value_wide")

    def softmax(self, scores: Scores) -> None:
        """Scores become powers, over the greatest exponent so far; sums of older ones are scaled to that."""
        v = self.v
        before = [v.load(self.row_numbers(0, i), 0, self.dtype) for i in self.parts]
        bases = self.bases_of(scores, before)
        for held in self.sums:
            held.set(v.const(0.0, self.dtype))

        def weigh(key: Value, unseen: list[Value | None]) -> None:
            row = self.at(scores.place, key, scores.step)
            for i, held in enumerate(self.sums):
                power = self.power(self.exponent(scores, key, i, unseen[i], bases[i]))
                v.store(power, row, i * self.lanes, self.dtype)
                held.set(held.get() + power)

        self.over_keys(scores, weigh)
        for i in self.parts:
            shrink = self.power(before[i] - bases[i])
            total = v.fma(v.load(self.row_numbers(1, i), 0, self.dtype), shrink, self.sums[i].get())
            for which, value in enumerate((self.most[i].get(), total, shrink)):
                v.store(value, self.row_numbers(which, i), 0, self.dtype)

    def shrink_row(self, row: Value) -> None:
        """Scale what a row of the result has so far."""
        v, wide = self.v, self.number("value_wide")
        out, factor = self.at(self.area("o"), row, wide), self.s.load_element(self.row_numbers(2), row, self.dtype)
        factors = v.splat(v.value(factor.ir, self.dtype))
        with loop(self.s, 0, wide, self.lanes) as c:
            v.store(v.load(out, c, self.dtype) * factors, out, c, self.dtype)


class _Backward(Nest):
    """A chunk is one attention."""

    def chunks(self, begin: Any, end: Any) -> None:
        s, ints, keys = self.s, self.ints, self.number("keys")
        with loop(s, s.value(begin, "int64"), s.value(end, "int64")) as batch:
            self.turn_to(batch)
            self.pack("k", 0, keys, "size", "wide")
            self.pack("v", 0, keys, "values", "value_wide")
            for name, wide in (("dk", "wide"), ("dv", "value_wide")):
                area = self.area(name)
                with loop(s, 0, ints.rounded_up(keys, self.height) * self.height * self.number(wide), self.lanes) as i:
                    self.v.store(self.v.const(0.0, self.dtype), area, i, self.dtype)
            step = self.number("block_rows")
            with loop(s, 0, self.number("queries"), step) as start:
                self.block(start, s.minimum(step, self.number("queries") - start))
            with loop(s, 0, keys) as key:
                self.finish(1, key, self.at(self.area("dk"), key, self.number("wide")), self.number("size"))
            with loop(s, 0, keys) as key:
                self.finish(2, key, self.at(self.area("dv"), key, self.number("value_wide")), self.number("values"))

    def block(self, start: Value, rows: Value) -> None:
        """A block of queries: their own gradient, and their share of those of keys and values."""
        s, wide = self.s, self.number("wide")
        self.pack("q", start, rows, "size", "wide")
        self.pack("g", start, rows, "values", "value_wide")
        with loop(s, 0, rows, self.width) as column:
            self.part(start, column, s.minimum(rows - column, self.width))
        with loop(s, 0, rows) as r:
            self.finish(0, start + r, self.at(self.area("dq"), r, wide), self.number("size"))
        self.keys_and_values(start, rows)

    def part(self, start: Value, column: Value, rows: Value) -> None:
        """Weights and gradients of scores of some of the block's queries, and the gradient of these."""
        s, wide, step = self.s, self.number("wide"), self.number("score_wide")
        queries = start + column
        self.pack_turned("q", queries, rows, "size")
        self.pack_turned("g", queries, rows, "values")
        place, slopes = (s.address(self.area(name), column, self.dtype) for name in ("s", "ds"))
        scores = Scores(place, step, queries, s.const(0, "int64"), self.limit(queries + self.width))
        self.against("k", "wide", "size", "qt", scores, place)
        self.against("v", "value_wide", "values", "gt", scores, slopes)
        self.pack_mask(scores, rows)
        self.slopes(scores, slopes)
        with loop(s, 0, rows, self.height) as tile:
            a, dq = s.address(slopes, tile, self.dtype), self.at(self.area("dq"), column + tile, wide)
            self.product(a, step, self.area("k"), self.limit(queries + tile + self.height), dq, I1(0), "wide")

    def slopes(self, scores: Scores, slopes: Any) -> None:
        """Scores become weights, and the gradients of these become those of the scores."""
        v = self.v
        bases = self.bases_of(scores)
        for held in (*self.sums, *self.dots):
            held.set(v.const(0.0, self.dtype))

        def weigh(key: Value, unseen: list[Value | None]) -> None:
            row, slope_row = (self.at(p, key, scores.step) for p in (scores.place, slopes))
            for i in self.parts:
                power = self.power(self.exponent(scores, key, i, unseen[i], bases[i]))
                v.store(power, row, i * self.lanes, self.dtype)
                slope = v.load(slope_row, i * self.lanes, self.dtype)
                if (hidden := unseen[i]) is not None:
                    slope = v.select(hidden, 0.0, slope)
                    v.store(slope, slope_row, i * self.lanes, self.dtype)
                self.sums[i].set(self.sums[i].get() + power)
                self.dots[i].set(v.fma(power, slope, self.dots[i].get()))

        self.over_keys(scores, weigh)
        inverses = [self.inverse(held.get()) for held in self.sums]
        means = [held.get() * inverse for held, inverse in zip(self.dots, inverses)]
        with loop(self.s, 0, scores.keys) as key:
            row, slope_row = (self.at(p, key, scores.step) for p in (scores.place, slopes))
            for i in self.parts:
                weight = v.load(row, i * self.lanes, self.dtype) * inverses[i]
                slope = (v.load(slope_row, i * self.lanes, self.dtype) - means[i]) * self.attention.scale
                v.store(weight, row, i * self.lanes, self.dtype)
                v.store(weight * slope, slope_row, i * self.lanes, self.dtype)

    def keys_and_values(self, start: Value, rows: Value) -> None:
        """Add a block's share to the gradients of the keys and values that it sees."""
        s, step = self.s, self.number("score_wide")
        shares = (("dk", "ds", "q", "wide"), ("dv", "s", "g", "value_wide"))
        with loop(s, 0, self.limit(start + rows), self.height) as key:
            # Causal: the queries before the tile's first key do not see it.
            unseen = s.maximum(key - start, 0) if self.attention.causal else s.const(0, "int64")
            for to, left, right, wide in shares:
                a = self.at(self.area(left), key, step, unseen)
                b = self.at(self.area(right), unseen, self.number(wide))
                c = self.at(self.area(to), key, self.number(wide))
                self.product(a, step, b, rows - unseen, c, I1(1), wide, turned=False)
