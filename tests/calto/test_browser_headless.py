"""A page in Chromium and a headless peer call each other: both ways round, over both paths."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from calto_demo.peer.audio import TONE, ToneMeter
from tests.calto.browsers import PATIENCE, CaltoUnderTest, Somebody

pytestmark = [pytest.mark.interop, pytest.mark.needs("chromium"), pytest.mark.timeout(180)]

Arrive = Callable[..., Somebody]

PATHS = pytest.mark.parametrize(("path", "kind"), [("auto", "direct"), ("relay", "relayed")])

HEADLESS: Any = SimpleNamespace(name="Bob", says=TONE)


@contextlib.contextmanager
def headless(*words: str) -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-m", "calto_demo.cli", *words, "--name", "Bob", "--json"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as one:
        try:
            yield one
        finally:
            one.kill()


def told(peer: subprocess.Popen[str]) -> dict[str, Any]:
    """Return what it says of its call, when that is over."""
    out, err = peer.communicate(timeout=PATIENCE)
    assert out, err
    found: dict[str, Any] = json.loads(out)
    return found


def heard(recording: Path, hertz: int) -> int:
    """Return how many 20 ms of a recording are mostly that tone."""
    meter = ToneMeter(hertz)
    with wave.open(str(recording)) as file:
        while len(piece := file.readframes(960)) == 2 * 960:
            meter.hear(piece)
    return meter.tones


@PATHS
def test_a_headless_peer_calls_a_page(
    arrive: Arrive, server: CaltoUnderTest, tmp_path: Path, path: str, kind: str
) -> None:
    ada, recording = arrive("Ada of the page"), tmp_path / "heard.wav"
    words = ("call", ada.name, "--server", server.url, "--path", path, "--for", "6s")
    with headless(*words, "--record", str(recording)) as bob:
        ada.press("Accept")
        ada.expect_talking()
        ada.expect_hears(HEADLESS)
        assert ada.path()[0] == kind
        found = told(bob)
    assert found["path"] == kind
    assert heard(recording, ada.says) > 20
    ada.expect_status("Bob hung up.")
    both_sides_are_kept(ada, kind)


@PATHS
def test_a_page_calls_a_headless_peer(
    arrive: Arrive, server: CaltoUnderTest, tmp_path: Path, path: str, kind: str
) -> None:
    ada, recording = arrive("Ada of the page"), tmp_path / "heard.wav"
    words = ("answer", "--server", server.url, "--path", path, "--once")
    with headless(*words, "--record", str(recording)) as bob:
        ada.call(HEADLESS)
        ada.expect_talking()
        ada.expect_hears(HEADLESS)
        assert ada.path()[0] == kind
        ada.press("Hang up")
        found = told(bob)
    assert (found["path"], found["ended"]) == (kind, "hangup")
    assert heard(recording, ada.says) > 10
    both_sides_are_kept(ada, kind)


@contextlib.contextmanager
def talking(arrive: Arrive, server: CaltoUnderTest) -> Iterator[Somebody]:
    """Return somebody in a call with a headless peer, who hears it at the end and hangs up."""
    ada = arrive("Ada of the page")
    with headless("answer", "--server", server.url, "--once") as bob:
        ada.call(HEADLESS)
        ada.expect_talking()
        yield ada
        ada.expect_hears(HEADLESS)
        ada.press("Hang up")
        assert told(bob)["ended"] == "hangup"


def test_a_page_that_is_loaded_again_goes_on_with_a_headless_peer(
    arrive: Arrive, server: CaltoUnderTest
) -> None:
    with talking(arrive, server) as ada:
        ada.page.reload()
        ada.expect_talking()


def test_a_call_with_a_headless_peer_goes_on_while_the_server_is_started_again(
    arrive: Arrive, server: CaltoUnderTest
) -> None:
    with talking(arrive, server) as ada:
        server.stop()
        ada.page.get_by_text("Server out of reach").wait_for()
        ada.expect_hears(HEADLESS)
        server.start()
        ada.page.get_by_text("Online", exact=True).first.wait_for(state="attached")


def both_sides_are_kept(ada: Somebody, kind: str) -> None:
    """Assert that the record has the way as both measured it, with the words."""
    ada.page.locator("section").get_by_role("button", name="Close", exact=True).click()
    ada.page.get_by_role("tab", name="Calls").click()
    ada.page.get_by_role("tabpanel").get_by_role("button", name="Bob").first.click()
    record = ada.page.get_by_role("dialog")
    how = "talk directly" if kind == "direct" else "talk over"
    for words in (f"This side and Bob {how}", f"This side and {ada.name} {how}"):
        record.get_by_text(words).wait_for()
    assert record.get_by_text("From", exact=True).count() == 2
