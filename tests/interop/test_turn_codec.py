"""Which bytes a TURN server takes for a message, and what it does with the others (RFC 8489)."""

from __future__ import annotations

import zlib
from struct import pack

import pytest

from natkit.wire import (
    Data,
    ErrorCode,
    Lifetime,
    Message,
    MessageClass,
    Method,
    Nonce,
    Realm,
    Software,
    UnknownAttributes,
    Unrecognised,
    Username,
    XorMappedAddress,
    XorPeerAddress,
    XorRelayedAddress,
)
from tests.turnkit import UDP, Peer, RawClient, error_of, transaction_id
from tests.turnserver import REALM, USER, TurnUnderTest

pytestmark = pytest.mark.slow

BINDING = Message.request(Method.BINDING, bytes(range(12))).encode()


def with_length(data: bytes, length: int) -> bytes:
    """Return the message with another length in its header."""
    return data[:2] + pack("!H", length) + data[4:]


def attribute(number: int, value: bytes, *, length: int | None = None, pad: bytes = b"\0") -> bytes:
    """Return an attribute's bytes; `length` lies about its size, `pad` fills it up."""
    size = len(value) if length is None else length
    return pack("!HH", number, size) + value + pad * (-len(value) % 4)


def appended(data: bytes, more: bytes) -> bytes:
    """Return the message with more bytes behind it, counted in the header."""
    return with_length(data + more, len(data) - 20 + len(more))


# -- 1: the header ---------------------------------------------------------------------------------

NOT_STUN = {
    "top bits set": b"\x80" + BINDING[1:],
    "wrong cookie": b"\0\3" + BINDING[2:4] + b"\x21\x12\xa4\x43" + BINDING[8:],
    "length beyond the datagram": with_length(BINDING, 4),
    "length short of the datagram": with_length(BINDING + bytes(4), 0),
    "length not a multiple of 4": with_length(BINDING + b"\0\0", 2),
    "header cut short": BINDING[:19],
    "nothing": b"",
    "one byte": b"\0",
    "undefined method": b"\x0f\xff" + BINDING[2:],
}


@pytest.mark.parametrize("data", NOT_STUN.values(), ids=NOT_STUN.keys())
def test_a_datagram_that_is_no_stun_gets_no_answer(turn: TurnUnderTest, data: bytes) -> None:
    with RawClient(turn) as client:
        client.send(data)
        assert client.fence() == []


@pytest.mark.parametrize(
    "data",
    [NOT_STUN["wrong cookie"], NOT_STUN["length not a multiple of 4"], b"\r\n\r\n"],
    ids=["wrong cookie", "odd length", "empty lines"],
)
def test_a_stream_that_is_no_stun_is_closed(turn: TurnUnderTest, data: bytes) -> None:
    with RawClient(turn, "tcp") as client:
        client.send(data)
        assert client.is_closed()


@pytest.mark.parametrize("kind", [MessageClass.SUCCESS, MessageClass.ERROR])
def test_a_response_sent_to_a_server_gets_no_answer(client: RawClient, kind: MessageClass) -> None:
    client.send(Message(Method.ALLOCATE, kind, transaction_id()).encode())
    client.send(Message(Method.BINDING, kind, transaction_id()).encode())
    assert client.fence() == []


def test_an_answer_mirrors_method_and_transaction(client: RawClient) -> None:
    for method in (Method.ALLOCATE, Method.REFRESH, Method.CREATE_PERMISSION, Method.CHANNEL_BIND):
        answer = client.bare(method)
        assert (answer.method, answer.message_class) == (method, MessageClass.ERROR)


def test_an_indication_is_never_answered(client: RawClient) -> None:
    client.send(Message.indication(Method.BINDING, transaction_id()).encode())
    client.send(Message.indication(Method.SEND, transaction_id()).encode())
    assert client.fence() == []


# -- 2, 3: the proofs ------------------------------------------------------------------------------


def test_a_right_fingerprint_is_taken_and_answered(client: RawClient) -> None:
    asked = Message.request(Method.BINDING, transaction_id())
    answer = client.exchange(asked.encode(fingerprint=True))
    assert answer.find(XorMappedAddress) == XorMappedAddress(client.local)


def test_a_datagram_with_a_wrong_fingerprint_gets_no_answer(turn: TurnUnderTest) -> None:
    with RawClient(turn) as client:
        right = Message.request(Method.BINDING, transaction_id()).encode(fingerprint=True)
        client.send(right[:-1] + bytes([right[-1] ^ 1]))
        assert client.fence() == []


def test_a_fingerprint_that_is_not_last_gets_no_answer(turn: TurnUnderTest) -> None:
    with RawClient(turn) as client:
        right = Message.request(Method.BINDING, transaction_id()).encode(fingerprint=True)
        client.send(appended(right, attribute(0x8022, b"late")))
        assert client.fence() == []


def test_integrity_covers_the_length_up_to_itself_with_a_fingerprint_behind(
    client: RawClient,
) -> None:
    client.log_in()
    answer = client.exchange(client.signed(Method.ALLOCATE, UDP, fingerprint=True))
    assert answer.find(XorRelayedAddress) is not None


def test_an_integrity_of_the_wrong_size_is_refused(client: RawClient) -> None:
    client.log_in()
    who = (Username(USER[0]), Realm(client.realm), Nonce(client.nonce))
    unsigned = Message.request(Method.ALLOCATE, transaction_id(), UDP, *who).encode()
    client.send(appended(unsigned, attribute(0x0008, bytes(16))))
    answers = [Message.decode(data) for data in client.fence()]
    assert all(error_of(answer) == 400 for answer in answers)


# -- 4: padding ------------------------------------------------------------------------------------


def test_padding_of_any_value_is_taken(client: RawClient) -> None:
    padded = appended(BINDING, attribute(0x8022, b"x", pad=b"\xff"))
    assert client.exchange(padded).message_class is MessageClass.SUCCESS


def test_padding_that_is_sent_is_zero(client: RawClient) -> None:
    client.send(Message.request(Method.ALLOCATE, transaction_id(), UDP).encode())
    data = client.receive()
    at, seen = 20, 0
    while at < len(data):
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        pad = -size % 4
        assert data[at + 4 + size : at + 4 + size + pad] == bytes(pad)
        at += 4 + size + pad
        seen += pad
    assert at == len(data)


def test_an_error_reason_is_counted_without_its_padding(client: RawClient) -> None:
    found = client.bare(Method.ALLOCATE, UDP).find(ErrorCode)
    assert found is not None
    assert found.code == 401
    assert "\0" not in found.reason


# -- 5: unknown attributes -------------------------------------------------------------------------


def test_an_unknown_required_attribute_is_named_in_a_420(client: RawClient) -> None:
    answer = client.log_in().call(Method.ALLOCATE, UDP, Unrecognised(0x7ABC, b"what"))
    assert error_of(answer) == 420
    unknown = answer.find(UnknownAttributes)
    assert unknown is not None
    assert unknown.types == (0x7ABC,)


def test_an_unknown_required_attribute_in_a_binding_request_is_named(client: RawClient) -> None:
    answer = client.bare(Method.BINDING, Unrecognised(0x7ABC, b""))
    assert error_of(answer) == 420
    assert answer.find(UnknownAttributes) == UnknownAttributes((0x7ABC,))


def test_an_unknown_optional_attribute_is_passed_over(client: RawClient) -> None:
    client.log_in()
    answer = client.call(Method.ALLOCATE, UDP, Unrecognised(0xCABC, b"ok"), Software("a client"))
    assert answer.message_class is MessageClass.SUCCESS


def test_an_indication_with_an_unknown_required_attribute_is_dropped(
    client: RawClient, peer: Peer
) -> None:
    client.allocate()
    client.permit(peer.address)
    extra = Unrecognised(0x7ABC, b"")
    attributes = XorPeerAddress(peer.address), Data(b"dropped"), extra
    client.send(Message.indication(Method.SEND, transaction_id(), *attributes).encode())
    client.send_to(peer.address, b"relayed")
    assert peer.receive()[0] == b"relayed"


# -- 6: addresses ----------------------------------------------------------------------------------


@pytest.mark.needs("ipv6")
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_an_ipv6_address_is_masked_with_the_transaction(
    turn: TurnUnderTest, transport: str
) -> None:
    with RawClient(turn, transport, ip=turn.ips[1]) as client:
        answer = client.bare(Method.BINDING)
        assert answer.find(XorMappedAddress) == XorMappedAddress(client.local)


# -- 7, 8: texts -----------------------------------------------------------------------------------


def test_realm_and_nonce_are_as_long_as_the_rfc_lets_them_be(client: RawClient) -> None:
    client.challenge()
    assert client.realm == REALM
    assert len(client.nonce) < 128


@pytest.mark.parametrize(("what", "limit"), [("username", 513), ("realm", 763), ("nonce", 763)])
def test_a_text_that_is_too_long_is_refused_and_nothing_breaks(
    client: RawClient, what: str, limit: int
) -> None:
    client.challenge()
    texts = {"username": USER[0], "realm": client.realm, "nonce": client.nonce}
    texts[what] = "x" * (limit + 1)
    types = {"username": 0x0006, "realm": 0x0014, "nonce": 0x0015}
    raw = [Unrecognised(types[name], text.encode()) for name, text in texts.items()]
    asked = Message.request(Method.ALLOCATE, transaction_id(), UDP, *raw).encode(key=bytes(16))
    assert error_of(client.exchange(asked)) in (400, 401, 438)
    assert client.bare(Method.BINDING).message_class is MessageClass.SUCCESS


def test_a_message_made_of_attributes_alone_is_checked_to_its_end(turn: TurnUnderTest) -> None:
    overrun = appended(BINDING, attribute(0x8022, b"abcd", length=40))
    with RawClient(turn) as client:
        client.send(overrun)
        answers = [Message.decode(data) for data in client.fence()]
        assert all(error_of(answer) == 400 for answer in answers)


def test_the_fingerprint_is_a_crc_over_a_header_that_counts_it(client: RawClient) -> None:
    head = with_length(BINDING, 8)
    crc = zlib.crc32(head) ^ 0x5354554E
    answer = client.exchange(head + attribute(0x8028, pack("!I", crc)))
    assert answer.message_class is MessageClass.SUCCESS


def test_the_first_of_two_equal_attributes_counts(client: RawClient) -> None:
    client.log_in()
    answer = client.call(Method.ALLOCATE, UDP, Lifetime(700), Lifetime(900))
    assert answer.find(Lifetime) == Lifetime(700)
