"""Keys and proofs: who may have sent a message, and whether it is a STUN message at all.

Texts come in already prepared (OpaqueString, RFC 8265): preparing is the business of whoever
takes them from a person.
"""

from __future__ import annotations

import hashlib
import hmac
import zlib
from enum import Enum, IntEnum

from natkit.errors import MalformedMessage

SHA1_SIZE = 20
SHA256_SIZE = 32
SHA256_MIN_SIZE = 16
"""A usage of STUN may truncate the HMAC this far, in steps of 4 bytes (RFC 8489 §14.6)."""

_FINGERPRINT_MASK = 0x5354554E
"""ASCII "STUN", so that a CRC-32 of the application's own does not match (RFC 8489 §14.7)."""


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


def sha1_proof(key: bytes, covered: bytes) -> bytes:
    """Return the 20 bytes of MESSAGE-INTEGRITY over `covered` (§14.5)."""
    return hmac.digest(key, covered, "sha1")


def sha256_proof(key: bytes, covered: bytes) -> bytes:
    """Return the 32 bytes of MESSAGE-INTEGRITY-SHA256 over `covered` (§14.6)."""
    return hmac.digest(key, covered, "sha256")


def crc(covered: bytes) -> int:
    """Return the value of FINGERPRINT over `covered` (§14.7)."""
    return zlib.crc32(covered) ^ _FINGERPRINT_MASK


def check_proof_size(size: int, *, sha256: bool) -> None:
    """Raises: MalformedMessage: no HMAC of that kind is `size` bytes long."""
    if sha256:
        if not (SHA256_MIN_SIZE <= size <= SHA256_SIZE and size % 4 == 0):
            raise MalformedMessage("MESSAGE-INTEGRITY-SHA256", "RFC 8489 §14.6", f"{size} bytes")
    elif size != SHA1_SIZE:
        raise MalformedMessage("MESSAGE-INTEGRITY", "RFC 8489 §14.5", f"{size} bytes")
