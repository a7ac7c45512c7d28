"""S3. A network as in PyTorch: a Module class, CrossEntropyLoss, Adam, zero_grad/backward/step, a saved state_dict.

python examples/s3_mlp_module.py [--epochs 15]
"""

from __future__ import annotations

import argparse
import os
import tempfile
from typing import Any

from timing import compare

import graphflow as gf
from graphflow import nn
from graphflow.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(64, 128)
        self.fc2 = nn.Linear(128, 64)
        self.fc3 = nn.Linear(64, 10)

    def forward(self, x: Any) -> Any:
        x = nn.functional.relu(self.fc1(x))
        x = nn.functional.relu(self.fc2(x))
        return self.fc3(x)


def accuracy(model: nn.Module, loader: DataLoader) -> float:
    model.eval()
    correct = total = 0
    with gf.no_grad():
        for x, y in loader:
            predicted = model(x).argmax(dim=1)
            correct += (predicted == y).sum().item()
            total += y.shape[0]
    model.train()
    return correct / total


def main(argv: list[str] | None = None) -> float:
    """Train, save, load into a second network; print accuracy and time. Gives the second network's accuracy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=15)
    options = parser.parse_args(argv)

    gf.random.seed(0)
    train_loader = DataLoader(TensorDataset(*gf.datasets.load_digits("train")), batch_size=32, shuffle=True)
    test_loader = DataLoader(TensorDataset(*gf.datasets.load_digits("test")), batch_size=128)
    model = Net()
    criterion = nn.CrossEntropyLoss()
    optimizer = gf.optim.Adam(model.parameters(), lr=1e-3)

    def train_step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    compiled_step = gf.compile(train_step)
    for epoch in range(options.epochs):
        bar = gf.viz.Progress(train_loader, f"epoch {epoch + 1}/{options.epochs}")
        for x, y in bar:
            loss = compiled_step(x, y)
            bar.show(loss=loss)
    print(f"test accuracy {accuracy(model, test_loader):.2%}")

    path = os.path.join(tempfile.mkdtemp(), "net.safetensors")
    gf.save(model.state_dict(), path)
    restored = Net()
    restored.load_state_dict(gf.load(path))
    result = accuracy(restored, test_loader)
    print(f"test accuracy of the saved network {result:.2%}")

    x, y = next(iter(train_loader))
    compare(compiled=lambda: compiled_step(x, y), eager=lambda: train_step(x, y))
    return result


if __name__ == "__main__":
    main()
