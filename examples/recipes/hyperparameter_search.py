"""Hyper-parameter search with Optuna: learning rate, width and dropout of a network, hopeless trials cut short.

    python examples/recipes/hyperparameter_search.py [--trials 12] [--epochs 5]

Needs Optuna: pip install 'graphflow[recipes]'.
"""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from typing import Any

import graphflow as gf
from graphflow import nn
from graphflow.nn import functional as F


def train(lr: float, width: int, dropout: float, epochs: int, report: Any) -> float:
    """The accuracy of a network with these settings; ``report(epoch, accuracy)`` hears of each epoch."""
    gf.random.seed(0)
    model = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, 10))
    optimizer = gf.optim.Adam(model.parameters(), lr=lr)

    @gf.compile  # the kernels of a width that was tried before come from the cache
    def step(x: Any, y: Any) -> Any:
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    loader = gf.data.DataLoader(gf.data.TensorDataset(*gf.datasets.load_digits("train")), batch_size=32, shuffle=True)
    test_x, test_y = map(gf.tensor, gf.datasets.load_digits("test"))
    score = 0.0
    for epoch in range(epochs):
        for x, y in loader:
            step(x, y)
        model.eval()
        with gf.no_grad():
            score = gf.metrics.accuracy(model(test_x), test_y).item()
        model.train()
        report(epoch, score)
    return score


def main(argv: list[str] | None = None) -> Any:
    """Print the best settings; gives the study, or None where Optuna is not installed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=5)
    options = parser.parse_args(argv)
    if find_spec("optuna") is None:
        print("this recipe needs Optuna, which is not installed: pip install 'graphflow[recipes]'")
        return None
    import optuna

    def objective(trial: Any) -> float:
        def report(epoch: int, score: float) -> None:
            trial.report(score, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned

        lr = trial.suggest_float("lr", 1e-4, 1e-1, log=True)
        width = trial.suggest_categorical("width", [16, 64])
        dropout = trial.suggest_float("dropout", 0.0, 0.5)
        return train(lr, width, dropout, options.epochs, report)

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=0)
    study = optuna.create_study(direction="maximize", sampler=sampler, pruner=optuna.pruners.MedianPruner())
    study.optimize(objective, n_trials=options.trials)
    cut = sum(t.state == optuna.trial.TrialState.PRUNED for t in study.trials)
    settings = ", ".join(f"{k} {v:.3g}" for k, v in study.best_params.items())
    print(f"{len(study.trials)} trials, {cut} cut short; best {study.best_value:.1%} with {settings}")
    return study


if __name__ == "__main__":
    main()
