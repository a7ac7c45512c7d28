"""Keras 3 and gf.keras beside each other: the same model, weights and data give the same losses; how long steps take.

    KERAS_BACKEND=torch python benchmarks/keras_compare.py        # or jax

Needs keras, and torch or jax. Each model is written once, for both. Epochs are timed with ``fit`` itself (shuffling
off, so that both see the same batches) in a process for each side; the shortest of several counts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np

import graphflow as gf

os.environ.setdefault("KERAS_BACKEND", "torch")
BAR = 0.3  # of Keras's time


def mlp(k: Any) -> Any:
    """The first program of every Keras tutorial, without its dropout: that draws other random numbers."""
    layers = k.layers
    return k.Sequential(
        [
            k.Input((28, 28)),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )


def cnn(k: Any) -> Any:
    """Two convolutions with pooling and batch normalisation."""
    layers = k.layers
    return k.Sequential(
        [
            k.Input((28, 28, 1)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.BatchNormalization(),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )


MODELS = {"mlp": mlp, "cnn": cnn}


def data(samples: int, channels: bool) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Handwritten digits, magnified to 28 x 28."""
    images, labels = gf.datasets.load_digits("train")
    big = np.kron(images.reshape(-1, 8, 8), np.ones((4, 4)))[:, 2:30, 2:30].astype(np.float32)
    order = np.random.default_rng(0).integers(0, len(big), samples)
    big = big[order] / max(1.0, float(big.max()))
    return (big[..., None] if channels else big), labels[order]


def fit(k: Any, model: Any, x: Any, y: Any, epochs: int) -> tuple[list[float], list[float], list[float]]:
    """Losses, accuracies and seconds of each epoch."""
    seconds: list[float] = []

    class Clock(k.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.started = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            seconds.append(time.perf_counter() - self.started)

    history = model.fit(x, y, batch_size=32, epochs=epochs, shuffle=False, verbose=0, callbacks=[Clock()])
    return history.history["loss"], history.history["accuracy"], seconds


def run(side: str, name: str, samples: int, epochs: int, weights: str) -> None:
    """Train on one side, in a process of its own; prints the figures. Keras writes the weights for GraphFlow."""
    if side == "keras":
        import keras as k
    else:
        k = gf.keras
    x, y = data(samples, name == "cnn")
    model = MODELS[name](k)
    if side == "keras":
        np.savez(weights, *model.get_weights())
    else:
        with np.load(weights) as file:
            model.set_weights([file[key] for key in file.files])
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    losses, accuracies, seconds = fit(k, model, x, y, epochs)
    print(json.dumps({"losses": losses, "accuracies": accuracies, "seconds": seconds}))


def compare(name: str, samples: int, epochs: int) -> float:
    """Print both sides; gives the ratio of the step times."""
    with tempfile.TemporaryDirectory() as folder:
        found = {}
        for side in ("keras", "gf"):
            command = [sys.executable, __file__, "--side", side, "--models", name]
            command += ["--samples", str(samples), "--epochs", str(epochs), "--weights", f"{folder}/weights.npz"]
            out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            found[side] = json.loads(out.splitlines()[-1])
    pairs = list(zip(found["keras"]["losses"], found["gf"]["losses"]))
    times = {side: min(one["seconds"][1:] or one["seconds"]) / -(-samples // 32) for side, one in found.items()}
    ratio = times["gf"] / times["keras"]
    losses = " ".join(f"{a:.5f}/{b:.5f}" for a, b in pairs)
    print(f"{name}: losses per epoch, Keras/GraphFlow: {losses}; apart {max(abs(a - b) for a, b in pairs):.1e} at most")
    print(
        f"{name}: a step of fit takes {times['keras'] * 1e6:.0f} us in Keras, {times['gf'] * 1e6:.0f} us in GraphFlow: "
        f"ratio {ratio:.3f}, bar {BAR}"
    )
    return ratio


def main() -> None:
    """Compare the models."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--samples", type=int, default=3200)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--side", choices=["keras", "gf"], help=argparse.SUPPRESS)
    parser.add_argument("--weights", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        run(options.side, options.models[0], options.samples, options.epochs, options.weights)
        return
    print(f"Keras with the {os.environ['KERAS_BACKEND']} backend")
    for name in options.models:
        compare(name, options.samples, options.epochs)


if __name__ == "__main__":
    main()
