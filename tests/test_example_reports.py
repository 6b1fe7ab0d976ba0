"""The page on ICE reports: its examples are what the simulator makes, and it names every cause."""

from __future__ import annotations

import json
import re

from natkit.tools.path_cause import Cause
from scripts.example_reports import EXAMPLES, MARK, PAGE, examples, refreshed

REPORT = json.loads((EXAMPLES / "relayed-a.json").read_text(encoding="utf-8"))


def test_examples_are_what_the_simulator_makes():
    for path, text in examples().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run scripts/gen-docs"


def test_excerpts_are_from_the_example():
    page = PAGE.read_text(encoding="utf-8")
    assert page == refreshed(page, REPORT), f"{PAGE.name} is stale: run scripts/gen-docs"
    assert page.count("<!-- report:") == len(MARK.findall(page)) == 2


def test_a_stale_excerpt_is_noticed():
    block = "<!-- report: local type=host: address port -->\n```json\nold\n```\n"
    assert '{"address": "10.0.1.2", "port": ' in refreshed(block, REPORT)


def test_every_cause_is_on_the_page_and_no_other():
    table = PAGE.read_text(encoding="utf-8").partition("## Causes")[2]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`([a-z0-9-]+)`", row)} == {
        cause.value for cause in Cause
    }
