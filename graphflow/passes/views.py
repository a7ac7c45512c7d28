"""Movement ops: chains of them become one, and those that move nothing go. Casts are treated alike."""

from __future__ import annotations

from graphflow.core.dtypes import DType, bfloat16, float16, float32, float64
from graphflow.ir.graph import Node
from graphflow.passes.engine import Match, Rules

_MANTISSA = {bfloat16: 8, float16: 11, float32: 24, float64: 53}  # bits, the hidden one included


def holds(wide: DType, narrow: DType) -> bool:
    """Whether ``wide`` has a place for every value of ``narrow``.

    >>> from graphflow.core.dtypes import float32, int16, int32
    >>> holds(float32, int16), holds(float32, int32)
    (True, False)
    """
    if wide is narrow or narrow.kind == "bool":
        return True
    if wide.is_float:
        if narrow.is_float:
            return wide.bits > narrow.bits
        return narrow.is_int and narrow.bits - (narrow.kind == "int") <= _MANTISSA[wide]
    if not (wide.is_int and narrow.is_int):
        return False
    return wide.bits > narrow.bits and (wide.kind == "int" or narrow.kind == "uint")


def _unmoved(m: Match) -> Node | None:
    """For ops that leave everything in its place if they leave the shape and dtype as it is."""
    return m.x if m.x.aval == m.root.aval else None


def _unpermuted(m: Match) -> Node | None:
    return m.x if m.root.attrs["axes"] == tuple(range(m.x.aval.ndim)) else None


def _uncut(m: Match) -> Node | None:
    return m.x if m.x.aval == m.root.aval and all(k == 1 for k in m.root.attrs["steps"]) else None


def _permute_of_permute(m: Match) -> Node:
    inner = m.p.attrs["axes"]
    return m.make("permute", m.x, axes=tuple(inner[a] for a in m.root.attrs["axes"]))


def _slice_of_slice(m: Match) -> Node:
    inner, outer = m.s.attrs, m.root.attrs
    starts = tuple(a + k * b for a, k, b in zip(inner["starts"], inner["steps"], outer["starts"]))
    steps = tuple(a * b for a, b in zip(inner["steps"], outer["steps"]))
    return m.make("slice", m.x, starts=starts, sizes=outer["sizes"], steps=steps)


def _cast_of_cast(m: Match) -> Node | None:
    source, between, target = m.x.aval.dtype, m.c.aval.dtype, m.root.aval.dtype
    # What a float out of an integer's range becomes is not defined, so where that can happen casts are left alone.
    to_int = target.is_int and (source.is_float or (between.is_float and not holds(target, source)))
    if to_int or not holds(between, source):
        return None
    return m.make("cast", m.x, dtype=target)


def _added_axes(m: Match) -> Node | None:
    """A broadcast adds axes in front by itself."""
    lead = m.r.aval.ndim - m.x.aval.ndim
    if lead < 0 or m.r.aval.shape != (1,) * lead + m.x.aval.shape:
        return None
    return m.make("broadcast_to", m.x, shape=m.root.aval.shape)


def _reshape_of_broadcast(m: Match) -> Node | None:
    """A reshape that only adds or drops axes of size 1 can come before the broadcast."""
    wide, target = m.b.aval.shape, m.root.aval.shape
    if m.x.aval.shape == ():
        return m.make("broadcast_to", m.x, shape=target)
    narrow = (1,) * (len(wide) - m.x.aval.ndim) + m.x.aval.shape
    sources = [n for n, w in zip(narrow, wide) if w != 1]
    if [w for w in wide if w != 1] != [t for t in target if t != 1]:
        return None
    shape = tuple(1 if t == 1 else sources.pop(0) for t in target)
    return m.make("broadcast_to", m.make("reshape", m.x, shape=shape), shape=target)


def _permute_of_broadcast(m: Match) -> Node | None:
    if m.x.aval.shape == ():
        return m.make("broadcast_to", m.x, shape=m.root.aval.shape)
    if m.x.aval.ndim != m.root.aval.ndim:
        return None
    return m.make("broadcast_to", m.make("permute", m.x, axes=m.root.attrs["axes"]), shape=m.root.aval.shape)


def _slice_of_broadcast(m: Match) -> Node | None:
    return m.make("broadcast_to", m.x, shape=m.root.aval.shape) if m.x.aval.shape == () else None


def _transposed_product(m: Match) -> Node | None:
    """A transposed product is the product of the transposes: then what follows walks it row by row.

    Weight gradients come as products that must be transposed to the weight's layout.
    """
    axes, rank = m.root.attrs["axes"], m.root.aval.ndim
    swap = (*range(rank - 2), rank - 1, rank - 2)
    if axes != swap or m.a.aval.ndim != rank or m.b.aval.ndim != rank:
        return None
    return m.make("matmul", m.make("permute", m.b, axes=swap), m.make("permute", m.a, axes=swap))


def _put_together(m: Match) -> Node | None:
    """Parts of one value, each laid where it was cut out, in zeros: their sum is that value, if none is missing.

    The gradient of a tensor that was taken apart, into queries, keys and values say, comes like this.
    """
    parts, stack = [], [m.root]
    while stack:
        node = stack.pop()
        if node.op.name == "add":
            stack.extend(node.inputs)
            continue
        source = node.inputs[0] if node.op.name == "pad" else node
        if node is source or source.op.name != "slice" or node.attrs["value"] != 0 or any(node.attrs["interior"]):
            return None
        cut = source.attrs
        if node.attrs["low"] != cut["starts"] or any(k != 1 for k in cut["steps"]):
            return None
        parts.append((source.inputs[0], cut["starts"], cut["sizes"]))
    whole, shape = parts[0][0], m.root.aval.shape
    if whole.aval.shape != shape or any(w is not whole for w, _, _ in parts):
        return None
    axes = [i for i, n in enumerate(shape) if any(sizes[i] != n for _, _, sizes in parts)]
    if len(axes) != 1 or not all(isinstance(p[1][axes[0]], int) and isinstance(p[2][axes[0]], int) for p in parts):
        return None
    spans = sorted((starts[axes[0]], sizes[axes[0]]) for _, starts, sizes in parts)
    ends = [0, *(start + size for start, size in spans)]
    if [start for start, _ in spans] != ends[:-1] or ends[-1] != shape[axes[0]]:
        return None
    return m.make("add", whole, 0)  # which makes -0.0 the 0.0 that the sum gives


def _scatter_of_permuted(m: Match) -> Node | None:
    """The places change their order in place of the updates, of which there are more: the gradient of an embedding,
    say, that was given to a recurrent layer step by step."""
    axis, axes = m.root.attrs["axis"], m.p.attrs["axes"]
    own = range(axis, axis + m.i.aval.ndim)
    if any(a not in own if d in own else a != d for d, a in enumerate(axes)):
        return None
    back = tuple(axes.index(d) - axis for d in own)
    return m.make("scatter_add", m.x, m.make("permute", m.i, axes=back), m.u, axis=axis)


VIEWS = Rules(
    ("stop_gradient(x)", "x"),  # gradients were taken when the graph was recorded
    ("identity(x)", "x"),
    ("reshape(x)", _unmoved),
    ("broadcast_to(x)", _unmoved),
    ("cast(x)", _unmoved),
    ("pad(x)", _unmoved),
    ("concat(x)", "x"),
    ("permute(x)", _unpermuted),
    ("slice(x)", _uncut),
    ("reshape(reshape(x))", lambda m: m.make("reshape", m.x, shape=m.root.aval.shape)),
    ("broadcast_to(broadcast_to(x))", lambda m: m.make("broadcast_to", m.x, shape=m.root.aval.shape)),
    ("permute(p:permute(x))", _permute_of_permute),
    ("permute(matmul(a, b))", _transposed_product),
    ("slice(s:slice(x))", _slice_of_slice),
    ("cast(c:cast(x))", _cast_of_cast),
    ("broadcast_to(r:reshape(x))", _added_axes),
    ("reshape(b:broadcast_to(x))", _reshape_of_broadcast),
    ("permute(broadcast_to(x))", _permute_of_broadcast),
    ("slice(broadcast_to(x))", _slice_of_broadcast),
    ("add(x, pad(y))", _put_together),
    ("scatter_add(x, i, p:permute(u))", _scatter_of_permuted),
)
