"""The disk cache: what another process finds there, and what happens when the files or the folder are not in order."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from graphflow.codegen import cache as disk
from graphflow.codegen import jit
from graphflow.codegen.cache import DiskCache, digest
from tests.runtime import tiny

ROOT = Path(__file__).resolve().parents[2]
NAMES = [digest(str(number)) for number in range(40)]

SCRIPT = """
import ctypes, json, sys
import numpy as np
from graphflow.codegen import jit
from tests.runtime import tiny

units = [tiny.adder(constant, program=constant == 4) for constant in (1, 2, 3, 4)]
addresses = jit.compile_units(units)
x, z = np.arange(8, dtype=np.float32), np.zeros(8, np.float32)
table, args = np.array([x.ctypes.data, x.ctypes.data, z.ctypes.data]), np.arange(3)
sums = []
for unit in units:
    kernel = ctypes.CFUNCTYPE(None, *[ctypes.c_size_t] * 5)(addresses[unit.key])
    kernel(table.ctypes.data, args.ctypes.data, 0, 8, 0)
    sums.append(float(z.sum()))
print(json.dumps({"sums": sums, "compiled": jit.compiled, "numba": "numba" in sys.modules}))
"""
EXPECTED_SUMS = [64.0, 72.0, 80.0, 88.0]


def start_process(folder: Path, **environment: str) -> subprocess.Popen[str]:
    settings = {"GRAPHFLOW_CACHE_DIR": str(folder), "PYTHONPATH": str(ROOT), **environment}
    command = [sys.executable, "-W", "error::RuntimeWarning", "-c", SCRIPT]
    return subprocess.Popen(command, env={**os.environ, **settings}, stdout=subprocess.PIPE, text=True)


def result_of(process: subprocess.Popen[str]) -> dict[str, object]:
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return json.loads(output)


def test_a_second_process_compiles_nothing_and_imports_no_numba(tmp_path: Path) -> None:
    assert result_of(start_process(tmp_path)) == {"sums": EXPECTED_SUMS, "compiled": 4, "numba": True}
    assert result_of(start_process(tmp_path)) == {"sums": EXPECTED_SUMS, "compiled": 0, "numba": False}


def test_two_processes_race_on_an_empty_cache(tmp_path: Path) -> None:
    for process in [start_process(tmp_path) for _ in range(2)]:
        assert result_of(process)["sums"] == EXPECTED_SUMS
    assert result_of(start_process(tmp_path)) == {"sums": EXPECTED_SUMS, "compiled": 0, "numba": False}
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.fixture
def compile_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Compiles a unit as a new process would, and tells whether it had to."""
    monkeypatch.setenv("GRAPHFLOW_CACHE_DIR", str(tmp_path))

    def compile_unit(unit: jit.Unit = tiny.COUNT) -> bool:
        monkeypatch.setattr(jit, "_addresses", {})
        before = jit.compiled
        jit.compile_units([unit])
        return jit.compiled > before

    return compile_unit


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-50] ^= 4
    path.write_bytes(data)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _foreign(path: Path) -> None:
    path.write_bytes(b"\x00\xffsomething else\n" * 20)


@pytest.mark.parametrize("folder", ["objects", "index"])
@pytest.mark.parametrize("damage", [_truncate, _flip_a_bit, _empty, _foreign, Path.unlink])
def test_damaged_entries_are_ignored_and_written_again(compile_anew, tmp_path: Path, folder: str, damage) -> None:
    assert compile_anew()
    assert not compile_anew()
    for path in (tmp_path / folder).iterdir():
        if folder == "index" and damage in (_truncate, _flip_a_bit):
            path.write_bytes(path.read_bytes()[:20])
        else:
            damage(path)
    assert compile_anew()
    assert not compile_anew()


def test_code_that_does_not_load_is_compiled_again(compile_anew, tmp_path: Path) -> None:
    entry = jit.entry_name(tiny.COUNT.key, jit.host())
    DiskCache(str(tmp_path), 1 << 20).store(b"a valid entry whose code is no object file", [entry])
    assert compile_anew()
    assert not compile_anew()


def test_another_cpu_or_version_is_another_entry(compile_anew, monkeypatch: pytest.MonkeyPatch) -> None:
    assert compile_anew()
    monkeypatch.setattr(disk, "_versions", b"numba from another day")
    assert compile_anew()
    monkeypatch.setattr(disk, "_versions", None)
    assert not compile_anew()
    monkeypatch.setenv("GRAPHFLOW_CPU", "generic")
    assert compile_anew()


@pytest.mark.parametrize("how", ["read-only", "a file is in the way"])
def test_a_folder_that_cannot_be_written_costs_one_warning(compile_anew, tmp_path: Path, monkeypatch, how: str) -> None:
    if how == "read-only":

        def denied(path: str, data: bytes) -> None:
            raise PermissionError(13, "Permission denied", path)

        monkeypatch.setattr(disk, "_write", denied)  # root, as in many containers, may write everywhere
    else:
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("GRAPHFLOW_CACHE_DIR", str(tmp_path / "file" / "cache"))
    with pytest.warns(RuntimeWarning, match="GRAPHFLOW_CACHE_DIR"):
        assert compile_anew()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compile_anew()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_still_read(compile_anew, tmp_path: Path) -> None:
    assert compile_anew()
    for folder in (tmp_path / "objects", tmp_path / "index", tmp_path):
        folder.chmod(0o555)
    try:
        assert not compile_anew()
    finally:
        for folder in (tmp_path, tmp_path / "objects", tmp_path / "index"):
            folder.chmod(0o755)


def test_the_least_recently_used_objects_go_first(tmp_path: Path) -> None:
    cache = DiskCache(str(tmp_path), limit=100_000)
    for number in range(9):
        cache.store(bytes([number]) * 10_000, [NAMES[number]])
        for age, path in enumerate(sorted((tmp_path / "objects").iterdir(), key=lambda path: -path.stat().st_mtime)):
            os.utime(path, (1e9 - age, 1e9 - age))  # the file system's clock may be too coarse for this test
    assert cache.find([NAMES[0]])[0] == (bytes(10_000), [NAMES[0]], [])  # now the most recently used
    cache.store(b"x" * 10_000, [NAMES[20]])
    cache.store(b"y" * 10_000, [NAMES[21]])
    assert 60_000 < cache.info()["bytes"] <= 100_000
    assert [bool(cache.find([NAMES[number]])) for number in (0, 1, 2, 20, 21)] == [True, False, False, True, True]
    left = cache.info()
    assert left["kernels"] == left["objects"], "index entries of deleted objects are deleted"
    cache.store(b"z" * 100_001, [NAMES[30]])
    assert not cache.find([NAMES[30]]), "what is larger than the cache is not kept"


def test_one_object_holds_several_kernels(tmp_path: Path) -> None:
    cache = DiskCache(str(tmp_path), 1 << 20)
    cache.store(b"first\nline", NAMES[:3], ["gf_1", "gf_2"])
    cache.store(b"second", NAMES[3:5])
    found = cache.find([NAMES[1], NAMES[4], NAMES[2], NAMES[9]])
    assert sorted(found) == [(b"first\nline", [NAMES[1], NAMES[2]], ["gf_1", "gf_2"]), (b"second", [NAMES[4]], [])]


def test_clear_and_info(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHFLOW_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("GRAPHFLOW_CACHE_SIZE_MB", "3")
    cache = disk.disk_cache()
    assert cache is not None and cache is disk.disk_cache()
    cache.store(b"code", NAMES[:2])
    assert disk.info() | {"bytes": 0} == {
        "path": str(tmp_path),
        "kernels": 2,
        "objects": 1,
        "bytes": 0,
        "limit": 3 << 20,
    }
    disk.clear()
    assert (disk.info()["kernels"], disk.info()["bytes"]) == (0, 0)


def test_size_setting(compile_anew, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHFLOW_CACHE_SIZE_MB", "0")
    assert compile_anew() and compile_anew()
    assert not list(tmp_path.iterdir()) and disk.info() == {}
    monkeypatch.setenv("GRAPHFLOW_CACHE_SIZE_MB", "lots")
    with pytest.raises(ValueError, match="GRAPHFLOW_CACHE_SIZE_MB.*'lots'"):
        disk.disk_cache()


def test_the_default_folder_is_the_platforms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRAPHFLOW_CACHE_DIR", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert disk.info()["path"] == os.path.abspath("/somewhere/graphflow")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert disk.info()["path"] == os.path.abspath("/home/someone/.cache/graphflow")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert disk.info()["path"] == os.path.abspath("/home/someone/Library/Caches/graphflow")
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", "/local")
    assert disk.info()["path"] == os.path.abspath("/local/graphflow")
