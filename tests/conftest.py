"""Which tests run: a bare `pytest` the fast ones, `pytest --all` every one this machine can."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator

import pytest
from hypothesis import settings

from natkit.aio.fast_loop import collect_less
from tests.needs import missing

# Property tests give the same result every time, on a busy machine too: new inputs come from
# fuzz/run.py, by seed; here a failure must be the change's, not the dice's.
settings.register_profile("natkit", deadline=None, derandomize=True)
settings.load_profile("natkit")

HEAVY = ("slow", "root", "interop")
"""Markers of tests that a bare `pytest` leaves out; `-m` or `--all` brings them in."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="also run slow, root and interop tests")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "needs(*names): programs, or root or ipv6, without which it is skipped"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--all") or config.getoption("-m"):
        return
    heavy = [item for item in items if any(item.get_closest_marker(name) for name in HEAVY)]
    if heavy:
        config.hook.pytest_deselected(items=heavy)
        items[:] = [item for item in items if item not in heavy]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Thousands of collected tests stay until the end: a tenth of the time went into looking at
    them again and again for garbage.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        collect_less()


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        for need in marker.args:
            reason = missing(need)
            if reason is not None:
                cannot_run(reason)


def cannot_run(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and with CI=true nothing may be missing", pytrace=False)
    pytest.skip(reason)
