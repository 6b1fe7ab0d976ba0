"""A rendezvous over HTTP: rooms in which two who know a code leave each other messages.

    POST /natkit/1/rooms/NAME/open | join | say?n=N | hear?after=N&peer=WORD | leave
    Authorization: Bearer TOKEN

`hear` is answered when there is something to tell: messages after the Nth, or that the peer is not
what WORD says; else after a while. NAME and TOKEN are 32 hexadecimal digits, drawn by clients.

Rule of the file: whoever is slow, loud or many is shown out, and costs nobody else more than that.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections import Counter
from urllib.parse import parse_qs, urlsplit
from weakref import WeakValueDictionary

from natkit.errors import MalformedMessage
from natkit.machine import Seconds
from natkit.network import Network, StreamEndpoint
from natkit.rendezvous.budget import Budget, source_of
from natkit.rendezvous.http import ROOMS, HttpMessage, HttpReader, answer
from natkit.rendezvous.rooms import DEFAULTS, Heard, Limits, Refusal, Refused, Rooms

POLL: Seconds = 20.0
"""How long `hear` waits: proxies commonly cut what is silent for 30 s."""

_PATIENCE: Seconds = 10.0
"""For a request to arrive, and for an answer to be taken."""

_CONNECTIONS_PER_SOURCE = 32
"""At once: a meeting takes two for each side, and several people may be behind one NAT."""

_REQUESTS_PER_MINUTE = 600
"""From one source: ten meetings that restart as fast as they can."""

_ENTRIES_PER_MINUTE = 60
"""Rooms opened or joined from one source: who tries more is guessing."""

_PATH = re.compile(
    re.escape(ROOMS) + r"(?P<name>[0-9a-f]{32})/(?P<verb>open|join|say|hear|leave)\Z"
)
_BEARER = re.compile(r"Bearer ([0-9a-f]{32})\Z")
_NUMBER = re.compile(r"[0-9]{1,9}\Z")
_GREETING = b"This is a rendezvous of natkit: natkit connect --rendezvous URL\n"


class RendezvousServer:
    """Answers connections, one request each. Give `serve` to a listener.

    Args: network: whose clock is used.
    """

    def __init__(self, network: Network, limits: Limits = DEFAULTS) -> None:
        self.rooms = Rooms(limits)
        self._network, self._limits = network, limits
        # As long as somebody waits for one.
        self._bells: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()
        self._connections: Counter[str] = Counter()
        self._requests, self._entries = Budget(_REQUESTS_PER_MINUTE), Budget(_ENTRIES_PER_MINUTE)

    async def serve(self, stream: StreamEndpoint) -> None:
        """Answer one connection. Raises: NetworkUnreachable: it broke."""
        source = source_of(stream.remote.ip)
        if self._connections[source] >= _CONNECTIONS_PER_SOURCE:
            return
        self._connections[source] += 1
        try:
            await self._serve(stream, source)
        finally:
            self._connections[source] -= 1
            if not self._connections[source]:
                del self._connections[source]

    async def _serve(self, stream: StreamEndpoint, source: str) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                reply = await self._read(stream)
            if isinstance(reply, HttpMessage):
                reply = await self._answer(reply, stream, source)
            if reply is not None:
                async with asyncio.timeout(_PATIENCE):
                    await stream.write(reply)

    async def _read(self, stream: StreamEndpoint) -> HttpMessage | bytes | None:
        """Return a request, or what to answer to something else; None: it ended before."""
        reader = HttpReader(self._limits.message_bytes)
        while data := await stream.read():
            try:
                if (message := reader.feed(data)) is not None:
                    return message
            except MalformedMessage as error:
                too_large = error.where == "body"
                return _refusal(Refusal.TOO_LARGE if too_large else Refusal.MALFORMED)
        return None

    async def _answer(
        self, asked: HttpMessage, stream: StreamEndpoint, source: str
    ) -> bytes | None:
        try:
            if not self._requests.spend(source, now=self._network.now()):
                raise Refused(Refusal.BUSY)
            return await self._do(asked, stream, source)
        except Refused as refused:
            return _refusal(refused.refusal)

    async def _do(self, asked: HttpMessage, stream: StreamEndpoint, source: str) -> bytes | None:
        """Carry a request out. Raises: Refused."""
        method, target, _ = asked.start
        parts = urlsplit(target)
        path, query = _PATH.search(parts.path), parse_qs(parts.query)
        if path is None:
            return answer(200 if parts.path == "/" else 404, "text/plain", _GREETING)
        if method != "POST":
            return answer(405, "text/plain", b"only POST\n")
        bearer = _BEARER.match(asked.headers.get("authorization", ""))
        if bearer is None:
            raise Refused(Refusal.MALFORMED)
        name, token = path["name"], bearer[1]
        if path["verb"] == "hear":
            return await self._hear(name, token, query, stream)
        self._change(path["verb"], name, token, query, asked.body, source)
        self._ring(name)
        return answer(200, "application/json", b"{}")

    def _change(
        self,
        verb: str,
        name: str,
        token: str,
        query: dict[str, list[str]],
        body: bytes,
        source: str,
    ) -> None:
        now = self._network.now()
        if verb in ("open", "join") and not self._entries.spend(source, now=now):
            raise Refused(Refusal.BUSY)
        match verb:
            case "open":
                self.rooms.open(name, token, source, now=now)
            case "join":
                self.rooms.join(name, token, now=now)
            case "leave":
                self.rooms.leave(name, token, now=now)
            case _:
                self.rooms.say(name, token, _number(query, "n"), _text(body), now=now)

    async def _hear(
        self, name: str, token: str, query: dict[str, list[str]], stream: StreamEndpoint
    ) -> bytes | None:
        """Answer as soon as there is something new to the asker; None: it has gone away."""
        after, believed = _number(query, "after"), query.get("peer", [""])[0]
        ends_at = self._network.now() + POLL
        while True:
            now = self._network.now()
            heard = self.rooms.hear(name, token, after, now=now)
            if heard.messages or heard.peer.value != believed or now >= ends_at:
                return answer(200, "application/json", _told(heard))
            bell = self._bells.setdefault(name, asyncio.Event())
            if await _closes(stream, bell, ends_at - now):
                return None

    def _ring(self, name: str) -> None:
        """Wake up whoever waits in a room."""
        bell = self._bells.pop(name, None)
        if bell is not None:
            bell.set()


async def _closes(stream: StreamEndpoint, bell: asyncio.Event, patience: Seconds) -> bool:
    """Wait for the bell, but not beyond `patience`; True: the asker has closed meanwhile."""
    ringing = asyncio.ensure_future(bell.wait())
    closing = asyncio.ensure_future(stream.read(1))
    try:
        await asyncio.wait(
            {ringing, closing}, timeout=patience, return_when=asyncio.FIRST_COMPLETED
        )
        return closing.done() and not ringing.done()
    finally:
        for task in (ringing, closing):
            task.cancel()
        await asyncio.gather(ringing, closing, return_exceptions=True)


def _told(heard: Heard) -> bytes:
    told = {"peer": heard.peer.value, "messages": heard.messages}
    return json.dumps(told, ensure_ascii=False).encode()


def _refusal(refusal: Refusal) -> bytes:
    body = json.dumps({"refused": refusal.word}).encode()
    return answer(refusal.status, "application/json", body)


def _number(query: dict[str, list[str]], name: str) -> int:
    """Read a number in a query. Raises: Refused: there is none."""
    text = query.get(name, [""])[0]
    if not _NUMBER.match(text):
        raise Refused(Refusal.MALFORMED)
    return int(text)


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise Refused(Refusal.MALFORMED) from None
