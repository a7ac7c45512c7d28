"""S9. A 5-10-1 classifier of yes and no, in the style of TensorFlow 1, PyTorch and Keras, with its loss curve.

    python examples/s9_binary_classifier.py [--epochs 40] [--out examples/out]

Needs Matplotlib for the curve: pip install 'graphflow[viz]'.
"""

from __future__ import annotations

import argparse
import pathlib
from typing import Any

import numpy as np
from timing import compare

import graphflow as gf
from graphflow import keras, nn

BATCH = 32


def make_data(rows: int = 1000) -> tuple[np.ndarray, np.ndarray]:
    """Five numbers each; yes inside of a curved region of them."""
    random = np.random.default_rng(0)
    x = random.normal(size=(rows, 5)).astype(np.float32)
    y = (x[:, 0] * x[:, 1] + np.sin(x[:, 2]) + 0.5 * x[:, 3] > 0.2).astype(np.float32)
    return x, y[:, None]


def batches(count: int, epochs: int) -> list[np.ndarray]:
    """Rows of each batch, in a new order each epoch."""
    order = np.random.default_rng(1)
    return [rows for _ in range(epochs) for rows in np.array_split(order.permutation(count), -(-count // BATCH))]


def tensorflow_style(x: np.ndarray, y: np.ndarray, epochs: int) -> tuple[list[float], float]:
    """Placeholders and a Session; gives the losses and the accuracy."""
    with gf.Graph().as_default():
        inputs, targets = gf.placeholder(gf.float32, [None, 5]), gf.placeholder(gf.float32, [None, 1])
        w1 = gf.Variable(gf.truncated_normal([5, 10], stddev=0.5))
        b1 = gf.Variable(gf.zeros([10]))
        w2 = gf.Variable(gf.truncated_normal([10, 1], stddev=0.5))
        b2 = gf.Variable(gf.zeros([1]))
        logits = gf.nn.relu(inputs @ w1 + b1) @ w2 + b2
        loss = gf.reduce_mean(gf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=logits))
        right = gf.equal(gf.cast(logits > 0, gf.float32), targets)
        accuracy = gf.reduce_mean(gf.cast(right, gf.float32))
        step = gf.optim.Adam(lr=0.01).minimize(loss)
        with gf.Session() as sess:
            sess.run(gf.global_variables_initializer())
            losses = []
            for rows in batches(len(x), epochs):
                losses.append(float(sess.run([step, loss], {inputs: x[rows], targets: y[rows]})[1]))
            return losses, float(sess.run(accuracy, {inputs: x, targets: y}))


def pytorch_style(x: np.ndarray, y: np.ndarray, epochs: int) -> tuple[list[float], float]:
    """A Sequential and a training step; gives the losses and the accuracy, and prints the time of a step."""
    model = nn.Sequential(nn.Linear(5, 10), nn.ReLU(), nn.Linear(10, 1), nn.Sigmoid())
    criterion = nn.BCELoss()
    optimizer = gf.optim.Adam(model.parameters(), lr=0.01)

    def train_step(inputs: Any, targets: Any) -> Any:
        optimizer.zero_grad()
        loss = criterion(model(inputs), targets)
        loss.backward()
        optimizer.step()
        return loss

    compiled = gf.compile(train_step)
    losses = [compiled(x[rows], y[rows]).item() for rows in batches(len(x), epochs)]
    with gf.no_grad():
        right = (model(gf.tensor(x)).round() == gf.tensor(y)).numpy().mean()
    first, second = gf.tensor(x[:BATCH]), gf.tensor(y[:BATCH])
    compare(compiled=lambda: compiled(first, second), eager=lambda: train_step(first, second))
    return losses, float(right)


def keras_style(x: np.ndarray, y: np.ndarray, epochs: int) -> tuple[list[float], float]:
    """compile and fit; gives the losses of the epochs and the accuracy."""
    model = keras.Sequential(
        [
            keras.Input(shape=(5,)),
            keras.layers.Dense(10, activation="relu"),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss="binary_crossentropy", metrics=["accuracy"])
    history = model.fit(x, y, epochs=epochs, batch_size=BATCH, verbose=0)
    return history.history["loss"], float(model.evaluate(x, y, verbose=0)[1])


def main(argv: list[str] | None = None) -> dict[str, float]:
    """Train in each style, print the accuracies, draw the losses of the epochs. Gives the accuracies."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent / "out")
    options = parser.parse_args(argv)
    gf.random.seed(0)
    x, y = make_data()
    curves, scores = {}, {}
    for name, style in (("TensorFlow 1", tensorflow_style), ("PyTorch", pytorch_style), ("Keras", keras_style)):
        losses, scores[name] = style(x, y, options.epochs)
        curves[f"loss, {name}"] = np.mean(np.reshape(losses, (options.epochs, -1)), axis=1)  # of an epoch
        print(f"{name:12} loss {curves[f'loss, {name}'][-1]:.4f}, accuracy {scores[name]:.2%}")
    options.out.mkdir(parents=True, exist_ok=True)
    gf.viz.plot_history(curves, options.out / "s9_loss.png")
    print(f"the loss curves: {options.out / 's9_loss.png'}")
    return scores


if __name__ == "__main__":
    main()
