"""The parent's side of a worker process (`graphflow.cli.bench.worker`): one question, one answer, a line each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from graphflow.cli.bench.ways import thread_variables

_PACKAGE_ROOT = str(Path(__file__).resolve().parents[3])
TIMEOUT = 600.0  # seconds; torch.compile takes 20 for a small model on a quiet machine


class ChildError(RuntimeError):
    """A worker failed, died or did not answer."""


class Child:
    """A process of its own for one framework with so many threads, on the first so many of this process's CPUs."""

    def __init__(self, threads: int, extra: Mapping[str, str] | None = None) -> None:
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - closed by close()
        with _on_cpus(threads):
            self._process = subprocess.Popen(
                [sys.executable, "-m", "graphflow.cli.bench.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                env={**Child.environment(threads), **(extra or {})},
                text=True,
            )

    @staticmethod
    def environment(threads: int) -> dict[str, str]:
        """The environment variables of a process with so many threads that imports this same GraphFlow."""
        paths = [_PACKAGE_ROOT, *filter(None, [os.environ.get("PYTHONPATH")])]
        return {**os.environ, **thread_variables(threads), "PYTHONPATH": os.pathsep.join(paths)}

    def ask(self, do: str, timeout: float = TIMEOUT, **arguments: Any) -> dict[str, Any]:
        """Have the worker do something; what it answers. Raises ChildError, with what the worker said, if it fails."""
        assert self._process.stdin is not None and self._process.stdout is not None
        watch = threading.Timer(timeout, self._process.kill)
        watch.start()
        try:
            self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            watch.cancel()
        if not line:
            raise ChildError(f"the process ended (or took more than {timeout:.0f} s): {self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ChildError(answer["error"])
        return answer

    def _last_words(self) -> str:
        status = self._process.wait()
        self._log.seek(0)
        lines = [line.strip() for line in self._log if line.strip()]
        return f"{lines[-1] if lines else 'it said nothing'} (exit status {status})"

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()  # the worker's loop ends
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is not None:
            self._process.kill()
        self.close()


class _on_cpus:
    """Inside the block this thread, and what it starts, runs on the first `count` CPUs (where the system can)."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __enter__(self) -> None:
        self._saved = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
        if 0 < self._count < len(self._saved):
            os.sched_setaffinity(0, sorted(self._saved)[: self._count])

    def __exit__(self, *exc: object) -> None:
        if 0 < self._count < len(self._saved):
            os.sched_setaffinity(0, self._saved)
