"""README.md and the guides show what the commands really print."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts.transcripts import MARK, ROOT, TARGETS, refreshed


def name_of(document: Path) -> str:
    return document.name


LONG = {"guide-lab.md"}
"""Documents that show a whole matrix."""


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(one, marks=[pytest.mark.slow] if one.name in LONG else [], id=one.name)
        for one in TARGETS
    ],
)
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


def test_measurements_are_quoted_as_they_were_made():
    made = (ROOT / "docs" / "measurements.md").read_text(encoding="utf-8").splitlines()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    quoted = readme.partition("discovery alone")[2].partition("\n\n")[0].splitlines()[2:]
    assert quoted
    assert [row for row in quoted if row not in made] == []


def anchors(document: Path) -> set[str]:
    """Return what the headings of a document can be linked by."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", TARGETS, ids=name_of)
def test_links_into_a_document_meet_a_heading(document: Path):
    text = document.read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\(([^)#]*)#([^)]*)\)", text):
        assert anchor in anchors(document.parent / target if target else document)


def test_headings_are_linked_as_the_web_does():
    assert {"your-own-server", "a-guide-to-natkit-probe"} <= anchors(TARGETS[1])
