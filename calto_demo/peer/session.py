"""A headless peer's WebSocket at a Calto server, and one call's signalling over it.

docs/calto-protocol.md: frames are numbered, kept until they are acknowledged, and sent again when
the socket was lost and the server still knows the session.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from calto_demo.peer.account import Account, ServerRefused
from calto_demo.peer.signalling import (
    Description,
    HungUp,
    Interrupted,
    Message,
    SignallingLost,
    Trickled,
)

Frame = dict[str, Any]

PING, SILENCE = 10.0, 25.0
"""Seconds between pings, and after which a silent socket is dead."""

PAUSES = (0.0, 0.5, 1.0, 2.0, *(3.0,) * 18)
"""Seconds before each new try: a minute, after which the server has given the session up."""

UNNUMBERED = frozenset({"hello", "welcome", "ping", "pong", "error"})


class Session:
    """One session. Made by `open_session`.

    Attributes:
        frames:  numbered frames and errors, as they come, and a welcome of a server that was
                 started again; None: the session is over, see `lost`.
        welcome: what the server said first.
    """

    def __init__(self, account: Account) -> None:
        self.frames: asyncio.Queue[Frame | None] = asyncio.Queue()
        self.welcome: Frame = {}
        self.lost: ServerRefused | None = None
        self._account, self._name = account, secrets.token_hex(16)
        self._sent = self._got = 0
        self._kept: deque[Frame] = deque()
        self._socket: ClientConnection | None = None

    async def send(self, kind: str, **fields: Any) -> None:
        """Send a frame; what a lost socket does not take goes over the next one."""
        self._sent += 1
        frame = {"type": kind, "seq": self._sent, **fields}
        self._kept.append(frame)
        await self._write(frame)

    async def incoming(self) -> AsyncIterator[Frame]:
        """Yield the calls for this side as they come. Raises: ServerRefused: it is over."""
        while (frame := await self.frames.get()) is not None:
            if frame["type"] == "incoming":
                yield frame
        raise self.lost or ServerRefused("the session is over")

    async def run(self, opened: asyncio.Event) -> None:
        """Hold a socket open until cancelled, or until the server does not come back."""
        failures = 0
        while self.lost is None and failures < len(PAUSES):
            await asyncio.sleep(PAUSES[failures])
            failures += 1
            try:
                async with self._connection() as socket:
                    await self._greet(socket)
                    opened.set()
                    failures = 0
                    await self._listen(socket)
            except ServerRefused as error:
                self.lost = error
            except (OSError, WebSocketException) as error:  # a timeout is an OSError
                if not opened.is_set():
                    self.lost = ServerRefused("there is no session", why=str(error))
        self.lost = self.lost or ServerRefused("the server has been away for too long")
        opened.set()
        self.frames.put_nowait(None)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[ClientConnection]:
        url = self._account.url.replace("http", "ws", 1) + "/ws"
        async with connect(url, ssl=self._account.trust, max_size=1 << 17, close_timeout=1) as one:
            try:
                yield one
            finally:
                self._socket = None

    async def _greet(self, socket: ClientConnection) -> None:
        hello = {
            "type": "hello",
            "token": self._account.token,
            "session": self._name,
            "ack": self._got,
            "agent": "calto headless peer",
        }
        await socket.send(json.dumps(hello))
        first = await _next(socket)
        if first["type"] != "welcome":
            raise ServerRefused(first.get("message", "no welcome"), hint=first.get("hint"))
        again = bool(self.welcome)
        self.welcome, self._socket = first, socket
        if not first["resumed"]:
            # What the server does not know any more is not to be acknowledged either.
            self._got = self._sent = 0
            self._kept.clear()
            if again:
                self.frames.put_nowait(first)
        self._acknowledged(first["ack"])
        for frame in list(self._kept):
            await self._write(frame)

    async def _listen(self, socket: ClientConnection) -> None:
        pinging = asyncio.create_task(self._ping(socket))
        try:
            while True:
                self._take(await _next(socket))
        finally:
            pinging.cancel()
            await asyncio.gather(pinging, return_exceptions=True)

    def _take(self, frame: Frame) -> None:
        if "ack" in frame:
            self._acknowledged(frame["ack"])
        if "seq" in frame:
            if frame["seq"] <= self._got:
                return
            self._got = frame["seq"]
        if frame["type"] not in UNNUMBERED or frame["type"] == "error":
            self.frames.put_nowait(frame)

    def _acknowledged(self, number: int) -> None:
        while self._kept and self._kept[0]["seq"] <= number:
            self._kept.popleft()

    async def _ping(self, socket: ClientConnection) -> None:
        while True:
            await asyncio.sleep(PING)
            await socket.send(json.dumps({"type": "ping", "ack": self._got}))

    async def _write(self, frame: Frame) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError, WebSocketException):
                await self._socket.send(json.dumps(frame))


async def _next(socket: ClientConnection) -> Frame:
    """Return what comes next. Raises: TimeoutError: nothing did for too long."""
    async with asyncio.timeout(SILENCE):
        return dict[str, Any](json.loads(await socket.recv()))


@asynccontextmanager
async def open_session(account: Account) -> AsyncIterator[Session]:
    """Hold a session inside this block. Raises: ServerRefused: the server wants none."""
    session, opened = Session(account), asyncio.Event()
    running = asyncio.create_task(session.run(opened))
    try:
        await opened.wait()
        if session.lost is not None:
            raise session.lost
        yield session
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


class CallSignalling:
    """One call's signalling over a session: `Signalling` for a peer.

    Args:
        call: its id.
        ring: what else goes with the first offer ("to", "path"); None: this side was called.
        say:  hears what people want to know: "Ringing".

    Attributes: record: the server's, once the call has ended.
    """

    def __init__(
        self,
        session: Session,
        call: str,
        ring: dict[str, str] | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.session, self.call, self.record = session, call, dict[str, Any]()
        self._ring, self._accepted, self._say = ring, False, say

    async def send(self, message: Message) -> None:
        """Tell the other side."""
        match message:
            case Description("offer", sdp) if self._ring is not None:
                ring, self._ring = self._ring, None
                self._accepted = True  # what this side says from now on follows the other's accept
                await self._send("ring", sdp=sdp, **ring)
            case Description("answer", sdp) if not self._accepted:
                self._accepted = True
                await self._send("accept", sdp=sdp)
            case Description("offer", sdp, fresh):
                await self._send("offer", sdp=sdp, fresh=fresh)
            case Description(kind, sdp):
                await self._send(kind, sdp=sdp)
            case Trickled(candidate):
                await self._send("candidate", candidate=candidate)
            case HungUp(reason, words):
                known = "failed" if reason == "failed" else "hangup"
                await self._send("hangup", reason=known, message=words)

    async def connected(self) -> None:
        """Tell that audio flows."""
        await self._send("connected")

    async def receive(self) -> Message:
        """Wait for what the other side, or the server, says of this call."""
        while (frame := await self.session.frames.get()) is not None:
            about = frame.get("call") == self.call and frame.get("leg", "main") == "main"
            if about or frame["type"] == "welcome":
                message = self._read(frame)
                if message is not None:
                    return message
        self.session.frames.put_nowait(None)  # for whoever waits for the next call, too
        raise SignallingLost("signalling has ended", why=str(self.session.lost))

    def _read(self, frame: Frame) -> Message | None:
        match frame["type"]:
            case "accepted":
                return Description("answer", frame["sdp"])
            case "offer" | "answer" as kind:
                return Description(kind, frame["sdp"], frame.get("fresh", False))
            case "welcome":
                known = {live["call"] for live in frame["calls"]}
                return Interrupted() if self.call in known else HungUp("lost")
            case "candidate":
                return Trickled(frame["candidate"])
            case "ended":
                self.record = frame.get("record") or {}
                return HungUp(frame["reason"], frame.get("message"))
            case "error":
                return HungUp(frame["message"])
            case "ringing":
                self._say("Ringing")
        return None

    async def _send(self, kind: str, **fields: Any) -> None:
        await self.session.send(kind, call=self.call, **fields)
