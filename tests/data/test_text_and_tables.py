"""Vocabularies, padding, and the preparation of tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import graphflow as gf
from graphflow.data import DataLoader, tables, text


# -- text -------------------------------------------------------------------------------------------------------------
def test_tokenizers() -> None:
    tokens = text.get_tokenizer("basic_english")('He said: "No, (really)?"')
    assert tokens == [
        "he",
        "said",
        "no",
        ",",
        "(",
        "really",
        ")",
        "?",
    ]
    assert text.get_tokenizer(None)("A  b") == ["A", "b"] and text.get_tokenizer("characters")("ab") == ["a", "b"]
    assert text.get_tokenizer(str.upper) is str.upper
    with pytest.raises(ValueError, match="basic_english, split, characters"):
        text.get_tokenizer("spacy")


def test_vocabulary(tmp_path: Path) -> None:
    lines = [["b", "a", "b"], ["c", "a", "b"]]
    words = text.build_vocab_from_iterator(lines, specials=["<unk>"])
    assert words.get_itos() == ["<unk>", "b", "a", "c"] and len(words) == 4 and "a" in words
    assert words.get_stoi()["c"] == 3 and words(["c", "b"]) == words.lookup_indices(["c", "b"]) == [3, 1]
    with pytest.raises(KeyError, match="set_default_index"):
        words["z"]
    words.set_default_index(0)
    assert words["z"] == 0
    gf.save(words.state_dict(), tmp_path / "v.safetensors")
    again = text.Vocab.from_state(gf.load(tmp_path / "v.safetensors"))
    assert again.get_itos() == words.get_itos() and again["z"] == 0
    again.append_token("z")
    assert again["z"] == 4 and again.lookup_token(4) == "z"
    assert text.build_vocab_from_iterator(lines, min_freq=2).get_itos() == ["b", "a"]
    assert text.build_vocab_from_iterator(lines, specials=["<s>"], max_tokens=2).get_itos() == ["<s>", "b"]
    assert text.vocab({"x": 1, "y": 5}, specials=["<s>"], special_first=False).get_itos() == ["x", "y", "<s>"]
    with pytest.raises(ValueError, match="'a' twice"):
        text.Vocab(["a", "b", "a"])
    with pytest.raises(ValueError, match="already"):
        again.append_token("z")
    with pytest.raises(IndexError, match="vocabulary of 5"):
        again.lookup_tokens([7])


def test_padding() -> None:
    got = text.pad_sequence([np.array([1, 2, 3]), np.array([4])], padding_value=9)
    assert got.tolist() == [[1, 4], [2, 9], [3, 9]] and got.dtype == gf.int64
    left = text.pad_sequence([[1, 2, 3], [4]], batch_first=True, padding_side="left")
    assert left.tolist() == [[1, 2, 3], [0, 0, 4]]
    assert text.pad_sequence([gf.ones((2, 5)), gf.ones((3, 5))]).shape == (3, 2, 5)
    assert text.pad_sequence([[0.5], [1.0, 2.0]]).dtype == gf.float32
    with pytest.raises(gf.errors.ShapeError, match=r"\(2, 5\), \(2, 6\)"):
        text.pad_sequence([np.ones((2, 5)), np.ones((2, 6))])
    samples = [([1] * n, n % 2, {"n": n}) for n in (2, 5, 3)]
    loader = DataLoader(samples, 3, collate_fn=text.PadCollate(max_length=4), num_workers=1)
    ((x, lengths, labels, extra),) = loader
    assert x.shape == (3, 4) and lengths.tolist() == [2, 4, 3] and labels.tolist() == [0, 1, 1]
    assert extra["n"].tolist() == [2, 5, 3]


# -- tables -----------------------------------------------------------------------------------------------------------
ROWS = np.random.default_rng(0).normal(3, 2, (20, 4))
ROWS[:, 3] = 7.0


def test_scalers(tmp_path: Path) -> None:
    scale = tables.StandardScaler()
    got = scale.fit_transform(ROWS)
    assert got.dtype == np.float32 and np.allclose(got.mean(0), 0, atol=1e-6)
    assert np.allclose(got.std(0), [1, 1, 1, 0], atol=1e-6)
    assert np.allclose(scale.inverse_transform(got), ROWS, atol=1e-5)
    gf.save(scale.state_dict(), tmp_path / "s.safetensors")
    again = tables.StandardScaler()
    again.load_state_dict(gf.load(tmp_path / "s.safetensors"))
    assert (again.transform(ROWS) == got).all()
    small = tables.MinMaxScaler((-1, 1), clip=True).fit(ROWS)
    assert small.transform(ROWS)[:, :3].min() == -1 and small.transform(ROWS * 9)[:, :3].max() == 1
    assert np.allclose(small.inverse_transform(small.transform(ROWS)), ROWS, atol=1e-5)
    holes = ROWS.copy()
    holes[3, 1] = np.nan
    assert np.isnan(scale.fit(holes).transform(holes)[3, 1]) and np.isfinite(scale.mean_).all()
    filled = tables.SimpleImputer("median").fit_transform(holes)
    assert filled[3, 1] == np.float32(np.nanmedian(holes[:, 1]))
    with pytest.raises(gf.errors.StateError, match="call fit"):
        tables.MinMaxScaler().transform(ROWS)
    with pytest.raises(gf.errors.ShapeError, match="rows of 4 numbers, as in fit"):
        scale.transform(ROWS[:, :2])
    with pytest.raises(gf.errors.ShapeError, match="2-d"):
        scale.fit([1.0, 2.0])


def test_one_hot() -> None:
    rows = [["red", 3], ["blue", 1], ["red", 1]]
    encode = tables.OneHotEncoder()
    assert encode.fit_transform(rows).tolist() == [[0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 1, 0]]
    assert encode.inverse_transform(encode.transform(rows)) == rows
    assert encode.get_feature_names_out(["c", "n"]) == ["c_blue", "c_red", "n_1", "n_3"]
    with pytest.raises(ValueError, match="column 0 has 'green', which was not there"):
        encode.transform([["green", 1]])
    encode.handle_unknown = "ignore"
    assert encode.transform([["green", 1]]).tolist() == [[0, 0, 1, 0]]
    with pytest.raises(ValueError, match="'maybe' was not there"):
        tables.LabelEncoder().fit(["no", "yes"]).transform(["maybe"])


def test_hashing_is_the_same_everywhere_and_even() -> None:
    numbers = tables.hashed(np.arange(6000).reshape(2, 3000), 10)
    assert numbers.shape == (2, 3000) and np.bincount(numbers.ravel()).min() > 500
    assert tables.hashed(["a"], 1 << 20, seed=1) != tables.hashed(["a"], 1 << 20)
    hasher = tables.FeatureHasher(64)
    rows = [{"age": 2.0, "city": "Graz"}, {"age": 4.0}]
    got = hasher.fit_transform(rows)
    assert abs(got[1]).sum() == 4 and abs(got[0]).sum() == 3 and (got == hasher.transform(rows)).all()


def test_split() -> None:
    a, b = np.arange(20).reshape(10, 2), np.arange(10)
    a_train, a_test, b_train, b_test = tables.train_test_split(a, b, test_size=3, generator=1)
    assert a_train.shape == (7, 2) and (a_test[:, 0] == 2 * b_test).all()
    assert sorted([*b_train, *b_test]) == list(range(10))
    with pytest.raises(ValueError, match="no rows"):
        tables.train_test_split(a, test_size=10)
    with pytest.raises(gf.errors.ShapeError, match="one length"):
        tables.train_test_split(a, b[:3])


def test_against_scikit_learn() -> None:
    sk = pytest.importorskip("sklearn.preprocessing")
    assert np.allclose(tables.StandardScaler().fit_transform(ROWS), sk.StandardScaler().fit_transform(ROWS), atol=1e-6)
    assert np.allclose(tables.MinMaxScaler().fit_transform(ROWS), sk.MinMaxScaler().fit_transform(ROWS), atol=1e-6)
    colors = [["red"], ["blue"], ["red"]]
    assert (tables.OneHotEncoder().fit_transform(colors) == sk.OneHotEncoder().fit_transform(colors).toarray()).all()
