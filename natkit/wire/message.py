"""STUN messages: a header, attributes, and the proofs at the end (RFC 8489 §5, §6, §9, §14).

Rules of this file:
1. `Message.decode` raises MalformedMessage or returns a message that nothing later can fault.
2. Of what follows MESSAGE-INTEGRITY only MESSAGE-INTEGRITY-SHA256 and FINGERPRINT count, of what
   follows MESSAGE-INTEGRITY-SHA256 only FINGERPRINT: the rest is unsigned (§14.5, §14.6).
3. A message that was received is encoded again from the bytes it came in.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from enum import IntEnum
from struct import Struct
from typing import NamedTuple, Self, TypeVar, cast

from natkit.errors import MalformedMessage
from natkit.wire.attributes import REGISTRY, Attribute, ErrorCode, Unrecognised
from natkit.wire.integrity import (
    SHA1_SIZE,
    SHA256_SIZE,
    Integrity,
    check_proof_size,
    crc,
    sha1_proof,
    sha256_proof,
)

A = TypeVar("A", bound=Attribute | Unrecognised)

HEADER_SIZE = 20
MAGIC_COOKIE = 0x2112A442
"""Second word of every message since RFC 5389; before, there was no fixed value there (§5)."""

_ADDRESS_MASK = (MAGIC_COOKIE >> 16).to_bytes(4, "big") + MAGIC_COOKIE.to_bytes(4, "big")
"""For reserved byte, family, port and the first 4 address bytes; the transaction ID follows."""

_HEADER = Struct("!HHI12s")
_TLV = Struct("!HH")
_FINGERPRINT = Struct("!HHI")
_SHA1 = 0x0008
_SHA256 = 0x001C
_FP = 0x8028
_FP_SIZE = 8


class MessageClass(IntEnum):
    """What a message is for; the values are the class bits in the type field (§5)."""

    REQUEST = 0x000
    INDICATION = 0x010
    SUCCESS = 0x100
    ERROR = 0x110


class Method(IntEnum):
    """What a message is about (IANA "STUN Methods")."""

    BINDING = 0x001
    ALLOCATE = 0x003
    REFRESH = 0x004
    SEND = 0x006
    DATA = 0x007
    CREATE_PERMISSION = 0x008
    CHANNEL_BIND = 0x009
    CONNECT = 0x00A
    CONNECTION_BIND = 0x00B
    CONNECTION_ATTEMPT = 0x00C


_INDICATION_ONLY = {Method.SEND, Method.DATA, Method.CONNECTION_ATTEMPT}
_BOTH = {Method.BINDING}


def _allowed_types() -> dict[int, tuple[Method, MessageClass]]:
    """Map each type field to its meaning, for the pairs that an RFC defines (§6.3)."""
    return {
        method | kind: (method, kind)
        for method in Method
        for kind in MessageClass
        if method in _BOTH or (method in _INDICATION_ONLY) == (kind is MessageClass.INDICATION)
    }


_TYPES = _allowed_types()


class _Received(NamedTuple):
    """What `verify` and `encode` need of the bytes a message came in.

    Attributes:
        data:     the whole message.
        body_end: offset behind the last attribute that counts.
        sha1:     offset of MESSAGE-INTEGRITY; 0: absent.
        sha256:   offset of MESSAGE-INTEGRITY-SHA256; 0: absent.
    """

    data: bytes
    body_end: int
    sha1: int
    sha256: int
    fingerprinted: bool


@dataclass(frozen=True, slots=True)
class Message:
    """A STUN message.

        |0 0|     STUN Message Type     |         Message Length        |
        |                         Magic Cookie                          |
        |                     Transaction ID (96 bits)                  |
        |                  Attributes, each padded to 4                ...

    Attributes:
        method:         what it is about.
        message_class:  request, indication, success or error response.
        transaction_id: 12 bytes that bind a response to its request.
        attributes:     in wire order, without MESSAGE-INTEGRITY, -SHA256 and FINGERPRINT: those
                        are proofs of the bytes, made by `encode` and checked by `verify`.
    """

    method: Method
    message_class: MessageClass
    transaction_id: bytes
    attributes: tuple[Attribute | Unrecognised, ...] = ()
    _received: _Received | None = field(default=None, init=False, repr=False, compare=False)

    @classmethod
    def request(cls, method: Method, transaction_id: bytes, *attributes: Attribute) -> Self:
        """Return a request, to be answered by a response with the same transaction ID."""
        return cls(method, MessageClass.REQUEST, transaction_id, attributes)

    @classmethod
    def indication(cls, method: Method, transaction_id: bytes, *attributes: Attribute) -> Self:
        """Return an indication, which nobody answers."""
        return cls(method, MessageClass.INDICATION, transaction_id, attributes)

    def success(self, *attributes: Attribute) -> Message:
        """Return the success response to this request."""
        return Message(self.method, MessageClass.SUCCESS, self.transaction_id, attributes)

    def error(self, code: int, reason: str, *attributes: Attribute) -> Message:
        """Return the error response to this request, ERROR-CODE first."""
        said = (ErrorCode(code, reason), *attributes)
        return Message(self.method, MessageClass.ERROR, self.transaction_id, said)

    def find(self, kind: type[A]) -> A | None:
        """Return the first attribute of `kind`: a duplicate is ignored (§14)."""
        for attribute in self.attributes:
            if attribute.__class__ is kind:
                return cast(A, attribute)
        return None

    def find_all(self, kind: type[A]) -> tuple[A, ...]:
        """Return every attribute of `kind`, where an RFC lets it repeat (XOR-PEER-ADDRESS)."""
        return tuple(cast(A, found) for found in self.attributes if found.__class__ is kind)

    @property
    def unknown_required(self) -> tuple[int, ...]:
        """Types of attributes that must be understood and are not (answer 420, §6.3.1)."""
        unknown = self.find_all(Unrecognised)
        return tuple(attribute.type for attribute in unknown if attribute.is_required)

    @property
    def integrity(self) -> Integrity | None:
        """The proofs that this received message bears; None: it bears none or was made here."""
        match self._received:
            case _Received(sha1=0, sha256=0) | None:
                return None
            case _Received(sha256=0):
                return Integrity.SHA1
            case _Received(sha1=0):
                return Integrity.SHA256
            case _:
                return Integrity.BOTH

    @property
    def has_fingerprint(self) -> bool:
        """True when this received message bore a FINGERPRINT, which `decode` has checked."""
        return self._received is not None and self._received.fingerprinted

    def verify(self, key: bytes) -> bool:
        """Tell, in constant time, whether the holder of `key` signed this received message.

        The stronger proof decides when there are two. False without any.
        """
        if self._received is None:
            return False
        data, _, sha1, sha256, _ = self._received
        at = sha256 or sha1
        if not at:
            return False
        size = _TLV.unpack_from(data, at)[1]
        # The length field as it was when the proof was the last attribute (§14.5).
        covered = data[:2] + (at + 4 + size - HEADER_SIZE).to_bytes(2, "big") + data[4:at]
        proof = sha256_proof(key, covered)[:size] if sha256 else sha1_proof(key, covered)
        return hmac.compare_digest(proof, data[at + 4 : at + 4 + size])

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the message that `data` is, all of it.

        Raises: MalformedMessage: it is no STUN message, an attribute is not what its RFC says, or
                the FINGERPRINT does not match.
        """
        kind = _decode_header(data)
        attributes, received = _decode_attributes(data)
        message = cls(*kind, data[8:HEADER_SIZE], attributes)
        object.__setattr__(message, "_received", received)
        return message

    def encode(
        self,
        *,
        key: bytes | None = None,
        integrity: Integrity = Integrity.SHA1,
        fingerprint: bool = False,
    ) -> bytes:
        """Return the bytes of the message.

        Args:
            key:         sign with it; None: unsigned.
            integrity:   how to sign.
            fingerprint: append FINGERPRINT.
        Raises: ValueError: an attribute's value does not fit on the wire.
        """
        kind = self.method | self.message_class
        body = self._encode_attributes()
        if key is not None:
            if integrity is not Integrity.SHA256:
                covered = self._header(kind, len(body) + 4 + SHA1_SIZE) + body
                body += _TLV.pack(_SHA1, SHA1_SIZE) + sha1_proof(key, covered)
            if integrity is not Integrity.SHA1:
                covered = self._header(kind, len(body) + 4 + SHA256_SIZE) + body
                body += _TLV.pack(_SHA256, SHA256_SIZE) + sha256_proof(key, covered)
        if not fingerprint:
            return self._header(kind, len(body)) + body
        covered = self._header(kind, len(body) + _FP_SIZE) + body
        return covered + _FINGERPRINT.pack(_FP, 4, crc(covered))

    def _header(self, kind: int, length: int) -> bytes:
        return _HEADER.pack(kind, length, MAGIC_COOKIE, self.transaction_id)

    def _encode_attributes(self) -> bytes:
        if self._received is not None:
            return self._received.data[HEADER_SIZE : self._received.body_end]
        parts: list[bytes] = []
        for attribute in self.attributes:
            if isinstance(attribute, Unrecognised):
                number, value = attribute.type, attribute.value
            else:
                number, value = attribute.TYPE, attribute.encode()
                if attribute.MASKED:
                    value = _masked(value, self.transaction_id)
            parts += (_TLV.pack(number, len(value)), value, bytes(-len(value) % 4))
        return b"".join(parts)


def _masked(value: bytes, transaction_id: bytes) -> bytes:
    """Put the mask on an address attribute's value, or take it off (§14.2)."""
    size = len(value)
    mask = (_ADDRESS_MASK + transaction_id)[:size]
    return (int.from_bytes(value, "big") ^ int.from_bytes(mask, "big")).to_bytes(size, "big")


def _decode_header(data: bytes) -> tuple[Method, MessageClass]:
    if len(data) < HEADER_SIZE:
        raise MalformedMessage("header", "RFC 8489 §5", f"{len(data)} bytes")
    kind, length, cookie, _ = _HEADER.unpack_from(data)
    if cookie != MAGIC_COOKIE:
        raise MalformedMessage("magic cookie", "RFC 8489 §5", f"{cookie:#010x}")
    if length != len(data) - HEADER_SIZE or length % 4:
        why = f"says {length}, {len(data) - HEADER_SIZE} bytes follow the header"
        raise MalformedMessage("message length", "RFC 8489 §5", why)
    if kind not in _TYPES:
        raise MalformedMessage("message type", "RFC 8489 §6.3", f"{kind:#06x}")
    return _TYPES[kind]


def _decode_attributes(
    data: bytes,
) -> tuple[tuple[Attribute | Unrecognised, ...], _Received]:
    attributes: list[Attribute | Unrecognised] = []
    transaction_id = data[8:HEADER_SIZE]
    at, size = HEADER_SIZE, len(data)
    body_end = sha1 = sha256 = 0
    fingerprinted = False
    while at < size:
        if fingerprinted:
            raise MalformedMessage("FINGERPRINT", "RFC 8489 §14.7", "is not the last attribute")
        number, length = _TLV.unpack_from(data, at)
        start, end = at + 4, at + 4 + length
        if end > size:
            raise MalformedMessage("attribute length", "RFC 8489 §14", f"{length}")
        if number == _FP:
            if data[start:end] != crc(data[:at]).to_bytes(4, "big"):
                raise MalformedMessage("FINGERPRINT", "RFC 8489 §14.7", "does not match")
            fingerprinted = True
            body_end = body_end or at
        elif number == _SHA256 and not sha256:
            check_proof_size(length, sha256=True)
            sha256 = at
            body_end = body_end or at
        elif number == _SHA1 and not (sha1 or sha256):
            check_proof_size(length, sha256=False)
            sha1 = at
            body_end = body_end or at
        elif not body_end:
            known = REGISTRY.get(number)
            value = data[start:end]
            attributes.append(
                known.decode(_masked(value, transaction_id) if known.MASKED else value)
                if known
                else Unrecognised(number, value)
            )
        at = end + -length % 4
    return tuple(attributes), _Received(data, body_end or size, sha1, sha256, fingerprinted)
