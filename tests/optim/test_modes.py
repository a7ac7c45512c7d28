"""One rule for every mode: eager, compiled and Session steps reach the same numbers, and read the same settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow import nn, optim

rng = np.random.default_rng(0)
X = rng.standard_normal((16, 4)).astype("float32")
Y = rng.standard_normal((16, 2)).astype("float32")

SETTINGS: list[tuple[Any, dict[str, Any]]] = [
    (optim.SGD, {"lr": 0.1}),
    (optim.SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "weight_decay": 0.1}),
    (optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    (optim.Adam, {"lr": 0.05, "weight_decay": 0.1}),
    (optim.Adam, {"lr": 0.05, "amsgrad": True}),
    (optim.AdamW, {"lr": 0.05}),
    (optim.RMSprop, {"lr": 0.01, "momentum": 0.5, "centered": True}),
    (optim.Adagrad, {"lr": 0.1, "lr_decay": 0.1}),
    (optim.Adadelta, {"lr": 1.0}),
    (optim.Adamax, {"lr": 0.05}),
    (optim.NAdam, {"lr": 0.05, "decoupled_weight_decay": True, "weight_decay": 0.1}),
    (optim.RAdam, {"lr": 0.05}),
    (optim.Lion, {"lr": 0.01, "weight_decay": 0.1}),
    (optim.Rprop, {"lr": 0.01, "step_sizes": (1e-3, 0.02)}),
    (optim.ASGD, {"lr": 0.1, "t0": 3, "weight_decay": 0.1}),
]
IDS = [f"{kind.__name__}-{'-'.join(settings)}" for kind, settings in SETTINGS]


def model() -> Any:
    gf.random.seed(3)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))


def run_eagerly(make: Callable[[Any], Any], steps: int, wrap: Any = lambda f: f, each: Any = None) -> Any:
    """The parameters after some steps, and the optimizer; ``each(optimizer)`` is called after every step."""
    net = model()
    optimizer = make(net.parameters())

    def step(x: Any, y: Any) -> Any:
        loss = nn.functional.mse_loss(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    step = wrap(step)
    for _ in range(steps):
        step(gf.tensor(X), gf.tensor(Y))
        if each is not None:
            each(optimizer)
    return net.state_dict(), optimizer, step


def run_session(make: Callable[[Any], Any], steps: int, each: Any = None, optimize: bool = True) -> Any:
    graph = gf.Graph()
    with graph:
        net = model()
        x, y = gf.placeholder((None, 4), name="x"), gf.placeholder((None, 2), name="y")
        loss = nn.functional.mse_loss(net(x), y)
        optimizer = make(None)
        train = optimizer.minimize(loss)
    with gf.Session(graph, optimize=optimize) as session:
        for _ in range(steps):
            assert session.run([train, loss], {x: X, y: Y})[0] is None
            if each is not None:
                each(optimizer)
    return net.state_dict(), optimizer


def close(a: dict[str, Any], b: dict[str, Any], exact: bool = False) -> None:
    assert list(a) == list(b)
    for key in a:
        if exact:
            np.testing.assert_array_equal(a[key].numpy(), b[key].numpy(), err_msg=key)
        else:
            np.testing.assert_allclose(a[key].numpy(), b[key].numpy(), rtol=1e-5, atol=2e-6, err_msg=key)


@pytest.mark.parametrize("kind, settings", SETTINGS, ids=IDS)
def test_modes_agree(kind: Any, settings: dict[str, Any]) -> None:
    def make(params: Any) -> Any:
        return kind(params, **settings)

    eager, optimizer, _ = run_eagerly(make, 8)
    compiled, traced_optimizer, _ = run_eagerly(make, 8, wrap=gf.compile)
    session, graph_optimizer = run_session(make, 8)
    close(eager, compiled)
    close(compiled, session, exact=True)
    for other in (traced_optimizer, graph_optimizer):  # the state is the same, too
        for (p, slots), (q, others) in zip(optimizer.state.items(), other.state.items()):
            assert list(slots) == list(others) and p.name == q.name
            for name, slot in slots.items():
                np.testing.assert_allclose(slot.numpy(), others[name].numpy(), rtol=1e-4, atol=1e-6)


def test_a_schedule_needs_no_new_trace() -> None:
    def halve(optimizer: Any) -> None:
        optimizer.param_groups[0]["lr"] *= 0.5
        optimizer.param_groups[0]["betas"] = (optimizer.param_groups[0]["betas"][0] * 0.9, 0.99)

    def make(params: Any) -> Any:
        return optim.Adam(params, lr=0.2)

    eager, *_ = run_eagerly(make, 5, each=halve)
    compiled, _, step = run_eagerly(make, 5, wrap=gf.compile, each=halve)
    session, _ = run_session(make, 5, each=halve)
    close(eager, compiled)
    close(compiled, session, exact=True)
    assert step.cache_info().traces <= 2  # with and without gradients left from the call before


def test_switching_a_setting_on_traces_anew() -> None:
    def switch(optimizer: Any) -> None:
        if len(optimizer.state) == 0 or optimizer.param_groups[0]["lr"] == 0.1:
            optimizer.param_groups[0].update(weight_decay=0.5, momentum=0.9, lr=0.05)

    def make(params: Any) -> Any:
        return optim.SGD(params, lr=0.1)

    eager, *_ = run_eagerly(make, 5, each=switch)
    compiled, *_ = run_eagerly(make, 5, wrap=gf.compile, each=switch)
    close(eager, compiled)


def test_loading_a_state_reaches_the_compiled_step() -> None:
    def make(params: Any) -> Any:
        return optim.Adam(params, lr=0.1)

    saved: list[Any] = []

    def restore(optimizer: Any) -> None:
        if not saved:
            saved.append(optimizer.state_dict())
        optimizer.load_state_dict(saved[0])

    eager, *_ = run_eagerly(make, 4, each=restore)
    compiled, *_ = run_eagerly(make, 4, wrap=gf.compile, each=restore)
    session, _ = run_session(make, 4, each=restore)
    close(eager, compiled)
    close(compiled, session, exact=True)


def test_a_session_and_eager_steps_share_everything() -> None:
    with gf.Graph() as graph:
        net = model()
        x, y = gf.placeholder((None, 4)), gf.placeholder((None, 2))
        optimizer = optim.Adam(net.parameters(), lr=0.1)
        train = optimizer.minimize(nn.functional.mse_loss(net(x), y))
    session = gf.Session(graph)
    for i in range(6):
        if i % 2:
            session.run(train, {x: X, y: Y})
        else:
            optimizer.zero_grad()
            nn.functional.mse_loss(net(gf.tensor(X)), gf.tensor(Y)).backward()
            optimizer.step()
    expected, *_ = run_eagerly(lambda params: optim.Adam(params, lr=0.1), 6)
    close(expected, net.state_dict())
    assert optimizer.state[net[0].weight]["step"].item() == 6


def test_minimize_takes_what_the_loss_depends_on() -> None:
    with gf.Graph() as graph:
        used, unused = gf.Variable([1.0], name="used"), gf.Variable([1.0], name="unused")
        frozen = gf.Variable([1.0], name="frozen", trainable=False)
        loss = (used * frozen * 3).sum()
        optimizer = optim.SGD(lr=1.0)
        train = optimizer.minimize(loss)
        only = optim.SGD(lr=1.0).minimize((used * unused).sum(), var_list=[unused])
    gf.Session(graph).run(train)
    assert [v.item() for v in (used, unused, frozen)] == [-2.0, 1.0, 1.0]
    gf.Session(graph).run(only)
    assert [v.item() for v in (used, unused)] == [-2.0, 3.0]


def test_gradients_can_be_changed_on_the_way() -> None:
    with gf.Graph() as graph:
        w = gf.Variable([3.0, 4.0])
        optimizer = optim.SGD(lr=1.0)
        pairs = optimizer.compute_gradients((w * w).sum() / 2)
        clipped, norm = nn.utils.clip_by_global_norm([g for g, _ in pairs], 1.0)
        train = optimizer.apply_gradients(zip(clipped, [v for _, v in pairs]))
    _, before = gf.Session(graph).run([train, norm])
    assert before == 5.0
    np.testing.assert_allclose(w.numpy(), [2.4, 3.2], rtol=1e-6)


def test_clipping_in_a_compiled_step() -> None:
    w = gf.Variable([3.0, 4.0])
    optimizer = optim.SGD([w], lr=1.0)

    @gf.compile
    def step() -> Any:
        optimizer.zero_grad()
        ((w * w).sum() / 2).backward()
        norm = nn.utils.clip_grad_norm_([w], 1.0)
        optimizer.step()
        return norm

    assert step().item() == 5.0
    np.testing.assert_allclose(w.numpy(), [2.4, 3.2], rtol=1e-6)


def test_pytorch_style_training_inside_a_graph() -> None:
    with gf.Graph() as graph:
        w = gf.Variable([1.0])
        optimizer = optim.SGD([w], lr=0.5)
        (w * w).sum().backward()
        train = optimizer.step()
    session = gf.Session(graph)
    for expected in (0.0, 0.0):
        session.run(train)
        assert w.item() == expected


def test_a_learning_rate_that_is_fed() -> None:
    with gf.Graph() as graph:
        w, rate = gf.Variable([1.0]), gf.placeholder((), name="rate")
        train = optim.SGD(lr=rate).minimize(w.sum())
    session = gf.Session(graph)
    session.run(train, {rate: 0.25})
    session.run(train, {rate: 0.5})
    assert w.item() == 0.25


def test_two_optimizers_in_one_run() -> None:
    """Both train operations of a run do their whole work, on a variable that they share, too."""
    with gf.Graph() as graph:
        w = gf.Variable([1.0])
        one = optim.SGD(lr=0.5).minimize((w * 2).sum())
        two = optim.SGD(lr=0.25).minimize((w * 4).sum())
    gf.Session(graph).run([one, two])
    assert w.item() == 1.0 - 1.0 - 1.0


def test_a_parameter_group_that_joins() -> None:
    a, b = gf.Variable([1.0]), gf.Variable([1.0])
    optimizer = optim.SGD([a], lr=0.5)

    @gf.compile
    def step() -> Any:
        loss = (a + b).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    step()
    b.grad = None
    optimizer.add_param_group({"params": [b], "lr": 0.25})
    step()
    assert [a.item(), b.item()] == [0.0, 0.75]


def test_schedules_refuse_to_be_traced() -> None:
    optimizer = optim.SGD([gf.Variable([1.0])], lr=1.0)
    schedule = optim.lr_scheduler.StepLR(optimizer, 1)

    @gf.compile
    def step() -> Any:
        schedule.step()
        return gf.ones(1)

    with pytest.raises(gf.errors.TraceError, match="would run only once, at tracing"):
        step()


def test_minimize_in_a_compiled_step() -> None:
    states = []
    for wrap in (lambda f: f, gf.compile):
        net = model()
        optimizer = optim.Adam(lr=0.1)

        def step(x: Any, y: Any, net: Any = net, optimizer: Any = optimizer) -> Any:
            loss = nn.functional.mse_loss(net(x), y)
            optimizer.minimize(loss)
            return loss

        run = wrap(step)
        for _ in range(4):
            run(gf.tensor(X), gf.tensor(Y))
        states.append(net.state_dict())
        assert all(p.grad is None for p in net.parameters())
    close(*states)


def test_two_players_in_one_step() -> None:
    """A step of a GAN: two optimizers, each with its own part of the parameters, one loss after the other."""
    states = []
    for wrap in (lambda f: f, gf.compile):
        gf.random.seed(5)
        generator, judge = nn.Linear(2, 2), nn.Linear(2, 1)
        ours, theirs = optim.Adam(generator.parameters(), lr=0.1), optim.SGD(judge.parameters(), lr=0.1, momentum=0.5)

        def step(real: Any, players: Any = (generator, judge, ours, theirs)) -> Any:
            generator, judge, ours, theirs = players
            fake = generator(gf.random.normal((16, 2)))
            theirs.zero_grad()
            loss = nn.functional.softplus(-judge(real)).mean() + nn.functional.softplus(judge(fake.detach())).mean()
            loss.backward()
            theirs.step()
            ours.zero_grad()
            cheat = nn.functional.softplus(-judge(fake)).mean()
            cheat.backward()
            ours.step()
            return loss, cheat

        run = wrap(step)
        for _ in range(4):
            run(gf.tensor(Y))
        states.append({**generator.state_dict("g."), **judge.state_dict("j.")})
    close(*states)
