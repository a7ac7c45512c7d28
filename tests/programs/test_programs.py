"""Random programs in every mode: eager, recorded, after each pass, native, for several sizes, with their gradients."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.programs.builder import LARGE
from tests.programs.modes import Program, check
from tests.programs.strategies import programs

few = settings(max_examples=20, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
many = settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))


@few
@given(programs(most=12))
def test_modes_agree(program: Program) -> None:
    check(program)


@pytest.mark.slow
@many
@given(programs(most=16), st.booleans(), st.booleans())
def test_modes_agree_on_many(program: Program, unoptimized: bool, eager_native: bool) -> None:
    check(program, unoptimized=unoptimized, eager_native=eager_native)


@pytest.mark.slow
@settings(parent=many, max_examples=100)
@given(programs(most=10, scale=LARGE))
def test_modes_agree_on_large_values(program: Program) -> None:
    check(program, each_pass=False)
