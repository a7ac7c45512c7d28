"""S6. The first program of every Keras tutorial: Sequential, compile, fit, evaluate, predict, save, load_model.

python examples/s6_keras_digits.py [--epochs 10]
"""

from __future__ import annotations

import argparse
import os
import tempfile
from typing import Any

import numpy as np
from timing import compare

import graphflow as gf
from graphflow import keras


def make_model(**options: Any) -> keras.Model:
    model = keras.Sequential(
        [
            keras.Input(shape=(28, 28)),
            keras.layers.Flatten(),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"], **options)
    return model


def main(argv: list[str] | None = None) -> float:
    """Train, evaluate, save and load; print the time of a step. Gives the loaded model's accuracy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args(argv)

    gf.random.seed(0)
    folder = gf.datasets.digits_as_mnist(tempfile.mkdtemp())
    (x_train, y_train), (x_test, y_test) = (gf.datasets.load_mnist(folder, split) for split in ("train", "test"))
    x_train, x_test = x_train[:, 0], x_test[:, 0]  # (n, 28, 28)

    model = make_model()
    model.summary()
    model.fit(x_train, y_train, epochs=options.epochs, validation_data=(x_test, y_test))
    loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
    print(f"test loss {loss:.4f}, test accuracy {accuracy:.2%}")

    path = os.path.join(tempfile.mkdtemp(), "digits.gf")
    model.save(path)
    loaded = keras.models.load_model(path)
    predicted = loaded.predict(x_test, verbose=0).argmax(axis=1)
    result = float(np.mean(predicted == y_test))
    print(f"of the loaded model {result:.2%}")

    eager = make_model(run_eagerly=True)
    x, y = x_train[:32], y_train[:32]
    compare(compiled=lambda: model.train_on_batch(x, y), eager=lambda: eager.train_on_batch(x, y))
    return result


if __name__ == "__main__":
    main()
