"""Messages: what is kept, what is ignored, what is refused."""

from __future__ import annotations

import hmac
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natkit.errors import MalformedMessage
from natkit.wire import (
    ErrorCode,
    Integrity,
    Lifetime,
    Message,
    MessageClass,
    Method,
    Nonce,
    Priority,
    Software,
    TransportAddress,
    Unrecognised,
    UseCandidate,
    Username,
    XorMappedAddress,
    XorPeerAddress,
)
from tests.wire.strategies import attributes, transaction_ids, unrecognised

TRANSACTION_ID = bytes(range(12))
KEY = b"VOkJxbRl1RmTxUk/WvJxBt"
CHECK = Message.request(
    Method.BINDING, TRANSACTION_ID, Username("theirs:ours"), Priority(1), UseCandidate()
)


def tlv(number: int, value: bytes) -> bytes:
    return struct.pack("!HH", number, len(value)) + value + bytes(-len(value) % 4)


def message_of(*parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack("!HHI", 1, len(body), 0x2112A442) + TRANSACTION_ID + body


def extended(encoded: bytes, *parts: bytes) -> bytes:
    """Append attributes to an encoded message, as somebody on the way could."""
    body = encoded[20:] + b"".join(parts)
    return encoded[:2] + struct.pack("!H", len(body)) + encoded[4:20] + body


@given(
    transaction_id=transaction_ids,
    held=st.lists(st.one_of(attributes, unrecognised), max_size=6).map(tuple),
    key=st.none() | st.binary(max_size=80),
    integrity=st.sampled_from(Integrity),
    fingerprint=st.booleans(),
)
def test_message_survives_the_wire(
    transaction_id: bytes,
    held: tuple[Software, ...],
    key: bytes | None,
    integrity: Integrity,
    fingerprint: bool,
) -> None:
    message = Message.request(Method.ALLOCATE, transaction_id, *held)
    encoded = message.encode(key=key, integrity=integrity, fingerprint=fingerprint)
    decoded = Message.decode(encoded)
    assert decoded == message
    assert hash(decoded) == hash(message)
    assert decoded.has_fingerprint is fingerprint
    assert decoded.integrity is (None if key is None else integrity)
    assert decoded.verify(key or b"") is (key is not None)
    assert decoded.encode(key=key, integrity=integrity, fingerprint=fingerprint) == encoded


def test_message_type_bits_are_the_rfcs() -> None:
    request = Message.request(Method.CREATE_PERMISSION, TRANSACTION_ID)
    assert request.encode()[:2] == b"\x00\x08"
    assert request.success().encode()[:2] == b"\x01\x08"
    assert request.error(403, "Forbidden").encode()[:2] == b"\x01\x18"
    assert Message.indication(Method.SEND, TRANSACTION_ID).encode()[:2] == b"\x00\x16"


def test_responses_take_method_and_transaction_from_their_request() -> None:
    request = Message.request(Method.REFRESH, TRANSACTION_ID, Lifetime(0))
    assert request.success(Lifetime(0)) == Message(
        Method.REFRESH, MessageClass.SUCCESS, TRANSACTION_ID, (Lifetime(0),)
    )
    assert request.error(438, "Stale Nonce", Nonce("new")) == Message(
        Method.REFRESH,
        MessageClass.ERROR,
        TRANSACTION_ID,
        (ErrorCode(438, "Stale Nonce"), Nonce("new")),
    )


def test_first_of_duplicate_attributes_is_found() -> None:
    first, second = (XorPeerAddress(TransportAddress(f"192.0.2.{n}", n)) for n in (1, 2))
    message = Message.decode(
        Message.indication(Method.SEND, TRANSACTION_ID, first, second).encode()
    )
    assert message.find(XorPeerAddress) == first
    assert message.find_all(XorPeerAddress) == (first, second)
    assert message.find(XorMappedAddress) is None


def test_unknown_required_attributes_are_kept_and_reported() -> None:
    message = Message.decode(message_of(tlv(0x7FFF, b"a"), tlv(0xC001, b"b"), tlv(0x0002, b"")))
    assert message.unknown_required == (0x7FFF, 0x0002)
    assert message.find_all(Unrecognised) == (
        Unrecognised(0x7FFF, b"a"),
        Unrecognised(0xC001, b"b"),
        Unrecognised(0x0002, b""),
    )


@pytest.mark.parametrize("integrity", Integrity)
def test_attributes_after_integrity_are_ignored(integrity: Integrity) -> None:
    signed = CHECK.encode(key=KEY, integrity=integrity)
    received = Message.decode(extended(signed, tlv(0x000D, bytes(4)), tlv(0x7FFF, b"evil")))
    assert received == CHECK
    assert received.verify(KEY)
    assert received.unknown_required == ()
    assert received.encode(key=KEY, integrity=integrity) == signed


def test_sha1_behind_sha256_does_not_count() -> None:
    signed = CHECK.encode(key=KEY, integrity=Integrity.SHA256)
    received = Message.decode(extended(signed, tlv(0x0008, bytes(20))))
    assert received.integrity is Integrity.SHA256
    assert received.verify(KEY)


def test_sha256_behind_sha1_counts_and_what_stands_between_does_not() -> None:
    both = CHECK.encode(key=KEY, integrity=Integrity.BOTH)
    assert Message.decode(both).integrity is Integrity.BOTH
    between = extended(CHECK.encode(key=KEY), tlv(0x8022, b"unsigned"), tlv(0x001C, bytes(32)))
    received = Message.decode(between)
    assert received.integrity is Integrity.BOTH
    assert received == CHECK


def test_stronger_of_two_proofs_decides() -> None:
    both = bytearray(CHECK.encode(key=KEY, integrity=Integrity.BOTH))
    both[-1] ^= 1
    assert not Message.decode(bytes(both)).verify(KEY)


@pytest.mark.parametrize("size", [16, 20, 24, 28])
def test_truncated_sha256_verifies(size: int) -> None:
    body_size = len(CHECK.encode()) - 20
    covered = CHECK.encode()[:2] + struct.pack("!H", body_size + 4 + size) + CHECK.encode()[4:]
    proof = hmac.digest(KEY, covered, "sha256")[:size]
    received = Message.decode(covered + tlv(0x001C, proof))
    assert received.verify(KEY)
    assert not received.verify(b"other")


@pytest.mark.parametrize("size", [0, 4, 12, 15, 17, 36])
def test_sha256_of_a_size_that_no_usage_may_choose_is_malformed(size: int) -> None:
    with pytest.raises(MalformedMessage, match="MESSAGE-INTEGRITY-SHA256"):
        Message.decode(message_of(tlv(0x001C, bytes(size))))


def test_message_made_here_or_without_proof_does_not_verify() -> None:
    assert not CHECK.verify(KEY)
    assert CHECK.integrity is None
    unsigned = Message.decode(CHECK.encode())
    assert not unsigned.verify(KEY)
    assert not unsigned.verify(b"")
    assert unsigned.integrity is None


@pytest.mark.parametrize("flipped", range(0, 96, 5))
def test_signed_message_does_not_verify_after_any_change(flipped: int) -> None:
    changed = bytearray(CHECK.encode(key=KEY))
    position = flipped % len(changed)
    changed[position] ^= 0x40
    try:
        assert not Message.decode(bytes(changed)).verify(KEY)
    except MalformedMessage:
        assert position < 60


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (b"", "header"),
        (bytes(19), "header"),
        (message_of()[:4] + bytes(16), "magic cookie"),
        (message_of() + b"\0", "message length"),
        (message_of(tlv(0x8022, b"natk"))[:-4], "message length"),
        (b"\x80\x01" + message_of()[2:], "message type"),
        (b"\x40\x01" + message_of()[2:], "message type"),
        (b"\x00\x02" + message_of()[2:], "message type"),
        (b"\x00\x06" + message_of()[2:], "message type"),
        (b"\x00\x13" + message_of()[2:], "message type"),
        (message_of(struct.pack("!HH", 0x8022, 1)), "attribute length"),
        (message_of(struct.pack("!HH", 0x0024, 4)), "attribute length"),
        (message_of(struct.pack("!HH", 0x0008, 20)), "attribute length"),
        (message_of(struct.pack("!HH", 0x001C, 32), bytes(28)), "attribute length"),
        (message_of(struct.pack("!HH", 0x8028, 4)), "FINGERPRINT"),
        (message_of(tlv(0x8028, bytes(4))), "FINGERPRINT"),
        (message_of(tlv(0x8028, bytes(8))), "FINGERPRINT"),
        (message_of(tlv(0x0008, bytes(16))), "MESSAGE-INTEGRITY"),
        (message_of(tlv(0x0024, bytes(5))), "PRIORITY"),
        (message_of(tlv(0x0006, b"\xff")), "USERNAME"),
    ],
)
def test_what_is_no_message_is_refused_with_field_and_clause(data: bytes, where: str) -> None:
    with pytest.raises(MalformedMessage) as caught:
        Message.decode(data)
    assert caught.value.where == where
    assert caught.value.rfc.startswith("RFC 8")


def test_message_length_that_is_no_multiple_of_four_is_refused() -> None:
    odd = message_of(b"\0\0\0\0\0")
    with pytest.raises(MalformedMessage, match="message length"):
        Message.decode(odd)


def test_fingerprint_that_is_not_last_is_refused() -> None:
    signed = CHECK.encode(fingerprint=True)
    with pytest.raises(MalformedMessage, match="not the last"):
        Message.decode(extended(signed, tlv(0x8022, b"after")))


def test_changed_fingerprinted_message_is_refused() -> None:
    changed = bytearray(CHECK.encode(key=KEY, fingerprint=True))
    changed[25] ^= 1
    with pytest.raises(MalformedMessage, match="FINGERPRINT"):
        Message.decode(bytes(changed))


@pytest.mark.parametrize("padding", [b"\0\0\0", b"\xff\xff\xff", b"   "])
def test_padding_is_ignored(padding: bytes) -> None:
    received = Message.decode(message_of(struct.pack("!HH", 0x8022, 1), b"x", padding))
    assert received.attributes == (Software("x"),)


@pytest.mark.parametrize("size", [0, 11, 13, 16])
def test_transaction_id_of_another_size_is_not_sent(size: int) -> None:
    with pytest.raises(ValueError, match="transaction ID"):
        Message.request(Method.BINDING, bytes(size)).encode()


def test_message_too_long_for_its_length_field_is_not_sent() -> None:
    many = [Unrecognised(0xC000, bytes(40_000))] * 2
    with pytest.raises(ValueError, match=r".+"):
        Message.request(Method.BINDING, TRANSACTION_ID, *many).encode()


def test_message_is_immutable() -> None:
    with pytest.raises(AttributeError):
        CHECK.method = Method.ALLOCATE  # type: ignore[misc]
    with pytest.raises(AttributeError):
        CHECK.attributes = ()  # type: ignore[misc]


def test_message_differs_from_others_and_from_other_things() -> None:
    assert Message.request(Method.BINDING, TRANSACTION_ID) != CHECK
    assert CHECK != "a message"


def test_message_shows_what_it_says() -> None:
    shown = repr(CHECK)
    assert "BINDING REQUEST" in shown
    assert TRANSACTION_ID.hex() in shown
    assert "theirs:ours" in shown


def test_message_matches_as_a_pattern() -> None:
    match CHECK:
        case Message(Method.BINDING, MessageClass.REQUEST, _, (Username(text), *_)):
            assert text == "theirs:ours"
        case _:
            pytest.fail("the pattern does not match")
