"""S7. Linear and logistic regression on a table, each in the style of TensorFlow 1, PyTorch and Keras: MSE, RMSE, MAE.

    python examples/s7_regression.py [--epochs 60]

The table is generated: houses with area, rooms, age and distance, a price, and whether they were sold within a month.
It goes through a CSV file, as a table of one's own would.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from typing import Any, NamedTuple

import numpy as np
from timing import compare

import graphflow as gf
from graphflow import keras, nn

FEATURES = ("area", "rooms", "age", "distance")


class Data(NamedTuple):
    """Standardised features; the price in 100 000; whether sold soon. The last fifth is for the test."""

    x: np.ndarray
    price: np.ndarray
    sold: np.ndarray

    def split(self) -> tuple[Data, Data]:
        at = len(self.x) * 4 // 5
        return Data(*(c[:at] for c in self)), Data(*(c[at:] for c in self))


def write_table(path: str, rows: int = 1000) -> None:
    """A table in which the price is linear in the features, with noise."""
    random = np.random.default_rng(0)
    area, rooms = random.uniform(40, 200, rows), random.integers(1, 8, rows)
    age, distance = random.uniform(0, 80, rows), random.exponential(8, rows)
    price = 1.2 + 0.021 * area + 0.09 * rooms - 0.008 * age - 0.04 * distance + random.normal(0, 0.2, rows)
    chance = 1 / (1 + np.exp(3.0 * (price - 2.7) + 0.1 * (distance - 8)))
    sold = random.uniform(size=rows) < chance
    with open(path, "w", encoding="utf-8") as file:
        file.write("area,rooms,age,distance,price,sold\n")
        for row in zip(area, rooms, age, distance, price, sold.astype(int)):
            file.write(",".join(f"{v:.6g}" for v in row) + "\n")


def read_table(path: str) -> Data:
    table = gf.datasets.read_csv(path)
    x = np.stack([table[name] for name in FEATURES], axis=1).astype(np.float32)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    return Data(x, table["price"].astype(np.float32)[:, None], table["sold"].astype(np.float32)[:, None])


# -- three styles ------------------------------------------------------------------------------------------------------
def tensorflow_style(train: Data, test: Data, steps: int) -> np.ndarray:
    """Linear regression with placeholders and a Session; gives the prices that it predicts."""
    with gf.Graph().as_default():
        x = gf.placeholder(gf.float32, [None, 4])
        y = gf.placeholder(gf.float32, [None, 1])
        w, b = gf.Variable(gf.zeros([4, 1])), gf.Variable(gf.zeros([1]))
        predicted = gf.matmul(x, w) + b
        loss = gf.reduce_mean(gf.square(predicted - y))
        step = gf.optim.SGD(lr=0.1).minimize(loss)
        with gf.Session() as sess:
            sess.run(gf.global_variables_initializer())
            for _ in range(steps):
                sess.run(step, {x: train.x, y: train.price})
            return sess.run(predicted, {x: test.x})


def pytorch_style(train: Data, test: Data, steps: int) -> tuple[np.ndarray, Any, Any]:
    """The same with a Module and a training step; gives the predictions and the step, compiled and eager."""
    model = nn.Linear(4, 1)
    criterion = nn.MSELoss()
    optimizer = gf.optim.SGD(model.parameters(), lr=0.1)

    def train_step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    compiled = gf.compile(train_step)
    for _ in range(steps):
        compiled(train.x, train.price)
    with gf.no_grad():
        return model(gf.tensor(test.x)).numpy(), compiled, train_step


def keras_style(train: Data, test: Data, epochs: int) -> np.ndarray:
    """The same as a Keras model."""
    model = keras.Sequential([keras.Input(shape=(4,)), keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.SGD(0.05), loss="mse", metrics=["mae"])
    model.fit(train.x, train.price, epochs=epochs, batch_size=32, verbose=0)
    return model.predict(test.x, verbose=0)


def logistic(train: Data, test: Data, steps: int) -> float:
    """Logistic regression: the same line, through a sigmoid; gives the accuracy."""
    model = nn.Linear(4, 1)
    optimizer = gf.optim.Adam(model.parameters(), lr=0.05)

    @gf.compile
    def train_step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    for _ in range(steps):
        train_step(train.x, train.sold)
    with gf.no_grad():
        likely = model(gf.tensor(test.x)).numpy() > 0
    return float((likely == test.sold).mean())


def main(argv: list[str] | None = None) -> dict[str, float]:
    """Print the errors of each style, the logistic regression's accuracy and the time of a step; gives them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=60)
    options = parser.parse_args(argv)
    path = os.path.join(tempfile.mkdtemp(), "houses.csv")
    write_table(path)
    train, test = read_table(path).split()

    steps = 5 * options.epochs
    torch_like, compiled, eager = pytorch_style(train, test, steps)
    results = {}
    for name, predicted in (
        ("TensorFlow 1", tensorflow_style(train, test, steps)),
        ("PyTorch", torch_like),
        ("Keras", keras_style(train, test, options.epochs)),
    ):
        mse, rmse, mae = (
            f(gf.tensor(predicted), gf.tensor(test.price)).item()
            for f in (gf.metrics.mse, gf.metrics.rmse, gf.metrics.mae)
        )
        print(f"linear, {name:12} MSE {mse:.4f}  RMSE {rmse:.4f}  MAE {mae:.4f}")
        results[name] = rmse
    results["accuracy"] = logistic(train, test, steps)
    print(
        f"logistic: {results['accuracy']:.1%} right, {max(test.sold.mean(), 1 - test.sold.mean()):.1%} without a model"
    )
    compare(
        compiled=lambda: compiled(train.x, train.price), eager=lambda: eager(gf.tensor(train.x), gf.tensor(train.price))
    )
    return results


if __name__ == "__main__":
    main()
