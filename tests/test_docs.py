"""What the documents say is run: the README's code, the examples in docstrings, and CI's test command."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import numpy as np
import pytest

import graphflow as gf

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = ["README.md", "CONTRIBUTING.md"]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for package in ("graphflow", "graphflow_kernels")
    for path in (ROOT / package).rglob("*.py")
    if path.name != "__main__.py" and ">>> " in path.read_text(encoding="utf-8")
)


def python_blocks(document: str) -> list[tuple[int, str]]:
    """The (line number, code) of each ```python block."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return [(text.count("\n", 0, m.start(1)), m[1]) for m in re.finditer(r"^```python\n(.*?)^```", text, re.M | re.S)]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_code_in_documents_runs(document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "document"}
    blocks = python_blocks(document)
    for line, code in blocks:  # one after the other, as a reader types them
        # The padding makes the document's own line numbers stand in tracebacks.
        exec(compile("\n" * line + code, str(ROOT / document), "exec"), names)
    assert blocks or document != "README.md"


@pytest.mark.parametrize("module", MODULES)
def test_examples_in_docstrings(module: str) -> None:
    result = doctest.testmod(
        importlib.import_module(module),
        extraglobs={"gf": gf, "np": np},
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE,
    )
    assert result.failed == 0
    assert result.attempted > 0, f"the examples in {module} were not found"


def test_ci_runs_the_test_command_of_the_readme() -> None:
    commands = re.findall(r"python (-m pytest.*)$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M)
    ci = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert commands, "README.md names no test command"
    assert all(f"python {command}\n" in ci for command in commands)


def test_the_documents_name_files_that_exist() -> None:
    for document in [*DOCUMENTS, "ROADMAP.md"]:
        text = (ROOT / document).read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
            assert (ROOT / target).exists(), f"{document} links to {target}"
