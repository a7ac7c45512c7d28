"""MobileNetV2: depthwise convolutions between 1 x 1 ones that widen and narrow (Sandler et al. 2018).

Parameters are named as torchvision's, so its weights load.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow import nn
from graphflow.tensor import Tensor

# widening, channels, blocks, stride of the first block
PLAN: tuple[tuple[int, int, int, int], ...] = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def convolution(inputs: int, outputs: int, size: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """A convolution that keeps the size (over the stride), batch normalisation, ReLU6."""
    conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU6())


class InvertedResidual(nn.Module):
    """Widen, filter each channel, narrow; around all that a shortcut, where the shape stays."""

    def __init__(self, inputs: int, outputs: int, stride: int, widening: int) -> None:
        super().__init__()
        wide = inputs * widening
        layers: list[nn.Module] = [] if widening == 1 else [convolution(inputs, wide, 1)]
        layers.append(convolution(wide, wide, 3, stride, groups=wide))
        layers += [nn.Conv2d(wide, outputs, 1, bias=False), nn.BatchNorm2d(outputs)]
        self.conv = nn.Sequential(*layers)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Any) -> Tensor:
        return x + self.conv(x) if self.shortcut else self.conv(x)


class MobileNetV2(nn.Module):
    """The blocks of ``plan``: (widening, channels, blocks, stride of the first) of each stage.

    >>> import graphflow as gf
    >>> model = gf.models.MobileNetV2(3, plan=[(1, 4, 1, 1), (2, 8, 1, 2)], first=4, last=16)
    >>> model(gf.zeros((2, 3, 16, 16))).shape
    (2, 3)
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        plan: Sequence[tuple[int, int, int, int]] = PLAN,
        first: int = 32,
        last: int = 1280,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [convolution(in_channels, first, 3, 2)]
        channels = first
        for widening, outputs, blocks, stride in plan:
            for number in range(blocks):
                layers.append(InvertedResidual(channels, outputs, stride if number == 0 else 1, widening))
                channels = outputs
        layers.append(convolution(channels, last, 1))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(last, num_classes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0.0, 0.01)
                nn.init.zeros_(module.bias)

    def forward(self, x: Any) -> Tensor:
        return self.classifier(self.features(x).mean((2, 3)))


def mobilenet_v2(num_classes: int = 1000, in_channels: int = 3) -> MobileNetV2:
    """MobileNetV2 for photographs of 224 x 224: 3.5 million parameters."""
    return MobileNetV2(num_classes, in_channels)
