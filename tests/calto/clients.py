"""Clients of a Calto server as tests write them: HTTP by name, and one session over a WebSocket."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from httpx2 import AsyncClient, Response
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError

PATIENCE = 10.0
"""Seconds for what comes at once, on a busy machine."""

SDP = "v=0\r\n"


def new_call() -> str:
    return str(uuid.uuid4())


class Api:
    """HTTP to one server. Attributes: url."""

    def __init__(self, url: str, http: AsyncClient) -> None:
        self.url, self._http = url, http

    async def ask(self, method: str, path: str, token: str = "", **options: Any) -> Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers |= options.pop("headers", {})
        return await self._http.request(method, self.url + path, headers=headers, **options)

    async def guest(self, name: str) -> tuple[str, str]:
        """Return a new guest's id and token."""
        response = await self.ask("POST", "/api/guest", json={"name": name})
        assert response.status_code == 201, response.text
        return response.json()["me"]["id"], response.json()["token"]

    async def get(self, path: str, token: str = "") -> Any:
        response = await self.ask("GET", path, token)
        assert response.status_code == 200, response.text
        return response.json()


@asynccontextmanager
async def api(url: str) -> AsyncIterator[Api]:
    async with AsyncClient(timeout=PATIENCE, trust_env=False, verify=False) as http:
        yield Api(url, http)


class Tab:
    """One session. Attributes: user, welcome; got: the highest number that came."""

    def __init__(self, url: str, user: str, token: str, name: str | None = None) -> None:
        self.url, self.user, self.token = url, user, token
        self.name = name or uuid.uuid4().hex
        self.welcome: dict[str, Any] = {}
        self.got = 0
        self._numbers = itertools.count(1)
        self._socket: ClientConnection | None = None
        self._unread: list[dict[str, Any]] = []

    async def connect(self) -> None:
        address = self.url.replace("http", "ws", 1) + "/ws"
        # Frames that a test does not read wait here, and do not hold up the closing.
        self._socket = await connect(address, proxy=None, max_queue=None, close_timeout=1)

    async def open_unanswered(self, **fields: Any) -> None:
        """Connect, and say hello."""
        await self.connect()
        hello = {"type": "hello", "token": self.token, "session": self.name, "ack": self.got}
        await self.raw(json.dumps(hello | fields))

    async def open(self, **fields: Any) -> dict[str, Any]:
        """Connect, and say hello; returns what the server answers."""
        await self.open_unanswered(**fields)
        self.welcome = await self._receive()
        if not self.welcome.get("resumed"):
            self._numbers = itertools.count(1)
        return self.welcome

    @property
    def socket(self) -> ClientConnection:
        assert self._socket is not None
        return self._socket

    async def raw(self, text: str) -> None:
        await self.socket.send(text)

    async def send(self, kind: str, call: str | None = None, **fields: Any) -> int:
        number = next(self._numbers)
        frame = {"type": kind, "seq": number, **({"call": call} if call else {}), **fields}
        await self.raw(json.dumps(frame))
        return number

    async def ring(self, to: str, call: str | None = None, **fields: Any) -> str:
        call = call or new_call()
        await self.send("ring", call, to=to, sdp=SDP, **fields)
        return call

    async def expect(self, kind: str, *, within: float = PATIENCE, **fields: Any) -> dict[str, Any]:
        """Return the next frame of a kind; what comes before it stays to be read."""
        for frame in self._unread:
            if fits(frame, kind, fields):
                self._unread.remove(frame)
                return frame
        async with asyncio.timeout(within):
            while True:
                frame = await self._receive(within)
                if fits(frame, kind, fields):
                    return frame
                self._unread.append(frame)

    async def _receive(self, within: float = PATIENCE) -> dict[str, Any]:
        async with asyncio.timeout(within):
            frame: dict[str, Any] = json.loads(await self.socket.recv())
        if "seq" in frame:
            if frame["seq"] == 1:
                self.got = 0
            assert frame["seq"] == self.got + 1, f"after {self.got} came {frame}"
            self.got = frame["seq"]
        return frame

    async def quiet(self) -> list[dict[str, Any]]:
        """Return what came and was not expected, up to the answer to a ping."""
        return [frame for frame in await self._came() if frame["type"] != "presence"]

    async def presences(self) -> list[dict[str, Any]]:
        """Return the presence that came and was not expected."""
        return [frame for frame in await self._came() if frame["type"] == "presence"]

    async def _came(self) -> list[dict[str, Any]]:
        await self.raw('{"type": "ping", "ack": 0}')
        await self.expect("pong")
        unread, self._unread = self._unread, []
        return unread

    async def closed(self) -> tuple[int, str]:
        """Return what the server closed it with."""
        async with asyncio.timeout(PATIENCE):
            with contextlib.suppress(ConnectionClosedError):
                async for _ in self.socket:
                    pass
            await self.socket.wait_closed()
        assert self.socket.close_code is not None
        return self.socket.close_code, self.socket.close_reason or ""

    async def drop(self) -> None:
        """Lose the socket."""
        self.socket.transport.abort()
        await self.socket.wait_closed()

    async def close(self) -> None:
        if self._socket is not None:
            await self._socket.close()


def fits(frame: dict[str, Any], kind: str, fields: dict[str, Any]) -> bool:
    return frame["type"] == kind and all(frame.get(k) == v for k, v in fields.items())
