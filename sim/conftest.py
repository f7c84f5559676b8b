"""Options and fixtures of the simulation tests."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

    import pluggy

    Outcome = pluggy.Result[pytest.TestReport]

# Before sim.engines reads it, and for the processes that tests start.
os.environ.setdefault("BITLOOM_MODEL_OPTIMISE", "-O0")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=1, help="seed of random vectors and stalls (default 1)")


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The seed of this run; printed with every failing test."""
    return request.config.getoption("--seed")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pluggy.Result[pytest.TestReport]]:
    outcome = yield
    report = outcome.get_result()
    if report.failed and "seed" in getattr(item, "fixturenames", ()):
        report.sections.append(("seed", f"--seed {item.config.getoption('--seed')}"))
