"""A GPT learns a task in seconds."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_a_gpt_learns_to_sort(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    assert importlib.import_module("train_gpt").main([]) > 0.98
    assert "sorted:" in capsys.readouterr().out
