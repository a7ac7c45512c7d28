"""Random numbers: the published vectors, the same bits in every mode, and the shapes of the distributions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.ops.random import RANDOM_BITS, Generator, philox4x32
from graphflow.testing import check_parity

# Known answers of Philox4x32-10 from the authors' Random123 library (kat_vectors): counter, key, output.
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def _words(text: str) -> tuple[int, ...]:
    return tuple(int(w, 16) for w in text.split())


@pytest.mark.parametrize("counter, key, output", KNOWN)
def test_known_answers(counter: str, key: str, output: str) -> None:
    assert tuple(int(w) for w in philox4x32(_words(counter), _words(key))) == _words(output)  # type: ignore[arg-type]


def test_elements_take_the_words_of_their_block() -> None:
    seed, counter = 0x299F31D0A4093822, 0x0370734413198A2E
    bits = RANDOM_BITS.ref(np.array(seed), np.array(counter), shape=(3, 50000))
    low, high = seed & 0xFFFFFFFF, seed >> 32
    for element in (0, 1, 5, 99999, 149999):
        block = philox4x32((element >> 2, 0, 0x13198A2E, 0x03707344), (low, high))
        assert bits.reshape(-1)[element] == block[element & 3]


DRAWS = {
    "normal": lambda g: g.normal((3, 5)),
    "normal64": lambda g: g.normal((7,), 1.0, 2.0, dtype=gf.float64),
    "uniform": lambda g: g.uniform((2, 3), -1, 1),
    "uniform16": lambda g: g.uniform((5,), dtype=gf.float16),
    "randint": lambda g: g.randint(-5, 1000, (9,)),
    "randint64": lambda g: g.randint(-(2**62), 2**62, size=(9,)),
    "bernoulli": lambda g: g.bernoulli(gf.full((8,), 0.3)),
    "exponential": lambda g: g.exponential((4,)),
    "categorical": lambda g: g.categorical(gf.zeros((4, 6))),
    "permutation": lambda g: g.permutation(11),
    "scalar": lambda g: g.uniform(),
    "none": lambda g: g.uniform((0, 3)),
}


@pytest.mark.parametrize("name", DRAWS)
def test_every_mode_draws_the_same_numbers(name: str) -> None:
    """The same bits, except through logarithms and cosines, whose last digit may differ."""
    approximate = name in ("normal", "normal64", "exponential")
    generator = gf.random.default_generator
    check_parity(
        lambda: [DRAWS[name](generator), DRAWS[name](generator)], grad=False, tolerance=None if approximate else 0.0
    )


def test_draws_differ_and_seeds_repeat() -> None:
    generator = Generator(5)
    a, b = generator.uniform((100,)).numpy(), generator.uniform((100,)).numpy()
    assert (a != b).any() and np.unique(a).size == 100
    np.testing.assert_array_equal(Generator(5).uniform((100,)), a)
    assert (Generator(6).uniform((100,)).numpy() != a).any()
    np.testing.assert_array_equal(generator.seed(5).uniform((100,)), a)
    state = generator.get_state()
    np.testing.assert_array_equal(generator.uniform((100,)), b)
    generator.set_state(state)
    np.testing.assert_array_equal(generator.uniform((100,)), b)
    assert Generator(-1).get_state() == Generator(2**64 - 1).get_state() == (-1, 0)


def test_eager_and_graph_share_the_stream() -> None:
    from graphflow.ir.interpreter import evaluate

    gf.random.seed(3)
    want = [gf.random.uniform((4,)).tolist() for _ in range(4)]
    gf.random.seed(3)
    assert gf.random.uniform((4,)).tolist() == want[0]
    graph = gf.Graph()
    with graph:
        draws = [gf.random.uniform((4,)), gf.random.uniform((4,))]
    values = evaluate([t._node for t in draws])
    assert [v.tolist() for v in values] == want[1:3]
    assert gf.random.uniform((4,)).tolist() == want[3]


def test_distributions() -> None:
    n = 100_000
    g = Generator(0)
    u, z, u64 = (t.numpy() for t in (g.uniform((n,)), g.normal((n,)), g.uniform((n,), dtype=gf.float64)))
    assert u.min() >= 0 and u.max() < 1 and abs(u.mean() - 0.5) < 4 / math.sqrt(12 * n)
    assert abs(z.mean()) < 4 / math.sqrt(n) and abs(z.std() - 1) < 0.01 and abs((z**3).mean()) < 0.04
    assert (u64 * 2**53 % 1 == 0).all() and (u64 * 2**40 % 1 != 0).any(), "53 bits, not 24"
    assert np.corrcoef(u[:-1], u[1:])[0, 1] == pytest.approx(0, abs=0.015)
    for draw, mean in ((g.exponential((n,), 2.0), 0.5), (g.gumbel((n,)), 0.5772), (g.bernoulli(0.3, (n,)), 0.3)):
        assert draw.numpy().mean() == pytest.approx(mean, abs=0.02) and np.isfinite(draw.numpy()).all()
    counts = np.bincount(g.randint(0, 10, (n,)).numpy(), minlength=10)
    assert counts.size == 10 and (abs(counts / n - 0.1) < 0.005).all()
    classes = g.categorical(gf.log(gf.tensor([[0.1, 0.2, 0.7]] * 20000))).numpy()
    np.testing.assert_allclose(np.bincount(classes) / 20000, [0.1, 0.2, 0.7], atol=0.015)


def test_permutations() -> None:
    p = gf.random.permutation(1000).numpy()
    assert sorted(p.tolist()) == list(range(1000)) and p.tolist() != list(range(1000))
    rows = gf.random.permutation(gf.tensor([[1, 2], [3, 4], [5, 6]])).tolist()
    assert sorted(rows) == [[1, 2], [3, 4], [5, 6]]


@pytest.mark.parametrize(
    "wrong, error",
    [
        (lambda: gf.random.randint(3, 3), ValueError),
        (lambda: gf.random.normal((2,), dtype=gf.int32), TypeError),
    ],
)
def test_wrong_arguments(wrong: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        wrong()
