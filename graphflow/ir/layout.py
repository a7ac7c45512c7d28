"""Layered layout of a directed acyclic graph (Sugiyama's method): layers, order within layers, coordinates, routes.

Layers are the longest paths from the sources; sources are then moved down next to what they feed. Edges that cross
layers run through invisible points, one chain for all edges of a box. The order in each layer comes from barycentres,
the coordinates are as near to the neighbours' mean as boxes of their width allow.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

SWEEPS = 12
GAP_X, GAP_Y = 22.0, 34.0
POINT_WIDTH = 8.0  # room for a line that passes between boxes


@dataclass(eq=False)
class Box:
    """A rectangle to place; ``x`` is its middle, ``y`` its top. Points of lines are boxes without content."""

    width: float
    height: float
    x: float = 0.0
    y: float = 0.0
    layer: int = 0
    is_point: bool = False
    above: list[Box] = field(default_factory=list)
    below: list[Box] = field(default_factory=list)


Route = list[Box]  # the boxes and points that an edge runs through, ends included


def assign_layers(boxes: list[Box], edges: Iterable[tuple[Box, Box]]) -> None:
    """Set each box's layer. Raises networkx.NetworkXUnfeasible if there is a cycle."""
    import networkx as nx

    graph = nx.DiGraph(list(edges))
    graph.add_nodes_from(boxes)
    free: set[Box] = set()  # sources, and what only depends on sources: they may come later than they could
    for layer, generation in enumerate(nx.topological_generations(graph)):
        for box in generation:
            box.layer = layer
            if all(p in free for p in graph.predecessors(box)) and graph.out_degree(box):
                free.add(box)
    for box in reversed(list(nx.topological_sort(graph))):
        if box in free:
            box.layer = min(s.layer for s in graph.successors(box)) - 1


def arrange(boxes: list[Box], edges: Iterable[tuple[Box, Box]]) -> tuple[float, float, dict[tuple[Box, Box], Route]]:
    """Set the place of each box, whose layer is set; gives width, height and the edges' routes."""
    layers, routes = _with_points(boxes, edges)
    _order(layers)
    width = _coordinates(layers)
    y = 0.0
    for layer in layers:
        height = max(b.height for b in layer)
        for box in layer:
            box.y = y if box.is_point else y + (height - box.height) / 2
            box.height = height if box.is_point else box.height
        y += height + GAP_Y
    return width, max(0.0, y - GAP_Y), routes


def _with_points(
    boxes: list[Box], edges: Iterable[tuple[Box, Box]]
) -> tuple[list[list[Box]], dict[tuple[Box, Box], Route]]:
    """The layers with points where edges pass through, neighbours linked, and each edge's way."""
    layers: list[list[Box]] = [[] for _ in range(1 + max((b.layer for b in boxes), default=-1))]
    for box in boxes:
        layers[box.layer].append(box)
    targets: dict[Box, list[Box]] = defaultdict(list)
    for source, target in edges:
        targets[source].append(target)
    routes: dict[tuple[Box, Box], Route] = {}
    for source, ends in targets.items():
        chain = [source]
        for layer in range(source.layer + 1, max(t.layer for t in ends)):
            point = Box(POINT_WIDTH, 0.0, layer=layer, is_point=True)
            _link(chain[-1], point)
            layers[layer].append(point)
            chain.append(point)
        for target in ends:
            way = chain[: target.layer - source.layer]
            _link(way[-1], target)
            routes[source, target] = [*way, target]
    return layers, routes


def _link(upper: Box, lower: Box) -> None:
    upper.below.append(lower)
    lower.above.append(upper)


# -- order -------------------------------------------------------------------------------------------------------------
def _order(layers: list[list[Box]]) -> None:
    """Sort each layer by the mean place of the neighbours, down and up; keep the order with the fewest crossings."""
    best, fewest = [list(layer) for layer in layers], _crossings(layers)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for layer in layers[1:] if down else layers[-2::-1]:
            place = {b: i for row in layers[max(0, layer[0].layer - 1) : layer[0].layer + 2] for i, b in enumerate(row)}
            key = {}
            for box in layer:
                neighbours = box.above if down else box.below
                key[box] = sum(place[n] for n in neighbours) / len(neighbours) if neighbours else place[box]
            layer.sort(key=key.__getitem__)
        count = _crossings(layers)
        if count < fewest:
            best, fewest = [list(layer) for layer in layers], count
    for layer, order in zip(layers, best):
        layer[:] = order


def _crossings(layers: list[list[Box]]) -> int:
    """How many pairs of edges cross: inversions among the lower ends, with the edges sorted by their upper ends."""
    total = 0
    for upper, lower in zip(layers, layers[1:]):
        place = {b: i for i, b in enumerate(lower)}
        seen: list[int] = []
        for box in upper:
            ends = sorted(place[b] for b in box.below)
            total += sum(len(seen) - bisect_right(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return total


# -- coordinates -------------------------------------------------------------------------------------------------------
def _coordinates(layers: list[list[Box]]) -> float:
    for layer in layers:
        left = -sum(b.width + GAP_X for b in layer) / 2
        for box in layer:
            box.x = left + box.width / 2
            left += box.width + GAP_X
    for sweep in range(SWEEPS):
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            wanted = []
            for box in layer:
                near = box.above if sweep % 2 == 0 else box.below
                near = near if near and sweep < SWEEPS - 2 else [*box.above, *box.below]
                wanted.append(sum(n.x for n in near) / len(near) if near else box.x)
            for box, x in zip(layer, _spaced(layer, wanted)):
                box.x = x
    everything = [b for layer in layers for b in layer]
    left = min((b.x - b.width / 2 for b in everything), default=0.0)
    for box in everything:
        box.x -= left
    return max((b.x + b.width / 2 for b in everything), default=0.0)


def _spaced(layer: list[Box], wanted: list[float]) -> list[float]:
    """The places nearest to the wanted ones (least squares) at which boxes in this order do not overlap.

    Less the room that the boxes to the left take, places must not decrease: isotonic regression, by pooling neighbours.
    """
    room = [0.0]
    for a, b in zip(layer, layer[1:]):
        room.append(room[-1] + (a.width + b.width) / 2 + (GAP_X if not (a.is_point and b.is_point) else 0.0))
    pools: list[tuple[float, int]] = []  # (sum, number) of the boxes that move together
    for x, r in zip(wanted, room):
        total, count = x - r, 1
        while pools and pools[-1][0] / pools[-1][1] > total / count:
            before = pools.pop()
            total, count = total + before[0], count + before[1]
        pools.append((total, count))
    means = [total / count for total, count in pools for _ in range(count)]
    return [m + r for m, r in zip(means, room)]
