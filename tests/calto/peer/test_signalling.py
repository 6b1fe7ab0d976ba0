"""Signalling over a stream, and the switchboard that joins two."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from calto_demo.peer.session import CallSignalling
from calto_demo.peer.signalling import (
    Description,
    HungUp,
    Interrupted,
    LineSignalling,
    Message,
    SignallingLost,
    Switchboard,
    Trickled,
    from_json,
    to_json,
)


class Pipe:
    """One end of a stream in memory. Make two with `pipe`."""

    local = remote = None

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[bytes] = asyncio.Queue()
        self.other: Pipe

    async def read(self, limit: int = 65536) -> bytes:
        return await self.incoming.get()

    async def write(self, data: bytes) -> None:
        self.other.incoming.put_nowait(data)

    async def close(self) -> None:
        self.other.incoming.put_nowait(b"")


def pipe() -> tuple[Pipe, Pipe]:
    one, two = Pipe(), Pipe()
    one.other, two.other = two, one
    return one, two


MESSAGES = [
    Description("offer", "v=0\r\n"),
    Description("offer", "v=0\r\n", fresh=True),
    Description("answer", "v=0\r\n"),
    Trickled({"candidate": "candidate:1 1 udp 1 10.0.0.1 9 typ host", "sdpMid": "0"}),
    Trickled(None),
    HungUp("hangup"),
    HungUp("failed", "no microphone"),
]


@pytest.mark.parametrize("message", MESSAGES, ids=str)
def test_what_is_told_is_what_was_said(message: Message):
    assert from_json(to_json(message)) == message


async def test_messages_come_in_order_however_they_are_cut():
    one, two = pipe()
    sender, receiver = LineSignalling(one), LineSignalling(two)
    for message in MESSAGES:
        await sender.send(message)
    whole = b"".join(two.incoming.get_nowait() for _ in MESSAGES)
    for place in range(0, len(whole), 7):
        two.incoming.put_nowait(whole[place : place + 7])
    assert [await receiver.receive() for _ in MESSAGES] == MESSAGES


async def test_two_who_come_to_a_switchboard_hear_each_other():
    board, ends = Switchboard(), [pipe() for _ in range(2)]
    serving = [asyncio.create_task(board.serve(server)) for _, server in ends]
    one, two = (LineSignalling(client) for client, _ in ends)
    await one.send(HungUp("first"))
    await two.send(HungUp("second"))
    assert await one.receive() == HungUp("second")
    assert await two.receive() == HungUp("first")
    await one.close()
    with pytest.raises(SignallingLost):
        await two.receive()
    await two.close()
    await asyncio.gather(*serving)


@pytest.mark.parametrize("line", [b"nonsense\n", b"[]\n", b'{"type": "offer"}\n', b'{"type": 1}\n'])
async def test_what_is_no_message_ends_signalling_with_a_reason(line: bytes):
    one, two = pipe()
    await one.write(line)
    with pytest.raises(SignallingLost):
        await LineSignalling(two).receive()


@pytest.mark.parametrize(("known", "what"), [("mine", Interrupted()), ("other", HungUp("lost"))])
async def test_a_server_that_was_started_again_knows_a_call_or_has_lost_it(
    known: str, what: Message
):
    session: Any = SimpleNamespace(frames=asyncio.Queue(), lost=None)
    session.frames.put_nowait({"type": "welcome", "calls": [{"call": known}]})
    assert await CallSignalling(session, "mine").receive() == what


async def test_the_end_of_a_session_is_told_to_everybody_who_asks():
    session: Any = SimpleNamespace(frames=asyncio.Queue(), lost=None)
    session.frames.put_nowait(None)
    for _ in range(2):
        with pytest.raises(SignallingLost):
            async with asyncio.timeout(5):
                await CallSignalling(session, "mine").receive()
