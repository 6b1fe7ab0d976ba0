"""Rooms: two meet, a third does not, and nothing grows without bound."""

from __future__ import annotations

from dataclasses import replace

import pytest

from natkit.rendezvous.rooms import DEFAULTS, Heard, Limits, Presence, Refusal, Refused, Rooms

ROOM, HOST, GUEST, THIRD = "r" * 32, "h" * 32, "g" * 32, "t" * 32


def refusal(act: object, *args: object, **more: object) -> Refusal:
    with pytest.raises(Refused) as refused:
        act(*args, **more)  # type: ignore[operator]
    return refused.value.refusal


def opened(limits: Limits = DEFAULTS) -> Rooms:
    rooms = Rooms(limits)
    rooms.open(ROOM, HOST, "192.0.2.1", now=0.0)
    return rooms


def met(limits: Limits = DEFAULTS) -> Rooms:
    rooms = opened(limits)
    rooms.join(ROOM, GUEST, now=1.0)
    return rooms


def test_two_tell_each_other_something():
    rooms = met()
    rooms.say(ROOM, HOST, 0, "to guest", now=2.0)
    rooms.say(ROOM, GUEST, 0, "to host", now=2.0)
    assert rooms.hear(ROOM, GUEST, 0, now=2.0) == Heard(Presence.HERE, ("to guest",))
    assert rooms.hear(ROOM, HOST, 0, now=2.0) == Heard(Presence.HERE, ("to host",))


def test_host_sees_that_nobody_has_come_yet():
    assert opened().hear(ROOM, HOST, 0, now=1.0) == Heard(Presence.AWAITED, ())


def test_messages_stay_until_the_next_are_asked_for():
    rooms = met()
    rooms.say(ROOM, HOST, 0, "a", now=2.0)
    rooms.say(ROOM, HOST, 1, "b", now=2.0)
    assert rooms.hear(ROOM, GUEST, 0, now=2.0).messages == ("a", "b")
    assert rooms.hear(ROOM, GUEST, 0, now=2.0).messages == ("a", "b")
    assert rooms.hear(ROOM, GUEST, 1, now=2.0).messages == ("b",)
    assert refusal(rooms.hear, ROOM, GUEST, 0, now=2.0) is Refusal.MALFORMED
    assert refusal(rooms.hear, ROOM, GUEST, 3, now=2.0) is Refusal.MALFORMED


def test_everything_can_be_said_twice():
    """Who had no answer asks again: nothing may happen twice."""
    rooms = met()
    rooms.open(ROOM, HOST, "192.0.2.1", now=2.0)
    rooms.join(ROOM, GUEST, now=2.0)
    rooms.say(ROOM, HOST, 0, "a", now=2.0)
    rooms.say(ROOM, HOST, 0, "a", now=2.0)
    assert rooms.hear(ROOM, GUEST, 0, now=2.0).messages == ("a",)
    assert refusal(rooms.say, ROOM, HOST, 2, "c", now=2.0) is Refusal.MALFORMED
    assert len(rooms) == 1


def test_a_third_gets_nothing():
    rooms = met()
    rooms.say(ROOM, HOST, 0, "secret", now=2.0)
    for act, args in (
        (rooms.join, ()),
        (rooms.open, ("192.0.2.3",)),
        (rooms.say, (0, "x")),
        (rooms.hear, (0,)),
        (rooms.leave, ()),
    ):
        assert refusal(act, ROOM, THIRD, *args, now=2.0) is Refusal.TAKEN
    assert rooms.hear(ROOM, GUEST, 0, now=2.0).messages == ("secret",)


def test_nobody_joins_a_room_that_nobody_opened():
    assert refusal(Rooms().join, ROOM, GUEST, now=0.0) is Refusal.UNKNOWN


def test_a_code_is_good_until_its_time_is_over():
    long = replace(DEFAULTS, absence=1e9)
    opened(long).join(ROOM, GUEST, now=599.9)
    assert refusal(opened(long).join, ROOM, GUEST, now=600.0) is Refusal.EXPIRED
    assert opened().hear(ROOM, HOST, 0, now=599.9).peer is Presence.AWAITED
    assert refusal(opened().hear, ROOM, HOST, 0, now=600.0) is Refusal.EXPIRED


def test_a_room_goes_when_its_lifetime_is_over():
    rooms = met()
    rooms.hear(ROOM, HOST, 0, now=1199.9)
    assert refusal(rooms.hear, ROOM, HOST, 0, now=1200.0) is Refusal.UNKNOWN
    assert len(rooms) == 0


def test_leaving_is_seen_by_the_other():
    rooms = met()
    rooms.say(ROOM, HOST, 0, "last words", now=2.0)
    rooms.leave(ROOM, HOST, now=3.0)
    assert rooms.hear(ROOM, GUEST, 0, now=3.0) == Heard(Presence.LEFT, ("last words",))
    assert refusal(rooms.say, ROOM, GUEST, 0, "are you there", now=3.0) is Refusal.GONE
    rooms.leave(ROOM, GUEST, now=4.0)
    assert len(rooms) == 0


def test_a_host_that_has_left_leaves_no_room():
    rooms = opened()
    rooms.leave(ROOM, HOST, now=1.0)
    assert refusal(rooms.join, ROOM, GUEST, now=2.0) is Refusal.UNKNOWN


def test_who_asks_no_more_counts_as_left():
    rooms = met()
    rooms.hear(ROOM, GUEST, 0, now=2.0)
    assert rooms.hear(ROOM, HOST, 0, now=36.9).peer is Presence.HERE
    assert rooms.hear(ROOM, HOST, 0, now=37.0).peer is Presence.LEFT


def test_nobody_joins_a_host_that_asks_no_more():
    opened().join(ROOM, GUEST, now=34.9)
    assert refusal(opened().join, ROOM, GUEST, now=35.0) is Refusal.GONE


def test_flood_of_rooms_from_one_source_keeps_out_nobody_else():
    rooms = Rooms(Limits(rooms_per_source=3))
    for number in range(3):
        rooms.open(f"{number:032x}", HOST, "192.0.2.66", now=0.0)
    assert refusal(rooms.open, "f" * 32, HOST, "192.0.2.66", now=0.0) is Refusal.CROWDED
    rooms.open(ROOM, HOST, "192.0.2.1", now=0.0)
    rooms.leave(f"{1:032x}", HOST, now=1.0)
    rooms.open("f" * 32, HOST, "192.0.2.66", now=1.0)


def test_flood_of_rooms_from_everywhere_ends_at_the_limit():
    rooms = Rooms(Limits(rooms=5))
    for number in range(5):
        rooms.open(f"{number:032x}", HOST, f"192.0.2.{number}", now=0.0)
    assert refusal(rooms.open, ROOM, HOST, "192.0.2.66", now=0.0) is Refusal.CROWDED
    rooms.open(ROOM, HOST, "192.0.2.66", now=1200.0)
    assert len(rooms) == 1


def test_messages_are_bounded_one_by_one_and_together():
    rooms = met(Limits(message_bytes=10, waiting_bytes=25))
    assert refusal(rooms.say, ROOM, HOST, 0, "é" * 6, now=2.0) is Refusal.TOO_LARGE
    rooms.say(ROOM, HOST, 0, "x" * 10, now=2.0)
    rooms.say(ROOM, HOST, 1, "x" * 10, now=2.0)
    assert refusal(rooms.say, ROOM, HOST, 2, "x" * 10, now=2.0) is Refusal.BUSY
    rooms.hear(ROOM, GUEST, 2, now=3.0)
    rooms.say(ROOM, HOST, 2, "x" * 10, now=3.0)


def test_host_cannot_pile_up_messages_for_nobody():
    assert refusal(opened().say, ROOM, HOST, 0, "x", now=1.0) is Refusal.GONE
