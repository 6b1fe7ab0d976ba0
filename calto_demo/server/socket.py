"""The WebSocket of Calto's clients: `hello`, then frames both ways (docs/calto-protocol.md)."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from starlette.datastructures import Headers
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from calto_demo.server import frames
from calto_demo.server.bucket import Bucket
from calto_demo.server.call import What
from calto_demo.server.failures import FAILURES
from calto_demo.server.guard import refusal
from calto_demo.server.hub import Joined
from calto_demo.server.people import User
from calto_demo.server.refusal import Refused
from calto_demo.server.services import Services

HELLO_TIME = 10.0
SILENCE = 30.0
"""Seconds without a frame, after which a client is gone: it pings every ten."""

FRAMES_A_SECOND = 50
MOST_BAD = 20
MOST_UNSENT = 512
"""Frames that wait for a slow client; twice what a session keeps."""

FAILED, SILENT, BAD_FRAMES, BAD_TOKEN, TOO_MANY = 1011, 4408, 4400, 4401, 4429
_SIGN_IN = ("bad-token", "expired-token", "signed-out")

_log = logging.getLogger("calto.socket")


class SocketLine:
    """A socket that frames are written to, one after the other.

    While nothing waits to be written, nothing is kept for it: of thousands most idle.
    """

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._unsent: list[bytes | tuple[int, str]] = []
        self._writing: asyncio.Task[None] | None = None
        self._takes_more = True

    def send(self, data: bytes) -> None:
        """Send a frame. Who takes none gets none any more, not even pongs, and connects again."""
        self._put(data)

    def close(self, code: int, reason: str) -> None:
        """End it, after what was sent."""
        self._put((code, reason))

    def _put(self, item: bytes | tuple[int, str]) -> None:
        if len(self._unsent) >= MOST_UNSENT:
            self._give_up()
        if self._takes_more:
            self._unsent.append(item)
            if self._writing is None:
                self._writing = asyncio.create_task(self._write())

    async def _write(self) -> None:
        try:
            while self._unsent:
                item = self._unsent.pop(0)
                if isinstance(item, bytes):
                    await self._websocket.send_text(item.decode())
                else:
                    await self._websocket.close(*item)
        except (WebSocketDisconnect, RuntimeError, OSError):
            self._give_up()
        finally:
            self._writing = None

    def _give_up(self) -> None:
        self._takes_more = False
        self._unsent.clear()
        if self._writing is not None:
            self._writing.cancel()

    async def written(self, within: float = 2.0) -> None:
        """Wait until all is written, or cannot be. Args: within: seconds."""
        if self._writing is not None:
            await asyncio.wait([self._writing], timeout=within)
        self._give_up()


class Conversation:
    """One socket from its `hello` to its end."""

    def __init__(self, services: Services, websocket: WebSocket) -> None:
        self._services, self._websocket = services, websocket
        self._line = SocketLine(websocket)
        self._rate = Bucket(FRAMES_A_SECOND, FRAMES_A_SECOND * 2)
        self._bad = 0

    async def run(self) -> None:
        """Talk until either side ends it."""
        try:
            hello = await self._hello()
            if hello is not None:
                await self._signed_in(hello)
        except WebSocketDisconnect:
            pass
        except FAILURES:
            _log.exception("a socket could not be served")
            self._line.close(FAILED, "something is wrong with the server")
        finally:
            await self._end()

    async def _end(self) -> None:
        if self._websocket.application_state is WebSocketState.CONNECTED:
            self._line.close(1000, "")
        await self._line.written()

    async def _hello(self) -> frames.Hello | None:
        frame = await self._next(HELLO_TIME)
        if isinstance(frame, frames.Hello):
            return frame
        if frame is not None:
            self._line.close(BAD_FRAMES, "the first frame must be hello")
        return None

    async def _signed_in(self, hello: frames.Hello) -> None:
        services = self._services
        try:
            user, device = await services.guard.user(hello.token)
            joined = await services.hub.join(
                user.id, hello.session, hello.ack, self._line, hello.nat, device
            )
        except Refused as error:
            code = BAD_TOKEN if error.code in _SIGN_IN else TOO_MANY
            self._line.close(code, error.code)
            return
        try:
            await services.switchboard.moved(user.id, hello.session, What.RETURN)
            await self._welcome(user, hello, joined)
            services.presence.announce(user.id)
            await self._listen(user, hello.session, joined)
        finally:
            if await services.hub.drop(user.id, hello.session, self._line):
                await services.gone(user.id, hello.session)

    async def _welcome(self, user: User, hello: frames.Hello, joined: Joined) -> None:
        session = joined.member.session
        welcome = {
            "type": "welcome",
            "me": user._asdict(),
            "resumed": joined.resumed,
            "ack": session.received,
            "calls": await self._services.switchboard.live(user, hello.session),
            "time": self._services.clock(),
        }
        joined.member.open(frames.write(welcome))

    async def _listen(self, user: User, name: str, joined: Joined) -> None:
        session, services = joined.member.session, self._services
        while (frame := await self._next(SILENCE)) is not None:
            if not self._rate.take(now=services.monotonic()):
                self._say(Refused("too-many", "too many frames a second"), frame)
            elif isinstance(frame, frames.Ping):
                session.acknowledged(frame.ack)
                self._line.send(frames.write({"type": "pong", "ack": session.received}))
            elif isinstance(frame, frames.Hello):
                self._say(Refused("bad-frame", "hello was said already"))
            elif session.is_new(frame.seq):
                await self._handle(user, name, frame)

    async def _handle(self, user: User, name: str, frame: frames.Numbered) -> None:
        services = self._services
        services.metrics.frames.inc()
        try:
            if isinstance(frame, frames.Status):
                await services.hub.backplane.come(user.id, name, frame.nat)
                services.presence.announce(user.id)
                return
            if isinstance(frame, frames.Ring):
                services.rings.check(user.id, "you ring too often")
            await services.switchboard.handle(user, name, frame)
        except Refused as error:
            self._say(error, frame)
        except FAILURES:
            _log.exception("a frame could not be handled")
            self._say(Refused("failed", "something is wrong with the server"), frame)

    async def _next(self, patience: float) -> frames.ClientFrame | None:
        """Return the next frame that is one; None: it is over."""
        while True:
            try:
                async with asyncio.timeout(patience):
                    message = await self._websocket.receive()
            except TimeoutError:
                self._line.close(SILENT, "nothing came for too long")
                return None
            if message["type"] != "websocket.receive":
                return None
            try:
                return frames.read(message.get("text") or message.get("bytes") or "")
            except frames.BadFrame as error:
                if not self._bad_frame(str(error)):
                    return None

    def _bad_frame(self, why: str) -> bool:
        """Tell what is wrong; False: that was one too many."""
        self._bad += 1
        self._say(Refused("bad-frame", why, "docs/calto-protocol.md has its shape"))
        if self._bad >= MOST_BAD:
            self._line.close(BAD_FRAMES, "too many frames were none")
            return False
        return True

    def _say(self, error: Refused, frame: frames.ClientFrame | None = None) -> None:
        self._services.metrics.refused.labels(error.code).inc()
        said: dict[str, Any] = {"type": "error", **error.said()}
        said |= {"of": getattr(frame, "seq", None), "call": getattr(frame, "call", None)}
        self._line.send(frames.write(said))


async def talk(services: Services, websocket: WebSocket) -> None:
    """Serve one client."""
    try:
        # Not `websocket.headers`, which would be kept.
        services.guard.origin(Headers(scope=websocket.scope))
    except Refused as error:
        services.metrics.refused.labels(error.code).inc()
        await websocket.send_denial_response(refusal(error))
        return
    await websocket.accept()
    websocket.scope.clear()  # what its request said: some kilobytes that nobody asks any more
    await Conversation(services, websocket).run()
