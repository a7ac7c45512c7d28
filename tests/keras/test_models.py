"""Models of every style: built, called, wired, copied, saved, summed up, and used as Modules of gf.nn."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow import keras

layers = keras.layers
X = np.sin(np.arange(24.0)).reshape(6, 4).astype(np.float32)


def small() -> Any:
    return keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="relu"), layers.Dense(2)])


@keras.utils.register_keras_serializable()
class Twice(layers.Layer):
    """A layer of the user's own, with a list of layers."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.parts = [layers.Dense(units), layers.Dense(units)]

    def call(self, inputs: Any, training: bool = False) -> Any:
        x = inputs
        for part in self.parts:
            x = part(x)
        return x * 2 if training else x


@keras.utils.register_keras_serializable()
class Net(keras.Model):
    """A model of the user's own that takes no name."""

    def __init__(self, units: int = 5) -> None:
        super().__init__()
        self.first = Twice(units)
        self.norm = gf.nn.LayerNorm(units)  # of gf.nn, among Keras's
        self.last = layers.Dense(1)

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self.last(self.norm(self.first(inputs)))


def test_ways_to_build_sequential() -> None:
    given = keras.Sequential([layers.Dense(3, input_shape=(4,))])
    added = keras.Sequential()
    added.add(keras.Input((4,)))
    added.add(layers.Dense(3))
    late = keras.Sequential([layers.Dense(3)])
    assert not late.built and not late.weights
    late.build((None, 4))
    first_data = keras.Sequential([layers.Dense(3)])
    first_data(X)
    for model in (given, added, late, first_data):
        assert model.built and model.count_params() == 15 and model.output_shape == (None, 3)
        assert model(X).shape == (6, 3)
    popped = added.pop()
    assert popped.units == 3 and len(added) == 0


def test_functional_models_share_layers_and_have_several_inputs_and_outputs() -> None:
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    shared = layers.Dense(3, name="shared")
    both = layers.Concatenate(name="both")([shared(a), shared(b)])
    scaled = (both * 2.0 + 1.0)[:, :4]
    model = keras.Model({"a": a, "b": b}, {"sum": layers.Dense(1, name="sum")(both), "scaled": scaled})
    assert model.count_params() == 15 + 7 and model.output_names == ["sum", "scaled"]
    out = model({"a": X, "b": X + 1})
    assert out["scaled"].shape == (6, 4)
    np.testing.assert_allclose(out["scaled"][:, :3], shared(X).numpy() * 2 + 1, rtol=1e-6)
    again = keras.Model.from_config(model.get_config())
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again({"a": X, "b": X + 1})["sum"], out["sum"])
    part = keras.Model(model.input, model.get_layer("both").output)  # a part of it, with the same weights
    assert part({"a": X, "b": X}).shape == (6, 6) and part.get_layer("shared") is shared


def test_layers_of_ones_own_are_made_again() -> None:
    """As in Keras's guides: get_config() gives no more than the layer's own arguments, custom_objects the class."""

    class Scaled(layers.Layer):
        def __init__(self, factor: float = 1.0) -> None:
            super().__init__()
            self.factor = factor

        def call(self, inputs: Any) -> Any:
            return inputs * self.factor

        def get_config(self) -> dict[str, Any]:
            return {"factor": self.factor}

    x = keras.Input((4,))
    functional, chain = keras.Model(x, Scaled(3.0)(x)), keras.Sequential([keras.Input((4,)), Scaled(3.0)])
    for model in (functional, chain):
        again = type(model).from_config(model.get_config(), custom_objects={"Scaled": Scaled})
        np.testing.assert_allclose(again.predict(X), X * 3.0, rtol=1e-6)
        assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
        with pytest.raises(ValueError, match="the class 'Scaled' is not known"):
            type(model).from_config(model.get_config())


def test_functions_on_symbolic_tensors() -> None:
    x = keras.Input((4,))
    y = keras.ops.mean(keras.ops.relu(-x), axis=1, keepdims=True) / 2
    model = keras.Model(x, y)
    expected = np.maximum(-X, 0).mean(1, keepdims=True) / 2
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-6)
    np.testing.assert_allclose(keras.Model.from_config(model.get_config()).predict(X), expected, rtol=1e-6)
    assert keras.ops.mean(gf.tensor(X)).shape == ()


def test_a_model_is_a_module() -> None:
    model = small()
    assert isinstance(model, gf.nn.Module)
    eager = model(gf.tensor(X))
    np.testing.assert_allclose(gf.compile(model)(gf.tensor(X)), eager, rtol=1e-6)
    graph = gf.Graph()
    with graph:
        x = gf.placeholder((None, 4), name="x")
        y = model(x)
    np.testing.assert_allclose(gf.Session(graph).run(y, {x: X}), eager, rtol=1e-6)
    traced = gf.trace(model, gf.TensorSpec((None, 4)))
    np.testing.assert_allclose(gf.Session(traced).run(traced.structure, {traced.inputs[0].name: X}), eager, rtol=1e-6)
    other = small()
    other.load_state_dict(dict(zip(other.state_dict(), model.state_dict().values())))
    np.testing.assert_array_equal(other(X), eager)
    mixed = keras.Sequential([gf.nn.Linear(4, 3), gf.nn.ReLU(), layers.Dense(1)])
    mixed.compile("sgd", "mse")
    before = mixed.get_weights()
    mixed.fit(X, X[:, 0], verbose=0)
    assert all((a != b).any() for a, b in zip(before, mixed.get_weights()))


def test_training_reaches_the_layers_inside() -> None:
    layer = Twice(3)
    assert (layer(X, training=True).numpy() == 2 * layer(X).numpy()).all()
    model = keras.Sequential([keras.Input((4,)), layer, layers.Dropout(0.5)])
    gf.random.seed(1)
    assert (model(X, training=True).numpy() == 0).any()
    assert not (model(X).numpy() == 0).any()
    model.train()  # as any Module
    assert (model(X).numpy() == 0).any()
    model.eval()
    assert len(layer.weights) == 4 and [w.shape for w in layer.get_weights()] == [(4, 3), (3,), (3, 3), (3,)]


def test_freezing() -> None:
    model = small()
    model.layers[0].trainable = False
    assert len(model.trainable_weights) == 2 and len(model.non_trainable_weights) == 2
    model.compile("sgd", "mse")
    before = model.get_weights()
    model.fit(X, X[:, :2], verbose=0)
    after = model.get_weights()
    assert (before[0] == after[0]).all() and (before[2] != after[2]).any()
    model.layers[0].trainable = True  # takes effect at once
    model.fit(X, X[:, :2], epochs=3, verbose=0)
    assert (model.get_weights()[0] != after[0]).any()
    norm = layers.BatchNormalization()
    norm(X)
    norm.trainable = False
    norm(X, training=True)  # a frozen layer uses its own statistics
    assert (norm.moving_mean.numpy() == 0).all()


def test_masks_reach_recurrent_layers() -> None:
    numbers = np.array([[3, 5, 0, 0], [1, 2, 3, 4]])
    model = keras.Sequential(
        [keras.Input((None,), dtype="int64"), layers.Embedding(6, 3, mask_zero=True), layers.Dense(3), layers.LSTM(2)]
    )
    short = model(numbers[:1, :2]).numpy()
    np.testing.assert_allclose(model(numbers)[:1], short, rtol=1e-5)  # what follows the words changes nothing
    wrapped = keras.Sequential([keras.Input((None, 3)), layers.Masking(), layers.GRU(2)])
    x = np.ones((1, 4, 3), np.float32)
    x[:, 2:] = 0
    np.testing.assert_allclose(wrapped(x), wrapped(x[:, :2]), rtol=1e-5)


def test_summary_and_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = small()
    model.summary()
    text = capsys.readouterr().out
    assert "Total params: 23 (92.00 B)" in text and "(None, 3)" in text
    lines: list[str] = []
    model.summary(print_fn=lines.append, show_trainable=True)
    assert "Trainable" in lines[0]
    path = keras.utils.plot_model(model, tmp_path / "m.svg", show_shapes=True)
    assert Path(path).read_text().count("<rect") == 1 + 3
    assert "digraph" in keras.utils.model_to_dot(model)
    with pytest.raises(ValueError, match=r"\.svg"):
        keras.utils.plot_model(model, tmp_path / "m.png")


def test_clones_have_weights_of_their_own() -> None:
    model = keras.Sequential([keras.Input((4,)), Twice(3), layers.Lambda(lambda x: x + 1)])
    copy = keras.models.clone_model(model)
    assert copy.count_params() == model.count_params()
    assert copy.layers[0] is not model.layers[0]
    copy.set_weights(model.get_weights())
    np.testing.assert_array_equal(copy(X), model(X))
    frozen = keras.models.clone_model(small(), clone_function=lambda l: layers.Dense(l.units, name=l.name))
    assert frozen.count_params() == 23


@pytest.mark.parametrize("optimizer", ["adam", gf.optim.SGD(lr=0.1, momentum=0.9)], ids=["keras", "optim"])
def test_saved_models_go_on_training(tmp_path: Path, optimizer: Any) -> None:
    for make in (small, Net):
        model = make()
        model.compile(optimizer, "mse", metrics=["mae"])
        y = X[:, : 2 if make is small else 1]
        model.fit(X, y, epochs=2, verbose=0)
        path = os.fspath(tmp_path / f"{make.__name__}.gf")
        model.save(path)
        loaded = keras.models.load_model(path)
        assert loaded.evaluate(X, y, verbose=0) == model.evaluate(X, y, verbose=0)
        a, b = (m.fit(X, y, epochs=2, shuffle=False, verbose=0).history["loss"] for m in (model, loaded))
        assert a == b  # the optimizer's state came with it
        optimizer = "rmsprop" if optimizer != "adam" else optimizer


def test_weights_alone(tmp_path: Path) -> None:
    model, other = small(), small()
    model.save_weights(tmp_path / "w.safetensors")
    other.load_weights(tmp_path / "w.safetensors")
    np.testing.assert_array_equal(other(X), model(X))
    model.save(tmp_path / "m.gf")
    third = small()
    third.load_weights(tmp_path / "m.gf")
    np.testing.assert_array_equal(third(X), model(X))
    assert keras.models.model_from_json(model.to_json()).count_params() == 23


def test_stateful_and_returned_states() -> None:
    layer = layers.LSTM(2, stateful=True, return_state=True)
    x = np.ones((1, 3, 2), np.float32)
    _, h, _ = layer(x)
    out, _, _ = layer(x)
    assert (out.numpy() != h.numpy()).any()
    layer.reset_state()
    np.testing.assert_allclose(layer(x)[1], h, rtol=1e-6)
    encoder = layers.GRU(2, return_state=True)
    decoder = layers.GRU(2)
    _, state = encoder(x)
    assert decoder(x, initial_state=state).shape == (1, 2)


def test_initializers_have_the_spread_that_they_promise() -> None:
    shape = (200, 100)
    for name, spread in {
        "glorot_uniform": np.sqrt(2 / 300),
        "he_normal": np.sqrt(2 / 200),
        "lecun_uniform": np.sqrt(1 / 200),
        "random_normal": 0.05,
        "truncated_normal": 0.05 * 0.8796,
        "random_uniform": 0.05 / np.sqrt(3),
    }.items():
        values = keras.initializers.get(name)(shape).numpy()
        assert values.std() == pytest.approx(spread, rel=0.03), name
        assert abs(values.mean()) < 0.002
    q = keras.initializers.Orthogonal()((6, 4)).numpy()
    np.testing.assert_allclose(q.T @ q, np.eye(4), atol=1e-5)
    same = keras.initializers.HeNormal(seed=3)
    assert (same((2, 2)).numpy() == same((2, 2)).numpy()).all()


def test_text_and_sequences() -> None:
    tokenizer = keras.utils.Tokenizer(num_words=4)
    tokenizer.fit_on_texts(["a a a b b c", "a d"])
    assert tokenizer.word_index == {"a": 1, "b": 2, "c": 3, "d": 4}
    assert tokenizer.texts_to_sequences(["a d b x"]) == [[1, 2]]
    assert tokenizer.sequences_to_texts([[2, 1]]) == ["b a"]
    assert tokenizer.texts_to_matrix(["a a b"], "count").tolist() == [[0, 2, 1, 0]]
    again = keras.utils.tokenizer_from_json(tokenizer.to_json())
    assert again.texts_to_sequences(["c b"]) == [[3, 2]]
    padded = keras.utils.pad_sequences([[1, 2, 3], [4]], maxlen=2, padding="post", truncating="post")
    assert padded.tolist() == [[1, 2], [4, 0]]
    assert keras.utils.to_categorical([1], 3).tolist() == [[0, 1, 0]]


def test_windows_over_time_series() -> None:
    windows = keras.utils.timeseries_dataset_from_array(
        np.arange(10.0), np.arange(4, 10), sequence_length=3, sequence_stride=2, sampling_rate=2, batch_size=2
    )
    x, y = windows[1]
    assert x.tolist() == [[4, 6, 8]] and y.tolist() == [8] and len(windows) == 2
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    assert np.isfinite(model.fit(windows, verbose=0).history["loss"][0])
    with pytest.raises(ValueError, match="no window"):
        keras.utils.timeseries_dataset_from_array(np.arange(3), None, 5)


def test_names_in_small_letters() -> None:
    assert keras.initializers.glorot_uniform is keras.initializers.GlorotUniform
    assert keras.constraints.deserialize(keras.constraints.serialize(keras.constraints.MaxNorm(3))).max_value == 3
    assert keras.preprocessing.text.Tokenizer is keras.utils.Tokenizer
    center, spread = keras.ops.moments(gf.tensor([1.0, 3.0]), 0)
    assert (center.item(), spread.item()) == (2.0, 1.0)
    assert keras.ops.divide_no_nan(gf.tensor([1.0, 1.0]), gf.tensor([0.0, 2.0])).tolist() == [0.0, 0.5]
