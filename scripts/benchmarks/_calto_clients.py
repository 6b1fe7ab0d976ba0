"""Clients of the two servers that Calto's benchmark loads: each says what its like says."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
import uuid
from collections.abc import Sequence
from typing import Any, TypeVar

from natkit.machine import Seconds
from scripts.benchmarks._calto_socket import Socket

AT_ONCE = 50
"""Sockets that are being opened at the same time."""

SDP = "v=0\r\n" + "a=candidate:1 1 udp 2130706431 192.0.2.1 50000 typ host\r\n" * 24
"""As long as the offer of one audio call, 1.4 kB."""

CANDIDATES = 5
"""Of each side: host, server-reflexive and relayed ones, some of them for IPv6."""

CANDIDATE = "candidate:1 1 udp 2130706431 192.0.2.1 50000 typ host generation 0 ufrag abcd"
PATIENCE: Seconds = 30.0


class CaltoClient:
    """A session of Calto's. Attributes: call: that it is in.  every: seconds between its pings."""

    every = 10.0
    one_candidate = "candidate"

    socket: Socket

    def __init__(self, user: str) -> None:
        self.user, self.call = user, ""
        self._numbers = itertools.count(1)
        self._got = 0
        self._frames: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    @classmethod
    async def open(cls, port: int, user: str, token: str) -> CaltoClient:
        """Return one that was welcomed."""
        client = cls(user)
        client.socket = await Socket.open("127.0.0.1", port, "/ws", client.hear)
        hello = {"type": "hello", "token": token, "session": uuid.uuid4().hex}
        client.socket.send(json.dumps(hello).encode())
        await client.expect("welcome")
        return client

    def hear(self, data: bytes) -> None:
        """Keep what a test of the load may wait for."""
        frame = json.loads(data)
        self._got = frame.get("seq", self._got)
        if frame["type"] not in ("presence", "pong"):
            self._frames.put_nowait(frame)

    def sign(self) -> bytes:
        """Return a ping."""
        return b'{"type":"ping","ack":%d}' % self._got

    def candidate(self, mark: str, _to: CaltoClient) -> bytes:
        """Return a candidate for the other side of the call, with a mark in it."""
        inner = {"candidate": f"{CANDIDATE} {mark}", "sdpMid": "0", "sdpMLineIndex": 0}
        return self._numbered("candidate", candidate=inner)

    def say(self, kind: str, **fields: Any) -> None:
        """Send a frame of the call."""
        self.socket.send(self._numbered(kind, **fields))

    def _numbered(self, kind: str, **fields: Any) -> bytes:
        frame = {"type": kind, "seq": next(self._numbers), "call": self.call, **fields}
        return json.dumps(frame).encode()

    async def expect(self, kind: str) -> dict[str, Any]:
        """Return the next frame of a kind. Raises: AssertionError: an error came."""
        async with asyncio.timeout(PATIENCE):
            while (frame := await self._frames.get())["type"] != kind:
                if frame["type"] == "error":
                    raise AssertionError(frame)
        return frame

    async def meet(self, other: CaltoClient) -> None:
        """Call another client, as far as audio would flow.

        That is: ring, ringing, accept, candidates of both, and connected from both.
        """
        self.call = other.call = str(uuid.uuid4())
        self.say("ring", to=other.user, sdp=SDP)
        await other.expect("incoming")
        other.say("ringing")
        other.say("accept", sdp=SDP)
        await self.expect("accepted")
        await trickle(self, other)
        self.say("connected")
        other.say("connected")
        await self.expect("connected")
        await other.expect("connected")

    async def part(self, other: CaltoClient) -> None:
        """Hang up."""
        self.say("hangup")
        await self.expect("ended")
        await other.expect("ended")


class PeerClient:
    """A client of the PeerJS server. Attributes: every: seconds between its heartbeats."""

    every = 5.0
    one_candidate = "CANDIDATE"

    socket: Socket

    def __init__(self, user: str) -> None:
        self.user = user
        self._frames: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    @classmethod
    async def open(cls, port: int, user: str) -> PeerClient:
        """Return one that was let in."""
        path = f"/peerjs?key=peerjs&id={user}&token={user}&version=1.5.5"
        client = cls(user)
        client.socket = await Socket.open("127.0.0.1", port, path, client.hear)
        await client.expect("OPEN")
        return client

    def hear(self, data: bytes) -> None:
        """Keep it."""
        self._frames.put_nowait(json.loads(data))

    def sign(self) -> bytes:
        """Return a heartbeat."""
        return b'{"type":"HEARTBEAT"}'

    def candidate(self, mark: str, to: PeerClient) -> bytes:
        """Return a candidate for somebody, with a mark in it."""
        inner = {"candidate": f"{CANDIDATE} {mark}", "sdpMid": "0", "sdpMLineIndex": 0}
        return self._frame("CANDIDATE", to, candidate=inner, type="media", connectionId="mc_1")

    def _frame(self, kind: str, to: PeerClient, **payload: Any) -> bytes:
        return json.dumps({"type": kind, "dst": to.user, "payload": payload}).encode()

    async def expect(self, kind: str) -> dict[str, Any]:
        """Return the next frame of a kind."""
        async with asyncio.timeout(PATIENCE):
            while (frame := await self._frames.get())["type"] != kind:
                pass
        return frame

    async def meet(self, other: PeerClient) -> None:
        """Call another client: an offer, an answer, candidates; more this server does not see."""
        self.socket.send(self._frame("OFFER", other, sdp=SDP))
        await other.expect("OFFER")
        other.socket.send(other._frame("ANSWER", self, sdp=SDP))
        await self.expect("ANSWER")
        await trickle(self, other)

    async def part(self, other: PeerClient) -> None:
        """Leave; nothing is said about a call's end."""


T = TypeVar("T", CaltoClient, PeerClient)


async def trickle(a: T, b: T) -> None:
    """Let both sides of a call give each other their candidates."""
    for one, other in ((a, b), (b, a)):
        for number in range(CANDIDATES):
            one.socket.send(one.candidate(f"network-id {number}", other))
    for one in (a, b):
        for _ in range(CANDIDATES):
            await one.expect(one.one_candidate)


async def keep_alive(clients: Sequence[CaltoClient | PeerClient]) -> None:
    """Let each client give its sign of life as often as its like does, spread over the time.

    Args: clients: at least one; may become more.
    """
    turn, at = 0, time.monotonic()
    while True:
        client = clients[turn % len(clients)]
        if not client.socket.lost:
            client.socket.send(client.sign())
        turn, at = turn + 1, at + client.every / len(clients)
        await asyncio.sleep(max(0.0, at - time.monotonic()))
