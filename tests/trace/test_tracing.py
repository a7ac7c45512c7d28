"""gf.trace, the recorder, and loud tracing: everything that Python code cannot do to a symbolic tensor."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphflow as gf


def test_trace_gives_a_graph_with_inputs_outputs_and_structure() -> None:
    graph = gf.trace(
        lambda x, y, scale: {"sum": x + y, "scaled": [x * scale]},
        gf.TensorSpec((None, 2), name="image"),
        gf.TensorSpec((None, 2)),
        3.0,
    )
    assert [n.name for n in graph.inputs] == ["image", "y"] and len(graph.outputs) == 2
    assert graph.inputs[0].aval.shape == (gf.Dim("image.0"), 2)
    x, y = np.ones((1, 2), np.float32), np.full((1, 2), 2.0, np.float32)
    out = gf.Session(graph).run(graph.structure, {"image": x, "y": y})
    assert out["sum"].tolist() == [[3.0, 3.0]] and out["scaled"][0].tolist() == [[3.0, 3.0]]
    feeds = dict(zip(graph.inputs, (x, y)))
    np.testing.assert_array_equal(gf.Session(graph).run(graph.outputs, feeds)[0], out["sum"])
    graph.verify()


def test_trace_of_a_module_with_nested_specs_and_examples() -> None:
    class Net(gf.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = gf.nn.Linear(3, 2)

        def forward(self, batch: Any, flip: bool = False) -> Any:
            out = self.fc(batch["x"]) + batch["bias"]
            return -out if flip else out

    net = Net()
    spec = {"x": gf.TensorSpec((None, 3)), "bias": gf.zeros(2)}
    graph = gf.trace(net, spec, flip=True)
    assert graph.name == "Net" and [n.name for n in graph.inputs] == ["batch.0", "batch.1"]
    x = np.ones((4, 3), np.float32)
    out = gf.Session(graph).run(graph.structure, dict(zip(graph.inputs, (x, np.zeros(2)))))
    np.testing.assert_allclose(out, -net.fc(gf.tensor(x)).numpy(), rtol=1e-6)


def test_fetching_an_output_does_what_the_function_does() -> None:
    v = gf.Variable(0.0)

    def f(x: Any) -> Any:
        v.assign_add(x)
        return x * 2

    graph = gf.trace(f, gf.TensorSpec((), name="x"))
    session = gf.Session(graph)
    assert session.run(graph.outputs, {"x": 3.0}) == [6.0] and v.value.item() == 3.0
    optimized = graph.optimize()
    assert gf.Session(optimized).run(optimized.outputs, {"x": 3.0}) == [6.0]


def test_trace_refuses_to_drop_gradients() -> None:
    w = gf.Variable([1.0], name="w")

    def f(x: Any) -> Any:
        loss = (x * w).sum()
        loss.backward()
        return loss

    with pytest.raises(gf.errors.TraceError, match="leaves gradients in .grad of w"):
        gf.trace(f, gf.TensorSpec((1,)))
    assert w.grad is None
    with pytest.raises(TypeError, match="needs a function"):
        gf.trace(3)  # type: ignore[arg-type]


def test_gf_trace_is_a_function_and_a_package() -> None:
    import graphflow.trace.recorder  # noqa: F401 - binds gf.trace to the package

    assert gf.trace(lambda x: x + 1, gf.TensorSpec(())).outputs
    assert "Record one call" in (gf.trace.__doc__ or "")


def test_tensor_specs() -> None:
    spec = gf.TensorSpec((None, 3), gf.int64, name="x")
    assert repr(spec) == "TensorSpec((None, 3), int64, name='x')" and spec == gf.TensorSpec(
        (None, 3), "int64", name="x"
    )
    assert spec != gf.TensorSpec((None, 3)) and len({spec, gf.TensorSpec((None, 3), gf.int64, name="x")}) == 1
    assert gf.TensorSpec(3).shape == (3,)
    batch = gf.Dim("batch")
    graph = gf.trace(lambda x, y: x + y, gf.TensorSpec((batch,)), gf.TensorSpec((batch,)))
    assert graph.assumptions == []


# -- loud tracing ------------------------------------------------------------------------------------------------------
USES = {
    "bool": lambda x: 1 if x.sum() > 0 else 2,
    "while": lambda x: [None for _ in iter(lambda: bool(x.any()), False)],
    "item": lambda x: x.sum().item(),
    "numpy": lambda x: x.numpy(),
    "float": lambda x: float(x.sum()),
    "int": lambda x: int(x.sum()),
    "asarray": lambda x: np.asarray(x),
    "ufunc": lambda x: np.exp(x),
    "tolist": lambda x: x.tolist(),
    "iteration": lambda x: [row for row in x],
    "index": lambda x: [1, 2, 3][x.sum().astype(gf.int64)],
    "format": lambda x: f"{x.sum():.2f}" + format(x.sum().item(), ".2f"),
}


@pytest.mark.parametrize("use", USES)
def test_python_cannot_look_into_a_symbolic_tensor(use: str) -> None:
    with pytest.raises(gf.errors.TraceError, match=rf"(?s)(symbolic|run time).*at {__file__}:\d+ in") as caught:
        gf.compile(USES[use])(np.ones((3, 2), np.float32))
    assert isinstance(caught.value, TypeError)


def test_the_error_says_where_the_tensor_was_made_and_what_to_use() -> None:
    def f(x: Any) -> Any:
        total = x.sum()  # made here
        if total > 0:
            return x
        return -x

    with pytest.raises(gf.errors.TraceError, match=r"gf.where or gf.cond") as caught:
        gf.compile(f)(gf.ones(3))
    first = f.__code__.co_firstlineno
    assert f"{__file__}:{first + 2} in f" in str(caught.value)
    assert f"was made at {__file__}:{first + 2}" in str(caught.value)


def test_variables_are_not_made_inside() -> None:
    @gf.compile
    def f(x: Any) -> Any:
        return x + gf.Variable(1.0, name="fresh")

    with pytest.raises(gf.errors.TraceError, match=f"(?s)'fresh' was made inside a traced function.*{__file__}"):
        f(gf.ones(2))
    kept: list[Any] = []

    @gf.compile
    def g(x: Any) -> Any:
        if not kept:
            with gf.init_scope():
                kept.append(gf.Variable(1.0))
        kept[0].assign_add(1.0)
        return x + kept[0]

    assert g(gf.ones(1)).item() == 3.0 and g(gf.ones(1)).item() == 4.0


def test_placeholders_are_not_made_inside() -> None:
    with pytest.raises(gf.errors.TraceError, match="placeholder.. inside a traced function"):
        gf.compile(lambda x: x + gf.placeholder(()))(gf.ones(2))


def test_leaked_tensors_are_errors_when_used() -> None:
    kept: list[Any] = []

    @gf.compile
    def leak(x: Any) -> Any:
        kept.append(x * 2)  # the leak
        return x

    leak(gf.ones(2))
    for use in (
        lambda: kept[0] + 1,
        lambda: gf.ones(2) * kept[0],
        lambda: gf.compile(lambda x: x + kept[0])(gf.ones(2)),
        lambda: gf.compile(lambda x: kept[0])(gf.ones(2)),
    ):
        with pytest.raises(gf.errors.TraceError, match=f"(?s)only while leak is traced.*return it.*made at {__file__}"):
            use()
    with pytest.raises(gf.errors.TraceError, match=".numpy.. needs the numbers"):
        kept[0].numpy()
    with pytest.raises(ValueError, match="belongs to graph 'leak'"):
        gf.Session(gf.Graph()).run(kept[0])


def test_tensors_of_a_graph_by_hand_do_not_mix_with_a_trace() -> None:
    with gf.Graph():
        p = gf.placeholder((), name="p")
    for f in (lambda x: x + p, lambda x: p):
        with pytest.raises(gf.errors.GraphError, match="'p.*of graph|'p' belongs to graph"):
            gf.compile(f)(gf.ones(()))


def test_errors_inside_leave_nothing_behind() -> None:
    broken = [True]

    @gf.compile
    def f(x: Any) -> Any:
        if broken:
            raise KeyError("mine")
        return x

    with pytest.raises(KeyError, match="mine"):
        f(gf.ones(2))
    broken.clear()
    assert f(gf.ones(2)).shape == (2,)
    assert (gf.ones(2) + 1).tolist() == [2.0, 2.0]  # eager again


def test_shape_errors_name_the_line() -> None:
    def f(x: Any) -> Any:
        return x @ gf.zeros((5, 2))

    with pytest.raises(ValueError, match=rf"(?s)matmul.*{__file__}:{f.__code__.co_firstlineno + 1}"):
        gf.compile(f)(np.ones((4, 3), np.float32))
