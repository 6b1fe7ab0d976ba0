"""Messages between the workers of a server: in order, with descriptors, and not without end."""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from natkit.aio.turn_link import _MOST_WAITING, Link, link_pair

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are for Linux")


class End:
    """One end of a link, and what came."""

    def __init__(self, sock: socket.socket) -> None:
        self.came: asyncio.Queue[Any] = asyncio.Queue()
        self.descriptors: list[int] = []
        self.ended = asyncio.Event()
        self.link = Link(sock, self._take, self.ended.set)

    def _take(self, message: Any, descriptors: list[int]) -> None:
        self.descriptors += descriptors
        self.came.put_nowait(message)


async def test_more_than_the_kernel_holds_arrives_in_order() -> None:
    one, other = (End(sock) for sock in link_pair())
    for number in range(2000):
        one.link.send((number, bytes(1000)))
    async with asyncio.timeout(5):
        assert [(await other.came.get())[0] for _ in range(2000)] == list(range(2000))
    one.link.close()
    other.link.close()


async def test_media_is_dropped_while_something_waits() -> None:
    ends = link_pair()
    link = Link(ends[0], lambda *_: None)
    sent = 0
    while link.send_media(bytes(1000)):
        sent += 1
    assert sent > 10
    link.send("important")
    other = End(ends[1])
    async with asyncio.timeout(5):
        for _ in range(sent):
            assert await other.came.get() == bytes(1000)
        assert await other.came.get() == "important"
    assert link.send_media(b"again")
    link.close()
    other.link.close()


async def test_who_never_reads_does_not_fill_the_memory() -> None:
    ends = link_pair()
    link = Link(ends[0], lambda *_: None)
    for number in range(2 * _MOST_WAITING):
        link.send(number)
    other = End(ends[1])
    last = -1
    async with asyncio.timeout(5):
        while last < _MOST_WAITING:
            last = await other.came.get()
    assert len(link._waiting) == 0
    assert other.came.qsize() < _MOST_WAITING // 2
    link.close()
    other.link.close()


async def test_descriptors_arrive_and_stay_the_sender_s_to_close() -> None:
    one, other = (End(sock) for sock in link_pair())
    near, far = socket.socketpair()
    one.link.send("take this", [far.fileno()])
    far.close()
    assert await other.came.get() == "take this"
    with near, socket.socket(fileno=other.descriptors.pop()) as arrived:
        arrived.sendall(b"through it")
        assert near.recv(100) == b"through it"
    one.link.close()
    other.link.close()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_descriptors_that_were_never_sent_are_closed() -> None:
    ends = link_pair()
    link = Link(ends[0], lambda *_: None)
    while link.send_media(bytes(1000)):
        pass
    before = descriptors()
    link.send("late", [ends[1].fileno()])
    assert descriptors() == before + 1
    link.close()
    assert descriptors() == before - 1
    ends[1].close()


async def test_end_of_the_other_side_is_told_once() -> None:
    one, other = (End(sock) for sock in link_pair())
    other.link.close()
    async with asyncio.timeout(5):
        await one.ended.wait()
    one.link.send("to nobody")
    assert not one.link.send_media("to nobody")
    one.link.close()
