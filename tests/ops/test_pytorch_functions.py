"""Functions under PyTorch's names: PyTorch's numbers and gradients, and NumPy's where it has them too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphflow as gf

rng = np.random.default_rng(0)
A, B, C = rng.standard_normal((3, 4)), rng.standard_normal((3, 4)), rng.standard_normal((4,))
P = rng.uniform(0.1, 0.9, (3, 4))
M, BATCH = rng.standard_normal((3, 3)), rng.standard_normal((2, 3, 4))
INTS = np.array([[-7, 7, 5], [3, -2, 0]])
HOLES = np.where(rng.random((3, 4)) < 0.3, np.nan, A)
PLACES = np.array([[0, 2, 1, 0], [2, 2, 0, 1]])

# expression: its operands. It is evaluated with `t` for the library and `a`, `b`, ... for the operands.
EXPRESSIONS: dict[str, tuple[Any, ...]] = {
    "t.clamp(a, -0.5, 0.5)": (A,),
    "t.clamp_min(a, 0.1) + t.clamp_max(a, 0.2)": (A,),
    "t.mul(a, b) + t.sub(a, b) - t.neg(a)": (A, B),
    "t.div(a, b, rounding_mode='trunc')": (A * 4, B),
    "t.div(a, b, rounding_mode='floor')": (INTS, np.array([2, -3, 4])),
    "t.div(a, b, rounding_mode='trunc') ": (INTS, np.array([2, -3, 4])),
    "t.fmod(a, b)": (A * 4, B),
    "t.fmod(a, b) ": (INTS, np.array([2, -3, 4])),
    "t.eq(a, b) | t.ne(a, b) & t.gt(a, b)": (A, B),
    "t.le(a, b) ^ t.lt(a, b) & t.ge(a, b)": (A, B),
    "t.absolute(a) + t.amax(a, dim=1, keepdim=True) - t.amin(a)": (A,),
    "t.arctan2(a, b) + t.arcsinh(a)": (A, B),
    "t.addcmul(a, b, c, value=0.5)": (A, B, C),
    "t.addcdiv(a, b, c, value=2.0)": (A, B, P),
    "t.logit(a)": (P,),
    "t.logit(a, 0.3)": (P,),
    "t.sinc(a)": (np.append(A.ravel(), 0.0),),
    "t.xlogy(a, b)": (np.where(A > 0, A, 0.0), P),
    "t.heaviside(a, b)": (np.array([-1.0, 0.0, 2.0]), np.array(0.5)),
    "t.frac(a) + t.deg2rad(a) - t.rad2deg(a)": (A * 3,),
    "t.fmax(a, b)": (HOLES, B),
    "t.fmin(a, b)": (HOLES, B),
    "t.isposinf(a) | t.isneginf(a)": (np.array([np.inf, -np.inf, np.nan, 0.0]),),
    "t.mv(a, b)": (A, C),
    "t.baddbmm(a, b, c, beta=0.5, alpha=2.0)": (rng.standard_normal((2, 3, 3)), BATCH, BATCH.transpose(0, 2, 1)),
    "t.kron(a, b)": (A, M),
    "t.matrix_power(a, 5)": (M,),
    "t.trapezoid(a, dx=0.5)": (A,),
    "t.trapezoid(a, b, dim=1)": (A, np.cumsum(P[0])),
    "t.logspace(0, 2, 5)": (),
    "t.hstack([a, b])": (A, B),
    "t.vstack([a, b])": (A, C),
    "t.dstack([a, b])": (A, B),
    "t.column_stack([a, b])": (C, A.T),
    "t.atleast_1d(a)": (np.array(2.0),),
    "t.atleast_2d(a)": (C,),
    "t.atleast_3d(a)": (A,),
    "t.atleast_3d(a) ": (C,),
    "t.tensor_split(a, 3, dim=1)[0]": (A,),
    "t.tensor_split(a, (1, -1), dim=1)[1]": (A,),
    "t.select(a, 1, -1)": (A,),
    "t.masked_select(a, b)": (A, A > 0),
    "t.fliplr(a) + t.flipud(a)": (A,),
    "t.rot90(a) - t.rot90(a, 3)": (A,),
    "t.rot90(a, -2, (0, 1))": (A,),
    "t.diag_embed(a)": (A,),
    "t.block_diag(a, b)": (A, M),
    "t.cartesian_prod(a, b)": (C, C[:2]),
    "t.tril_indices(3, 4, -1)": (),
    "t.triu_indices(3, 4, 1)": (),
    "t.scatter_reduce(a, 0, b, c, 'sum')": (A, PLACES, B[:2]),
    "t.scatter_reduce(a, 0, b, c, 'amax', include_self=False)": (A, PLACES, B[:2]),
    "t.scatter_reduce(a, 0, b, c, 'prod')": (A, PLACES, B[:2]),
    "t.nansum(a) + t.nanmean(a, dim=1)": (HOLES,),
    "t.std_mean(a, dim=1, keepdim=True)[0]": (A,),
    "t.var_mean(a)[0]": (A,),
    "a.std(unbiased=True) + a.var(dim=1, unbiased=False)": (A,),
    "t.aminmax(a, dim=0)[1]": (A,),
    "t.median(a)": (A,),
    "t.quantile(a, 0.3, dim=1)": (A,),
    "t.quantile(a, t.tensor([0.25, 0.8]).to(a.dtype), dim=0, keepdim=True, interpolation='midpoint')": (A,),
    "t.quantile(a, 0.6, interpolation='nearest')": (HOLES,),
    "t.kthvalue(a, 2, dim=1)[0]": (A,),
    "t.kthvalue(a, 2, dim=0, keepdim=True)[1]": (A,),
    "t.bincount(a, minlength=5)": (np.array([0, 2, 2]),),
    "t.bincount(a, b)": (np.array([0, 3, 3]), np.array([1.0, 2.0, 0.5])),
    "t.triu(a, 1) + t.tril(a, diagonal=-1)": (A,),
    "t.max(a, b) - t.min(a, b)": (A, B),
    "a.unfold(1, 3, 2)": (BATCH.transpose(0, 2, 1),),
    "a.unfold(-1, 2, 1)": (A,),
    "t.index_copy(a, 0, b, c)": (A, np.array([2, 0]), B[:2]),
    "t.index_fill(a, 1, b, 2.5)": (A, np.array([0, 3])),
    "a.nonzero(as_tuple=False)": (INTS,),
    "t.erfinv(a)": (np.append(np.tanh(4 * A).ravel(), [0.0, 1e-30, 0.999999999999, -0.5]),),
    "t.cummax(a, 1)[0] + t.cummin(a, dim=0)[0]": (A,),
    "t.cummax(a, 0)[1] - t.cummin(a, 1)[1]": (INTS,),
    "t.logcumsumexp(a, 1)": (A * 30,),
    "t.histc(a, 5, -1, 1)": (A,),
    "t.histc(a, 4)": (A,),
    "t.bucketize(a, b, right=True)": (A, np.array([-1.0, 0.0, 1.0])),
    "t.isin(a, b)": (INTS, np.array([7, 3])),
    "t.cov(a) + t.corrcoef(a)": (A,),
    "t.cdist(a, b)": (A, B[:2]),
    "t.cdist(a, b, 1.0)": (BATCH, BATCH[:, :2]),
    "t.pdist(a)": (A,),
    "t.dist(a, b, 3)": (A, B),
    "t.movedim(a, 0, 2) + t.permute(a, (1, 2, 0)) - t.swapdims(t.swapdims(a, 0, 2), 0, 1)": (BATCH,),
    "t.take_along_dim(a, b, dim=1)": (A, PLACES[:, :1].repeat(2, 1)[[0, 1, 1]]),
    "a.view_as(b).expand_as(b).reshape_as(a).type_as(b)": (A, B),
    "a.new_ones(2, 3) + a.new_full((2, 3), 2.0) - a.new_zeros((2, 3))": (A,),
    "a.clone().contiguous().cpu() * a.dim() * a.nelement()": (A,),
}


def value(expression: str, library: Any, operands: tuple[Any, ...]) -> Any:
    return eval(expression, {"t": library, **dict(zip("abcd", operands))})


@pytest.mark.torch
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_pytorchs_numbers(expression: str) -> None:
    torch = pytest.importorskip("torch")
    arrays = EXPRESSIONS[expression]
    ours = [gf.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    theirs = [torch.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    y = value(expression, gf, tuple(ours))
    z = value(expression, torch, tuple(theirs))
    np.testing.assert_allclose(y.numpy(), z.detach().numpy(), rtol=1e-9, atol=1e-9)
    no_slope = expression in ("t.heaviside(a, b)", "t.bincount(a, b)")  # in PyTorch
    if z.requires_grad and not no_slope and not np.isnan(z.detach().numpy()).any():
        weights = np.random.default_rng(1).standard_normal(y.shape)
        (y * weights).sum().backward()
        (z * torch.tensor(weights)).sum().backward()
        for a, b in zip(ours, theirs):
            if b.grad is not None:
                np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-8, atol=1e-8)


SOME = ["t.fmod(a, b)", "t.quantile(a, 0.3, dim=1)", "t.scatter_reduce(a, 0, b, c, 'sum')", "t.cdist(a, b)"]


@pytest.mark.parametrize("expression", SOME)
def test_every_mode(expression: str) -> None:
    gf.testing.check_parity(lambda *operands: value(expression, gf, operands), *EXPRESSIONS[expression])


NUMPY: list[tuple[Callable[..., Any], Callable[..., Any], tuple[Any, ...]]] = [
    (lambda a: gf.quantile(a, [0.1, 0.5], axis=1), lambda a: np.quantile(a, [0.1, 0.5], axis=1), (A,)),
    (gf.cov, np.cov, (A,)),
    (gf.kron, np.kron, (A, M)),
    (lambda a: gf.matrix_power(a, 3), lambda a: np.linalg.matrix_power(a, 3), (M,)),
    (gf.trapezoid, np.trapezoid, (A,)),
    (lambda a, b: gf.vstack([a, b]), lambda a, b: np.vstack([a, b]), (A, C)),
    (lambda a: gf.rot90(a, 3), lambda a: np.rot90(a, 3), (A,)),
    (gf.cdist, lambda a, b: np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1)), (A, B)),
    (gf.bincount, np.bincount, (np.array([1, 1, 4]),)),
    (gf.nanmean, np.nanmean, (HOLES,)),
]


@pytest.mark.parametrize("ours, theirs, arrays", NUMPY)
def test_numpys_numbers(ours: Any, theirs: Any, arrays: Any) -> None:
    np.testing.assert_allclose(ours(*map(gf.tensor, arrays)).numpy(), theirs(*arrays), rtol=1e-9, atol=1e-12)


def test_random_numbers() -> None:
    gf.manual_seed(3)
    x = gf.randn(1000, 3)
    gf.manual_seed(3)
    assert (x == gf.random.normal((1000, 3))).all().item()
    assert x.shape == gf.rand_like(x).shape == (1000, 3)
    assert gf.randn(2, dtype=gf.float64).dtype is gf.float64
    drawn = gf.randint(2, 5, (1000,))
    assert set(drawn.tolist()) == {2, 3, 4} and set(gf.randint(2, (100,)).tolist()) == {0, 1}
    assert sorted(gf.randperm(10).tolist()) == list(range(10))
    chances = gf.tensor([0.1, 0.0, 0.6, 0.3])
    drawn = gf.multinomial(chances, 20000, replacement=True).numpy()
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / 20000, chances.numpy(), atol=0.02)
    rows = gf.multinomial(gf.ones((50, 4)), 3)
    assert rows.shape == (50, 3) and all(len(set(row)) == 3 for row in rows.tolist())
    assert 400 < gf.bernoulli(gf.full((1000,), 0.5)).sum().item() < 600


def test_words_about_tensors() -> None:
    x = gf.ones((2, 3))
    assert gf.is_tensor(x) and not gf.is_tensor(np.ones(2))
    assert gf.is_floating_point(x) and not gf.tensor([1]).is_floating_point()
    assert gf.numel(x) == 6 and gf.get_default_dtype() is gf.float32
    assert gf.promote_types(gf.int8, gf.int16) is gf.int16
    assert gf.as_tensor([1.0, 2.0]).shape == (2,)
    with gf.inference_mode():
        assert not gf.is_grad_enabled()
    with gf.set_grad_enabled(False):
        assert not gf.is_grad_enabled()


def test_where_and_of_which_dtype() -> None:
    x = gf.ones((2, 3))
    for wide in (x.to("cpu", gf.float64), x.to(gf.float64), x.to(gf.zeros(1, dtype=gf.float64)), x.type("float64")):
        assert wide.dtype is gf.float64
    assert x.to("cpu") is x and x.to(dtype="float16", device="cpu").dtype is gf.float16
    assert x.to(gf.device("cpu"), non_blocking=True) is x and x.type() == "float32"
    with pytest.raises(ValueError, match="no device 'cuda:0'"):
        x.to("cuda:0")
    with pytest.raises(ValueError, match="no device 'cuda'"):
        gf.device("cuda")
    with pytest.raises(TypeError, match="no argument 'kind'"):
        x.to(kind="float64")


def test_sorting_gives_places() -> None:
    values, places = gf.tensor([[3.0, 1.0, 2.0]]).sort(descending=True)
    assert values.tolist() == [[3.0, 2.0, 1.0]] and places.tolist() == [[0, 2, 1]]


def test_what_there_is_not_is_explained() -> None:
    x, p = gf.ones(2), gf.nn.Parameter(gf.ones(2))
    for call, message in [
        (lambda: x.add_(1), r"'add_': tensors are immutable; use x = x.add\(...\)"),
        (lambda: x.cuda(), "there is the CPU so far"),
        (
            lambda: p.data.copy_(x),
            r"'copy_': tensors are immutable; a Parameter or Variable p has p.copy_\(...\), not p.data",
        ),
        (
            lambda: gf.zeros(2, 3).max(1).values,
            r"max and min give the values alone; x.argmax\(dim\) gives the positions",
        ),
        (lambda: p.log_(), r"'log_': tensors are immutable; use x = x.log\(...\)$"),
        (lambda: x.nothing, "no attribute 'nothing'$"),
        (lambda: x.nothing_(), "no attribute 'nothing_'$"),
    ]:
        with pytest.raises(AttributeError, match=message):
            call()
    assert not hasattr(x, "add_")


def test_training_by_hand() -> None:
    """PyTorch's idiom: in place under no_grad."""
    p = gf.nn.Parameter(np.array([1.0, 2.0], "float32"))
    same = p
    (p * p).sum().backward()
    with gf.no_grad():
        p -= 0.5 * p.grad
        assert p is same and p.tolist() == [0.0, 0.0]
        p += 3.0
        p *= 2.0
        p /= 4.0
    assert same.tolist() == [1.5, 1.5]
    p = same
    p -= 1.0  # with gradients on it is a value
    assert isinstance(p, gf.Tensor) and same.tolist() == [1.5, 1.5]

    @gf.compile
    def step(x: gf.Tensor) -> gf.Tensor:
        nonlocal same
        loss = ((same * x) ** 2).sum()
        same.grad = None
        loss.backward()
        with gf.no_grad():
            same -= 0.1 * same.grad
        return loss

    first, second = step(gf.ones(2)).item(), step(gf.ones(2)).item()
    assert second < first and isinstance(same, gf.nn.Parameter)


def test_training_tensors_by_hand_is_told() -> None:
    """A tensor is not changed by ``-=``: a loop over a list of them would silently learn nothing."""
    w = gf.randn(2, requires_grad=True)
    (w * w).sum().backward()
    with (
        gf.no_grad(),
        pytest.raises(gf.errors.ImmutableError, match=r"(?s)keep it in a gf.Variable.*test_pytorch_func"),
    ):
        w -= 0.1 * w.grad
    w -= 1.0  # elsewhere it is w = w - 1.0
    assert not w.is_leaf
    with gf.no_grad():
        w *= 2.0
    assert not w.requires_grad


def test_in_place_on_parameters() -> None:
    """PyTorch's in-place methods assign, eagerly and in compiled functions; tensors have none."""
    p = gf.nn.Parameter(np.array([1.0, -2.0], "float32"))

    def change(x: gf.Tensor) -> gf.Tensor:
        p.add_(x, alpha=0.5).mul_(2.0).clamp_(-1.0, 2.5)
        before = p.read()
        p.sub_(1.0)
        p.lerp_(x, 0.5).addcmul_(x, x, value=2.0)
        return before

    for run in (change, gf.compile(change)):
        p.copy_(gf.tensor([1.0, -2.0]))
        assert run(gf.ones(2)).tolist() == [2.5, -1.0]
        assert p.tolist() == [3.25, 1.5]
    assert p.zero_().tolist() == [0.0, 0.0] and p.fill_(3).tolist() == [3.0, 3.0]
    assert 0.0 < p.uniform_(0.0, 0.1).max().item() < 0.1 and p.normal_(100.0, 1.0).min().item() > 50.0
    q = gf.Variable([2, 3])
    assert q.mul_(2).tolist() == [4, 6] and q.dtype is gf.int64


def test_data_is_the_value_without_gradient() -> None:
    p = gf.nn.Parameter(np.array([1.0, 2.0], "float32"))
    x = gf.tensor([1.0, 1.0], requires_grad=True)
    assert not p.data.requires_grad and not (x * p).data.requires_grad
    p.data -= 1.0  # assigns
    p.data = p.data * 2
    assert p.tolist() == [0.0, 2.0] and p.requires_grad
    p.data = [5, 6]
    assert p.tolist() == [5.0, 6.0] and p.dtype is gf.float32


def test_gradients_by_pytorchs_name() -> None:
    x, y = gf.tensor([1.0, 2.0], requires_grad=True), gf.tensor(3.0, requires_grad=True)
    (slope,) = gf.autograd.grad(outputs=x**3, inputs=x, grad_outputs=gf.tensor([1.0, 0.5]), create_graph=True)
    assert slope.tolist() == [3.0, 6.0]
    assert gf.autograd.grad(slope.sum(), (x, y), allow_unused=True)[0].tolist() == [6.0, 6.0]
    with pytest.raises(gf.errors.GradientError, match="do not depend on input 1; allow_unused=True"):
        gf.autograd.grad(x.sum(), [x, y])
    with pytest.raises(TypeError, match="a function, or tensors"):
        gf.grad(3.0)
    with pytest.raises(TypeError, match="not 'inputs'"):
        gf.grad(lambda x: x, inputs=x)


def test_streams_of_ones_own() -> None:
    def draws() -> list[list[float]]:
        g = gf.Generator().manual_seed(42)
        return [
            gf.randn(2, generator=g).tolist(),
            gf.rand(2, generator=g).tolist(),
            gf.randperm(4, generator=g).tolist(),
        ]

    assert draws() == draws()


def test_making_tensors_with_pytorchs_arguments() -> None:
    for x in (
        gf.randn(2, device="cpu", requires_grad=True),
        gf.zeros(2, 3, requires_grad=True),
        gf.eye(2, device="cpu"),
    ):
        assert isinstance(x, gf.Tensor)
    assert gf.ones(2, requires_grad=True).requires_grad and not gf.ones(2).requires_grad
    with pytest.raises(ValueError, match="no device 'cuda'"):
        gf.randn(2, device="cuda")
    assert (gf.float, gf.double, gf.half) == (gf.float32, gf.float64, gf.float16)
    assert (gf.long, gf.int, gf.short) == (gf.int64, gf.int32, gf.int16)
    drawn = gf.randint_like(gf.zeros((100,), dtype=gf.int32), 3)
    assert set(drawn.tolist()) == {0, 1, 2} and drawn.dtype is gf.int32


def test_mistakes() -> None:
    cases: list[tuple[Any, str]] = [
        (lambda: gf.ones((2, 3)).repeat(1, 2, 1), r"PyTorch's is x.tile\(1, 2, 1\) here"),
        (lambda: gf.arange(3).unfold(0, 4, 1), "windows of 4 elements, 1 apart, along axis 0 of size 3"),
        (lambda: gf.div(A, B, rounding_mode="round"), "rounding_mode"),
        (lambda: gf.quantile(gf.tensor(A), 1.5), "q from 0 to 1, got 1.5"),
        (lambda: gf.quantile(gf.tensor(A), 0.5, interpolation="cubic"), "interpolation is one of"),
        (lambda: gf.kthvalue(gf.tensor(C), 5), "k counts from 1"),
        (lambda: gf.kthvalue(gf.tensor(C), 0), "k counts from 1"),
        (lambda: gf.bincount(gf.tensor([-1])), "numbers from 0, got -1"),
        (lambda: gf.cdist(gf.tensor(A), gf.tensor(M)), "cdist takes"),
        (lambda: gf.pdist(gf.tensor(C)), "takes a matrix"),
        (lambda: gf.matrix_power(gf.tensor(A), 2), "square matrices"),
        (lambda: gf.scatter_reduce(gf.zeros(2), 0, gf.tensor([0]), gf.ones(1), "mean"), "reduce is one of"),
        (lambda: gf.multinomial(gf.ones((2, 2, 2)), 1), "vector or a matrix"),
    ]
    for call, message in cases:
        with pytest.raises((ValueError, TypeError), match=message):
            call()
