"""Write docs/cli.md, the reference of the command line, from the commands' own help."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

# The help is laid out for whatever terminal this runs in, unless told before it is imported.
os.environ.update(COLUMNS="80", TERM="dumb", NO_COLOR="1")
os.environ.pop("FORCE_COLOR", None)

import click

from natkit.cli.help import descend
from natkit.cli.main import main
from natkit.tools.explain import find

TARGET = Path(__file__).parent.parent / "docs" / "cli.md"

HEAD = """\
# Command reference

What each command says with `--help`; written by `scripts/gen-docs`, so edit the commands and not
this file.
"""

TOPICS = ("exit-codes", "environment")


def contexts(context: click.Context) -> Iterator[click.Context]:
    """Yield `context` and the ones of all commands under it, outermost first."""
    yield context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            yield from contexts(descend(context, name))


def reference() -> str:
    """Return the whole text of docs/cli.md."""
    root = main.make_context("natkit", [], resilient_parsing=True)
    parts = [HEAD]
    for context in contexts(root):
        with context:
            parts.append(_section(context.command_path, click.unstyle(context.get_help())))
    for name in TOPICS:
        topic = find(name)
        parts.append(_section(topic.title, topic.text))
    return "\n".join(parts)


def _section(title: str, text: str) -> str:
    body = "\n".join(line.rstrip() for line in text.strip("\n").splitlines()).strip("\n")
    return f"## {title}\n\n```text\n{body}\n```\n"


if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")
