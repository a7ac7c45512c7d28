"""What Keras 3.15 gave for these layers, losses, metrics and optimizers, as one number each.

With the torch backend; with the jax backend for average pooling, which counts padding with torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphflow as gf


def wave(*shape: int, speed: float = 0.7) -> np.ndarray[Any, Any]:
    """Numbers that need no random generator."""
    return np.sin(speed * np.arange(np.prod(shape, dtype=int)).reshape(shape) + speed).astype(np.float32)


def share(*shape: int) -> np.ndarray[Any, Any]:
    """Positive numbers that add up to 1 along the last axis."""
    x = wave(*shape) + 1.2
    return (x / x.sum(-1, keepdims=True)).astype(np.float32)


LAYERS: dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]] = {
    "conv2d_same_2": (lambda l: l.Conv2D(3, 3, strides=2, padding="same", activation="tanh"), (2, 5, 6, 2)),
    "conv2d_transpose": (lambda l: l.Conv2DTranspose(3, 4, strides=3, padding="same"), (2, 4, 5, 2)),
    "depthwise": (lambda l: l.DepthwiseConv2D(3, depth_multiplier=2), (2, 5, 6, 2)),
    "separable": (lambda l: l.SeparableConv2D(4, 3, padding="same"), (2, 5, 6, 2)),
    "causal": (lambda l: l.Conv1D(4, 3, padding="causal", dilation_rate=2), (2, 7, 3)),
    "average_same": (lambda l: l.AveragePooling2D(3, strides=2, padding="same"), (2, 5, 6, 2)),
    "batchnorm": (lambda l: l.BatchNormalization(), (6, 5, 3)),
    "layernorm": (lambda l: l.LayerNormalization(), (6, 5)),
    "groupnorm": (lambda l: l.GroupNormalization(2), (2, 3, 4)),
    "simple_rnn": (lambda l: l.SimpleRNN(4), (2, 5, 3)),
    "lstm": (lambda l: l.LSTM(4, return_sequences=True), (2, 5, 3)),
    "gru": (lambda l: l.GRU(4, go_backwards=True), (2, 5, 3)),
    "gru_before": (lambda l: l.GRU(4, reset_after=False), (2, 5, 3)),
    "bidirectional": (lambda l: l.Bidirectional(l.LSTM(3, return_sequences=True)), (2, 5, 3)),
}


def check(x: Any) -> float:
    """A number that tells whether all numbers of an array are what they were."""
    array = np.asarray(x.numpy() if hasattr(x, "numpy") else x, np.float64)
    return float((array * wave(*array.shape, speed=1.3)).sum())


def near(value: float) -> Any:
    return pytest.approx(value, rel=2e-5, abs=3e-5)


OF_LAYERS = {
    "conv2d_same_2": 2.70951,
    "conv2d_transpose": 8.13676,
    "depthwise": -7.29451,
    "separable": 2.00604,
    "causal": -0.57384,
    "average_same": 0.29352,
    "batchnorm": 1.30718,
    "layernorm": 0.05002,
    "groupnorm": 2.17964,
    "simple_rnn": 1.79433,
    "lstm": -0.74225,
    "gru": 1.38184,
    "gru_before": 1.73551,
    "bidirectional": 0.07405,
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str) -> None:
    make, shape = LAYERS[name]
    layer, x = make(gf.keras.layers), wave(*shape)
    assert layer(gf.keras.Input(shape[1:])).shape[1:] == layer(x).shape[1:]
    start = 1.0 if "norm" in name else 0.0
    layer.set_weights([0.5 * wave(*w.shape, speed=0.9) + start for w in layer.get_weights()])
    assert check(layer(x, training=name == "batchnorm")) == near(OF_LAYERS[name])
    again = type(layer).from_config(layer.get_config())
    again(x)
    assert [w.shape for w in again.get_weights()] == [w.shape for w in layer.get_weights()]


def test_multi_head_attention() -> None:
    layer = gf.keras.layers.MultiHeadAttention(2, 3)
    query, value = wave(2, 4, 6), wave(2, 5, 6, speed=0.4)
    layer(query, value)
    layer.set_weights([0.5 * wave(*w.shape, speed=0.9) for w in layer.get_weights()])
    assert check(layer(query, value, use_causal_mask=True)) == near(3.37369)


TRUE = (wave(5, 4) > 0).astype(np.float32)
SHARES = share(5, 4)
ROWS = np.eye(4, dtype=np.float32)[[0, 3, 1, 1, 2]]
LABELS = np.array([0, 3, 1, 1, 2])
WEIGHTS = np.abs(wave(5))
LOSSES = {
    "mean_squared_error": (TRUE, 0.20254),
    "mean_absolute_error": (TRUE, 0.24409),
    "mean_absolute_percentage_error": (TRUE, 29281881.14879),
    "mean_squared_logarithmic_error": (TRUE, 0.08664),
    "log_cosh": (TRUE, 0.09267),
    "poisson": (TRUE, 0.46116),
    "cosine_similarity": (TRUE, 0.26774),
    "hinge": (TRUE, 0.15078),
    "squared_hinge": (TRUE, 0.1678),
    "binary_crossentropy": (TRUE, 0.47332),
    "binary_focal_crossentropy": (TRUE, 0.28475),
    "kl_divergence": (TRUE, 1.7217),
    "huber": (TRUE, 0.10127),
    "categorical_crossentropy": (ROWS, 0.21056),
    "categorical_focal_crossentropy": (ROWS, 0.03524),
    "categorical_hinge": (ROWS, 0.011),
    "sparse_categorical_crossentropy": (LABELS, 0.21056),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name: str) -> None:
    targets, expected = LOSSES[name]
    found = gf.keras.losses.get(name)(targets, SHARES)
    assert check(found) == near(expected)
    words = "".join(part.capitalize() for part in name.split("_")).replace("Kl", "KL")
    loss = getattr(gf.keras.losses, words)
    weighted = float((found.numpy() * WEIGHTS).mean())
    assert loss()(targets, SHARES, WEIGHTS).item() == pytest.approx(weighted, rel=1e-5)
    assert loss(reduction="sum")(targets, SHARES).item() == pytest.approx(float(found.numpy().sum()), rel=1e-5)


METRICS: list[tuple[str, Any, Any, float]] = [
    ("AUC", TRUE[:, 0], SHARES[:, 0], 0.38215),
    ("Precision", TRUE, SHARES, 0.96356),
    ("Recall", TRUE, SHARES * 2, 0.63846),
    ("R2Score", TRUE, SHARES, -0.37028),
    ("RootMeanSquaredError", TRUE, SHARES, 0.56313),
    ("SparseTopKCategoricalAccuracy", LABELS, SHARES, 0.5066),
    ("BinaryAccuracy", TRUE, SHARES * 2, 0.59917),
]


@pytest.mark.parametrize("name, targets, predictions, expected", METRICS, ids=lambda v: v if isinstance(v, str) else "")
def test_metrics(name: str, targets: Any, predictions: Any, expected: float) -> None:
    metric = getattr(gf.keras.metrics, name)(**({"k": 2} if "TopK" in name else {}))
    weight = None if name == "R2Score" else WEIGHTS
    metric.update_state(targets, predictions, weight)
    assert check(metric.result()) == near(expected)
    metric.reset_state()
    for part in (slice(0, 2), slice(2, 5)):  # in two batches
        metric.update_state(targets[part], predictions[part], None if weight is None else weight[part])
    assert check(metric.result()) == near(expected)


OPTIMIZERS: list[tuple[str, dict[str, Any], float]] = [
    ("SGD", {"momentum": 0.9, "nesterov": True}, -0.93342),
    ("Adam", {"amsgrad": True}, 0.18515),
    ("AdamW", {}, 0.18418),
    ("RMSprop", {"momentum": 0.5, "centered": True}, -1.88133),
    ("Adagrad", {}, 0.41314),
    ("Adadelta", {}, 0.83189),
    ("Adamax", {}, 0.31533),
    ("Nadam", {}, 0.34579),
    ("Lion", {}, 0.0608),
    ("Ftrl", {"l1_regularization_strength": 0.01, "beta": 0.5}, -0.61392),
    ("Adam", {"clipnorm": 0.5}, 0.19456),
    ("SGD", {"global_clipnorm": 0.5, "weight_decay": 0.1}, 0.70155),
]


@pytest.mark.parametrize("name, settings, expected", OPTIMIZERS, ids=str)
def test_optimizers_with_a_schedule(name: str, settings: dict[str, Any], expected: float) -> None:
    w = gf.Variable(wave(3, 4))
    rate = gf.keras.optimizers.schedules.CosineDecay(0.1, 10)
    optimizer = getattr(gf.keras.optimizers, name)(learning_rate=rate, **settings)
    for i in range(4):
        optimizer.apply([gf.tensor(wave(3, 4, speed=0.3 + i))], [w])
    assert check(w) == near(expected)
    assert optimizer.iterations.item() == 4
    assert float(optimizer.learning_rate) == pytest.approx(float(rate(4)))
    again = gf.keras.optimizers.deserialize(gf.keras.optimizers.serialize(optimizer))
    assert type(again) is type(optimizer)
    assert again.get_config() == optimizer.get_config()


def test_the_first_tutorial() -> None:
    """Losses and accuracies of each epoch, with a validation split whose last batch is shorter."""
    k, l = gf.keras, gf.keras.layers
    x, y = gf.datasets.load_digits("train")
    hidden = [l.Dense(16, activation="relu"), l.Dropout(0.0)]
    model = k.Sequential([k.Input((8, 8)), l.Flatten(), *hidden, l.Dense(10, activation="softmax")])
    model.set_weights([0.2 * wave(*w.shape, speed=0.9) for w in model.get_weights()])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    found = model.fit(
        x[:200].reshape(-1, 8, 8), y[:200], epochs=3, shuffle=False, verbose=0, validation_split=0.2
    ).history
    expected = {
        "accuracy": [0.0875, 0.175, 0.225],
        "loss": [2.306212, 2.286763, 2.270452],
        "val_accuracy": [0.175, 0.2, 0.3],
        "val_loss": [2.30124, 2.283649, 2.26763],
    }
    assert sorted(found) == sorted(expected)
    for name, values in expected.items():
        assert found[name] == pytest.approx(values, abs=1e-5), name
    for program in model._programs.values():
        assert program.cache_info().traces == 1  # also for the shorter batch


def test_a_convolutional_network() -> None:
    k, l = gf.keras, gf.keras.layers
    x, y = gf.datasets.load_digits("train")
    body = [l.Conv2D(4, 3, activation="relu"), l.MaxPooling2D(), l.BatchNormalization(), l.Flatten()]
    model = k.Sequential([k.Input((8, 8, 1)), *body, l.Dense(10)])
    for i, w in enumerate(model.weights):
        w.assign(0.2 * wave(*w.shape, speed=0.9) + (1.0 if i in (2, 5) else 0.0))  # gamma, moving variance
    model.compile(k.optimizers.SGD(0.05), k.losses.SparseCategoricalCrossentropy(from_logits=True))
    weights = {i: 1 + 0.1 * i for i in range(10)}
    history = model.fit(x[:200].reshape(-1, 8, 8, 1), y[:200], epochs=3, shuffle=False, verbose=0, class_weight=weights)
    assert history.history["loss"] == pytest.approx([3.331511, 2.521858, 1.897359], abs=1e-5)
