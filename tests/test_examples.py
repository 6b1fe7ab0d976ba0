"""The examples in the documents: Python runs, prints what it says and uses public names only; jq
filters fit the probe's JSON."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner

from natkit.cli.main import main

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


GUIDES = (ROOT / "README.md", ROOT / "docs" / "guide-probe.md")
FILTER = re.compile(r"natkit probe --json \| jq (-r )?('[^']+'|[\w.]+)")
FILTERS = sorted({found for guide in GUIDES for found in FILTER.findall(guide.read_text("utf-8"))})


@pytest.mark.needs("jq")
@pytest.mark.parametrize(("options", "program"), FILTERS)
def test_a_jq_filter_finds_something(options: str, program: str):
    words = ["jq", *options.split(), program.strip("'")]
    done = subprocess.run(words, input=report(), capture_output=True, text=True, check=True)
    found = done.stdout.split()
    assert found
    assert "null" not in found


@cache
def report() -> str:
    """Return the JSON of a probe, with one property made inconclusive for filters to find."""
    probed = CliRunner().invoke(main, ["lab", "probe", "home", "--json"])
    document = json.loads(probed.stdout)["probe"]
    pooling = document["families"]["ipv4"]["pooling"]
    pooling.update(value=None, status="inconclusive", reason="made up")
    return json.dumps(document)


def test_there_are_jq_filters():
    assert len(FILTERS) >= 4
