"""A graph as an interactive page: zoom, search, kernels with their time and bytes, the user's line of each node.

The page is one file that needs nothing else: the picture of ``ir/draw.py``, facts about nodes and kernels as JSON, and
the styles and script of ``page.html``.
"""

from __future__ import annotations

import json
import linecache
from collections import defaultdict
from html import escape
from pathlib import Path
from typing import Any

from graphflow.core.errors import Origin
from graphflow.ir.draw import COLOURS, STYLE, TIP, attrs_text, drawing
from graphflow.ir.graph import Node
from graphflow.ir.text import avals_text
from graphflow.viz.programs import Shown, program_of

_AROUND = 2  # lines of source shown above and below a node's own
_TEMPLATE = Path(__file__).with_name("page.html")


def html(source: Any, path: Any = None, *inputs: Any) -> str:
    """The page of a Graph, a compiled function, a Profile (with times) or a Module (with its inputs).

    ``path`` is where to write it; the text is given back, too. Raises GraphError for a graph that is too large to be
    looked at, RuntimeError for a compiled function that has not been called yet.

    >>> step = gf.compile(lambda x: gf.exp(x) * 2)
    >>> profile = step.profile(gf.ones(3))
    >>> "0 Map" in gf.viz.html(profile)
    True
    """
    text = page(program_of(source, *inputs))
    if path is not None:
        Path(path).write_text(text, encoding="utf-8")
    return text


def page(shown: Shown) -> str:
    """The page of what is shown."""
    picture = drawing(shown.graph, shown.labels)
    facts = {
        "nodes": {n.name: _node(n, shown) for n in shown.graph.nodes},
        "kernels": [_kernel(label, kernel, shown) for label, kernel in shown.kernels.items()],
        "sources": _sources(shown.graph.nodes),
        "width": picture.width,
        "height": picture.height,
    }
    users = defaultdict(list)
    for node in shown.graph.nodes:
        for used in (*node.inputs, *node.control):
            users[used.name].append(node.name)
    for name, names in users.items():
        facts["nodes"][name]["users"] = list(dict.fromkeys(names))  # type: ignore[index]
    kinds = dict.fromkeys(k for k in COLOURS if k in picture.kinds)
    legend = "".join(
        f'<span><i style="background:{COLOURS[k][0]};border-color:{COLOURS[k][1]}"></i>{k}</span>' for k in kinds
    )
    parts = {
        "TITLE": escape(f"{shown.graph.name}: {len(shown.graph.nodes)} nodes"),
        "LEGEND": legend,
        "STYLE": STYLE,
        "PICTURE": "\n".join([TIP, *picture.lines]),
        "DATA": json.dumps(facts).replace("<", "\\u003c"),  # so that no name can end the script element
    }
    text = _TEMPLATE.read_text(encoding="utf-8")
    for name in ("TITLE", "LEGEND", "STYLE"):
        text = text.replace(f"<!--{name}-->", parts[name])
    # What comes from the user's graph goes in last, in one step, and is not searched for places to fill.
    before, _, rest = text.partition("<!--PICTURE-->")
    middle, _, after = rest.partition("<!--DATA-->")
    return f"{before}{parts['PICTURE']}{middle}{parts['DATA']}{after}"


def _node(node: Node, shown: Shown) -> dict[str, Any]:
    return {
        "op": node.op.name,
        "kind": node.op.kind,
        "type": avals_text(node.aval),
        "attrs": attrs_text(node),
        "inputs": [i.name for i in (*node.inputs, *node.control)],
        "users": [],
        "kernel": shown.labels.get(node),
        "at": _place(node.origin),
    }


def _place(origin: Origin | None) -> list[Any] | None:
    return [origin.file, origin.line, origin.function] if origin is not None else None


def _kernel(label: str, kernel: Any, shown: Shown) -> dict[str, Any]:
    measured = shown.measured.get(label)
    return {
        "label": label,
        "nodes": [n.name for n in kernel.nodes],
        "ops": [n.op.name for n in kernel.nodes],
        "why": kernel.why,
        "us": measured.seconds * 1e6 if measured else None,
        "bytes": measured.nbytes if measured else None,
    }


def _sources(nodes: list[Node]) -> dict[str, dict[int, str]]:
    """The user's lines, with some around them, as far as the files can be read."""
    found: dict[str, dict[int, str]] = defaultdict(dict)
    for file, line in {(n.origin.file, n.origin.line) for n in nodes if n.origin is not None}:
        for number in range(max(1, line - _AROUND), line + _AROUND + 1):
            text = linecache.getline(file, number)
            if text:
                found[file][number] = text.rstrip()
    return found
