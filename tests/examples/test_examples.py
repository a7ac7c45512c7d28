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
    monkeypatch.setattr(importlib.import_module("timing"), "WARM", 1)
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


def test_a_cnn_reads_digits(example: Any, capsys: Any) -> None:
    assert example("train_cnn").main([]) > 0.985
    assert "accuracy on 360 test digits 9" in capsys.readouterr().out


def test_s5_lstm_reads_reviews_in_both_styles(example: Any, capsys: Any) -> None:
    assert min(example("s5_lstm_text").main(["--epochs", "3"]).values()) > 0.85
    check_times(capsys.readouterr().out)


def test_s6_keras(example: Any, capsys: Any) -> None:
    assert example("s6_keras_digits").main(["--epochs", "3"]) > 0.85
    printed = capsys.readouterr().out
    check_times(printed)
    assert "101,770" in printed and "val_accuracy" in printed


def test_s7_regression_in_all_styles(example: Any, capsys: Any) -> None:
    results = example("s7_regression").main(["--epochs", "30"])
    assert max(results[style] for style in ("TensorFlow 1", "PyTorch", "Keras")) < 0.25
    assert results["accuracy"] > 0.8
    check_times(capsys.readouterr().out)


def test_s8_recommenders(example: Any, capsys: Any) -> None:
    results = example("s8_recommender").main(["--epochs", "3"])
    assert set(results) == {"dense", "matrix_factorisation", "deep_fm"} and min(results.values()) > 0.7
    check_times(capsys.readouterr().out)


def test_s9_draws_the_losses_of_all_styles(example: Any, capsys: Any, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert min(example("s9_binary_classifier").main(["--epochs", "15", "--out", str(tmp_path)]).values()) > 0.85
    assert (tmp_path / "s9_loss.png").stat().st_size > 5000
    check_times(capsys.readouterr().out)


@pytest.mark.slow  # S5 has a recurrent layer, too
def test_s10_gru(example: Any, capsys: Any, tmp_path: Path) -> None:
    assert example("s10_gru").main(["--epochs", "4", "--out", str(tmp_path)]) < 0.12
    check_times(capsys.readouterr().out)


@pytest.mark.slow  # attention has fast tests of its own
def test_s10_transformer(example: Any, capsys: Any) -> None:
    assert example("s10_transformer").main(["--epochs", "8"]) > 0.9
    check_times(capsys.readouterr().out)


@pytest.mark.slow  # compiling convolutions and their gradients; the layers have fast tests of their own
def test_s10_resnet(example: Any, capsys: Any) -> None:
    assert example("s10_resnet").main(["--epochs", "3"]) > 0.9
    printed = capsys.readouterr().out
    check_times(printed)
    assert "1 trace\n" in printed


@pytest.mark.slow  # S3 has the same layers
def test_s10_autoencoder(example: Any, capsys: Any, tmp_path: Path) -> None:
    assert example("s10_autoencoder").main(["--epochs", "5", "--out", str(tmp_path)]) > 0.3
    check_times(capsys.readouterr().out)
    assert (tmp_path / "s10_autoencoder.png").stat().st_size > 2000


def test_seeing_leaves_everything(example: Any, capsys: Any, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("tensorboardX")
    history = example("seeing").main(["--epochs", "2", "--out", str(tmp_path)])
    assert history["val_accuracy"][-1] > 0.8
    names = {p.name for p in tmp_path.iterdir()}
    assert names == {"history.png", "confusion.png", "train_step.html", "train_step.svg", "runs"}
    assert "the slowest first" in capsys.readouterr().out


def test_the_readme_has_a_line_for_every_program_and_recipe() -> None:
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| \[([\w/]+\.py)\]\(\1\)", text, re.M)
    assert [name for name in listed if not (EXAMPLES / name).exists()] == []
    files = [str(p.relative_to(EXAMPLES)) for pattern in ("s[0-9]*.py", "recipes/*.py") for p in EXAMPLES.glob(pattern)]
    assert sorted(set(files) - set(listed)) == []
