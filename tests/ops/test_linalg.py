"""Products of matrices and vectors, einsum, norms: NumPy's values, gradients to second order, modes, errors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.core.errors import DTypeError, ShapeError
from graphflow.testing import assert_close, check_grad, check_parity

RNG = np.random.default_rng(0)


def numbers(*shape: int) -> np.ndarray:
    return RNG.uniform(-1, 1, shape)


# -- matmul ------------------------------------------------------------------------------------------------------------
MATMULS = [
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 4)),
    ((2, 3), (3, 4)),
    ((5, 2, 3), (3, 4)),
    ((5, 2, 3), (5, 3, 4)),
    ((3,), (5, 3, 4)),
    ((5, 2, 3), (3,)),
    ((1, 2, 3), (4, 3, 2)),
    ((2, 1, 2, 3), (3, 3, 2)),
    ((0, 3), (3, 2)),
    ((2, 0), (0, 3)),
]


@pytest.mark.parametrize(("left", "right"), MATMULS)
def test_matmul(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    a, b = numbers(*left), numbers(*right)
    assert_close((gf.tensor(a) @ gf.tensor(b)).numpy(), a @ b)
    assert_close((a @ gf.tensor(b)).numpy(), a @ b)
    check_grad(lambda a, b: (a @ b) ** 2, a, b, directions=1)


def test_matmul_of_integers_and_mixed_dtypes() -> None:
    a = gf.tensor([[1, 2], [3, 4]])
    assert (a @ a).tolist() == [[7, 10], [15, 22]]
    assert (a @ gf.ones((2, 2))).dtype == gf.float32
    assert (gf.ones((2, 600), dtype=gf.float16) @ gf.ones((600, 2), dtype=gf.float16)).tolist() == [[600.0] * 2] * 2


def test_the_gradient_of_a_weight_is_one_product() -> None:
    """A batch of matrices times one matrix is one product of two matrices, and so is the weight's gradient."""
    graph = gf.Graph()
    with graph:
        x = gf.placeholder((None, 5, 3), name="x")
        w = gf.Variable(gf.ones((3, 4)))
        gf.gradients((x @ w).sum(), [w])
    assert {n.aval.ndim for n in graph.nodes if n.op.name == "matmul"} == {2}


# -- einsum and its like -----------------------------------------------------------------------------------------------
EINSUMS: list[tuple[str, list[tuple[int, ...]]]] = [
    ("ij,jk->ik", [(2, 3), (3, 4)]),
    ("ij,jk", [(2, 3), (3, 4)]),
    ("ba,bc", [(2, 3), (2, 4)]),
    ("ii", [(3, 3)]),
    ("ii->i", [(3, 3)]),
    ("iij->ji", [(3, 3, 2)]),
    ("ij->ji", [(2, 3)]),
    ("ij->", [(2, 3)]),
    ("ij->j", [(2, 3)]),
    ("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)]),
    ("bhqd,bhkd->bhqk", [(2, 2, 4, 3), (2, 2, 5, 3)]),
    ("i,j->ij", [(2,), (3,)]),
    ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 5)]),
    ("a,ab,abc->abc", [(2,), (2, 3), (2, 3, 4)]),
    ("...ij,...jk->...ik", [(2, 1, 3, 4), (5, 4, 2)]),
    ("i...,i...->...", [(3, 2), (3, 2)]),
    ("ij,j", [(2, 3), (3,)]),
    ("ijk,ijk->", [(2, 3, 4), (2, 3, 4)]),
    ("iij,jk->ki", [(3, 3, 2), (2, 4)]),
    ("ij,ij->ij", [(1, 3), (2, 3)]),
    ("ij,jk->ik", [(2, 1), (3, 4)]),
]


@pytest.mark.parametrize(("equation", "shapes"), EINSUMS, ids=[e for e, _ in EINSUMS])
def test_einsum(equation: str, shapes: list[tuple[int, ...]]) -> None:
    arrays = [numbers(*s) for s in shapes]
    assert_close(gf.einsum(equation, *map(gf.tensor, arrays)).numpy(), np.einsum(equation, *arrays))
    check_grad(lambda *xs: gf.einsum(equation, *xs) ** 2, *arrays, directions=1)


def test_tensordot() -> None:
    a, b = numbers(2, 3, 4), numbers(4, 3, 5)
    for axes in (0, 1, ((1, 2), (1, 0)), ((-1,), (0,)), ((), ())):
        found = gf.tensordot(gf.tensor(a), gf.tensor(b), axes=axes)
        assert_close(found.numpy(), np.tensordot(a, b, axes))
    assert gf.tensordot(gf.ones((2, 3), dtype=gf.int32), gf.ones((3,), dtype=gf.int32), axes=1).dtype == gf.int32


def test_products_of_vectors() -> None:
    a, b, m = numbers(3), numbers(3), numbers(2, 3)
    x, y, z = gf.tensor(a), gf.tensor(b), gf.tensor(m)
    assert_close(gf.vecdot(z, y).numpy(), m @ b)
    assert_close(gf.vecdot(z, z, axis=0).numpy(), (m * m).sum(0))
    assert_close(gf.dot(x, y).numpy(), a @ b)
    assert_close(gf.outer(x, y).numpy(), np.outer(a, b))
    assert_close(gf.inner(z, z).numpy(), np.inner(m, m))
    assert_close(gf.cross(x, z).numpy(), np.cross(a, m))
    assert_close(gf.linear(x, z, gf.ones(2)).numpy(), m @ a + 1)
    assert_close(gf.linear(z, x).numpy(), m @ a)
    assert_close(gf.addmm(gf.ones(2), z, z.mT, beta=0.5, alpha=2.0).numpy(), 0.5 + 2 * m @ m.T)
    assert_close(gf.bmm(z[None], z.mT[None]).numpy(), (m @ m.T)[None])
    check_grad(lambda a, b, m: [gf.cross(a, b), gf.outer(a, b), gf.linear(a, m, m[:, 0]), gf.vecdot(m, a)], a, b, m)


# -- functions of matrices ---------------------------------------------------------------------------------------------
def test_diagonals() -> None:
    m, v, c = numbers(4, 5), numbers(3), numbers(2, 3, 4, 3)
    for k in range(-5, 6):
        assert_close(gf.diagonal(gf.tensor(m), k).numpy(), np.diagonal(m, k))
        assert_close(gf.diag(gf.tensor(v), k).numpy(), np.diag(v, k))
    assert_close(gf.diagonal(gf.tensor(c), 1, 1, 3).numpy(), np.diagonal(c, 1, 1, 3))
    assert_close(gf.tensor(m).trace().numpy(), np.trace(m))
    check_grad(lambda m, v: [gf.diagonal(m, 1) ** 2, gf.diag(v, -1) ** 2, m.trace() ** 2], m, v)


@pytest.mark.parametrize("ord", [0, 0.5, 1, 2, 3, math.inf, -math.inf])
def test_vector_norm(ord: float) -> None:
    m = numbers(3, 4)
    assert_close(gf.vector_norm(gf.tensor(m), axis=1, ord=ord).numpy(), np.linalg.norm(m, ord, axis=1))
    if ord:
        check_grad(lambda m: gf.vector_norm(m, axis=1, ord=ord), m, directions=1)


def test_norms() -> None:
    m = numbers(2, 3, 4)
    for ord in ("fro", 1, -1, math.inf, -math.inf):
        found = gf.matrix_norm(gf.tensor(m), ord=ord, keepdims=True).numpy()
        assert_close(found, np.linalg.norm(m, ord, axis=(1, 2), keepdims=True))
    assert_close(gf.norm(gf.tensor(m)).numpy(), np.linalg.norm(m.ravel()))
    x = gf.tensor([0.0, 0.0], requires_grad=True)
    gf.norm(x).backward()
    assert x.grad.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("symbolic", [False, True])
def test_all_modes_agree(symbolic: bool) -> None:
    def function(x: Any, m: Any, v: Any) -> list[Any]:
        same = [x @ m, m @ v, v @ m, v @ v, x @ x.mT, gf.outer(v, v), gf.inner(m, m), gf.linear(x, m), gf.diag(v)]
        einsums = [gf.einsum("bij,jk->bki", x, m), gf.einsum("bij,bkj->ik", x, x), gf.einsum("bij->bji", x)]
        norms = [gf.norm(x, axis=-1), gf.matrix_norm(x, ord=1), gf.tensordot(x, m, axes=1)]
        fixed = [] if symbolic else [gf.einsum("ii->i", m), m.trace(), gf.diagonal(m, 1)]  # diagonals need the sizes
        return [*same, *einsums, *norms, *fixed]

    arrays = [a.astype(np.float32) for a in (numbers(2, 3, 4), numbers(4, 4), numbers(4))]
    check_parity(function, *arrays, symbolic=symbolic)


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda: gf.ones((2, 3)) @ gf.ones((2, 3)), ShapeError, r"\(2, 3\) and \(2, 3\).* 3, .* 2, differ.*\.mT"),
        (lambda: gf.ones((2, 3)) @ gf.ones(4), ShapeError, r"\(4,\).* 3, .* 4, differ"),
        (lambda: gf.ones((3, 2, 2)) @ gf.ones((2, 2, 2)), ShapeError, "before the last two do not broadcast"),
        (lambda: gf.ones(()) @ gf.ones(2), ShapeError, "at least one axis"),
        (lambda: gf.ones((2, 2), dtype=gf.bool) @ gf.ones((2, 2), dtype=gf.bool), DTypeError, "bool"),
        (lambda: gf.einsum("ij,jk", gf.ones((2, 3)), gf.ones((2, 3))), ShapeError, "axis 'j' has sizes 3 and 2"),
        (lambda: gf.einsum("ij->ik", gf.ones((2, 3))), ShapeError, "'ik'"),
        (lambda: gf.einsum("ij", gf.ones(2)), ShapeError, r"'ij' does not name the axes of .*\(2,\)"),
        (lambda: gf.einsum("i,j", gf.ones(2)), ShapeError, "names 2 operands, got 1"),
        (lambda: gf.tensordot(gf.ones((2, 3)), gf.ones((2, 3))[:, :2]), ShapeError, "axes 1 and 1 have sizes 3 and 2"),
        (lambda: gf.vecdot(gf.ones(3), gf.ones(2)), ShapeError, r"\(3,\) and \(2,\)"),
        (lambda: gf.outer(gf.ones((2, 2)), gf.ones(2)), ShapeError, "two vectors"),
        (lambda: gf.cross(gf.ones(2), gf.ones(2)), ShapeError, "needs 3 numbers"),
        (lambda: gf.bmm(gf.ones((2, 3)), gf.ones((3, 2))), ShapeError, "rank 3"),
        (lambda: gf.matrix_norm(gf.ones((2, 2)), ord=2), ValueError, "'fro'"),
        (lambda: gf.diagonal(gf.ones(3)), ShapeError, "two different axes"),
    ],
)
def test_errors(function: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        function()


def test_wrong_shapes_name_the_line_in_a_graph_too() -> None:
    with gf.Graph():
        x = gf.placeholder((None, 784), name="x")
        with pytest.raises(ShapeError, match=r"784.*783[\s\S]*test_linalg\.py:\d+"):
            x @ gf.ones((783, 10))
