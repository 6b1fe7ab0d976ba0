"""Calto's pages in Chromiums behind real NATs of the lab: which way calls go, and what is said."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from natkit.lab.homes import HOMES, two_homes
from natkit.lab.netns import NamespaceWorld
from tests.calto.browsers import (
    PATIENCE,
    Somebody,
    keep_picture,
    open_browser,
    talk,
    write_tone,
)
from tests.calto.conftest import TONES

pytestmark = [
    pytest.mark.interop,
    pytest.mark.root,
    pytest.mark.needs("root", "chromium", "nsenter", "nft", "ip"),
    pytest.mark.timeout(240),
]

URL = "http://203.0.113.20:8000"
SECURE = f"--unsafely-treat-insecure-origin-as-secure={URL}"
"""Browsers give the microphone to https alone; the lab has no names to make certificates for."""


def serve(world: NamespaceWorld, directory: Path) -> None:
    """Run Calto's server on the lab's internet; return when it serves."""
    database = f"sqlite:///{directory}/calto.db"
    options = ["serve", "--listen", URL.removeprefix("http://"), "--database", database]
    service = world.spawn("stun2", [sys.executable, "-m", "calto_demo.cli", *options])
    give_up = time.monotonic() + PATIENCE
    while "ready" not in service.output():
        assert service.running, service.output()
        assert time.monotonic() < give_up, service.output()
        time.sleep(0.05)


def chromium_of(world: NamespaceWorld, node: str, directory: Path) -> Path:
    """Return a program that starts Chromium in a node."""
    inhabitant = world.spawn(node, ["sleep", "infinity"])
    program = directory / f"chromium-{node}"
    enter = f"{shutil.which('nsenter')} --net=/proc/{inhabitant.pid}/ns/net"
    program.write_text(f'#!/bin/sh\nexec {enter} {shutil.which("chromium")} "$@"\n')
    program.chmod(0o755)
    return program


@contextmanager
def at_home(
    kinds: tuple[str, str], directory: Path
) -> Iterator[tuple[NamespaceWorld, Somebody, Somebody]]:
    """Sign Ada and Bob in, each behind a NAT of a kind."""
    playwright = pytest.importorskip("playwright.sync_api")
    with (
        NamespaceWorld(two_homes(*(HOMES[kind] for kind in kinds))) as world,
        playwright.sync_playwright() as driver,
    ):
        serve(world, directory)
        people: list[Somebody] = []
        browsers: list[Any] = []
        for name, node, hertz in zip(("Ada", "Bob"), ("alice", "bob"), TONES, strict=True):
            write_tone(directory / f"{hertz}.wav", hertz)
            program = chromium_of(world, node, directory)
            browsers.append(open_browser(driver, directory / f"{hertz}.wav", program, SECURE))
            people.append(Somebody(browsers[-1], name, hertz).sign_in(URL))
        try:
            yield world, people[0], people[1]
        finally:
            for browser in browsers:
                browser.close()


KINDS = {
    "port-restricted": "A NAT that direct calls get through",
    "full-cone": "A NAT that direct calls get through",
    "symmetric": "A symmetric NAT",
    "none": "No NAT in the way",
}
"""The lab's names, and what the page calls them before a call."""

DIRECT, RELAYED = "Direct (through NAT)", "Relayed by 203.0.113.20 over UDP"

CASES = {
    ("port-restricted", "port-restricted"): DIRECT,
    ("full-cone", "symmetric"): DIRECT,
    ("none", "symmetric"): DIRECT,
    ("port-restricted", "symmetric"): RELAYED,
    ("symmetric", "symmetric"): RELAYED,
}
"""As in `natkit lab matrix`: only a relay joins a symmetric NAT and one that filters by port."""

Pair = tuple[str, str]


@pytest.mark.parametrize(("kinds", "label"), CASES.items(), ids=["-".join(it) for it in CASES])
def test_the_card_says_which_way_the_nats_made_the_call_go_and_why_as_the_lab_does(
    kinds: Pair, label: str, tmp_path: Path
) -> None:
    with at_home(kinds, tmp_path) as (_, ada, bob):
        for somebody, kind in zip((ada, bob), kinds, strict=True):
            somebody.page.get_by_role("heading", name=KINDS[kind]).wait_for()
        talk(ada, bob)
        ada.expect_hears(bob)
        bob.expect_hears(ada)
        assert ada.path()[1] == label
        expected = claims_of_the_lab(kinds)
        card = ada.page.get_by_test_id("path-explanation")
        # The words are whole when both sides have told what they saw.
        give_up = time.monotonic() + PATIENCE
        while (found := claims(card.inner_text())) != expected and time.monotonic() < give_up:
            time.sleep(0.2)
        assert found == expected, card.inner_text()
        keep_picture(ada, f"path-{'-'.join(kinds)}")
        whole = ada.page.get_by_role("region", name="Path of this call")
        keep_picture(ada, f"card-{'-'.join(kinds)}", whole)


def claims_of_the_lab(kinds: Pair) -> set[str]:
    """Return what `natkit lab matrix --explain` says of two homes."""
    words = [sys.executable, "-m", "natkit", "lab", "matrix", "--explain", *kinds, "--json"]
    told = subprocess.run(words, capture_output=True, text=True, check=True)
    text = json.loads(told.stdout)["paragraph"]
    text = text.replace("B's NAT does the same", BOB_IS_SYMMETRIC)
    found = claims(re.sub(r"\bA\b", "this side", re.sub(r"\bB\b", "Bob", text)))
    # Why it is direct all the same is the filter's doing.
    return found - {BOB_IS_SYMMETRIC} if CASES[kinds] == DIRECT else found


BOB_IS_SYMMETRIC = "Bob's NAT gives every destination another port"

CLAIMS = (
    "talk directly, through NAT",
    "talk over",
    "(reached over UDP)",
    "this side's NAT and Bob's NAT keep one port for all destinations",
    "this side's NAT gives every destination another port",
    BOB_IS_SYMMETRIC,
    "they do not meet in one network",
)
"""What can be said of these NATs; how they filter is known in the lab, and to no browser."""


def claims(words: str) -> set[str]:
    return {claim for claim in CLAIMS if claim.lower() in words.lower()}


def block(world: NamespaceWorld, node: str, directory: Path, what: str) -> None:
    """Let nothing of a kind in or out of a node."""
    rules = directory / "block.nft"
    chains = (f"chain {way} {{ type filter hook {way} priority 0; {what} drop; }};" for way in WAYS)
    rules.write_text("table inet calto_test {" + " ".join(chains) + "}")
    nft(world, node, "-f", str(rules))


def nft(world: NamespaceWorld, node: str, *words: str) -> None:
    service = world.spawn(node, ["nft", *words])
    while service.running:
        time.sleep(0.01)
    assert not service.output()


WAYS = ("input", "output")


def test_a_call_finds_the_relay_over_tcp_when_udp_is_blocked_in_its_middle(tmp_path: Path) -> None:
    with at_home(("port-restricted", "port-restricted"), tmp_path) as (world, ada, bob):
        talk(ada, bob)
        assert ada.path()[0] == "direct"
        block(world, "alice", tmp_path, "meta l4proto udp")
        # Chromium has the way over TCP at hand, and takes it before it calls the other one lost.
        ada.page.get_by_text("Relayed by 203.0.113.20 over TCP").wait_for()
        ada.expect_hears(bob)
        bob.expect_hears(ada)


def test_a_call_comes_back_after_the_network_was_away(tmp_path: Path) -> None:
    with at_home(("port-restricted", "port-restricted"), tmp_path) as (world, ada, bob):
        talk(ada, bob)
        block(world, "alice", tmp_path, "meta l4proto {tcp, udp}")
        for somebody in (ada, bob):
            somebody.expect_status("Reconnecting: looking for another way …")
        nft(world, "alice", "delete", "table", "inet", "calto_test")
        ada.expect_talking()
        ada.expect_hears(bob)
        bob.expect_hears(ada)
        ada.press("Hang up")
        bob.expect_status("Ada hung up.")
