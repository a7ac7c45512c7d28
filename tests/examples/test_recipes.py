"""The recipes do what they are for, in short."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

RECIPES = Path(__file__).resolve().parents[2] / "examples" / "recipes"


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(RECIPES))
    return importlib.import_module


def test_transfer_learning_beats_learning_from_nothing(recipe: Any) -> None:
    transferred, scratch = recipe("transfer_learning").main(["--epochs", "8"])
    assert transferred > scratch and transferred > 0.8


def test_class_weights_and_focal_loss_find_the_rare_class(recipe: Any) -> None:
    results = recipe("class_imbalance").main(["--epochs", "15"])
    assert max(results["weighted"][1], results["focal"][1]) > results["plain"][1] + 0.2


def test_multi_task(recipe: Any) -> None:
    accuracy, error = recipe("multi_task").main(["--epochs", "6"])
    assert accuracy > 0.85 and error < 0.5


def test_online_learning_follows_the_change(recipe: Any) -> None:
    shares = recipe("online_learning").main(["--samples", "2000"])
    assert shares[4] > 0.9 and shares[5] < shares[4] - 0.15 and shares[9] > 0.9


def test_adversarial_training_withstands_the_attack(recipe: Any) -> None:
    results = recipe("adversarial_training").main(["--epochs", "6"])
    assert results["adversarial"][1] > results["usual"][1] + 0.15
    assert results["adversarial"][0] > 0.9 > results["usual"][1]


def test_saliency_adds_up(recipe: Any, tmp_path: Path) -> None:
    assert recipe("saliency").main(["--epochs", "3", "--out", str(tmp_path)]) < 0.01


def test_pruning_keeps_what_counts(recipe: Any) -> None:
    scores = recipe("pruning").main(["--epochs", "6"])
    assert len(scores) == 4 and min(scores) > 0.8


def test_hyperparameter_search(recipe: Any, capsys: Any) -> None:
    pytest.importorskip("optuna")
    study = recipe("hyperparameter_search").main(["--trials", "3", "--epochs", "1"])
    assert len(study.trials) == 3 and study.best_value > 0.3
    assert "3 trials" in capsys.readouterr().out


@pytest.mark.slow  # MLflow takes seconds to import and to make its tables
@pytest.mark.filterwarnings("default")  # its own
def test_experiment_logging(recipe: Any, tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    run = recipe("experiment_logging").main(["--epochs", "1", "--out", str(tmp_path)])
    assert run.info.status in ("RUNNING", "FINISHED") and list(tmp_path.rglob("step.html"))


def test_where_a_package_is_missing_the_recipes_say_so(recipe: Any, monkeypatch: Any, capsys: Any) -> None:
    for name in ("hyperparameter_search", "experiment_logging"):
        module = recipe(name)
        monkeypatch.setattr(module, "find_spec", lambda package: None)
        assert module.main([]) is None
        assert "graphflow[recipes]" in capsys.readouterr().out
