"""Published STUN messages: RFC 5769 §2.1 to §2.4, RFC 8489 B.1 as corrected by erratum 6268."""

from __future__ import annotations

from dataclasses import dataclass

from natkit.wire import (
    Attribute,
    IceControlled,
    Integrity,
    MessageClass,
    Nonce,
    PasswordAlgorithm,
    PasswordHash,
    Priority,
    Realm,
    Software,
    TransportAddress,
    UserHash,
    Username,
    XorMappedAddress,
    long_term_key,
    short_term_key,
)

MATRIX = "\u30de\u30c8\u30ea\u30c3\u30af\u30b9"
"""The user name of the long-term vectors."""


@dataclass(frozen=True)
class Vector:
    """One published message.

    Attributes:
        padding: what its authors padded attributes with: RFC 5769 was free to take spaces.
    """

    name: str
    data: bytes
    message_class: MessageClass
    attributes: tuple[Attribute, ...]
    key: bytes
    integrity: Integrity
    fingerprint: bool
    padding: bytes


_SHORT_TERM = short_term_key("VOkJxbRl1RmTxUk/WvJxBt")
_TEST_CLIENT = Software("STUN test client")
_TEST_VECTOR = Software("test vector")

REQUEST = Vector(
    name="RFC 5769 2.1, request",
    data=bytes.fromhex(
        "00010058 2112a442 b7e7a701bc34d686fa87dfae"
        "80220010 5354554e207465737420636c69656e74"
        "00240004 6e0001ff"
        "80290008 932ff9b151263b36"
        "00060009 6576746a3a68367659202020"
        "00080014 9aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2"
        "80280004 e57a3bcf"
    ),
    message_class=MessageClass.REQUEST,
    attributes=(
        _TEST_CLIENT,
        Priority(0x6E0001FF),
        IceControlled(0x932FF9B151263B36),
        Username("evtj:h6vY"),
    ),
    key=_SHORT_TERM,
    integrity=Integrity.SHA1,
    fingerprint=True,
    padding=b" ",
)

RESPONSE_IPV4 = Vector(
    name="RFC 5769 2.2, IPv4 response",
    data=bytes.fromhex(
        "0101003c 2112a442 b7e7a701bc34d686fa87dfae"
        "8022000b 7465737420766563746f7220"
        "00200008 0001a147e112a643"
        "00080014 2b91f599fd9e90c38c7489f92af9ba53f06be7d7"
        "80280004 c07d4c96"
    ),
    message_class=MessageClass.SUCCESS,
    attributes=(_TEST_VECTOR, XorMappedAddress(TransportAddress("192.0.2.1", 32853))),
    key=_SHORT_TERM,
    integrity=Integrity.SHA1,
    fingerprint=True,
    padding=b" ",
)

RESPONSE_IPV6 = Vector(
    name="RFC 5769 2.3, IPv6 response",
    data=bytes.fromhex(
        "01010048 2112a442 b7e7a701bc34d686fa87dfae"
        "8022000b 7465737420766563746f7220"
        "00200014 0002a1470113a9faa5d3f179bc25f4b5bed2b9d9"
        "00080014 a382954e4be67bf11784c97c8292c275bfe3ed41"
        "80280004 c8fb0b4c"
    ),
    message_class=MessageClass.SUCCESS,
    attributes=(
        _TEST_VECTOR,
        XorMappedAddress(TransportAddress("2001:db8:1234:5678:11:2233:4455:6677", 32853)),
    ),
    key=_SHORT_TERM,
    integrity=Integrity.SHA1,
    fingerprint=True,
    padding=b" ",
)

LONG_TERM_REQUEST = Vector(
    name="RFC 5769 2.4, long-term request",
    data=bytes.fromhex(
        "00010060 2112a442 78ad3433c6ad72c029da412e"
        "00060012 e3839ee38388e383aae38383e382afe382b90000"
        "0015001c 662f2f3439396b39353464364f4c33346f4c394653547679363473 41"
        "0014000b 6578616d706c652e6f726700"
        "00080014 f67024656dd64a3e02b8e0712e85c9a28ca89666"
    ),
    message_class=MessageClass.REQUEST,
    attributes=(Username(MATRIX), Nonce("f//499k954d6OL34oL9FSTvy64sA"), Realm("example.org")),
    key=long_term_key(MATRIX, "example.org", "TheMatrIX"),
    integrity=Integrity.SHA1,
    fingerprint=False,
    padding=b"\0",
)

SHA256_REQUEST = Vector(
    name="RFC 8489 B.1, SHA-256 and USERHASH",
    data=bytes.fromhex(
        "00010090 2112a442 78ad3433c6ad72c029da412e"
        "001e0020 4a3cf38fef6992bda952c6780417da0f24819415569e60b205c46e41407f1704"
        "00150029 6f624d61744a6f7332414141"
        "43662f2f3439396b39353464364f4c33346f4c39465354767936347341"
        "000000"
        "0014000b 6578616d706c652e6f726700"
        "001d0004 00020000"
        "001c0020 b5c7bf005b6c52a21c51c5e892f81924136296cb927c43149309278cc6518e65"
    ),
    message_class=MessageClass.REQUEST,
    attributes=(
        UserHash(bytes.fromhex("4a3cf38fef6992bda952c6780417da0f24819415569e60b205c46e41407f1704")),
        Nonce("obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA"),
        Realm("example.org"),
        PasswordAlgorithm(PasswordHash.SHA256),
    ),
    key=long_term_key(MATRIX, "example.org", "TheMatrIX", PasswordHash.SHA256),
    integrity=Integrity.SHA256,
    fingerprint=False,
    padding=b"\0",
)

B1_AS_PRINTED = bytes.fromhex(
    "0001009c 2112a442 78ad3433c6ad72c029da412e"
    "001e0020 4a3cf38fef6992bda952c6780417da0f24819415569e60b205c46e41407f1704"
    "00150029 6f624d61744a6f733241414143662f2f3439396b39353464364f4c33346f4c39465354767936347341"
    "000000"
    "0014000b 6578616d706c652e6f726700"
    "001c0020 e4686c8f0edeb59013e07090010a93efccbccc544c0a45d9f830aa6d6f735a01"
)
"""B.1 before the erratum: its length field counts the header, and it lacks PASSWORD-ALGORITHM."""

VECTORS = (REQUEST, RESPONSE_IPV4, RESPONSE_IPV6, LONG_TERM_REQUEST, SHA256_REQUEST)
