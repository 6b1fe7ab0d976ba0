"""Connectivity checks as messages: asked, judged and answered (RFC 8445 §7.1, §7.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from natkit.ice.credentials import Credentials
from natkit.ice.role import Role
from natkit.wire import (
    Integrity,
    Message,
    Method,
    Priority,
    TransportAddress,
    UnknownAttributes,
    UseCandidate,
    Username,
    XorMappedAddress,
)

BAD_REQUEST, UNAUTHENTICATED, UNKNOWN_ATTRIBUTE = 400, 401, 420  # RFC 8489 §14.8
ROLE_CONFLICT = 487  # RFC 8445 §7.3.1.1
FORBIDDEN = 403  # RFC 7675 §5.2: consent is withdrawn


class Outgoing(NamedTuple):
    """A datagram to send, and the endpoint it must leave from.

    Attributes: tcp: over a TCP connection, which is made where there is none yet.
    """

    data: bytes
    destination: TransportAddress
    base: TransportAddress
    tcp: bool = False


@dataclass(frozen=True, slots=True)
class Checked:
    """A check of the peer's that was in order.

    Attributes:
        source, base: where it came from, and where it came in.
        priority:     of the candidate that it came from, should that be new.
        nominates:    it had USE-CANDIDATE.
        tcp:          it came over a TCP connection.
    """

    source: TransportAddress
    base: TransportAddress
    priority: int
    nominates: bool
    tcp: bool = False


def check(
    transaction_id: bytes,
    own: Credentials,
    peer: Credentials,
    role: Role,
    priority: int,
    *,
    nominates: bool = False,
) -> bytes:
    """Return a Binding request to the peer (RFC 8445 §7.2.2)."""
    said = [Username(f"{peer.ufrag}:{own.ufrag}"), Priority(priority), role.attribute()]
    if nominates:
        said.append(UseCandidate())
    request = Message.request(Method.BINDING, transaction_id, *said)
    return request.encode(key=peer.key, fingerprint=True)


def addressee(request: Message) -> str | None:
    """Return the user fragment that a check was sent to; None: it names nobody."""
    username = request.find(Username)
    if username is None or ":" not in username.text:
        return None
    return username.text.partition(":")[0]


def fault_in(request: Message, own: Credentials | None) -> int | None:
    """Return the error code that a check deserves, roles apart; None: it is in order.

    Args: own: the credentials it was sent to; None: nobody's here.
    RFC:  8489 §9.1.3, §6.3.1.
    """
    if request.integrity is None or addressee(request) is None:
        return BAD_REQUEST
    if own is None or not request.verify(own.key):
        return UNAUTHENTICATED
    if request.unknown_required:
        return UNKNOWN_ATTRIBUTE
    return BAD_REQUEST if request.find(Priority) is None else None


def refusal(request: Message, code: int, own: Credentials | None) -> bytes:
    """Return the error response; one to a request that was not authenticated is not signed."""
    unknown = (UnknownAttributes(request.unknown_required),) if code == UNKNOWN_ATTRIBUTE else ()
    response = request.error(code, "", *unknown)
    is_authentic = code not in (BAD_REQUEST, UNAUTHENTICATED)
    key = own.key if own is not None and is_authentic else None
    return response.encode(key=key, integrity=_alike(request), fingerprint=True)


def success(request: Message, source: TransportAddress, own: Credentials) -> bytes:
    """Return the success response, which tells the peer where it came from (RFC 8445 §7.3.1.2)."""
    response = request.success(XorMappedAddress(source))
    return response.encode(key=own.key, integrity=_alike(request), fingerprint=True)


def _alike(request: Message) -> Integrity:
    """Sign as the peer does: by SHA-1 in ICE, unless it asked by SHA-256 alone (§9.1.3)."""
    return Integrity.SHA256 if request.integrity is Integrity.SHA256 else Integrity.SHA1


def read(
    request: Message, source: TransportAddress, base: TransportAddress, *, tcp: bool
) -> Checked:
    """Return what a check in order says."""
    said = request.find(Priority)
    nominates = request.find(UseCandidate) is not None
    return Checked(source, base, 0 if said is None else said.value, nominates, tcp)
