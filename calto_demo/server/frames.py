"""What clients send over the WebSocket, each checked against its shape (docs/calto-protocol.md).

Nothing of a frame is looked at before it has passed here. Lengths are bounded: what a browser
makes of one audio call stays far below them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

LONGEST_FRAME = 65_536
"""Bytes. An offer with twenty candidates has six thousand."""

Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**53)]
CallId: TypeAlias = Annotated[
    str, Meta(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")
]
SessionName: TypeAlias = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{16,64}\Z")]
UserId: TypeAlias = Annotated[str, Meta(pattern=r"^u-[a-z0-9]{1,32}\Z")]
Sdp: TypeAlias = Annotated[str, Meta(min_length=1, max_length=50_000)]
Leg: TypeAlias = Annotated[str, Meta(pattern=r"^[a-z]{1,16}\Z")]
Words: TypeAlias = Annotated[str, Meta(max_length=200)]
Nat: TypeAlias = Literal["open", "cone", "symmetric", "unknown"]
Path: TypeAlias = Literal["auto", "relay", "direct"]


class Hello(Struct, tag="hello"):
    """The first frame: who this is, and where it was."""

    token: Annotated[str, Meta(max_length=4096)]
    session: SessionName
    ack: Count = 0
    nat: Nat = "unknown"
    agent: Words = ""


class Ping(Struct, tag="ping"):
    """Still here, and this is what came in."""

    ack: Count = 0


class Status(Struct, tag="status"):
    """What was measured about this client's NAT."""

    seq: Count
    nat: Nat


class OfCall(Struct):
    """A frame that belongs to a call."""

    seq: Count
    call: CallId


class Ring(OfCall, tag="ring"):
    """Begin a call."""

    to: UserId
    sdp: Sdp
    path: Path = "auto"


class Ringing(OfCall, tag="ringing"):
    """It rings here."""


class Accept(OfCall, tag="accept"):
    """Answer."""

    sdp: Sdp


class Decline(OfCall, tag="decline"):
    """Do not answer."""


class HangUp(OfCall, tag="hangup"):
    """End it."""

    reason: Literal["hangup", "failed"] = "hangup"
    message: Words | None = None


class Connected(OfCall, tag="connected"):
    """Audio can flow."""


class IceCandidate(Struct, rename="camel", omit_defaults=True):
    """RTCIceCandidateInit, as browsers write it."""

    candidate: Annotated[str, Meta(max_length=1024)]
    sdp_mid: Annotated[str, Meta(max_length=64)] | None = None
    sdp_m_line_index: Annotated[int, Meta(ge=0, le=255)] | None = msgspec.field(
        default=None, name="sdpMLineIndex"
    )
    username_fragment: Annotated[str, Meta(max_length=256)] | None = None


class Candidate(OfCall, tag="candidate"):
    """One more way to reach the sender; None: there are no more."""

    candidate: IceCandidate | None
    leg: Leg = "main"


class Offer(OfCall, tag="offer"):
    """Begin again: another network, another path, or a page that was loaded again."""

    sdp: Sdp
    leg: Leg = "main"
    fresh: bool = False


class Answer(OfCall, tag="answer"):
    """The answer to it."""

    sdp: Sdp
    leg: Leg = "main"


class Mute(OfCall, tag="mute"):
    """Whether the sender can be heard."""

    muted: bool


Passed: TypeAlias = Candidate | Offer | Answer | Mute
"""What the other side gets as it was sent."""

CallFrame: TypeAlias = (
    Ring | Ringing | Accept | Decline | HangUp | Connected | Candidate | Offer | Answer | Mute
)
Numbered: TypeAlias = Status | CallFrame
ClientFrame: TypeAlias = Hello | Ping | Numbered

_decoder: msgspec.json.Decoder[ClientFrame] = msgspec.json.Decoder(ClientFrame)
_encoder = msgspec.json.Encoder()


class BadFrame(ValueError):
    """A frame is not what it should be; the text says where."""


def read(data: bytes | str) -> ClientFrame:
    """Return a frame. Raises: BadFrame: it is none; nothing else escapes."""
    try:
        return _decoder.decode(data)
    except msgspec.ValidationError as error:
        raise BadFrame(sentence(str(error))) from None
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise BadFrame("the frame is no JSON") from None


def sentence(error: str) -> str:
    """Return what msgspec has against a value, for people: which field, and what is wrong."""
    what, _, place = error.partition(" - at `")
    field = place.removesuffix("`").removeprefix("$").removeprefix(".")
    for pattern, words in _FAULTS:
        if found := re.fullmatch(pattern, what, re.DOTALL):
            return words(field or "all of it", *found.groups())
    return f"{field or 'all of it'}: {what.replace('`', '')}"


_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "object": "an object",
    "array": "a list",
}


def _named(kinds: str) -> str:
    return " or ".join(_KINDS.get(kind, kind) for kind in kinds.split(" | "))


def _limited(field: str, kind: str, sign: str, limit: str) -> str:
    how = {"<=": "at most", "<": "less than", ">=": "at least", ">": "more than"}[sign]
    size = {"str": "characters", "array": "entries"}.get(kind, "")
    return f"{field} must be {how} {limit} {size}".rstrip()


_FAULTS: tuple[tuple[str, Callable[..., str]], ...] = (
    (
        r"Object missing required field `(\w+)`",
        lambda field, name: f"{name if field == 'all of it' else f'{field}.{name}'} is missing",
    ),
    (
        r"Expected `str` matching regex .*",
        lambda field: f"{field} does not have the form that it must have",
    ),
    (r"Invalid (?:enum )?value (.*)", lambda field, value: f"{field} cannot be {value[:60]}"),
    (
        r"Expected `(.+?)`, got `(.+)`",
        lambda field, wanted, came: f"{field} must be {_named(wanted)}, and is {_named(came)}",
    ),
    (r"Expected `(.+?)` (?:of length )?([<>]=?) (.+)", _limited),
)
"""What msgspec says, and how to say it."""


def write(value: Any) -> bytes:
    """Return it as JSON."""
    return _encoder.encode(value)


def passed_on(frame: Passed | Connected) -> dict[str, Any]:
    """Return a frame as the other side gets it."""
    fields: dict[str, Any] = msgspec.to_builtins(frame)
    del fields["seq"]
    return fields
