"""docs/turn-security.md is what the code does; the tests it and turn-conformance.md name exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from natkit.turn.policy import DENIED

TESTS = Path(__file__).parent.parent
PAGE = (TESTS.parent / "docs" / "turn-security.md").read_text(encoding="utf-8")
CONFORMANCE = (TESTS.parent / "docs" / "turn-conformance.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`([a-z_/]+::[a-z_0-9]+)`", PAGE + CONFORMANCE)))


def test_denied_networks_are_those_of_the_code() -> None:
    listed = re.findall(r"^\| `([0-9a-f:./]+)` \| (.+) \|$", PAGE, re.MULTILINE)
    assert listed == [(str(network), why) for network, why in DENIED]


@pytest.mark.parametrize("name", NAMED)
def test_named_test_exists(name: str) -> None:
    file, function = name.split("::")
    source = (TESTS / f"{file}.py").read_text(encoding="utf-8")
    assert re.search(rf"def {function}\(", source)


def test_every_section_names_tests() -> None:
    sections = PAGE.split("\n## ")[1:]
    assert all("::test_" in section for section in sections)
    assert len(NAMED) > 30


@pytest.mark.parametrize(("page", "last"), [(PAGE, 22), (CONFORMANCE, 44)])
def test_every_row_is_numbered_and_names_tests(page: str, last: int) -> None:
    rows = re.findall(r"^\| (\d+) \| .+ \| (.*) \|$", page, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, last + 1))
    assert all("::test_" in tests for _, tests in rows)
