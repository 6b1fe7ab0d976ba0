"""Messages that others published, byte for byte in both directions."""

from __future__ import annotations

import pytest

from natkit.errors import MalformedMessage
from natkit.wire import Message, Method, UserHash, user_hash
from tests.vectors.stun import B1_AS_PRINTED, MATRIX, SHA256_REQUEST, VECTORS, Vector

every_vector = pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)


@every_vector
def test_published_message_decodes_to_its_attributes(vector: Vector) -> None:
    message = Message.decode(vector.data)
    assert message.method is Method.BINDING
    assert message.message_class is vector.message_class
    assert message.transaction_id == vector.data[8:20]
    assert message.attributes == vector.attributes
    assert message.integrity is vector.integrity
    assert message.has_fingerprint is vector.fingerprint


@every_vector
def test_published_message_verifies_with_its_key_only(vector: Vector) -> None:
    message = Message.decode(vector.data)
    assert message.verify(vector.key)
    assert not message.verify(vector.key[:-1])
    assert not message.verify(b"")


@every_vector
def test_received_published_message_signs_to_the_same_bytes(vector: Vector) -> None:
    again = Message.decode(vector.data).encode(
        key=vector.key, integrity=vector.integrity, fingerprint=vector.fingerprint
    )
    assert again == vector.data


@every_vector
def test_message_built_from_attributes_differs_in_padding_and_proofs_at_most(
    vector: Vector,
) -> None:
    built = Message(
        Method.BINDING, vector.message_class, vector.data[8:20], vector.attributes
    ).encode(key=vector.key, integrity=vector.integrity, fingerprint=vector.fingerprint)
    assert len(built) == len(vector.data)
    assert Message.decode(built).verify(vector.key)
    if vector.padding == b"\0":
        assert built == vector.data
    else:
        # RFC 8489 pads with zeros; spaces become zeros, and so the proofs behind them change.
        proofs = {0x20, 0x00}
        signed = built.index(b"\x00\x08\x00\x14")
        differing = {
            octet
            for ours, theirs in zip(built[:signed], vector.data[:signed], strict=True)
            if ours != theirs
            for octet in (ours, theirs)
        }
        assert differing == proofs


def test_userhash_of_rfc8489_b1_is_computed() -> None:
    assert SHA256_REQUEST.attributes[0] == UserHash(user_hash(MATRIX, "example.org"))


def test_rfc8489_b1_as_printed_is_refused_for_its_length() -> None:
    with pytest.raises(MalformedMessage, match="message length"):
        Message.decode(B1_AS_PRINTED)
