from __future__ import annotations

from collections import Counter, namedtuple
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import graphflow as gf
from graphflow.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    TensorDataset,
    default_collate,
    random_split,
)


def pairs(n: int) -> TensorDataset:
    return TensorDataset(np.arange(2 * n, dtype=np.float32).reshape(n, 2), np.arange(n))


class Squares(Dataset):
    def __init__(self, n: int) -> None:
        self.n = n

    def __getitem__(self, index: int) -> tuple[int, float]:
        return index, float(index) ** 2

    def __len__(self) -> int:
        return self.n


class Stream(IterableDataset):
    def __iter__(self) -> Iterator[np.ndarray]:
        return (np.full(2, i, np.float32) for i in range(5))


def seen(loader: DataLoader) -> list[int]:
    """The labels of one epoch, in order."""
    return [int(i) for _, labels in loader for i in labels.numpy()]


# -- datasets ---------------------------------------------------------------------------------------------------------
def test_tensor_dataset_items() -> None:
    data = TensorDataset(gf.tensor([[1.0, 2.0], [3.0, 4.0]]), np.array([7, 8]))
    x, y = data[1]
    assert len(data) == 2 and isinstance(x, gf.Tensor)
    assert x.numpy().tolist() == [3, 4] and y.item() == 8 and y.shape == () and y.dtype == gf.int64
    assert data[-1][1].item() == 8 and data[:1][0].shape == (1, 2)
    with pytest.raises(IndexError):
        data[2]


def test_tensor_dataset_takes_foreign_byte_order() -> None:
    (x,) = TensorDataset(np.array([1, 2], dtype=">i4"))[1]
    assert x.dtype == gf.int32 and x.item() == 2


def test_tensor_dataset_errors() -> None:
    with pytest.raises(gf.errors.ShapeError, match=r"\(3,\), \(2,\)"):
        TensorDataset(np.zeros(3), np.zeros(2))
    with pytest.raises(gf.errors.ShapeError, match="one length"):
        TensorDataset(np.float32(1))
    with pytest.raises(ValueError, match="at least one"):
        TensorDataset()
    with pytest.raises(gf.errors.DTypeError):
        TensorDataset(np.array(["a", "b"]))


def test_subset_of_subset() -> None:
    part = Subset(Subset(Squares(10), [1, 3, 5, 7]), [3, 0])
    assert list(map(part.__getitem__, range(2))) == [(7, 49.0), (1, 1.0)] and len(part) == 2


def test_abstract_bases_say_what_is_missing() -> None:
    with pytest.raises(TypeError, match="__getitem__"):
        Dataset()  # type: ignore[abstract]
    with pytest.raises(TypeError, match="__iter__"):
        IterableDataset()  # type: ignore[abstract]


@given(sizes=st.lists(st.integers(0, 8), min_size=1), seed=st.integers(0, 2**32))
def test_random_split_is_a_partition(sizes: list[int], seed: int) -> None:
    parts = random_split(range(sum(sizes)), sizes, generator=seed)
    assert [len(part) for part in parts] == sizes
    assert sorted(i for part in parts for i in part.indices) == list(range(sum(sizes)))


def test_random_split_by_fractions_and_seed() -> None:
    assert [len(part) for part in random_split(range(11), [0.5, 0.25, 0.25])] == [6, 3, 2]
    assert [len(part) for part in random_split(range(1), [0.5, 0.5])] == [1, 0]
    first, again, other = (random_split(range(50), [30, 20], generator=seed)[0].indices.tolist() for seed in (3, 3, 4))
    assert first == again != other


@pytest.mark.parametrize("lengths", [[3, 3], [11, -1], [0.5, 0.4], [2.5, 7.5], []])
def test_random_split_refuses(lengths: list[float]) -> None:
    with pytest.raises(ValueError, match="add up to"):
        random_split(range(10), lengths)


# -- samplers ---------------------------------------------------------------------------------------------------------
def test_random_sampler_changes_with_epoch_and_repeats_with_seed() -> None:
    a, b = RandomSampler(range(20), generator=1), RandomSampler(range(20), generator=1)
    first, second = list(a), list(a)
    assert sorted(first) == sorted(second) == list(range(20)) and first != second
    assert [first, second] == [list(b), list(b)]
    assert all(type(i) is int for i in first)


def test_random_sampler_number_of_samples() -> None:
    more = list(RandomSampler(range(4), num_samples=10, generator=0))
    assert len(more) == 10 and set(Counter(more).values()) <= {2, 3}  # two permutations and a half
    drawn = list(RandomSampler(range(4), replacement=True, num_samples=100, generator=0))
    assert len(drawn) == 100 and set(drawn) == {0, 1, 2, 3}
    assert list(RandomSampler([])) == [] and list(RandomSampler([], replacement=True)) == []
    with pytest.raises(ValueError, match="empty"):
        RandomSampler([], num_samples=1)
    with pytest.raises(ValueError, match="negative"):
        RandomSampler(range(3), num_samples=-1)


@given(n=st.integers(0, 20), size=st.integers(1, 7), drop_last=st.booleans())
def test_batch_sampler(n: int, size: int, drop_last: bool) -> None:
    sampler = BatchSampler(SequentialSampler(range(n)), size, drop_last)
    batches = list(sampler)
    assert len(batches) == len(sampler) == (n // size if drop_last else -(-n // size))
    assert sum(batches, []) == list(range(n // size * size if drop_last else n))
    assert all(len(batch) == size for batch in batches[:-1])


def test_batch_sampler_size() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        BatchSampler(SequentialSampler(range(3)), 0, False)


# -- collate ----------------------------------------------------------------------------------------------------------
def test_collate_nests() -> None:
    Point = namedtuple("Point", "x y")
    batch = default_collate(
        [{"p": Point(1, 2.0), "l": [np.ones(2), "a"]}, {"p": Point(3, 4.0), "l": [np.zeros(2), "b"]}]
    )
    assert isinstance(batch["p"], Point)
    assert batch["p"].x.numpy().tolist() == [1, 3] and batch["p"].x.dtype == gf.int64
    assert batch["p"].y.numpy().tolist() == [2, 4] and batch["p"].y.dtype == gf.float32
    assert isinstance(batch["l"], list) and batch["l"][0].shape == (2, 2) and batch["l"][1] == ["a", "b"]


def test_collate_leaves() -> None:
    assert default_collate([True, False]).dtype == gf.bool
    assert default_collate([np.int16(1), np.int16(2)]).dtype == gf.int16
    assert default_collate([gf.tensor([1.0]), gf.tensor([2.0])]).numpy().tolist() == [[1], [2]]
    assert default_collate([b"x", b"y"]) == [b"x", b"y"]


def test_collate_errors_name_the_way_out() -> None:
    with pytest.raises(gf.errors.ShapeError, match=r"\(2,\), \(3,\).*collate_fn"):
        default_collate([np.zeros(3), np.zeros(2)])
    with pytest.raises(gf.errors.ShapeError, match=r"\[1, 2\].*collate_fn"):
        default_collate([(1,), (1, 2)])
    with pytest.raises(TypeError, match="object.*collate_fn"):
        default_collate([object()])


# -- loader -----------------------------------------------------------------------------------------------------------
def test_loader_in_order() -> None:
    batches = list(DataLoader(pairs(5), batch_size=2))
    assert [x.shape for x, _ in batches] == [(2, 2), (2, 2), (1, 2)]
    np.testing.assert_array_equal(np.concatenate([x.numpy() for x, _ in batches]), np.arange(10).reshape(5, 2))
    assert len(DataLoader(pairs(5), 2)) == 3 and len(DataLoader(pairs(5), 2, drop_last=True)) == 2
    assert seen(DataLoader(pairs(5), 2, drop_last=True)) == [0, 1, 2, 3]


def test_loader_shuffles_reproducibly() -> None:
    one, two = (DataLoader(pairs(30), 4, shuffle=True, generator=7) for _ in range(2))
    first, second = seen(one), seen(one)
    assert first != second and sorted(first) == sorted(second) == list(range(30))
    assert [seen(two), seen(two)] == [first, second]


def test_loader_shuffle_follows_the_global_seed() -> None:
    def epochs(seed: int) -> list[list[int]]:
        gf.random.seed(seed)
        loader = DataLoader(pairs(30), 4, shuffle=True)
        return [seen(loader), seen(loader)]

    assert epochs(1) == epochs(1) != epochs(2)
    first, second = epochs(1)
    assert first != second


def test_loader_draws_at_once_while_a_graph_is_recorded() -> None:
    with gf.Graph() as graph:
        labels = seen(DataLoader(pairs(10), 4, shuffle=True))
        part, _ = random_split(range(10), [4, 6])
        drawn = list(RandomSampler(range(4), replacement=True))
    assert sorted(labels) == list(range(10)) and len(part) == len(drawn) == 4
    assert not graph.nodes


def test_loader_keeps_samples_together() -> None:
    for x, y in DataLoader(pairs(9), 4, shuffle=True):
        np.testing.assert_array_equal(x.numpy()[:, 0], 2 * y.numpy())


@pytest.mark.parametrize(
    "wrap", [lambda d: d, lambda d: Subset(d, [8, 2, 5]), lambda d: Subset(Subset(d, [1, 8, 5]), [2, 0])]
)
def test_rows_at_once_equal_collated_samples(wrap) -> None:
    data = wrap(pairs(9))
    for fast, slow in zip(DataLoader(data, 2), DataLoader(data, 2, collate_fn=default_collate), strict=True):
        for a, b in zip(fast, slow, strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_a_subclass_that_changes_samples_is_obeyed() -> None:
    class Negated(TensorDataset):
        def __getitem__(self, index):
            x, y = super().__getitem__(index)
            return -x.numpy(), y

    ((x, _),) = DataLoader(Negated(np.ones((3, 1)), np.arange(3)), batch_size=3)
    assert x.numpy().tolist() == [[-1], [-1], [-1]]


def test_batches_do_not_change_with_the_array() -> None:
    array = np.zeros((4, 1))
    ((batch,),) = DataLoader(TensorDataset(array), batch_size=4)
    array[:] = 1
    assert not batch.numpy().any()


def test_loader_of_any_indexable() -> None:
    assert [b.numpy().tolist() for b in DataLoader([1.0, 2.0, 3.0], 2)] == [[1, 2], [3]]
    index, square = next(iter(DataLoader(Squares(4), batch_size=4)))
    assert index.numpy().tolist() == [0, 1, 2, 3] and square.numpy().tolist() == [0, 1, 4, 9]


def test_loader_of_a_stream() -> None:
    loader = DataLoader(Stream(), batch_size=2)
    assert [b.shape for b in loader] == [(2, 2), (2, 2), (1, 2)]
    assert [b.shape for b in DataLoader(Stream(), 2, drop_last=True)] == [(2, 2), (2, 2)]
    with pytest.raises(TypeError, match="len"):
        len(loader)


def test_loader_with_samplers_and_collate() -> None:
    assert seen(DataLoader(pairs(5), 2, sampler=[4, 0, 2])) == [4, 0, 2]
    assert [y.numpy().tolist() for _, y in DataLoader(pairs(5), batch_sampler=[[3], [0, 1]])] == [[3], [0, 1]]
    assert list(DataLoader(Squares(3), 2, collate_fn=len)) == [2, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "at least 1"),
        ({"shuffle": True, "sampler": [0]}, "leave out shuffle"),
        ({"batch_size": 2, "batch_sampler": [[0]]}, "leave out batch_size"),
        ({"drop_last": True, "batch_sampler": [[0]]}, "leave out batch_size"),
    ],
)
def test_loader_refuses_contradictions(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DataLoader(Squares(3), **options)


def test_stream_refuses_an_order() -> None:
    with pytest.raises(ValueError, match="its own order"):
        DataLoader(Stream(), shuffle=True)
