"""Telling who is there: what comes together is told of once, and no faster than the rest bears."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import count

import pytest

from calto_demo.server import presence
from calto_demo.server.backplane import Memory
from calto_demo.server.database import Database
from calto_demo.server.hub import Hub
from calto_demo.server.ledger import Ledger
from calto_demo.server.people import People
from calto_demo.server.presence import FRAMES_A_SECOND, MOST_MERGED, Presence
from tests.calto.server.test_hub import Wire


class Crowd:
    """People who are online, in virtual time.

    Attributes: now: seconds.  wires: by user.  meanwhile: is done while presence takes its time.
    """

    def __init__(self, hub: Hub, people: People, ledger: Ledger) -> None:
        self.hub, self.people, self.now = hub, people, 0.0
        self.wires: dict[str, Wire] = {}
        self.meanwhile: list[Callable[[], Awaitable[None]]] = []
        self.presence = Presence(hub, people, ledger, "u-echo", self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.meanwhile:
            await self.meanwhile.pop()()

    async def come(self, *names: str) -> list[str]:
        """Let people be there who see each frame; returns who they are."""
        users = [(await self.people.add(name, "guest", now=1.0)).id for name in names]
        for user in users:
            self.wires[user] = Wire()
            made = await self.hub.join(user, "tab", 0, self.wires[user], "open")
            made.member.open(b'{"type": "welcome"}')
        return users

    def told(self, user: str) -> list[tuple[str, str]]:
        """Return of whom somebody was told, with their NAT."""
        people = (frame["person"] for frame in self.wires[user].sent[1:])
        return [(person["id"], person["nat"]) for person in people]


@pytest.fixture
async def crowd(database: Database) -> Crowd:
    numbers = count(1)
    hub = Hub(Memory(), lambda: 1000.0, "here")
    await hub.start()
    people = People(database, lambda: f"{next(numbers):04}")
    return Crowd(hub, people, Ledger(database))


async def test_who_changes_twice_before_their_turn_is_told_of_once_as_they_are_then(crowd: Crowd):
    ada, bob = await crowd.come("Ada", "Bob")
    crowd.presence.announce(bob)
    await crowd.hub.backplane.come(bob, "tab", "cone")
    crowd.presence.announce(bob)
    await crowd.hub.backplane.come(bob, "tab", "symmetric")
    crowd.presence.announce(ada, bob)
    await crowd.presence.tell()
    assert crowd.told(ada) == [(ada, "open"), (bob, "symmetric")]


async def test_who_changes_after_they_were_looked_up_is_told_of_again(crowd: Crowd):
    ada, bob = await crowd.come("Ada", "Bob")

    async def change() -> None:
        await crowd.hub.backplane.come(bob, "tab", "cone")
        crowd.presence.announce(bob)

    crowd.meanwhile = [change]
    crowd.presence.announce(ada, bob)
    await crowd.presence.tell()
    await crowd.presence.tell()
    assert crowd.told(ada) == [(ada, "open"), (bob, "open"), (bob, "cone")]


async def test_changes_that_come_together_are_looked_up_together(crowd: Crowd, monkeypatch):
    asked: list[int] = []
    some = crowd.people.some

    async def counted(ids):
        found = await some(ids)
        asked.append(len(found))
        return found

    monkeypatch.setattr(crowd.people, "some", counted)
    users = await crowd.come(*(f"n{number}" for number in range(MOST_MERGED + 5)))
    crowd.presence.announce(*users)
    await crowd.presence.tell()
    await crowd.presence.tell()
    assert asked == [MOST_MERGED, 5]
    assert {user for user, _ in crowd.told(users[0])} == set(users)


async def test_in_a_crowd_each_change_goes_to_contacts_of_either_side_alone(
    crowd: Crowd, monkeypatch
):
    monkeypatch.setattr(presence, "EVERYBODY", 4)
    ada, bob, cleo, dan = await crowd.come("Ada", "Bob", "Cleo", "Dan")
    await crowd.people.add_contact(ada, bob)
    await crowd.people.add_contact(cleo, ada)
    crowd.presence.announce(ada, bob, dan)
    await crowd.presence.tell()
    assert crowd.told(ada) == [(bob, "open")]
    assert crowd.told(bob) == crowd.told(cleo) == [(ada, "open")]
    assert crowd.told(dan) == []


async def test_presence_takes_as_long_as_its_frames_may_be_fast(crowd: Crowd):
    users = await crowd.come(*(f"n{number}" for number in range(20)))
    began = crowd.now
    crowd.presence.announce(*users)
    await crowd.presence.tell()
    frames = sum(len(crowd.told(user)) for user in users)
    assert frames == 20 * 20
    assert frames / (crowd.now - began) <= FRAMES_A_SECOND
