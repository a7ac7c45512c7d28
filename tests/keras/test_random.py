"""keras.random: Keras's arguments, seeds of three kinds, in models, too."""

from __future__ import annotations

from typing import Any

import numpy as np

import graphflow as gf
from graphflow import keras


def test_arguments_and_distributions() -> None:
    gf.random.seed(0)
    x = keras.random.normal((4000,), mean=2.0, stddev=0.5).numpy()
    assert abs(x.mean() - 2.0) < 0.05 and abs(x.std() - 0.5) < 0.05
    cut = keras.random.truncated_normal((4000,), 1.0, 2.0).numpy()
    assert abs(cut - 1.0).max() <= 4.0001 and abs(cut.std() - 2.0 * 0.8796) < 0.1
    u = keras.random.uniform((1000,), minval=-1.0, maxval=3.0, dtype="float64")
    assert u.dtype is gf.float64 and -1.0 <= u.min().item() < -0.9 and 2.9 < u.max().item() < 3.0
    whole = keras.random.randint((1000,), 2, 5)
    assert whole.dtype is gf.int32 and set(whole.tolist()) == {2, 3, 4}
    drawn = keras.random.categorical(gf.log(gf.tensor([[0.25, 0.75], [1.0, 1e-9]])), 4000)
    np.testing.assert_allclose(drawn.numpy().mean(1), [0.75, 0.0], atol=0.03)
    rows = keras.random.shuffle(gf.arange(12).reshape(2, 6), axis=1).numpy()
    assert sorted(rows[0]) == list(range(6)) and (rows[1] - rows[0] == 6).all()
    dropped = keras.random.dropout(gf.ones((50, 40)), 0.5, noise_shape=(None, 1)).numpy()
    assert set(dropped.ravel()) == {0.0, 2.0} and (dropped == dropped[:, :1]).all()
    assert 800 < (keras.random.dropout(gf.ones((50, 40)), 0.5).numpy() == 0).sum() < 1200


def test_seeds() -> None:
    assert keras.random.normal((3,), seed=7).tolist() == keras.random.normal((3,), seed=7).tolist()
    assert keras.random.normal((3,)).tolist() != keras.random.normal((3,)).tolist()
    streams = [keras.random.SeedGenerator(7) for _ in range(2)]
    draws = [[keras.random.normal((3,), seed=s).tolist() for _ in range(2)] for s in streams]
    assert draws[0] == draws[1] and draws[0][0] != draws[0][1]
    assert keras.random.SeedGenerator().get_state() != keras.random.SeedGenerator().get_state()


class Sampling(keras.layers.Layer):
    """Of Keras's guide to subclassing."""

    def __init__(self) -> None:
        super().__init__()
        self.seed_generator = keras.random.SeedGenerator(1337)

    def call(self, inputs: Any) -> Any:
        mean, log_var = inputs
        batch, dim = keras.ops.shape(mean)
        return mean + keras.ops.exp(0.5 * log_var) * keras.random.normal((batch, dim), seed=self.seed_generator)


def test_a_model_that_draws() -> None:
    a, b = keras.Input((3,)), keras.Input((3,))
    model = keras.Model([a, b], Sampling()([a, b]))
    zeros = np.zeros((200, 3), "float32")
    first, second = model.predict([zeros, zeros]), model.predict([zeros, zeros])
    assert abs(first.std() - 1.0) < 0.1 and (first != second).all()
