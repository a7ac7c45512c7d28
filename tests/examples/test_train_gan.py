"""The GAN's program finds the clouds, and draws them."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.setattr(importlib.import_module("timing"), "SECONDS", 0.01)
    return importlib.import_module("train_gan")


def test_what_counts_as_found(program: Any) -> None:
    real = program.real_points(800, np.random.default_rng(0))
    clouds, inside = program.judge(real)
    assert clouds == 8 and inside > 0.99
    assert program.judge(real * 0.5) == (0, 0.0)
    assert program.judge(np.repeat(program.CENTERS[:3], 50, axis=0)) == (3, 1.0)


@pytest.mark.slow
def test_the_generator_finds_the_clouds(program: Any, tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip("matplotlib")
    clouds, inside = program.main(["--steps", "2500", "--out", str(tmp_path)])
    assert clouds >= 7 and inside > 0.6
    assert (tmp_path / "train_gan.png").stat().st_size > 10_000
    assert "time per step" in capsys.readouterr().out
