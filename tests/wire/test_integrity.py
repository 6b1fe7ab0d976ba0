"""Keys, and the HMAC against the standard library's."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natkit.wire import (
    Integrity,
    Message,
    Method,
    PasswordHash,
    Username,
    long_term_key,
    short_term_key,
    user_hash,
)


def test_short_term_key_is_the_password() -> None:
    assert short_term_key("pässword") == "pässword".encode()


def test_long_term_key_is_md5_unless_told_otherwise() -> None:
    # RFC 8489 §9.2.2: user, realm and pass give this key.
    assert long_term_key("user", "realm", "pass").hex() == "8493fbc53ba582fb4c044c456bdc40eb"
    assert (
        long_term_key("user", "realm", "pass", PasswordHash.SHA256)
        == hashlib.sha256(b"user:realm:pass").digest()
    )


def test_user_hash_covers_name_and_realm() -> None:
    assert user_hash("user", "realm") == hashlib.sha256(b"user:realm").digest()


@pytest.mark.parametrize(
    ("integrity", "digest", "size"),
    [(Integrity.SHA1, "sha1", 20), (Integrity.SHA256, "sha256", 32)],
)
@given(key=st.binary(max_size=200), name=st.text(max_size=40))
def test_hmac_is_that_of_the_standard_library(
    integrity: Integrity, digest: str, size: int, key: bytes, name: str
) -> None:
    signed = Message.request(Method.BINDING, bytes(12), Username(name)).encode(
        key=key, integrity=integrity
    )
    assert signed[-size:] == hmac.digest(key, signed[: -size - 4], digest)


@pytest.mark.parametrize("integrity", [Integrity.SHA1, Integrity.SHA256])
def test_proofs_are_compared_in_constant_time(
    integrity: Integrity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How many of its bytes are right must not be told by how long the answer takes."""
    signed = Message.request(Method.BINDING, bytes(12)).encode(key=b"key", integrity=integrity)
    compared = []

    def compare(ours: bytes, theirs: bytes) -> bool:
        compared.append(theirs)
        return ours == theirs

    monkeypatch.setattr(hmac, "compare_digest", compare)
    assert Message.decode(signed).verify(b"key")
    assert not Message.decode(signed).verify(b"guess")
    size = 20 if integrity is Integrity.SHA1 else 32
    assert compared == [signed[-size:]] * 2
