"""Calls over real WebSockets, as docs/calto-protocol.md has them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from calto_demo.server import presence
from calto_demo.server.call import AWAY_TIME_RINGING, RING_TIME
from calto_demo.server.running import running
from tests.calto.clients import SDP, Tab, new_call
from tests.calto.server.world import World

pytestmark = pytest.mark.slow


async def test_a_call_from_the_first_ring_to_the_record_that_is_kept(world: World):
    ada, bob = await world.tab("Ada", nat="symmetric"), await world.tab("Bob", nat="cone")
    call = await ada.ring(bob.user, path="relay")
    incoming = await bob.expect("incoming")
    assert incoming["peer"] == {"id": ada.user, "name": "Ada", "kind": "guest"}
    assert (incoming["sdp"], incoming["path"], incoming["peer_nat"]) == (SDP, "relay", "symmetric")
    await bob.send("ringing", call)
    await ada.expect("ringing", call=call)
    await bob.send("accept", call, sdp="answer")
    accepted = await ada.expect("accepted")
    assert (accepted["sdp"], accepted["peer_nat"]) == ("answer", "cone")
    candidate = {"candidate": "candidate:1 1 udp 1 192.0.2.1 5 typ host", "sdpMid": "0"}
    await ada.send("candidate", call, candidate=candidate)
    assert (await bob.expect("candidate"))["candidate"] == candidate
    await bob.send("candidate", call, candidate=None)
    assert (await ada.expect("candidate"))["candidate"] is None
    await bob.send("connected", call)
    await ada.expect("connected", call=call)
    await ada.send("mute", call, muted=True)
    assert (await bob.expect("mute"))["muted"] is True
    await bob.send("hangup", call)
    for tab, direction in ((ada, "out"), (bob, "in")):
        ended = await tab.expect("ended", call=call, reason="hangup", by=bob.user)
        assert ended["record"]["direction"] == direction
        assert ended["record"] == await world.api.get(f"/api/calls/{call}", tab.token)


async def test_no_candidate_offer_or_mute_passes_before_the_call_is_accepted(world: World):
    ada, bob = await world.tab("Ada"), await world.tab("Bob")
    call = await ada.ring(bob.user)
    await bob.expect("incoming")
    await ada.send("offer", call, sdp=SDP)
    assert (await ada.expect("error"))["code"] == "wrong-state"
    assert await bob.quiet() == []


async def test_an_offer_of_another_leg_and_a_fresh_one_reach_the_other_side_as_sent(world: World):
    ada, bob, call = await world.talking()
    await bob.send("offer", call, sdp="v=1", leg="compare", fresh=True)
    offer = await ada.expect("offer")
    assert (offer["sdp"], offer["leg"], offer["fresh"]) == ("v=1", "compare", True)
    await ada.send("answer", call, sdp="v=2", leg="compare")
    assert (await bob.expect("answer"))["leg"] == "compare"


@pytest.mark.parametrize(
    ("who", "frame", "reason"),
    [
        ("bob", ("decline", {}), "declined"),
        ("ada", ("hangup", {}), "cancelled"),
        ("ada", ("hangup", {"reason": "failed", "message": "no microphone"}), "failed"),
    ],
)
async def test_a_call_that_is_not_answered_ends_for_both_with_its_reason(world, who, frame, reason):
    tabs = {"ada": await world.tab("Ada"), "bob": await world.tab("Bob")}
    call = await tabs["ada"].ring(tabs["bob"].user)
    await tabs["bob"].expect("incoming")
    await tabs[who].send(frame[0], call, **frame[1])
    for tab in tabs.values():
        ended = await tab.expect("ended", call=call, reason=reason, by=tabs[who].user)
        assert ended["message"] == frame[1].get("message")


@pytest.mark.parametrize(
    ("column", "seconds", "reason"),
    [("started_at", RING_TIME, "no-answer"), ("caller_away_since", AWAY_TIME_RINGING, "lost")],
)
async def test_time_ends_a_call_that_nobody_answers_and_both_are_told(
    world: World, column: str, seconds: float, reason: str
):
    ada, bob = await world.tab("Ada"), await world.tab("Bob")
    call = await ada.ring(bob.user)
    await bob.expect("incoming")
    async with world.server.services.database.writing() as connection:
        past = world.now() - seconds
        query = f"UPDATE calls SET {column} = {past}, deadline = {past + seconds}"
        await connection.exec_driver_sql(query)
    for tab in (ada, bob):
        ended = await tab.expect("ended", call=call)
        assert (ended["reason"], ended["by"]) == (reason, None)


async def test_both_hang_up_at_once_and_neither_is_told_of_an_error(world: World):
    ada, bob, call = await world.talking()
    await asyncio.gather(ada.send("hangup", call), bob.send("hangup", call))
    for tab in (ada, bob):
        await tab.expect("ended", call=call, reason="hangup")
        assert await tab.quiet() == []


async def test_the_first_device_to_answer_has_the_call_and_the_others_stop_ringing(world: World):
    ada, phone = await world.tab("Ada"), await world.tab("Bob")
    laptop = await world.another(phone)
    call = await ada.ring(phone.user)
    for device in (phone, laptop):
        await device.expect("incoming", call=call)
    await laptop.send("accept", call, sdp=SDP)
    await ada.expect("accepted")
    await phone.expect("stop", call=call, reason="answered-elsewhere")
    await phone.send("accept", call, sdp=SDP)
    assert (await phone.expect("error"))["code"] == "wrong-state"
    await ada.send("candidate", call, candidate=None)
    await laptop.expect("candidate")
    assert await phone.quiet() == []


async def test_declining_on_one_device_ends_it_on_all(world: World):
    ada, phone = await world.tab("Ada"), await world.tab("Bob")
    laptop = await world.another(phone)
    call = await ada.ring(phone.user)
    await laptop.expect("incoming")
    await laptop.send("decline", call)
    for tab in (ada, phone, laptop):
        await tab.expect("ended", call=call, reason="declined")


async def test_who_is_in_a_call_is_busy_to_others_and_finds_a_record(world: World):
    _ada, bob, _ = await world.talking()
    cleo = await world.tab("Cleo")
    call = await cleo.ring(bob.user)
    await cleo.expect("ended", call=call, reason="busy", by=bob.user)
    await bob.expect("ended", call=call, reason="busy")
    calls = (await world.api.get("/api/calls", bob.token))["calls"]
    assert [(one["reason"], one["peer"]["name"]) for one in calls] == [
        ("busy", "Cleo"),
        (None, "Ada"),
    ]


async def test_who_is_in_a_call_cannot_ring(world: World):
    ada, _, _ = await world.talking()
    cleo = await world.tab("Cleo")
    number = await ada.send("ring", new_call(), to=cleo.user, sdp=SDP)
    assert (await ada.expect("error", of=number))["code"] == "engaged"
    assert await cleo.quiet() == []


async def test_who_closed_the_tab_of_a_call_can_ring_from_another_at_once(world: World):
    ada, bob, call = await world.talking()
    cleo = await world.tab("Cleo")
    await ada.drop()
    await bob.expect("peer", signalling="lost")
    again = await world.another(ada)
    await again.ring(cleo.user)
    await cleo.expect("incoming")
    await bob.expect("ended", call=call, reason="hangup", by=ada.user)


async def test_two_who_ring_each_other_have_one_call(world: World):
    ada, bob = await world.tab("Ada"), await world.tab("Bob")
    first = await ada.ring(bob.user)
    await bob.expect("incoming", call=first)
    second = await bob.ring(ada.user)
    await bob.expect("ended", call=second, reason="glare")
    await bob.send("accept", first, sdp=SDP)
    await ada.expect("accepted", call=first)


async def told_of(tab: Tab, whom: Tab, **how: Any) -> dict[str, Any]:
    """Return the presence of somebody that a tab is told of, once it is as it should be."""
    while True:
        person = (await tab.expect("presence"))["person"]
        if person["id"] == whom.user and how.items() <= person.items():
            return person


async def test_who_is_not_there_is_offline_at_once(world: World):
    ada, bob = await world.tab("Ada"), await world.tab("Bob")
    await bob.close()
    while (await told_of(ada, bob, online=False))["last_seen"] is None:
        pass  # told between his going and the note of it
    call = await ada.ring(bob.user)
    await ada.expect("ended", call=call, reason="offline")


@pytest.mark.parametrize("to", ["u-nobody", "itself"])
async def test_nobody_can_be_rung_who_is_not_there_to_be(world: World, to: str):
    ada = await world.tab("Ada")
    number = await ada.send("ring", new_call(), to=ada.user if to == "itself" else to, sdp=SDP)
    assert (await ada.expect("error", of=number))["code"] == "no-such-user"


async def test_somebody_elses_call_cannot_be_told_from_one_that_never_was(world: World):
    _ada, _bob, call = await world.talking()
    eve = await world.tab("Eve")
    frames = [
        ("hangup", {}),
        ("accept", {"sdp": SDP}),
        ("candidate", {"candidate": None}),
        ("offer", {"sdp": SDP}),
    ]
    for kind, fields in frames:
        seen = []
        for one in (call, new_call()):
            number = await eve.send(kind, one, **fields)
            error = await eve.expect("error", of=number)
            seen.append((error["code"], error["message"]))
        assert seen[0] == seen[1] == ("no-such-call", "there is no such call")
    response = await world.api.ask("GET", f"/api/calls/{call}", eve.token)
    assert response.json()["error"]["code"] == "no-such-call"


async def test_another_session_of_the_caller_has_no_part_in_the_call(world: World):
    ada, _bob, call = await world.talking()
    other = await world.another(ada)
    await other.send("hangup", call)
    assert (await other.expect("error"))["code"] == "wrong-state"


async def test_an_id_that_was_used_for_another_call_is_refused(world: World):
    ada, bob, call = await world.talking()
    cleo = await world.tab("Cleo")
    number = await cleo.send("ring", call, to=bob.user, sdp=SDP)
    assert (await cleo.expect("error", of=number))["code"] == "call-exists"
    await ada.ring(bob.user, call)
    assert await ada.quiet() == [], "the caller may say it again"


async def test_a_dropped_socket_loses_no_frame_and_no_call(world: World):
    ada, bob, call = await world.talking()
    await ada.drop()
    await bob.expect("peer", call=call, signalling="lost")
    for number in range(3):
        await bob.send("candidate", call, candidate={"candidate": str(number)})
    await bob.quiet()
    welcome = await ada.open()
    assert welcome["resumed"] is True
    assert [one["call"] for one in welcome["calls"]] == [call]
    await bob.expect("peer", call=call, signalling="back")
    for number in range(3):
        assert (await ada.expect("candidate"))["candidate"] == {"candidate": str(number)}
    await ada.send("hangup", call)
    await bob.expect("ended", reason="hangup")


async def test_a_frame_that_is_sent_again_is_done_once(world: World):
    ada, bob = await world.tab("Ada"), await world.tab("Bob")
    call = await ada.ring(bob.user)
    await bob.expect("incoming")
    await ada.drop()
    welcome = await ada.open()
    assert welcome["ack"] == 1
    await ada.raw(f'{{"type":"hangup","seq":1,"call":"{call}"}}')
    assert await ada.quiet() == []
    assert (await world.api.get(f"/api/calls/{call}", ada.token))["state"] == "calling"


async def test_a_call_that_rings_comes_to_a_session_that_says_hello_meanwhile(world: World):
    ada, phone = await world.tab("Ada"), await world.tab("Bob")
    call = await ada.ring(phone.user)
    await phone.expect("incoming")
    laptop = await world.another(phone)
    [live] = laptop.welcome["calls"]
    assert (live["call"], live["state"], live["direction"]) == (call, "calling", "in")
    assert (live["sdp"], live["peer"]["name"]) == (SDP, "Ada")


async def test_a_server_that_starts_again_knows_the_call_and_lets_it_go_on(
    world: World, tmp_path: Path
):
    ada, bob, call = await world.talking()
    settings = world.server.services.settings
    await world.server.stop()
    for tab in (ada, bob):
        assert (await tab.closed())[0] in (1001, 1012)
    async with running(settings) as again:
        for tab in (ada, bob):
            tab.url = again.url
            welcome = await tab.open()
            assert welcome["resumed"] is False
            assert [(one["call"], one["state"]) for one in welcome["calls"]] == [
                (call, "connected")
            ]
        await ada.send("mute", call, muted=True)
        await bob.expect("mute")
        await ada.send("hangup", call)
        await bob.expect("ended", reason="hangup")


async def test_a_copied_tab_takes_the_session_over_and_the_first_one_is_told(world: World):
    ada = await world.tab("Ada")
    copy = Tab(ada.url, ada.user, ada.token, ada.name)
    copy.got = ada.got
    await copy.open()
    assert (await ada.closed())[0] == 4409
    assert await copy.quiet() == []
    await copy.close()


async def test_presence_tells_who_comes_gets_busy_and_measures_another_nat(world: World):
    ada = await world.tab("Ada")
    bob = await world.tab("Bob", nat="cone")
    await told_of(ada, bob, online=True, busy=False, nat="cone")
    await bob.send("status", nat="symmetric")
    await told_of(ada, bob, online=True, busy=False, nat="symmetric")
    call = await ada.ring(bob.user)
    await told_of(ada, bob, busy=True)
    await ada.send("hangup", call)
    await told_of(ada, bob, busy=False)


async def test_in_a_crowd_only_who_knows_somebody_is_told_of_them(world: World, monkeypatch):
    ada, bob, cleo = [await world.tab(name) for name in ("Ada", "Bob", "Cleo")]
    await world.api.ask("PUT", f"/api/contacts/{bob.user}", ada.token)
    await told_of(cleo, cleo, online=True)
    monkeypatch.setattr(presence, "EVERYBODY", 2)
    await bob.send("status", nat="symmetric")
    await told_of(ada, bob, nat="symmetric")
    assert await cleo.presences() == []


async def test_a_mistake_while_telling_presence_or_ending_calls_stops_neither(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    def wrong(made: asyncio.Event) -> Any:
        def mistake(*_args: object) -> None:
            made.set()
            raise KeyError("a mistake of ours")

        return mistake

    ada, bob = await world.tab("Ada"), await world.tab("Bob")
    made = [asyncio.Event(), asyncio.Event()]
    with monkeypatch.context() as broken:
        broken.setattr(type(world.server.services.presence), "_about", wrong(made[0]))
        broken.setattr(type(world.server.services.switchboard), "sweep", wrong(made[1]))
        await bob.send("status", nat="symmetric")
        async with asyncio.timeout(5):
            for one in made:
                await one.wait()
    await bob.send("status", nat="cone")
    await told_of(ada, bob, nat="cone")
    call = await ada.ring(bob.user)
    await bob.expect("incoming")
    async with world.server.services.database.writing() as connection:
        await connection.exec_driver_sql("UPDATE calls SET deadline = 1, started_at = 1")
    assert (await ada.expect("ended", call=call))["reason"] == "no-answer"


async def test_a_draining_server_takes_no_new_calls_and_is_not_ready(world: World):
    ada, bob, call = await world.talking()
    cleo = await world.tab("Cleo")
    world.server.drain()
    number = await cleo.send("ring", new_call(), to=bob.user, sdp=SDP)
    assert (await cleo.expect("error", of=number))["code"] == "draining"
    response = await world.api.ask("GET", "/readyz")
    assert (response.status_code, response.json()["error"]["code"]) == (503, "draining")
    assert (await world.api.ask("GET", "/healthz")).status_code == 200
    await ada.send("hangup", call)
    await bob.expect("ended")
