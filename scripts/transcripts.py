"""Run the commands that documents show in the simulator, and put what they print under them.

A document marks where a transcript goes:

    <!-- transcript: natkit lab probe home | head -12 -->
    (a code block, replaced by this script; "| head" may be left out)

In the simulator all follows from the seed, the clock included, so the whole output can be compared.
"""

from __future__ import annotations

import contextlib
import re
import shlex
from pathlib import Path

from click.testing import CliRunner

from calto_demo.cli import main as calto
from natkit.cli.main import main

ROOT = Path(__file__).parent.parent
TARGETS = (
    ROOT / "README.md",
    ROOT / "docs" / "guide-probe.md",
    ROOT / "docs" / "guide-compare.md",
    ROOT / "docs" / "reading-an-ice-report.md",
    ROOT / "docs" / "guide-lab.md",
)

PROGRAMS = {"natkit": main, "calto": calto}

WIDTH = "100"
"""Columns of the terminal that the documents show."""

MARK = re.compile(
    r"(?P<mark><!-- transcript: (?P<command>(?:natkit|calto) [^\n]*) -->)\n```console\n.*?```\n",
    re.S,
)


def transcript(command: str) -> str:
    """Return the command with a prompt, and what it prints.

    Raises: RuntimeError: it failed.
    """
    words, _, lines = command.partition(" | head -")
    program, *rest = shlex.split(words)
    with contextlib.chdir(ROOT):
        done = CliRunner(env={"COLUMNS": WIDTH}).invoke(PROGRAMS[program], rest)
    if done.exit_code != 0:
        raise RuntimeError(f"{command} ended with {done.exit_code}: {done.output}")
    shown = done.stdout.rstrip().splitlines()[: int(lines) if lines else None]
    return "\n".join([f"$ {command}", *shown])


def refreshed(document: str) -> str:
    """Return `document` with every transcript made anew."""
    return MARK.sub(
        lambda found: f"{found['mark']}\n```console\n{transcript(found['command'])}\n```\n",
        document,
    )


if __name__ == "__main__":
    for target in TARGETS:
        target.write_text(refreshed(target.read_text(encoding="utf-8")), encoding="utf-8")
