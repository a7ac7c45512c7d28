"""S10. An autoencoder: 64 pixels through 8 numbers and back; pictures before and after.

    python examples/s10_autoencoder.py [--epochs 40] [--out examples/out]

Of the other programs of S10, the GAN is train_gan.py, the small GPT train_gpt.py; a ResNet and a transformer
classifier are s10_resnet.py and s10_transformer.py, a GRU s10_gru.py.
"""

from __future__ import annotations

import argparse
import pathlib
from importlib.util import find_spec
from typing import Any

import numpy as np
from timing import compare

import graphflow as gf
from graphflow import nn


class Autoencoder(nn.Module):
    def __init__(self, pixels: int = 64, code: int = 8) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(pixels, 48), nn.ReLU(), nn.Linear(48, code))
        self.decoder = nn.Sequential(nn.Linear(code, 48), nn.ReLU(), nn.Linear(48, pixels), nn.Sigmoid())

    def forward(self, x: Any) -> Any:
        return self.decoder(self.encoder(x))


def main(argv: list[str] | None = None) -> float:
    """Train, print which share of the test pictures' variance comes back, and the time of a step; gives the share."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent / "out")
    options = parser.parse_args(argv)

    gf.random.seed(0)
    images, _ = gf.datasets.load_digits("train")
    test, _ = gf.datasets.load_digits("test")
    loader = gf.data.DataLoader(images, batch_size=32, shuffle=True)
    model = Autoencoder()
    optimizer = gf.optim.Adam(model.parameters(), lr=2e-3)

    def train_step(x: Any) -> Any:
        loss = nn.functional.mse_loss(model(x), x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    compiled = gf.compile(train_step)
    bar = gf.viz.Progress(options.epochs, "autoencoder")
    with bar:
        for _ in range(options.epochs):
            for x in loader:
                loss = compiled(x)
            bar.update(samples=len(images), loss=loss)

    with gf.no_grad():
        back = model(gf.tensor(test)).numpy()
    kept = float(1 - ((back - test) ** 2).sum() / ((test - test.mean(axis=0)) ** 2).sum())
    print(f"{kept:.1%} of the variance of the test pictures comes back through 8 numbers")
    if find_spec("matplotlib") is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        path = options.out / "s10_autoencoder.png"
        gf.viz.plot_images(np.concatenate([test[:10], back[:10]]).reshape(-1, 8, 8), path=path, columns=10)
        print(f"ten of them, above as they were, below as they came back: {path}")
    x = next(iter(loader))
    compare(compiled=lambda: compiled(x), eager=lambda: train_step(x))
    return kept


if __name__ == "__main__":
    main()
