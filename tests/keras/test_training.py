"""compile, fit, evaluate, predict and callbacks."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow import keras

layers = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(70, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64)


def model_of(*metrics: Any, units: int = 2, **settings: Any) -> Any:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(units, activation="softmax", name="out")])
    for i, w in enumerate(model.weights):
        w.assign(np.sin(np.arange(float(np.prod(w.shape))) + i).reshape(w.shape).astype(np.float32))
    settings = {"optimizer": keras.optimizers.SGD(0.1), **settings}
    model.compile(loss="sparse_categorical_crossentropy", metrics=list(metrics) or None, **settings)
    return model


def test_run_eagerly_does_the_same() -> None:
    histories = []
    for eagerly in (False, True):
        model = model_of("accuracy", run_eagerly=eagerly)
        gf.random.seed(3)
        histories.append(model.fit(X, Y, epochs=3, validation_split=0.3, verbose=0).history)
    assert histories[0].keys() == histories[1].keys()
    for name in histories[0]:
        assert histories[0][name] == pytest.approx(histories[1][name], rel=1e-5), name
    model = model_of("accuracy")
    gf.random.seed(3)
    with gf.config(mode="eager"):
        again = model.fit(X, Y, epochs=3, validation_split=0.3, verbose=0).history
    assert again["loss"] == pytest.approx(histories[0]["loss"], rel=1e-5)


def test_one_program_for_all_batches() -> None:
    model = model_of("accuracy")
    model.fit(X, Y, batch_size=32, epochs=2, validation_data=(X[:40], Y[:40]), verbose=0)  # batches of 32, 6 and 8
    model.fit(X, Y, batch_size=16, verbose=0)
    assert [p.cache_info().traces for p in model._programs.values()] == [1, 1]


def test_evaluate_and_predict() -> None:
    model = model_of("accuracy", "sparse_top_k_categorical_accuracy")
    p = model.predict(X, batch_size=16)
    loss, accuracy, _ = model.evaluate(X, Y, verbose=0)
    assert accuracy == pytest.approx((p.argmax(1) == Y).mean())
    assert loss == pytest.approx(-np.log(p[np.arange(70), Y]).mean(), rel=1e-5)
    logs = model.evaluate(X, Y, verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx(loss)
    assert model.metrics_names == ["loss", "accuracy", "sparse_top_k_categorical_accuracy"]
    np.testing.assert_allclose(model.predict_on_batch(X), p, rtol=1e-5)
    assert model.test_on_batch(X, Y)[1] == pytest.approx(accuracy)
    first = model.train_on_batch(X, Y, return_dict=True)["loss"]
    assert first == pytest.approx(loss, rel=1e-5) and model.train_on_batch(X, Y)[0] < first


def test_weights_of_samples_and_classes() -> None:
    model = model_of()
    p = model.predict(X)
    losses = -np.log(p[np.arange(70), Y])
    weights = np.linspace(0, 2, 70)
    assert model.evaluate(X, Y, sample_weight=weights, verbose=0) == pytest.approx((losses * weights).mean(), rel=1e-5)
    by_class = model.fit(X, Y, batch_size=70, class_weight={0: 1.0, 1: 3.0}, verbose=0).history["loss"][0]
    assert by_class == pytest.approx((losses * np.where(Y, 3, 1)).mean(), rel=1e-5)
    weighted = keras.metrics.Mean()
    weighted.update_state([1.0, 3.0], sample_weight=[3.0, 1.0])
    assert weighted.result().item() == 1.5


def test_several_outputs() -> None:
    x = keras.Input((4,), name="x")
    hidden = layers.Dense(5)(x)
    model = keras.Model(x, [layers.Dense(1, name="a")(hidden), layers.Dense(3, activation="softmax", name="b")(hidden)])
    model.compile(
        "adam",
        loss={"a": "mse", "b": "sparse_categorical_crossentropy"},
        loss_weights={"a": 0.5},
        metrics={"a": "mae", "b": ["accuracy"]},
    )
    targets = [X[:, :1], np.arange(70) % 3]
    history = model.fit(X, targets, verbose=0).history
    assert sorted(history) == ["a_loss", "a_mae", "b_accuracy", "b_loss", "loss"]
    logs = model.evaluate({"x": X}, {"a": targets[0], "b": targets[1]}, verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx(0.5 * logs["a_loss"] + logs["b_loss"], rel=1e-5)
    a, b = model.predict(X)
    assert logs["a_loss"] == pytest.approx(((a - X[:, :1]) ** 2).mean(), rel=1e-4) and b.shape == (70, 3)
    model.compile("adam", ["mse", None])  # an output without a loss
    assert np.isfinite(model.fit(X, [targets[0], None], verbose=0).history["loss"][0])


def test_regularizers_constraints_and_added_losses() -> None:
    class Penalty(layers.Layer):
        def call(self, inputs: Any) -> Any:
            self.add_loss(0.5 * gf.mean(inputs))
            return inputs

    dense = layers.Dense(1, kernel_regularizer="l2", kernel_constraint="non_neg", activity_regularizer="l1")
    model = keras.Sequential([keras.Input((4,)), Penalty(), dense])
    model.compile("sgd", "mse")
    loss = model.evaluate(X, Y, batch_size=70, verbose=0)
    out, kernel = model.predict(X), dense.kernel.numpy()
    expected = ((out[:, 0] - Y) ** 2).mean() + 0.01 * (kernel**2).sum() + 0.01 * np.abs(out).sum() / 70 + 0.5 * X.mean()
    assert loss == pytest.approx(expected, rel=1e-5)
    model.fit(X, -X[:, 0], epochs=3, verbose=0)
    assert (dense.kernel.numpy() >= 0).all()


def test_loaders_generators_and_datasets() -> None:
    expected = model_of().fit(X, Y, batch_size=35, shuffle=False, verbose=0).history["loss"]
    pairs = gf.data.TensorDataset(X, Y)

    class Batches(keras.utils.PyDataset):
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> Any:
            rows = slice(35 * index, 35 * index + 35)
            return X[rows], Y[rows]

    def endless() -> Any:
        while True:
            yield X[:35], Y[:35]
            yield X[35:], Y[35:]

    for source, more in (
        (gf.data.DataLoader(pairs, batch_size=35), {}),
        (Batches(), {}),
        (endless(), {"steps_per_epoch": 2}),
        (pairs, {"batch_size": 35, "shuffle": False}),
        ((X, Y), {"batch_size": 35, "shuffle": False, "steps_per_epoch": 2}),
    ):
        given = source if isinstance(source, tuple) else (source,)
        assert model_of().fit(*given, verbose=0, **more).history["loss"] == pytest.approx(expected, rel=1e-6)
    assert model_of().predict(gf.data.DataLoader(gf.data.TensorDataset(X), batch_size=35)).shape == (70, 2)


class GanLike(keras.Model):
    """train_step of the user's own, with a metric as an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(1)
        self.tracker = keras.metrics.Mean("distance")

    def call(self, inputs: Any) -> Any:
        return self.dense(inputs)

    def train_step(self, data: Any) -> Any:
        x, y = data
        loss = gf.mse_loss(self(x, training=True)[:, 0], gf.tensor(y).float() if isinstance(y, np.ndarray) else y * 1.0)
        self.optimizer.apply_gradients(
            [(g, v) for g, v in zip(gf.gradients(loss, self.trainable_variables), self.trainable_variables)]
        )
        self.tracker.update_state(loss)
        return {"distance": self.tracker.result(), "last": loss}


def test_a_train_step_of_ones_own() -> None:
    model = GanLike()
    model.compile(optimizer="adam")
    history = model.fit(X, X[:, 1], batch_size=70, epochs=3, verbose=0).history
    assert sorted(history) == ["distance", "last"] and history["distance"][2] < history["distance"][0]


def test_what_a_train_step_gets() -> None:
    """As in Keras: x alone, (x, y) or (x, y, sample_weight)."""
    seen: list[Any] = []

    class Watching(keras.Model):
        def call(self, inputs: Any) -> Any:
            return inputs

        def train_step(self, data: Any) -> Any:
            seen.append(data)
            return {}

    model = Watching()
    model.compile(optimizer="adam", run_eagerly=True)
    for given in ((X,), (X, Y), (X, Y, None), ([X, X],)):
        model.fit(*given[:2], sample_weight=np.ones(len(X)) if len(given) == 3 else None, batch_size=70, verbose=0)
    alone, pair, weighed, several = seen
    assert (
        alone.shape == X.shape and len(pair) == 2 and len(weighed) == 3 and len(several) == 1 and len(several[0]) == 2
    )


# -- callbacks ---------------------------------------------------------------------------------------------------------
def test_early_stopping_goes_back_to_the_best_weights() -> None:
    model = model_of()
    noisy = keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 if epoch < 2 else 50.0)
    stop = keras.callbacks.EarlyStopping("loss", patience=1, restore_best_weights=True)
    history = model.fit(X, Y, epochs=20, callbacks=[noisy, stop], verbose=0)
    assert len(history.epoch) < 20 and model.stop_training
    assert stop.best == min(history.history["loss"])
    assert history.history["learning_rate"][:3] == [0.1, 0.1, 50.0]


def test_checkpoints_and_logs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = model_of("accuracy")
    seen: list[int] = []
    model.fit(
        X,
        Y,
        epochs=3,
        validation_split=0.2,
        verbose=2,
        callbacks=[
            keras.callbacks.ModelCheckpoint(tmp_path / "m-{epoch}-{val_loss:.1f}.gf", save_best_only=True),
            keras.callbacks.ModelCheckpoint(tmp_path / "w.safetensors", save_weights_only=True, save_freq=2),
            keras.callbacks.CSVLogger(tmp_path / "log.csv"),
            keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch)),
            keras.callbacks.ReduceLROnPlateau("loss", patience=1, min_delta=100.0, factor=0.5),
            keras.callbacks.TerminateOnNaN(),
        ],
    )
    assert seen == [0, 1] * 3
    assert keras.models.load_model(next(tmp_path.glob("m-1-*.gf"))).count_params() == model.count_params()
    assert (tmp_path / "w.safetensors").exists()
    rows = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["0", "1", "2"] and float(rows[0]["val_loss"]) > 0
    assert float(model.optimizer.learning_rate) == pytest.approx(0.025)
    printed = capsys.readouterr().out
    assert "Epoch 3/3" in printed and "val_accuracy" in printed


def test_tensorboard_files(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    model = model_of("accuracy")
    board = keras.callbacks.TensorBoard(tmp_path, histogram_freq=1, update_freq="batch")
    model.fit(X, Y, epochs=2, validation_split=0.2, callbacks=[board], verbose=0)
    assert list((tmp_path / "train").glob("events*")) and list((tmp_path / "validation").glob("events*"))


def test_stopping_at_nan(capsys: pytest.CaptureFixture[str]) -> None:
    model = model_of()
    bad = X.copy()
    bad[40] = np.nan
    with pytest.warns(UserWarning, match="check_numerics"):
        history = model.fit(bad, Y, epochs=5, shuffle=False, callbacks=[keras.callbacks.TerminateOnNaN()], verbose=0)
    assert len(history.epoch) == 1 and "Batch 1" in capsys.readouterr().out


def test_moving_averages_take_the_weights_place() -> None:
    model = model_of(optimizer=keras.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.5))
    plain = model_of(optimizer=keras.optimizers.SGD(0.5))
    steps = []
    keep = keras.callbacks.LambdaCallback(on_train_batch_end=lambda b, logs: steps.append(plain.get_weights()[0]))
    for m, callbacks in ((model, []), (plain, [keep])):
        m.fit(X, Y, shuffle=False, verbose=0, callbacks=callbacks)
    average = steps[0]
    for step in steps[1:]:
        average = 0.5 * average + 0.5 * step
    np.testing.assert_allclose(model.get_weights()[0], average, rtol=1e-5)
