"""Frames from clients: their shapes, and that nothing else gets in."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calto_demo.server.frames import (
    Accept,
    BadFrame,
    Candidate,
    HangUp,
    Hello,
    Offer,
    Ring,
    passed_on,
    read,
)

CALL = "0b8f2f64-6d0e-4a53-9d7b-0f6f3c1f2a10"
RING = {"type": "ring", "seq": 1, "call": CALL, "to": "u-b", "sdp": "v=0", "path": "relay"}


def test_frames_are_read_as_the_protocol_says():
    assert read(json.dumps(RING)) == Ring(1, CALL, "u-b", "v=0", "relay")
    assert read(f'{{"type":"accept","seq":2,"call":"{CALL}","sdp":"v=0"}}') == Accept(
        2, CALL, "v=0"
    )
    assert read(f'{{"type":"hangup","seq":2,"call":"{CALL}"}}') == HangUp(2, CALL)
    assert read(b'{"type":"hello","token":"t","session":"0123456789abcdef"}') == Hello(
        "t", "0123456789abcdef"
    )


def test_unknown_fields_are_ignored_so_that_the_protocol_can_grow():
    assert read(json.dumps({**RING, "later": 1})) == read(json.dumps(RING))


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "unheard-of"},
        {"type": None},
        {"seq": -1},
        {"seq": "1"},
        {"seq": 1.5},
        {"call": CALL.upper()},
        {"call": CALL + "\n"},
        {"call": "x' OR 1=1 --"},
        {"to": "u-<script>"},
        {"to": 7},
        {"to": None},
        {"sdp": ""},
        {"sdp": "x" * 50_001},
        {"path": "teleport"},
    ],
)
def test_a_field_that_is_not_what_it_should_be_is_refused(changes):
    with pytest.raises(BadFrame):
        read(json.dumps({**RING, **changes}))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"type": "unheard-of"}, "type cannot be 'unheard-of'"),
        ({"seq": "1"}, "seq must be a whole number, and is text"),
        ({"seq": -1}, "seq must be at least 0"),
        ({"call": CALL.upper()}, "call does not have the form that it must have"),
        ({"sdp": ""}, "sdp must be at least 1 characters"),
        ({"path": "teleport"}, "path cannot be 'teleport'"),
        ({"to": None}, "to must be text, and is null"),
    ],
)
def test_what_is_wrong_is_said_in_words_and_not_as_a_pattern(changes, words: str):
    with pytest.raises(BadFrame) as refused:
        read(json.dumps({**RING, **changes}))
    assert str(refused.value) == words


def test_a_field_that_is_missing_is_named():
    with pytest.raises(BadFrame, match=r"^sdp is missing$"):
        read(json.dumps({key: value for key, value in RING.items() if key != "sdp"}))


@pytest.mark.parametrize(
    "session", ["short", "x" * 65, "has spaces in it!!!!", "0123456789abcdef\n"]
)
def test_a_session_name_that_could_be_guessed_or_is_none_is_refused(session: str):
    with pytest.raises(BadFrame):
        read(json.dumps({"type": "hello", "token": "t", "session": session}))


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_no_bytes_do_more_than_to_be_refused(data):
    with pytest.raises(BadFrame):
        read(data)


def test_json_nested_without_end_is_refused():
    with pytest.raises(BadFrame):
        read("[" * 60_000)
    with pytest.raises(BadFrame):
        read(json.dumps({**RING, "x": 0})[:-2] + "[" * 60_000)


def test_what_is_passed_on_has_no_number_of_the_senders_and_a_candidate_as_browsers_write_it():
    init = {
        "candidate": "candidate:1 1 udp 1 1.2.3.4 5 typ host",
        "sdpMid": "0",
        "sdpMLineIndex": 0,
    }
    frame = read(json.dumps({"type": "candidate", "seq": 4, "call": CALL, "candidate": init}))
    assert isinstance(frame, Candidate)
    assert passed_on(frame) == {
        "type": "candidate",
        "call": CALL,
        "candidate": init,
        "leg": "main",
    }
    assert passed_on(Candidate(5, CALL, None))["candidate"] is None
    assert passed_on(Offer(6, CALL, "v=0", fresh=True))["fresh"] is True
