"""docs/rfc-map.md names symbols and tests that exist."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "rfc-map.md").read_text(encoding="utf-8")
ROWS = [row for row in TEXT.splitlines() if row.startswith("| ") and "::" in row]
QUOTED = re.findall(r"`([^`\s]+)`", TEXT)
TESTS = sorted({quoted for quoted in QUOTED if "::" in quoted})
LAYERS = {path.stem for path in (ROOT / "natkit").iterdir()}
SYMBOLS = sorted({quoted for quoted in QUOTED if quoted.partition(".")[0] in LAYERS})


def test_every_row_has_a_symbol_and_a_test():
    for row in ROWS:
        symbols, tests = row.split("|")[3:5]
        assert re.search(r"`[a-z]+\.", symbols), row
        assert "::" in tests, row
    assert len(ROWS) > 50


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
    path = symbol.split(".")
    module, rest = importlib.import_module(f"natkit.{path[0]}"), path[1:]
    while rest and (ROOT / "natkit" / Path(*path[: len(path) - len(rest) + 1])).exists() | (
        ROOT / "natkit" / Path(*path[: len(path) - len(rest) + 1])
    ).with_suffix(".py").exists():
        module = importlib.import_module(f"{module.__name__}.{rest.pop(0)}")
    thing: object = module
    for name in rest:
        if not hasattr(thing, name) and name not in getattr(thing, "__annotations__", {}):
            return False
        thing = getattr(thing, name, None)
    return True


def test_a_symbol_that_is_gone_is_noticed():
    assert exists("nat.mapping.Sample.classify")
    assert not exists("nat.mapping.Sample.guess")
    assert not exists("nat.nothing")
