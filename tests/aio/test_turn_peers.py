"""Connections between peers and relayed TCP addresses, with a machine that a test makes up."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from natkit.aio.turn_peers import PeerConnections
from natkit.aio.turn_ports import OpenRelaySocket
from natkit.aio.turn_siblings import GuestLine
from natkit.dataplane.meter import Meter
from natkit.machine import Instant
from natkit.turn.server import TurnServer
from natkit.wire import TransportAddress

RELAYED = TransportAddress("203.0.113.10", 50000)


class Machine:
    """Numbers peers, and tells a client of them: it does `bind` as soon as it can."""

    def __init__(self) -> None:
        self.bind: Callable[[], None] = lambda: None

    def peer_accepted(self, _relayed: TransportAddress, _peer: TransportAddress, **_: Any) -> int:
        asyncio.get_running_loop().call_soon(self.bind)
        return 7

    def peer_closed(self, _connection: int, **_: Any) -> None:
        """Nothing follows from it."""


class Line:
    """A client's stream that another worker has. Attributes: given: descriptors."""

    def __init__(self) -> None:
        self.given: list[int] = []

    def join_peer(self, _connection: int, descriptor: int, _early: bytes, **_: Any) -> None:
        self.given.append(socket.dup(descriptor))

    def close(self) -> None:
        raise AssertionError("there is such a connection")


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.setblocking(False)
        yield sock


def listen(machine: Machine, sock: socket.socket) -> PeerConnections:
    """Return what accepts peers on `sock`."""

    def settled(_now: Instant) -> None:
        """The machine is a made-up one: nothing is left to do."""

    peers = PeerConnections(cast("TurnServer", machine), settled)
    local = TransportAddress(*sock.getsockname())
    peers.listen(OpenRelaySocket(RELAYED, local, sock), Meter(RELAYED))
    return peers


async def test_a_client_that_binds_a_peer_at_once_finds_its_connection_made(
    listening: socket.socket,
) -> None:
    machine, line, bound = Machine(), Line(), asyncio.Event()
    peers = listen(machine, listening)

    def bind() -> None:
        bound.set()
        peers.give(7, cast("GuestLine", line))

    machine.bind = bind
    with socket.create_connection(listening.getsockname()) as peer:
        async with asyncio.timeout(5):
            await bound.wait()
        with socket.socket(fileno=line.given.pop()) as there:
            there.send(b"from the client")
            assert peer.recv(100) == b"from the client"
    peers.close_all()
