"""A pytest plugin for the Array API suite: what of it GraphFlow does not support, and why; see run.py.

GraphFlow has names for the complex dtypes, as the standard wants, but no tensors of them. The suite can be told to skip
dtypes, but not all complex ones: it asks for the widest. So its tables are loaded and the complex dtypes taken out of
them before any test module reads the tables.

Tests of what GraphFlow leaves out, or does otherwise on purpose, are listed in exceptions.txt with a reason each.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import graphflow as gf

COMPLEX = (gf.complex64, gf.complex128)


class _ComplexNumber:
    dtype = gf.complex64


def _asarray(obj: Any, **options: Any) -> Any:
    return _ComplexNumber() if isinstance(obj, complex) else gf_asarray(obj, **options)


gf_asarray, gf.asarray = gf.asarray, _asarray
from array_api_tests import dtype_helpers  # noqa: E402 - asks for the dtype of a complex number while it is imported

gf.asarray = gf_asarray


def _is_complex(value: Any) -> bool:
    """Whether it is a complex dtype, or a pair with one (a key of the promotion table)."""
    return (
        any(map(_is_complex, value)) if isinstance(value, tuple) else isinstance(value, gf.dtype) and value in COMPLEX
    )


def _without(value: Any) -> Any:
    """A table of the suite without complex dtypes."""
    if isinstance(value, dtype_helpers.EqualityMapping):
        return type(value)([(k, _without(v)) for k, v in value._key_value_pairs if not _is_complex(k)])
    if isinstance(value, dict):  # changed where it is: some give a default for what they do not have
        value.update({k: _without(v) for k, v in value.items()})
        return value
    if type(value) in (tuple, list):
        return type(value)(v for v in value if not _is_complex(v))
    return value


for _name, _value in list(vars(dtype_helpers).items()):
    if not _name.startswith("__") and _name != "dtype_to_name":  # which the signature tests look names up in
        setattr(dtype_helpers, _name, _without(_value))


class Exemption:
    """A line of exceptions.txt: ``unsupported`` tests are skipped, ``different`` ones must fail."""

    def __init__(self, line: str) -> None:
        self.kind, pattern, self.reason = re.split(r"\s{2,}", line.strip(), maxsplit=2)
        self.pattern = re.compile(pattern)


EXEMPTIONS = [
    Exemption(line)
    for line in (Path(__file__).parent / "exceptions.txt").read_text(encoding="utf-8").splitlines()
    if line.strip() and not line.startswith("#")
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        found = next((e for e in EXEMPTIONS if e.pattern.search(item.nodeid)), None)
        if found is not None:
            mark = pytest.mark.skip if found.kind == "unsupported" else pytest.mark.xfail
            item.add_marker(mark(reason=f"{found.kind}: {found.reason}"))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Passed, failed and unsupported together."""
    stats = terminalreporter.stats
    passed, failed = len(stats.get("passed", ())), len(stats.get("failed", ())) + len(stats.get("error", ()))
    different = len(stats.get("xfailed", ()))
    skipped = Counter(_reason(report) for report in stats.get("skipped", ()))
    terminalreporter.section("GraphFlow and the Array API")
    failed += len(stats.get("xpassed", ()))
    ran = passed + failed + different
    share = 100 * passed / ran if ran else 0.0
    terminalreporter.line(f"{passed} of {ran} tests pass ({share:.1f} %); {failed} fail, {different} differ on purpose")
    for reason, count in Counter(report.wasxfail for report in stats.get("xfailed", ())).most_common():
        terminalreporter.line(f"  {count} {reason}")
    for reason, count in skipped.most_common():
        terminalreporter.line(f"  {count} not run: {reason.removeprefix('unsupported: ')}")


def _reason(report: Any) -> str:
    return str(report.longrepr[2]).removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else "skipped"
