"""Programs as hypothesis strategies."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

import graphflow as gf
from graphflow.core.aval import AVal
from tests.programs.builder import SMALL, Scale, most_elements
from tests.programs.modes import Program, build
from tests.programs.steps import STEPS

DTYPES = [gf.float32] * 8 + [gf.float64, gf.float16, gf.int32, gf.int64, gf.bool, gf.uint8, gf.bfloat16]
numbers = st.integers(0, 1 << 12)
gene = st.tuples(st.sampled_from(sorted(STEPS)), st.tuples(*[numbers] * 12))


@st.composite
def avals(draw: st.DrawFn, axes: list[Any], scale: Scale) -> list[AVal]:
    """One to four operands that mostly broadcast together."""
    whole = draw(st.lists(st.sampled_from(axes), max_size=3))
    while most_elements(whole, scale) > 16 * scale.most:  # three large axes would not fit into memory
        whole.pop()
    out = []
    for _ in range(draw(st.integers(1, 4))):
        shape: tuple[Any, ...] = tuple(whole[draw(st.integers(0, 1)) * draw(st.integers(0, len(whole))) :])
        shape = tuple(1 if draw(st.integers(0, 5)) == 5 else s for s in shape)
        out.append(AVal(shape, draw(st.sampled_from(DTYPES))))
    return out


@st.composite
def programs(draw: st.DrawFn, most: int = 12, scale: Scale = SMALL) -> Program:
    static = [s for s in scale.axes if isinstance(s, int)]
    operands = draw(avals(static if draw(st.booleans()) else scale.axes, scale))
    exact = draw(st.integers(0, 15))
    genes = draw(st.lists(gene, min_size=1, max_size=most))
    return build(operands, exact, genes, draw(st.integers(0, 1 << 20)), draw(st.integers(0, 7)), scale)
