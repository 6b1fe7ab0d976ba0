"""The PeerJS realm, raw: admission, relaying, and what is mended of the stock server."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calto_demo.server import realm as module
from calto_demo.server.realm import ALIVE_TIME, EXPIRE_TIME, RESERVED, Realm


class Wire:
    """A socket that remembers."""

    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []
        self.is_closed = False

    def send(self, data: bytes) -> None:
        self.frames.append(json.loads(data))

    def close(self, _code: int, _reason: str) -> None:
        self.is_closed = True

    def take(self) -> list[dict[str, Any]]:
        frames, self.frames = self.frames, []
        return frames


OPEN = {"type": "OPEN"}


@pytest.fixture
def realm() -> Realm:
    return Realm()


def connected(realm: Realm, peer: str, token: str = "", now: float = 0.0) -> Wire:
    wire = Wire()
    assert realm.connect(peer, token or f"token of {peer}", wire, now=now)
    assert wire.frames.pop(0) == OPEN
    return wire


def say(realm: Realm, peer: str, wire: Wire, now: float = 0.0, **frame: Any) -> None:
    realm.receive(peer, wire, json.dumps(frame), now=now)


def test_an_offer_goes_to_who_it_is_for_and_from_who_sent_it(realm: Realm):
    ada, bob = connected(realm, "ada"), connected(realm, "bob")
    say(realm, "ada", ada, type="OFFER", src="eve", dst="bob", payload={"x": 1}, extra=2)
    assert bob.take() == [{"type": "OFFER", "src": "ada", "dst": "bob", "payload": {"x": 1}}]
    assert ada.take() == []


@pytest.mark.parametrize("kind", ["OPEN", "ID-TAKEN", "ERROR", "HEARTBEAT", "UNHEARD-OF"])
def test_what_only_the_server_says_is_not_passed_on(realm: Realm, kind: str):
    ada, bob = connected(realm, "ada"), connected(realm, "bob")
    say(realm, "ada", ada, type=kind, dst="bob", payload={})
    assert bob.take() == []


def test_an_id_is_not_had_with_another_token_while_its_owner_is_there_or_may_come_back(
    realm: Realm,
):
    ada = connected(realm, "ada", now=0.0)
    for now in (1.0, 1.0 + RESERVED - 0.1):
        eve = Wire()
        assert not realm.connect("ada", "stolen", eve, now=now)
        assert eve.take() == [{"type": "ID-TAKEN", "payload": {"msg": "ID is taken"}}]
        assert eve.is_closed
        realm.drop("ada", ada, now=1.0)
    connected(realm, "ada", "another", now=1.0 + RESERVED)


def test_who_comes_back_is_open_again_and_the_old_socket_is_closed(realm: Realm):
    """The stock server sends no OPEN, and leaves the old socket hanging."""
    old = connected(realm, "ada")
    new = connected(realm, "ada")
    assert old.is_closed
    realm.drop("ada", old, now=1.0)
    assert realm.is_connected("ada"), "the old socket's end is not the new one's"
    say(realm, "ada", old, type="LEAVE")
    assert realm.is_connected("ada"), "nor is what was on its way from there"
    assert new.take() == []


def test_an_offer_to_nobody_expires_at_once(realm: Realm):
    """The stock server says so after five seconds or six."""
    ada = connected(realm, "ada")
    say(realm, "ada", ada, type="OFFER", dst="bob", payload={})
    say(realm, "ada", ada, type="CANDIDATE", dst="bob", payload={})
    assert ada.take() == [{"type": "EXPIRE", "src": "bob", "dst": "ada"}]


def test_what_is_sent_to_who_dropped_a_moment_ago_is_there_when_they_come_back(realm: Realm):
    ada, bob = connected(realm, "ada"), connected(realm, "bob")
    realm.drop("bob", bob, now=1.0)
    for number in range(3):
        say(realm, "ada", ada, now=2.0, type="CANDIDATE", dst="bob", payload=number)
    again = connected(realm, "bob", now=3.0)
    assert [frame["payload"] for frame in again.take()] == [0, 1, 2]
    assert connected(realm, "bob", now=4.0).take() == [], "and it comes once"


def test_each_message_expires_by_itself_and_the_sender_is_told_once(realm: Realm):
    """The stock server expires a queue as a whole, messages that just came included."""
    ada, bob = connected(realm, "ada"), connected(realm, "bob")
    realm.drop("bob", bob, now=0.0)
    for now in (1.0, 1.0, 4.0):
        say(realm, "ada", ada, now=now, type="OFFER", dst="bob", payload=now)
    realm.tick(now=1.0 + EXPIRE_TIME - 0.1)
    assert ada.take() == []
    realm.tick(now=1.0 + EXPIRE_TIME)
    assert ada.take() == [{"type": "EXPIRE", "src": "bob", "dst": "ada"}]
    again = connected(realm, "bob", now=4.0 + EXPIRE_TIME - 0.1)
    assert [frame["payload"] for frame in again.take()] == [4.0]


def test_leave_reaches_who_it_is_for_and_without_one_frees_the_id(realm: Realm):
    ada, bob = connected(realm, "ada"), connected(realm, "bob")
    say(realm, "ada", ada, type="LEAVE", dst="bob")
    assert bob.take() == [{"type": "LEAVE", "src": "ada", "dst": "bob"}]
    say(realm, "ada", ada, type="LEAVE")
    assert not realm.is_connected("ada")
    connected(realm, "ada", "another")


def test_any_frame_keeps_a_client_and_silence_does_not(realm: Realm):
    ada = connected(realm, "ada", now=0.0)
    say(realm, "ada", ada, now=30.0, type="ANYTHING")
    realm.tick(now=30.0 + ALIVE_TIME - 0.1)
    assert not ada.is_closed
    realm.tick(now=30.0 + ALIVE_TIME)
    assert ada.is_closed
    assert not realm.is_connected("ada")


def test_realm_that_is_full_refuses_clients_and_drops_the_oldest_that_waits(
    realm: Realm, monkeypatch
):
    monkeypatch.setattr(module, "MOST_CLIENTS", 2)
    ada, bob = connected(realm, "ada"), connected(realm, "bob")
    late = Wire()
    assert not realm.connect("cleo", "t", late, now=0.0)
    assert late.take() == [{"type": "ERROR", "payload": {"msg": module.FULL}}]
    connected(realm, "bob")
    realm.drop("bob", bob, now=0.0)
    bob = connected(realm, "bob")
    realm.drop("bob", bob, now=0.0)
    for number in range(module.MOST_QUEUED + 10):
        say(realm, "ada", ada, type="CANDIDATE", dst="bob", payload=number)
    assert [frame["payload"] for frame in connected(realm, "bob").take()] == list(
        range(10, module.MOST_QUEUED + 10)
    )


@given(
    st.binary(max_size=40)
    | st.recursive(
        st.none() | st.text(max_size=9) | st.sampled_from(["type", "dst", "OFFER", "LEAVE", "bob"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["type", "dst", "payload", "src"]), inner, max_size=4)
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_no_frame_does_more_than_to_be_relayed_or_ignored(data: bytes):
    realm = Realm()
    ada, bob = connected(realm, "ada"), connected(realm, "bob")
    realm.receive("ada", ada, data, now=0.0)
    assert all(frame["src"] == "ada" for frame in bob.take())
