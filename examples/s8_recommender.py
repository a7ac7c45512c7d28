"""S8. Recommenders as in Keras: dense layers, matrix factorisation, DeepFM, on who liked what.

    python examples/s8_recommender.py [--epochs 6]

The likes are generated: users and films have hidden tastes, some films are liked by all, some users like everything.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from timing import compare

import graphflow as gf
from graphflow import keras
from graphflow.keras import layers

USERS, FILMS, TASTES = 200, 100, 4


def make_likes(count: int = 12000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Users (n, 1), films (n, 1) and whether the user liked the film (n, 1)."""
    random = np.random.default_rng(0)
    users, films = random.integers(0, USERS, (count, 1)), random.integers(0, FILMS, (count, 1))
    taste, kind = random.normal(size=(USERS, TASTES)), random.normal(size=(FILMS, TASTES))
    mood, fame = random.normal(0, 0.7, USERS), random.normal(0, 0.7, FILMS)
    score = (taste[users[:, 0]] * kind[films[:, 0]]).sum(axis=1) + mood[users[:, 0]] + fame[films[:, 0]]
    likes = random.uniform(size=count) < 1 / (1 + np.exp(-2 * score))
    return users, films, likes.astype(np.float32)[:, None]


def dense() -> keras.Model:
    """Who and what as numbers each, through dense layers."""
    user, film = keras.Input((1,), dtype="int64"), keras.Input((1,), dtype="int64")
    found = [
        layers.Flatten()(layers.Embedding(n, 8, embeddings_initializer="he_normal")(ids))
        for n, ids in ((USERS, user), (FILMS, film))
    ]
    hidden = layers.Dense(64, activation="relu")(layers.Concatenate()(found))
    return keras.Model([user, film], layers.Dense(1, activation="sigmoid")(hidden))


def matrix_factorisation() -> keras.Model:
    """The dot product of a user's vector and a film's, with an offset for each."""
    user, film = keras.Input((1,), dtype="int64"), keras.Input((1,), dtype="int64")
    vectors = [
        layers.Flatten()(layers.Embedding(n, 8, embeddings_initializer="he_normal")(ids))
        for n, ids in ((USERS, user), (FILMS, film))
    ]
    offsets = [layers.Flatten()(layers.Embedding(n, 1)(ids)) for n, ids in ((USERS, user), (FILMS, film))]
    score = layers.Add()([layers.Dot(axes=1)(vectors), *offsets])
    return keras.Model([user, film], layers.Activation("sigmoid")(score))


def deep_fm() -> keras.Model:
    """Both at once over the same vectors (Guo et al., 2017)."""
    user, film = keras.Input((1,), dtype="int64"), keras.Input((1,), dtype="int64")
    vectors = [
        layers.Flatten()(layers.Embedding(n, 8, embeddings_initializer="he_normal")(ids))
        for n, ids in ((USERS, user), (FILMS, film))
    ]
    offsets = [layers.Flatten()(layers.Embedding(n, 1)(ids)) for n, ids in ((USERS, user), (FILMS, film))]
    deep = layers.Dense(64, activation="relu")(layers.Concatenate()(vectors))
    score = layers.Add()([layers.Dot(axes=1)(vectors), *offsets, layers.Dense(1)(deep)])
    return keras.Model([user, film], layers.Activation("sigmoid")(score))


def main(argv: list[str] | None = None) -> dict[str, float]:
    """Train all three, print how well they rank, and the time of a step; gives the areas under the ROC curves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=6)
    options = parser.parse_args(argv)
    gf.random.seed(0)
    users, films, likes = make_likes()
    at = len(users) * 4 // 5
    train, test = ([users[:at], films[:at]], likes[:at]), ([users[at:], films[at:]], likes[at:])
    results = {}
    for make in (dense, matrix_factorisation, deep_fm):
        model = make()
        model.compile(optimizer=keras.optimizers.Adam(5e-3), loss="binary_crossentropy", metrics=["AUC"])
        model.fit(*train, epochs=options.epochs, batch_size=64, verbose=0)
        loss, results[make.__name__] = model.evaluate(*test, verbose=0)
        print(f"{make.__name__:20} loss {loss:.4f}, AUC {results[make.__name__]:.3f}")

    eager = deep_fm()
    eager.compile(optimizer=keras.optimizers.Adam(5e-3), loss="binary_crossentropy", run_eagerly=True)
    batch: tuple[Any, Any] = [users[:64], films[:64]], likes[:64]
    compare(compiled=lambda: model.train_on_batch(*batch), eager=lambda: eager.train_on_batch(*batch))
    return results


if __name__ == "__main__":
    main()
