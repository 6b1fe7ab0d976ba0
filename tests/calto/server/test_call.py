"""The state machine of a call, through every order of what may happen."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calto_demo.server.call import (
    AWAY_TIME,
    AWAY_TIME_RINGING,
    CONNECT_TIME,
    RING_TIME,
    TABLE,
    Call,
    Did,
    Reason,
    Side,
    State,
    What,
    WrongState,
    advance,
    expire,
)

CALLER, CALLEE = Side
NEW = Call("c", "u-a", "tab-a", "u-b", "auto", started_at=0.0)
ORDER = list(State)
EVERYTHING = [Did(side, what, session="tab-b", message="why") for side, what in product(Side, What)]


def after(*steps: tuple[Side, What], now: float = 1.0) -> Call:
    call = NEW
    for side, what in steps:
        call = advance(call, Did(side, what, session="tab-b"), now=now)
    return call


RANG = (CALLEE, What.RING)
ACCEPTED = (CALLEE, What.ACCEPT)
CONNECTED = (CALLER, What.CONNECT)


def test_every_message_order_of_length_five_leaves_a_call_that_makes_sense():
    orders = 0
    reached: dict[Call, int] = {NEW: 0}
    for depth in range(1, 6):
        for call in [call for call, at in reached.items() if at == depth - 1]:
            for did in EVERYTHING:
                try:
                    later = advance(call, did, now=float(depth))
                except WrongState:
                    assert (call.state, did.side, did.what) not in TABLE
                    continue
                assert_sense(call, later)
                reached.setdefault(later, depth)
                orders += 1
    assert {call.state for call in reached} == set(State)
    assert {call.reason for call in reached} >= {Reason.DECLINED, Reason.CANCELLED, Reason.HANGUP}
    assert orders > 500


def assert_sense(before: Call, call: Call) -> None:
    assert ORDER.index(call.state) >= ORDER.index(before.state), "it went back"
    assert not before.is_over or call == before, "it rose from the dead"
    assert (call.ended_at is not None) == call.is_over == (call.reason is not None)
    assert (call.deadline is None) == (
        call.is_over or (call.state is State.CONNECTED and not away(call))
    )
    assert (call.answered_at is None) == (call.callee_session is None)
    times = [call.started_at, call.answered_at, call.connected_at, call.ended_at]
    known = [time for time in times if time is not None]
    assert known == sorted(known)
    for name in ("callee_session", "answered_at", "connected_at", "ringing_at"):
        assert getattr(before, name) in (None, getattr(call, name)), f"{name} changed"


def away(call: Call) -> bool:
    return call.caller_away_since is not None or call.callee_away_since is not None


@given(st.lists(st.one_of(st.sampled_from(EVERYTHING), st.floats(0.0, 70.0)), max_size=30))
def test_every_call_ends_in_the_end(steps: list[Did | float]):
    call, now = NEW, 0.0
    for step in steps:
        if isinstance(step, float):
            now += step
            call = expire(call, now=now)
        else:
            try:
                call = advance(call, step, now=now)
            except WrongState:
                continue
    if call.state is State.CONNECTED:
        call = advance(call, Did(CALLER, What.LEAVE), now=now)
    assert expire(call, now=now + RING_TIME + AWAY_TIME).is_over


@pytest.mark.parametrize(
    ("steps", "reason", "by"),
    [
        ([(CALLER, What.HANG_UP)], Reason.CANCELLED, "u-a"),
        ([RANG, (CALLER, What.HANG_UP)], Reason.CANCELLED, "u-a"),
        ([RANG, (CALLEE, What.DECLINE)], Reason.DECLINED, "u-b"),
        ([RANG, (CALLEE, What.HANG_UP)], Reason.DECLINED, "u-b"),
        ([RANG, ACCEPTED, (CALLEE, What.FAIL)], Reason.FAILED, "u-b"),
        ([RANG, ACCEPTED, CONNECTED, (CALLEE, What.HANG_UP)], Reason.HANGUP, "u-b"),
        ([ACCEPTED, (CALLER, What.HANG_UP), (CALLEE, What.HANG_UP)], Reason.HANGUP, "u-a"),
        ([(CALLER, What.HANG_UP), (CALLEE, What.DECLINE)], Reason.CANCELLED, "u-a"),
    ],
)
def test_ended_call_names_the_first_who_ended_it_and_their_reason(steps, reason: Reason, by: str):
    call = after(*steps)
    assert (call.reason, call.by) == (reason, by)


@pytest.mark.parametrize(
    ("call", "deadline", "reason"),
    [
        (NEW, RING_TIME, Reason.NO_ANSWER),
        (after(RANG), RING_TIME, Reason.NO_ANSWER),
        (after(RANG, ACCEPTED), 1.0 + CONNECT_TIME, Reason.FAILED),
        (after((CALLER, What.LEAVE)), 1.0 + AWAY_TIME_RINGING, Reason.LOST),
        (after(ACCEPTED, CONNECTED, (CALLEE, What.LEAVE)), 1.0 + AWAY_TIME, Reason.LOST),
    ],
)
def test_time_ends_a_call_at_its_deadline_and_not_before(call: Call, deadline, reason):
    assert call.deadline == deadline
    assert expire(call, now=deadline - 0.1) == call
    ended = expire(call, now=deadline)
    assert (ended.reason, ended.by, ended.ended_at) == (reason, None, deadline)


def test_a_connected_call_has_no_deadline_and_who_returns_takes_theirs_away():
    call = after(ACCEPTED, CONNECTED)
    assert call.deadline is None
    gone = advance(call, Did(CALLER, What.LEAVE), now=10.0)
    again = advance(gone, Did(CALLER, What.LEAVE), now=20.0)
    assert again.deadline == 10.0 + AWAY_TIME, "leaving twice gives no more time"
    assert advance(gone, Did(CALLER, What.RETURN), now=20.0) == call


def test_the_first_session_to_accept_has_the_call_and_others_no_part_in_it():
    call = advance(NEW, Did(CALLEE, What.ACCEPT, session="phone"), now=1.0)
    assert call.side("u-b", "phone") is CALLEE
    assert call.side("u-b", "laptop") is None
    assert call.side("u-a", "tab-a") is CALLER
    assert call.side("u-a", "another tab") is None
    assert call.side("u-c", "tab-a") is None
    with pytest.raises(WrongState, match="accepted"):
        advance(call, Did(CALLEE, What.ACCEPT, session="laptop"), now=2.0)


def test_accepting_what_was_cancelled_is_refused():
    with pytest.raises(WrongState, match="the call is ended"):
        advance(after((CALLER, What.HANG_UP)), Did(CALLEE, What.ACCEPT), now=2.0)


def test_a_caller_cannot_do_what_the_callee_does():
    for what in (What.RING, What.ACCEPT, What.DECLINE):
        with pytest.raises(WrongState):
            advance(NEW, Did(CALLER, what), now=1.0)
