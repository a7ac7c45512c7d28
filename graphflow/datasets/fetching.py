"""Fetching files of data, with a check that they are what they should be."""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path

from graphflow.core.errors import FileFormatError
from graphflow.core.files import replacing

_CHUNK = 1 << 16
_TIMEOUT = 30.0


class DownloadError(OSError):
    """A file could not be fetched."""


def checksum(path: str | os.PathLike[str], algorithm: str) -> str:
    """The digest of a file's bytes, in hexadecimal."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def is_whole(path: str | os.PathLike[str], expected: str | None) -> bool:
    """Whether the file is there and has the checksum: 32 hexadecimal digits are an MD5, 64 a SHA-256."""
    if not os.path.isfile(path):
        return False
    return expected is None or checksum(path, _algorithm(expected)) == expected.lower()


def _algorithm(expected: str) -> str:
    found = {32: "md5", 40: "sha1", 64: "sha256"}.get(len(expected))
    if found is None:
        raise ValueError(f"a checksum has 32 (MD5), 40 (SHA-1) or 64 (SHA-256) hexadecimal digits, got {expected!r}")
    return found


def download(urls: str | Sequence[str], path: str | os.PathLike[str], expected: str | None = None) -> Path:
    """The file at ``path``, fetched from the first of ``urls`` that answers unless it is there already.

    ``expected`` is its checksum: MD5, SHA-1 or SHA-256 in hexadecimal. The file is there as a whole or not at all.
    Raises DownloadError (an OSError) where no URL gives the right file, saying what to do by hand.
    """
    target = Path(path)
    if is_whole(target, expected):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    tried = []
    for url in [urls] if isinstance(urls, str) else urls:
        try:
            with replacing(target) as temporary:
                _fetch(url, temporary)
                if not is_whole(temporary, expected):
                    raise DownloadError(_differs(temporary, expected or ""))
            return target
        except OSError as error:  # includes urllib's errors and time-outs
            tried.append(f"{url}: {getattr(error, 'reason', error)}")
    raise DownloadError(
        f"could not download {target.name}:\n  "
        + "\n  ".join(tried)
        + f"\nWithout a network, fetch the file on another machine and put it at {target.resolve()}"
        + (f" (checksum {expected})" if expected else "")
    )


def _differs(path: str, expected: str) -> str:
    return (
        f"it gave {os.path.getsize(path)} bytes with checksum {checksum(path, _algorithm(expected))}, not {expected}: "
        f"the file has changed, or something on the way answered in its place; nothing was kept"
    )


def _fetch(url: str, path: str) -> None:
    from urllib.request import Request, urlopen  # here, to keep it out of `import graphflow`

    if not url.startswith(("http://", "https://", "file://")):
        raise ValueError(f"a URL starts with http://, https:// or file://, got {url!r}")
    with urlopen(Request(url, headers={"User-Agent": "graphflow"}), timeout=_TIMEOUT) as answer:
        expected = answer.headers.get("Content-Length")
        with open(path, "wb") as file:
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
    if expected is not None and os.path.getsize(path) != int(expected):
        raise DownloadError(f"the connection ended after {os.path.getsize(path)} of {expected} bytes")


def extract(archive: str | os.PathLike[str], folder: str | os.PathLike[str]) -> None:
    """Unpack a .tar(.gz) or .zip file into a folder. Members that would land outside raise FileFormatError."""
    import zipfile

    target = Path(folder).resolve()
    target.mkdir(parents=True, exist_ok=True)
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            _check_members(archive, target, zipped.namelist())
            zipped.extractall(target)
        return
    try:
        with tarfile.open(archive) as tar:
            members = [m for m in tar.getmembers() if m.isfile() or m.isdir()]  # no links, no devices
            _check_members(archive, target, [m.name for m in members])
            tar.extractall(target, members, filter="data") if hasattr(tarfile, "data_filter") else tar.extractall(
                target, members
            )
    except (tarfile.TarError, EOFError) as error:
        raise FileFormatError(f"{os.fspath(archive)} is no whole .tar or .zip file: {error}") from error


def _check_members(archive: str | os.PathLike[str], target: Path, names: Sequence[str]) -> None:
    for name in names:
        if not (target / name).resolve().is_relative_to(target):
            raise FileFormatError(f"{os.fspath(archive)}: {name!r} lies outside the folder; nothing was unpacked")
