"""Datasets of images on disk, and the way from a URL to a file."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import graphflow as gf
from graphflow import datasets
from graphflow.data import transforms
from graphflow.datasets.fetching import download, extract, is_whole


# -- MNIST's format ---------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(datasets.digits_as_mnist(tmp_path_factory.mktemp("mnist")))


def test_the_embedded_digits_as_mnist(mnist: Path) -> None:
    train, test = datasets.MNIST(mnist), datasets.MNIST(mnist, train=False)
    assert len(train) == 1437 and len(test) == 360 and train.data.shape[1:] == (28, 28)
    assert train.data.dtype == np.uint8 and train.data.max() == 255 and (train.data[:, :4] == 0).all()
    images, labels = datasets.load_digits("test", flatten=False)
    assert test.targets.tolist() == labels.tolist()
    # Scaled up, each is still nearest to the image that it came from.
    small = transforms.functional.resize(gf.tensor(test.data[:, 4:24, 4:24] / np.float32(255)), (8, 8)).numpy()
    apart = ((small[:, None] - images[None, :, 0]) ** 2).sum((2, 3))
    assert (apart.argmin(1) == np.arange(360)).mean() > 0.99
    again, _ = datasets.load_mnist(mnist, "test")
    assert np.allclose(again[:, 0], test.data / 255)


def test_transforms_of_samples(mnist: Path) -> None:
    prepare = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))])
    digits = datasets.MNIST(mnist, train=False, transform=prepare, target_transform=lambda label: label % 2)
    image, label = digits[10]
    assert isinstance(image, gf.Tensor) and image.shape == (1, 28, 28) and label in (0, 1)
    x, y = next(iter(gf.data.DataLoader(digits, batch_size=16)))
    assert x.shape == (16, 1, 28, 28) and y.dtype == gf.int64


def test_files_may_lie_where_torchvision_puts_them(mnist: Path, tmp_path: Path) -> None:
    images, labels = datasets.MNIST(mnist, train=False).data[:3], np.array([1, 2, 3])
    datasets.write_mnist(tmp_path / "MNIST" / "raw", images, labels, "test", compress=False)
    digits = datasets.MNIST(tmp_path, train=False)
    assert [label for _, label in map(digits.__getitem__, range(3))] == [1, 2, 3]
    with pytest.raises(FileNotFoundError, match="download=True where there is a network"):
        datasets.MNIST(tmp_path, train=True)
    with pytest.raises(FileNotFoundError, match="digits_as_mnist"):
        datasets.FashionMNIST(tmp_path)


def test_write_mnist_refuses(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="n labels"):
        datasets.write_mnist(tmp_path, np.zeros((2, 3, 3)), np.zeros(3))
    with pytest.raises(ValueError, match="0 to 255"):
        datasets.write_mnist(tmp_path, np.zeros((1, 3, 3)), np.array([300]))
    with pytest.raises(ValueError, match="'train' or 'test'"):
        datasets.write_mnist(tmp_path, np.zeros((1, 3, 3)), np.zeros(1), "valid")


# -- CIFAR ------------------------------------------------------------------------------------------------------------
def test_cifar(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (4, 32, 32, 3)).astype(np.uint8), np.array([3, 0, 9, 1])
    datasets.write_cifar(tmp_path / "test_batch.bin", images, labels)
    cifar = datasets.CIFAR10(tmp_path, train=False)
    assert (cifar.data == images).all() and cifar.targets.tolist() == labels.tolist()
    assert cifar.classes[3] == "cat" and cifar.class_to_idx["ship"] == 8
    raw = (tmp_path / "test_batch.bin").read_bytes()
    assert raw[0] == 3 and raw[1 : 1 + 1024] == images[0, ..., 0].tobytes()  # red first, as the format says
    rows = np.frombuffer(raw, np.uint8).reshape(4, -1)
    np.insert(rows, 0, 7, axis=1).tofile(tmp_path / "test.bin")  # CIFAR-100 has a coarse label in front
    assert datasets.CIFAR100(tmp_path, train=False).targets.tolist() == labels.tolist()
    (tmp_path / "test_batch.bin").write_bytes(raw[:-1])
    with pytest.raises(gf.errors.FileFormatError, match="whole number of records"):
        datasets.CIFAR10(tmp_path, train=False)
    with pytest.raises(FileNotFoundError, match="data_batch_1.bin"):
        datasets.CIFAR10(tmp_path)


# -- folders ----------------------------------------------------------------------------------------------------------
def test_image_folder(tmp_path: Path) -> None:
    pillow = pytest.importorskip("PIL.Image")
    for number, name in enumerate(["ant", "bee"]):
        (tmp_path / name / "more").mkdir(parents=True)
        for i in range(2):
            pillow.fromarray(np.full((3, 4, 3), 10 * number + i, np.uint8)).save(tmp_path / name / "more" / f"{i}.png")
        (tmp_path / name / "notes.txt").write_text("no image")
    folder = datasets.ImageFolder(tmp_path, transform=transforms.ToTensor())
    assert folder.classes == ["ant", "bee"] and folder.targets == [0, 0, 1, 1]
    image, label = folder[3]
    assert image.shape == (3, 3, 4) and label == 1 and np.allclose(image.numpy(), 11 / 255)
    assert datasets.read_image(folder.imgs[0][0], "L").shape == (3, 4)
    (tmp_path / "cat").mkdir()
    with pytest.raises(FileNotFoundError, match="no file .* of class cat"):
        datasets.ImageFolder(tmp_path)
    assert len(datasets.ImageFolder(tmp_path, allow_empty=True)) == 4
    (tmp_path / "cat" / "c.png").write_bytes(b"not a picture")
    with pytest.raises(ValueError, match=r"c\.png is no image"):
        datasets.ImageFolder(tmp_path)[4]
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        datasets.ImageFolder(tmp_path / "none")


def test_pillow_is_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match="pip install pillow"):
        datasets.read_image(tmp_path / "a.png")


def test_npz(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.arange(3), y=np.ones(2))
    assert set(datasets.load_npz(tmp_path / "d.npz")) == {"x", "y"}
    with pytest.raises(KeyError, match="it has: x, y"):
        datasets.load_npz(tmp_path / "d.npz", "x", "z")
    np.savez(tmp_path / "o.npz", x=np.array([print], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        datasets.load_npz(tmp_path / "o.npz", "x")


# -- downloads --------------------------------------------------------------------------------------------------------
class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    folder = tmp_path / "served"
    folder.mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}/", folder
        running.shutdown()
        thread.join()


def test_download(server: tuple[str, Path], tmp_path: Path) -> None:
    url, folder = server
    content = bytes(range(256)) * 300
    (folder / "a.bin").write_bytes(content)
    md5, sha = (hashlib.new(name, content).hexdigest() for name in ("md5", "sha256"))
    target = tmp_path / "kept" / "a.bin"
    for expected in (md5, sha, None):
        assert download([url + "missing.bin", url + "a.bin"], target, expected).read_bytes() == content
        target.unlink()
    download(url + "a.bin", target, md5)
    (folder / "a.bin").unlink()
    assert download(url + "a.bin", target, md5) == target  # it is there: nothing is asked for
    target.write_bytes(content[:-1])
    assert not is_whole(target, md5)
    (folder / "a.bin").write_bytes(b"<html>log in first</html>")
    with pytest.raises(datasets.DownloadError, match=rf"(?s)not {md5}.*put it at .*a\.bin"):
        download(url + "a.bin", target, md5)
    assert target.read_bytes() == content[:-1]  # what was there is as it was
    assert sorted(p.name for p in target.parent.iterdir()) == ["a.bin"]


def test_no_network(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Without a network, fetch the file on another machine and put it at"):
        download("http://127.0.0.1:9/a.gz", tmp_path / "a.gz", "0" * 32)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="checksum has"):
        (tmp_path / "b").write_bytes(b"")
        download("http://127.0.0.1:9/b", tmp_path / "b", "abc")


def test_datasets_download_once(server: tuple[str, Path], tmp_path: Path) -> None:
    url, folder = server
    datasets.write_mnist(folder, np.zeros((5, 28, 28)), np.arange(5), "train")
    datasets.write_mnist(folder, np.zeros((2, 28, 28)), np.arange(2), "test")

    class Small(datasets.MNIST):
        mirrors = (url,)
        files = {p.name.removesuffix(".gz"): hashlib.md5(p.read_bytes()).hexdigest() for p in folder.iterdir()}

    assert len(Small(tmp_path / "data", download=True)) == 5
    assert (tmp_path / "data" / "Small" / "raw" / "t10k-labels-idx1-ubyte.gz").exists()
    assert len(Small(tmp_path / "data", train=False)) == 2
    assert all(len(md5) == 32 for kind in (datasets.MNIST, datasets.FashionMNIST, datasets.KMNIST)
               for md5 in kind.files.values())  # fmt: skip

    class Pictures(datasets.CIFAR10):
        url = server[0] + "pictures.tar.gz"

    images = np.zeros((1, 32, 32, 3), np.uint8)
    with tarfile.open(folder / "pictures.tar.gz", "w:gz") as tar:
        for name in (*Pictures.train_files, *Pictures.test_files):
            datasets.write_cifar(tmp_path / name, images, np.array([2]))
            tar.add(tmp_path / name, f"{Pictures.folder}/{name}")
    Pictures.md5 = hashlib.md5((folder / "pictures.tar.gz").read_bytes()).hexdigest()
    assert len(Pictures(tmp_path / "c", download=True)) == 5 and len(Pictures(tmp_path / "c", train=False)) == 1


def test_archives_stay_inside(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "bad.tar", "w") as tar:
        info = tarfile.TarInfo("../outside.txt")
        info.size = 2
        tar.addfile(info, io.BytesIO(b"no"))
    with pytest.raises(gf.errors.FileFormatError, match="lies outside"):
        extract(tmp_path / "bad.tar", tmp_path / "in")
    assert not (tmp_path / "outside.txt").exists()
    (tmp_path / "cut.tar.gz").write_bytes(b"\x1f\x8b\x08\x00rest")
    with pytest.raises(gf.errors.FileFormatError, match="no whole"):
        extract(tmp_path / "cut.tar.gz", tmp_path / "in")
