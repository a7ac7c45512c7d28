"""A graph as an SVG picture: boxes coloured by kind of op, sources above, results below; fused kernels as one box.

Numbers are written into the box of the op that uses them, and an edge that would run through many layers becomes a
reference by name, so that pictures of some hundred nodes can still be read. Pointing at a node shows its line in full.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from html import escape
from typing import Any, NamedTuple

import numpy as np

from graphflow.core.errors import GraphError
from graphflow.ir.graph import Graph, Node
from graphflow.ir.layout import Box, Route, arrange, assign_layers
from graphflow.ir.text import avals_text

MAX_NODES = 3000
LONG = 7  # layers: longer edges become references
LINE, PAD, GAP, MARGIN, HEADER = 14.0, 6.0, 3.0, 20.0, 58.0
COLOURS = {  # fill and border by the op's kind
    "source": ("#eef3f8", "#8fabc7"),
    "map": ("#fdf0d9", "#d9a441"),
    "reduce": ("#e6f4e0", "#6aa84f"),
    "contract": ("#fbdcd9", "#cc5a4f"),
    "view": ("#f4f4f4", "#b0b0b0"),
    "place": ("#e4e9ed", "#8296a8"),
    "gather": ("#e0f3f1", "#45a198"),
    "library": ("#ece4f5", "#8e6bbf"),
    "control": ("#f9e1f0", "#c063a0"),
    "effect": ("#fff7b8", "#c8ad00"),
    "input": ("#d5e6f7", "#2f6db0"),
    "variable": ("#d8efe9", "#2b8a78"),
}
STYLE = """
text{font:11px Helvetica,Arial,"DejaVu Sans",sans-serif;fill:#222;text-anchor:middle}
.op{font-weight:bold}.small{font-size:10px;fill:#555}.ref{font-size:10px;fill:#2f6db0}.out{font-size:10px;fill:#b3401f}
.title{font-size:15px;font-weight:bold;text-anchor:start}.legend{font-size:10px;text-anchor:start}
.edge{fill:none;stroke:#8a8a8a;stroke-width:1.1;marker-end:url(#tip)}.control{stroke-dasharray:4 3}
.kernel{fill:#fcfcfc;stroke:#8a8a8a;stroke-width:1.2}.kernel-name{font-size:10px;font-weight:bold;fill:#666}
"""
TIP = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0.8 L8 4 L0 7.2 z" fill="#8a8a8a"/></marker></defs>'
)
CHARACTER = {"op": 6.7, "small": 5.5, "ref": 5.5, "out": 5.5, "kernel-name": 6.2, "legend": 5.5}  # widths


class Cell:
    """One node's part of a box: its lines of text, each with its style."""

    def __init__(self, node: Node, kind: str) -> None:
        self.node = node
        self.kind = kind
        self.lines = [("op", _headline(node)), ("small", _short(avals_text(node.aval), 34))]
        if not node.name.startswith(node.op.name):
            self.show_name()

    def show_name(self) -> None:
        """Show the node's name, unless it is there already."""
        name = ("small", _short(self.node.name, 28))
        if name[1] != self.lines[0][1] and name not in self.lines:
            self.lines.insert(1, name)

    @property
    def width(self) -> float:
        return 2 * PAD + max(len(text) * CHARACTER[style] for style, text in self.lines)

    @property
    def height(self) -> float:
        return 2 * PAD + LINE * len(self.lines) - 3


class Part(Box):
    """A box of the picture: one node, or the nodes of one kernel below each other."""

    def __init__(self, label: str = "") -> None:
        super().__init__(0.0, 0.0)
        self.label = label
        self.cells: list[Cell] = []

    def measure(self) -> None:
        self.width = max(c.width for c in self.cells)
        self.height = sum(c.height + GAP for c in self.cells) - GAP
        if self.label:
            self.width = max(self.width, CHARACTER["kernel-name"] * len(self.label)) + 2 * PAD
            self.height += LINE + 2 * PAD


class Drawing(NamedTuple):
    """A graph's boxes and edges as SVG elements, and the kinds of its nodes.

    A node's box carries its name as ``data-node``, a kernel's frame its label as ``data-kernel``, an edge the first
    nodes of the boxes at its ends as ``data-from`` and ``data-to``.
    """

    lines: list[str]
    width: float
    height: float
    kinds: list[str]


def svg(graph: Graph, groups: Mapping[Node, str] | None = None) -> str:
    """The picture as SVG text; ``groups`` gives the kernel that a node is part of.

    Raises GraphError if the graph is too large to be looked at.
    """
    return _page(graph, drawing(graph, groups))


def drawing(graph: Graph, groups: Mapping[Node, str] | None = None) -> Drawing:
    """The picture without what is around it. Raises GraphError if the graph is too large to be looked at."""
    if len(graph.nodes) > MAX_NODES:
        raise GraphError(
            f"graph {graph.name!r} has {len(graph.nodes)} nodes, too many for a picture (the limit is {MAX_NODES}); "
            "write to_dot() to a file for a graph viewer"
        )
    cells = _cells(graph)
    parts = _parts(cells, groups or {})
    part_of = {c.node: p for p in parts for c in p.cells}
    uses: dict[tuple[Part, Part], list[tuple[Node, Node, bool]]] = defaultdict(list)
    for node in cells:
        for used, control in [*((i, False) for i in node.inputs), *((c, True) for c in node.control)]:
            if used in cells and part_of[used] is not part_of[node]:
                uses[part_of[used], part_of[node]].append((used, node, control))
    assign_layers(parts, uses)  # type: ignore[arg-type]
    for edge in [e for e in uses if e[1].layer - e[0].layer > LONG]:
        for used, node, _ in uses.pop(edge):
            cells[node].lines.append(("ref", f"↑ {_short(used.name, 28)}"))
            cells[used].show_name()
    for part in parts:
        part.measure()
    width, height, routes = arrange(parts, uses)  # type: ignore[arg-type]
    dashed = {edge for edge, all_uses in uses.items() if all(control for *_, control in all_uses)}
    lines = _edges(routes, dashed)  # type: ignore[arg-type]
    for part in parts:
        lines += _box(part)
    return Drawing(lines, width, height, [c.kind for c in cells.values()])


def _cells(graph: Graph) -> dict[Node, Cell]:
    """A cell for each node that gets one: all but the numbers that stand in other cells."""
    shown: dict[Node, list[str]] = {n: [] for n in graph.nodes if not _is_number(n)}
    for i, node in enumerate(graph.outputs):
        shown.setdefault(node, []).append(f"output {i}" if len(graph.outputs) > 1 else "output")
    for variable, node in graph.updates:
        shown.setdefault(node, []).append(f"→ {_short(variable.name, 28)}")
    cells = {}
    for node, ends in shown.items():
        kind = {"placeholder": "input", "variable_read": "variable"}.get(node.op.name, node.op.kind)
        cells[node] = Cell(node, kind)
        cells[node].lines += [("out", end) for end in ends]
    return cells


def _parts(cells: Mapping[Node, Cell], groups: Mapping[Node, str]) -> list[Part]:
    """Boxes for kernels and for single nodes. Kernels that would make a cycle are taken apart into their nodes."""
    parts: list[Part] = []
    kernels: dict[str, Part] = {}
    for node, cell in cells.items():
        label = groups.get(node)
        part = kernels.get(label) if label is not None else None
        if part is None:
            part = Part(label or "")
            parts.append(part)
            if label is not None:
                kernels[label] = part
        part.cells.append(cell)
    return parts if not kernels or _is_acyclic(parts) else _parts(cells, {})


def _is_acyclic(parts: list[Part]) -> bool:
    import networkx as nx

    part_of = {c.node: p for p in parts for c in p.cells}
    edges = [(part_of[u], p) for p in parts for c in p.cells for u in (*c.node.inputs, *c.node.control) if u in part_of]
    return bool(nx.is_directed_acyclic_graph(nx.DiGraph((a, b) for a, b in edges if a is not b)))


# -- text --------------------------------------------------------------------------------------------------------------
def _is_number(node: Node) -> bool:
    return node.op.name == "constant" and node.attrs["value"].ndim == 0


def _headline(node: Node) -> str:
    """The op with the numbers among its operands and the attribute that says most."""
    if node.op.name == "variable_read":
        return _short(node.attrs["variable"].name, 28)
    if node.op.name == "placeholder":
        return "placeholder"
    text = node.op.name
    if any(_is_number(i) for i in node.inputs):
        operands = [f"{i.attrs['value'].item():.4g}" if _is_number(i) else "·" for i in node.inputs]
        text += f"({', '.join(operands)})"
    for key in ("axes", "axis", "index", "size"):
        if key in node.attrs:
            text += f" {key} {str(node.attrs[key]).strip('(),')}"
    return _short(text, 34)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _tooltip(node: Node) -> str:
    operands = ", ".join(f"%{i.name}" for i in node.inputs)
    line = f"%{node.name} = {node.op.name}({operands}) {{{attrs_text(node)}}} : {avals_text(node.aval)}"
    return f"{line}\n{node.origin} in {node.origin.function}" if node.origin else line


def attrs_text(node: Node) -> str:
    """A node's attributes, the large ones in short."""
    return ", ".join(f"{k}={_attr(v)}" for k, v in node.attrs.items())


def _attr(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)}" if value.size > 8 else str(value.tolist())
    return str(getattr(value, "name", value))


# -- SVG ---------------------------------------------------------------------------------------------------------------
def _page(graph: Graph, picture: Drawing) -> str:
    legend, legend_width = _legend(picture.kinds)
    title = f"{graph.name}: {len(graph.nodes)} nodes"
    width = max(picture.width, legend_width, 9.0 * len(title)) + 2 * MARGIN
    height = picture.height + HEADER + MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}">',
        f"<style>{STYLE}</style>",
        TIP,
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#fff"/>',
        f'<text class="title" x="{MARGIN}" y="{MARGIN + 4}">{escape(title)}</text>',
        *legend,
        f'<g transform="translate({MARGIN} {HEADER})">',
    ]
    return "\n".join([*lines, *picture.lines, "</g>", "</svg>"]) + "\n"


def _edges(routes: dict[tuple[Part, Part], Route], dashed: set[tuple[Part, Part]]) -> list[str]:
    lines = []
    entries: dict[Part, list[tuple[Part, Part]]] = defaultdict(list)
    for edge in sorted(routes, key=lambda edge: routes[edge][-2].x):
        entries[edge[1]].append(edge)
    for target, edges in entries.items():
        for i, edge in enumerate(edges):  # ends of edges are spread over the upper side, in the order they come in
            x = target.x + (i + 1 - (len(edges) + 1) / 2) * min(16.0, 0.7 * target.width / len(edges))
            ends = [escape(part.cells[0].node.name) for part in edge]
            lines.append(_edge(routes[edge], x, "edge control" if edge in dashed else "edge", ends))
    return lines


def _legend(kinds: list[str]) -> tuple[list[str], float]:
    lines, x = [], MARGIN
    for kind, (fill, stroke) in COLOURS.items():
        if kind in kinds:
            lines.append(
                f'<rect x="{x:.0f}" y="{MARGIN + 14}" width="11" height="11" rx="2" fill="{fill}" stroke="{stroke}"/>'
                f'<text class="legend" x="{x + 16:.0f}" y="{MARGIN + 23}">{kind}</text>'
            )
            x += 16 + CHARACTER["legend"] * len(kind) + 14
    return lines, x - MARGIN


def _edge(route: Route, end_x: float, style: str, ends: list[str]) -> str:
    """A curve from the lower side of the first box through the points to the upper side of the last."""
    x, y = route[0].x, route[0].y + route[0].height
    path = [f"M{x:.1f} {y:.1f}"]
    for stop in route[1:]:
        to_x, to_y = (stop.x if stop.is_point else end_x), stop.y
        middle = (y + to_y) / 2
        path.append(f"C{x:.1f} {middle:.1f} {to_x:.1f} {middle:.1f} {to_x:.1f} {to_y:.1f}")
        if stop.is_point:
            path.append(f"V{stop.y + stop.height:.1f}")
        x, y = to_x, stop.y + stop.height
    return f'<path class="{style}" data-from="{ends[0]}" data-to="{ends[1]}" d="{" ".join(path)}"/>'


def _box(part: Part) -> list[str]:
    left, y = part.x - part.width / 2, part.y
    lines = []
    inner = part.width
    if part.label:
        lines.append(
            f'<rect class="kernel" data-kernel="{escape(part.label)}" x="{left:.1f}" y="{y:.1f}" '
            f'width="{part.width:.1f}" height="{part.height:.1f}" rx="6"/>'
            f'<text class="kernel-name" x="{part.x:.1f}" y="{y + LINE:.1f}">{escape(part.label)}</text>'
        )
        y += LINE + PAD
        inner -= 2 * PAD
    for cell in part.cells:
        fill, stroke = COLOURS[cell.kind]
        border = 2.2 if any(style == "out" for style, _ in cell.lines) else 1
        lines.append(
            f'<g data-node="{escape(cell.node.name)}">'
            f"<title>{escape(_tooltip(cell.node))}</title>"
            f'<rect x="{part.x - inner / 2:.1f}" y="{y:.1f}" width="{inner:.1f}" height="{cell.height:.1f}" rx="4" '
            f'fill="{fill}" stroke="{stroke}" stroke-width="{border}"/>'
        )
        for i, (style, text) in enumerate(cell.lines):
            base = y + PAD + 9 + LINE * i
            lines.append(f'<text class="{style}" x="{part.x:.1f}" y="{base:.1f}">{escape(text)}</text>')
        lines.append("</g>")
        y += cell.height + GAP
    return lines
