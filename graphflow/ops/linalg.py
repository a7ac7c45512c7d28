"""Products of matrices and vectors, and functions of matrices. One primitive, ``matmul``, does the arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.core.aval import AVal
from graphflow.core.dims import Dim, Size, broadcast_shapes, normalize_axis, product, same_size, shape_str
from graphflow.core.dispatch import apply
from graphflow.core.dtypes import bool_
from graphflow.core.errors import DTypeError, ShapeError, at_line, user_origin
from graphflow.core.op import Sample
from graphflow.ops.arrange import matrix_transpose, moveaxis, squeeze
from graphflow.ops.define import coerce, primitive, promote, public
from graphflow.ops.elementwise import needs_gradient
from graphflow.ops.fused import fused
from graphflow.ops.matrices import diagonal
from graphflow.ops.movement import expand_dims, permute_dims, reshape
from graphflow.ops.reduce import sum as total
from graphflow.tensor import Array, Operators, Tensor, as_tensor


def _fail(message: str) -> ShapeError:
    return ShapeError(at_line(message, user_origin()))


# -- matmul ------------------------------------------------------------------------------------------------------------
def _matmul_infer(a: AVal, b: AVal) -> AVal:
    if a.dtype is not b.dtype or a.dtype is bool_:
        raise DTypeError(f"the operands need one numeric dtype, got {a.dtype} and {b.dtype}")
    if a.ndim < 2 or b.ndim < 2 or not same_size(a.shape[-1], b.shape[-2]):
        raise ShapeError(_mismatch(a, b))
    try:
        batch = broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ShapeError:
        shapes = f"{shape_str(a.shape)} and {shape_str(b.shape)}"
        raise ShapeError(f"shapes {shapes}: the axes before the last two do not broadcast") from None
    return AVal((*batch, a.shape[-2], b.shape[-1]), a.dtype)


def _mismatch(a: Any, b: Any) -> str:
    shapes = f"shapes {shape_str(a.shape)} and {shape_str(b.shape)}"
    if a.ndim == 0 or b.ndim == 0:
        return f"{shapes}: both need at least one axis; multiply scalars with *"
    inner = b.shape[-2] if b.ndim > 1 else b.shape[0]
    hint = ""
    if b.ndim > 1 and a.shape[-1] == b.shape[-1]:
        hint = "; the second operand's transpose (.mT) would fit"
    row = "second to last" if b.ndim > 1 else "only"
    return f"{shapes}: the last size of the first, {a.shape[-1]}, and the {row} of the second, {inner}, differ{hint}"


def _matmul_ref(a: Array, b: Array) -> Array:
    if a.dtype.itemsize == 2 and a.dtype.kind in "fV":  # 16-bit floats are added up in float32, as kernels do
        return np.matmul(a.astype(np.float32), b.astype(np.float32)).astype(a.dtype)
    with np.errstate(all="ignore"):
        return np.matmul(a, b)


def _matmul_vjp(g: Tensor, out: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor | None, Tensor | None]:
    ga = _product(g, matrix_transpose(b)) if needs_gradient(a) else None
    gb = _product(matrix_transpose(a), g) if needs_gradient(b) else None
    return ga, gb


MATMUL = primitive(
    "matmul",
    "contract",
    _matmul_infer,
    _matmul_ref,
    _matmul_vjp,
    samples=lambda: [
        Sample(((2, 3), (3, 4))),
        Sample(((2, 1, 2, 3), (3, 3, 2))),
        Sample(((2, 0), (0, 3))),
        Sample(((0, 2), (2, 3))),
        Sample(((1, 3), (3, 1))),
    ],
    dtypes="numeric",
    cost=2,
    doc="The matrix product of the last two axes; the axes before them broadcast.",
)


def _product(a: Tensor, b: Tensor) -> Tensor:
    return apply(MATMUL, (a, b), {})  # type: ignore[no-any-return]


@public(methods=("__matmul__", "matmul"))
def matmul(x1: Any, x2: Any, /) -> Tensor:
    """The matrix product ``x1 @ x2``: of the last two axes, the axes before them broadcast; vectors lose their axis.

    Raises ShapeError if the sizes that are summed over differ.

    >>> import graphflow as gf
    >>> (gf.ones((5, 2, 3)) @ gf.ones((3, 4))).shape, (gf.ones((2, 3)) @ gf.ones(3)).shape
    ((5, 2, 4), (2,))
    """
    a, b = (coerce(MATMUL, t) for t in promote(x1, x2))
    if a.ndim == 0 or b.ndim == 0:
        raise _fail(f"matmul: {_mismatch(a, b)}")
    if a.ndim == 1 or b.ndim == 1:
        if not same_size(a.shape[-1], b.shape[-2 if b.ndim > 1 else 0]) and not _symbolic(a, b):
            raise _fail(f"matmul: {_mismatch(a, b)}")
        out = matmul(expand_dims(a, 0) if a.ndim == 1 else a, expand_dims(b, 1) if b.ndim == 1 else b)
        return squeeze(out, tuple(axis for axis, t in ((-2, a), (-1, b)) if t.ndim == 1))
    if a.ndim > 2 and b.ndim == 2 and (a.shape[-1] == b.shape[0] or _symbolic(a, b)):
        # One large product instead of many small ones, for its gradient too.
        rows = reshape(a, (product(a.shape[:-1]), a.shape[-1]))
        return reshape(_product(rows, b), (*a.shape[:-1], b.shape[1]))
    return _product(a, b)


def _symbolic(*tensors: Tensor) -> bool:
    return any(isinstance(s, Dim) for t in tensors for s in t.shape)


Operators.__rmatmul__ = lambda self, other: matmul(other, self)  # type: ignore[attr-defined]


# -- general contractions ----------------------------------------------------------------------------------------------
Labels = tuple[Any, ...]  # what names the axes of a tensor: a letter, or a number for the axes of "..."


def _contract(a: Tensor, la: Labels, b: Tensor, lb: Labels, keep: set[Any]) -> tuple[Tensor, Labels]:
    """The product of two tensors summed over the labels that are not kept, as one matmul."""
    a, la = _sum_out(a, la, keep | set(lb))
    b, lb = _sum_out(b, lb, keep | set(la))
    a, la, b, lb = *_drop_ones(a, la, b, lb), *_drop_ones(b, lb, a, la)
    both = [x for x in la if x in lb]
    batch, summed = [x for x in both if x in keep], [x for x in both if x not in keep]
    left, right = [x for x in la if x not in lb], [x for x in lb if x not in la]
    size: dict[Any, Size] = {**dict(zip(lb, b.shape)), **dict(zip(la, a.shape))}

    def sizes(labels: Sequence[Any]) -> tuple[Size, ...]:
        return tuple(size[x] for x in labels)

    a = reshape(
        _ordered(a, la, [*batch, *left, *summed]), (*sizes(batch), product(sizes(left)), product(sizes(summed)))
    )
    b = _ordered(b, lb, [*batch, *summed, *right])
    b = reshape(b, (*b.shape[: len(batch)], product(b.shape[len(batch) :][: len(summed)]), product(sizes(right))))
    out = _product(a, b) if summed else a * b  # with nothing to sum over it is an outer product: elementwise
    return reshape(out, sizes([*batch, *left, *right])), (*batch, *left, *right)


def _sum_out(x: Tensor, labels: Labels, keep: set[Any]) -> tuple[Tensor, Labels]:
    gone = tuple(i for i, label in enumerate(labels) if label not in keep)
    return (total(x, axis=gone, dtype=x.dtype) if gone else x), tuple(label for label in labels if label in keep)


def _drop_ones(x: Tensor, lx: Labels, y: Tensor, ly: Labels) -> tuple[Tensor, Labels]:
    """x without the axes of size 1 that broadcast against an axis of y."""
    gone = tuple(i for i, n in enumerate(lx) if x.shape[i] == 1 and n in ly and y.shape[ly.index(n)] != 1)
    return squeeze(x, gone) if gone else x, tuple(label for i, label in enumerate(lx) if i not in gone)


def _ordered(x: Tensor, labels: Labels, order: Sequence[Any]) -> Tensor:
    return permute_dims(x, tuple(labels.index(label) for label in order))


@public(methods=("tensordot",))
def tensordot(x1: Any, x2: Any, /, *, axes: int | Sequence[Any] = 2) -> Tensor:
    """The product of x1 and x2 summed over the last ``axes`` axes of x1 and the first of x2, or over listed pairs.

    Raises ShapeError if the sizes of a pair differ.

    >>> import graphflow as gf
    >>> gf.tensordot(gf.ones((2, 3, 4)), gf.ones((4, 3, 5)), axes=((1, 2), (1, 0))).shape
    (2, 5)
    """
    a, b = promote(x1, x2)
    if isinstance(axes, int):
        axes = (range(a.ndim - axes, a.ndim), range(axes))
    first, second = ([s] if isinstance(s, int) else list(s) for s in axes)
    if len(first) != len(second) or max(len(first), len(second)) > min(a.ndim, b.ndim):
        raise _fail(f"tensordot over axes {first} and {second} of shapes {shape_str(a.shape)} and {shape_str(b.shape)}")
    la, lb = list(range(a.ndim)), list(range(a.ndim, a.ndim + b.ndim))
    for i, j in zip(first, second):
        i, j = normalize_axis(i, a.ndim), normalize_axis(j, b.ndim)
        if a.shape[i] != b.shape[j] and not _symbolic(a, b):
            shapes = f"{shape_str(a.shape)} and {shape_str(b.shape)}"
            raise _fail(f"tensordot of shapes {shapes}: axes {i} and {j} have sizes {a.shape[i]} and {b.shape[j]}")
        lb[j] = la[i]
    keep = set(la) ^ set(lb)
    return _contract(a, tuple(la), b, tuple(lb), keep)[0]


@public
def einsum(equation: str, *operands: Any) -> Tensor:
    """Einstein summation: ``"bij,bjk->bik"`` multiplies matrices in a batch.

    Letters name axes; those left out of the result are summed over (without ``->``: those named twice). A letter named
    twice in one operand takes its diagonal; ``...`` stands for axes that broadcast. Raises ShapeError if the equation
    and the operands do not fit.

    >>> import graphflow as gf
    >>> x = gf.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> gf.einsum("ii", x).item(), gf.einsum("ij,kj->ik", x, x).tolist()
    (5.0, [[5.0, 11.0], [11.0, 25.0]])
    """
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    tensors = list(promote(*operands) if len(operands) > 1 else map(as_tensor, operands))
    terms, result = _parse(equation, tensors)
    _check_sizes(equation, tensors, terms)
    tensors, terms = map(list, zip(*map(_diagonals, tensors, terms)))  # type: ignore[assignment]
    out, labels = tensors[0], terms[0]
    for i in range(1, len(tensors)):
        later = set(result).union(*terms[i + 1 :])
        out, labels = _contract(out, labels, tensors[i], terms[i], later)
    out, labels = _sum_out(out, labels, set(result))
    return _ordered(out, labels, result)


def _parse(equation: str, tensors: Sequence[Tensor]) -> tuple[list[Labels], Labels]:
    """The labels of each operand and of the result. The axes of ``...`` get the numbers -1, -2, ... from the right."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    parts = left.split(",")
    if len(parts) != len(tensors):
        raise _fail(f"einsum {equation!r} names {len(parts)} operands, got {len(tensors)}")
    wild = 0
    terms: list[Labels] = []
    for text, t in zip(parts, tensors):
        head, dots, tail = text.partition("...")
        extra = t.ndim - len(head) - len(tail)
        if not (head + tail).isalpha() and head + tail or extra < 0 or (extra and not dots):
            raise _fail(
                f"einsum {equation!r}: {text!r} does not name the axes of an operand of shape {shape_str(t.shape)}"
            )
        terms.append((*head, *range(-extra, 0), *tail))
        wild = max(wild, extra)
    letters = [x for term in terms for x in term if isinstance(x, str)]
    if not arrow:
        return terms, (*range(-wild, 0), *sorted(x for x in set(letters) if letters.count(x) == 1))
    head, dots, tail = right.partition("...")
    result = (*head, *(range(-wild, 0) if dots else ()), *tail)
    unknown = [x for x in head + tail if x not in letters]
    if unknown or len(set(result)) != len(result):
        raise _fail(f"einsum {equation!r}: the result {right!r} names an axis twice, or one that no operand has")
    return terms, result


def _check_sizes(equation: str, tensors: Sequence[Tensor], terms: Sequence[Labels]) -> None:
    size: dict[Any, Size] = {}
    for t, term in zip(tensors, terms):
        for label, n in zip(term, t.shape):
            have = size.setdefault(label, n)
            if have == 1:
                size[label] = n
            elif n not in (have, 1) and not isinstance(n, Dim) and not isinstance(have, Dim):
                name = label if isinstance(label, str) else "..."
                shapes = ", ".join(shape_str(x.shape) for x in tensors)
                raise _fail(f"einsum {equation!r} of shapes {shapes}: axis {name!r} has sizes {have} and {n}")


def _diagonals(x: Tensor, labels: Labels) -> tuple[Tensor, Labels]:
    """x with each label once: a repeated one keeps the diagonal."""
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            i = labels.index(label)
            j = labels.index(label, i + 1)
            x = diagonal(x, 0, i, j)  # its axis is the last one now
            labels = (*(n for k, n in enumerate(labels) if k not in (i, j)), label)
    return x, labels


# -- products of vectors -----------------------------------------------------------------------------------------------
@public(methods=("vecdot",))
def vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Tensor:
    """The sum of products along one axis, which both have; the other axes broadcast.

    >>> import graphflow as gf
    >>> gf.vecdot(gf.tensor([[1.0, 2.0], [3.0, 4.0]]), gf.tensor([1.0, 1.0])).tolist()
    [3.0, 7.0]
    """
    a, b = promote(x1, x2)
    for t in (a, b):
        normalize_axis(axis, t.ndim)
    if axis >= 0 and a.ndim != b.ndim:
        a, b = moveaxis(a, axis, -1), moveaxis(b, axis, -1)
        axis = -1
    if a.shape[axis] != b.shape[axis] and not _symbolic(a, b):
        raise _fail(f"vecdot of shapes {shape_str(a.shape)} and {shape_str(b.shape)}: sizes on axis {axis} differ")
    return total(a * b, axis=axis, dtype=a.dtype)


@public(methods=("dot",))
def dot(x1: Any, x2: Any, /) -> Tensor:
    """The product of two vectors; otherwise ``matmul``.

    >>> import graphflow as gf
    >>> gf.dot(gf.tensor([1.0, 2.0]), gf.tensor([3.0, 4.0])).item()
    11.0
    """
    a, b = promote(x1, x2)
    return vecdot(a, b) if a.ndim == b.ndim == 1 else matmul(a, b)


@public(methods=("outer",))
def outer(x1: Any, x2: Any, /) -> Tensor:
    """The products of all pairs of elements of two vectors.

    >>> import graphflow as gf
    >>> gf.outer(gf.tensor([1, 2]), gf.tensor([3, 4])).tolist()
    [[3, 4], [6, 8]]
    """
    a, b = promote(x1, x2)
    if a.ndim != 1 or b.ndim != 1:
        raise _fail(f"outer needs two vectors, got shapes {shape_str(a.shape)} and {shape_str(b.shape)}")
    return expand_dims(a, 1) * b


@public(methods=("inner",))
def inner(x1: Any, x2: Any, /) -> Tensor:
    """The sum of products over the last axes of both.

    >>> import graphflow as gf
    >>> gf.inner(gf.ones((2, 3)), gf.ones((4, 3))).shape
    (2, 4)
    """
    a, b = promote(x1, x2)
    return a * b if a.ndim == 0 or b.ndim == 0 else tensordot(a, b, axes=((-1,), (-1,)))


# -- PyTorch's spellings -----------------------------------------------------------------------------------------------
@public(methods=("bmm",))
def bmm(x1: Any, x2: Any, /) -> Tensor:
    """``matmul`` of two batches of matrices (rank 3, equal batch sizes)."""
    a, b = promote(x1, x2)
    if a.ndim != 3 or b.ndim != 3 or (a.shape[0] != b.shape[0] and not _symbolic(a, b)):
        raise _fail(f"bmm needs rank 3 and equal batches, got shapes {shape_str(a.shape)} and {shape_str(b.shape)}")
    return matmul(a, b)


@public(methods=("mm",))
def mm(x1: Any, x2: Any, /) -> Tensor:
    """``matmul`` of two matrices."""
    a, b = promote(x1, x2)
    if a.ndim != 2 or b.ndim != 2:
        raise _fail(f"mm needs two matrices, got shapes {shape_str(a.shape)} and {shape_str(b.shape)}")
    return matmul(a, b)


@public(methods=("addmm",))
def addmm(x: Any, mat1: Any, mat2: Any, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """``beta * x + alpha * (mat1 @ mat2)``; x broadcasts.

    >>> import graphflow as gf
    >>> gf.addmm(gf.ones(2), gf.ones((3, 4)), gf.ones((4, 2))).tolist()
    [[5.0, 5.0], [5.0, 5.0], [5.0, 5.0]]
    """
    out = mm(mat1, mat2)
    out = out if alpha == 1 else out * alpha
    x = as_tensor(x)
    return out if beta == 0 else out + (x if beta == 1 else x * beta)


@public
@fused("rows")
def linear(x: Any, weight: Any, bias: Any = None) -> Tensor:
    """``x @ weight.mT + bias``, with PyTorch's layout of weights: (outputs, inputs).

    >>> import graphflow as gf
    >>> gf.linear(gf.ones((5, 3)), gf.ones((2, 3)), gf.ones(2)).shape
    (5, 2)
    """
    x, weight = as_tensor(x), as_tensor(weight)
    if x.ndim and weight.ndim and not same_size(x.shape[-1], weight.shape[-1]):
        message = (
            f"linear: the weight {shape_str(weight.shape)} is for {weight.shape[-1]} features, "
            f"the input has shape {shape_str(x.shape)}"
        )
        raise ShapeError(at_line(message, user_origin()))
    out = matmul(x, matrix_transpose(weight) if weight.ndim > 1 else weight)
    return out if bias is None else out + bias
