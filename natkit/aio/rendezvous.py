"""A meeting at a rendezvous, as one of the two sees it: signed messages, in order."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from natkit.errors import (
    AuthenticationFailed,
    MalformedMessage,
    NatkitError,
    NetworkUnreachable,
    UsageError,
)
from natkit.machine import Seconds
from natkit.network import Family, Network, StreamEndpoint, Tls
from natkit.rendezvous.code import Code
from natkit.rendezvous.description import Description
from natkit.rendezvous.http import ROOMS, HttpMessage, HttpReader, refusal_named, request
from natkit.rendezvous.rooms import Presence, Refusal
from natkit.rendezvous.seal import Seal, Side
from natkit.wire import TransportAddress

PORT = 7478
"""Of a rendezvous, where its URL has none and is not https."""

_PATIENCE: Seconds = 30.0
"""For an answer: a poll takes 20 s."""
_GOODBYE: Seconds = 2.0
_MOST_BYTES = 65536

_WORDS = {
    Refusal.UNKNOWN: "nobody waits under this code",
    Refusal.TAKEN: "two are using this code already",
    Refusal.GONE: "whoever made this code has left",
    Refusal.EXPIRED: "the code has expired",
    Refusal.CROWDED: "the rendezvous has no room left",
    Refusal.BUSY: "the rendezvous wants fewer requests from here",
}
_HINTS = {
    Refusal.CROWDED: "Try again later, or use another one",
    Refusal.BUSY: "Try again in a minute",
}
_NEW_CODE = (
    "A code is good for one peer and for ten minutes, at one rendezvous. Check the words and"
    " --rendezvous, or take a new one: natkit connect"
)


class PeerLeft(NetworkUnreachable):
    """The other one has left the room, or has not been heard of for half a minute."""

    def __init__(self) -> None:
        super().__init__(
            "the other side has left", hint="Its screen may say why; take a new code to try again"
        )


@dataclass(frozen=True, slots=True)
class Rendezvous:
    """Where a rendezvous is.

    Attributes:
        prefix: of all paths, where a proxy puts one before.
        tls:    None: plain HTTP.
    """

    host: str
    port: int
    prefix: str = ""
    tls: Tls | None = None

    @classmethod
    def parse(cls, url: str, *, verify: bool = True, ca_file: str | None = None) -> Rendezvous:
        """Read a URL. Raises: UsageError: it is none of HTTP."""
        try:
            parts = urlsplit(url if "//" in url else f"http://{url}")
            port = parts.port
        except ValueError as error:
            raise UsageError(f"{url!r} is no URL", why=str(error)) from None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
            hint = f"Write http://HOST[:PORT] or https://HOST[:PORT]; the port is {PORT} or 443"
            raise UsageError(f"{url!r} is no rendezvous", hint=hint)
        secure = parts.scheme == "https"
        tls = Tls(parts.hostname, verify, ca_file) if secure else None
        usual = 443 if secure else PORT
        return cls(parts.hostname, usual if port is None else port, parts.path.rstrip("/"), tls)

    @property
    def authority(self) -> str:
        """Host and port, as HTTP writes them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{'http' if self.tls is None else 'https'}://{self.authority}{self.prefix}"

    async def post(self, network: Network, path: str, token: str, body: bytes) -> HttpMessage:
        """Send one request and return the answer. Raises: NetworkUnreachable: none came."""
        try:
            async with asyncio.timeout(_PATIENCE):
                stream = await self._open(network)
                try:
                    await stream.write(request(self.authority, self.prefix + path, token, body))
                    return await _read(stream)
                finally:
                    await stream.close()
        except TimeoutError:
            raise self._unreachable(f"no answer in {_PATIENCE:g} s") from None
        except MalformedMessage as error:
            raise self._unreachable(f"it answers with what is no HTTP of ours: {error}") from None
        except NetworkUnreachable as error:
            raise self._unreachable(str(error)) from None

    async def _open(self, network: Network) -> StreamEndpoint:
        error = NetworkUnreachable(f"{self.host} has no address")
        for family in Family:
            for ip in await network.resolve(self.host, family):
                try:
                    return await network.open_stream(TransportAddress(ip, self.port), tls=self.tls)
                except NetworkUnreachable as refused:
                    error = refused
        raise error

    def _unreachable(self, why: str) -> NetworkUnreachable:
        return NetworkUnreachable(
            f"the rendezvous {self} cannot be reached",
            why=why,
            hint="Is it running there (natkit rendezvous serve), and does a firewall let you?",
        )


class Meeting:
    """One side of a meeting. Use `host` or `join`."""

    trickles = True

    def __init__(
        self, network: Network, where: Rendezvous, code: Code, side: Side, token: str
    ) -> None:
        secrets = code.secrets()
        self._network, self._where, self._token = network, where, token
        self._path = f"{ROOMS}{secrets.room}/"
        self._seal = Seal(secrets.key, side)
        self.password = self._seal.password
        self._said = self._heard = 0
        self._saying = asyncio.Lock()
        self._came: deque[str] = deque()
        self._presence = Presence.AWAITED

    @classmethod
    async def host(
        cls, network: Network, where: Rendezvous, code: Code, randomness: Callable[[int], bytes]
    ) -> Meeting:
        """Open the room of a code that was just drawn.

        Raises: NetworkUnreachable: the rendezvous is, or has no room left.
        """
        meeting = cls(network, where, code, Side.HOST, randomness(16).hex())
        await meeting._ask("open")
        return meeting

    @classmethod
    async def join(
        cls, network: Network, where: Rendezvous, code: Code, randomness: Callable[[int], bytes]
    ) -> Meeting:
        """Join whoever has drawn the code.

        Raises: AuthenticationFailed: nobody waits, no longer, or with somebody else;
                NetworkUnreachable.
        """
        meeting = cls(network, where, code, Side.GUEST, randomness(16).hex())
        await meeting._ask("join")
        return meeting

    async def arrival(self) -> None:
        """Wait until the other one is here.

        Raises: AuthenticationFailed: the code has expired; else as `hear`.
        """
        while self._presence is Presence.AWAITED:
            await self._poll()

    async def tell(self, part: Description) -> None:
        """Leave a message. Raises: NetworkUnreachable; PeerLeft."""
        async with self._saying:  # the rendezvous takes messages in their order
            await self._ask(f"say?n={self._said}", self._seal.close(part.to_json()))
            self._said += 1

    async def hear(self) -> Description:
        """Return the next message.

        Raises: PeerLeft: there will be none; NetworkUnreachable; AuthenticationFailed: it was
                changed on the way; MalformedMessage: the peer speaks otherwise.
        """
        while not self._came:
            if self._presence is Presence.LEFT:
                raise PeerLeft
            await self._poll()
        return Description.from_json(self._seal.open(self._came.popleft()))

    async def close(self) -> None:
        """Leave, and say so where that can be done quickly."""
        with contextlib.suppress(NatkitError, TimeoutError):
            async with asyncio.timeout(_GOODBYE):
                await self._ask("leave")

    async def _poll(self) -> None:
        told = await self._ask(f"hear?after={self._heard}&peer={self._presence.value}")
        messages, peer = told.get("messages"), told.get("peer")
        try:
            self._presence = Presence(peer)
        except ValueError:
            raise NetworkUnreachable(f"{self._where} is no rendezvous of natkit") from None
        if isinstance(messages, list):
            self._came += (str(message) for message in messages)
            self._heard += len(messages)

    async def _ask(self, what: str, body: str = "") -> dict[str, object]:
        """Ask, and once more where no answer comes: the rendezvous does nothing twice."""
        asked = (self._network, self._path + what, self._token, body.encode())
        try:
            reply = await self._where.post(*asked)
        except NetworkUnreachable:
            reply = await self._where.post(*asked)
        return self._told(reply)

    def _told(self, reply: HttpMessage) -> dict[str, object]:
        try:
            told = json.loads(reply.body)
        except (ValueError, RecursionError):
            told = None
        if reply.start[1] == "200" and isinstance(told, dict):
            return told
        word = told.get("refused") if isinstance(told, dict) else None
        status = int(reply.start[1]) if reply.start[1].isdigit() else 0
        raise self._refused(refusal_named(status, str(word)), reply.start[1])

    def _refused(self, refusal: Refusal | None, status: str) -> NatkitError:
        if refusal is Refusal.GONE and self._presence is not Presence.AWAITED:
            return PeerLeft()
        if refusal not in _WORDS:
            why = f"it answers with {status}" if refusal is None else f"it says {refusal.word}"
            return NetworkUnreachable(f"{self._where} is no rendezvous that can be used", why=why)
        words = _WORDS[refusal]
        if refusal in _HINTS:
            return NetworkUnreachable(words, hint=_HINTS[refusal])
        return AuthenticationFailed(words, hint=_NEW_CODE)


async def _read(stream: StreamEndpoint) -> HttpMessage:
    """Read one answer. Raises: NetworkUnreachable: it ended early; MalformedMessage."""
    reader = HttpReader(_MOST_BYTES)
    while data := await stream.read():
        if (message := reader.feed(data)) is not None:
            return message
    raise NetworkUnreachable("the connection ended without an answer")
