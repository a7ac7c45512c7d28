"""``x[...]``, ``x.at[...]``, take, gather and scatter: NumPy's values, gradients to second order, modes, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import graphflow as gf
from graphflow.core.errors import DTypeError, IndexingError, ShapeError, SymbolicDimError, TraceError
from graphflow.ir.interpreter import evaluate
from graphflow.testing import check_grad, check_parity

SHAPE = (2, 3, 4, 3)
X = np.arange(72.0).reshape(SHAPE)


# -- keys --------------------------------------------------------------------------------------------------------------
@st.composite
def keys(draw: st.DrawFn) -> tuple[Any, ...]:
    """Any key that NumPy may take for a tensor of SHAPE (some do not fit)."""
    bound = st.none() | st.integers(-5, 5)

    def item(size: int) -> st.SearchStrategy[Any]:
        index = st.integers(-size, size - 1)
        return st.one_of(
            index,
            st.builds(slice, bound, bound, st.sampled_from([None, 1, 2, -1, -2])),
            st.lists(index, min_size=1, max_size=3),
            st.lists(st.lists(index, min_size=2, max_size=2), min_size=1, max_size=2).map(np.array),
            st.lists(st.booleans(), min_size=size, max_size=size).map(np.array),
        )

    key = [draw(item(size)) for size in SHAPE[: draw(st.integers(0, 4))]]
    for extra in draw(st.lists(st.sampled_from([None, Ellipsis, True, False]), max_size=2)):
        if extra is not Ellipsis or not any(k is Ellipsis for k in key):
            key.insert(draw(st.integers(0, len(key))), extra)
    return tuple(key)


@given(keys())
def test_reading_is_numpys(key: tuple[Any, ...]) -> None:
    try:
        expected = X[key]
    except IndexError:
        with pytest.raises(IndexError):
            gf.tensor(X)[key]
        return
    found = gf.tensor(X)[key].numpy()
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found, expected)


@given(keys(), st.booleans())
def test_updating_is_numpys(key: tuple[Any, ...], broadcast: bool) -> None:
    try:
        part = X[key]
    except IndexError:
        return
    value = np.random.default_rng(0).random(part.shape[-1:] if broadcast else part.shape)
    x = gf.tensor(X)
    expected = X.copy()
    expected[key] = value
    np.testing.assert_array_equal(x.at[key].set(value).numpy(), expected)
    for ufunc, method in ((np.add, x.at[key].add), (np.maximum, x.at[key].max), (np.multiply, x.at[key].multiply)):
        expected = X.copy()
        ufunc.at(expected, key, value * 50)
        np.testing.assert_allclose(method(value * 50).numpy(), expected)
    np.testing.assert_array_equal(x.at[key].get().numpy(), part)


# A key of each kind, for gradients and modes.
KEYS: dict[str, Any] = {
    "number": 1,
    "negative number": (-1, slice(None), -2),
    "slices": (slice(None), slice(None, None, -1), slice(1, None, 2)),
    "new axes": (None, Ellipsis, None, 0),
    "list": [1, 0, 1],
    "lists": ([0, 1, 1], slice(None), [2, -1, 2]),
    "lists and slices": (slice(None), [2, 0], slice(3, 0, -2), [1, 1]),
    "matrix of indices": (slice(None), np.array([[0, 1], [2, 2]])),
    "mask": X > 40,
    "mask of some axes": (0, np.array([True, False, True])),
}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_gradients(key: Any) -> None:
    part = X[key]
    check_grad(lambda x: x[key] ** 3, X / 72, directions=1)
    check_grad(lambda x, v: x.at[key].set(v) ** 3, X / 72, part + 1.0, directions=1)
    check_grad(lambda x, v: x.at[key].add(v) ** 3, X / 72, part + 1.0, directions=1)


def test_gradients_of_products_and_extremes() -> None:
    index = np.array([0, 2, 2, 1, 0])
    x, v = np.array([1.0, -2.0, 3.0, 0.5]), np.array([0.5, 4.0, -3.0, 2.0, 0.7])
    check_grad(lambda x, v: x.at[index].multiply(v) ** 2, x, v)
    check_grad(lambda x, v: x.at[index].max(v) ** 2, x, v)
    check_grad(lambda x, v: x.at[index].min(v) ** 2, x, v)
    check_grad(lambda x, v: x.at[index].divide(v) ** 2, x, v)


def test_gradient_of_a_product_with_zeros() -> None:
    v = gf.tensor([0.0, 3.0, 2.0], requires_grad=True)
    gf.ones(2).at[gf.tensor([0, 0, 1])].multiply(v).sum().backward()
    assert v.grad.tolist() == [3.0, 0.0, 1.0]


def test_only_the_last_of_several_values_has_a_gradient() -> None:
    v = gf.tensor([1.0, 2.0, 3.0], requires_grad=True)
    x = gf.zeros(2, dtype=gf.float32).at[gf.tensor([1, 0, 1])].set(v)
    assert x.tolist() == [2.0, 3.0]
    x.sum().backward()
    assert v.grad.tolist() == [0.0, 1.0, 1.0]


def test_all_modes_agree() -> None:
    index = np.array([[2, 0], [-1, 1]])
    row = np.array([1, 0, 1])

    def static(x: Any, i: Any, r: Any) -> list[Any]:
        keys = [key for name, key in KEYS.items() if "mask" not in name]
        read = [x[key] for key in keys] + [x[:, i], x[r, :, r], x[0, i[0, 0]]]
        written = [x.at[key].set(1.5) for key in keys] + [x.at[:, i].add(x[:, i]), x.at[r].max(x[r] + 1)]
        return [*read, *written, x.at[x > 30].set(0.0), x.at[r, :, r].multiply(2.0)]

    check_parity(static, X.astype(np.float32), index, row)


def test_symbolic_sizes() -> None:
    index = np.array([1, 0, -1])

    def function(x: Any, i: Any) -> list[Any]:
        rows = [x[0], x[-1], x[1:], x[:-1], x[::2], x[::-1], x[:, 1], x[..., -1], x[i], x[:1], x[i, :, i]]
        return [
            *rows,
            x.at[0].set(0.0),
            x.at[1:].add(1.0),
            x.at[i].add(x[i]),
            gf.take_along_axis(x, i[None, 1:, None, None], 1),
        ]

    check_parity(function, X.astype(np.float32), index, symbolic=True)


def test_slices_are_taken_to_lie_inside_symbolic_axes() -> None:
    graph = gf.Graph()
    with graph:
        x = gf.placeholder((None, 3), name="x")
        rows = {1: x[1:], 4: x[3], 6: x[-6:-2], 5: gf.roll(x, 5, axis=0)}
        assert x[2:-3].shape == (x.shape[0] - 5, 3)
    for least, row in rows.items():
        for size in (least - 1, least):
            data = np.zeros((size, 3), np.float32)
            if size < least:
                with pytest.raises(ShapeError):
                    evaluate([row._node], {x._node: data})
    assert evaluate([rows[6]._node], {x._node: np.zeros((6, 3), np.float32)})[0].shape == (4, 3)


@pytest.mark.parametrize("size", [2, 3, 5])
def test_compiled_slices_are_numpys_for_every_size(size: int) -> None:
    @gf.compile
    def function(x: Any) -> Any:
        return x[3:], x[-4:-1], x[::-2]

    data = np.arange(2.0 * size, dtype=np.float32).reshape(size, 2)
    function(gf.ones((9, 2)))
    for found, expected in zip(function(gf.tensor(data)), (data[3:], data[-4:-1], data[::-2]), strict=True):
        np.testing.assert_array_equal(found.numpy(), expected)
    if size < 4:
        with pytest.raises(IndexError, match="index 3 is out of range"):
            gf.compile(lambda x: x[3])(gf.tensor(data))


def test_a_bound_that_may_lie_outside_a_symbolic_axis_is_an_error() -> None:
    with gf.Graph():
        x = gf.placeholder((None, 3), name="x")
        with pytest.raises(SymbolicDimError, match="known only at run time"):
            x[:5]


def test_masks_need_concrete_tensors() -> None:
    with gf.Graph():
        x = gf.placeholder((2, 3), name="x")
        with pytest.raises(TraceError, match=r"gf\.where\(mask, x, 0\)"):
            x[x > 0]
        with pytest.raises(TraceError, match="nonzero"):
            gf.nonzero(x)
        assert x.at[x > 0].set(0.0).shape == (2, 3)


def test_indices_are_tensors_too() -> None:
    x = gf.tensor(X)
    np.testing.assert_array_equal(x[gf.tensor(1)].numpy(), X[1])
    np.testing.assert_array_equal(x[:, gf.tensor([2, 0])].numpy(), X[:, [2, 0]])
    np.testing.assert_array_equal(x[gf.tensor(X > 5)].numpy(), X[X > 5])
    np.testing.assert_array_equal(x[:, gf.Variable(np.array([1]))].numpy(), X[:, [1]])
    assert [row.shape for row in x] == [(3, 4, 3)] * 2
    assert x[np.int64(1), range(2)].shape == (2, 4, 3)
    assert x[[]].shape == (0, 3, 4, 3)


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda x: x[2], IndexingError, "index 2 is out of range for axis 0 of size 2"),
        (lambda x: x[0, -4], IndexingError, "index -4 .* axis 1 of size 3"),
        (lambda x: x[[0, 5]], IndexingError, "index 5 .* axis 0 of size 2"),
        (lambda x: x[:, [0], [9]], IndexingError, "index 9 is out of range"),
        (lambda x: x[0, 0, 0, 0, 0], IndexingError, "5 indices for a tensor of rank 4"),
        (lambda x: x[..., 0, ...], IndexingError, "one '...'"),
        (lambda x: x[[0, 1], [0, 1, 2]], IndexingError, "do not broadcast"),
        (lambda x: x[np.ones((3, 3), bool)], IndexingError, r"mask of shape \(3, 3\)"),
        (lambda x: x[1.5], IndexingError, "not by float"),
        (lambda x: x["a"], IndexingError, "not by str"),
        (lambda x: x[gf.ones(2)], IndexingError, "integers or bool, got float32"),
        (lambda x: x[::0], IndexingError, "step"),
        (lambda x: x.astype(gf.int32).at[0].set(1.5), DTypeError, "cast one of them"),
        (lambda x: x.at[0].set(gf.ones(5)), ShapeError, r"\(5,\)"),
        (lambda x: gf.take(x, gf.tensor([3]), axis=1), IndexingError, "index 3 .* axis 1 of size 3"),
        (lambda x: gf.take(x, gf.ones(1), axis=1), DTypeError, "integers, got float32"),
        (lambda x: gf.gather(x, 0, gf.tensor([0])), ShapeError, "same rank"),
        (lambda x: (x > 1).at[gf.tensor([0])].add(True), DTypeError, "bool"),
    ],
)
def test_errors(function: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        function(gf.tensor(X))


def test_tensors_cannot_be_assigned_into() -> None:
    with pytest.raises(TypeError, match=r"x\.at\[index\]\.set"):
        gf.tensor(X)[0] = 1.0


# -- functions ---------------------------------------------------------------------------------------------------------
def test_take_and_take_along_axis() -> None:
    x = gf.tensor(X)
    index = np.array([[0, -1], [1, 1]])
    np.testing.assert_array_equal(gf.take(x, gf.tensor(index), axis=1).numpy(), np.take(X, index, 1))
    np.testing.assert_array_equal(gf.take(x, gf.tensor([5, 71])).numpy(), [5.0, 71.0])
    order = np.argsort(-X, axis=2)
    found = gf.take_along_axis(x, gf.tensor(order), axis=2).numpy()
    np.testing.assert_array_equal(found, np.take_along_axis(X, order, 2))
    few = np.array([[[[0], [-1]]]])  # broadcasts along the other axes
    found = gf.take_along_axis(x, gf.tensor(few), axis=2).numpy()
    np.testing.assert_array_equal(found, np.take_along_axis(X, np.broadcast_to(few, (2, 3, 2, 3)), 2))
    check_grad(lambda x: gf.take_along_axis(x, gf.tensor(order), axis=2) ** 2, X / 72, directions=1)


def test_gather_and_scatter_are_pytorchs() -> None:
    x = gf.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    index = gf.tensor([[2, 0], [1, 1]])
    assert gf.gather(x, 1, index).tolist() == [[3.0, 1.0], [5.0, 5.0]]
    assert x.gather(0, gf.tensor([[1, 0, 1]])).tolist() == [[4.0, 2.0, 6.0]]
    assert x.scatter(1, index, gf.tensor([[7.0, 8.0], [9.0, 10.0]])).tolist() == [[8.0, 2.0, 7.0], [4.0, 10.0, 6.0]]
    assert x.scatter_add(1, index, gf.ones((2, 2))).tolist() == [[2.0, 2.0, 4.0], [4.0, 7.0, 6.0]]
    assert x.index_select(1, gf.tensor([2, 2])).tolist() == [[3.0, 3.0], [6.0, 6.0]]
    assert x.index_add(0, gf.tensor([1, 1]), x).tolist() == [[1.0, 2.0, 3.0], [9.0, 12.0, 15.0]]
    check_grad(lambda x, s: x.scatter_add(1, index, s) ** 2, x, np.ones((2, 2)), directions=1)
    check_grad(lambda x, s: x.scatter(1, index[:, :1], s) ** 2, x, np.ones((2, 1)), directions=1)
    check_parity(
        lambda x, i: [x.gather(1, i), x.scatter(1, i, 2.0), x.scatter_add(1, i, x[:, :2])], x, index, symbolic=True
    )


def test_scatter_adds_in_order_and_16_bit_floats_in_32() -> None:
    many = gf.full((4096,), 0.001, dtype=gf.float16)
    total = gf.zeros(1, dtype=gf.float16).at[gf.zeros(4096, dtype=gf.int64)].add(many)
    assert total.dtype == gf.float16
    assert total.item() == pytest.approx(4.096, rel=2e-3)


def test_where_it_is_not_zero() -> None:
    x = np.array([[0, 5, 0], [6, 0, 7]])
    for found, expected in zip(gf.nonzero(gf.tensor(x)), np.nonzero(x), strict=True):
        np.testing.assert_array_equal(found.numpy(), expected)
    np.testing.assert_array_equal(gf.argwhere(gf.tensor(x)).numpy(), np.argwhere(x))
    assert gf.tensor([1.0, 2.0]).masked_fill(gf.tensor([True, False]), -np.inf).tolist() == [-np.inf, 2.0]
