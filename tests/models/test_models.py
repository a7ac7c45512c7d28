"""Reference models: the same training in every mode, and the sizes and names that they are known for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import graphflow as gf
from graphflow import models, nn
from graphflow.nn import functional as F

rng = np.random.default_rng(0)
STEPS = 20


class Trial(NamedTuple):
    """A model, a batch, and what is to get smaller."""

    build: Callable[[], Any]
    batch: tuple[Any, ...]
    loss: Callable[..., Any]


def images(count: int, size: int, channels: int = 1) -> Any:
    return rng.standard_normal((count, channels, size, size)).astype("float32")


def classified(build: Callable[[], Any], x: Any, classes: int = 3) -> Trial:
    return Trial(build, (x, rng.integers(0, classes, len(x))), lambda m, x, y: F.cross_entropy(m(x), y))


def gan_loss(model: Any, x: Any) -> Any:
    """Both players' losses in one step: each moves all parameters, which is no game, but runs all of the model."""
    return model.discriminator_loss(x, penalty=0.5) + model.generator_loss(x.shape[0])


def by_classes(model: Any, x: Any, y: Any) -> Any:
    return F.cross_entropy(model(x), y)


bits = (rng.random((6, 12)) < 0.5).astype("float32")
tokens, classes = rng.integers(0, 7, (4, 6)), np.array([0, 2, 1, 2])
ratings = rng.standard_normal(8).astype("float32")

TRIALS: dict[str, Trial] = {
    "lenet": classified(lambda: models.LeNet(1, 3, 16), images(4, 16)),
    "resnet": classified(lambda: models.ResNet((1, 1), 3, 4, 1, small=True), images(4, 8)),
    "resnet of photographs": classified(lambda: models.ResNet((1,), 3, 4, 1), images(3, 16)),
    "vgg": classified(lambda: models.VGG((1, 2), 3, 1, 4, 8, 1), images(4, 8)),
    "vgg with batch norm": classified(lambda: models.VGG((1,), 3, 1, 4, 8, 2, batch_norm=True), images(4, 8)),
    "mobilenet": classified(
        lambda: models.MobileNetV2(3, 1, [(1, 4, 1, 1), (2, 8, 2, 2)], first=4, last=12), images(4, 16)
    ),
    "autoencoder": Trial(lambda: models.Autoencoder((12, 6, 3)), (bits,), lambda m, x: F.mse_loss(m(x), x)),
    "vae": Trial(lambda: models.VAE(12, 8, 2), (bits,), lambda m, x: models.vae_loss(x, *m(x))),
    "gan": Trial(lambda: models.GAN(2, 3, 8), (images(6, 1, 2).reshape(6, 2),), gan_loss),
    "lstm": Trial(lambda: models.LSTMClassifier(7, 3, 4, 5), (tokens, classes), by_classes),
    "gru": Trial(lambda: models.GRUClassifier(7, 3, 4, 5, 2, bidirectional=True), (tokens, classes), by_classes),
    "seq2seq": Trial(
        lambda: models.Seq2Seq(7, 7, 4, 5),
        (tokens, tokens[:, ::-1].copy()),
        lambda m, x, y: F.cross_entropy(m(x, y)[:, :-1].permute(0, 2, 1), y[:, 1:]),
    ),
    "gpt": Trial(
        lambda: models.GPT(7, 6, 8, 2, 1),
        (tokens, np.roll(tokens, -1, 1)),
        lambda m, x, y: F.cross_entropy(m(x).flatten(0, 1), y.flatten()),
    ),
    "vit": classified(lambda: models.ViT(8, 4, 1, 3, 8, 2, 1), images(4, 8)),
    "transformer classifier": classified(
        lambda: models.TransformerClassifier(7, 3, 6, 8, 2, 1, padding=0), np.maximum(tokens - 1, 0)
    ),
    "transformer": Trial(
        lambda: models.TransformerSeq2Seq(7, 7, 6, 8, 2, 1, dropout=0.0),
        (tokens, tokens[:, ::-1].copy()),
        lambda m, x, y: F.cross_entropy(m(x, y[:, :-1]).permute(0, 2, 1), y[:, 1:]),
    ),
    "matrix factorisation": Trial(
        lambda: models.MatrixFactorization(5, 7, 3),
        (rng.integers(0, 5, 8), rng.integers(0, 7, 8), ratings),
        lambda m, u, i, r: F.mse_loss(m(u, i), r),
    ),
    "deep fm": Trial(
        lambda: models.DeepFM([3, 5, 2], 4, (8,)),
        (np.stack([rng.integers(0, n, 8) for n in (3, 5, 2)], 1), (ratings > 0).astype("float32")),
        lambda m, rows, y: F.binary_cross_entropy_with_logits(m(rows), y),
    ),
}
QUICK = {"autoencoder", "matrix factorisation", "deep fm"}


def start(trial: Trial) -> tuple[Any, Any]:
    gf.random.seed(3)
    model = trial.build()
    return model, gf.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)


def by_steps(trial: Trial, wrap: Callable[[Any], Any]) -> tuple[list[float], dict[str, Any]]:
    """The losses of 20 optimizer steps, and what was learned."""
    model, optimizer = start(trial)

    def step(*batch: Any) -> Any:
        loss = trial.loss(model, *batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    run = wrap(step)
    losses = [run(*map(gf.tensor, trial.batch)).item() for _ in range(STEPS)]
    return losses, {key: value.numpy() for key, value in model.state_dict().items()}


def by_session(trial: Trial) -> tuple[list[float], dict[str, Any]]:
    with gf.Graph() as graph:
        model, optimizer = start(trial)
        fed = [gf.placeholder((None, *a.shape[1:]), dtype=a.dtype) for a in trial.batch]
        loss = trial.loss(model, *fed)
        train = optimizer.minimize(loss)
    with gf.Session(graph) as session:
        feeds = dict(zip(fed, trial.batch))
        losses = [float(session.run([train, loss], feeds)[1]) for _ in range(STEPS)]
    return losses, {key: value.numpy() for key, value in model.state_dict().items()}


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in TRIALS])
def test_twenty_steps_are_the_same_in_every_mode(name: str) -> None:
    trial = TRIALS[name]
    losses, learned = by_steps(trial, lambda step: step)
    assert losses[-1] < losses[0]
    for others, same in (by_steps(trial, gf.compile), by_session(trial)):
        np.testing.assert_allclose(others, losses, rtol=2e-3, atol=1e-4)
        for key, value in learned.items():
            np.testing.assert_allclose(same[key], value, rtol=2e-2, atol=2e-3, err_msg=key)


@pytest.mark.parametrize("name", ["autoencoder", "matrix factorisation"])
def test_parity_of_results_and_gradients(name: str) -> None:
    trial = TRIALS[name]
    model, _ = start(trial)
    gf.testing.check_parity(lambda *batch: trial.loss(model, *batch), *trial.batch)


@pytest.mark.parametrize("name", ["vae", *(pytest.param(n, marks=pytest.mark.slow) for n in ("resnet", "mobilenet"))])
def test_gradients_are_those_of_differences(name: str) -> None:
    trial = TRIALS[name]
    model, _ = start(trial)
    model.double().eval()
    gf.testing.check_grad(lambda x: trial.loss(model, x, *trial.batch[1:]), trial.batch[0], directions=1)


def count(model: nn.Module) -> int:
    return sum(int(np.prod(p.shape)) for p in model.parameters())


def test_sizes_are_those_of_the_papers() -> None:
    assert count(models.LeNet()) == 61_706
    assert count(models.resnet20()) == 272_474


@pytest.mark.slow  # millions of random numbers
def test_sizes_of_the_large_ones() -> None:
    assert count(models.resnet18()) == 11_689_512
    assert count(models.mobilenet_v2()) == 3_504_872
    assert count(models.VGG(hidden=4, pooled=1).features) == 9_220_480


def test_names_are_torchvisions() -> None:
    names = list(models.ResNet((1, 1)).state_dict())
    assert names[:7] == [
        "conv1.weight",
        "bn1.weight",
        "bn1.bias",
        "bn1.running_mean",
        "bn1.running_var",
        "bn1.num_batches_tracked",
        "layer1.0.conv1.weight",
    ]
    assert "layer2.0.downsample.0.weight" in names and names[-2:] == ["fc.weight", "fc.bias"]
    names = list(models.MobileNetV2(3, last=8).state_dict())
    for name in ("features.0.0.weight", "features.1.conv.0.0.weight", "features.2.conv.2.weight", "features.18.1.bias"):
        assert name in names
    assert names[-1] == "classifier.1.bias"
    assert list(models.VGG((1, 1), hidden=4).features.state_dict())[:4] == ["0.weight", "0.bias", "3.weight", "3.bias"]


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="multiple of 4 and at least 16, got 10"):
        models.LeNet(size=10)


@pytest.mark.slow
def test_seq2seq_learns_to_turn_sequences_round() -> None:
    gf.random.seed(0)
    model = models.Seq2Seq(9, 9, 16, 48)
    optimizer = gf.optim.Adam(model.parameters(), lr=1e-2)
    start = np.zeros((64, 1), int)

    @gf.compile
    def step(x: Any, y: Any) -> Any:
        loss = F.cross_entropy(model(x, y[:, :-1]).flatten(0, 1), y[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    for _ in range(500):
        x = rng.integers(1, 9, (64, 6))
        step(x, np.concatenate([start, x[:, ::-1]], 1))
    x = rng.integers(1, 9, (64, 6))
    with gf.no_grad():
        written = model.write(gf.tensor(x), start=0, length=6).numpy()
    assert (written == x[:, ::-1]).mean() > 0.95
