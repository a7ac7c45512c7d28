"""The same results with narrower vectors, and the same bits on any number of threads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import graphflow as gf
from graphflow import nn, optim
from graphflow.nn import functional as F
from graphflow_kernels.cpu.target import host

HERE = Path(__file__).parent
SUBSET = ("test_fusion.py", "test_gates.py", "test_special_values.py")


@pytest.mark.parametrize("target", ["avx2", "sse2"])
def test_code_for_narrower_vectors_passes_the_same_tests(target: str, tmp_path: Path) -> None:
    if host().name not in ("avx512", "avx2") or host().name == target:
        pytest.skip(f"this machine cannot be capped to {target}")
    environment = {**os.environ, "GRAPHFLOW_CPU": target, "GRAPHFLOW_CACHE_DIR": str(tmp_path)}
    files = [str(HERE / name) for name in SUBSET]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *files]
    done = subprocess.run(command, env=environment, cwd=HERE.parent.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]


def train(threads: int, steps: int = 3) -> list[bytes]:
    """Losses, gradients' norms and parameters of a few steps, as bytes."""
    gf.random.seed(3)
    model = nn.Sequential(
        nn.Linear(96, 300), nn.LayerNorm(300), nn.GELU(), nn.Dropout(0.3), nn.Linear(300, 130), nn.Softmax(-1)
    )
    optimizer = optim.Adam(model.parameters(), lr=1e-2)

    def step(x: gf.Tensor, y: gf.Tensor) -> tuple[gf.Tensor, ...]:
        out = model(x)
        loss = F.cross_entropy(out, y) + gf.mean(out * out)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss, gf.sum(out, axis=0), gf.sum(out * x[:, :1]), gf.max(x, axis=0), gf.var(x)

    compiled = gf.compile(step, num_threads=threads)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(700, 96)).astype(np.float32), rng.integers(0, 130, 700)
    out = [t.numpy().tobytes() for _ in range(steps) for t in compiled(x, y)]
    return out + [p.numpy().tobytes() for p in model.parameters()]


def test_a_training_step_has_the_same_bits_on_any_number_of_threads() -> None:
    alone = train(1)
    for threads in (2, 3, 4):
        assert train(threads) == alone, f"{threads} threads"


STEP = """
import numpy as np, graphflow as gf
from graphflow import nn, optim
from graphflow.codegen import jit
gf.random.seed(0)
model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))
optimizer = optim.Adam(model.parameters(), lr=1e-2)

@gf.compile
def step(x, y):
    loss = nn.functional.cross_entropy(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss

rng = np.random.default_rng(0)
x, y = rng.normal(size=(32, 8)).astype(np.float32), rng.integers(0, 4, 32)
print(*[step(x, y).item().hex() for _ in range(3)], jit.compiled)
"""


def start(folder: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "GRAPHFLOW_CACHE_DIR": str(folder)}
    root = HERE.parent.parent
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", STEP], env=environment, cwd=root, text=True, stdout=-1
    )


def result(process: subprocess.Popen[str]) -> tuple[list[str], int]:
    """The losses, and how many kernels the process compiled."""
    out, _ = process.communicate()
    assert process.returncode == 0
    *losses, compiled = out.split()
    return losses, int(compiled)


def test_a_step_starts_right_whatever_the_cache_holds(tmp_path: Path) -> None:
    both = [result(p) for p in [start(tmp_path), start(tmp_path)]]  # two at once, on an empty cache
    want = both[0][0]
    assert both[1][0] == want
    assert result(start(tmp_path)) == (want, 0), "all is in the cache"
    objects = sorted((tmp_path / "objects").iterdir())
    for number, path in enumerate(objects):
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2] if number % 2 else b"\0" * len(data))
    losses, compiled = result(start(tmp_path))
    assert losses == want and compiled > 0, "damaged files count as absent"
    assert result(start(tmp_path)) == (want, 0), "and are written again"
    (tmp_path / "file").write_text("")
    assert result(start(tmp_path / "file" / "below"))[0] == want, "a folder that cannot be made"
