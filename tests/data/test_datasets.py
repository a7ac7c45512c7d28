from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from graphflow import datasets

IDX_DTYPES = ["uint8", "int8", "int16", "int32", "float32", "float64"]


def test_digits_hold_the_published_numbers() -> None:
    images, labels = datasets.load_digits()
    assert images.shape == (1797, 64) and images.dtype == np.float32
    assert labels.shape == (1797,) and labels.dtype == np.int64
    # The class distribution that the data set's own description gives for its test part.
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    np.testing.assert_array_equal((images[0] * 16)[:8], [0, 0, 5, 13, 9, 1, 0, 0])
    assert images.min() == 0 and images.max() == 1


def test_digits_split_is_a_stratified_partition() -> None:
    everything, labels = datasets.load_digits()
    train, train_labels = datasets.load_digits("train")
    test, test_labels = datasets.load_digits("test")
    assert len(train) == 1437 and len(test) == 360
    rows = {row.tobytes() for row in everything}  # all images differ, so the rows tell a partition
    assert len(rows) == 1797
    assert {row.tobytes() for row in train} | {row.tobytes() for row in test} == rows
    expected = np.bincount(labels) / 5
    assert np.all(np.abs(np.bincount(test_labels) - expected) < 1)
    np.testing.assert_array_equal(np.bincount(train_labels) + np.bincount(test_labels), np.bincount(labels))


def test_digits_as_images() -> None:
    flat, _ = datasets.load_digits("test")
    images, _ = datasets.load_digits("test", flatten=False)
    assert images.shape == (360, 1, 8, 8)
    np.testing.assert_array_equal(images.reshape(360, 64), flat)


def test_digits_unknown_split() -> None:
    with pytest.raises(ValueError, match="'train', 'test' or None"):
        datasets.load_digits("valid")


@given(
    data=st.data(), dtype=st.sampled_from(IDX_DTYPES), shape=array_shapes(min_dims=0, min_side=0), zipped=st.booleans()
)
def test_idx_round_trip(tmp_path_factory: pytest.TempPathFactory, data, dtype, shape, zipped) -> None:
    array = data.draw(arrays(dtype, shape))
    path = tmp_path_factory.mktemp("idx") / ("a.gz" if zipped else "a")
    datasets.write_idx(path, array)
    back = datasets.read_idx(path)
    assert back.dtype == array.dtype and back.dtype.isnative
    np.testing.assert_array_equal(back, array)


def test_idx_reads_what_the_format_says(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\0\0\x0b\x02" + struct.pack(">II", 2, 2) + struct.pack(">4h", 1, -2, 300, 4))
    np.testing.assert_array_equal(datasets.read_idx(tmp_path / "a"), [[1, -2], [300, 4]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no IDX file"),
        (b"\x89PNG....", "no IDX file"),
        (b"\0\0\x08\x02\0\0\0\x03", "ends inside its header"),
        (b"\0\0\x08\x01\0\0\0\x03ab", "should hold 3 bytes .* has only 2"),
        (b"\0\0\x08\x01\0\0\0\x03abcd", "should hold 3 bytes .* has more"),
        (b"\0\0\x0e\x02\xff\xff\xff\xff\xff\xff\xff\xff", "more than"),
        (gzip.compress(b"\0\0\x08\x01\0\0\0\x03ab", mtime=0), "should hold 3 bytes .* has only 2"),
    ],
)
def test_idx_refuses_damaged_files(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "bad").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        datasets.read_idx(tmp_path / "bad")


def test_idx_refuses_other_dtypes(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="int64"):
        datasets.write_idx(tmp_path / "a", np.arange(3))


def test_mnist_folder(tmp_path: Path) -> None:
    pixels = np.arange(3 * 28 * 28, dtype=np.uint8).reshape(3, 28, 28)
    datasets.write_idx(tmp_path / "t10k-images-idx3-ubyte.gz", pixels)
    datasets.write_idx(tmp_path / "t10k-labels-idx1-ubyte", np.array([7, 2, 1], dtype=np.uint8))
    images, labels = datasets.load_mnist(tmp_path, "test")
    assert images.shape == (3, 1, 28, 28) and images.dtype == np.float32
    np.testing.assert_allclose(images[:, 0] * 255, pixels, rtol=1e-6)
    assert labels.tolist() == [7, 2, 1] and labels.dtype == np.int64
    assert datasets.load_mnist(tmp_path, "test", flatten=True)[0].shape == (3, 784)
    with pytest.raises(FileNotFoundError, match="train-images-idx3-ubyte"):
        datasets.load_mnist(tmp_path)
    datasets.write_idx(tmp_path / "t10k-labels-idx1-ubyte", np.array([7], dtype=np.uint8))
    with pytest.raises(ValueError, match="n labels"):
        datasets.load_mnist(tmp_path, "test")


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8", newline="")
    return path


def test_csv_infers_each_column(tmp_path: Path) -> None:
    text = 'id,price,name,code\r\n1,2.5,"Doe, J.",1_2\r\n-3,,"say ""hi""",3_4\r\n'
    columns = datasets.read_csv(write(tmp_path / "a.csv", text))
    assert list(columns) == ["id", "price", "name", "code"]
    assert columns["id"].dtype == np.int64 and columns["id"].tolist() == [1, -3]
    assert columns["price"].dtype == np.float64 and columns["price"][0] == 2.5 and np.isnan(columns["price"][1])
    assert columns["name"].tolist() == ["Doe, J.", 'say "hi"']
    assert columns["code"].tolist() == ["1_2", "3_4"]


def test_csv_without_header_and_other_delimiter(tmp_path: Path) -> None:
    columns = datasets.read_csv(write(tmp_path / "a.csv", "\ufeff1;2\n\n3;4\n"), header=False, delimiter=";")
    assert {name: column.tolist() for name, column in columns.items()} == {"0": [1, 3], "1": [2, 4]}


def test_csv_whole_numbers_too_large_for_int64_are_floats(tmp_path: Path) -> None:
    assert datasets.read_csv(write(tmp_path / "a.csv", "n\n1\n99999999999999999999\n"))["n"].dtype == np.float64


def test_csv_empty(tmp_path: Path) -> None:
    assert datasets.read_csv(write(tmp_path / "a.csv", "")) == {}
    assert datasets.read_csv(write(tmp_path / "a.csv", "x,y\n"))["y"].shape == (0,)


def test_csv_errors_say_where(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"line 3: 1 cells where the first row has 2"):
        datasets.read_csv(write(tmp_path / "a.csv", "x,y\n1,2\n3\n"))
    with pytest.raises(ValueError, match="two columns are named 'x'"):
        datasets.read_csv(write(tmp_path / "a.csv", "x,x\n1,2\n"))
