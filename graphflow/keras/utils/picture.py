"""Pictures of models: boxes for layers, arrows for tensors."""

from __future__ import annotations

import os
from typing import Any

from graphflow.core.tree import flatten
from graphflow.keras.symbolic import KerasTensor


def model_to_dot(model: Any, show_shapes: bool = False, rankdir: str = "TB", **ignored: Any) -> str:
    """The layers as a graph in the DOT language.

    >>> import graphflow as gf
    >>> model = gf.keras.Sequential([gf.keras.Input((3,)), gf.keras.layers.Dense(2, name="out")])
    >>> print(gf.keras.utils.model_to_dot(model).splitlines()[3])
      "out" [label="out\\nDense"];
    """
    boxes, arrows = parts(model, show_shapes)
    lines = ["digraph model {", f"  rankdir={rankdir}; node [shape=box];"]
    for name, words in boxes.items():
        label = "\\n".join(words)
        lines.append(f'  "{name}" [label="{label}"];')
    lines += [f'  "{a}" -> "{b}";' for a, b in arrows]
    return "\n".join([*lines, "}"])


def parts(model: Any, show_shapes: bool = False) -> tuple[dict[str, list[str]], list[tuple[str, str]]]:
    """Boxes with the words in them, and arrows between them."""
    network = model._wired()
    boxes: dict[str, list[str]] = {}
    for place in network.flat_inputs:
        boxes[place.name] = [place.name, "Input", *([str(place.shape)] if show_shapes else [])]
    arrows: list[tuple[str, str]] = []
    for node in network.nodes:
        layer = node.layer
        shapes = [str(t.shape) for t in flatten(node.outputs)[0] if isinstance(t, KerasTensor)]
        boxes.setdefault(layer.name, [layer.name, type(layer).__name__, *(shapes if show_shapes else [])])
        for t in node.inputs:
            arrow = (t.name if t.node is None else t.node.layer.name, layer.name)
            if arrow not in arrows:
                arrows.append(arrow)
    return boxes, arrows


def plot_model(
    model: Any, to_file: Any = "model.svg", show_shapes: bool = False, show_layer_names: bool = True, **ignored: Any
) -> str:
    """Write a picture of a model as SVG (or as DOT text, if the file ends with ``.dot``); gives the file's name.

    Raises ValueError for other kinds of files.
    """
    path = os.fspath(to_file)
    if path.endswith(".dot"):
        text = model_to_dot(model, show_shapes)
    elif path.endswith(".svg"):
        text = svg(*parts(model, show_shapes))
    else:
        raise ValueError(f"plot_model writes .svg and .dot files, got {path}; give to_file='model.svg'")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


# -- layout ------------------------------------------------------------------------------------------------------------
_LETTER, _LINE, _GAP, _LAYER = 7.2, 16, 24, 40  # sizes in pixels


def svg(boxes: dict[str, list[str]], arrows: list[tuple[str, str]]) -> str:
    """Boxes in rows, each below all those that lead to it."""
    rows = _rows(boxes, arrows)
    size = {n: (max(len(w) for w in words) * _LETTER + 20, len(words) * _LINE + 12) for n, words in boxes.items()}
    widths = [sum(size[n][0] for n in row) + _GAP * (len(row) - 1) for row in rows]
    full = max(widths) + 2 * _GAP
    at: dict[str, tuple[float, float]] = {}
    top: float = _GAP
    for row, width in zip(rows, widths):
        left = (full - width) / 2
        for name in row:
            at[name] = (left, top)
            left += size[name][0] + _GAP
        top += max(size[n][1] for n in row) + _LAYER
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{full:.0f}" height="{top:.0f}" font-family="monospace" '
        'font-size="12"><defs><marker id="a" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" '
        'orient="auto"><path d="M0 0L8 4L0 8z" fill="#555"/></marker></defs>',
        f'<rect width="{full:.0f}" height="{top:.0f}" fill="white"/>',
    ]
    for a, b in arrows:
        x1, y1 = at[a][0] + size[a][0] / 2, at[a][1] + size[a][1]
        x2, y2 = at[b][0] + size[b][0] / 2, at[b][1]
        bend = (y2 - y1) / 2
        curve = f"M{x1:.1f} {y1:.1f}C{x1:.1f} {y1 + bend:.1f} {x2:.1f} {y2 - bend:.1f} {x2:.1f} {y2:.1f}"
        out.append(f'<path d="{curve}" fill="none" stroke="#555" marker-end="url(#a)"/>')
    for name, words in boxes.items():
        (x, y), (w, h) = at[name], size[name]
        out.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h}" rx="4" fill="#eef3fb" stroke="#446"/>')
        for i, word in enumerate(words):
            place = f'x="{x + w / 2:.1f}" y="{y + 6 + (i + 0.75) * _LINE:.1f}" text-anchor="middle"'
            weight = ' font-weight="bold"' if i == 0 else ""
            out.append(f"<text {place}{weight}>{_escaped(word)}</text>")
    return "\n".join([*out, "</svg>"])


def _rows(boxes: dict[str, list[str]], arrows: list[tuple[str, str]]) -> list[list[str]]:
    depth = dict.fromkeys(boxes, 0)
    for _ in boxes:  # as often as the longest way can be
        changed = False
        for a, b in arrows:
            if a != b and depth[b] < depth[a] + 1:
                depth[b] = depth[a] + 1
                changed = True
        if not changed:
            break
    rows: list[list[str]] = [[] for _ in range(max(depth.values()) + 1)]
    for name, level in depth.items():
        rows[level].append(name)
    return [row for row in rows if row]


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
