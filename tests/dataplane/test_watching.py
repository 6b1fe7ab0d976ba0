"""Sockets that are watched through one descriptor of the event loop."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable, Iterator

import pytest

from natkit.dataplane.watching import Epoll, watching_many

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pairs() -> Iterator[Callable[[], Pair]]:
    """Return what makes two connected sockets, the first of which is to be watched."""
    made: list[socket.socket] = []

    def make() -> Pair:
        one, other = socket.socketpair(type=socket.SOCK_DGRAM)
        made.extend((one, other))
        return one, other

    yield make
    for sock in made:
        sock.close()


def test_every_socket_with_something_to_read_is_heard(pairs: Callable[[], Pair]) -> None:
    async def work() -> set[int]:
        watching = watching_many(asyncio.get_running_loop())
        heard: asyncio.Queue[int] = asyncio.Queue()
        ends = [pairs() for _ in range(3)]

        def reader(number: int) -> Callable[[], None]:
            return lambda: heard.put_nowait(ends[number][0].recv(9)[0])

        for number, (one, other) in enumerate(ends):
            watching.add_reader(one, reader(number))
            other.send(bytes([number]))
        try:
            async with asyncio.timeout(5):
                return {await heard.get() for _ in ends}
        finally:
            for one, _ in ends:
                watching.remove_reader(one)

    assert asyncio.run(work()) == {0, 1, 2}


def test_a_socket_that_another_ones_packet_ended_is_not_heard(pairs: Callable[[], Pair]) -> None:
    async def work() -> list[str]:
        loop = asyncio.get_running_loop()
        watching = watching_many(loop)
        (first, to_first), (second, to_second) = pairs(), pairs()
        heard: list[str] = []
        done = loop.create_future()

        def ends_the_other(name: str, other: socket.socket) -> Callable[[], None]:
            def read() -> None:
                heard.append(name)
                watching.remove_reader(other)
                other.close()
                loop.call_later(0.01, done.set_result, None)

            return read

        watching.add_reader(first, ends_the_other("first", second))
        watching.add_reader(second, ends_the_other("second", first))
        to_first.send(b"x")
        to_second.send(b"x")
        async with asyncio.timeout(5):
            await done
        watching.remove_reader(first if heard[0] == "first" else second)
        return heard

    heard = asyncio.run(work())
    assert len(set(heard)) == 1


def test_what_is_watched_again_after_the_last_one_is_heard(pairs: Callable[[], Pair]) -> None:
    async def work() -> bytes:
        loop = asyncio.get_running_loop()
        watching = watching_many(loop)
        (before, _), (after, to_after) = pairs(), pairs()
        watching.add_reader(before, lambda: None)
        watching.remove_reader(before)
        heard = loop.create_future()

        def read() -> None:
            watching.remove_reader(after)
            heard.set_result(after.recv(9))

        watching.add_reader(after, read)
        to_after.send(b"again")
        async with asyncio.timeout(5):
            return bytes(await heard)

    assert asyncio.run(work()) == b"again"


async def passes() -> None:
    """Give the loop its turn more often than there is anything left to be told of."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.skipif(sys.platform != "linux", reason="there is no epoll")
def test_edges_tell_of_what_is_left_only_when_asked_to(pairs: Callable[[], Pair]) -> None:
    async def work() -> None:
        heard: list[bytes] = []

        def wake() -> None:
            heard.extend(one.recv(9) for _ in epoll.poll(0))

        epoll = Epoll(asyncio.get_running_loop(), wake, edges=True)
        one, other = pairs()
        epoll.add(one.fileno())
        for data in (b"1", b"2", b"3"):
            other.send(data)
        await passes()
        assert heard == [b"1"]
        epoll.again(one.fileno())
        await passes()
        assert heard == [b"1", b"2"]
        epoll.remove(one.fileno())

    asyncio.run(work())
