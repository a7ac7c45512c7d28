"""Experiment logging with MLflow: settings, a curve, the model's file and a picture of its graph, in a local folder.

    python examples/recipes/experiment_logging.py [--epochs 10] [--out examples/out/mlruns]

Needs MLflow: pip install 'graphflow[recipes]'; then ``mlflow ui --backend-store-uri sqlite:///<out>/mlflow.db`` shows
the runs.
"""

from __future__ import annotations

import argparse
import pathlib
import tempfile
from importlib.util import find_spec
from typing import Any

import graphflow as gf
from graphflow import nn
from graphflow.nn import functional as F


def main(argv: list[str] | None = None) -> Any:
    """Train and log; gives the run, or None where MLflow is not installed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parents[1] / "out" / "mlruns")
    options = parser.parse_args(argv)
    if find_spec("mlflow") is None:
        print("this recipe needs MLflow, which is not installed: pip install 'graphflow[recipes]'")
        return None
    import mlflow

    gf.random.seed(0)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = gf.optim.Adam(model.parameters(), lr=options.lr)

    @gf.compile
    def step(x: Any, y: Any) -> Any:
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    loader = gf.data.DataLoader(gf.data.TensorDataset(*gf.datasets.load_digits("train")), batch_size=32, shuffle=True)
    test_x, test_y = map(gf.tensor, gf.datasets.load_digits("test"))
    options.out.mkdir(parents=True, exist_ok=True)
    mlflow.set_tracking_uri(f"sqlite:///{options.out.resolve() / 'mlflow.db'}")
    if mlflow.get_experiment_by_name("digits") is None:
        mlflow.create_experiment("digits", artifact_location=(options.out.resolve() / "artifacts").as_uri())
    mlflow.set_experiment("digits")
    with mlflow.start_run() as run, tempfile.TemporaryDirectory() as folder:
        summary = gf.viz.summary(model, (None, 64))
        mlflow.log_params({"lr": options.lr, "epochs": options.epochs, "parameters": summary.parameters})
        for epoch in range(options.epochs):
            losses = [step(x, y).item() for x, y in loader]
            with gf.no_grad():
                score = gf.metrics.accuracy(model(test_x), test_y).item()
            mlflow.log_metrics({"loss": sum(losses) / len(losses), "accuracy": score}, step=epoch)
        gf.save(model.state_dict(), f"{folder}/model.safetensors")
        step.draw(f"{folder}/step.html")
        mlflow.log_artifacts(folder)
    print(f"run {run.info.run_id}: accuracy {score:.1%}, logged in {options.out}")
    return run


if __name__ == "__main__":
    main()
