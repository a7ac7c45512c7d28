"""A GAN learns eight clouds of points on a circle: graphflow.models.GAN, both players in one compiled step.

    python examples/train_gan.py [--steps 4000] [--out examples/out]

Prints how many of the clouds the generator finds and how many of its points lie in one; draws its points as they were
before training, in between, and after (with Matplotlib: train_gan.png).
"""

from __future__ import annotations

import argparse
import pathlib
from importlib.util import find_spec
from typing import Any

import numpy as np
from timing import compare

import graphflow as gf

CLOUDS, RADIUS, SPREAD, PENALTY = 8, 2.0, 0.08, 0.1
ANGLES = 2 * np.pi * np.arange(CLOUDS) / CLOUDS
CENTERS = RADIUS * np.stack([np.cos(ANGLES), np.sin(ANGLES)], 1).astype("float32")


def real_points(count: int, rng: np.random.Generator) -> np.ndarray:
    """Points of the clouds, all clouds alike."""
    noise = rng.normal(0.0, SPREAD, (count, 2))
    return (CENTERS[rng.integers(0, CLOUDS, count)] + noise).astype("float32")


def judge(points: np.ndarray) -> tuple[int, float]:
    """How many clouds have at least a quarter of their share of the points, and the share of points in any cloud."""
    distance = np.linalg.norm(points[:, None] - CENTERS, axis=-1)
    inside = distance.min(1) < 4 * SPREAD
    found = np.bincount(distance.argmin(1)[inside], minlength=CLOUDS)
    return int((found > len(points) / CLOUDS / 4).sum()), float(inside.mean())


def draw(path: pathlib.Path, stages: dict[int, np.ndarray], real: np.ndarray) -> None:
    """The generator's points after so many steps, over real ones."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.2 * len(stages), 3.4), layout="constrained")
    for axis, (step, points) in zip(figure.subplots(1, len(stages)), stages.items()):
        axis.scatter(*real.T, s=5, color="0.8", linewidths=0, label="real")
        axis.scatter(*points.T, s=5, color="tab:red", alpha=0.6, linewidths=0, label="generated")
        axis.set(xlim=(-3, 3), ylim=(-3, 3), aspect="equal", xticks=[], yticks=[], title=f"step {step}")
    axis.legend(loc="center", frameon=False, markerscale=3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main(argv: list[str] | None = None) -> tuple[int, float]:
    """Train, print, draw; gives the clouds found and the share of generated points that lie in one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent / "out")
    options = parser.parse_args(argv)

    gf.random.seed(0)
    rng = np.random.default_rng(0)
    gan = gf.models.GAN(features=2, latent=8, hidden=128)
    players = {"discriminator": gan.discriminator, "generator": gan.generator}
    # Little momentum: each player must follow the other's moves quickly.
    optimizers = {n: gf.optim.Adam(p.parameters(), lr=1e-3, betas=(0.5, 0.9)) for n, p in players.items()}

    def train_step(real: Any) -> Any:
        losses = []
        for player, optimizer in optimizers.items():
            if player == "discriminator":
                loss = gan.discriminator_loss(real, PENALTY)  # which has a gradient in it
            else:
                loss = gan.generator_loss(len(real))
            gan.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss)
        return losses

    compiled = gf.compile(train_step)
    shown = {0, options.steps // 8, options.steps // 2, options.steps}
    stages: dict[int, np.ndarray] = {}
    bar = gf.viz.Progress(options.steps, "GAN")
    with bar:
        for step in range(options.steps + 1):
            if step in shown:
                with gf.no_grad():
                    stages[step] = gan(1000).numpy()
            if step < options.steps:
                against, by = compiled(real_points(options.batch, rng))
                bar.update(samples=options.batch, discriminator=against, generator=by)

    clouds, inside = judge(stages[options.steps])
    print(f"{clouds} of {CLOUDS} clouds found; {inside:.1%} of the generated points lie in one")
    if find_spec("matplotlib") is not None:
        path = options.out / "train_gan.png"
        draw(path, stages, real_points(1000, rng))
        print(f"the points, step by step: {path}")
    x = real_points(options.batch, rng)
    compare(compiled=lambda: compiled(x), eager=lambda: train_step(gf.tensor(x)))
    return clouds, inside


if __name__ == "__main__":
    main()
