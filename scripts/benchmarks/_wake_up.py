"""What the portable plane takes for one wake-up: python -m scripts.benchmarks._wake_up

A relay that is not busy is woken for a packet or two, and by then others have had the processor:
its code and its tables are no longer in the caches. So it is measured twice, at once after another
wake-up, and after work that fills the caches with something else. Medians; for comparing two trees
on one machine, in turns.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import statistics
import time
from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

import uvloop

from natkit.dataplane.portable import PortablePlane
from natkit.dataplane.sockaddr import from_socket
from natkit.machine import Instant
from natkit.turn.forwarding import (
    AllocationMade,
    ChannelBound,
    Path,
    PermissionGranted,
    Relaying,
    Transport,
)
from natkit.wire import ChannelData, TransportAddress

CALLS = 20
CHANNEL = 0x4000
SIZE = 172
ROUNDS = 3000
LOADS = ((1, 0), (0, 1), (1, 1), (2, 2), (8, 8))
"""Packets that wait when it wakes: for peers, and for clients; each is another call's."""

PASSES = 3
"""Of the event loop, in which all has been read that is there."""

CACHE = 3 << 20
"""Bytes: more than a processor's own cache."""

_FOREVER: Instant = 1e9


class Nobody:
    """Takes what goes up, which is nothing here."""

    def client_datagram(self, *_: object) -> None:
        """Take a client's datagram."""

    def peer_datagram(self, *_: object) -> None:
        """Take a peer's datagram."""

    def relay_error(self, *_: object) -> None:
        """Take an error."""


class Call(NamedTuple):
    """A client and its peer."""

    client: socket.socket
    peer: socket.socket
    relayed: TransportAddress


def _bound() -> tuple[socket.socket, TransportAddress]:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    return sock, from_socket(sock.getsockname())


def _call(plane: PortablePlane, server: TransportAddress) -> Call:
    (client, source), (peer, to), (relay, relayed) = _bound(), _bound(), _bound()
    path = Path(source, server, Transport.UDP)
    plane.add_relay(relayed, relay)
    plane.apply(AllocationMade(path, relayed, Relaying.UDP, "user", 600))
    plane.apply(PermissionGranted(relayed, to.ip, _FOREVER))
    plane.apply(ChannelBound(relayed, CHANNEL, to, path, _FOREVER))
    return Call(client, peer, relayed)


def _nothing() -> None:
    """Leave the caches as they are."""


def _others_work(junk: bytearray = bytearray(CACHE)) -> None:  # noqa: B008 - one for all
    """Fill the caches with other data and other code."""
    junk[::64] = bytes(len(junk) // 64)
    json.loads(json.dumps({"a": [1, 2, {"b": "c"}] * 10}))
    re.sub(r"(\w+)x", r"\1", "abcx defx" * 5)
    Decimal(3).sqrt()
    compile("def f(x):\n return [i * 2 for i in x if i]\n", "", "exec")


async def _measured(up: int, down: int, before: Callable[[], None]) -> float:
    """Return the median microseconds of a wake-up."""
    plane = PortablePlane(Nobody())
    listener, server = _bound()
    plane.add_listener(server, listener)
    calls = [_call(plane, server) for _ in range(CALLS)]
    payload = bytes(SIZE)
    frame = ChannelData(CHANNEL, payload).encode()
    took = []
    for number in range(ROUNDS):
        turn = [calls[(number * 3 + place) % CALLS] for place in range(up + down)]
        for call in turn[:up]:
            call.client.sendto(frame, server)
        for call in turn[up:]:
            call.peer.sendto(payload, call.relayed)
        before()
        began = time.perf_counter()
        for _ in range(PASSES):
            await asyncio.sleep(0)
        took.append(time.perf_counter() - began)
        for call in turn[:up]:
            call.peer.recv(SIZE)
        for call in turn[up:]:
            call.client.recv(2 * SIZE)
    plane.close()
    for call in calls:
        call.client.close()
        call.peer.close()
    return statistics.median(took) * 1e6


def main() -> None:
    """Measure and print, in microseconds a wake-up."""
    print("to peers, to clients: at once, after other work (µs a wake-up)")
    for up, down in LOADS:
        hot, cold = (uvloop.run(_measured(up, down, before)) for before in (_nothing, _others_work))
        print(f"{up}, {down}: {hot:6.1f} {cold:6.1f}")


if __name__ == "__main__":
    main()
