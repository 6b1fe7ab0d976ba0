"""The Python examples in the documents run, print what they say, and use public names only."""

from __future__ import annotations

import ast
import contextlib
import io
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = [
    pytest.param(code, id=f"{document.name}-{number}")
    for document in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
    for number, code in enumerate(
        re.findall(r"^```python\n(.*?)^```$", document.read_text(encoding="utf-8"), re.S | re.M)
    )
]


def test_there_are_examples():
    assert len(EXAMPLES) >= 2


@pytest.mark.parametrize("code", EXAMPLES)
def test_an_example_prints_what_it_says(code: str):
    promised = re.findall(r"# prints: (.*)$", code, re.M)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, "example", "exec"), {"__name__": "__main__"})
    assert promised, "an example without a promise proves nothing"
    assert printed.getvalue().splitlines() == promised


@pytest.mark.parametrize("code", EXAMPLES)
def test_an_example_uses_public_names_only(code: str):
    assert private_names(code) == []


def private_names(code: str) -> list[str]:
    """Return the names with a leading underscore that the code imports or reaches into."""
    found: list[str] = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names = [part for name in node.names for part in name.name.split(".")]
            found += [n for n in [*names, *".".join(modules).split(".")] if n.startswith("_")]
        elif isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            found.append(node.attr)
    return found


def test_a_private_name_in_an_example_is_found():
    assert private_names("from natkit.tools._probe import x") == ["_probe"]
    assert private_names("import natkit; natkit.tools._x()") == ["_x"]
    assert private_names("from natkit import lab; lab.sim") == []
