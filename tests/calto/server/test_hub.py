"""The hub: frames to every session of a user, and what becomes of sessions without a socket."""

from __future__ import annotations

import json
from typing import Any

import pytest

from calto_demo.server.backplane import Memory
from calto_demo.server.hub import KEPT, MOST_SESSIONS, Hub
from calto_demo.server.refusal import Refused


class Wire:
    """A socket that remembers."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.closed: list[tuple[int, str]] = []

    def send(self, data: bytes) -> None:
        self.sent.append(json.loads(data))

    def close(self, code: int, reason: str) -> None:
        self.closed.append((code, reason))


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def hub(clock: Clock) -> Hub:
    made = Hub(Memory(), clock, "here")
    await made.start()
    return made


async def joined(hub: Hub, user: str, name: str, ack: int = 0) -> tuple[Wire, bool]:
    wire = Wire()
    made = await hub.join(user, name, ack, wire, "open")
    made.member.open(b'{"type": "welcome"}')
    return wire, made.resumed


async def test_a_frame_goes_to_all_sessions_or_one_or_all_but_one(hub: Hub):
    wires = {name: (await joined(hub, "ada", name))[0] for name in ("tab", "phone")}
    other, _ = await joined(hub, "bob", "tab")
    await hub.tell("ada", {"n": 1})
    await hub.tell("ada", {"n": 2}, only="tab")
    await hub.tell("ada", {"n": 3}, but="tab")
    await hub.tell(None, {"n": 4})
    numbers = {name: [f["n"] for f in wire.sent[1:]] for name, wire in wires.items()}
    assert numbers == {"tab": [1, 2, 4], "phone": [1, 3, 4]}
    assert [f["n"] for f in other.sent[1:]] == [4]


async def test_frames_that_come_before_the_welcome_come_behind_it(hub: Hub):
    wire = Wire()
    made = await hub.join("ada", "tab", 0, wire, "open")
    await hub.tell("ada", {"type": "early"})
    assert wire.sent == []
    made.member.open(b'{"type": "welcome"}')
    assert [frame["type"] for frame in wire.sent] == ["welcome", "early"]


async def test_a_session_without_a_socket_is_kept_for_a_minute_and_then_forgotten(
    hub: Hub, clock: Clock
):
    wire, _ = await joined(hub, "ada", "tab")
    assert await hub.drop("ada", "tab", wire)
    await hub.tell("ada", {"n": 1})
    clock.now += KEPT - 0.1
    await hub.forget()
    again, resumed = await joined(hub, "ada", "tab")
    assert resumed
    assert [frame.get("n") for frame in again.sent] == [None, 1]
    await hub.drop("ada", "tab", again)
    clock.now += KEPT
    await hub.forget()
    assert (await joined(hub, "ada", "tab", ack=1))[1] is False


async def test_the_end_of_a_socket_that_was_replaced_changes_nothing(hub: Hub):
    old, _ = await joined(hub, "ada", "tab")
    new, _ = await joined(hub, "ada", "tab")
    assert old.closed == [(4409, "another socket has this session")]
    assert not await hub.drop("ada", "tab", old)
    await hub.tell("ada", {"n": 1})
    assert new.sent[-1]["n"] == 1
    assert hub.sockets == 1


async def test_many_short_visits_lock_nobody_out(hub: Hub):
    for number in range(MOST_SESSIONS * 3):
        wire, _ = await joined(hub, "ada", f"visit {number}")
        await hub.drop("ada", f"visit {number}", wire)
    assert (await joined(hub, "ada", f"visit {MOST_SESSIONS * 3 - 1}"))[1] is True
    assert (await joined(hub, "ada", "visit 0"))[1] is False


async def test_a_session_that_has_a_socket_makes_no_room(hub: Hub):
    wires = [(await joined(hub, "ada", f"tab {number}"))[0] for number in range(MOST_SESSIONS)]
    with pytest.raises(Refused, match="20 sessions already"):
        await joined(hub, "ada", "one more")
    other, _ = await joined(hub, "bob", "tab")
    await hub.drop("bob", "tab", other)
    with pytest.raises(Refused):  # somebody else's is none of hers
        await joined(hub, "ada", "one more")
    await hub.drop("ada", "tab 3", wires[3])
    await joined(hub, "ada", "one more")
    assert hub.sockets == MOST_SESSIONS
