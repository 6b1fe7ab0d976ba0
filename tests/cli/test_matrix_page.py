"""The matrix as a web page: whole by itself, and readable without eyes for colour."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner

from natkit.cli.main import main
from natkit.cli.matrix_page import as_page
from natkit.lab.matrix import Cell, Matrix

PLAYED = Matrix(("none", "symmetric"), loss=0.1, seed=7)
CELLS = (
    Cell("none", "none", "direct", 40),
    Cell("none", "symmetric", "relayed", 310),
    Cell("symmetric", "symmetric", "failed", None, "nobody <answered>"),
)


class Table(HTMLParser):
    """Its headings by scope, and its cells row by row."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.headings: dict[str, list[str]] = {"col": [], "row": []}
        self.rows: list[list[str]] = []
        self.attributes: set[str] = set()
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes |= {name for name, _ in attrs}
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.text, self.scope = [], dict(attrs).get("scope")

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "th":
            self.headings[str(self.scope)].append("".join(self.text))
        elif tag == "td":
            self.rows[-1].append(" ".join(self.text))


def test_every_cell_is_a_word_and_a_time_under_headings_of_both_kinds():
    table = Table(as_page(PLAYED, CELLS))
    assert table.headings == {"col": ["none", "symmetric"], "row": ["none", "symmetric"]}
    assert table.rows[1:] == [["direct 40 ms", "relayed 310 ms"], ["relayed 310 ms", "failed"]]


def test_page_needs_nothing_from_outside():
    page = as_page(PLAYED, CELLS)
    assert not Table(page).attributes & {"src", "href", "srcset", "data", "action"}
    assert not re.search(r"url\(|@import|https?:|<script", page)


def test_page_says_what_was_played_and_why_a_call_failed():
    page = as_page(PLAYED, CELLS)
    played = "natkit's ICE on both sides, in the simulator, 10 % of packets lost"
    assert played in page.replace("&#x27;", "'")
    assert "seed 7" in page
    assert "1 direct, 1 relayed, 1 failed" in page
    assert "<dt>nobody &lt;answered&gt;</dt><dd>symmetric and symmetric</dd>" in page


def test_without_failures_there_is_nothing_about_them():
    assert "Why calls failed" not in as_page(PLAYED, CELLS[:2])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_page_for_which_there_is_no_room_is_refused_after_the_grid_is_shown():
    done = CliRunner().invoke(main, ["lab", "matrix", "--kinds", "none", "--html", "/dev/full"])
    assert done.exit_code == 2
    assert "D40" in done.stdout
    assert "cannot write /dev/full: No space left" in done.stderr


def test_command_writes_it_beside_what_it_prints(tmp_path: Path):
    page = tmp_path / "matrix.html"
    words = ["lab", "matrix", "--kinds", "none", "--html", str(page)]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0
    assert "D40" in done.stdout
    assert "\n1 pair: 1 direct" in done.stdout
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
