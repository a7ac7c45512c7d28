"""Progress bars, summaries, pages of graphs, curves, TensorBoard files, notebooks."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow import nn
from graphflow.nn import functional as F


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(64 * 4, 10))

    def forward(self, x: Any) -> Any:
        return self.head(self.conv(x).relu())


@pytest.fixture(scope="module")
def step() -> Any:
    model = nn.Linear(8, 3)

    @gf.compile
    def train_step(x: Any, y: Any) -> Any:
        loss = F.cross_entropy(model(x), y)
        grads = gf.gradients(loss, list(model.parameters()))
        return loss, grads[0]

    train_step(np.ones((4, 8), np.float32), np.zeros(4, np.int64))
    return train_step


# -- progress ----------------------------------------------------------------------------------------------------------
def test_progress_counts_a_loader_and_writes_one_line_to_a_file() -> None:
    loader = gf.data.DataLoader(gf.data.TensorDataset(np.zeros((10, 2), np.float32), np.arange(10)), batch_size=4)
    out = io.StringIO()
    bar = gf.viz.Progress(loader, "Epoch 1/2", file=out)
    for _, _ in bar:
        bar.show(loss=gf.tensor(0.25), accuracy=np.float32(0.5))
    assert (bar.total, bar.steps, bar.samples) == (3, 3, 10)
    line = out.getvalue().strip()
    assert line.count("\n") == 0 and line.startswith("Epoch 1/2") and "3/3" in line
    assert "samples/s" in line and line.endswith("loss 0.2500  accuracy 0.5000")


def test_progress_tells_the_time_left_and_survives_a_stop_in_the_middle() -> None:
    out = io.StringIO()
    with pytest.raises(KeyboardInterrupt), gf.viz.Progress(10, file=out) as bar:
        bar.update(3, loss=1e-7)
        assert "left" in bar.text and "loss 1.000e-07" in bar.text
        raise KeyboardInterrupt
    assert "3/10" in out.getvalue()
    with pytest.raises(TypeError, match="iterable"):
        next(iter(gf.viz.Progress(3)))
    with gf.viz.Progress(file=io.StringIO()) as endless:  # a number of steps that nobody knows
        endless.update(samples=5)
    assert endless.total is None and "samples/s" in endless.text


# -- summary -----------------------------------------------------------------------------------------------------------
def test_summary_counts_by_hand() -> None:
    net = Net()
    net.head[1].bias.requires_grad_(False)
    table = gf.viz.summary(net, (None, 1, 8, 8))
    by_path = {row.path: row for row in table.rows}
    assert list(by_path) == ["", "conv", "head", "head.0", "head.1"]
    assert by_path["conv"].output == "(None, 4, 8, 8)" and by_path["conv"].parameters == 4 * 9 + 4
    assert by_path["conv"].flops == 2 * 256 * 9 + 256  # multiply-adds and the bias
    assert by_path["head.1"].flops == 2 * 256 * 10 + 10
    assert by_path[""].flops == 256  # the relu stands in no submodule
    assert table.flops == sum(row.flops for row in table.rows)
    assert table.parameters == sum(p.size for p in net.parameters()) and table.trainable == table.parameters - 10
    assert table.nbytes == 4 * table.parameters
    assert "10 frozen" in str(table) and "<table>" in table._repr_html_()
    assert net.training and not net._hooks.before and not net.conv._hooks.after, "the model is left as it was"


def test_summary_of_shared_layers_several_inputs_and_none() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, a: Any, b: Any) -> Any:
            return self.layer(a), self.layer(b)

    table = gf.viz.summary(Twice(), (None, 4), gf.TensorSpec((2, 4)))
    assert [row.shared for row in table.rows] == [False, False, True] and table.parameters == 20
    assert table.rows[0].output == "(None, 4), (2, 4)"
    assert gf.viz.summary(Twice()).parameters == 20 and "FLOP" not in str(gf.viz.summary(Twice()))
    assert gf.viz.summary(nn.Linear(4, 2), input_size=[None, 4]).rows[0].output == "(None, 2)"
    assert gf.viz.summary(nn.Linear(4, 2), (gf.Dim("batch"), 4)).rows[0].output == "(batch, 2)"
    with pytest.raises(TypeError, match="Module"):
        gf.viz.summary(lambda x: x)  # type: ignore[arg-type]
    with pytest.raises(gf.errors.ShapeError, match=r"5.*4|4.*5"):
        gf.viz.summary(nn.Linear(4, 2), (None, 5))


def test_operations_of_attention_and_of_loops() -> None:
    spec = gf.TensorSpec((2, 12, 8))
    graph = gf.trace(lambda q: nn.functional.scaled_dot_product_attention(q, q, q), spec)
    assert gf.viz.flops.count(graph.nodes) >= 2 * 12 * 12 * (4 * 8 + 5)
    lstm = gf.viz.summary(nn.LSTM(16, 24), (5, None, 16))
    products = 5 * 2 * (16 + 24) * 4 * 24
    assert products < lstm.flops < 1.2 * products


# -- pages -------------------------------------------------------------------------------------------------------------
def facts_of(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    assert found is not None
    return json.loads(found[1])


def test_the_page_of_a_profile_has_every_kernel_with_time_and_bytes(step: Any, tmp_path: Path) -> None:
    x, y = np.ones((4, 8), np.float32), np.zeros(4, np.int64)
    profile = step.profile(x, y)
    np.testing.assert_allclose(profile.values[0].numpy(), step(x, y)[0].numpy())
    text = gf.viz.html(profile, tmp_path / "g.html")
    assert (tmp_path / "g.html").read_text(encoding="utf-8") == text
    facts = facts_of(text)
    assert len(facts["kernels"]) == len(profile) and all(k["us"] > 0 and k["bytes"] > 0 for k in facts["kernels"])
    matmul = next(k for k in facts["kernels"] if k["ops"][0] == "matmul")
    assert matmul["bytes"] >= 4 * (4 * 8 + 8 * 3 + 4 * 3)
    drawn = set(re.findall(r'data-node="([^"]+)"', text))
    assert drawn <= set(facts["nodes"]) and len(drawn) > 5
    node = next(n for n in facts["nodes"].values() if n["op"] == "matmul")
    file, line, function = node["at"]
    assert function == "train_step" and "model(x)" in facts["sources"][file][str(line)]
    assert all(name in facts["nodes"][used]["users"] for name, n in facts["nodes"].items() for used in n["inputs"])
    outside = re.findall(r"(?:src|href)=|@import|url\((?!#tip)|https?://(?!www\.w3\.org)", text)
    assert not outside, "the page needs nothing but itself"


def test_the_page_keeps_names_as_text() -> None:
    graph = gf.Graph()
    with graph:
        x = gf.placeholder((2,), name="</script><b>&x")
        _ = x * 2.0
    text = gf.viz.html(graph)
    assert "</script><b>" not in text and text.count("</script>") == 2
    assert "</script><b>&x" in facts_of(text)["nodes"]


def test_draw_writes_pages_too_and_says_what_can_be_shown(step: Any, tmp_path: Path) -> None:
    step.draw(tmp_path / "step.html")
    assert facts_of((tmp_path / "step.html").read_text())["kernels"][0]["us"] is None
    gf.trace(gf.exp, gf.TensorSpec((3,))).draw(tmp_path / "exp.html")
    assert '"exp"' in (tmp_path / "exp.html").read_text()
    assert "conv.weight" in gf.viz.html(Net(), None, (None, 1, 8, 8))
    gf.trace(gf.exp, gf.TensorSpec((3,))).draw(tmp_path / "exp.dot")
    assert (tmp_path / "exp.dot").read_text().startswith("digraph")
    with pytest.raises(ValueError, match="svg, .html or .dot"):
        gf.Graph().draw(tmp_path / "g.png")
    with pytest.raises(TypeError, match="inputs"):
        gf.viz.html(Net())
    with pytest.raises(RuntimeError, match="not been called"):
        gf.viz.html(gf.compile(lambda x: x))
    with pytest.raises(TypeError, match="gf.trace"):
        gf.viz.html(np.zeros(3))


# -- pictures ----------------------------------------------------------------------------------------------------------
def test_curves_of_a_history(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    history = {"loss": [3.0, 1.0, 2.0], "val_loss": [3.0, 2.0, 2.5], "lr": [0.1]}
    figure = gf.viz.plot_history(history, tmp_path / "h.svg", smooth=2)
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["loss", "lr"]
    assert list(figure.axes[0].lines[0].get_ydata()) == [3.0, 2.0, 1.5]
    assert (tmp_path / "h.svg").read_text().startswith("<?xml")
    with pytest.raises(ValueError, match="empty"):
        gf.viz.plot_history({"loss": []})


def test_confusion_matrices(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    scores = gf.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    figure = gf.viz.plot_confusion(gf.tensor([0, 1, 1]), scores, tmp_path / "c.png", normalize=True)
    assert [t.get_text() for t in figure.axes[0].texts] == ["1.00", "0.00", "0.50", "0.50"]
    assert figure.axes[0].get_title(loc="left") == "66.7% of 3 right"
    with pytest.raises(gf.errors.ShapeError, match="square"):
        gf.viz.plot_confusion(np.zeros((2, 3)))
    with pytest.raises(gf.errors.ShapeError, match="do not fit"):
        gf.viz.plot_confusion([0, 1], [0, 1, 1])
    with pytest.raises(ValueError, match="negative"):
        gf.viz.plot_confusion([0, -1], [0, 1])


def test_grids_of_images() -> None:
    pytest.importorskip("matplotlib")
    images = gf.datasets.load_digits("test", flatten=False)[0][:5]
    figure = gf.viz.plot_images(images, titles=range(5), columns=3)
    assert len(figure.axes) == 6 and figure.axes[4].get_title() == "4"
    with pytest.raises(ValueError, match="5 pictures and only 1"):
        gf.viz.plot_images(images, titles=["a"])
    with pytest.raises(gf.errors.ShapeError, match="height"):
        gf.viz.plot_images(np.zeros((3, 64)))


# -- attribution -------------------------------------------------------------------------------------------------------
def test_integrated_gradients_add_up_and_saliency_is_the_gradient() -> None:
    gf.random.seed(1)
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    x = gf.random.normal((4, 6))
    parts = gf.viz.integrated_gradients(model, x, [0, 1, 2, 0], steps=100)
    gained = (model(x) - model(gf.zeros_like(x))).numpy()[range(4), [0, 1, 2, 0]]
    np.testing.assert_allclose(parts.sum(1).numpy(), gained, atol=1e-3)
    best = model(x).argmax(1).numpy()
    slopes = gf.viz.saliency(model, x).numpy()
    eps = 1e-2
    for row in range(4):
        bumped = x.numpy().copy()
        bumped[row, 2] += eps
        change = (model(gf.tensor(bumped)) - model(x)).numpy()[row, best[row]] / eps
        assert slopes[row, 2] == pytest.approx(change, abs=2e-2)
    compiled = gf.compile(lambda v: gf.viz.saliency(model, v))
    np.testing.assert_allclose(compiled(x).numpy(), slopes, rtol=1e-4, atol=1e-6)
    with pytest.raises(gf.errors.ShapeError, match="one class for each sample"):
        gf.viz.saliency(model, x, [0, 1])
    with pytest.raises(gf.errors.ShapeError, match="scores"):
        gf.viz.saliency(lambda v: v.reshape((4, 3, 2)), x)


# -- TensorBoard -------------------------------------------------------------------------------------------------------
def events(folder: Path) -> list[Any]:
    import struct

    from tensorboardX.proto.event_pb2 import Event

    data = next(folder.glob("events.*")).read_bytes()
    found, at = [], 0
    while at < len(data):  # a record: its length, a checksum, the bytes, a checksum
        (size,) = struct.unpack_from("<Q", data, at)
        found.append(Event.FromString(data[at + 12 : at + 12 + size]))
        at += size + 16
    return found


def test_a_run_for_tensorboard(step: Any, tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    with gf.viz.SummaryWriter(tmp_path) as writer:
        for number in range(3):
            writer.add_scalar("loss/train", gf.tensor(0.5) * number, number)
        writer.add_histogram("weights", gf.Variable(np.ones(10, np.float32)).value.astype(gf.bfloat16), 1)
        writer.add_image("digit", gf.zeros((1, 8, 8)))
        writer.add_text("note", "**bold**")
        writer.add_figure("curve", gf.viz.plot_history([1.0, 0.5]))
        writer.add_graph(Net(), (None, 1, 8, 8))
    found = events(tmp_path)
    values = [(v.tag, e.step, v) for e in found for v in e.summary.value]
    assert [(s, v.simple_value) for tag, s, v in values if tag == "loss/train"] == [(0, 0.0), (1, 0.5), (2, 1.0)]
    assert next(v for tag, _, v in values if tag == "weights").histo.num == 10
    assert next(v for tag, _, v in values if tag == "digit").image.width == 8
    assert {"note/text_summary", "curve"} <= {tag for tag, *_ in values}


def test_mistakes_with_a_writer_name_the_tag(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    with gf.viz.SummaryWriter(tmp_path) as writer:
        with pytest.raises(ValueError, match="'loss' needs one number"):
            writer.add_scalar("loss", [1.0, 2.0])
        with pytest.raises(gf.errors.ShapeError, match="'digit'.*CHW"):
            writer.add_image("digit", np.zeros((8, 8)))
        with pytest.raises(TypeError, match="inputs"):
            writer.add_graph(Net())
    assert not [e for e in events(tmp_path) if e.summary.value]


def test_graphs_for_tensorboard_are_grouped(step: Any, tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.graph_pb2 import GraphDef

    for number, (source, inputs) in enumerate([(Net(), [(None, 1, 8, 8)]), (step, []), (step.newest().graph, [])]):
        with gf.viz.SummaryWriter(tmp_path / str(number)) as writer:
            writer.add_graph(source, *inputs)
        graph = GraphDef.FromString(next(e.graph_def for e in events(tmp_path / str(number)) if e.graph_def))
        names = {node.name for node in graph.node}
        assert all(used.lstrip("^") in names for node in graph.node for used in node.input)
        if number == 0:
            assert any(name == "conv[Conv2d]/conv" for name in names)
            assert any(name.startswith("head[Sequential]/1[Linear]/") for name in names)
            shapes = [
                s for n in graph.node if n.name == "conv[Conv2d]/conv" for s in n.attr["_output_shapes"].list.shape
            ]
            assert [d.size for d in shapes[0].dim] == [-1, 4, 8, 8]
        if number == 1:
            assert any(name.startswith("0_") for name in names), names


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from graphflow.viz import extras

    with pytest.raises(ImportError, match=r"graphflow\[viz\]"):
        extras.need("no_such_package_anywhere", "drawing")


# -- notebooks ---------------------------------------------------------------------------------------------------------
def test_what_notebooks_show(step: Any) -> None:
    assert "float32 (3, 4)" in gf.zeros((3, 4))._repr_html_()
    many = gf.arange(100_000).reshape((100, 1000))
    assert len(many._repr_html_()) < 2000 and "from 0 to 1e+05" in many._repr_html_()
    assert "weight" in gf.Variable([1.0], name="weight")._repr_html_()
    assert (
        "true" in gf.tensor([True])._repr_html_().lower() and "bfloat16" in gf.zeros(2, dtype="bfloat16")._repr_html_()
    )
    graph = gf.trace(gf.exp, gf.TensorSpec((None, 3), name="x"))
    assert "symbolic" in graph.structure._repr_html_() and "test_viz.py" in graph.structure._repr_html_()
    shown = graph._repr_html_()
    assert shown.startswith("<iframe") and "<script" not in shown, "the page is escaped into the frame"
    assert "iframe" in step.profile(np.ones((4, 8), np.float32), np.zeros(4, np.int64))._repr_html_()
    assert "<td" in Net()._repr_html_() and "2,570" in Net()._repr_html_()
