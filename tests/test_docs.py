"""The documents hold against the code: references are current, links lead somewhere."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

from calto_demo.cli import main as calto
from natkit.cli.help import descend
from natkit.cli.main import main

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("calto_demo/*.md")])
TOPICS = sorted(ROOT.glob("natkit/tools/topics/*.txt"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))


def name_of(document: Path) -> str:
    return str(document.relative_to(ROOT))


def test_the_command_reference_is_what_the_commands_say():
    code = "from scripts.cli_reference import reference; print(reference(), end='')"
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", code],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    written = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert written == done.stdout, "docs/cli.md is stale: run scripts/gen-docs"
    assert "\x1b" not in written


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_link_to_a_file_leads_to_one(document: Path):
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if not re.match(r"[a-z]+:", target):
            assert (document.parent / target).exists(), f"{name_of(document)} links to {target}"


COMMAND = re.compile(r"(?:  (?:\S*/)?|\$ |`)(natkit|calto) ([a-z-][^`\n]*)")
PROGRAMS = {"natkit": main, "calto": calto}


def commands_in(text: str) -> list[list[str]]:
    """Return our command lines in `text`, up to a pipe, a comment or two spaces."""
    # A command may go on in the next line.
    found = COMMAND.findall(re.sub(r"\\\n\s*", "", text))
    lines = ((name, re.split(r"  |\||#|>|[.;,]$", line)[0]) for name, line in found)
    return [[name, *shlex.split(line)] for name, line in lines]


@pytest.mark.parametrize("document", [*DOCUMENTS, *TOPICS, ROOT / "scripts/try"], ids=name_of)
def test_every_command_shown_exists_with_its_options(document: Path):
    for words in commands_in(document.read_text(encoding="utf-8")):
        assert not unknown_words(words), f"{name_of(document)}: {shlex.join(words)}"


def unknown_words(words: list[str]) -> list[str]:
    """Return the sub-commands and options among `words` that the program does not have."""
    program, *rest = words
    context = PROGRAMS[program].make_context(program, [], resilient_parsing=True)
    while rest and isinstance(context.command, click.Group) and not rest[0].startswith("-"):
        if rest[0] not in context.command.list_commands(context):
            return [rest[0]]
        context = descend(context, rest.pop(0))
    known = {o for p in context.command.get_params(context) for o in (*p.opts, *p.secondary_opts)}
    return [w for w in rest if w.startswith("-") and w.partition("=")[0] not in known]


def test_an_unknown_option_or_command_in_a_document_is_found():
    assert unknown_words(["natkit", "explain", "cgnat", "--json"]) == []
    assert unknown_words(["natkit", "explain", "--nonsense"]) == ["--nonsense"]
    assert unknown_words(["natkit", "nonsense"]) == ["nonsense"]
    assert unknown_words(["calto", "serve", "--origin", "--nonsense"]) == ["--nonsense"]


@pytest.mark.parametrize(
    "text",
    [
        "    natkit explain 401   # why",
        "    $ natkit explain 401",
        "say `natkit explain 401` and",
        "    .venv-try/bin/natkit explain 401   what it means",
        "Try it:  natkit explain 401",
        "    natkit explain 401 | less",
    ],
)
def test_a_command_in_a_document_is_seen(text: str):
    assert commands_in(text) == [["natkit", "explain", "401"]]


def required() -> list[str]:
    """Return everything that pyproject.toml asks for ("click>=8.5"), whatever the system."""
    project, extras = PROJECT["project"], PROJECT["project"]["optional-dependencies"]
    groups = [project["dependencies"], *extras.values(), PROJECT["dependency-groups"]["dev"]]
    return sorted(line.partition(";")[0] for group in groups for line in group)


def test_every_dependency_is_in_the_decision_record_with_its_locked_version():
    text = (ROOT / "docs" / "decisions" / "0001-libraries.md").read_text(encoding="utf-8")
    rows = {row.split(" ")[1]: row for row in text.splitlines() if row.startswith("| ")}
    locked = {package["name"]: package["version"] for package in LOCK["package"]}
    for name in {re.split(r"[<>=~!\[]", line)[0] for line in required()}:
        assert name in rows, f"{name} has no line"
        assert f"| {locked[name]} |" in rows[name], f"the lock has {name} {locked[name]}"


def test_the_lock_is_made_from_what_the_project_asks_for():
    [natkit] = [package for package in LOCK["package"] if package["name"] == "natkit"]
    metadata = natkit["metadata"]
    locked = [*metadata["requires-dist"], *metadata["requires-dev"]["dev"]]
    extras = [f"[{','.join(r['extras'])}]" if "extras" in r else "" for r in locked]
    asked = [r["name"] + x + r["specifier"] for r, x in zip(locked, extras, strict=True)]
    assert sorted(asked) == required(), "run: uv lock"


def test_the_lock_names_the_public_index_and_no_other():
    sources = {source for p in LOCK["package"] for source in p["source"].items()}
    assert sources == {("registry", "https://pypi.org/simple"), ("editable", ".")}


def test_the_changelog_has_a_place_for_the_next_release():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    version = PROJECT["project"]["version"]
    assert "\n## Unreleased\n" in changelog or f"\n## {version} " in changelog
