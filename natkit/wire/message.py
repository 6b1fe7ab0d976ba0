"""STUN messages: a header, attributes, and the proofs at the end (RFC 8489 §5, §6, §14).

Rules of this file:
1. `Message.decode` raises MalformedMessage or returns a message that nothing later can fault.
2. What follows MESSAGE-INTEGRITY or FINGERPRINT is not signed and not in `attributes`.
3. A received message is encoded again from the bytes it came in, foreign padding and all.
4. `decode` checks all of a message, but builds the attributes that cannot be wrong (those with a
   SIZE) only when somebody looks: most messages that come uninvited are dropped before.
5. `decode` and `encode` are the hot paths of ICE and TURN: `scripts/bench codec` holds them to half
   of aioice's time. That is why `decode` is one loop, and `Message` no dataclass.
"""

from __future__ import annotations

import struct
from struct import Struct
from typing import Any, Self, TypeAlias, TypeVar, cast

from natkit.wire.attributes import Attribute, ErrorCode, Unrecognised
from natkit.wire.attributes.base import READERS, SAFE_READERS, SafeReader
from natkit.wire.header import (
    HEADER,
    HEADER_SIZE,
    MAGIC_COOKIE,
    TRANSACTION_ID_SIZE,
    MessageClass,
    Method,
    decode_header,
)
from natkit.wire.integrity import (
    FINGERPRINT_ATTRIBUTE_SIZE,
    NO_PROOFS,
    PROOF_TYPES,
    SHA1_ATTRIBUTE_SIZE,
    SHA256_ATTRIBUTE_SIZE,
    Integrity,
    Proofs,
    attribute_too_long,
    fingerprint_attribute,
    holds,
    read_proofs,
    sha1_attribute,
    sha256_attribute,
)

A = TypeVar("A", bound=Attribute | Unrecognised)

_Found: TypeAlias = Attribute | Unrecognised | tuple[SafeReader, int]
"""An attribute, or what builds it once somebody asks: reader and offset of the value."""

_Received: TypeAlias = tuple[bytes, int, Proofs]
"""All bytes of a message, where its signed attributes end, and its proofs."""

_read_head = Struct("!I").unpack_from
_read_type = Struct("!H").unpack_from
_header = HEADER.pack
_new = object.__new__


class Message:
    """A STUN message, an immutable value.

        |          Type, Length, Magic Cookie, Transaction ID           |
        |         Type                  |            Length             |
        |                 Value, padded to 4 bytes                     ...
        |                    more attributes, then the proofs          ...

    Two messages are equal when method, class, transaction ID and attributes are.
    """

    # A frozen dataclass of four fields takes 0.6 µs to build, this 0.15 µs (CPython 3.11), out of
    # the 2.5 µs for a whole ICE check. Properties without setters make it as immutable.
    __slots__ = ("_attributes", "_by_kind", "_kind", "_received", "_transaction_id")
    __match_args__ = ("method", "message_class", "transaction_id", "attributes")

    _kind: tuple[Method, MessageClass]
    _transaction_id: bytes
    _attributes: tuple[Attribute | Unrecognised, ...] | list[_Found]
    _by_kind: dict[object, Any] | None
    _received: _Received | None

    def __init__(
        self,
        method: Method,
        message_class: MessageClass,
        transaction_id: bytes,
        attributes: tuple[Attribute | Unrecognised, ...] = (),
    ) -> None:
        self._kind = method, message_class
        self._transaction_id = transaction_id
        self._attributes = attributes
        self._by_kind = None
        self._received = None

    @property
    def method(self) -> Method:
        """What the message is about."""
        return self._kind[0]

    @property
    def message_class(self) -> MessageClass:
        """Whether it is a request, an indication, a success or an error response."""
        return self._kind[1]

    @property
    def transaction_id(self) -> bytes:
        """The 12 bytes that bind a response to its request."""
        return self._transaction_id

    @property
    def attributes(self) -> tuple[Attribute | Unrecognised, ...]:
        """The attributes in wire order, all but the proofs.

        MESSAGE-INTEGRITY, -SHA256 and FINGERPRINT prove the bytes, so they are not part of the
        value: `encode` makes them, `decode` and `verify` check them.
        """
        found = self._attributes
        if isinstance(found, tuple):
            return found
        data = self._received[0] if self._received else b""  # only what came is a list
        built = tuple([it[0](data, it[1]) if isinstance(it, tuple) else it for it in found])
        self._attributes = built
        return built

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message):
            return NotImplemented
        return self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        name = f"{self.method.name} {self.message_class.name}"
        return f"<Message {name} {self.transaction_id.hex()} {list(self.attributes)}>"

    @property
    def _value(self) -> tuple[object, ...]:
        return (*self._kind, self._transaction_id, self.attributes)

    @classmethod
    def request(
        cls, method: Method, transaction_id: bytes, *attributes: Attribute | Unrecognised
    ) -> Self:
        """Return a request, to be answered by a response with the same transaction ID."""
        return cls(method, MessageClass.REQUEST, transaction_id, attributes)

    @classmethod
    def indication(
        cls, method: Method, transaction_id: bytes, *attributes: Attribute | Unrecognised
    ) -> Self:
        """Return an indication, which nobody answers."""
        return cls(method, MessageClass.INDICATION, transaction_id, attributes)

    def success(self, *attributes: Attribute | Unrecognised) -> Message:
        """Return the success response to this request."""
        return Message(self.method, MessageClass.SUCCESS, self.transaction_id, attributes)

    def error(self, code: int, reason: str, *attributes: Attribute | Unrecognised) -> Message:
        """Return the error response to this request, ERROR-CODE first."""
        said = (ErrorCode(code, reason), *attributes)
        return Message(self.method, MessageClass.ERROR, self.transaction_id, said)

    def find(self, kind: type[A]) -> A | None:
        """Return the first attribute of `kind`: a duplicate is ignored (§14)."""
        # A TURN server asks a request for ten of them, most of which are not there.
        by_kind = self._by_kind
        if by_kind is None:
            by_kind = self._by_kind = {found.__class__: found for found in self.attributes[::-1]}
        return by_kind.get(kind)

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
        """The HMACs that this received message bears; None: it bears none or was made here."""
        if self._received is None:
            return None
        sha1, sha256, _ = self._received[2]
        if sha1 and sha256:
            return Integrity.BOTH
        if sha256:
            return Integrity.SHA256
        return Integrity.SHA1 if sha1 else None

    @property
    def has_fingerprint(self) -> bool:
        """True when this received message bore a FINGERPRINT, which `decode` has checked."""
        return self._received is not None and self._received[2][2] > 0

    def verify(self, key: bytes) -> bool:
        """Tell, in constant time, whether the holder of `key` signed this received message.

        Of two HMACs the stronger decides. False for a message without, or made here.
        """
        return self._received is not None and holds(self._received[0], self._received[2], key)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the message that `data` is, all of it.

        Raises: MalformedMessage: it is no STUN message, an attribute is not what its RFC says, or
                the FINGERPRINT does not match.
        """
        kind = decode_header(data)
        found: list[_Found] = []
        at, size = HEADER_SIZE, len(data)
        while at < size:
            (head,) = _read_head(data, at)
            if head in SAFE_READERS:
                found.append((SAFE_READERS[head], at + 4))
            elif (number := head >> 16) in PROOF_TYPES:
                break
            else:
                read, start = READERS.get(number, _unrecognised), at + 4
                found.append(read(data, start, start + (head & 0xFFFF)))
            # Past type, length, value and its padding.
            at += (head & 0xFFFF) + 7 & ~3
        if at > size:
            raise attribute_too_long(at, size)
        message = _new(cls)
        message._kind = kind
        message._transaction_id = data[8:HEADER_SIZE]
        message._attributes = found
        message._by_kind = None
        message._received = data, at, read_proofs(data, at) if at < size else NO_PROOFS
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
        Raises: ValueError: a value does not fit on the wire.
        """
        if len(self._transaction_id) != TRANSACTION_ID_SIZE:
            raise ValueError(f"transaction ID: {self._transaction_id!r} is not 12 bytes")
        number = self._kind[0] | self._kind[1]
        own_id = self._transaction_id
        try:
            body = self._encode_attributes()
            # Each proof covers a header that counts it in already (§14.5 to §14.7).
            if key is not None and integrity is not Integrity.SHA256:
                length = len(body) + SHA1_ATTRIBUTE_SIZE
                body += sha1_attribute(key, _header(number, length, MAGIC_COOKIE, own_id) + body)
            if key is not None and integrity is not Integrity.SHA1:
                length = len(body) + SHA256_ATTRIBUTE_SIZE
                body += sha256_attribute(key, _header(number, length, MAGIC_COOKIE, own_id) + body)
            if not fingerprint:
                return _header(number, len(body), MAGIC_COOKIE, own_id) + body
            length = len(body) + FINGERPRINT_ATTRIBUTE_SIZE
            covered = _header(number, length, MAGIC_COOKIE, own_id) + body
            return covered + fingerprint_attribute(covered)
        except struct.error as cause:
            raise ValueError(f"{self}: {cause}") from None

    def _encode_attributes(self) -> bytes:
        if self._received is not None:
            data, end, _ = self._received
            return data[HEADER_SIZE:end]
        own_id = self._transaction_id
        return b"".join([attribute.packed(own_id) for attribute in self.attributes])


def _unrecognised(message: bytes, start: int, end: int) -> Unrecognised:
    """Read an attribute that has no reader."""
    (number,) = _read_type(message, start - 4)
    return Unrecognised(number, message[start:end])
