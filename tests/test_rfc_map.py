"""docs/rfc-map.md names symbols and tests that exist, and every attribute."""

from __future__ import annotations

import pkgutil
import re
from pathlib import Path

import pytest

from natkit.wire import REGISTRY

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "rfc-map.md").read_text(encoding="utf-8")
ROWS = [row for row in TEXT.splitlines() if row.startswith("| ") and "::" in row]
QUOTED = set(re.findall(r"`([^`\s]+)`", TEXT))
TESTS = sorted(name for name in QUOTED if "::" in name)
LAYERS = {path.stem for path in (ROOT / "natkit").iterdir()}
SYMBOLS = sorted(name for name in QUOTED if name.partition(".")[0] in LAYERS)


def test_every_row_has_a_symbol_and_a_test():
    for row in ROWS:
        symbols, tests = row.split("|")[3:5]
        assert re.search(r"`[a-z]+\.", symbols), row
        assert "::" in tests, row
    assert len(ROWS) > 100


def test_no_attribute_is_missing():
    missing = [kind.__name__ for kind in REGISTRY.values() if not is_named(kind.__name__)]
    assert missing == []


def is_named(attribute: str) -> bool:
    return f"wire.{attribute}" in SYMBOLS


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_a_symbol_exists(symbol: str):
    assert exists(symbol)


@pytest.mark.parametrize("name", TESTS)
def test_a_test_exists(name: str):
    file, function = name.split("::")
    source = (ROOT / "tests" / f"{file}.py").read_text(encoding="utf-8")
    assert re.search(rf"def {function}\(", source)


def exists(symbol: str) -> bool:
    """Say whether the dotted name below natkit is a module or something in one."""
    try:
        pkgutil.resolve_name(f"natkit.{symbol}")
    except (AttributeError, ImportError):
        return False
    return True


def test_a_symbol_that_is_gone_is_noticed():
    assert exists("nat.mapping.Sample.classify")
    assert not exists("nat.mapping.Sample.guess")
    assert not exists("nat.nothing")
    assert not is_named("Nothing")
