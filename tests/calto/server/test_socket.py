"""What is written to a socket: in order, and not for ever to one that takes nothing."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from calto_demo.server.socket import MOST_UNSENT, SocketLine


class Client:
    """Takes frames while `takes` is set, as a socket does whose buffers are full at times."""

    def __init__(self) -> None:
        self.got: list[object] = []
        self.takes = asyncio.Event()
        self.takes.set()

    async def send_text(self, text: str) -> None:
        await self.takes.wait()
        self.got.append(text)

    async def close(self, code: int, reason: str) -> None:
        self.got.append((code, reason))


def line_to(client: Client) -> SocketLine:
    return SocketLine(cast(Any, client))


async def test_frames_arrive_in_order_and_the_end_behind_them():
    client = Client()
    line = line_to(client)
    line.send(b"1")
    await line_settles()
    client.takes.clear()
    for frame in (b"2", b"3"):
        line.send(frame)
    line.close(1000, "enough")
    await line_settles()
    client.takes.set()
    await line.written()
    assert client.got == ["1", "2", "3", (1000, "enough")]


async def test_who_takes_nothing_is_given_up_and_nothing_is_kept_for_them():
    client = Client()
    line = line_to(client)
    client.takes.clear()
    for _ in range(MOST_UNSENT + 2):
        line.send(b"more")
        await asyncio.sleep(0)
    client.takes.set()
    line.send(b"late")
    await line.written()
    assert client.got == []


async def test_the_end_of_a_socket_with_nothing_to_write_takes_no_time():
    line = line_to(Client())
    async with asyncio.timeout(0.5):
        await line.written()


async def test_a_client_who_does_not_take_the_last_words_is_not_waited_for():
    client = Client()
    client.takes.clear()
    line = line_to(client)
    line.close(1000, "")
    line.send(b"too late")
    async with asyncio.timeout(5):
        await line.written(within=0.01)
    client.takes.set()
    await line_settles()
    assert client.got == [(1000, "")]


async def line_settles() -> None:
    for _ in range(3):
        await asyncio.sleep(0)
