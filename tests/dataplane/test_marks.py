"""DSCP and ECN of what is relayed, on real loopback sockets: RFC 8656 §13 and §14."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Iterator
from struct import pack

import pytest

from natkit.dataplane.sockaddr import to_socket
from natkit.wire import TransportAddress
from tests.dataplane.test_portable import World, frame

pytestmark = [
    pytest.mark.usefixtures("way"),
    pytest.mark.skipif(sys.platform != "linux", reason="marks are copied on Linux alone"),
]

EXPEDITED, ECT, CONGESTED = 0xB8, 0x02, 0x03
"""DSCP 46, and two values of ECN (RFC 3168 §5)."""

WAYS = {
    "4 to 4": ("127.0.0.1", "127.0.0.1"),
    "6 to 6": ("::1", "::1"),
    "4 to 6": ("127.0.0.1", "::1"),
    "6 to 4": ("::1", "127.0.0.1"),
}


@pytest.fixture(params=WAYS)
async def world(request: pytest.FixtureRequest) -> Iterator[World]:
    world = World(*WAYS[request.param])
    for sock in (world.client, world.peer):
        hear_marks(sock)
    world.allocate()
    world.bind()
    yield world
    world.close()


def hear_marks(sock: socket.socket) -> None:
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)


def say(sock: socket.socket, data: bytes, to: TransportAddress, mark: int) -> None:
    if sock.family == socket.AF_INET6:
        option = (socket.IPPROTO_IPV6, socket.IPV6_TCLASS)
    else:
        option = (socket.IPPROTO_IP, socket.IP_TOS)
    sock.sendmsg([data], [(*option, pack("i", mark))], 0, to_socket(to))


async def mark_heard(sock: socket.socket) -> int:
    """Return the mark of the next datagram."""
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sock, ready.set)
    async with asyncio.timeout(2):
        await ready.wait()
    loop.remove_reader(sock)
    _, [(_, _, value)], _, _ = sock.recvmsg(65536, 64)
    return int.from_bytes(value, sys.byteorder)


@pytest.mark.needs("ipv6")
@pytest.mark.parametrize("mark", [0, EXPEDITED, ECT, EXPEDITED | CONGESTED, 0xFF])
async def test_mark_is_copied_to_the_peer_and_to_the_client(world: World, mark: int) -> None:
    say(world.client, frame(b"hello"), world.server, mark)
    assert await mark_heard(world.peer) == mark
    say(world.peer, b"hello", world.relayed, mark)
    assert await mark_heard(world.client) == mark


@pytest.mark.needs("ipv6")
async def test_mark_of_one_datagram_is_not_the_next_ones(world: World) -> None:
    for mark in (EXPEDITED, 0, ECT):
        say(world.client, frame(b"hello"), world.server, mark)
        assert await mark_heard(world.peer) == mark


@pytest.mark.needs("ipv6")
async def test_what_goes_out_by_the_machine_has_no_mark(world: World) -> None:
    """The alternate behaviour of §14, for Send and Data indications."""
    now = asyncio.get_running_loop().time()
    say(world.client, frame(b"hello"), world.server, EXPEDITED | ECT)
    assert await mark_heard(world.peer) == EXPEDITED | ECT
    world.plane.to_peer(
        world.relayed, world.peer_address, b"indicated", dont_fragment=False, now=now
    )
    assert await mark_heard(world.peer) == 0
    world.plane.to_client(world.path, b"indication")
    assert await mark_heard(world.client) == 0
