"""Layers in every mode: the same numbers, the same random bits, the same state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow import metrics, nn

rng = np.random.default_rng(0)


class Eager:
    """A module's forward and gradients, eagerly."""

    def __init__(self, build: Any) -> None:
        gf.random.seed(1)
        self.net = build()

    def __call__(self, x: Any, **options: Any) -> tuple[Any, dict[str, Any]]:
        return self.results(self.run(gf.tensor(x)))

    def run(self, x: Any) -> Any:
        self.net.zero_grad()
        out = self.net(x)
        (out * out).sum().backward()
        return out

    def results(self, out: Any) -> tuple[Any, dict[str, Any]]:
        return out.numpy(), {name: p.grad.numpy() for name, p in self.net.named_parameters()}


class Compiled(Eager):
    """The same, compiled."""

    def __init__(self, build: Any) -> None:
        super().__init__(build)
        self.run = gf.compile(super().run)  # type: ignore[method-assign]


class InSession(Eager):
    """The same, by a graph of placeholders."""

    def __init__(self, build: Any) -> None:
        super().__init__(build)
        self.graphs: dict[Any, Any] = {}

    def __call__(self, x: Any, **options: Any) -> tuple[Any, dict[str, Any]]:
        training = self.net.training
        if training not in self.graphs:
            with gf.Graph() as graph:
                fed = gf.placeholder((None, *x.shape[1:]), dtype=x.dtype)
                out = self.net(fed)
                names = [name for name, _ in self.net.named_parameters()]
                slopes = gf.gradients((out * out).sum(), list(self.net.parameters()))
            self.graphs[training] = gf.Session(graph), fed, (out, dict(zip(names, slopes)))
        session, fed, fetches = self.graphs[training]
        return session.run(fetches, {fed: x})


MODELS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "mlp with dropout": (
        lambda: nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Dropout(0.4), nn.Linear(32, 3), nn.Dropout(0.2)),
        (4,),
    ),
    "batch norm": (lambda: nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 2)), (4,)),
    "batch norm by averages": (lambda: nn.BatchNorm1d(3, momentum=None), (3, 4)),
    "batch norm of images": (lambda: nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.Dropout2d(0.5)), (3, 4, 5)),
    "norms": (lambda: nn.Sequential(nn.LayerNorm(6), nn.GroupNorm(2, 6), nn.RMSNorm(6), nn.GELU()), (6,)),
    "softmax": (lambda: nn.Sequential(nn.Linear(4, 5), nn.Softmax(1)), (4,)),
    "prelu": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.PReLU()), (2, 3)),
}


@pytest.mark.parametrize("name", MODELS)
def test_modes_agree(name: str) -> None:
    build, shape = MODELS[name]
    eager, compiled, session = runners = [kind(build) for kind in (Eager, Compiled, InSession)]
    for training in (True, True, False, True):
        for size in (8, 5):
            x = rng.standard_normal((size, *shape)).astype("float32")
            results = []
            for runner in runners:
                runner.net.train(training)
                gf.random.seed(size)
                results.append(runner(x))
            (out, slopes), (same_out, same_slopes), (third_out, third_slopes) = results
            np.testing.assert_allclose(same_out, out, rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(third_out, out, rtol=1e-5, atol=1e-5)
            assert ((out == 0) == (same_out == 0)).all() and ((out == 0) == (third_out == 0)).all()
            for key, slope in slopes.items():
                np.testing.assert_allclose(same_slopes[key], slope, rtol=1e-4, atol=1e-4, err_msg=key)
                np.testing.assert_allclose(third_slopes[key], slope, rtol=1e-4, atol=1e-4, err_msg=key)
            for key, value in eager.net.state_dict().items():
                for other in (compiled, session):
                    np.testing.assert_allclose(other.net.state_dict()[key].numpy(), value.numpy(), rtol=1e-5, atol=1e-6)


def test_fetching_the_output_moves_the_statistics() -> None:
    with gf.Graph() as graph:
        layer = nn.BatchNorm1d(2)
        x = gf.placeholder((None, 2))
        out = layer(x) * 2
        elsewhere = x * 3
    session = gf.Session(graph)
    data = rng.standard_normal((6, 2)).astype("float32")
    session.run(elsewhere, {x: data})
    assert layer.num_batches_tracked.item() == 0
    for count in (1, 2):
        session.run(out, {x: data})
        assert layer.num_batches_tracked.item() == count
    np.testing.assert_allclose(layer.running_mean.numpy(), 0.19 * data.mean(0), rtol=1e-5)


def test_a_layer_called_twice_moves_its_statistics_twice() -> None:
    data = rng.standard_normal((6, 2)).astype("float32")
    eager, compiled = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    with gf.Graph() as graph:
        layer = nn.BatchNorm1d(2)
        x = gf.placeholder((None, 2))
        out = layer(x) + layer(x * 2)
    gf.Session(graph).run(out, {x: data})

    def twice(layer: Any, x: Any) -> Any:
        return layer(x) + layer(x * 2)

    twice(eager, gf.tensor(data))
    gf.compile(lambda x: twice(compiled, x))(gf.tensor(data))
    for other in (compiled, layer):
        for key, value in eager.state_dict().items():
            np.testing.assert_allclose(other.state_dict()[key].numpy(), value.numpy(), rtol=1e-5, atol=1e-7)


def test_freezing_and_unfreezing_a_compiled_step() -> None:
    def build() -> tuple[Any, Any]:
        gf.random.seed(2)
        net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1))
        return net, gf.optim.Adam(net.parameters(), lr=0.1)

    x = gf.tensor(rng.standard_normal((4, 3)).astype("float32"))
    states = []
    for wrap in (lambda f: f, gf.compile):
        net, optimizer = build()

        def step(x: Any, net: Any = net, optimizer: Any = optimizer) -> Any:
            optimizer.zero_grad()
            loss = (net(x) ** 2).mean()
            loss.backward()
            optimizer.step()
            return loss

        run = wrap(step)
        for frozen in (True, True, False, False, True, False):
            net[0].requires_grad_(not frozen)
            run(x)
        states.append(net.state_dict())
    for key, value in states[0].items():
        np.testing.assert_allclose(states[1][key].numpy(), value.numpy(), rtol=1e-5, atol=1e-6, err_msg=key)


def test_converting_a_compiled_model() -> None:
    net = nn.Linear(3, 2)
    run = gf.compile(lambda x: net(x))
    x = rng.standard_normal((4, 3))
    single = run(gf.tensor(x.astype("float32")))
    net.double()
    double = run(gf.tensor(x))
    assert double.dtype is gf.float64
    np.testing.assert_allclose(double.numpy(), single.numpy(), rtol=1e-5, atol=1e-6)


def test_hooks_run_when_a_graph_is_made() -> None:
    net = nn.Sequential(nn.Linear(3, 2))
    seen = []
    net[0].register_forward_hook(lambda m, args, out: seen.append(out.shape))
    net[0].register_forward_hook(lambda m, args, out: out * 0)
    assert (gf.compile(lambda x: net(x))(gf.ones((4, 3))) == 0).all().item()
    assert len(seen) == 1 and seen[0][1] == 2


def test_metrics_in_a_graph() -> None:
    scores, labels = rng.standard_normal((6, 3)).astype("float32"), rng.integers(0, 3, 6)
    with gf.Graph() as graph:
        p, t = gf.placeholder((None, 3)), gf.placeholder((None,), dtype=gf.int64)
        value = metrics.accuracy(p, t)
    expected = metrics.accuracy(gf.tensor(scores), gf.tensor(labels)).item()
    assert gf.Session(graph).run(value, {p: scores, t: labels}) == pytest.approx(expected)
