"""Every example runs, in short, and learns what it says."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports an example by its name."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.setattr(importlib.import_module("timing"), "SECONDS", 0.01)
    return importlib.import_module


def check_times(printed: str) -> None:
    """Both ways were measured, and their figures were printed."""
    found = re.search(r"time per step: compiled (\d+) us, eager (\d+) us", printed)
    assert found is not None and int(found[1]) > 0 and int(found[2]) > 0, printed


def test_s1_softmax_regression(example: Any, capsys: Any) -> None:
    assert example("s1_softmax_regression").main(["--steps", "200"]) > 0.9
    check_times(capsys.readouterr().out)


def test_s2_mlp_in_a_session(example: Any, capsys: Any) -> None:
    assert example("s2_mlp_session").main(["--epochs", "3"]) > 0.85
    printed = capsys.readouterr().out
    check_times(printed)
    before, after = re.search(r"before restore (\S+)%, after (\S+)%", printed).groups()  # type: ignore[union-attr]
    assert float(before) < 40 < float(after)


def test_s3_mlp_as_a_module(example: Any, capsys: Any) -> None:
    assert example("s3_mlp_module").main(["--epochs", "3"]) > 0.85
    check_times(capsys.readouterr().out)


def test_s4_lenet(example: Any, capsys: Any) -> None:
    assert example("s4_lenet").main(["--epochs", "2"]) > 0.7
    check_times(capsys.readouterr().out)


def test_s10_autoencoder(example: Any, capsys: Any, tmp_path: Path) -> None:
    assert example("s10_autoencoder").main(["--epochs", "5", "--out", str(tmp_path)]) > 0.3
    check_times(capsys.readouterr().out)
    assert (tmp_path / "s10_autoencoder.png").stat().st_size > 2000


def test_the_readme_has_a_line_for_every_program_and_recipe() -> None:
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| \[([\w/]+\.py)\]\(\1\)", text, re.M)
    assert [name for name in listed if not (EXAMPLES / name).exists()] == []
    files = [str(p.relative_to(EXAMPLES)) for pattern in ("s[0-9]*.py", "recipes/*.py") for p in EXAMPLES.glob(pattern)]
    assert sorted(set(files) - set(listed)) == []
