"""Lists of other frameworks' names, what they are here, and tables of them.

Each ``FRAMEWORK.txt`` here has a name a line: ``keras.layers.Dense = gf.keras.layers.Dense``, or
``keras.ops.slogdet - why GraphFlow has none``. A remark may follow: ``= gf.trace; a graph, not a function``.
``# words`` heads a section. Run this file to write the tables to ``docs/names/``.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent
DOCS = FOLDER.parents[1] / "docs" / "names"
LISTS = sorted(FOLDER.glob("*.txt"))
_LINE = re.compile(r"^(?P<theirs>\S+)\s+(?:=\s*(?P<ours>gf[\w.]*)\s*(?:;\s*(?P<note>.+))?|-\s+(?P<reason>\S.*))$")


class Name(NamedTuple):
    """A name of the other framework, and the one here or the reason why there is none."""

    theirs: str
    ours: str | None
    remark: str
    section: str


def read(path: Path) -> list[Name]:
    """The names of a list. Raises ValueError naming the line that is no name."""
    names, section = [], ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("#"):
            section = line.lstrip("# ").strip()
        elif line.strip():
            found = _LINE.match(line.strip())
            if found is None:
                raise ValueError(f"{path.name}, line {number}: `name = gf.name` or `name - reason` is needed: {line}")
            names.append(Name(found["theirs"], found["ours"], found["note"] or found["reason"] or "", section))
    return names


def resolve(dotted: str) -> Any:
    """The object that ``gf.a.b`` names. Raises AttributeError where there is none."""
    value: Any = import_module("graphflow")
    for part in dotted.split(".")[1:]:
        try:
            value = getattr(value, part)
        except AttributeError:
            if not hasattr(value, "__path__"):
                raise
            try:
                value = import_module(f"{value.__name__}.{part}")
            except ModuleNotFoundError:
                raise AttributeError(f"{value.__name__} has no {part!r}") from None
    return value


def render(path: Path) -> str:
    """The list as a page of Markdown tables."""
    names = read(path)
    have = sum(name.ours is not None for name in names)
    lines = [f"# {path.stem}: {len(names)} names, {have} of them here", ""]
    lines.append(f"Made from [the list that the tests check](../../tests/names/{path.name}) by its `tables.py`.")
    section = None
    for name in names:
        if name.section != section:
            section = name.section
            lines += ["", *([f"## {section}", ""] if section else []), f"| {path.stem} | GraphFlow |", "|---|---|"]
        parts = [f"`{name.ours}`" if name.ours else "none", name.remark]
        cell = (": " if name.ours is None else ", ").join(part for part in parts if part).replace("|", "\\|")
        lines.append(f"| `{name.theirs}` | {cell} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    DOCS.mkdir(parents=True, exist_ok=True)
    for path in LISTS:
        (DOCS / f"{path.stem}.md").write_text(render(path), encoding="utf-8")
