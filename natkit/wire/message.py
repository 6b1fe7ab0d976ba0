"""STUN messages: a header, attributes, and the proofs at the end (RFC 8489 §5, §6, §14).

Rules of this file:
1. `Message.decode` raises MalformedMessage or returns a message that nothing later can fault.
2. What follows MESSAGE-INTEGRITY or FINGERPRINT is not signed and not in `attributes`.
3. A received message is encoded again from the bytes it came in, foreign padding and all.
4. Most messages are looked at once and dropped (wrong key, wrong state). So `decode` checks
   everything, but leaves building the attributes that cannot be wrong to the first who asks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import Struct, error
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar, cast

from natkit.errors import MalformedMessage
from natkit.wire.attributes import REGISTRY, Attribute, ErrorCode, Unrecognised
from natkit.wire.attributes.base import SAFE_HEADS
from natkit.wire.header import (
    HEADER_SIZE,
    MAGIC_COOKIE,
    MessageClass,
    Method,
    decode_header,
    encode_header,
)
from natkit.wire.integrity import (
    FINGERPRINT_ATTRIBUTE_SIZE,
    NO_PROOFS,
    PROOF_TYPES,
    SHA1_ATTRIBUTE_SIZE,
    SHA256_ATTRIBUTE_SIZE,
    Integrity,
    Proofs,
    fingerprint_attribute,
    holds,
    read_proofs,
    sha1_attribute,
    sha256_attribute,
)

A = TypeVar("A", bound=Attribute | Unrecognised)

_Found: TypeAlias = Attribute | Unrecognised | tuple[int, int]
"""An attribute, or the first word and the offset of one that is still to be built."""

_Received: TypeAlias = tuple[bytes, int, Proofs, list[_Found]]
"""All bytes of a message, where its signed attributes end, its proofs, what was found."""

_HEAD = Struct("!I")
_TLV = Struct("!HH")
_ADDRESS_MASK = (MAGIC_COOKIE >> 16).to_bytes(4, "big") + MAGIC_COOKIE.to_bytes(4, "big")
"""For family, port and 32 bits of address; the transaction ID covers the rest of IPv6 (§14.2)."""

_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")
"""By size modulo 4. Sent as zeros, never looked at (§14)."""


@dataclass(frozen=True, slots=True)
class Message:
    """A STUN message.

        |          Type, Length, Magic Cookie, Transaction ID           |
        |         Type                  |            Length             |
        |                 Value, padded to 4 bytes                     ...
        |                    more attributes, then the proofs          ...

    Attributes:
        method:         what it is about.
        message_class:  request, indication, success or error response.
        transaction_id: 12 bytes that bind a response to its request.
        attributes:     in wire order, without MESSAGE-INTEGRITY, -SHA256 and FINGERPRINT: those
                        are proofs of the bytes, made by `encode`, checked by `decode` and `verify`.
    """

    method: Method
    message_class: MessageClass
    transaction_id: bytes
    attributes: tuple[Attribute | Unrecognised, ...] = ()
    _received: _Received | None = field(default=None, init=False, repr=False, compare=False)

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
        """The HMACs that this received message bears; None: it bears none or was made here."""
        sha1, sha256, _ = self._proofs
        if sha1 and sha256:
            return Integrity.BOTH
        if sha256:
            return Integrity.SHA256
        return Integrity.SHA1 if sha1 else None

    @property
    def has_fingerprint(self) -> bool:
        """True when this received message bore a FINGERPRINT, which `decode` has checked."""
        return self._proofs[2] > 0

    @property
    def _proofs(self) -> Proofs:
        return NO_PROOFS if self._received is None else self._received[2]

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
        method, message_class = decode_header(data)
        found, end = _scan(data)
        proofs = NO_PROOFS if end == len(data) else read_proofs(data, end)
        message = object.__new__(cls)
        _set_method(message, method)
        _set_class(message, message_class)
        _set_transaction_id(message, data[8:HEADER_SIZE])
        _set_received(message, (data, end, proofs, found))
        return message

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> tuple[Attribute | Unrecognised, ...]:
            # Runs only while the slot is empty: once, after `decode` (rule 4).
            if name != "attributes":
                raise AttributeError(name)
            data, _, _, found = self._received
            built = tuple(_build(data, *it) if type(it) is tuple else it for it in found)
            _set_attributes(self, built)
            return built

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
        body = self._encode_attributes()
        if key is not None:
            if integrity is not Integrity.SHA256:
                body += sha1_attribute(key, self._header(len(body) + SHA1_ATTRIBUTE_SIZE) + body)
            if integrity is not Integrity.SHA1:
                covered = self._header(len(body) + SHA256_ATTRIBUTE_SIZE) + body
                body += sha256_attribute(key, covered)
        if not fingerprint:
            return self._header(len(body)) + body
        covered = self._header(len(body) + FINGERPRINT_ATTRIBUTE_SIZE) + body
        return covered + fingerprint_attribute(covered)

    def _header(self, length: int) -> bytes:
        return encode_header(self.method | self.message_class, length, self.transaction_id)

    def _encode_attributes(self) -> bytes:
        if self._received is not None:
            data, end, _, _ = self._received
            return data[HEADER_SIZE:end]
        body = b""
        for attribute in self.attributes:
            try:
                value = attribute.encode()
                if attribute.MASKED:
                    value = _masked(value, self.transaction_id)
                size = len(value)
                body += _TLV.pack(attribute.TYPE, size) + value + _PADDING[size & 3]
            except error as cause:
                raise ValueError(f"{attribute}: {cause}") from None
        return body


# A frozen dataclass sets its fields through object.__setattr__, one look-up by name each. Its slots
# do the same in half the time, and can leave one empty.
_set_method, _set_class, _set_transaction_id, _set_attributes, _set_received = (
    cast(Any, getattr(Message, name)).__set__ for name in Message.__slots__
)


def _scan(data: bytes) -> tuple[list[_Found], int]:
    """Walk the attributes up to the first proof.

    Returns: what was found, and the offset where the proofs begin or the message ends.
    Raises:  MalformedMessage: an attribute is malformed, or longer than the message.
    """
    found: list[_Found] = []
    at, size = HEADER_SIZE, len(data)
    while at < size:
        (head,) = _HEAD.unpack_from(data, at)
        if head in SAFE_HEADS:
            found.append((head, at))
        elif head >> 16 in PROOF_TYPES:
            return found, at
        else:
            found.append(_build(data, head, at))
        # Past the type, the length, the value and its padding.
        at += (head & 0xFFFF) + 7 & ~3
    if at != size:
        raise MalformedMessage("attribute length", "RFC 8489 §14", f"{at - size} bytes short")
    return found, at


def _build(data: bytes, head: int, at: int) -> Attribute | Unrecognised:
    """Return the attribute at offset `at`, whose first word is `head`.

    Raises: MalformedMessage: it is not what its RFC says, which cannot be if it is in SAFE_HEADS.
    """
    number = head >> 16
    value = data[at + 4 : at + 4 + (head & 0xFFFF)]
    kind = REGISTRY.get(number)
    if kind is None:
        return Unrecognised(number, value)
    return kind.decode(_masked(value, data[8:HEADER_SIZE]) if kind.MASKED else value)


def _masked(value: bytes, transaction_id: bytes) -> bytes:
    """Put the mask on an address attribute's value, or take it off (§14.2)."""
    size = len(value)
    mask = (_ADDRESS_MASK + transaction_id)[:size]
    return (int.from_bytes(value, "big") ^ int.from_bytes(mask, "big")).to_bytes(size, "big")
