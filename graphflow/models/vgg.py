"""VGG: convolutions of 3 x 3 and nothing else but maxima in between (Simonyan and Zisserman 2015)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow import nn
from graphflow.tensor import Tensor

STAGES: dict[int, tuple[int, ...]] = {  # convolutions in each stage, by the number of layers with weights
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}


class VGG(nn.Module):
    """Stages of convolutions, each followed by a halving; then two hidden layers. Named as torchvision's.

    stages      convolutions in each stage; its channels are ``width`` times 1, 2, 4, 8, 8
    hidden      neurons of the hidden layers
    pooled      the size to which the last images are averaged
    batch_norm  whether each convolution is followed by batch normalisation

    >>> import graphflow as gf
    >>> model = gf.models.VGG((1, 1), num_classes=3, width=4, hidden=8, pooled=1)
    >>> model(gf.zeros((2, 3, 8, 8))).shape
    (2, 3)
    """

    def __init__(
        self,
        stages: Sequence[int] = STAGES[11],
        num_classes: int = 1000,
        in_channels: int = 3,
        width: int = 64,
        hidden: int = 4096,
        pooled: int = 7,
        batch_norm: bool = False,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for stage, count in enumerate(stages):
            outputs = width * min(2**stage, 8)
            for _ in range(count):
                layers.append(nn.Conv2d(channels, outputs, 3, padding=1))
                layers += [nn.BatchNorm2d(outputs)] * batch_norm + [nn.ReLU()]
                channels = outputs
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(pooled)
        self.classifier = nn.Sequential(
            nn.Linear(channels * pooled * pooled, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, num_classes),
        )
        self.apply(_start)

    def forward(self, x: Any) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def _start(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.01)
        nn.init.zeros_(module.bias)


def vgg11(num_classes: int = 1000, batch_norm: bool = False) -> VGG:
    """VGG with 11 layers, for photographs of 224 x 224: 133 million parameters."""
    return VGG(STAGES[11], num_classes, batch_norm=batch_norm)


def vgg16(num_classes: int = 1000, batch_norm: bool = False) -> VGG:
    """VGG with 16 layers, for photographs of 224 x 224: 138 million parameters."""
    return VGG(STAGES[16], num_classes, batch_norm=batch_norm)
