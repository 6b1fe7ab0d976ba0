"""natkit's words for a call that browsers made."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import convert

from calto_demo.path_report import path_report
from calto_demo.server.path_words import explanation
from calto_demo.server.requests import PathReport, plain
from natkit import explain_path
from natkit.lab.matrix import Matrix

Json = dict[str, Any]

STUN, TURN = "stun:203.0.113.20:3478", "turn:203.0.113.20:3478?transport=udp"


def end(kind: str, address: str, port: int, **more: Any) -> Json:
    return {"type": kind, "address": address, "port": port, "protocol": "udp", **more}


def mapped(address: str, port: int, inside: str) -> Json:
    related = {"address": inside, "port": 4000}
    return end("srflx", address, port, related=related, url=STUN)


RELAY = end("relay", "203.0.113.20", 50000, url=TURN)
HIDDEN = {"type": "host", "address": "5a1c.local", "port": 4000, "protocol": "udp"}
ADA = [end("host", "10.0.1.2", 4000), mapped("203.0.113.100", 41, "10.0.1.2"), RELAY]
BOB = [end("host", "10.0.2.2", 4000), mapped("203.0.113.101", 42, "10.0.2.2")]


def told(pairs: list[Json], nats: tuple[str, str] = ("unknown", "unknown"), **more: Any) -> Json:
    search = {"role": "controlling", "nat": nats[0], "peer_nat": nats[1]}
    search |= {"local": ADA, "remote": BOB, "asked": [{"url": STUN}, {"url": TURN}]}
    kind = "relayed" if pairs and pairs[0]["local"]["type"] == "relay" else "direct"
    report = {"kind": kind, "pairs": pairs, "search": search | more}
    return plain(convert(report, PathReport))


def tried(local: Json, remote: Json, state: str, **more: Any) -> Json:
    nominated = state == "selected"
    return {"local": local, "remote": remote, "state": state, "nominated": nominated, **more}


DIRECT = tried(ADA[1], BOB[1], "selected")
RELAYED = tried(RELAY, BOB[1], "selected")
DROPPED = tried(ADA[0], BOB[1], "failed", sent=7)


def test_two_cones_are_explained_as_in_the_lab():
    words = explanation(told([DIRECT], ("cone", "cone")), None, "Bob")
    assert words == (
        "This side and Bob talk directly, through NAT: this side at 203.0.113.100:41, Bob at "
        "203.0.113.101:42. This side nominated it, the only pair that works. This side's NAT and "
        "Bob's NAT keep one port for all destinations, so each side's checks opened its own NAT "
        "for the other's. They do not meet in one network: this side is seen at 203.0.113.100 and "
        "Bob is seen at 203.0.113.101."
    )


def test_two_symmetric_nats_are_blamed_and_what_no_browser_measures_is_called_unknown():
    words = explanation(told([RELAYED, DROPPED], ("symmetric", "symmetric")), None, "Bob")
    assert "talk over this side's relay at 203.0.113.20:50000 (reached over UDP)" in words
    for whose in ("this side's", "Bob's"):
        assert f"{whose} NAT gives every destination another port" in words
        assert f"how {whose} NAT filters" in words
    assert "sent 7 checks that way, none was answered" in words


def test_a_port_that_differs_between_two_servers_shows_a_symmetric_nat_without_a_probe():
    twice = [*ADA, {**mapped("203.0.113.100", 43, "10.0.1.2"), "url": "stun:203.0.113.20:3479"}]
    words = explanation(told([RELAYED, DROPPED], local=twice), None, "Bob")
    assert "203.0.113.100:41 and stun:203.0.113.20:3479 at 203.0.113.100:43" in words


def test_an_address_that_a_name_hides_is_no_reason_to_be_silent():
    hidden = {"type": "srflx", "address": "203.0.113.100", "port": 41, "url": STUN}
    hidden["related"] = {"address": "0.0.0.0", "port": 0}
    report = told([DIRECT], local=[HIDDEN, hidden], remote=[BOB[1]])
    assert "talk directly, through NAT" in explanation(report, None, "Bob")


def test_a_relay_that_firefox_does_not_name_is_the_one_that_was_asked_that_way():
    nameless = {name: value for name, value in RELAY.items() if name != "url"} | {"protocol": "tls"}
    asked = [{"url": TURN}, {"url": "turns:203.0.113.20:5349?transport=tcp"}]
    report = told([tried(nameless, BOB[1], "selected")], local=[ADA[0], nameless], asked=asked)
    assert "(reached over TLS)" in explanation(report, None, "Bob")


@pytest.mark.parametrize(
    ("error", "words"), [(701, "no answer"), (401, "it answered with error 401")]
)
def test_a_server_that_told_nothing_is_named_with_its_error(error: int, words: str):
    asked = [{"url": STUN, "error": error}, {"url": TURN}]
    report = told([RELAYED], local=[ADA[0], RELAY], asked=asked)
    assert f"learnt no public address ({STUN}: {words})" in explanation(report, None, "Bob")


def test_a_server_that_saw_our_own_address_is_not_taken_for_silent():
    report = told([RELAYED], local=[ADA[0], RELAY])
    assert "(no server saw another one)" in explanation(report, None, "Bob")


def test_the_browser_that_does_not_say_which_check_came_first_is_not_told_that_one_did():
    second = tried(ADA[0], BOB[1], "succeeded")
    assert "first to work" not in explanation(told([DIRECT, second]), None, "Bob")


def test_a_search_without_a_path_is_explained_where_it_failed_alone():
    report = told([DROPPED])
    assert explanation(report, None, "Bob") == ""
    assert "found no path" in explanation(report | {"kind": "failed"}, None, "Bob")


@pytest.mark.parametrize("kinds", [("port-restricted",) * 2, ("symmetric",) * 2, ("none",) * 2])
def test_what_a_headless_peer_tells_is_explained_as_its_own_report_is(kinds: tuple[str, str]):
    ours, theirs = Matrix().cell(*kinds).reports
    own, other = (plain(convert(path_report(it), PathReport)) for it in (ours, theirs))
    whole = explain_path(ours, remote_report=theirs, names=("this side", "Bob")).paragraph
    assert sentences(explanation(own, other, "Bob")) == sentences(whole)


def test_the_address_that_a_browser_hides_is_told_by_its_owner():
    surprise = {"type": "prflx", "port": 77, "protocol": "udp"}
    own = told([tried(ADA[1], surprise, "selected")])
    assert explanation(own, None, "Bob") == ""
    theirs = told([tried(end("prflx", "203.0.113.101", 77), ADA[1], "selected")])
    assert "Bob at 203.0.113.101:77" in explanation(own, theirs, "Bob")


def sentences(words: str) -> list[str]:
    """Return them without who was first, which no PathReport tells."""
    return [it.removesuffix(", and it was the first to work") for it in words[:-1].split(". ")]
