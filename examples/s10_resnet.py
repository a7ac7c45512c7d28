"""S10. A residual network on the digits: batch normalisation, shortcuts, augmentation, a one-cycle schedule.

python examples/s10_resnet.py [--epochs 6]
"""

from __future__ import annotations

import argparse
from typing import Any

from timing import compare

import graphflow as gf
from graphflow import nn
from graphflow.data import DataLoader, TensorDataset
from graphflow.models import ResNet


def main(argv: list[str] | None = None) -> float:
    """Train, print the accuracy and the time of a step; gives the accuracy on the test digits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=6)
    options = parser.parse_args(argv)
    gf.random.seed(0)
    images, labels = gf.datasets.load_digits("train", flatten=False)
    test_x, test_y = map(gf.tensor, gf.datasets.load_digits("test", flatten=False))
    loader = DataLoader(TensorDataset(images, labels), batch_size=32, shuffle=True, drop_last=True)

    model = ResNet((1, 1), num_classes=10, width=8, in_channels=1, small=True)
    print(gf.viz.summary(model, (None, 1, 8, 8)))
    optimizer = gf.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4, nesterov=True)
    schedule = gf.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=options.epochs * len(loader))

    def train_step(x: Any, y: Any) -> Any:
        loss = nn.functional.cross_entropy(model(x), y, label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    compiled = gf.compile(train_step)
    for epoch in range(options.epochs):
        bar = gf.viz.Progress(loader, f"epoch {epoch + 1}/{options.epochs}")
        for x, y in bar:
            loss = compiled(x, y)
            schedule.step()  # the learning rate is state: no new trace
            bar.show(loss=loss, lr=schedule.get_last_lr()[0])
    model.eval()
    with gf.no_grad():
        result = gf.metrics.accuracy(gf.compile(model)(test_x), test_y).item()
    model.train()
    print(f"test accuracy {result:.2%}, {compiled.cache_info().traces} trace")
    x, y = next(iter(loader))
    compare(compiled=lambda: compiled(x, y), eager=lambda: train_step(x, y))
    return result


if __name__ == "__main__":
    main()
