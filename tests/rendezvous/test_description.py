"""What the two tell each other, as JSON and as a line to paste."""

from __future__ import annotations

import base64
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natkit.errors import MalformedMessage
from natkit.rendezvous.description import Description

CANDIDATE = "1 1 udp 2130706431 192.0.2.1 50000 typ host"
FULL = Description(1, "abcd", "p" * 24, (CANDIDATE, CANDIDATE), True, 60.0)


@pytest.mark.parametrize("part", [FULL, Description(0, "abcd")], ids=["full", "least"])
def test_a_description_is_read_back(part: Description):
    assert Description.from_json(part.to_json()) == part
    assert Description.from_line(part.to_line()) == part


def test_what_is_not_understood_is_ignored():
    said = {**json.loads(FULL.to_json()), "colour": "blue"}
    assert Description.from_json(json.dumps(said)) == FULL


def test_a_usual_line_fits_into_what_a_terminal_takes():
    """macOS cuts pasted lines at 1024 bytes, Linux at 4096."""
    lines = tuple(
        f"{n} 1 udp {2130706431 - n} 2001:db8:1:2:3:4:5:{n:x} {50000 + n} typ srflx"
        f" raddr 10.0.0.{n} rport {40000 + n}"
        for n in range(10)
    )
    assert len(Description(0, "abcdef", "p" * 24, lines, True).to_line()) < 1000


def test_a_line_survives_what_mailers_do_to_it():
    line = FULL.to_line()
    assert Description.from_line(f"  {line[:30]}\n {line[30:]} \r\n") == FULL


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("", "does not begin with"),
        ("hello", "does not begin with"),
        (FULL.to_line()[:-8], "its end is missing"),
        (FULL.to_line()[:20] + "AAAA" + FULL.to_line()[24:], "damaged"),
        ("natkit1:!!!!", "damaged"),
        ("natkit1:", "its end is missing"),
    ],
)
def test_a_line_that_was_not_copied_whole_is_refused(line: str, why: str):
    with pytest.raises(MalformedMessage, match=why):
        Description.from_line(line)


def test_a_line_that_unpacks_to_a_gigabyte_is_refused():
    bomb = zlib.compress(b" " * 10_000_000, 9)
    with pytest.raises(MalformedMessage):
        Description.from_line("natkit1:" + base64.urlsafe_b64encode(bomb).decode())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"generation": 0}',
        '{"generation": 0, "ufrag": ""}',
        '{"generation": 0, "ufrag": 5}',
        '{"generation": -1, "ufrag": "a"}',
        '{"generation": 1e999, "ufrag": "a"}',
        '{"generation": true, "ufrag": "a"}',
        '{"generation": 0, "ufrag": "a", "until_direct": NaN}',
        '{"generation": 0, "ufrag": "a", "candidates": "x"}',
        '{"generation": 0, "ufrag": "a", "candidates": [1]}',
        json.dumps({"generation": 0, "ufrag": "a", "candidates": ["x"] * 101}),
        json.dumps({"generation": 0, "ufrag": "a" * 3000}),
        "[" * 100_000,
    ],
    ids=lambda text: text[:40],
)
def test_what_a_stranger_says_is_read_or_malformed(text: str):
    with pytest.raises(MalformedMessage):
        Description.from_json(text)


@given(st.text() | st.binary(max_size=300).map(lambda b: "natkit1:" + base64.b64encode(b).decode()))
def test_any_line_is_read_or_malformed(line: str):
    with pytest.raises(MalformedMessage):
        Description.from_line(line)
