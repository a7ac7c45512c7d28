"""Residual networks (He et al. 2016): ResNet-18 and -34 for photographs, and the small ones for 32 x 32 images.

Parameters are named as torchvision's, so its weights load.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow import nn
from graphflow.nn import functional as F
from graphflow.tensor import Tensor


class BasicBlock(nn.Module):
    """Two convolutions, and a shortcut around them."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        same = stride == 1 and inputs == outputs
        self.downsample = (
            None if same else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        )

    def forward(self, x: Any) -> Tensor:
        around = x if self.downsample is None else self.downsample(x)
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + around)


class ResNet(nn.Module):
    """Stages of blocks, each with twice the channels and half the size of the one before.

    blocks  how many each stage has
    width   the channels of the first stage
    small   for small images: the first convolution keeps the size, and nothing is pooled before the mean

    >>> import graphflow as gf
    >>> gf.models.ResNet((1, 1), width=4, num_classes=3, small=True)(gf.zeros((2, 3, 8, 8))).shape
    (2, 3)
    """

    def __init__(
        self,
        blocks: Sequence[int],
        num_classes: int = 1000,
        width: int = 64,
        in_channels: int = 3,
        small: bool = False,
    ) -> None:
        super().__init__()
        size, stride, padding = (3, 1, 1) if small else (7, 2, 3)
        self.conv1 = nn.Conv2d(in_channels, width, size, stride, padding, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, 2, 1)
        channels, stages = width, len(blocks)
        for stage, count in enumerate(blocks):
            outputs = width * 2**stage
            made = []
            for number in range(count):
                made.append(BasicBlock(channels, outputs, 2 if stage and not number else 1))
                channels = outputs
            self.register_module(f"layer{stage + 1}", nn.Sequential(*made))
        self.stages = stages
        self.fc = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Any) -> Tensor:
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        for stage in range(self.stages):
            x = self.get_submodule(f"layer{stage + 1}")(x)
        return self.fc(x.mean((2, 3)))


def resnet8(num_classes: int = 10, in_channels: int = 3) -> ResNet:
    """One block in each of three stages of 16, 32, 64 channels, for small images: 0.08 million parameters."""
    return ResNet((1, 1, 1), num_classes, 16, in_channels, small=True)


def resnet20(num_classes: int = 10, in_channels: int = 3) -> ResNet:
    """Three blocks in each of three stages of 16, 32, 64 channels, for small images: 0.27 million parameters."""
    return ResNet((3, 3, 3), num_classes, 16, in_channels, small=True)


def resnet18(num_classes: int = 1000, in_channels: int = 3) -> ResNet:
    """Two blocks in each of four stages, for photographs of 224 x 224: 11.7 million parameters."""
    return ResNet((2, 2, 2, 2), num_classes, 64, in_channels)


def resnet34(num_classes: int = 1000, in_channels: int = 3) -> ResNet:
    """3, 4, 6, 3 blocks in four stages, for photographs of 224 x 224: 21.8 million parameters."""
    return ResNet((3, 4, 6, 3), num_classes, 64, in_channels)
