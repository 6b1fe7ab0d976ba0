"""Every screen of Calto: what axe finds in it; scripts/pictures keeps how they look."""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.calto.browsers import CaltoUnderTest, Somebody, calto, keep_picture, talk
from tests.conftest import cannot_run

pytestmark = [pytest.mark.interop, pytest.mark.needs("chromium"), pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "calto_demo/static"
AXE = ROOT / "calto_demo/web/node_modules/axe-core/axe.min.js"

DESKTOP = {"viewport": {"width": 1280, "height": 860}}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}

Arrive = Callable[..., Somebody]

FINDINGS = """
async () => {
  const {violations} = await axe.run(document, {resultTypes: ['violations']});
  return violations.map((it) => [it.impact, it.id, it.nodes.map((node) => node.html).slice(0, 3)]);
}
"""

TOO_WIDE = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


class Looker:
    """Looks at a page: it is kept, nothing sticks out at its side, and axe has nothing to say."""

    def __init__(self, suffix: str) -> None:
        if not AXE.exists():
            cannot_run("axe-core is not here: run scripts/web")
        self._axe = AXE.read_text()
        self._suffix = suffix

    def look(self, somebody: Somebody, name: str) -> None:
        page = somebody.page
        # Colours that fade in have no contrast yet.
        page.wait_for_timeout(400)
        keep_picture(somebody, f"{name}-{self._suffix}")
        assert page.evaluate(TOO_WIDE) <= 0, f"{name} is wider than the window"
        page.evaluate(self._axe)
        found = page.evaluate(FINDINGS)
        assert not found, json.dumps(found, indent=1)


@pytest.fixture(params=[("light", DESKTOP), ("dark", PHONE)], ids=["desktop", "phone"])
def style(request: pytest.FixtureRequest) -> dict[str, Any]:
    scheme, device = request.param
    return {"color_scheme": scheme, "reduced_motion": "reduce", **device}


@pytest.fixture
def look(style: dict[str, Any]) -> Callable[[Somebody, str], None]:
    width = "desktop" if style["viewport"] == DESKTOP["viewport"] else "phone"
    return Looker(f"{width}-{style['color_scheme']}").look


Look = Callable[[Somebody, str], None]


def test_screens_before_a_call(arrive: Arrive, look: Look, style: dict[str, Any]) -> None:
    ada, bob = arrive("Ada", **style), arrive("Bob")
    ada.page.get_by_role("button", name=f"Call {bob.name}").wait_for()
    look(ada, "people")
    ada.press("Check before a call")
    ada.page.get_by_text("Calls will work").wait_for(timeout=60_000)
    look(ada, "check")
    states = ada.page.locator("[data-step]").evaluate_all(
        "(all) => all.map((it) => it.dataset.state)"
    )
    assert states == ["good"] * 5
    ada.press("Close")
    ada.press(f"{ada.name}, your account")
    ada.page.get_by_role("menuitem", name="Sign out").click()
    ada.page.get_by_label("Your name").wait_for()
    look(ada, "sign-in")


def test_screens_of_a_call(arrive: Arrive, look: Look, style: dict[str, Any]) -> None:
    ada, bob = arrive("Ada", **style), arrive("Bob", **style)
    ada.call(bob)
    ada.expect_status("Ringing …")
    look(ada, "outgoing")
    look(bob, "incoming")
    bob.press("Accept")
    ada.page.get_by_text("0:08", exact=True).wait_for()
    ada.page.get_by_role("button", name="candidate pairs").click()
    look(ada, "call")
    ada.press("Sound")
    look(ada, "sound")
    ada.press("Close")
    ada.press("Compare")
    ada.page.locator("[data-testid=comparison][data-state=connected]").wait_for()
    ada.page.get_by_test_id("path-label").nth(1).wait_for()
    ada.page.wait_for_timeout(4000)
    look(ada, "compare")
    ada.press("Hang up")
    look(ada, "ended")
    ada.page.locator("section").get_by_role("button", name="Close", exact=True).click()
    ada.page.get_by_role("tab", name="Calls").click()
    look(ada, "calls")
    ada.page.get_by_role("tabpanel").get_by_role("button").first.click()
    look(ada, "record")


def test_a_call_can_be_made_and_ended_with_the_keyboard_alone(arrive: Arrive) -> None:
    ada, bob = arrive("Ada"), arrive("Bob")
    call = ada.page.get_by_role("button", name=f"Call {bob.name}", exact=True)
    call.wait_for()
    for _ in range(40):
        ada.page.keyboard.press("Tab")
        if call.evaluate("(it) => it === document.activeElement"):
            break
    ada.page.keyboard.press("Enter")
    bob.expect_status("is calling you")
    # Whoever is rung has "Accept" in hand at once.
    bob.page.keyboard.press("Enter")
    ada.expect_talking()
    for _ in range(40):
        bob.page.keyboard.press("Tab")
        if bob.page.evaluate("() => document.activeElement.innerText") == "Hang up":
            break
    bob.page.keyboard.press("Space")
    ada.expect_status(f"{bob.name} hung up.")


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[http.server.ThreadingHTTPServer]:
    """A static host with the app's files, and nothing of the server."""
    shutil.copytree(STATIC, tmp_path / "app")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    serve = functools.partial(Quiet, directory=str(tmp_path / "app"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as host:
        threading.Thread(target=host.serve_forever, daemon=True).start()
        yield host
        host.shutdown()


@pytest.mark.parametrize("how", ["query", "config"])
def test_the_app_on_another_origin_calls_through_a_server_that_allows_it(
    arrive: Arrive, elsewhere: http.server.ThreadingHTTPServer, tmp_path: Path, how: str
) -> None:
    origin = f"http://localhost:{elsewhere.server_address[1]}"
    with calto(tmp_path, "--origin", origin) as server:
        page = f"{origin}/?server={server.url}"
        if how == "config":
            (tmp_path / "app/config.json").write_text(json.dumps({"server": server.url}))
            page = f"{origin}/"
        ada, bob = arrive("Ada", page), arrive("Bob", server.url)
        talk(ada, bob)
        ada.expect_hears(bob)
        bob.expect_hears(ada)


def test_the_app_on_an_origin_that_is_not_allowed_says_that_there_is_no_way(
    server: CaltoUnderTest, chromiums: list[Any], elsewhere: http.server.ThreadingHTTPServer
) -> None:
    ada = Somebody(chromiums[0], "Ada", 440)
    try:
        origin = f"http://localhost:{elsewhere.server_address[1]}"
        ada.page.goto(f"{origin}/?server={server.url}")
        ada.page.get_by_text("The server cannot be reached.").wait_for()
    finally:
        ada.leave()
