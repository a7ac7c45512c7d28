"""Layers, losses, metrics, optimizers and schedules give what Keras 3 gives, where it is installed."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphflow as gf

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),
    pytest.mark.skipif(
        importlib.util.find_spec("keras") is None or importlib.util.find_spec("torch") is None,
        reason="Keras or PyTorch is not installed",
    ),
]


@pytest.fixture(scope="module")
def keras() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    return pytest.importorskip("keras")


def _close(keras: Any, theirs: Any, ours: Any, tolerance: float = 2e-5) -> None:
    a = np.asarray(keras.ops.convert_to_numpy(theirs))
    b = np.asarray(ours.numpy() if hasattr(ours, "numpy") else ours)
    assert a.shape == b.shape
    np.testing.assert_allclose(b, a, rtol=tolerance, atol=tolerance)


# -- layers ------------------------------------------------------------------------------------------------------------
IMAGE = (2, 7, 9, 4)
STEPS = (2, 6, 3)
MASK = np.array([[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 0]], bool)
Case = tuple[str, Callable[[Any], Any], list[Any], dict[str, Any]]
CASES: list[Case] = []


def case(name: str, make: Callable[[Any], Any], *shapes: Any, **call: Any) -> None:
    CASES.append((f"{name}-{len(CASES)}", make, list(shapes), call))


case("dense", lambda l: l.Dense(5, activation="gelu"), (3, 4))
case("einsum", lambda l: l.EinsumDense("abc,cd->abd", (None, 6), bias_axes="d"), (3, 4, 5))
case("embedding", lambda l: l.Embedding(10, 4), (3, 4), integers=10)
for p in ("valid", "same"):
    for s in (1, 2, 3):
        case("conv2d", lambda l, s=s, p=p: l.Conv2D(6, 3, strides=s, padding=p), IMAGE)
        case("conv1d", lambda l, s=s, p=p: l.Conv1D(6, 4, strides=s, padding=p), (2, 9, 4))
        case("maxpool", lambda l, s=s, p=p: l.MaxPooling2D(3, strides=s, padding=p), IMAGE)
        case("avgpool", lambda l, s=s, p=p: l.AveragePooling2D(3, strides=s, padding=p), IMAGE)
        case("depthwise", lambda l, s=s, p=p: l.DepthwiseConv2D(3, strides=s, padding=p, depth_multiplier=2), IMAGE)
        case("separable", lambda l, s=s, p=p: l.SeparableConv2D(5, 3, strides=s, padding=p), IMAGE)
        for k in (2, 3, 4):
            case("transpose", lambda l, k=k, s=s, p=p: l.Conv2DTranspose(6, k, strides=s, padding=p), IMAGE)
case("causal", lambda l: l.Conv1D(6, 3, padding="causal", dilation_rate=2), (2, 9, 4))
case("dilated", lambda l: l.Conv2D(6, 3, dilation_rate=2, groups=2, padding="same"), IMAGE)
case("conv3d", lambda l: l.Conv3D(6, 2), (2, 5, 5, 5, 3))
case("first", lambda l: l.Conv2D(6, 3, data_format="channels_first"), (2, 4, 7, 9))
case("gap", lambda l: l.GlobalAveragePooling2D(), IMAGE)
case("gmp", lambda l: l.GlobalMaxPooling2D(), IMAGE)
for training in (False, True):
    case("batchnorm", lambda l: l.BatchNormalization(), IMAGE, training=training)
    case("batchnorm", lambda l: l.BatchNormalization(), (8, 4), training=training)
    case("batchnorm", lambda l: l.BatchNormalization(axis=1), IMAGE, training=training)
    case("batchnorm", lambda l: l.BatchNormalization(center=False, scale=False), IMAGE, training=training)
case("layernorm", lambda l: l.LayerNormalization(), IMAGE)
case("groupnorm", lambda l: l.GroupNormalization(2), IMAGE)
case("rmsnorm", lambda l: l.RMSNormalization(), IMAGE)
case("unitnorm", lambda l: l.UnitNormalization(), IMAGE)
for kind in ("SimpleRNN", "LSTM", "GRU"):
    for settings in (
        {},
        {"return_sequences": True, "return_state": True, "go_backwards": True},
        {"return_sequences": True, "unroll": True, "go_backwards": True},
    ):
        case(kind, lambda l, kind=kind, settings=settings: getattr(l, kind)(5, **settings), STEPS)
    case(kind, lambda l, kind=kind: getattr(l, kind)(5), STEPS, mask=MASK)
    case(kind, lambda l, kind=kind: getattr(l, kind)(5, return_sequences=True), STEPS, mask=MASK)
    case(kind, lambda l, kind=kind: l.Bidirectional(getattr(l, kind)(5, return_sequences=True)), STEPS)
    case(kind, lambda l, kind=kind: l.Bidirectional(getattr(l, kind)(5), merge_mode="sum"), STEPS)
case("gru_before", lambda l: l.GRU(5, reset_after=False), STEPS)
case("distributed", lambda l: l.TimeDistributed(l.Dense(3)), (2, 4, 5))
case("rnn", lambda l: l.RNN(l.LSTMCell(4)), (2, 4, 5))
case("mha", lambda l: l.MultiHeadAttention(2, 4), (2, 5, 8), (2, 6, 8))
case("mha", lambda l: l.MultiHeadAttention(2, 4, 3, output_shape=7), (2, 5, 8), (2, 5, 8), use_causal_mask=True)
case("mha", lambda l: l.MultiHeadAttention(2, 4), (2, 5, 8), (2, 6, 8), return_attention_scores=True)
case("mha", lambda l: l.MultiHeadAttention(2, 4), (2, 5, 8), (2, 6, 8), attention_mask=np.tril(np.ones((2, 5, 6))))
case("attention", lambda l: l.Attention(), (2, 5, 8), (2, 6, 8), listed=True)
case("additive", lambda l: l.AdditiveAttention(), (2, 5, 8), (2, 6, 8), listed=True)
case("concat", lambda l: l.Attention(use_scale=True, score_mode="concat"), (2, 5, 8), (2, 6, 8), listed=True)
for kind in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"):
    case(kind, lambda l, kind=kind: getattr(l, kind)(), (2, 3), (2, 3), listed=True)
case("dot", lambda l: l.Dot(1, normalize=True), (2, 3), (2, 3), listed=True)
case("dot", lambda l: l.Dot((2, 1)), (2, 3, 4), (2, 4, 5), listed=True)
case("dot", lambda l: l.Dot((1, 2)), (2, 3, 4), (2, 5, 3), listed=True)
case("padding", lambda l: l.ZeroPadding2D(((1, 2), (0, 3))), IMAGE)
case("cropping", lambda l: l.Cropping2D(((1, 2), (0, 3))), IMAGE)
case("upsampling", lambda l: l.UpSampling2D((2, 3)), IMAGE)
case("permute", lambda l: l.Permute((2, 3, 1)), IMAGE)
case("relu", lambda l: l.ReLU(max_value=1, negative_slope=0.1, threshold=0.2), IMAGE)
case("prelu", lambda l: l.PReLU(shared_axes=[1, 2]), IMAGE)
ACTIVATIONS = [
    "relu",
    "elu",
    "selu",
    "gelu",
    "tanh",
    "sigmoid",
    "hard_sigmoid",
    "softplus",
    "softsign",
    "swish",
    "mish",
    "exponential",
    "relu6",
    "leaky_relu",
    "hard_silu",
    "log_softmax",
    "softmax",
    "celu",
    "log_sigmoid",
    "hard_tanh",
    "tanh_shrink",
    "soft_shrink",
    "hard_shrink",
    "glu",
]
for name in ACTIVATIONS:
    case(name, lambda l, name=name: l.Activation(name), (3, 4))


@pytest.mark.parametrize("one", CASES, ids=lambda one: one[0])
def test_layers(keras: Any, one: Case) -> None:
    _, make, shapes, call = one
    call = dict(call)
    rng = np.random.default_rng(0)
    integers, listed = call.pop("integers", None), call.pop("listed", False)
    arrays = [rng.normal(size=s).astype("f") if integers is None else rng.integers(0, integers, s) for s in shapes]
    theirs, ours = make(keras.layers), make(gf.keras.layers)
    both = []
    for layer, tensor in ((theirs, keras.ops.convert_to_tensor), (ours, gf.tensor)):
        args = [[tensor(a) for a in arrays]] if listed else arrays
        if not layer.built:
            layer(*args, **{k: v for k, v in call.items() if k != "training"})
        both.append((layer, args))
    ours.set_weights(theirs.get_weights())
    a, b = (layer(*args, **call) for layer, args in both)
    for x, y in zip(*(v if isinstance(v, (tuple, list)) else [v] for v in (a, b))):
        _close(keras, x, y)
    for x, y in zip(theirs.get_weights(), ours.get_weights(), strict=True):
        np.testing.assert_allclose(y, x, atol=2e-5)


# -- losses and metrics ------------------------------------------------------------------------------------------------
RNG = np.random.default_rng(1)
TRUE = RNG.integers(0, 2, (6, 4)).astype("f")
SCORES = RNG.uniform(0.01, 0.99, (6, 4)).astype("f")
SHARES = SCORES / SCORES.sum(1, keepdims=True)
LABELS = RNG.integers(0, 4, 6)
ROWS = np.eye(4, dtype="f")[LABELS]
WEIGHTS = RNG.uniform(size=6).astype("f")
LOSSES: list[tuple[str, dict[str, Any], Any, Any]] = [
    *((n, {}, TRUE, SCORES) for n in ("MeanSquaredError", "MeanAbsoluteError", "MeanAbsolutePercentageError")),
    *(
        (n, {}, TRUE, SCORES)
        for n in ("MeanSquaredLogarithmicError", "LogCosh", "Poisson", "CosineSimilarity", "Hinge")
    ),
    *((n, {}, TRUE, SCORES) for n in ("SquaredHinge", "BinaryCrossentropy", "BinaryFocalCrossentropy")),
    ("Huber", {}, TRUE * 3, SCORES),
    ("CategoricalHinge", {}, ROWS, SCORES),
    ("KLDivergence", {}, SHARES, SCORES),
    ("CategoricalCrossentropy", {}, ROWS, SCORES),
    ("CategoricalFocalCrossentropy", {}, ROWS, SHARES),
    ("SparseCategoricalCrossentropy", {}, LABELS, SHARES),
    ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, TRUE, SCORES * 4 - 2),
    ("CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, ROWS, SCORES * 4 - 2),
    ("SparseCategoricalCrossentropy", {"from_logits": True, "ignore_class": 2}, LABELS, SCORES * 4 - 2),
]


@pytest.mark.parametrize("name, settings, t, p", LOSSES, ids=lambda v: v if isinstance(v, str) else "")
def test_losses(keras: Any, name: str, settings: dict[str, Any], t: Any, p: Any) -> None:
    for reduction in ("sum_over_batch_size", "sum", None):
        for weight in (None, WEIGHTS):
            if "ignore_class" in settings and reduction is None:
                continue
            both = [getattr(k.losses, name)(reduction=reduction, **settings)(t, p, weight) for k in (keras, gf.keras)]
            _close(keras, *both)


def test_losses_of_areas(keras: Any) -> None:
    for name in ("Dice", "Tversky"):
        _close(keras, *(getattr(k.losses, name)()(TRUE, SCORES) for k in (keras, gf.keras)))


YES = (TRUE[:, :1], SCORES[:, :1])
METRICS: list[tuple[str, dict[str, Any], Any]] = [
    *((n, {}, YES) for n in ("Accuracy", "BinaryAccuracy", "MeanSquaredError", "RootMeanSquaredError", "R2Score")),
    *((n, {}, YES) for n in ("MeanAbsoluteError", "LogCoshError", "BinaryCrossentropy", "Hinge", "Poisson")),
    *((n, {}, (YES[0][:, 0], YES[1][:, 0])) for n in ("Precision", "Recall", "AUC", "TruePositives", "TrueNegatives")),
    ("FalseNegatives", {"thresholds": [0.3, 0.6]}, (YES[0][:, 0], YES[1][:, 0])),
    ("AUC", {"curve": "PR"}, (YES[0][:, 0], YES[1][:, 0])),
    ("AUC", {"curve": "PR", "summation_method": "majoring", "num_thresholds": 11}, (YES[0][:, 0], YES[1][:, 0])),
    *(
        (n, {}, (ROWS, SHARES))
        for n in ("CategoricalAccuracy", "F1Score", "CategoricalCrossentropy", "CosineSimilarity")
    ),
    *((n, {}, (ROWS, SHARES)) for n in ("KLDivergence", "CategoricalHinge", "R2Score")),
    ("TopKCategoricalAccuracy", {"k": 2}, (ROWS, SHARES)),
    ("F1Score", {"average": "micro", "threshold": 0.3}, (ROWS, SHARES)),
    ("FBetaScore", {"average": "weighted", "beta": 2.0}, (ROWS, SHARES)),
    ("Precision", {"top_k": 2}, (ROWS, SHARES)),
    ("Recall", {"class_id": 1}, (ROWS, SHARES)),
    ("SparseCategoricalAccuracy", {}, (LABELS, SHARES)),
    ("SparseTopKCategoricalAccuracy", {"k": 2}, (LABELS, SHARES)),
    ("SparseCategoricalCrossentropy", {}, (LABELS, SHARES)),
]


@pytest.mark.parametrize("name, settings, data", METRICS, ids=lambda v: v if isinstance(v, str) else "")
def test_metrics(keras: Any, name: str, settings: dict[str, Any], data: Any) -> None:
    for weight in (None, WEIGHTS):
        both = [getattr(k.metrics, name)(**settings) for k in (keras, gf.keras)]
        for metric in both:
            metric.update_state(*data, weight)
            metric.update_state(*(v[::-1] for v in data), None)
        _close(keras, *(metric.result() for metric in both))


# -- optimizers --------------------------------------------------------------------------------------------------------
OPTIMIZERS: list[tuple[str, dict[str, Any]]] = [
    *(
        (name, {})
        for name in ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "Adamax", "Nadam", "Lion", "Ftrl"]
    ),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("Adam", {"amsgrad": True, "clipnorm": 1.0}),
    ("RMSprop", {"momentum": 0.9, "centered": True, "clipvalue": 0.5}),
    ("SGD", {"global_clipnorm": 1.0, "use_ema": True}),
    ("Ftrl", {"l1_regularization_strength": 0.1, "beta": 0.5, "l2_shrinkage_regularization_strength": 0.1}),
]


@pytest.mark.parametrize("name, settings", OPTIMIZERS, ids=str)
def test_optimizers(keras: Any, name: str, settings: dict[str, Any]) -> None:
    rng = np.random.default_rng(2)
    start, grads = rng.normal(size=(5, 3)).astype("f"), [rng.normal(size=(5, 3)).astype("f") * 3 for _ in range(6)]

    def make(k: Any, scheduled: bool) -> Any:
        rate = k.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5) if scheduled else 0.05
        return getattr(k.optimizers, name)(learning_rate=rate, **settings)

    for scheduled in (False, True):
        theirs, v = make(keras, scheduled), keras.Variable(start)
        for g in grads:
            theirs.apply([keras.ops.convert_to_tensor(g)], [v])
        theirs.finalize_variable_values([v])
        for compiled in (False, True):
            ours, w = make(gf.keras, scheduled), gf.Variable(start)

            def step(g: Any, ours: Any = ours, w: Any = w) -> None:
                ours.apply([g], [w])

            run = gf.compile(step) if compiled else step
            for g in grads:
                run(gf.tensor(g))
            ours.finalize_variable_values([w])
            _close(keras, v.value, w)


SCHEDULES: list[tuple[str, tuple[Any, ...]]] = [
    ("ExponentialDecay", (0.1, 10, 0.9, True)),
    ("InverseTimeDecay", (0.1, 10, 0.9)),
    ("PolynomialDecay", (0.1, 10, 0.01, 2.0, True)),
    ("PiecewiseConstantDecay", ([3, 7], [0.1, 0.2, 0.3])),
    ("CosineDecay", (0.1, 10, 0.1, "c", 0.5, 4)),
    ("CosineDecayRestarts", (0.1, 5)),
]


@pytest.mark.parametrize("name, settings", SCHEDULES, ids=str)
def test_schedules(keras: Any, name: str, settings: tuple[Any, ...]) -> None:
    both = [getattr(k.optimizers.schedules, name)(*settings) for k in (keras, gf.keras)]
    a, b = ([float(schedule(step)) for step in range(25)] for schedule in both)
    np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-7)


def test_constraints_and_regularizers(keras: Any) -> None:
    w = np.random.default_rng(3).normal(size=(5, 4)).astype("f")
    settings: list[tuple[str, str, dict[str, Any]]] = [
        ("constraints", "MaxNorm", {"max_value": 1.0}),
        ("constraints", "UnitNorm", {}),
        ("constraints", "NonNeg", {}),
        ("constraints", "MinMaxNorm", {"min_value": 0.5, "rate": 0.5}),
        ("regularizers", "L1L2", {"l1": 0.1, "l2": 0.2}),
        ("regularizers", "OrthogonalRegularizer", {"mode": "columns"}),
    ]
    for part, name, given in settings:
        theirs = getattr(getattr(keras, part), name)(**given)(keras.ops.convert_to_tensor(w))
        _close(keras, theirs, getattr(getattr(gf.keras, part), name)(**given)(w))


# -- training ----------------------------------------------------------------------------------------------------------
def test_fit_gives_the_same_losses(keras: Any) -> None:
    """The first tutorial's network and a small convolutional one, three epochs, the last batch being shorter."""
    images, labels = gf.datasets.load_digits("train")
    images, labels = images[:500].reshape(-1, 8, 8, 1), labels[:500]

    def mlp(k: Any) -> Any:
        layers = k.layers
        return [layers.Flatten(), layers.Dense(32, activation="relu"), layers.Dropout(0.0)]

    def cnn(k: Any) -> Any:
        layers = k.layers
        return [
            layers.Conv2D(4, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.BatchNormalization(),
            layers.Flatten(),
        ]

    for body in (mlp, cnn):
        histories, weights = [], None
        for k in (keras, gf.keras):
            model = k.Sequential([k.Input((8, 8, 1)), *body(k), k.layers.Dense(10, activation="softmax")])
            model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
            weights = model.get_weights() if weights is None else model.set_weights(weights)
            history = model.fit(images, labels, epochs=3, shuffle=False, verbose=0, validation_data=(images, labels))
            histories.append(history.history)
        assert sorted(histories[0]) == sorted(histories[1])
        for name, values in histories[0].items():
            np.testing.assert_allclose(histories[1][name], values, atol=1e-4, err_msg=name)
