"""LeNet-5: two convolutions and three layers of neurons (LeCun et al. 1998), with ReLU and maxima."""

from __future__ import annotations

from typing import Any

from graphflow import nn
from graphflow.nn import functional as F
from graphflow.tensor import Tensor


class LeNet(nn.Module):
    """Classifies square images of ``size`` (a multiple of 4, at least 16): (batch, in_channels, size, size).

    >>> import graphflow as gf
    >>> gf.models.LeNet()(gf.zeros((2, 1, 28, 28))).shape
    (2, 10)
    """

    def __init__(self, in_channels: int = 1, num_classes: int = 10, size: int = 28) -> None:
        super().__init__()
        if size % 4 or size < 16:
            raise ValueError(f"LeNet takes images of a size that is a multiple of 4 and at least 16, got {size}")
        rest = size // 4 - 2  # what two halvings and a convolution without padding leave
        self.conv1 = nn.Conv2d(in_channels, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * rest * rest, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)

    def forward(self, x: Any) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = x.flatten(1)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))
