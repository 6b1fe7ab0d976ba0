"""Keys and proofs: who may have sent a message, and whether it is a STUN message at all.

Proofs are the attributes MESSAGE-INTEGRITY, MESSAGE-INTEGRITY-SHA256 and FINGERPRINT, in this order
at the end of a message. Each covers all bytes before it, under a header whose length field counts
up to and including the proof itself (RFC 8489 §14.5 to §14.7).

Texts come in already prepared (OpaqueString, RFC 8265): preparing them is the business of whoever
takes them from a person.
"""

from __future__ import annotations

import hashlib
import hmac
import zlib
from collections.abc import Callable
from enum import Enum, IntEnum
from functools import lru_cache
from struct import Struct
from typing import TYPE_CHECKING, TypeAlias

from natkit.errors import MalformedMessage
from natkit.wire.header import HEADER_SIZE

if TYPE_CHECKING:
    from hashlib import _Hash as Hash

_SHA1 = 0x0008
_SHA256 = 0x001C
_FINGERPRINT = 0x8028

PROOF_TYPES = frozenset({_SHA1, _SHA256, _FINGERPRINT})
"""Type numbers of the attributes that end what is signed."""

_SHA1_SIZE = 20
_SHA256_SIZE = 32
SHA1_ATTRIBUTE_SIZE = 4 + _SHA1_SIZE
SHA256_ATTRIBUTE_SIZE = 4 + _SHA256_SIZE
FINGERPRINT_ATTRIBUTE_SIZE = 8
_SHA256_SIZES = frozenset(range(16, 33, 4))
"""A usage of STUN may truncate the HMAC to no less than 16 bytes, in steps of 4 (§14.6)."""

_FINGERPRINT_MASK = 0x5354554E
"""ASCII "STUN", so that a CRC-32 of the application's own does not match (§14.7)."""

_TYPE_AND_LENGTH = Struct("!I")
_CRC = Struct("!I")
_FINGERPRINT_ATTRIBUTE = Struct("!II")
_USUAL_TAIL = Struct("!I20xII")
"""MESSAGE-INTEGRITY and FINGERPRINT: how every ICE check ends."""

_SHA1_HEAD = _SHA1 << 16 | _SHA1_SIZE
_SHA256_HEAD = _SHA256 << 16 | _SHA256_SIZE
_SHA1_ATTRIBUTE = _TYPE_AND_LENGTH.pack(_SHA1_HEAD)
_SHA256_ATTRIBUTE = _TYPE_AND_LENGTH.pack(_SHA256_HEAD)
_FINGERPRINT_HEAD = _FINGERPRINT << 16 | _CRC.size


_HMAC_BLOCK = 64
"""Block size of both SHA-1 and SHA-256."""

_INNER_PAD = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD = bytes(byte ^ 0x5C for byte in range(256))


class Integrity(Enum):
    """Which HMACs a message bears.

    BOTH is for a first request to a server of unknown age (RFC 8489 §9.1.2).
    """

    SHA1 = "MESSAGE-INTEGRITY"
    SHA256 = "MESSAGE-INTEGRITY-SHA256"
    BOTH = "MESSAGE-INTEGRITY and MESSAGE-INTEGRITY-SHA256"


class PasswordHash(IntEnum):
    """How a long-term password becomes a key: the numbers of PASSWORD-ALGORITHM (§18.5)."""

    MD5 = 1
    SHA256 = 2


def short_term_key(password: str) -> bytes:
    """Return the HMAC key of a short-term credential such as an ICE password (§9.1.1)."""
    return password.encode()


def long_term_key(
    username: str, realm: str, password: str, algorithm: PasswordHash = PasswordHash.MD5
) -> bytes:
    """Return the HMAC key of a long-term credential: 16 bytes by MD5, 32 by SHA-256 (§18.5.1)."""
    secret = f"{username}:{realm}:{password}".encode()
    if algorithm is PasswordHash.SHA256:
        return hashlib.sha256(secret).digest()
    return hashlib.md5(secret, usedforsecurity=False).digest()


def user_hash(username: str, realm: str) -> bytes:
    """Return the 32 bytes of USERHASH (§14.4)."""
    return hashlib.sha256(f"{username}:{realm}".encode()).digest()


Proofs: TypeAlias = tuple[int, int, int]
"""Offsets of MESSAGE-INTEGRITY, MESSAGE-INTEGRITY-SHA256 and FINGERPRINT; 0: absent."""

NO_PROOFS: Proofs = (0, 0, 0)


def read_proofs(data: bytes, at: int) -> Proofs:
    """Find the proofs in the part of a message that begins with the first of them.

    What else stands there is not signed and passed over; after MESSAGE-INTEGRITY-SHA256 that
    includes MESSAGE-INTEGRITY. The FINGERPRINT is checked, the others need a key.

    Raises: MalformedMessage: a proof of the wrong size, a FINGERPRINT that does not match or is
            not last, an attribute longer than the message.
    """
    size = len(data)
    if size - at == _USUAL_TAIL.size:
        sha1_head, fingerprint_head, crc = _USUAL_TAIL.unpack_from(data, at)
        if sha1_head == _SHA1_HEAD and fingerprint_head == _FINGERPRINT_HEAD:
            fingerprint = at + SHA1_ATTRIBUTE_SIZE
            if crc == zlib.crc32(data[:fingerprint]) ^ _FINGERPRINT_MASK:
                return at, 0, fingerprint
    sha1 = sha256 = 0
    while at < size:
        (head,) = _TYPE_AND_LENGTH.unpack_from(data, at)
        if head == _FINGERPRINT_HEAD:
            _check_fingerprint(data, at)
            return sha1, sha256, at
        if not (sha1 or sha256) and head == _SHA1_HEAD:
            sha1 = at
        elif not sha256 and head >> 16 == _SHA256 and head & 0xFFFF in _SHA256_SIZES:
            sha256 = at
        else:
            _check_not_a_proof(head, sha1, sha256)
        at += (head & 0xFFFF) + 7 & ~3
    if at > size:
        raise attribute_too_long(at, size)
    return sha1, sha256, 0


def attribute_too_long(end: int, size: int) -> MalformedMessage:
    """Return the error for an attribute that claims to end behind the message."""
    return MalformedMessage("attribute length", "RFC 8489 §14", f"ends {end - size} bytes too late")


def _check_fingerprint(data: bytes, at: int) -> None:
    """Raises: MalformedMessage: the FINGERPRINT at `at` is not last, or does not match."""
    if at + FINGERPRINT_ATTRIBUTE_SIZE != len(data):
        raise MalformedMessage("FINGERPRINT", "RFC 8489 §14.7", "is not the last attribute")
    if _CRC.unpack_from(data, at + 4)[0] != zlib.crc32(data[:at]) ^ _FINGERPRINT_MASK:
        raise MalformedMessage("FINGERPRINT", "RFC 8489 §14.7", "does not match")


def _check_not_a_proof(head: int, sha1: int, sha256: int) -> None:
    """Raises: MalformedMessage: `head` begins a proof that counts but has the wrong size."""
    number, size = head >> 16, head & 0xFFFF
    if number == _FINGERPRINT:
        raise MalformedMessage("FINGERPRINT", "RFC 8489 §14.7", f"{size} bytes, not 4")
    if number == _SHA256 and not sha256:
        why = f"{size} bytes, not 16, 20, 24, 28 or 32"
        raise MalformedMessage("MESSAGE-INTEGRITY-SHA256", "RFC 8489 §14.6", why)
    if number == _SHA1 and not (sha1 or sha256):
        raise MalformedMessage("MESSAGE-INTEGRITY", "RFC 8489 §14.5", f"{size} bytes, not 20")


def holds(data: bytes, proofs: Proofs, key: bytes) -> bool:
    """Tell, in constant time, whether the holder of `key` made the HMAC in `data`.

    Of two, MESSAGE-INTEGRITY-SHA256 decides (§9.1.3, §9.2.4). False without any.
    """
    sha1, sha256, _ = proofs
    at = sha256 or sha1
    if not at:
        return False
    start = at + 4
    end = start + (_TYPE_AND_LENGTH.unpack_from(data, at)[0] & 0xFFFF)
    covered = data[:2] + (end - HEADER_SIZE).to_bytes(2, "big") + data[4:at]
    proof = _hmac(hashlib.sha256 if sha256 else hashlib.sha1, key, covered)
    return hmac.compare_digest(proof[: end - start], data[start:end])


def sha1_attribute(key: bytes, covered: bytes) -> bytes:
    """Return MESSAGE-INTEGRITY, whole, for the message `covered`."""
    return _SHA1_ATTRIBUTE + _hmac(hashlib.sha1, key, covered)


def sha256_attribute(key: bytes, covered: bytes) -> bytes:
    """Return MESSAGE-INTEGRITY-SHA256, whole, for the message `covered`."""
    return _SHA256_ATTRIBUTE + _hmac(hashlib.sha256, key, covered)


def _hmac(digest: Callable[[bytes], Hash], key: bytes, message: bytes) -> bytes:
    """Return HMAC(key, message) as RFC 2104 §2 spells it.

    For messages of a hundred bytes hmac.digest takes twice as long, since OpenSSL sets up a
    context; a test compares the two.
    """
    inner, outer = _padded(digest, key)
    return digest(outer + digest(inner + message).digest()).digest()


@lru_cache(maxsize=256)
def _padded(digest: Callable[[bytes], Hash], key: bytes) -> tuple[bytes, bytes]:
    """Return what the two hashes of an HMAC begin with: a key signs many messages in a row."""
    if len(key) > _HMAC_BLOCK:
        key = digest(key).digest()
    key = key.ljust(_HMAC_BLOCK, b"\0")
    return key.translate(_INNER_PAD), key.translate(_OUTER_PAD)


def fingerprint_attribute(covered: bytes) -> bytes:
    """Return FINGERPRINT, whole, for the message `covered`."""
    return _FINGERPRINT_ATTRIBUTE.pack(_FINGERPRINT_HEAD, zlib.crc32(covered) ^ _FINGERPRINT_MASK)
