"""The text of a graph: what it looks like, that it holds everything, and what it says of wrong text."""

from __future__ import annotations

import re
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import graphflow as gf
from graphflow.core.aval import AVal
from graphflow.core.dims import Dim
from graphflow.core.errors import GraphError, Origin
from graphflow.core.op import OPS, Op, register
from graphflow.ir.graph import Graph
from graphflow.ir.text import array_text, from_text, size_text, to_text
from graphflow.ops import special

N, M = Dim("n"), Dim("m")


def sample_graph() -> Graph:
    """A graph with some of everything."""
    graph = Graph("main")
    x = graph.add(
        special.PLACEHOLDER, (), {"shape": (N, 3), "dtype": gf.float32}, name="x", origin=Origin("train.py", 12, "main")
    )
    y = graph.add(special.PLACEHOLDER, (), {"shape": (M, 3), "dtype": gf.float32}, name="my y")
    variable = gf.Variable(np.zeros((3,), np.float32), name="w")
    w = graph.add(special.VARIABLE_READ, (), {"variable": variable, "when": "start"}, name="w")
    two = graph.add(special.CONSTANT, (), {"value": np.float32(2.5).reshape(())})
    rate = graph.add(special.HOST_SCALAR, (), {"source": lambda: 0.1, "dtype": gf.float32}, name="rate")
    total = graph.add(OPS["add"], (x, y))
    scaled = graph.add(OPS["multiply"], (total, two), stop=True)
    shown = graph.add(special.PRINT, (scaled,), {"label": 'say "x"\n# and 100 %'}, control=(w,))
    flat = graph.add(OPS["reshape"], (shown,), {"shape": (3 * N,)})
    new = graph.add(OPS["multiply"], (w, rate))
    graph.outputs = [flat, total]
    graph.updates = [(variable, new)]
    return graph


GOLDEN = r"""graphflow 1
variable @w : float32[3] trainable
graph "main"
  assume n == m
  %x = placeholder() {shape=(<n>, 3), dtype=float32} : float32[n, 3]  # train.py:12 in main
  %"my y" = placeholder() {shape=(<m>, 3), dtype=float32} : float32[m, 3]
  %w = variable_read() {variable=@w, when="start"} : float32[3]
  %constant = constant() {value=float32[](2.5)} : float32[]
  %rate = host_scalar() {source=python(0.1), dtype=float32} : float32[]
  %add = add(%x, %"my y") : float32[n, 3]
  %multiply = multiply(%add, %constant) stop : float32[n, 3]
  %print = print(%multiply) {label="say \"x\"\n# and 100 %"} after(%w) : float32[n, 3]
  %reshape = reshape(%print) {shape=(<3*n>,)} : float32[3*n]
  %multiply_1 = multiply(%w, %rate) : float32[3]
  return %reshape, %add
  update @w = %multiply_1
"""


def test_what_the_text_looks_like() -> None:
    assert sample_graph().to_text() == GOLDEN


def test_the_text_rebuilds_the_graph() -> None:
    graph = Graph.from_text(GOLDEN)
    assert graph.to_text() == GOLDEN
    want = sample_graph()
    assert [n.name for n in graph.nodes] == [n.name for n in want.nodes]
    assert [n.op for n in graph.nodes] == [n.op for n in want.nodes]
    assert [n.aval for n in graph.nodes] == [n.aval for n in want.nodes]
    assert graph.assumptions == want.assumptions == [(N, M)]
    assert graph.nodes[0].origin == Origin("train.py", 12, "main")
    assert graph.find("print").control == (graph.find("w"),)
    assert graph.find("multiply").stop and not graph.find("add").stop
    assert graph.find("rate").attrs["source"]() == 0.1
    ((variable, node),) = graph.updates
    assert node is graph.find("multiply_1") and graph.variables() == [variable]
    assert variable.name == "w" and variable.trainable and variable.numpy().tolist() == [0, 0, 0]


def test_new_nodes_get_new_names() -> None:
    graph = Graph.from_text(GOLDEN)
    assert graph.add(OPS["add"], (graph.find("add"), graph.find("x"))).name == "add_1"
    assert graph.add(OPS["multiply"], (graph.find("add"), graph.find("x"))).name == "multiply_2"


def test_variables_can_be_given() -> None:
    mine = gf.Variable(np.ones((3,), np.float32), name="other name")
    graph = from_text(GOLDEN, {"w": mine})
    assert graph.find("w").attrs["variable"] is mine and graph.updates[0][0] is mine
    wrong = gf.Variable(np.ones((4,), np.float32), name="w")
    with pytest.raises(GraphError, match=r"line 2: variable @w is float32 of shape \(3,\) here, but .* \(4,\)"):
        from_text(GOLDEN, {"w": wrong})


def test_origins_can_be_left_out() -> None:
    assert "train.py" not in to_text(sample_graph(), origins=False)


# -- values of attributes --------------------------------------------------------------------------------------------
def ATTRS(**attrs: Any) -> Graph:
    graph = Graph()
    graph.add(special.GROUP, (), attrs, aval=None)
    return graph


@pytest.fixture
def anything() -> Any:
    """An op that takes any attributes."""
    op = register(Op("anything_goes", "source", lambda *_, **__: None, lambda *_, **__: None))
    yield op
    del OPS[op.name]


VALUES = [
    0,
    -7,
    10**30,
    True,
    False,
    None,
    1.0,
    0.1,
    -0.0,
    1e-320,
    1e300,
    float("inf"),
    -float("inf"),
    "",
    'quotes " and \\ and \n and é and {braces}',
    (),
    (1,),
    (1, (2.0, ("x", None))),
    gf.float32,
    gf.bfloat16,
    gf.bool_,
    N,
    2 * N * M - 3 * M + 1,
    (N + 1) // 2,
    (N * M) // (M + N // 3) * 2 - 1,
    Dim("a size") * 2,
    AVal((N, 3), gf.int8),
    AVal((), gf.bool_),
    Origin("/home/me/my file.py", 3, "<lambda>"),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_attributes_come_back_as_they_were(value: Any, anything: Op) -> None:
    graph = Graph()
    graph.add(anything, (), {"value": value, "more": (value,)})
    text = graph.to_text()
    again = from_text(text)
    back = again.nodes[0].attrs["value"]
    assert type(back) is type(value) and repr(back) == repr(value) and (back == value)
    assert again.to_text() == text


def test_nan_comes_back(anything: Op) -> None:
    graph = Graph()
    graph.add(anything, (), {"value": float("nan")})
    assert np.isnan(from_text(graph.to_text()).nodes[0].attrs["value"])


NAN = np.frombuffer(np.uint32([0x7FC00001, 0xFFC00000]).tobytes(), np.float32)  # with a payload, with a sign
ARRAYS = [
    np.float32(0.1).reshape(()),
    np.array([], np.int64),
    np.zeros((0, 3), np.float32),
    np.array([[True, False]]),
    np.array([-(2**63), 2**63 - 1]),
    np.array([2**64 - 1], np.uint64),
    np.array([1e-45, 3.4e38, np.nan, np.inf, -np.inf, -0.0], np.float32),
    np.array([0.1, 5e-324, 1 / 3]),
    np.array([0.1, 65504.0], np.float16),
    np.arange(3).astype(gf.bfloat16.np),
    NAN,
    np.zeros((100, 7), np.int8),
    np.full((5,), -0.0, np.float32),
    np.full((5,), np.nan, np.float64),
    np.arange(200.0).reshape(2, 100),
    np.arange(24, dtype=np.int16).reshape(2, 3, 4).transpose(2, 0, 1),
    np.arange(40).astype(gf.bfloat16.np),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: f"{a.dtype.name}{list(a.shape)}")
def test_arrays_come_back_bit_for_bit(array: Any) -> None:
    graph = Graph()
    graph.add(special.CONSTANT, (), {"value": array})
    text = graph.to_text()
    back = from_text(text).nodes[0].attrs["value"]
    assert back.dtype == array.dtype and back.shape == array.shape
    assert back.tobytes() == np.ascontiguousarray(array).tobytes()
    assert not back.flags.writeable
    assert from_text(text).to_text() == text


def test_arrays_are_short_where_they_can_be() -> None:
    assert array_text(np.zeros((784, 10), np.float32)) == "float32[784, 10](splat 0.0)"
    assert array_text(np.float32([1.5, 0.1])) == "float32[2](1.5, 0.1)"
    assert len(array_text(np.arange(1000, dtype=np.int8))) < 1400


def test_sizes_are_read_as_they_are_written() -> None:
    assert size_text((N + 1) // 2 + 2 * M) == "2*m+(n+1//2)"


def test_what_cannot_be_text_is_named(anything: Op) -> None:
    graph = Graph()
    graph.add(anything, (), {"kernel": len}, name="mine")
    with pytest.raises(GraphError, match="node 'mine' .*'kernel' is a builtin_function_or_method"):
        graph.to_text()


def test_names_of_all_kinds(anything: Op) -> None:
    graph = Graph('a "graph"')
    for name in ("nan", "inf.x", "a/b:0", "with space", 'quote"', "return", "x.y_1", "é", "%x"):
        graph.add(anything, tuple(graph.nodes[-1:]), aval=None, name=name)
    graph.nodes[-1].origin = Origin("C:\\dir\\a.py", 1, "f")
    again = from_text(graph.to_text())
    assert [n.name for n in again.nodes] == [n.name for n in graph.nodes]
    assert again.nodes[-1].origin == graph.nodes[-1].origin and again.name == graph.name


def test_variables_of_one_name_are_told_apart() -> None:
    graph = Graph()
    first, second = (gf.Variable([float(i)], name="v") for i in range(2))
    for variable in (first, second, first):
        graph.add(special.VARIABLE_READ, (), {"variable": variable, "when": "start"})
    again = from_text(graph.to_text(), {"v": first, "v_1": second})
    assert [n.attrs["variable"] for n in again.nodes] == [first, second, first]
    assert from_text(graph.to_text()).to_text() == graph.to_text()


def test_nested_graphs(anything: Op) -> None:
    inner = Graph("inner")
    inner.outputs = [inner.add(special.PLACEHOLDER, (), {"shape": (N,), "dtype": gf.float32})]
    body = Graph("body")
    body.outputs = [body.add(OPS["exp"], (body.add(special.PLACEHOLDER, (), {"shape": (N,), "dtype": gf.float32}),))]
    loop = Op("loop", "control", lambda **_: None, lambda **_: None)
    register(loop)
    try:
        body.add(loop, (), {"graph": inner})
        outer = Graph("outer")
        outer.add(loop, (), {"graph": inner, "other": body, "again": inner})
        text = outer.to_text()
        again = from_text(text)
        assert again.to_text() == text and text.count("graph &") == 2
        attrs = again.nodes[0].attrs
        assert attrs["graph"] is attrs["again"] is attrs["other"].nodes[-1].attrs["graph"]
        assert attrs["other"].name == "body" and attrs["other"].outputs[0].op.name == "exp"
    finally:
        del OPS["loop"]


# -- wrong text --------------------------------------------------------------------------------------------------------
WRONG: dict[str, tuple[str, str, str]] = {
    "no header": ("graphflow 1", "graphflow 2", "line 1: .*starts with 'graphflow 1', got 'graphflow 2'"),
    "unknown op": ("= add(", "= ad(", r"line 10: no op named 'ad'; did you mean .*add"),
    "unknown node": ("add(%x,", "add(%xx,", r"line 10: %xx is not defined above this line; did you mean x\?"),
    "unknown variable": ("variable=@w,", "variable=@v,", "line 7: variable @v is not declared"),
    "node twice": ("%add =", "%x =", "line 10: %x is defined twice"),
    "no aval": (") stop : float32[n, 3]", ") stop", "line 11: expected ':' and what the node gives"),
    "wrong shape": ('add(%x, %"my y") : float32[n, 3]', 'add(%x, %"my y") : float32[n, 4]', "line 10: .*add.*float32"),
    "wrong dtype": ("value=float32[](2.5)} : float32[]", "value=float32[](2.5)} : int32[]", "line 8: .*int32"),
    "no such dtype": (
        "dtype=float32} : float32[n, 3]",
        "dtype=float31} : float32[n, 3]",
        "line 5: no dtype 'float31'; did",
    ),
    "missing bracket": ("{value=float32[](2.5)}", "{value=float32[(2.5)}", "line 8: expected a size, got '2.5'"),
    "missing attribute": ('{variable=@w, when="start"}', "{variable=@w}", "line 7: .*when"),
    "trailing words": ("float32[m, 3]", "float32[m, 3] hello", "line 6: expected the end of the line, got 'hello'"),
    "unfinished": ("multiply(%w, %rate)", "multiply(%w", "line 14: expected ',' or '\\)', got ':"),
    "string in place of a number": ("float32[](2.5)", 'float32[]("x")', "line 8: "),
    "too few elements": ("float32[](2.5)", "float32[2](2.5)", "line 8: .*reshape"),
    "symbolic array": ("float32[](2.5)", "float32[n](2.5)", "line 8: .*needs numbers"),
    "huge array": ("float32[](2.5)", "float32[99999, 99999](splat 0.0)", "line 8: .*more than 2147483648 elements"),
    "bad base64": ("float32[](2.5)", 'float32[]("AAA!")', "line 8: "),
    "output of nothing": ("return %reshape", "return %nothing", "line 15: %nothing is not defined"),
    "update of another shape": ("update @w = %multiply_1", "update @w = %add", "%add.*updates 'w'"),
    "no graph": (GOLDEN[12:], "", "the text holds no graph"),
    "node before graph": ('graph "main"', "", "expected 'variable' or 'graph' before any node"),
    "assumption left out": ("  assume n == m\n", "", r"%add.*needs sizes n and m to be equal"),
    "size without end": ("assume n == m", "assume n == (m", "line 4: expected '//', got 'the end of the line'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_text_is_told_by_line(name: str) -> None:
    good, bad, message = WRONG[name]
    assert good in GOLDEN
    with pytest.raises(GraphError, match=re.compile(message, re.S)):
        from_text(GOLDEN.replace(good, bad))


def test_reading_runs_no_code() -> None:
    for evil in ("__import__('os')", "(lambda: 1)()", "open", "1 if True else 2"):
        with pytest.raises(GraphError, match="line 8"):
            from_text(GOLDEN.replace("float32[](2.5)", evil))


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(GraphError, match="nest deeper"):
        from_text(GOLDEN.replace("float32[](2.5)", "(" * 5000))

    with pytest.raises(GraphError, match="line 4: "):
        from_text(GOLDEN.replace("n == m", "n == " + "(" * 5000))


PIECES = [*"()[]{}%@&<>-#\n", '"', "//", "1e999", "nan", "float32", "n"]


@settings(max_examples=400)
@given(st.integers(0, len(GOLDEN)), st.integers(0, 12), st.sampled_from(PIECES), st.integers(0, 3))
def test_damaged_text_is_read_or_refused(start: int, length: int, piece: str, times: int) -> None:
    damaged = GOLDEN[:start] + piece * times + GOLDEN[start + length :]
    try:
        graph = from_text(damaged)
    except GraphError as error:
        assert str(error).startswith("line ") or "the text" in str(error)
    else:
        assert from_text(graph.to_text()).to_text() == graph.to_text()


def test_comments_and_empty_lines_are_allowed() -> None:
    lines = GOLDEN.splitlines()
    commented = "\n\n".join([lines[0], "# a comment", *lines[1:]])
    assert from_text(commented).to_text() == GOLDEN
