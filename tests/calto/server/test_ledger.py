"""Calls in the database: every change whole, whoever makes another one at the same time."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from calto_demo.server.call import Call, Did, Reason, Side, State, What, WrongState
from calto_demo.server.ledger import CallExists, Engaged, Ledger, NoSuchCall
from calto_demo.server.people import People

CALLER, CALLEE = Side
CALL = Call("call-1", "u-0001", "tab-a", "u-0002", "auto", started_at=10.0)
BACK = Call("call-2", "u-0002", "tab-b", "u-0001", "auto", started_at=11.0)
THIRD = Call("call-3", "u-0003", "tab-c", "u-0002", "auto", started_at=12.0)


@pytest.fixture(autouse=True)
async def users(people: People) -> None:
    for name in ("Ada", "Bob", "Cleo"):
        await people.add(name, "guest", now=0.0)


async def begun(ledger: Ledger, call: Call = CALL) -> Call:
    return (await ledger.begin(call, "offer", reachable=True)).after


async def did(ledger: Ledger, side: Side, what: What, now: float = 20.0) -> Call:
    return (await ledger.advance(CALL.id, Did(side, what, "tab-b"), now=now)).after


async def test_a_call_is_kept_as_it_is_and_its_offer_until_it_is_answered(ledger: Ledger):
    assert await begun(ledger) == CALL == await ledger.get(CALL.id)
    assert await ledger.live_of("u-0002") == [(CALL, "offer")]
    after = await did(ledger, CALLEE, What.ACCEPT)
    assert after == replace(CALL, state=State.ACCEPTED, callee_session="tab-b", answered_at=20.0)
    assert await ledger.live_of("u-0001") == [(after, None)]


async def test_a_ring_that_is_sent_again_begins_nothing(ledger: Ledger):
    await begun(ledger)
    await did(ledger, CALLEE, What.RING)
    change = await ledger.begin(replace(CALL, started_at=30.0), "offer", reachable=True)
    assert change.before == change.after
    assert change.after.state is State.RINGING


async def test_an_id_that_was_used_by_somebody_else_is_refused(ledger: Ledger):
    await begun(ledger)
    with pytest.raises(CallExists):
        await begun(ledger, replace(THIRD, id=CALL.id))


async def test_what_does_not_fit_changes_nothing(ledger: Ledger):
    await begun(ledger)
    with pytest.raises(WrongState):
        await did(ledger, CALLER, What.ACCEPT)
    assert await ledger.get(CALL.id) == CALL
    with pytest.raises(NoSuchCall):
        await ledger.advance("call-9", Did(CALLER, What.HANG_UP), now=1.0)


async def test_of_two_who_answer_at_once_one_has_the_call(ledger: Ledger):
    await begun(ledger)
    answers = [
        ledger.advance(CALL.id, Did(CALLEE, What.ACCEPT, session), now=20.0)
        for session in ("phone", "laptop", "tablet")
    ]
    results = await asyncio.gather(*answers, return_exceptions=True)
    won = [result for result in results if not isinstance(result, BaseException)]
    assert len(won) == 1
    assert all(isinstance(r, WrongState) for r in results if r not in won)
    assert await ledger.get(CALL.id) == won[0].after


async def test_two_who_ring_each_other_at_once_have_one_call(ledger: Ledger):
    both = await asyncio.gather(begun(ledger, CALL), begun(ledger, BACK))
    assert {call.reason for call in both} == {None, Reason.GLARE}
    [live] = await ledger.live()
    assert live == next(call for call in both if not call.is_over)


async def test_who_is_in_a_call_is_busy_and_cannot_ring(ledger: Ledger):
    await begun(ledger)
    busy = await begun(ledger, THIRD)
    assert (busy.reason, busy.by, busy.ended_at) == (Reason.BUSY, "u-0002", 12.0)
    with pytest.raises(Engaged):
        await begun(ledger, replace(CALL, id="call-4", callee="u-0003"))
    assert await ledger.engaged(["u-0001", "u-0002", "u-0003"]) == {"u-0001", "u-0002"}


async def test_who_is_rung_can_ring_somebody_else(ledger: Ledger):
    await begun(ledger)
    assert not (await begun(ledger, replace(BACK, callee="u-0003"))).is_over


async def test_who_is_not_there_is_offline_and_finds_a_record(ledger: Ledger):
    change = await ledger.begin(CALL, "offer", reachable=False)
    assert change.after.reason is Reason.OFFLINE
    assert await ledger.history("u-0002", before=None, limit=9) == [change.after]


async def test_time_ends_what_is_due_and_nothing_else(ledger: Ledger):
    await begun(ledger)
    assert await ledger.due(now=54.9) == []
    assert (await ledger.expire(CALL.id, now=54.9)).after == CALL
    assert await ledger.due(now=55.0) == [CALL.id]
    assert (await ledger.expire(CALL.id, now=55.0)).after.reason is Reason.NO_ANSWER
    assert await ledger.due(now=99.0) == []


async def test_history_is_of_ones_own_calls_newest_first_and_in_pages(ledger: Ledger):
    for number in range(5):
        call = replace(CALL, id=f"call-{number}", started_at=float(number))
        await ledger.begin(call, "offer", reachable=False)
    first = await ledger.history("u-0001", before=None, limit=3)
    assert [call.id for call in first] == ["call-4", "call-3", "call-2"]
    rest = await ledger.history("u-0001", before=first[-1].started_at, limit=3)
    assert [call.id for call in rest] == ["call-1", "call-0"]
    assert await ledger.history("u-0003", before=None, limit=3) == []


async def test_the_last_report_of_each_side_is_kept(ledger: Ledger):
    await begun(ledger)
    report = {"kind": "direct", "explanation": "one", "pairs": [{"state": "ok"}], "relay": None}
    for words in ("one", "two"):
        await ledger.keep_path(CALL.id, "u-0001", {**report, "explanation": words})
    await ledger.keep_path(CALL.id, "u-0002", {**report, "local": {"port": 1}})
    paths = await ledger.paths([CALL.id])
    assert paths[CALL.id, "u-0001"]["explanation"] == "two"
    assert paths[CALL.id, "u-0001"]["pairs"] == [{"state": "ok"}]
    assert paths[CALL.id, "u-0002"]["local"] == {"port": 1}
