"""What the scheduler makes of typical graphs: structure and values."""

from __future__ import annotations

import numpy as np
import pytest

import graphflow as gf
from graphflow.runtime.executor import Native
from tests.native.common import kinds, native, record

rng = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32)


def test_an_elementwise_chain_with_broadcasting_is_one_map() -> None:
    made = native(lambda x, b: gf.exp(x + b) * 0.5 + gf.tanh(x), normal(9, 17), normal(17))
    assert kinds(made) == ["Map"]


@pytest.mark.parametrize("symbolic", [False, True])
@pytest.mark.parametrize("columns", [1, 5, 16, 300])
def test_softmax_is_one_row_kernel(symbolic: bool, columns: int) -> None:
    made = native(lambda x: gf.softmax(x, axis=-1), normal(6, columns), symbolic=symbolic)
    assert kinds(made) == ["Row"]


def test_softmax_keeps_infinite_masks_and_nan() -> None:
    x = np.array([[0.0, -np.inf, 1.0], [-np.inf, -np.inf, -np.inf], [np.nan, 1.0, 2.0]], np.float32)
    graph, inputs = record(lambda t: gf.softmax(t, axis=-1), [x])
    (out,) = Native(graph, inputs).run([x])
    assert out[0, 1] == 0.0 and np.isnan(out[1]).all() and np.isnan(out[2]).all()
    np.testing.assert_allclose(out[0].sum(), 1.0, rtol=1e-6)


def test_a_reduction_takes_its_producers_and_consumers_along() -> None:
    made = native(lambda x, y: gf.sqrt(gf.sum(x * y, axis=1) + 1e3), normal(7, 33), normal(7, 33))
    assert kinds(made) == ["Reduce"]


@pytest.mark.parametrize("axis", [0, 1, 2, (0, 2), (0, 1, 2)])
def test_reductions_along_any_axis(axis: object) -> None:
    native(lambda x: (gf.sum(x, axis=axis), gf.max(x, axis=axis)), normal(5, 6, 7))


@pytest.mark.parametrize("symbolic", [False, True])
def test_a_large_sum_is_split_into_blocks(symbolic: bool) -> None:
    x = normal(700, 130)
    made = native(lambda t: (gf.sum(t * t), t + 1.0), x, symbolic=symbolic, tolerance=1e-3)
    assert len(made.program.kernels) == 2
    assert made.program.kernels[0].split is not None  # type: ignore[union-attr]


@pytest.mark.parametrize("rows", [0, 1, 2, 63, 64, 65, 1000])
def test_one_program_serves_every_size(rows: int) -> None:
    made = native(lambda x: gf.mean(gf.exp(x), axis=0), normal(5, 7), symbolic=True)
    x = normal(rows, 7)
    with np.errstate(all="ignore"):
        want = np.exp(x).sum(0) / np.float32(rows)
    np.testing.assert_allclose(made.run([x])[0], want, rtol=1e-5)


def test_views_cost_no_kernel() -> None:
    made = native(lambda x: gf.permute_dims(x[:, 1:5], (1, 0))[::-1] + 1.0, normal(8, 9))
    assert kinds(made) == ["Map"]


def test_a_reshape_that_no_strides_express_is_copied_once() -> None:
    made = native(lambda x: gf.reshape(gf.permute_dims(x, (1, 0)), (6, 12)) * 2.0, normal(8, 9))
    assert kinds(made) == ["Map", "Map"]


def test_a_variable_is_updated_in_place() -> None:
    v = gf.Variable(normal(4, 5), name="v")
    before = v.numpy().copy()

    def step(x: gf.Tensor) -> gf.Tensor:
        v.assign(v.value - 0.1 * x)
        return gf.sum(x)

    x = normal(4, 5)
    graph, inputs = record(step, [x])
    made = Native(graph, inputs)
    made.run([x])
    np.testing.assert_allclose(v.numpy(), before - np.float32(0.1) * x, rtol=1e-6)
    assert not any(b.kind == "temp" and b.shape == (4, 5) for b in made.program.buffers if b.name == "v")


def test_a_value_that_was_read_does_not_change_when_the_variable_does() -> None:
    v = gf.Variable([1.0, 2.0], name="v")
    graph, inputs = record(lambda x: v.assign(v.value + x), [np.ones(2, np.float32)])
    made = Native(graph, inputs)
    made.run([np.ones(2, np.float32)])
    seen, array = v.value, v.numpy()
    made.run([np.ones(2, np.float32)])
    assert seen.tolist() == [2.0, 3.0] and array.tolist() == [2.0, 3.0] and v.numpy().tolist() == [3.0, 4.0]


def test_variables_can_exchange_values() -> None:
    a, b = gf.Variable([1.0, 2.0], name="a"), gf.Variable([3.0, 4.0], name="b")

    def swap(x: gf.Tensor) -> gf.Tensor:
        old_a, old_b = a.value, b.value
        a.assign(old_b)
        b.assign(old_a)
        return x + old_a

    x = np.zeros(2, np.float32)
    graph, inputs = record(swap, [x])
    (out,) = Native(graph, inputs).run([x])
    assert out.tolist() == [1.0, 2.0] and a.numpy().tolist() == [3.0, 4.0] and b.numpy().tolist() == [1.0, 2.0]


def test_concat_and_pad_and_gather() -> None:
    made = native(lambda x, y: gf.concat([x, y * 2.0], axis=1), normal(5, 3), normal(5, 4))
    assert all(k == "Map" for k in kinds(made))
    indices = np.array([[3, 0], [-1, 2]])
    native(lambda x, i: gf.take(x, i, axis=0) + 1.0, normal(4, 6), indices)


def test_an_index_out_of_range_names_the_op_and_the_line() -> None:
    x, bad = normal(4, 6), np.array([0, 4])
    graph, inputs = record(lambda t, i: gf.take(t, i, axis=0), [x, bad])
    with pytest.raises(IndexError, match=r"take.*out of range for an axis of size 4\n.*test_fusion.py"):
        Native(graph, inputs).run([x, bad])


def test_matrix_products_with_transposes_and_epilogues() -> None:
    x, w, b = normal(9, 13), normal(11, 13), normal(11)
    made = native(lambda p, q, r: gf.relu(gf.matmul(p, gf.permute_dims(q, (1, 0))) + r), x, w, b)
    assert kinds(made) == ["Contract"]
    native(gf.matmul, normal(3, 4, 5), normal(5, 6))
    native(gf.matmul, normal(2, 1, 4, 5), normal(3, 5, 6))
    native(gf.matmul, normal(4, 0), normal(0, 6))


def test_explain_names_kernels_ops_and_reasons() -> None:
    made = native(lambda x, w: gf.sum(gf.matmul(x, w), axis=0), normal(4, 5), normal(5, 6))
    text = made.explain()
    assert "Contract" in text and "sum left out: it reduces what a matrix product just made" in text
    assert "test_fusion.py" in text


@pytest.mark.parametrize("threads", [1, 2, 3, 4])
def test_the_same_bits_at_any_number_of_threads(threads: int) -> None:
    def function(x: gf.Tensor) -> tuple[gf.Tensor, ...]:
        return gf.sum(x * x), gf.softmax(x, axis=1), gf.sum(x, axis=0)

    x = normal(900, 140)
    graph, inputs = record(function, [x])
    alone, shared = Native(graph, inputs, 1).run([x]), Native(graph, inputs, threads).run([x])
    assert all(np.array_equal(a, b) for a, b in zip(alone, shared, strict=True))


@pytest.mark.parametrize("threads", [1, 2])
def test_a_failed_run_leaves_the_variables_as_they_were(threads: int) -> None:
    v = gf.Variable(normal(4, 6), name="table")
    before = v.numpy().copy()

    def step(indices: gf.Tensor) -> gf.Tensor:
        rows = gf.take(v.value, indices, axis=0)
        v.assign(v.value * 2.0)
        return gf.sum(rows)

    bad = np.array([0, 7])
    graph, inputs = record(step, [bad])
    made = Native(graph, inputs, threads)
    with pytest.raises(IndexError):
        made.run([bad])
    assert np.array_equal(v.numpy(), before)
    made.run([np.array([0, 3])])
    assert np.array_equal(v.numpy(), before * 2)
