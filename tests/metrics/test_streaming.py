"""Metrics that go through an epoch: hand values, scikit-learn's values, and the same in every mode."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow import metrics as M

RNG = np.random.default_rng(0)
N, C = 60, 4
SCORES = RNG.normal(size=(N, C)).astype(np.float32)
PROBABILITIES = np.exp(SCORES) / np.exp(SCORES).sum(1, keepdims=True)
TARGETS = RNG.integers(0, C, N)
TARGETS[:20] = SCORES[:20].argmax(1)  # some are right
BINARY = RNG.integers(0, 2, N)
GRID = RNG.integers(0, 50, N) / 50  # probabilities with ties that rounding keeps
SCALAR, NUMBERS = RNG.normal(size=N).astype(np.float32), RNG.normal(size=N).astype(np.float32)
SCALAR[:30] = NUMBERS[:30]


# -- by hand ----------------------------------------------------------------------------------------------------------
def test_accuracies() -> None:
    scores, t = gf.tensor([[0.1, 0.7, 0.2], [0.9, 0.0, 0.1], [0.3, 0.3, 0.4], [0.2, 0.5, 0.3]]), gf.tensor([1, 0, 0, 2])
    assert M.Accuracy()(scores, t).item() == M.SparseCategoricalAccuracy()(scores, t).item() == 0.5
    assert M.CategoricalAccuracy()(scores, gf.one_hot(t, 3)).item() == 0.5
    assert M.TopKAccuracy(2)(scores, t).item() == 1.0  # of equal scores the first class comes first
    assert M.TopKAccuracy(2)(gf.tensor([[0.5, 0.5, 0.5]]), gf.tensor([2])).item() == 0.0
    assert M.Accuracy(ignore_index=0)(scores, t).item() == 0.5
    assert M.BinaryAccuracy()(gf.tensor([0.6, 0.4, 0.6]), gf.tensor([1, 1, 0])).item() == pytest.approx(1 / 3)
    assert M.BinaryAccuracy(0.3)(gf.tensor([[0.6], [0.4]]), gf.tensor([[1.0], [1.0]])).item() == 1.0


def test_a_last_axis_of_one_is_no_class_axis() -> None:
    p, t = np.array([[0.9], [0.2], [0.8]]), np.array([1, 0, 0])
    for metric in (M.Accuracy, M.BinaryAccuracy, M.Precision, M.AUC, M.MSE):
        want = metric()(p[:, 0], t).item()
        assert metric()(p, t).item() == metric()(p, t[:, None]).item() == metric()(p[:, 0], t[:, None]).item() == want
    assert M.ConfusionMatrix(3)([0, 1, 2], np.array([0.0, 1.0, 2.0])).tolist() == np.eye(3).tolist()


def test_batches_and_epochs() -> None:
    metric = M.Accuracy()
    assert metric(gf.tensor([1, 1, 1]), gf.tensor([1, 1, 0])).item() == pytest.approx(2 / 3)
    assert metric(gf.tensor([0]), gf.tensor([1])).item() == 0.0  # this batch alone
    assert metric.compute().item() == 0.5  # all four samples, not the mean of the batches
    saved = metric.state_dict()
    metric.reset()
    metric.update([1], [1])
    other = M.Accuracy()
    other.load_state_dict(saved)
    metric.merge(other)
    assert metric.compute().item() == pytest.approx(3 / 5)
    with pytest.raises(gf.errors.StateError, match="merge"):
        metric.merge(M.Mean())
    with pytest.raises(gf.errors.StateError, match="needs 'right'"):
        metric.load_state_dict({})
    assert repr(M.Precision(num_classes=3)).startswith("Precision(num_classes=3, average='macro'")


def test_sums_stay_exact() -> None:
    metric = M.Mean()
    metric.update(2.0**24, weight=1)
    for _ in range(3):
        metric.update(np.ones(1, np.float32))  # lost in float32
    assert metric.compute().item() == (2.0**24 + 3) / 4
    assert math.isnan(M.Mean().compute().item())
    total = M.Sum()
    total.update([1, 2])
    total.update(3.5)
    assert total.compute().item() == 6.5


def test_collection() -> None:
    both = M.MetricCollection({"a": M.Accuracy(), "m": M.ConfusionMatrix(2)})
    assert both([1, 0], [1, 1])["a"].item() == 0.5
    both.update([1], [1])
    got = both.compute()
    assert got["a"].item() == pytest.approx(2 / 3) and got["m"].tolist() == [[0, 0], [1, 2]]
    both.reset()
    assert both["m"].compute().tolist() == [[0, 0], [0, 0]]
    with pytest.raises(ValueError, match="two metrics are called 'Mean'"):
        M.MetricCollection([M.Mean(), M.Mean()])


def test_ignored_targets() -> None:
    p, t = gf.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), gf.tensor([0, -100, 1])
    assert M.ConfusionMatrix(2, ignore_index=-100)(p, t).tolist() == [[1, 0], [1, 0]]
    want = math.exp(-(math.log(0.9) + math.log(0.4)) / 2)
    assert M.Perplexity(from_logits=False, ignore_index=-100)(p, t).item() == pytest.approx(want, rel=1e-6)


def test_frozen_values_of_scikit_learn() -> None:
    t, p = [0, 1, 2, 2, 1, 0, 2, 1], [0, 2, 2, 2, 1, 1, 0, 1]
    for metric, want in (
        (M.Precision, [0.611111, 0.625, 0.625]),
        (M.Recall, [0.611111, 0.625, 0.625]),
        (M.F1Score, [0.611111, 0.625, 0.625]),
        (M.IoU, [0.444444, 0.454545, 0.458333]),
    ):
        got = [metric(3, average)(p, t).item() for average in ("macro", "micro", "weighted")]
        np.testing.assert_allclose(got, want, atol=1e-6)
    scores, truth = np.array([0.1, 0.4, 0.35, 0.8, 0.7, 0.7]), np.array([0, 0, 1, 1, 1, 0])
    assert [m()(scores, truth).item() for m in (M.Precision, M.Recall, M.F1Score)] == pytest.approx([2 / 3] * 3)
    got = [m(scores, truth).item() for m in (M.AUC(), M.AUC("PR"), M.LogLoss())]
    np.testing.assert_allclose(got, [0.7222222222, 0.7555555556, 0.5749665939], atol=1e-9)
    got = [m(truth, scores).item() for m in (M.MAE(), M.MSE(), M.R2())]
    error = truth - scores
    want = [abs(error).mean(), (error**2).mean(), 1 - (error**2).sum() / ((scores - scores.mean()) ** 2).sum()]
    np.testing.assert_allclose(got, want)


# -- errors -----------------------------------------------------------------------------------------------------------
def test_wrong_shapes_and_labels() -> None:
    with pytest.raises(gf.errors.ShapeError, match=r"Accuracy: predictions of shape \(2, 3, 4\)"):
        M.Accuracy()(gf.ones((2, 3, 4)), gf.ones(2))
    with pytest.raises(gf.errors.ShapeError, match=r"shape \(3,\) do not fit"):
        M.F1Score()(gf.ones(3), gf.ones(2))
    with pytest.raises(IndexError, match=r"a target of class 7, but num_classes=3 has classes 0 to 2"):
        M.ConfusionMatrix(3)([0, 1], [0, 7])
    with pytest.raises(IndexError, match="a prediction of class -1"):
        M.IoU(3)([0, -1], [0, 1])
    with pytest.raises(gf.errors.ShapeError, match="must have one shape"):
        M.MeanSquaredError()(gf.ones((3, 2)), gf.ones(3))
    with pytest.raises(ValueError, match="from -2 to 3 are no probabilities of class 1; for logits use threshold=0.0"):
        M.F1Score()([-2.0, 3.0], [0, 1])
    with pytest.raises(ValueError, match="from_logits=True"):
        M.AUC()([-2.0, 3.0], [0, 1])
    assert M.F1Score(threshold=0.0)([-2.0, 3.0], [0, 1]).item() == 1.0
    for make in (
        lambda: M.Precision(average="mean"),
        lambda: M.ConfusionMatrix(1),
        lambda: M.AUC("LIFT"),
        lambda: M.FBetaScore(beta=0),
        lambda: M.Accuracy(top_k=0),
        lambda: M.R2Score(multioutput="sum"),
    ):
        with pytest.raises(ValueError):
            make()
    with pytest.raises(gf.errors.TraceError, match="keeps all scores"):
        gf.compile(lambda p, t: M.AUC(thresholds=None).update(p, t))(np.ones(2, np.float32), np.ones(2))


# -- scikit-learn -----------------------------------------------------------------------------------------------------
def stream(metric: Any, predictions: np.ndarray, targets: np.ndarray, size: int = 17) -> np.ndarray:
    """The value over all batches."""
    for at in range(0, len(targets), size):
        metric.update(predictions[at : at + size], targets[at : at + size])
    return np.asarray(metric.compute())


def sklearn_cases() -> list[tuple[str, Any, np.ndarray, np.ndarray, Callable[[Any, Any], Any]]]:
    sk = pytest.importorskip("sklearn.metrics")
    labels = SCORES.argmax(1)
    rare = np.where(TARGETS == 3, 0, TARGETS)  # class 3 is predicted, but never there
    cases = [
        ("accuracy", M.Accuracy(), SCORES, TARGETS, sk.accuracy_score(TARGETS, labels)),
        ("top 2", M.TopKAccuracy(2), SCORES, TARGETS, sk.top_k_accuracy_score(TARGETS, SCORES, k=2)),
        ("confusion", M.ConfusionMatrix(C), SCORES, TARGETS, sk.confusion_matrix(TARGETS, labels)),
        ("log loss", M.LogLoss(), PROBABILITIES, TARGETS, sk.log_loss(TARGETS, PROBABILITIES)),
        ("logits", M.LogLoss(from_logits=True), SCORES, TARGETS, sk.log_loss(TARGETS, PROBABILITIES)),
        ("binary log loss", M.LogLoss(), GRID * 0.9 + 0.05, BINARY, sk.log_loss(BINARY, GRID * 0.9 + 0.05)),
        ("perplexity", M.Perplexity(), SCORES, TARGETS, math.exp(sk.log_loss(TARGETS, PROBABILITIES))),
        ("roc", M.AUC(thresholds=51), GRID, BINARY, sk.roc_auc_score(BINARY, GRID)),
        ("roc exact", M.AUC(thresholds=None), GRID, BINARY, sk.roc_auc_score(BINARY, GRID)),
        ("pr", M.AUC("PR", thresholds=51), GRID, BINARY, sk.average_precision_score(BINARY, GRID)),
        ("pr exact", M.AUC("PR", thresholds=None), SCALAR, BINARY, sk.average_precision_score(BINARY, SCALAR)),
        ("mae", M.MAE(), SCALAR, NUMBERS, sk.mean_absolute_error(NUMBERS, SCALAR)),
        ("mse", M.MSE(), SCALAR, NUMBERS, sk.mean_squared_error(NUMBERS, SCALAR)),
        ("rmse", M.RMSE(), SCALAR, NUMBERS, sk.root_mean_squared_error(NUMBERS, SCALAR)),
        ("r2", M.R2(), SCALAR, NUMBERS, sk.r2_score(NUMBERS, SCALAR)),
        ("mape", M.MeanAbsolutePercentageError(), SCALAR, NUMBERS, sk.mean_absolute_percentage_error(NUMBERS, SCALAR)),
    ]
    for kind in ("true", "pred", "all"):
        want = sk.confusion_matrix(TARGETS, labels, normalize=kind)
        cases.append((f"confusion {kind}", M.ConfusionMatrix(C, kind), SCORES, TARGETS, want))
    pair = SCORES.reshape(2 * N, 2), PROBABILITIES.reshape(2 * N, 2)
    for way in ("uniform_average", "raw_values"):
        cases.append((f"r2 {way}", M.R2Score(2, way), *pair, sk.r2_score(pair[1], pair[0], multioutput=way)))
    own = {
        "precision": (M.Precision, sk.precision_score),
        "recall": (M.Recall, sk.recall_score),
        "f1": (M.F1Score, sk.f1_score),
        "iou": (M.IoU, sk.jaccard_score),
    }
    for name, (mine, theirs) in own.items():
        cases.append((f"{name} binary", mine(), GRID, BINARY, theirs(BINARY, GRID > 0.5)))
        for average in ("macro", "micro", "weighted", None):
            for truth in (TARGETS, rare):
                want = theirs(truth, labels, average=average, zero_division=0)
                cases.append((f"{name} {average}", mine(C, average), SCORES, truth, want))
    return cases


def test_against_scikit_learn() -> None:
    for name, metric, predictions, targets, want in sklearn_cases():
        np.testing.assert_allclose(stream(metric, predictions, targets), want, rtol=2e-6, atol=1e-9, err_msg=name)
        metric.reset()
        np.testing.assert_allclose(stream(metric, predictions, targets, N), want, rtol=2e-6, atol=1e-9, err_msg=name)


def test_rounded_scores_are_near_the_exact_area() -> None:
    scores = RNG.random(4000)
    targets = (RNG.random(4000) < scores).astype(int)
    for curve in ("ROC", "PR"):
        assert abs(stream(M.AUC(curve), scores, targets) - stream(M.AUC(curve, None), scores, targets)) < 5e-4
    assert math.isnan(M.AUC()([0.3], [1]).item()) and M.AUC("PR")([0.3], [1]).item() == 1.0
    logits, exact = np.log(GRID + 0.01) - np.log(1.01 - GRID), M.AUC(thresholds=None)
    assert M.AUC(thresholds=None, from_logits=True)(logits, BINARY).item() == exact(GRID, BINARY).item()


# -- every mode -------------------------------------------------------------------------------------------------------
def everything() -> M.MetricCollection:
    return M.MetricCollection(
        {
            "accuracy": M.Accuracy(),
            "top": M.TopKAccuracy(2),
            "matrix": M.ConfusionMatrix(C),
            "f1": M.F1Score(C),
            "perplexity": M.Perplexity(),
        }
    )


def test_the_same_compiled_and_in_a_session() -> None:
    eager, compiled, fed = everything(), everything(), everything()

    @gf.compile
    def step(p: Any, t: Any) -> dict[str, Any]:
        return compiled(p, t)

    with gf.Graph() as graph:
        p, t = gf.placeholder((None, C), name="p"), gf.placeholder((None,), dtype=gf.int64, name="t")
        update, values, reset = fed.update(p, t), fed.compute(), fed.reset()
    with gf.Session(graph) as session:
        for _ in range(2):
            for at in range(0, N, 25):  # the last batch is shorter
                batch = SCORES[at : at + 25], TARGETS[at : at + 25]
                want, got = eager(*batch), step(*batch)
                session.run(update, {p: batch[0], t: batch[1]})
                for name in want:
                    np.testing.assert_allclose(got[name].numpy(), want[name].numpy(), rtol=1e-5, err_msg=name)
            want, got, run = eager.compute(), compiled.compute(), session.run(values)
            for name in want:
                np.testing.assert_allclose(got[name].numpy(), want[name].numpy(), rtol=1e-5, err_msg=name)
                np.testing.assert_allclose(run[name], want[name].numpy(), rtol=1e-5, err_msg=name)
            eager.reset()
            compiled.reset()
            session.run(reset)
    assert step.cache_info().compiles == 1


@pytest.mark.slow
def test_areas_and_numbers_compiled() -> None:
    area, number = M.AUC(thresholds=51), M.R2Score()
    both = gf.compile(lambda p, t, x, y: (area(p, t), number(x, y)))(GRID, BINARY, SCALAR, NUMBERS)
    eager_both = M.AUC(thresholds=51)(GRID, BINARY), M.R2Score()(SCALAR, NUMBERS)
    np.testing.assert_allclose([v.item() for v in both], [v.item() for v in eager_both], rtol=1e-9)
