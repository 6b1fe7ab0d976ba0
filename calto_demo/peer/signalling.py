"""What two peers tell each other until audio flows, whatever carries it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from natkit import NatkitError, StreamEndpoint


class SignallingLost(NatkitError):
    """The other side cannot be told anything any more."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class Description:
    """An offer or an answer.

    Attributes:
        kind:  "offer" or "answer".
        fresh: of an offer: its sender has a new peer connection, and wants one in answer.
    """

    kind: str
    sdp: str
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Trickled:
    """A candidate, as browsers' RTCIceCandidateInit has it; None: there will be no more."""

    candidate: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class HungUp:
    """The call is over. Attributes: message: for people."""

    reason: str
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The server was started again, and what it had not passed on is lost; the call is not."""


Message = Description | Trickled | HungUp | Interrupted


class Signalling(Protocol):
    """A way to the other side, in order and without loss."""

    async def send(self, message: Message) -> None:
        """Tell the other side. Raises: SignallingLost."""

    async def receive(self) -> Message:
        """Wait for what it tells. Raises: SignallingLost."""


def to_json(message: Message) -> dict[str, Any]:
    """Return a message as JSON can carry it."""
    match message:
        case Description(kind, sdp, fresh):
            return {"type": kind, "sdp": sdp} | ({"fresh": True} if fresh else {})
        case Trickled(candidate):
            return {"type": "candidate", "candidate": None if candidate is None else {**candidate}}
        case HungUp(reason, words):
            return {"type": "hangup", "reason": reason} | ({"message": words} if words else {})
        case Interrupted():
            raise ValueError("who is interrupted finds out by themselves")


def from_json(told: object) -> Message:
    """Read a message. Raises: SignallingLost: it is none."""
    match told:
        case {"type": ("offer" | "answer") as kind, "sdp": str(sdp)} if isinstance(told, dict):
            return Description(kind, sdp, told.get("fresh") is True)
        case {"type": "candidate", "candidate": dict() | None as candidate}:
            return Trickled(candidate)
        case {"type": "hangup", "reason": str(reason)} if isinstance(told, dict):
            words = told.get("message")
            return HungUp(reason, words if isinstance(words, str) else None)
    raise SignallingLost("the other side says what nobody understands", why=repr(told)[:80])


class LineSignalling:
    """Messages over a stream of bytes, a line of JSON each."""

    def __init__(self, stream: StreamEndpoint) -> None:
        self._stream, self._came = stream, b""

    async def send(self, message: Message) -> None:
        """Tell the other side."""
        try:
            await self._stream.write(json.dumps(to_json(message)).encode() + b"\n")
        except OSError as error:
            raise SignallingLost("signalling has ended", why=str(error)) from error

    async def receive(self) -> Message:
        """Wait for a line."""
        while b"\n" not in self._came:
            more = await self._stream.read()
            if not more:
                raise SignallingLost("signalling has ended", why="the other side has closed it")
            self._came += more
        line, _, self._came = self._came.partition(b"\n")
        try:
            return from_json(json.loads(line))
        except ValueError as error:
            raise SignallingLost("signalling is not JSON", why=str(error)) from error

    async def close(self) -> None:
        """Tell and hear no more. Closing twice is harmless."""
        await self._stream.close()


class Switchboard:
    """The least server for two: what one stream says goes to the other."""

    def __init__(self) -> None:
        self._waiting: asyncio.Future[StreamEndpoint] | None = None
        self._first: StreamEndpoint | None = None

    async def serve(self, stream: StreamEndpoint) -> None:
        """Serve a connection: the first waits for the second, then both are joined."""
        if self._first is None or self._waiting is None:
            self._first = stream
            self._waiting = asyncio.get_running_loop().create_future()
            other = await self._waiting
        else:
            other, waiting = self._first, self._waiting
            self._first = self._waiting = None
            waiting.set_result(stream)
        while data := await stream.read():
            await other.write(data)
        await other.close()
