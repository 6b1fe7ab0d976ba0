"""What clients send over HTTP, each checked against its shape (docs/calto-protocol.md)."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct
from starlette.requests import Request

from calto_demo.server.frames import Nat, sentence
from calto_demo.server.refusal import Refused

LONGEST_BODY = 65_536
BODY_TIME = 10.0
"""Seconds for all of a body: 64 KiB come in that over 60 kbit/s."""

_S = TypeVar("_S", bound=Struct)

Measure: TypeAlias = Annotated[float, Meta(ge=0, le=1e12)] | None


class Named(Struct):
    """A name that somebody gives themselves."""

    name: Annotated[str, Meta(max_length=1000)]


Address: TypeAlias = Annotated[str, Meta(pattern=r"^[^\s\[\]]{1,100}\Z")]
Port: TypeAlias = Annotated[int, Meta(ge=0, le=65535)]
Priority: TypeAlias = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
Count: TypeAlias = Annotated[int, Meta(ge=0, le=1_000_000)]
ServerUri: TypeAlias = Annotated[str, Meta(pattern=r"^(stun|turn)s?:\S{1,200}\Z")]


class PathCandidate(Struct, omit_defaults=True):
    """One end of a pair. Attributes: address: an IP address, or the mDNS name that hides it."""

    type: Literal["host", "srflx", "prflx", "relay"]
    address: Address | None = None
    port: Port | None = None
    protocol: Literal["udp", "tcp", "tls"] | None = None


class Pair(Struct):
    """A pair that was tried. Attributes: sent, answered, received: checks of ICE."""

    local: PathCandidate | None = None
    remote: PathCandidate | None = None
    state: Annotated[str, Meta(max_length=40)] = ""
    rtt_ms: Measure = None
    priority: Priority = 0
    nominated: bool = False
    sent: Count = 0
    answered: Count = 0
    received: Count = 0


class Place(Struct):
    """The address behind a mapped one."""

    address: Address
    port: Port


class Found(PathCandidate):
    """A candidate of the search. Attributes: url: of the server that told it."""

    related: Place | None = None
    priority: Priority = 0
    url: ServerUri | None = None


class Asked(Struct):
    """A server that was asked for candidates.

    Attributes: error: RTCPeerConnectionIceErrorEvent's code; None: there was none.
    """

    url: ServerUri
    error: Annotated[int, Meta(ge=300, le=799)] | None = None


class Search(Struct):
    """How one side looked for a path."""

    role: Literal["controlling", "controlled"]
    nat: Nat = "unknown"
    peer_nat: Nat = "unknown"
    local: Annotated[list[Found], Meta(max_length=100)] = []
    remote: Annotated[list[Found], Meta(max_length=100)] = []
    asked: Annotated[list[Asked], Meta(max_length=50)] = []


class Quality(Struct):
    """What was heard and measured."""

    rtt_ms: Measure = None
    jitter_ms: Measure = None
    loss: Annotated[float, Meta(ge=0, le=1)] | None = None
    bitrate_bps: Measure = None
    setup_ms: Measure = None


class PathReport(Struct):
    """Which way a call went, as one side saw it."""

    kind: Literal["direct", "relayed", "failed", "unknown"]
    local: PathCandidate | None = None
    remote: PathCandidate | None = None
    relay: Annotated[str, Meta(max_length=300)] | None = None
    encryption: Annotated[str, Meta(max_length=100)] | None = None
    quality: Quality | None = None
    pairs: Annotated[list[Pair], Meta(max_length=100)] = []
    search: Search | None = None


async def body_of(request: Request, shape: type[_S]) -> _S:
    """Return a request's body. Raises: Refused: too large, too slow, or of another shape."""
    try:
        async with asyncio.timeout(BODY_TIME):
            data = await _data_of(request)
    except TimeoutError:
        message = f"the body was not there after {BODY_TIME:.0f} s"
        raise Refused("too-slow", message, "Send it again") from None
    try:
        return msgspec.json.decode(data, type=shape)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        hint = "docs/calto-protocol.md has its shape"
        # What is no JSON at all is told worse by the decoder than by us.
        fits_not = isinstance(error, msgspec.ValidationError)
        what = sentence(str(error)) if fits_not else "the body is no JSON"
        raise Refused("bad-request", what, hint) from None


async def _data_of(request: Request) -> bytes:
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > LONGEST_BODY:
            raise Refused("too-large", f"a body has at most {LONGEST_BODY} bytes")
    return bytes(data)


def plain(value: Struct) -> dict[str, Any]:
    """Return it as dictionaries and lists."""
    fields: dict[str, Any] = msgspec.to_builtins(value)
    return fields
