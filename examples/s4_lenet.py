"""S4. LeNet on MNIST's files as in PyTorch: transforms, a DataLoader, convolutions, SGD with momentum.

    python examples/s4_lenet.py [--epochs 6] [--data FOLDER]

FOLDER holds MNIST's four files; without it the digits that come with the package are written in that format.
"""

from __future__ import annotations

import argparse
import tempfile
from typing import Any

from timing import compare

import graphflow as gf
import graphflow.nn.functional as F
from graphflow import nn
from graphflow.data import DataLoader, transforms
from graphflow.datasets import MNIST, digits_as_mnist


class LeNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x: Any) -> Any:
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        x = x.view(-1, 16 * 5 * 5)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)


def accuracy(net: nn.Module, loader: DataLoader) -> float:
    correct = total = 0
    with gf.no_grad():
        for images, labels in loader:
            predicted = net(images).argmax(1)
            total += labels.size(0)
            correct += (predicted == labels).sum().item()
    return correct / total


def main(argv: list[str] | None = None) -> float:
    """Train, print the accuracy and the time of a step; gives the accuracy on the test images."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--data", help="a folder with MNIST's files")
    options = parser.parse_args(argv)

    gf.random.seed(0)
    folder = options.data or digits_as_mnist(tempfile.mkdtemp())
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
    trainset = MNIST(root=folder, train=True, transform=transform)
    testset = MNIST(root=folder, train=False, transform=transform)
    trainloader = DataLoader(trainset, batch_size=32, shuffle=True)
    testloader = DataLoader(testset, batch_size=64, shuffle=False)

    net = LeNet()
    print(gf.viz.summary(net, (None, 1, 28, 28)))
    criterion = nn.CrossEntropyLoss()
    optimizer = gf.optim.SGD(net.parameters(), lr=0.02, momentum=0.9)

    def train_step(inputs: Any, labels: Any) -> Any:
        optimizer.zero_grad()
        loss = criterion(net(inputs), labels)
        loss.backward()
        optimizer.step()
        return loss

    compiled_step = gf.compile(train_step)
    for epoch in range(options.epochs):
        bar = gf.viz.Progress(trainloader, f"epoch {epoch + 1}/{options.epochs}")
        for inputs, labels in bar:
            bar.show(loss=compiled_step(inputs, labels))
    result = accuracy(net, testloader)
    print(f"accuracy on the {len(testset)} test images: {result:.2%}")

    inputs, labels = next(iter(trainloader))
    compare(compiled=lambda: compiled_step(inputs, labels), eager=lambda: train_step(inputs, labels))
    return result


if __name__ == "__main__":
    main()
