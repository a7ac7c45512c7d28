"""What notebooks show: tensors in short, graphs as pages, models as tables. The objects' ``_repr_html_`` come here."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from graphflow.ir.draw import MAX_NODES
from graphflow.viz.page import page
from graphflow.viz.programs import program_of

_SHOWN = 200  # elements up to which all are shown
_HEIGHT = 520  # pixels of a graph's frame


def tensor_html(tensor: Any) -> str:
    """Kind, dtype and shape, the range of the numbers, and the numbers themselves, the middle of many left out.

    >>> from graphflow.viz.notebook import tensor_html
    >>> tensor_html(gf.tensor([1.0, 2.5]))
    '<div><b>Tensor</b> float32 (2,), from 1 to 2.5, mean 1.75<pre>[1. , 2.5]</pre></div>'
    """
    name = getattr(tensor, "name", None)
    head = f"<b>{type(tensor).__name__}</b> {tensor.dtype} {escape(str(tuple(tensor.shape)))}"
    if name is not None:
        head += f" {escape(str(name))}"
    if getattr(tensor, "_node", None) is not None:
        origin = tensor._node.origin
        line = f"<br>made at {escape(str(origin))}" if origin is not None else ""
        return f"<div>{head}: symbolic, {escape(tensor._node.op.name)}{line}</div>"
    array = np.asarray(tensor)
    if array.dtype.kind == "V":  # bfloat16
        array = array.astype(np.float32)
    if array.size > 1 and array.dtype.kind in "iuf":
        low, middle, high = (float(f(array.astype(np.float64))) for f in (np.min, np.mean, np.max))
        head += f", from {low:.4g} to {high:.4g}, mean {middle:.4g}"
    numbers = np.array2string(array, separator=", ", threshold=_SHOWN, edgeitems=3, precision=4)
    return f"<div>{head}<pre>{escape(numbers)}</pre></div>"


def graph_html(source: Any) -> str:
    """A Graph, a Profile or a compiled function as its interactive page, in a frame."""
    shown = program_of(source)
    if len(shown.graph.nodes) > MAX_NODES:
        return f"<pre>{escape(repr(source))}</pre>"
    style = f"width:100%;height:{_HEIGHT}px;border:1px solid #ccc"
    return f'<iframe style="{style}" srcdoc="{escape(page(shown))}"></iframe>'
