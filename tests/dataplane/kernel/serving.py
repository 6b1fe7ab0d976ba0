"""A server with the fast path on the ground, and calls through it."""

from __future__ import annotations

import contextlib
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from natkit.wire import RequestedAddressFamily
from tests.dataplane.kernel.frames import read
from tests.dataplane.kernel.ground import V4, V6, Ground, Side
from tests.turnkit import Peer, RawClient
from tests.turnserver import TurnUnderTest, turn_server

SIDES = pytest.mark.parametrize("side", [V4, V6], ids=["IPv4", "IPv6"])
CHANNEL = 0x4001
NOTHING = ("not at all", "not at all")
ENOUGH = 0.5
"""Seconds without a packet after which none is expected."""


@contextlib.contextmanager
def serving(
    world: Ground, where: Path, *words: str, fast_path: str = "xdp:client,peer", **options: Any
) -> Iterator[TurnUnderTest]:
    """Run natkit on the relay: see `turn_server`."""
    ips, relay = (V4.server, V6.server), (V4.relayed, V6.relayed)
    running = turn_server(
        where,
        "--fast-path",
        fast_path,
        *words,
        ips=ips,
        relay=relay,
        allow=("10.0.0.0/8", "fd00::/8"),
        program="natkit",
        **options,
    )
    server = world.relay.call(running.__enter__)
    try:
        yield server
    finally:
        world.relay.call(lambda: running.__exit__(None, None, None))


class Call:
    """A client with a channel to a peer.

    Attributes: tag: all that it sends begins with.
    """

    def __init__(
        self, world: Ground, server: TurnUnderTest, side: Side, peer_ip: str | None = None
    ) -> None:
        self.tag = secrets.token_bytes(8)
        self.peer = world.peer.call(lambda: Peer(peer_ip or side.peer))
        self.client = world.client.call(
            lambda: RawClient(server, ip=side.server, source=side.client)
        )
        self.relayed = self.client.allocate(RequestedAddressFamily(2 if side.ipv6 else 1))
        self.client.bind(CHANNEL, self.peer.address)
        self._captures = world.raw(world.client, "link"), world.raw(world.peer, "link")
        self.client.send_to(self.peer.address, self.tag)  # the peer's address is asked for
        self.peer.receive()

    def both(self) -> tuple[str, str]:
        """Send both ways at once; return how it came out at the peer, and at the client.

        One packet of each entry goes up every NEIGHBOUR_CHECK, the first one to begin with; so a
        slow one is followed by another, which tells.
        """
        first = self._both_once()
        if "slow" not in first:
            return first
        pairs = zip(first, self._both_once(), strict=True)
        up, down = (again if found == "slow" else found for found, again in pairs)
        return up, down

    def _both_once(self) -> tuple[str, str]:
        up, down = self._send_up(self.client), self._send_down()
        end = time.monotonic() + ENOUGH
        return _way(self._captures[1], up, end), _way(self._captures[0], down, end)

    def up(self) -> str:
        """Send to the peer; return how it came out: "fast", "slow" or "not at all"."""
        return self.way_of(self.client)

    def way_of(self, client: RawClient) -> str:
        """Send to the peer as `client`, on the channel of this call's number."""
        return _told(self._captures[1], lambda: self._send_up(client))

    def down(self) -> str:
        """Send to the client."""
        return _told(self._captures[0], self._send_down)

    def heard(self) -> tuple[list[bytes], list[bytes]]:
        """Take the datagrams that wait for the peer, and for the client, and return them."""
        return _taken(self.peer.socket), _taken(self.client.socket)

    def strays(self) -> list[bytes]:
        """Take what waits for both, and return what is not of this call."""
        to_peer, to_client = self.heard()
        payloads = [*to_peer, *(data[4:] for data in to_client if data[0] & 0xC0 == 0x40)]
        return [data for data in payloads if not data.startswith(self.tag)]

    def send(self) -> None:
        """Send one packet each way, and do not look how it comes out."""
        self._send_up(self.client)
        self._send_down()

    def _send_up(self, client: RawClient) -> bytes:
        mark = self.tag + secrets.token_bytes(8)
        with contextlib.suppress(OSError):  # nobody listens any more
            client.send_on(CHANNEL, mark)
        return mark

    def _send_down(self) -> bytes:
        mark = self.tag + secrets.token_bytes(8)
        with contextlib.suppress(OSError):
            self.peer.send(mark, self.relayed)
        return mark

    def close(self) -> None:
        for one in (self.client, self.peer.socket, *self._captures):
            one.close()


def _taken(sock: socket.socket) -> list[bytes]:
    taken, patience = [], sock.gettimeout()
    sock.setblocking(False)
    while True:
        try:
            taken.append(sock.recv(65536))
        except BlockingIOError:
            sock.settimeout(patience)
            return taken
        except ConnectionRefusedError:  # what was sent before met nobody
            continue


def _told(capture: socket.socket, send: Callable[[], bytes]) -> str:
    """Return how what is sent came out; of two, if the first is a slow one (see `Call.both`)."""
    found = _way(capture, send(), time.monotonic() + ENOUGH)
    return _way(capture, send(), time.monotonic() + ENOUGH) if found == "slow" else found


def _way(capture: socket.socket, mark: bytes, end: float) -> str:
    """A packet that the kernel forwards has one hop less to live than its sender gave it."""
    while True:
        try:
            frame, address = capture.recvfrom(2000)
        except BlockingIOError:
            if time.monotonic() > end:
                return "not at all"
            time.sleep(0.005)
            continue
        seen = read(frame)
        if address[2] != socket.PACKET_OUTGOING and seen is not None and mark in seen.payload:
            return {63: "fast", 64: "slow"}[seen.life]


@contextlib.contextmanager
def calling(
    world: Ground, server: TurnUnderTest, side: Side, peer_ip: str | None = None
) -> Iterator[Call]:
    """Have a call until the block ends."""
    call = Call(world, server, side, peer_ip)
    try:
        yield call
    finally:
        call.close()


@contextlib.contextmanager
def load(calls: Sequence[Call]) -> Iterator[None]:
    """Send on calls without a pause to speak of, until the block ends, or for 20 s."""
    over, end = threading.Event(), time.monotonic() + 20

    def send() -> None:
        while not over.is_set() and time.monotonic() < end:
            for call in calls:
                call.send()
            time.sleep(0.001)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def has_program(world: Ground) -> bool:
    """Tell whether packets of clients meet a program."""
    return "xdp" in world.relay.command(["ip", "link", "show", "client"])


def await_line(server: TurnUnderTest, pattern: str) -> re.Match[str]:
    """Wait until the server has said something."""
    end = time.monotonic() + 15
    while (found := re.search(pattern, server.log.read_text())) is None:
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def eventually(holds: Callable[[], bool], patience: float = 10) -> bool:
    """Wait until it holds; False: it never did."""
    end = time.monotonic() + patience
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
