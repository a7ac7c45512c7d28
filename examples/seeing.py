"""Seeing what happens: summary, progress, curves, confusion matrix, the page of a profile, a run for TensorBoard.

    python examples/seeing.py [--epochs 10] [--out examples/out]

Then open <out>/train_step.html in a browser, and ``tensorboard --logdir <out>/runs``. Needs the extra ``viz``.
"""

from __future__ import annotations

import argparse
import pathlib
from typing import Any

import graphflow as gf
from graphflow import nn
from graphflow.nn import functional as F


def main(argv: list[str] | None = None) -> dict[str, list[float]]:
    """Train and leave everything in the folder; gives the history."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent / "out")
    options = parser.parse_args(argv)
    out = options.out
    out.mkdir(parents=True, exist_ok=True)

    gf.random.seed(0)
    images, labels = gf.datasets.load_digits("train")
    test_x, test_y = map(gf.tensor, gf.datasets.load_digits("test"))
    loader = gf.data.DataLoader(gf.data.TensorDataset(images, labels), batch_size=32, shuffle=True)
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 10))
    optimizer = gf.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    print(gf.viz.summary(model, (None, 64)))

    @gf.compile
    def train_step(x: Any, y: Any) -> Any:
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    history: dict[str, list[float]] = {"loss": [], "val_loss": [], "val_accuracy": []}
    with gf.viz.SummaryWriter(out / "runs" / "digits") as writer:
        writer.add_graph(model, (None, 64))
        writer.add_images("digits", images[:16].reshape(-1, 1, 8, 8))
        for epoch in range(options.epochs):
            total = 0.0
            bar = gf.viz.Progress(loader, f"epoch {epoch + 1}/{options.epochs}")
            for x, y in bar:
                loss = train_step(x, y)
                total += loss.item()
                bar.show(loss=loss)
            model.eval()
            with gf.no_grad():
                scores = model(test_x)
                history["val_loss"].append(F.cross_entropy(scores, test_y).item())
                history["val_accuracy"].append(gf.metrics.accuracy(scores, test_y).item())
            model.train()
            history["loss"].append(total / len(loader))
            for name, values in history.items():
                writer.add_scalar(name, values[-1], epoch)
            for name, parameter in model.named_parameters():
                writer.add_histogram(name, parameter, epoch)

    gf.viz.plot_history(history, out / "history.png")
    gf.viz.plot_confusion(test_y, scores, out / "confusion.png")
    profile = train_step.profile(images[:32], labels[:32])
    print(profile)
    gf.viz.html(profile, out / "train_step.html")
    train_step.draw(out / "train_step.svg")
    print(f"left in {out}: history.png, confusion.png, train_step.html, train_step.svg, runs")
    return history


if __name__ == "__main__":
    main()
