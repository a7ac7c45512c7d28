"""The disk cache of compiled kernels: object files, found by the content of the kernels in them.

    <root>/index/<kernel>     the name of the object file that holds this kernel
    <root>/objects/<object>   names of the kernels, symbols that they call in other objects, object code

Records of whole programs (`graphflow.runtime.recall`) lie here in the same way. A name hashes the content, the CPU it
was compiled for and the versions of the compilers, so an entry is never out of date, only unused. Files are written
aside and renamed into place, and every read is checked: several processes may work here at once without locks, and a
truncated or foreign file counts as absent and is written again.
Nothing here imports Numba.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from hashlib import blake2b
from typing import Any, NamedTuple

FORMAT = b"graphflow kernels 2"
_DEFAULT_MEGABYTES = 512
LOOK = 50
"""The folder is looked through whenever a process has stored so manyth a part of the limit."""
_ABANDONED_SECONDS = 3600
_versions: bytes | None = None
_caches: dict[tuple[str, int], DiskCache] = {}


def digest(*parts: str | bytes) -> str:
    """A name for content: 32 hexadecimal digits that depend on all parts and where they end.

    >>> digest("ab", "c") == digest("a", "bc")
    False
    """
    state = blake2b(digest_size=16)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        state.update(b"%d:" % len(data))
        state.update(data)
    return state.hexdigest()


def compiler_versions() -> bytes:
    """What tells one compiler from another (Numba, llvmlite, this package), found without importing Numba."""
    global _versions
    if _versions is None:
        from importlib.util import find_spec

        import llvmlite

        spec = find_spec("numba")
        numba = b""
        if spec is not None and spec.origin:
            # Written by Numba's release process: it holds the version and, for a build from source, the commit.
            numba = _read(os.path.join(os.path.dirname(spec.origin), "_version.py")) or spec.origin.encode()
        _versions = b"\n".join((FORMAT, numba, llvmlite.__version__.encode(), _generators()))
    return _versions


def _generators() -> bytes:
    """Tells one state of GraphFlow's own code generators from another: a kernel's text says what, not how."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    parts = ("codegen", "core", "ir", "ops", "passes", "runtime", "schedule")
    folders = [os.path.join(package, name) for name in parts]
    folders.append(os.path.join(os.path.dirname(package), "graphflow_kernels"))
    state: list[str] = []
    for folder in folders:
        for path, _, names in os.walk(folder):
            files = (os.path.join(path, name) for name in names if name.endswith(".py"))
            state += (f"{file} {(found := os.stat(file)).st_size} {found.st_mtime_ns}" for file in files)
    return digest(*sorted(state)).encode()


class Found(NamedTuple):
    """Object code from the cache: which of the wanted kernels it holds, and the symbols that it calls elsewhere."""

    code: bytes
    kernels: list[str]
    imports: list[str]


class DiskCache:
    """Compiled kernels in the folder `root`, about `limit` bytes of them; the least recently used go first."""

    def __init__(self, root: str, limit: int) -> None:
        self.root = root
        self.limit = limit
        self._index = os.path.join(root, "index")
        self._objects = os.path.join(root, "objects")
        self._warned = False
        self._unseen = limit  # bytes stored since the folder was looked through; the first time it always is

    def find(self, kernels: Iterable[str]) -> list[Found]:
        """The objects that hold the wanted `kernels`; absent kernels are in none."""
        holders: dict[str, list[str]] = {}
        for kernel in kernels:
            entry = _read(os.path.join(self._index, kernel))
            if entry is not None:
                holders.setdefault(entry.decode("ascii", "replace"), []).append(kernel)
        found = []
        for name, wanted in holders.items():
            code, held, imports = self._load(name)
            present = [kernel for kernel in wanted if kernel in held]
            if present:
                found.append(Found(code, present, imports))
        return found

    def _load(self, name: str) -> tuple[bytes, list[str], list[str]]:
        """An object's code, kernels and imports; nothing of them if the file is absent or not what was written."""
        path = os.path.join(self._objects, name)
        data = _read(path) if name.isalnum() else None  # a foreign index entry may hold anything
        head, _, body = (data or b"").partition(b"\n")
        if head != FORMAT or digest(body) != name:
            return b"", [], []
        with suppress(OSError):
            os.utime(path)  # recently used
        kernels, imports, code = body.split(b"\n", 2)
        return code, kernels.decode("ascii").split(), imports.decode("ascii").split()

    def store(self, code: bytes, kernels: Sequence[str], imports: Iterable[str] = ()) -> None:
        """Keep an object that holds `kernels`. Never raises for a folder that cannot be written: warns once."""
        self.store_all([(code, kernels, imports)])

    def store_all(self, objects: Iterable[tuple[bytes, Sequence[str], Iterable[str]]]) -> None:
        """Keep several objects: their code, kernels and imports."""
        kept = set()
        try:
            os.makedirs(self._index, exist_ok=True)
            os.makedirs(self._objects, exist_ok=True)
            for code, kernels, imports in objects:
                if len(code) > self.limit:
                    continue
                body = f"{' '.join(kernels)}\n{' '.join(imports)}\n".encode("ascii") + code
                name = digest(body)
                # The object first: an index entry never names a file that is still to come.
                _write(os.path.join(self._objects, name), FORMAT + b"\n" + body)
                for kernel in kernels:
                    _write(os.path.join(self._index, kernel), name.encode("ascii"))
                kept.add(name)
                self._unseen += len(body)
            if self._unseen * LOOK > self.limit:  # looking through thousands of files takes longer than storing one
                self._evict(kept)
                self._unseen = 0
        except OSError as error:
            if not self._warned:
                self._warned = True
                warnings.warn(
                    f"kernels are not cached, so every process compiles them again: {error}. "
                    "Set GRAPHFLOW_CACHE_DIR to a folder that can be written",
                    RuntimeWarning,
                    stacklevel=2,
                )

    def _evict(self, keep: Collection[str]) -> None:
        """Delete least recently used objects until four fifths of the limit are left, if the limit is passed."""
        files = sorted(_scan(self._objects), key=lambda entry: entry[2])
        total = sum(size for _, size, _ in files)
        if total <= self.limit:
            return
        for name, size, modified in files:
            abandoned = name.endswith(".tmp") and modified < time.time() - _ABANDONED_SECONDS
            if abandoned or (total > self.limit * 4 // 5 and name not in keep and not name.endswith(".tmp")):
                _remove(os.path.join(self._objects, name))
                total -= size
        left = {name for name, _, _ in _scan(self._objects)}
        for name, _, _ in _scan(self._index):
            path = os.path.join(self._index, name)
            if (_read(path) or b"").decode("ascii", "replace") not in left:
                _remove(path)

    def clear(self) -> None:
        """Delete every entry."""
        for folder in (self._index, self._objects):
            for name, _, _ in _scan(folder):
                _remove(os.path.join(folder, name))

    def info(self) -> dict[str, Any]:
        """The folder, the number of kernels and object files in it, their size and the limit in bytes."""
        objects = list(_scan(self._objects))
        return {
            "path": self.root,
            "kernels": sum(1 for _ in _scan(self._index)),
            "objects": len(objects),
            "bytes": sum(size for _, size, _ in objects),
            "limit": self.limit,
        }


def disk_cache() -> DiskCache | None:
    """The cache that GRAPHFLOW_CACHE_DIR and GRAPHFLOW_CACHE_SIZE_MB ask for; None for a size of 0.

    Without GRAPHFLOW_CACHE_DIR it lies in the platform's folder for caches of this user. ValueError for a size that
    is not a number.
    """
    text = os.environ.get("GRAPHFLOW_CACHE_SIZE_MB", "").strip()
    if text and not text.isdigit():
        raise ValueError(f"GRAPHFLOW_CACHE_SIZE_MB must be a whole number of megabytes, got {text!r}")
    limit = (int(text) if text else _DEFAULT_MEGABYTES) << 20
    if limit == 0:
        return None
    root = os.environ.get("GRAPHFLOW_CACHE_DIR") or os.path.join(_user_cache_folder(), "graphflow")
    key = (os.path.abspath(root), limit)
    if key not in _caches:
        _caches[key] = DiskCache(*key)
    return _caches[key]


def clear() -> None:
    """Delete every compiled kernel from the disk cache."""
    cache = disk_cache()
    if cache is not None:
        cache.clear()


def info() -> dict[str, Any]:
    """Where the disk cache is and what it holds: path, kernels, objects, bytes, limit (empty if caching is off).

    >>> sorted(info())
    ['bytes', 'kernels', 'limit', 'objects', 'path']
    """
    cache = disk_cache()
    return {} if cache is None else cache.info()


def _user_cache_folder() -> str:
    home = os.path.expanduser("~")
    if sys.platform == "win32":
        return os.environ.get("LOCALAPPDATA") or os.path.join(home, "AppData", "Local")
    if sys.platform == "darwin":
        return os.path.join(home, "Library", "Caches")
    return os.environ.get("XDG_CACHE_HOME") or os.path.join(home, ".cache")


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except (OSError, ValueError):
        return None


def _write(path: str, data: bytes) -> None:
    """Write a file that other processes see whole or not at all."""
    aside = f"{path}.{os.getpid()}-{threading.get_ident()}.tmp"
    try:
        with open(aside, "wb") as file:
            file.write(data)
        os.replace(aside, path)
    except OSError:
        _remove(aside)
        raise


def _remove(path: str) -> None:
    with suppress(OSError):  # another process was faster, or may do what this one may not
        os.unlink(path)


def _scan(folder: str) -> Iterator[tuple[str, int, float]]:
    """Name, size and time of last use of the files in a folder."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    status = entry.stat()
                except OSError:
                    continue
                yield entry.name, status.st_size, status.st_mtime
    except OSError:
        return
