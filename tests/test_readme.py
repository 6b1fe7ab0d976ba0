"""README.md and the guides show what the commands really print."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.transcripts import MARK, TARGETS, refreshed


def name_of(document: Path) -> str:
    return document.name


@pytest.mark.parametrize("document", TARGETS, ids=name_of)
def test_transcripts_are_what_the_commands_print(document: Path):
    text = document.read_text(encoding="utf-8")
    assert text == refreshed(text), f"{document.name} is stale: run scripts/gen-docs"


@pytest.mark.parametrize("document", TARGETS, ids=name_of)
def test_every_mark_has_a_transcript(document: Path):
    text = document.read_text(encoding="utf-8")
    assert text.count("<!-- transcript:") == len(MARK.findall(text)) > 0


def test_a_stale_transcript_is_noticed():
    block = "<!-- transcript: natkit lab probe home -->\n```console\n$ natkit\nnothing\n```\n"
    assert "direct calls: with most peers" in refreshed(block)
