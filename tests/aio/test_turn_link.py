"""Messages between the workers of a server: in order, with descriptors, and not without end."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from natkit.aio.turn_link import PIECE, Link, link_pair

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
    link = Link(ends[0], lambda *_: None, bound=1_000_000)
    taken = [link.send(bytes(10_000)) for _ in range(1000)]
    assert taken[0]
    assert not taken[-1]
    other = End(ends[1])
    async with asyncio.timeout(5):
        for _ in range(sum(taken)):
            await other.came.get()
    assert sum(taken) < 200
    assert link.send("again")
    link.close()
    other.link.close()


@pytest.mark.parametrize("size", [0, PIECE - 50, PIECE, 3 * PIECE, 10 << 20])
async def test_message_of_any_size_arrives_whole(size: int) -> None:
    one, other = (End(sock) for sock in link_pair())
    near, far = socket.socketpair()
    one.link.send(bytes(size), [far.fileno()])
    one.link.send("the next")
    async with asyncio.timeout(5):
        assert await other.came.get() == bytes(size)
        assert await other.came.get() == "the next"
    socket.socket(fileno=other.descriptors.pop()).close()
    near.close()
    far.close()
    one.link.close()
    other.link.close()


async def test_what_a_dead_process_left_unfinished_is_passed_over() -> None:
    ours, theirs = link_pair()
    dead = socket.socket(fileno=os.dup(ours.fileno()))
    dead.send(bytes((1,)) + bytes(100))
    dead.send(bytes((0,)) + bytes(100))
    dead.close()
    one, other = End(ours), End(theirs)
    one.link.send("from the next one")
    async with asyncio.timeout(5):
        assert await other.came.get() == "from the next one"
    theirs_again, reader = link_pair()
    late = End(reader)
    theirs_again.send(bytes((2,)) + bytes(100))  # the end of what somebody else began to read
    sender = End(theirs_again)
    sender.link.send("whole")
    async with asyncio.timeout(5):
        assert await late.came.get() == "whole"
    for end in (one, other, late, sender):
        end.link.close()


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
