"""Calls that outlive what happens to a page or to the server."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from tests.calto.browsers import CaltoUnderTest, Somebody, talk

pytestmark = [pytest.mark.interop, pytest.mark.needs("chromium"), pytest.mark.timeout(180)]

Arrive = Callable[..., Somebody]


@pytest.mark.parametrize("who", ["caller", "callee"])
def test_a_page_that_is_loaded_again_is_in_its_call_again(arrive: Arrive, who: str) -> None:
    ada, bob = arrive("Ada"), arrive("Bob")
    talk(ada, bob)
    again = ada if who == "caller" else bob
    again.page.reload()
    again.expect_talking()
    ada.expect_hears(bob)
    bob.expect_hears(ada)
    again.press("Hang up")
    (bob if again is ada else ada).expect_status(f"{again.name} hung up.")


def test_a_page_that_is_loaded_again_while_it_rings_still_rings(arrive: Arrive) -> None:
    ada, bob = arrive("Ada"), arrive("Bob")
    ada.call(bob)
    bob.expect_status("is calling you")
    bob.page.reload()
    bob.press("Accept")
    ada.expect_talking()
    ada.expect_hears(bob)


def test_a_caller_whose_page_is_loaded_again_while_it_rings_is_answered(arrive: Arrive) -> None:
    ada, bob = arrive("Ada"), arrive("Bob")
    ada.call(bob)
    bob.expect_status("is calling you")
    ada.page.reload()
    ada.expect_status("Ringing …")
    bob.press("Accept")
    ada.expect_talking()
    bob.expect_hears(ada)
    ada.expect_hears(bob)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_call_goes_on_while_the_server_is_started_again(
    arrive: Arrive, server: CaltoUnderTest, number: signal.Signals
) -> None:
    ada, bob = arrive("Ada"), arrive("Bob")
    talk(ada, bob)
    server.stop(number)
    ada.page.get_by_text("Server out of reach").wait_for()
    ada.expect_hears(bob)
    server.start()
    for somebody in (ada, bob):
        somebody.page.get_by_text("Online", exact=True).first.wait_for(state="attached")
    bob.expect_hears(ada)
    ada.press("Hang up")
    bob.expect_status(f"{ada.name} hung up.")


def test_a_copy_of_a_tab_takes_over_and_the_first_can_go_on(arrive: Arrive) -> None:
    ada = arrive("Ada")
    with ada.page.context.expect_page() as opened:
        # What opens another page copies its sessionStorage, as duplicating a tab does.
        ada.page.evaluate("() => window.open(location.href)")
    ada.page.get_by_text("goes on in a copy of this tab").wait_for()
    ada.press("Go on here")
    ada.page.get_by_text("Online", exact=True).first.wait_for(state="attached")
    opened.value.close()


@pytest.mark.slow
def test_nobody_answers_for_three_quarters_of_a_minute(arrive: Arrive) -> None:
    ada, bob = arrive("Ada"), arrive("Bob")
    ada.call(bob)
    bob.expect_status("is calling you")
    ada.page.get_by_text("Nobody answered.").wait_for(timeout=60_000)
    bob.expect_status("Nobody answered.")
