"""Transformer models: padding counts for nothing, what is to come is not seen, and text goes on as it should."""

from __future__ import annotations

import numpy as np
import pytest

import graphflow as gf
from graphflow import models

rng = np.random.default_rng(0)


@pytest.fixture(scope="module")
def gpt() -> models.GPT:
    gf.random.seed(0)
    return models.GPT(9, length=6, width=16, heads=2, layers=1, dropout=0.1)


def test_a_gpt_does_not_see_what_is_to_come(gpt: models.GPT) -> None:
    gpt.eval()
    x = rng.integers(0, 9, (2, 6))
    other = x.copy()
    other[:, 4:] = (other[:, 4:] + 1) % 9
    a, b = (gpt(gf.tensor(t)).numpy() for t in (x, other))
    np.testing.assert_allclose(a[:, :4], b[:, :4], atol=1e-6)
    assert np.abs(a[:, 4:] - b[:, 4:]).max() > 1e-4
    with pytest.raises(ValueError, match="6 tokens at most, got 7"):
        gpt(gf.zeros((1, 7), dtype=gf.int64))


def test_the_likeliest_tokens_follow(gpt: models.GPT) -> None:
    start = rng.integers(0, 9, (3, 2))
    gpt.train()
    text = gpt.generate(start, 7).numpy()
    assert text.shape == (3, 9) and gpt.training
    gpt.eval()
    for end in range(2, 9):  # step by step, with no more than the model's length in view
        logits = gpt(gf.tensor(text[:, max(0, end - 6) : end])).numpy()[:, -1]
        np.testing.assert_array_equal(text[:, end], logits.argmax(-1))


def test_drawn_tokens(gpt: models.GPT) -> None:
    start = np.zeros((40, 1), np.int64)
    gf.random.seed(1)
    first = gpt.generate(start, 2, temperature=2.0).numpy()
    gf.random.seed(1)
    np.testing.assert_array_equal(gpt.generate(start, 2, temperature=2.0).numpy(), first)
    assert len(np.unique(first[:, 1])) > 4
    logits = gpt(gf.tensor(start[:1])).numpy()[0, -1]
    drawn = gpt.generate(start, 1, temperature=5.0, top=2).numpy()[:, 1]
    assert set(drawn.tolist()) == set(np.argsort(logits)[-2:].tolist())
    with pytest.raises(ValueError, match="temperature"):
        gpt.generate(start, 1, temperature=-1)
    with pytest.raises(ValueError, match="batch, tokens"):
        gpt.generate([1, 2], 1)


def test_padding_counts_for_nothing() -> None:
    gf.random.seed(0)
    reader = models.TransformerClassifier(9, 3, length=8, width=8, heads=2, layers=1, padding=0).eval()
    writer = models.TransformerSeq2Seq(9, 9, length=8, width=8, heads=2, layers=1, padding=0).eval()
    x, y = rng.integers(1, 9, (2, 4)), rng.integers(1, 9, (2, 3))
    longer = np.pad(x, ((0, 0), (0, 3)))
    for model, rest in ((reader, ()), (writer, (gf.tensor(y),))):
        a, b = (model(gf.tensor(t), *rest).numpy() for t in (x, longer))
        np.testing.assert_allclose(a, b, atol=1e-5)
    a, b = (writer.write(gf.tensor(t), 1, 4).numpy() for t in (x, longer))
    np.testing.assert_array_equal(a, b)


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="multiple of heads"):
        models.GPT(9, width=10, heads=4)
    with pytest.raises(ValueError, match="multiple of patch"):
        models.ViT(10, 4)
