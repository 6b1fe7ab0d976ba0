"""Two of Calto's pages in Chromium call each other through a real server, and hear each other."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from uuid import uuid4

import pytest
from playwright.sync_api import expect
from sqlalchemy import create_engine, insert

from calto_demo.server.call import Reason, State
from calto_demo.server.tables import calls
from tests.calto.browsers import CaltoUnderTest, Somebody, talk

pytestmark = [pytest.mark.interop, pytest.mark.needs("chromium"), pytest.mark.timeout(180)]

Arrive = Callable[..., Somebody]

RINGING_OR_TALKING = re.compile(r"^(Ringing …|Connected\d+:\d\d)$")


def test_a_direct_call_carries_both_voices_and_the_card_says_direct(arrive: Arrive) -> None:
    ada, bob = arrive("Ada"), arrive("Bob")
    ada.call(bob)
    ada.expect_status("Ringing …")
    bob.expect_status("is calling you")
    bob.press("Accept")
    ada.expect_talking()
    ada.expect_hears(bob)
    bob.expect_hears(ada)
    assert ada.path() == bob.path() == ("direct", "Direct (same network)")
    numbers = [it.page.get_by_test_id("safety-number").inner_text() for it in (ada, bob)]
    assert numbers[0] == numbers[1]
    assert len(numbers[0].split()) == 8


def test_a_call_by_the_relay_carries_both_voices_and_the_card_says_relayed(arrive: Arrive) -> None:
    ada, bob = arrive("Ada"), arrive("Bob")
    ada.choose_path("Relay only")
    talk(ada, bob)
    ada.expect_hears(bob)
    bob.expect_hears(ada)
    assert ada.path() == ("relayed", "Relayed by localhost over UDP")
    assert bob.path()[0] == "relayed"
    ada.page.get_by_text("You asked for the relay").wait_for()
    bob.page.get_by_text(f"{ada.name} asked for the relay").wait_for()


def test_whoever_hides_their_address_does_so_when_they_are_called(arrive: Arrive) -> None:
    ada, bob = arrive("Ada"), arrive("Bob")
    bob.choose_path("Relay only")
    talk(ada, bob)
    assert bob.path()[0] == "relayed"
    bob.page.get_by_text("You asked for the relay").wait_for()
    kinds = bob.page.get_by_role("button", name="candidate pairs")
    kinds.click()
    rows = bob.page.get_by_role("region", name="Candidate pairs").locator("tbody tr")
    ours = rows.locator("td:nth-child(2)").all_inner_texts()
    assert ours
    assert all(text.startswith("relay ") for text in ours), ours


def test_a_direct_only_call_tries_no_relay(arrive: Arrive) -> None:
    ada, bob = arrive("Ada"), arrive("Bob")
    ada.choose_path("Direct only")
    talk(ada, bob)
    ada.expect_hears(bob)
    assert ada.path()[0] == "direct"
    ada.page.get_by_role("button", name="candidate pairs").click()
    table = ada.page.get_by_role("region", name="Candidate pairs")
    assert "relay" not in table.inner_text()


def test_a_comparison_runs_the_call_over_the_other_way_on_both_pages(arrive: Arrive) -> None:
    ada, bob = arrive("Ada"), arrive("Bob")
    talk(ada, bob)
    ada.press("Compare")
    for somebody in (ada, bob):
        somebody.page.locator("[data-testid=comparison][data-state=connected]").wait_for()
        labels = somebody.page.get_by_test_id("path-label")
        labels.nth(1).wait_for()
        assert [labels.nth(n).get_attribute("data-path") for n in range(2)] == ["direct", "relayed"]
    ada.press("Stop")
    for somebody in (ada, bob):
        somebody.page.locator("[data-testid=comparison][data-state=stopped]").wait_for()
    ada.expect_hears(bob)


def test_a_declined_call_tells_the_caller(arrive: Arrive) -> None:
    ada, bob = arrive("Ada"), arrive("Bob")
    ada.call(bob)
    bob.press("Decline")
    ada.expect_status(f"{bob.name} declined.")
    bob.expect_status("You declined.")


def test_a_cancelled_call_stops_ringing(arrive: Arrive) -> None:
    ada, bob = arrive("Ada"), arrive("Bob")
    ada.call(bob)
    bob.expect_status("is calling you")
    ada.press("Cancel")
    ada.expect_status("You cancelled.")
    bob.expect_status(f"{ada.name} gave up before you answered.")
    bob.press("Close")
    bob.page.get_by_role("tab", name="Calls").click()
    bob.page.get_by_text("Missed").wait_for()


def test_whoever_talks_is_busy_for_a_third(arrive: Arrive) -> None:
    ada, bob, eve = arrive("Ada"), arrive("Bob"), arrive("Eve")
    talk(ada, bob)
    eve.call(ada)
    eve.expect_status(f"{ada.name} is in another call.")
    ada.expect_hears(bob)


def test_a_call_rings_in_all_tabs_of_somebody_and_stops_when_one_takes_it(arrive: Arrive) -> None:
    ada, bob = arrive("Ada"), arrive("Bob")
    second = bob.page.context.new_page()
    second.goto(bob.page.url)
    second.get_by_role("button", name="Go on as Bob").click()
    second.get_by_role("button", name="Call Ada", exact=True).wait_for()
    ada.call(bob)
    second.get_by_text("is calling you").wait_for()
    bob.press("Accept")
    second.get_by_text("Answered on another of your devices.").wait_for()
    ada.expect_talking()
    ada.expect_hears(bob)


def test_the_echo_contact_sends_back_what_one_says(arrive: Arrive) -> None:
    ada = arrive("Ada")
    ada.press("Call Echo")
    ada.expect_talking()
    ada.expect_hears(ada)
    ada.press("Compare")
    ada.page.locator("[data-testid=comparison][data-state=connected]").wait_for()


@pytest.mark.parametrize("who", ["caller", "callee"])
def test_both_sides_can_hang_up_and_both_keep_the_call(arrive: Arrive, who: str) -> None:
    ada, bob = arrive("Ada"), arrive("Bob")
    talk(ada, bob)
    # The way is reported two and a half seconds into the call.
    ada.page.get_by_text("0:03", exact=True).wait_for()
    ends, other = (ada, bob) if who == "caller" else (bob, ada)
    ends.press("Hang up")
    ends.expect_status("You hung up.")
    other.expect_status(f"{ends.name} hung up.")
    for somebody, peer in ((ada, bob), (bob, ada)):
        somebody.press("Close")
        somebody.page.get_by_role("tab", name="Calls").click()
        line = somebody.page.get_by_role("tabpanel").get_by_role("button", name=peer.name)
        assert "Direct (same network)" in line.inner_text()
        line.click()
        words = somebody.page.get_by_role("dialog").get_by_text(f"This side and {peer.name} talk")
        assert "directly, in one network" in words.inner_text()


ACCOUNT_OF = "(server) => JSON.parse(sessionStorage[`calto.account ${server}`]).me.id"

NAMES = ("Bob", "Cleo", "Dana")

AT_ONCE, ALL_CALLS = 50, 120
"""Calls that a page asks for at a time, and those that there are."""


def keep_calls(server: CaltoUnderTest, caller: str, callees: list[str]) -> None:
    """Keep that somebody has called each of these, who were away; a minute between two calls.

    Over the protocol it would take as long: nobody may ring more than ten times a minute.
    """
    began = time.time() - 60 * len(callees)
    away = {"path": "auto", "state": State.ENDED, "reason": Reason.OFFLINE, "by": "server"}
    rows = [
        {"id": str(uuid4()), "caller": caller, "caller_session": "closed", "callee": callee}
        | {"started_at": began + 60 * nth, "ended_at": began + 60 * nth, **away}
        for nth, callee in enumerate(callees)
    ]
    engine = create_engine(f"sqlite:///{server.database}")
    with engine.begin() as connection:
        connection.execute(insert(calls), rows)
    engine.dispose()


def test_older_calls_come_when_they_are_asked_for_each_of_them_once_and_the_newest_first(
    arrive: Arrive, server: CaltoUnderTest
) -> None:
    ada = arrive("Ada")
    guests = [
        ada.page.request.post(f"{server.url}/api/guest", data={"name": name}).json()["me"]["id"]
        for name in NAMES
    ]
    keep_calls(
        server,
        ada.page.evaluate(ACCOUNT_OF, server.url),
        [guests[nth % 3] for nth in range(ALL_CALLS)],
    )
    ada.page.reload()
    ada.page.get_by_role("tab", name="Calls").click()
    lines = ada.page.get_by_role("tabpanel").get_by_role("listitem")
    older = ada.page.get_by_role("button", name="Older calls")
    for shown in (AT_ONCE, 2 * AT_ONCE, ALL_CALLS):
        expect(lines).to_have_count(shown)
        names = [line.split("\n")[0] for line in lines.all_inner_texts()]
        assert names == [NAMES[nth % 3] for nth in reversed(range(ALL_CALLS))][:shown]
        if shown < ALL_CALLS:
            older.click()
    expect(older).to_have_count(0)


def test_a_muted_microphone_is_silent_and_the_other_side_is_told(arrive: Arrive) -> None:
    ada, bob = arrive("Ada"), arrive("Bob")
    talk(ada, bob)
    bob.expect_hears(ada)
    ada.press("Mute")
    bob.page.get_by_text("muted over there").wait_for()
    bob.expect_silence()
    ada.press("Unmute")
    bob.expect_hears(ada)


def test_two_who_call_each_other_at_once_talk(arrive: Arrive) -> None:
    ada, bob = arrive("Ada"), arrive("Bob")
    for one, other in ((ada, bob), (bob, ada)):
        button = one.page.get_by_role("button", name=f"Call {other.name}", exact=True)
        button.wait_for()
        button.evaluate("(it) => setTimeout(() => it.click(), 2000 - (Date.now() % 1000))")
    # One of them may have been quicker than the other; then it is an ordinary call.
    for somebody in (bob, ada):
        accept = somebody.page.get_by_role("button", name="Accept", exact=True)
        accept.or_(somebody.page.get_by_text(RINGING_OR_TALKING)).first.wait_for()
        if accept.is_visible():
            accept.click()
    ada.expect_talking()
    bob.expect_talking()
    ada.expect_hears(bob)
    bob.expect_hears(ada)
