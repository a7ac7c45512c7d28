"""The tree of modules: registration, names, state, modes, hooks, conversion."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow import nn


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 2)
        self.scale = nn.Parameter(np.float32(2.0))
        self.register_buffer("seen", np.array(0))
        self.register_buffer("scratch", np.zeros(2, "float32"), persistent=False)
        self.layers = nn.ModuleList([nn.Linear(2, 2, bias=False), nn.Dropout(0.5)])

    def forward(self, x: Any) -> Any:
        self.seen = self.seen + 1
        x = self.fc(x) * self.scale
        for layer in self.layers:
            x = layer(x)
        return x


def names(pairs: Any) -> list[str]:
    return [name for name, _ in pairs]


def test_what_is_listed() -> None:
    net = Net()
    assert names(net.named_parameters()) == ["scale", "fc.weight", "fc.bias", "layers.0.weight"]
    assert names(net.named_buffers()) == ["seen", "scratch"]
    assert list(net.state_dict()) == ["scale", "seen", "fc.weight", "fc.bias", "layers.0.weight"]
    assert names(net.named_modules()) == ["", "fc", "layers", "layers.0", "layers.1"]
    assert names(net.named_children()) == ["fc", "layers"]
    assert list(net.state_dict(prefix="net.")) == [f"net.{key}" for key in net.state_dict()]
    assert names(net.named_parameters(prefix="net"))[0] == "net.scale"
    assert names(net.named_parameters(recurse=False)) == ["scale"]
    assert net.get_submodule("layers.0") is net.layers[0]
    assert net.get_parameter("fc.bias") is net.fc.bias
    with pytest.raises(AttributeError, match="no submodule 'x'"):
        net.get_submodule("layers.x")
    with pytest.raises(AttributeError, match="no parameter 'fc.nothing'"):
        net.get_parameter("fc.nothing")


def test_variables_are_named_after_their_place() -> None:
    net = Net()
    for path, variable in (*net.named_parameters(), *net.named_buffers()):
        assert variable.name == path
    own = nn.Parameter(np.zeros(2), name="mine")
    net.other = own
    assert own.name == "mine"


def test_a_shared_parameter_is_listed_once_and_saved_twice() -> None:
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    net[1].weight = net[0].weight
    assert names(net.named_parameters()) == ["0.weight"]
    assert names(net.named_parameters(remove_duplicate=False)) == ["0.weight", "1.weight"]
    assert list(net.state_dict()) == ["0.weight", "1.weight"]
    twice = nn.Sequential(net[0], net[0])
    assert names(twice.named_modules()) == ["", "0"]
    assert list(twice.state_dict()) == ["0.weight", "1.weight"]


def test_variables_that_are_no_parameters() -> None:
    net = nn.Module()
    net.w = gf.Variable([1.0])
    net.count = gf.Variable(0, trainable=False)
    net.frozen = nn.Parameter(gf.zeros(2), requires_grad=False)
    assert names(net.named_parameters()) == ["w", "frozen"]
    assert names(net.named_buffers()) == ["count"]


def test_assigning_and_deleting() -> None:
    net = Net()
    old = net.seen
    net(gf.ones((1, 3)))
    assert net.seen is old and net.seen.numpy() == 1
    with pytest.raises(TypeError, match="cannot set the parameter 'scale' of Net to a Tensor; .*scale.assign"):
        net.scale = gf.tensor(1.0)
    with pytest.raises(TypeError, match="cannot set the module 'fc'"):
        net.fc = 3
    net.scale = nn.Parameter(np.float32(1.0))
    assert net.scale.name == "scale"
    net.fc = nn.Linear(3, 2, bias=False)
    assert "fc.bias" not in net.state_dict()
    net.fc = None
    assert net.fc is None and names(net.named_children()) == ["layers"]
    del net.scale, net.scratch, net.layers
    assert not hasattr(net, "scale") and list(net.state_dict()) == ["seen"]
    with pytest.raises(AttributeError):
        del net.scale
    net.bias = None
    net.bias = nn.Parameter(gf.zeros(1))
    assert "bias" in net.state_dict()


def test_mistakes_in_building() -> None:
    class Forgot(nn.Module):
        def __init__(self) -> None:
            self.fc = nn.Linear(2, 2)

    with pytest.raises(AttributeError, match=r"call super\(\).__init__\(\) in Forgot"):
        Forgot()
    net = nn.Module()
    for name in ("a.b", "", "forward", "training"):
        with pytest.raises(KeyError):
            net.register_parameter(name, nn.Parameter(gf.zeros(1)))
    with pytest.raises(TypeError, match="must be a Parameter or None, got Tensor"):
        net.register_parameter("w", gf.zeros(1))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="must be a Module, got int"):
        net.add_module("m", 3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="Module has no forward"):
        net(1)


def test_train_and_eval() -> None:
    net = Net()
    x = gf.ones((4, 3))
    assert net.training and net.layers[1].training
    assert net.eval() is net
    assert not any(m.training for m in net.modules())
    np.testing.assert_array_equal(net(x).numpy(), net(x).numpy())
    net.layers[1].train()
    assert (net(x) == 0).any().item()


def test_the_training_flag_is_a_guard() -> None:
    from graphflow.core import dispatch
    from graphflow.ir.graph import Graph
    from graphflow.trace.recorder import FunctionRecorder

    net = Net().eval()
    recorder = FunctionRecorder(Graph())
    with dispatch.recording(recorder):
        net(gf.ones((1, 3)))
    assert recorder.guards == {(net.layers[1], "training"): False}


def test_state_dict_is_a_snapshot_and_loads() -> None:
    net, other = Net(), Net()
    before = net.state_dict()
    net.scale.assign(5.0)
    assert before["scale"].item() == 2.0 and not before["scale"].requires_grad
    assert other.load_state_dict(net.state_dict()) == ([], [])
    for key, value in net.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[key].numpy(), value.numpy())
    net.fc.weight.assign_add(1.0)
    assert (other.fc.weight.numpy() != net.fc.weight.numpy()).all()
    net.load_state_dict({k: v.numpy().astype("float64") for k, v in before.items()})
    assert net.scale.item() == 2.0 and net.scale.dtype is gf.float32


def test_a_state_dict_that_does_not_fit_changes_nothing() -> None:
    net = Net()
    state = net.state_dict()
    wrong = {**state, "fc.bias": gf.zeros(3), "scale": gf.tensor(9.0), "extra": gf.zeros(1)}
    del wrong["layers.0.weight"]
    with pytest.raises(gf.errors.StateError) as caught:
        net.load_state_dict(wrong)
    for part in ("does not fit Net", "missing: layers.0.weight", "unexpected: extra", "fc.bias is (2,) here, (3,)"):
        assert part in str(caught.value)
    with pytest.raises(gf.errors.StateError, match=r"shape: fc.bias"):
        net.load_state_dict(wrong, strict=False)
    assert net.scale.item() == 2.0
    del wrong["fc.bias"]
    result = net.load_state_dict(wrong, strict=False)
    assert result.missing_keys == ["fc.bias", "layers.0.weight"] and result.unexpected_keys == ["extra"]
    assert net.scale.item() == 9.0


def test_freezing_and_gradients() -> None:
    net = Net().eval()
    net.fc.requires_grad_(False)
    net(gf.ones((2, 3))).sum().backward()
    assert net.fc.weight.grad is None and net.scale.grad is not None
    net.zero_grad(set_to_none=False)
    assert net.scale.grad.item() == 0.0
    net.zero_grad()
    assert net.scale.grad is None


def test_apply_goes_inside_out() -> None:
    seen = []
    net = Net()
    assert net.apply(lambda m: seen.append(type(m).__name__)) is net
    assert seen == ["Linear", "Linear", "Dropout", "ModuleList", "Net"]


def test_conversion() -> None:
    net = Net()
    weight = net.fc.weight
    net.eval()(gf.ones((1, 3))).sum().backward()
    assert net.to(gf.float64) is net
    assert net.fc.weight is weight and weight.dtype is gf.float64 and weight.grad.dtype is gf.float64
    assert net.seen.dtype is gf.int64 and net.scratch.dtype is gf.float64
    assert net(gf.ones((1, 3), dtype=gf.float64)).dtype is gf.float64
    weight.initialize()
    assert weight.dtype is gf.float64
    for convert, dtype in ((net.half, gf.float16), (net.bfloat16, gf.bfloat16), (net.float, gf.float32)):
        assert convert().fc.bias.dtype is dtype
    assert net.to("cpu") is net.to(device="cpu") is net.cpu() is net
    assert net.to("float64").double().scale.dtype is gf.float64
    with pytest.raises(ValueError, match="no device 'cuda'"):
        net.to(device="cuda")
    with pytest.raises(TypeError, match="floating-point dtypes only"):
        net.to(gf.int32)


def test_hooks() -> None:
    layer = nn.Identity()
    calls: list[Any] = []
    before = layer.register_forward_pre_hook(lambda m, args: (args[0] + 1,))
    layer.register_forward_pre_hook(lambda m, args: args[0] * 10)
    layer.register_forward_pre_hook(lambda m, args, kwargs: calls.append(kwargs), with_kwargs=True)
    after = layer.register_forward_hook(lambda m, args, output: output - 5)
    layer.register_forward_hook(lambda m, args, kwargs, output: calls.append((args[0], output)), with_kwargs=True)
    assert layer(1) == 15
    assert calls == [{}, (20, 15)]
    before.remove()
    before.remove()
    with after:
        assert layer(1) == 5
    assert layer(1) == 10


def test_deepcopy_is_independent() -> None:
    net = Net().eval()
    net(gf.ones((1, 3)))  # leaves a snapshot of each variable behind
    other = copy.deepcopy(net)
    other.scale.assign(7.0)
    other(gf.ones((1, 3))).sum().backward()
    assert net.scale.item() == 2.0 and net.scale.grad is None and other.scale.grad is not None
    assert not other.layers[1].training


def test_repr() -> None:
    assert repr(Net()) == (
        "Net(\n"
        "  (fc): Linear(in_features=3, out_features=2, bias=True)\n"
        "  (layers): ModuleList(\n"
        "    (0): Linear(in_features=2, out_features=2, bias=False)\n"
        "    (1): Dropout(p=0.5, inplace=False)\n"
        "  )\n"
        ")"
    )


def test_parameters_made_inside_a_graph_have_their_values() -> None:
    with gf.Graph():
        inside = nn.Linear(2, 3)
        nn.init.ones_(inside.weight)
    gf.random.seed(0)
    assert (inside.weight.numpy() == 1).all()
    assert np.abs(inside.bias.numpy()).max() <= 1 / np.sqrt(2)
    inside.weight.assign(gf.zeros((3, 2)))
    inside.weight.initialize()
    assert (inside.weight.numpy() == 1).all()


def test_buffers_are_parameters_of_no_optimizer() -> None:
    net = nn.Module()
    net.seen = nn.Buffer(gf.zeros(2))
    net.scratch = nn.Buffer(np.ones(1), persistent=False)
    assert names(net.named_buffers()) == ["seen", "scratch"] and list(net.state_dict()) == ["seen"]
    assert not list(net.parameters())
    net.seen = gf.ones(2)
    assert isinstance(net.seen, nn.Buffer) and net.seen.tolist() == [1.0, 1.0]
    assert net.get_buffer("seen") is net.seen
    with pytest.raises(AttributeError, match="no buffer 'x'"):
        net.get_buffer("x")


def test_putting_modules_at_paths() -> None:
    net = Net()
    net.set_submodule("layers.1", nn.ReLU())
    assert isinstance(net.layers[1], nn.ReLU)
    net.set_submodule("head", nn.Linear(2, 1))
    assert net.head.out_features == 1
    with pytest.raises(AttributeError, match="no submodule 'tail'"):
        net.set_submodule("tail", nn.ReLU(), strict=True)


def test_hooks_in_front_of_others() -> None:
    layer, calls = nn.Identity(), []
    for number in (1, 2):
        layer.register_forward_hook(lambda m, args, out, n=number: calls.append(n))
    layer.register_forward_hook(lambda m, args, out: calls.append(0), prepend=True)
    handle = layer.register_forward_pre_hook(lambda m, args: calls.append(-1), prepend=True)
    layer(1)
    handle.remove()
    layer(1)
    assert calls == [-1, 0, 1, 2, 0, 1, 2]


def test_states_with_their_own_variables_and_dtypes() -> None:
    net = nn.Linear(2, 2)
    assert net.state_dict(keep_vars=True)["weight"] is net.weight
    wide = {key: value.numpy().astype("float64") for key, value in net.state_dict().items()}
    net.load_state_dict(wide)
    assert net.weight.dtype is gf.float32
    net.load_state_dict(wide, assign=True)
    assert net.weight.dtype is gf.float64 and net(gf.ones((1, 2), dtype=gf.float64)).dtype is gf.float64
    assert net.type("float32").weight.dtype is gf.float32
