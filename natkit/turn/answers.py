"""What a TURN request may hold, the errors it can meet, and the way from there to an answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from natkit.turn.forwarding import Path
from natkit.wire import (
    Attribute,
    ChannelNumber,
    ConnectionId,
    Data,
    DontFragment,
    EvenPort,
    Integrity,
    Lifetime,
    Message,
    Nonce,
    PasswordAlgorithm,
    Realm,
    RequestedAddressFamily,
    RequestedTransport,
    ReservationToken,
    Unrecognised,
    UserHash,
    Username,
    XorPeerAddress,
)

TRY_ALTERNATE = 300  # RFC 8489 §14.8
BAD_REQUEST = 400
UNAUTHENTICATED = 401
FORBIDDEN = 403  # RFC 8656 §19
MOBILITY_FORBIDDEN = 405  # RFC 8016 §3.4
UNKNOWN_ATTRIBUTE = 420
ALLOCATION_MISMATCH = 437  # RFC 8656 §19, as are the next ones
STALE_NONCE = 438
FAMILY_NOT_SUPPORTED = 440
WRONG_CREDENTIALS = 441
UNSUPPORTED_TRANSPORT = 442
PEER_FAMILY_MISMATCH = 443
CONNECTION_EXISTS = 446  # RFC 6062 §6.3
CONNECTION_FAILED = 447
QUOTA_REACHED = 486
INSUFFICIENT_CAPACITY = 508

REASONS = {
    TRY_ALTERNATE: "Try Alternate",
    BAD_REQUEST: "Bad Request",
    FORBIDDEN: "Forbidden",
    MOBILITY_FORBIDDEN: "Mobility Forbidden",
    UNKNOWN_ATTRIBUTE: "Unknown Attribute",
    ALLOCATION_MISMATCH: "Allocation Mismatch",
    FAMILY_NOT_SUPPORTED: "Address Family not Supported",
    WRONG_CREDENTIALS: "Wrong Credentials",
    UNSUPPORTED_TRANSPORT: "Unsupported Transport Protocol",
    PEER_FAMILY_MISMATCH: "Peer Address Family Mismatch",
    CONNECTION_EXISTS: "Connection Already Exists",
    CONNECTION_FAILED: "Connection Timeout or Failure",
    QUOTA_REACHED: "Allocation Quota Reached",
    INSUFFICIENT_CAPACITY: "Insufficient Capacity",
}
"""Reason phrases, for answers to who has authenticated; the others are kept short."""


UNDERSTOOD = frozenset(
    {
        *(Username, UserHash, Realm, Nonce, PasswordAlgorithm),
        *(ChannelNumber, Lifetime, XorPeerAddress, Data, RequestedAddressFamily, EvenPort),
        *(RequestedTransport, DontFragment, ReservationToken, ConnectionId),
    }
)
"""Comprehension-required attributes that mean something in a TURN request; all others, those of ICE
included, are a 420 (RFC 8489 §6.3.1)."""

_COMPREHENSION_OPTIONAL = 0x8000  # RFC 8489 §14


LONGEST_REASON = 300
"""Characters of a reason: it may quote what a client chose, and goes into a log."""


class Refused(Exception):
    """A request cannot be granted: what handlers raise, and the machine turns into an answer.

    Args:
        code:       for ERROR-CODE.
        why:        for the server's owner.
        attributes: what goes into the answer besides.
        user:       who asked, as far as known.
        routine:    part of a healthy handshake: not worth a line in a log.
    """

    def __init__(
        self,
        code: int,
        why: str,
        *attributes: Attribute,
        user: str | None = None,
        routine: bool = False,
    ) -> None:
        super().__init__(code, why)
        self.code = code
        self.why = why if len(why) <= LONGEST_REASON else f"{why[:LONGEST_REASON]}…"
        self.attributes = attributes
        self.user = user
        self.routine = routine


class Client(NamedTuple):
    """Somebody who has proved who they are.

    Attributes:
        username:  as in USERNAME.
        account:   who pays for it (`Credentials.account`).
        key:       signs the answers.
        integrity: how the request was signed, and the answer will be.
        elsewhere: true: not the settings have their password, but who was asked (LookUpUser).
    """

    username: str
    account: str
    key: bytes
    integrity: Integrity
    elsewhere: bool


class Asked(NamedTuple):
    """A request whose sender is known."""

    message: Message
    path: Path
    client: Client

    def success(self, attributes: Sequence[Attribute]) -> bytes:
        """Return the signed success response."""
        return self._encoded(self.message.success(*attributes))

    def error(self, refused: Refused) -> bytes:
        """Return the signed error response (RFC 8489 §9.2.4: signed as the request was)."""
        reason = REASONS.get(refused.code, "")
        return self._encoded(self.message.error(refused.code, reason, *refused.attributes))

    def _encoded(self, response: Message) -> bytes:
        return response.encode(
            key=self.client.key,
            integrity=self.client.integrity,
            fingerprint=self.message.has_fingerprint,
        )


def not_understood(message: Message) -> tuple[int, ...]:
    """Return the types of attributes that must be understood and are not (RFC 8489 §6.3.1)."""
    others = [one for one in message.attributes if one.__class__ not in UNDERSTOOD]
    if not others:
        return ()
    types = (one.type if isinstance(one, Unrecognised) else one.TYPE for one in others)
    return tuple(number for number in dict.fromkeys(types) if number < _COMPREHENSION_OPTIONAL)
