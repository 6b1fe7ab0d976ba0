"""Numbered frames: nothing is lost between two sockets, and nothing comes twice."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from calto_demo.server.session import MOST_KEPT, Session


def numbers(frames: list[bytes]) -> list[int]:
    return [json.loads(frame)["seq"] for frame in frames]


def missed(session: Session, ack: int) -> list[int] | None:
    return numbers(session.waiting()) if session.resume(ack) else None


def sent(count: int) -> Session:
    session = Session()
    for _ in range(count):
        session.number(b'{"type":"x"}')
    return session


def test_a_frame_that_is_sent_again_is_not_new():
    session = Session()
    assert [session.is_new(seq) for seq in (1, 2, 2, 1, 3)] == [True, True, False, False, True]
    assert session.received == 3


def test_what_was_missed_comes_again_and_nothing_else():
    assert missed(sent(5), 3) == [4, 5]
    assert missed(sent(5), 5) == []
    assert missed(sent(0), 0) == []


def test_who_acknowledges_what_was_never_sent_begins_anew():
    assert missed(sent(2), 3) is None


def test_who_forgot_what_they_had_acknowledged_begins_anew():
    session = sent(5)
    session.acknowledged(4)
    assert missed(session, 2) is None


def test_who_missed_more_than_is_kept_begins_anew():
    assert missed(sent(MOST_KEPT), 0) == list(range(1, MOST_KEPT + 1))
    assert missed(sent(MOST_KEPT + 1), 1) is None


@given(st.lists(st.one_of(st.just("send"), st.integers(0, 5)), max_size=60))
def test_a_client_gets_every_frame_once_and_in_order_however_often_its_socket_drops(steps):
    """A number n: the client got n frames of those on the way, then its socket dropped."""
    session, got, wire = Session(), list[int](), list[bytes]()
    for step in [*steps, 10**6]:
        if step == "send":
            wire.append(session.number(b'{"type":"x"}'))
            continue
        got += numbers(wire[:step])
        assert session.resume(len(got))
        wire = session.waiting()
    assert got + numbers(wire) == list(range(1, steps.count("send") + 1))
