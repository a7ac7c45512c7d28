"""What users of other frameworks look for is here under the name that the lists say; see tables.py."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.names.tables import DOCS, LISTS, read, render, resolve

LEAST = {"keras": 150, "pytorch": 150, "tensorflow1": 50}  # names in a list
MODULES = {"keras": "keras", "pytorch": "torch"}  # by list: the module that its names start with

every_list = pytest.mark.parametrize("path", LISTS, ids=lambda path: path.stem)


@every_list
def test_every_name_is_here(path: Path) -> None:
    missing = []
    for name in read(path):
        try:
            if name.ours is not None:
                resolve(name.ours)
        except AttributeError as error:
            missing.append(f"{name.theirs} = {name.ours}: {error}")
    assert not missing, "\n".join(missing)


@every_list
def test_the_list_is_long_enough_and_names_nothing_twice(path: Path) -> None:
    theirs = [name.theirs for name in read(path)]
    assert len(set(theirs)) == len(theirs), sorted(t for t in set(theirs) if theirs.count(t) > 1)
    assert len(theirs) >= LEAST.get(path.stem, 1)


@every_list
def test_the_table_is_up_to_date(path: Path) -> None:
    table = DOCS / f"{path.stem}.md"
    assert table.exists() and table.read_text(encoding="utf-8") == render(path), (
        "write the tables anew: PYTHONPATH=. python tests/names/tables.py"
    )


@pytest.mark.slow  # importing the other framework takes seconds
@pytest.mark.filterwarnings("default")
@every_list
def test_the_other_framework_has_its_names(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = MODULES.get(path.stem, path.stem)
    if find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    import importlib

    monkeypatch.setenv("KERAS_BACKEND", "torch")  # Keras's own default needs TensorFlow
    root = importlib.import_module(module)
    for name in read(path):
        value = root
        head, *parts = name.theirs.split(".")
        assert head == module, f"{name.theirs} should start with {module}."
        for part in parts:
            assert hasattr(value, part), f"{module} {root.__version__} has no {name.theirs}"
            value = getattr(value, part)
