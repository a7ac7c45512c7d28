"""Mistakes that people make, and what they are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow import keras

layers = keras.layers
X = np.zeros((8, 4), np.float32)
Y = np.arange(8) % 3


def model_of(loss: Any = "sparse_categorical_crossentropy", units: int = 3) -> Any:
    model = keras.Sequential([keras.Input((4,), name="x"), layers.Dense(units, name="out")])
    model.compile("sgd", loss)
    return model


def test_wrong_names() -> None:
    model = model_of()
    with pytest.raises(ValueError, match="did you mean 'mean_squared_error'"):
        model.compile("adam", "mean_square_error")
    with pytest.raises(ValueError, match="no optimizer named 'adma'; did you mean .*'adam'"):
        model.compile("adma", "mse")
    with pytest.raises(TypeError, match="a loss is a name, a function or an object, got a int"):
        model.compile("adam", 3)
    with pytest.raises(ValueError, match="no metric named 'acuracy'"):
        model.compile("adam", "mse", metrics=["acuracy"])
    with pytest.raises(ValueError, match="no activation named 'rellu'; did you mean 'relu'"):
        layers.Dense(3, activation="rellu")
    with pytest.raises(ValueError, match="no initializer named 'glorot_unifrom'; did you mean 'glorot_uniform'"):
        layers.Dense(3, kernel_initializer="glorot_unifrom")
    with pytest.raises(TypeError, match="write Dense"):
        keras.Sequential([layers.Dense])
    with pytest.raises(TypeError, match=r"optimizer=Adam\(\)"):
        model.compile(keras.optimizers.Adam, "mse")
    with pytest.raises(TypeError, match=r"write EarlyStopping\(\)"):
        model.fit(X, Y, callbacks=[keras.callbacks.EarlyStopping], verbose=0)
    with pytest.raises(TypeError, match="takes no argument 'unitz'"):
        layers.Dense(3, unitz=3)


def test_labels_out_of_range() -> None:
    model = model_of()
    with pytest.raises(IndexError, match=r"label 3 is out of range .* it has 3 units; labels start at 0: use y - 1"):
        model.fit(X, Y + 1, verbose=0)
    with pytest.raises(IndexError, match="label 7 .* give the last layer 8 units"):
        model.evaluate(X, Y * 0 + 7, verbose=0)
    with pytest.raises(ValueError, match="labels go from 0 to 3"):
        keras.utils.to_categorical([0, 3], 2)


def test_shapes_that_do_not_fit() -> None:
    model = model_of()
    with pytest.raises(ValueError, match=r"'x' takes data of shape \(None, 4\), got \(8, 5\)"):
        model.fit(np.zeros((8, 5)), Y, verbose=0)
    with pytest.raises(ValueError, match="add a Flatten layer"):
        model.predict(np.zeros((8, 2, 2)))
    with pytest.raises(ValueError, match=r"for a single sample use x\[None\]"):
        model.predict(X[0])
    with pytest.raises(ValueError, match="the loss needs targets"):
        model.fit(X, verbose=0)
    with pytest.raises(ValueError, match="as many samples"):
        model.fit(X, Y[:5], verbose=0)
    with pytest.raises(ValueError, match="loss='categorical_crossentropy'"):
        model.fit(X, np.eye(3)[Y], verbose=0)
    with pytest.raises(ValueError, match="loss='sparse_categorical_crossentropy'"):
        model_of("categorical_crossentropy").fit(X, Y, verbose=0)
    with pytest.raises(ValueError, match="targets' shape .* does not fit"):
        model_of("mse").fit(X, np.zeros((8, 2)), verbose=0)
    with pytest.raises(ValueError, match="add a channel axis"):
        keras.Sequential([keras.Input((28, 28)), layers.Conv2D(3, 3)])
    with pytest.raises(ValueError, match="takes 2 inputs"):
        a, b = keras.Input((4,)), keras.Input((4,))
        keras.Model([a, b], layers.Add()([a, b])).predict(X)
    with pytest.raises(TypeError, match="pad_sequences"):
        model.fit(np.array([[1, 2, 3, 4], [1, 2]], object), Y[:2], verbose=0)


def test_too_early() -> None:
    model = keras.Sequential([layers.Dense(3)])
    with pytest.raises(RuntimeError, match="not compiled yet"):
        model.fit(X, Y)
    with pytest.raises(RuntimeError, match="not built yet"):
        model.count_params()
    with pytest.raises(RuntimeError, match="not built yet"):
        model.set_weights([np.zeros((4, 3))])
    with pytest.raises(ValueError, match="no layers yet"):
        keras.Sequential()(X)
    with pytest.raises(TypeError, match="has no value"):
        np.asarray(keras.Input((4,)))
    with pytest.raises(ValueError, match="not among the model's inputs"):
        a, b = keras.Input((4,)), keras.Input((4,), name="forgotten")
        keras.Model(a, layers.Add()([a, b]))
    with pytest.raises(ValueError, match="two layers are named 'same'"):
        keras.Sequential([layers.Dense(1, name="same"), layers.Dense(1, name="same")])
    with pytest.raises(ValueError, match="there is no loss"):
        model.compile("sgd")
        model.fit(X, Y, verbose=0)


def test_files(tmp_path: Path) -> None:
    model = model_of()
    path = tmp_path / "m.gf"
    with pytest.raises(FileNotFoundError, match="there is no file"):
        keras.models.load_model(path)
    model.save(path)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        model.save(path, overwrite=False)
    whole = path.read_bytes()
    for size in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match="truncated"):
            keras.models.load_model(path)
    gf.save({"w": gf.ones(3)}, path)
    with pytest.raises(ValueError, match=r"holds no model of gf\.keras"):
        keras.models.load_model(path)
    with pytest.raises(RuntimeError, match="does not fit"):
        model.load_weights(path)
    with pytest.raises(TypeError, match="register_keras_serializable"):
        keras.Sequential([keras.Input((4,)), layers.Lambda(lambda x: x)]).save(path)


class Unknown(layers.Layer):
    def call(self, inputs: Any) -> Any:
        return inputs


def test_classes_that_nobody_knows(tmp_path: Path) -> None:
    keras.Sequential([keras.Input((4,)), Unknown()]).save(tmp_path / "m.gf")
    with pytest.raises(ValueError, match="'Unknown' is not known"):
        keras.models.load_model(tmp_path / "m.gf")
    assert keras.models.load_model(tmp_path / "m.gf", custom_objects={"Unknown": Unknown}).layers


def test_weights_for_classes_that_are_missing() -> None:
    with pytest.raises(ValueError, match=r"lacks the classes \[2\]"):
        model_of().fit(X, Y, class_weight={0: 1.0, 1: 1.0}, verbose=0)
    with pytest.warns(UserWarning, match="give fit validation_data"):
        model_of("mse", 1).fit(X, Y, callbacks=[keras.callbacks.EarlyStopping()], verbose=0)


def test_metrics_in_the_place_of_weights() -> None:
    model = model_of()
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])  # the third is loss_weights, as in Keras 3
    with pytest.raises(TypeError, match="metrics go by keyword"):
        model.fit(X, Y, verbose=0)


def test_names_that_are_elsewhere() -> None:
    for call, message in [
        (lambda: keras.datasets, "here it is gf.datasets: load_digits"),
        (lambda: keras.layers.RandomFlip, "here it is gf.data.transforms.RandomHorizontalFlip, in the data pipeline"),
        (lambda: keras.layers.Densee, "did you mean Dense"),
        (lambda: keras.sequential, "did you mean Sequential"),
    ]:
        with pytest.raises(AttributeError, match=message):
            call()
