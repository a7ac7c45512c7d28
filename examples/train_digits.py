"""Train one model on handwritten digits in three ways: eagerly, compiled, and through a Session.

    python examples/train_digits.py [--epochs 30] [--batch 32] [--out digits-out]

The model is defined once. Each way starts from the same seed, so all three learn the same function; what differs is the
time per step. At the end the optimized graph of the compiled step is drawn to ``<out>/train_step.svg``.
"""

from __future__ import annotations

import argparse
import pathlib
import time
from collections.abc import Callable

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

import graphflow as gf
from graphflow import nn
from graphflow.nn import functional as F

Step = Callable[[np.ndarray, np.ndarray], float]


def make_model() -> nn.Module:
    """64 pixels, two hidden layers, ten digits."""
    return nn.Sequential(
        nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10)
    )


def make_step(model: nn.Module, optimizer: gf.optim.Optimizer) -> Callable[[gf.Tensor, gf.Tensor], gf.Tensor]:
    """One step of training, in ordinary eager code; ``gf.compile`` makes it native without a change."""

    def train_step(x: gf.Tensor, y: gf.Tensor) -> gf.Tensor:
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return train_step


def eager(model: nn.Module) -> Step:
    step = make_step(model, gf.optim.Adam(model.parameters(), lr=2e-3))
    return lambda x, y: step(gf.tensor(x), gf.tensor(y)).item()


def compiled(model: nn.Module) -> Step:
    step = gf.compile(make_step(model, gf.optim.Adam(model.parameters(), lr=2e-3)))
    return lambda x, y: step(x, y).item()


def session(model: nn.Module) -> Step:
    graph = gf.Graph()
    with graph:
        x = gf.placeholder((None, 64), name="x")
        y = gf.placeholder((None,), dtype=gf.int64, name="y")
        loss = F.cross_entropy(model(x), y)
        train = gf.optim.Adam(model.parameters(), lr=2e-3).minimize(loss)
    sess = gf.Session(graph)
    return lambda images, labels: float(sess.run([train, loss], feed_dict={x: images, y: labels})[1])


def accuracy(model: nn.Module, images: np.ndarray, labels: np.ndarray) -> float:
    """The share of right answers; the model is called eagerly, whichever way it was trained."""
    model.eval()
    with gf.no_grad():
        predicted = model(gf.tensor(images)).argmax(axis=1).numpy()
    model.train()
    return float((predicted == labels).mean())


def train(name: str, way: Callable[[nn.Module], Step], epochs: int, batch: int, console: Console) -> tuple[str, ...]:
    images, labels = gf.datasets.load_digits("train")
    test_images, test_labels = gf.datasets.load_digits("test")
    gf.random.seed(0)
    model = make_model()
    step = way(model)
    order = np.random.default_rng(0)
    seconds: list[float] = []
    loss = 0.0
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(f"{name:9s}", total=epochs)
        for _ in range(epochs):
            rows = order.permutation(len(images))
            for at in range(0, len(rows) - batch + 1, batch):
                picked = rows[at : at + batch]
                x, y = images[picked], labels[picked]
                started = time.perf_counter()
                loss = step(x, y)
                seconds.append(time.perf_counter() - started)
            progress.update(task, advance=1, description=f"{name:9s} loss {loss:.4f}")
    score = accuracy(model, test_images, test_labels)
    return name, f"{score:.2%}", f"{loss:.6f}", f"{np.median(seconds) * 1e6:.0f} us", f"{seconds[0]:.2f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("digits-out"))
    options = parser.parse_args()
    console = Console()
    table = Table("way", "test accuracy", "last loss", "median step", "first step", title="Handwritten digits")
    for name, way in (("eager", eager), ("compiled", compiled), ("session", session)):
        table.add_row(*train(name, way, options.epochs, options.batch, console))
    console.print(table)
    options.out.mkdir(parents=True, exist_ok=True)
    picture = options.out / "train_step.svg"
    draw(picture)
    console.print(f"The optimized graph of the training step: {picture}")


def draw(path: pathlib.Path) -> None:
    """The graph of the compiled step after all passes, each kernel framed."""
    images, labels = gf.datasets.load_digits("train")
    model = make_model()
    step = gf.compile(make_step(model, gf.optim.Adam(model.parameters(), lr=2e-3)))
    step(images[:32], labels[:32])
    step.draw(path)


if __name__ == "__main__":
    main()
