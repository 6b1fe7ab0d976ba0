"""The server half of Binding, without a socket: what goes in, what comes out, and where."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natkit.errors import MalformedMessage, UsageError
from natkit.stun.server import BindingServer, Reply, Site
from natkit.wire import (
    Attribute,
    ChangedAddress,
    ChangeRequest,
    ErrorCode,
    Lifetime,
    MappedAddress,
    Message,
    MessageClass,
    Method,
    OtherAddress,
    Padding,
    Priority,
    ResponseOrigin,
    ResponsePort,
    Software,
    SourceAddress,
    TransportAddress,
    UnknownAttributes,
    Username,
    XorMappedAddress,
)

ID = bytes(range(12))
CLIENT = TransportAddress("203.0.113.5", 40000)
FOUR = Site(("192.0.2.1", "192.0.2.2"), (3478, 3479))
FIRST, FIRST_ALT_PORT, ALT_IP, ALT_BOTH = FOUR.endpoints()
TWO = Site(("192.0.2.1",), (3478, 3479))


def ask(
    server: BindingServer, *attributes: Attribute, at: TransportAddress = FIRST
) -> tuple[Reply, Message]:
    request = Message.request(Method.BINDING, ID, *attributes).encode()
    reply = server.answer(request, CLIENT, at=at)
    assert reply is not None
    return reply, Message.decode(reply.data)


def refused_with(message: Message) -> int:
    error = message.find(ErrorCode)
    assert message.message_class is MessageClass.ERROR
    assert error is not None
    return error.code


# --- the plain server


def test_plain_reply_has_32_bytes_and_only_the_mapped_address() -> None:
    reply, message = ask(BindingServer())
    assert len(reply.data) == 32
    assert message.message_class is MessageClass.SUCCESS
    assert message.transaction_id == ID
    assert message.attributes == (XorMappedAddress(CLIENT),)


def test_plain_reply_to_ipv6_has_44_bytes() -> None:
    client = TransportAddress("2001:db8::5", 40000)
    at = TransportAddress("2001:db8::1", 3478)
    request = Message.request(Method.BINDING, ID).encode()
    reply = BindingServer().answer(request, client, at=at)
    assert reply is not None
    assert len(reply.data) == 44
    assert Message.decode(reply.data).find(XorMappedAddress) == XorMappedAddress(client)


def test_reply_leaves_from_where_the_request_came_in() -> None:
    for at in FOUR.endpoints():
        for server in (BindingServer(), BindingServer(FOUR)):
            reply, _ = ask(server, at=at)
            assert (reply.origin, reply.destination) == (at, CLIENT)


@pytest.mark.parametrize("attribute", [ResponsePort(5000), Padding(100)])
def test_plain_server_refuses_rfc_5780(attribute: Attribute) -> None:
    _, message = ask(BindingServer(), attribute)
    assert refused_with(message) == 420
    assert message.find(UnknownAttributes) == UnknownAttributes((attribute.TYPE,))


@pytest.mark.parametrize(("ip", "port"), [(True, False), (False, True), (True, True)])
def test_plain_server_refuses_every_change(ip: bool, port: bool) -> None:
    reply, message = ask(BindingServer(), ChangeRequest(ip, port))
    assert refused_with(message) == 420
    assert message.find(UnknownAttributes) == UnknownAttributes((ChangeRequest.TYPE,))
    assert reply.origin == FIRST


def test_change_request_that_asks_for_nothing_is_fulfilled() -> None:
    _, message = ask(BindingServer(), ChangeRequest(False, False))
    assert message.message_class is MessageClass.SUCCESS


@pytest.mark.parametrize("foreign", [Lifetime(600), Priority(1)])
def test_attributes_of_turn_and_ice_are_refused_as_unknown(foreign: Attribute) -> None:
    _, message = ask(BindingServer(), foreign)
    assert refused_with(message) == 420
    assert message.find(UnknownAttributes) == UnknownAttributes((foreign.TYPE,))


def test_optional_attributes_and_credentials_are_no_reason_to_refuse() -> None:
    reply, message = ask(BindingServer(), Software("x"), Username("somebody"))
    assert message.message_class is MessageClass.SUCCESS
    assert len(reply.data) == 32


def test_several_unknown_attributes_are_all_listed() -> None:
    request = bytearray(Message.request(Method.BINDING, ID).encode())
    request += b"\x7f\x01\x00\x00" + b"\x7f\x02\x00\x00" + b"\x7f\x01\x00\x00"
    request[3] = 12
    reply = BindingServer().answer(bytes(request), CLIENT, at=FIRST)
    assert reply is not None
    expected = UnknownAttributes((0x7F01, 0x7F02))
    assert Message.decode(reply.data).find(UnknownAttributes) == expected


@given(st.lists(st.integers(0x0030, 0xFFFF), max_size=40), st.booleans())
def test_plain_server_never_amplifies_more_than_1_6_times(
    types: list[int], fingerprint: bool
) -> None:
    body = b"".join(number.to_bytes(2, "big") + b"\x00\x00" for number in types)
    empty = Message.request(Method.BINDING, ID).encode()
    request = empty[:2] + len(body).to_bytes(2, "big") + empty[4:] + body
    if fingerprint:
        with contextlib.suppress(MalformedMessage):  # some known types may not be empty
            request = Message.decode(request).encode(fingerprint=True)
    reply = BindingServer().answer(request, CLIENT, at=FIRST)
    assert reply is None or len(reply.data) <= 1.6 * len(request)


def test_fingerprint_is_answered_with_one() -> None:
    request = Message.request(Method.BINDING, ID).encode(fingerprint=True)
    reply = BindingServer().answer(request, CLIENT, at=FIRST)
    assert reply is not None
    assert Message.decode(reply.data).has_fingerprint


@pytest.mark.parametrize(
    "message",
    [
        Message.indication(Method.BINDING, ID),
        Message.request(Method.BINDING, ID).success(XorMappedAddress(CLIENT)),
        Message.request(Method.BINDING, ID).error(400, "Bad Request"),
        Message.request(Method.ALLOCATE, ID),
    ],
    ids=["indication", "success", "error", "allocate"],
)
def test_what_is_not_a_binding_request_gets_no_answer(message: Message) -> None:
    assert BindingServer(FOUR).answer(message.encode(), CLIENT, at=FIRST) is None


def test_request_from_port_zero_gets_no_answer() -> None:
    request = Message.request(Method.BINDING, ID).encode()
    assert BindingServer().answer(request, CLIENT._replace(port=0), at=FIRST) is None


@given(st.binary(max_size=120))
def test_garbage_gets_no_answer_and_breaks_nothing(junk: bytes) -> None:
    reply = BindingServer(FOUR).answer(b"\x80" + junk, CLIENT, at=FIRST)
    assert reply is None
    BindingServer(FOUR).answer(junk, CLIENT, at=FIRST)


# --- RFC 5780 with two addresses and two ports


@pytest.mark.parametrize("at", FOUR.endpoints())
def test_rfc_5780_reply_announces_origin_and_the_opposite_endpoint(at: TransportAddress) -> None:
    _, message = ask(BindingServer(FOUR), at=at)
    opposite = {FIRST: ALT_BOTH, ALT_BOTH: FIRST, ALT_IP: FIRST_ALT_PORT, FIRST_ALT_PORT: ALT_IP}
    assert message.attributes == (
        XorMappedAddress(CLIENT),
        MappedAddress(CLIENT),
        ResponseOrigin(at),
        OtherAddress(opposite[at]),
    )


@pytest.mark.parametrize(
    ("ip", "port", "origin"),
    [
        (False, False, FIRST),
        (False, True, FIRST_ALT_PORT),
        (True, False, ALT_IP),
        (True, True, ALT_BOTH),
    ],
)
def test_change_request_moves_the_reply(ip: bool, port: bool, origin: TransportAddress) -> None:
    reply, message = ask(BindingServer(FOUR), ChangeRequest(ip, port))
    assert (reply.origin, reply.destination) == (origin, CLIENT)
    assert message.find(ResponseOrigin) == ResponseOrigin(origin)
    assert message.find(OtherAddress) == OtherAddress(ALT_BOTH)


@pytest.mark.parametrize("size", [2, 4])
def test_response_port_is_taken_in_both_sizes(size: int) -> None:
    header = Message.request(Method.BINDING, ID).encode()
    value = (5000).to_bytes(2, "big") + bytes(2)
    attribute = ResponsePort.TYPE.to_bytes(2, "big") + size.to_bytes(2, "big") + value
    request = header[:3] + b"\x08" + header[4:] + attribute
    reply = BindingServer(FOUR).answer(request, CLIENT, at=FIRST)
    assert reply is not None
    assert reply.destination == TransportAddress(CLIENT.ip, 5000)
    assert Message.decode(reply.data).find(XorMappedAddress) == XorMappedAddress(CLIENT)


def test_response_port_and_change_request_work_together() -> None:
    reply, _ = ask(BindingServer(FOUR), ResponsePort(5000), ChangeRequest(True, True))
    assert (reply.origin, reply.destination) == (ALT_BOTH, TransportAddress(CLIENT.ip, 5000))


@pytest.mark.parametrize("extra", [(ResponsePort(0),), (ResponsePort(5000), Padding(100))])
def test_impossible_response_ports_are_bad_requests(extra: tuple[Attribute, ...]) -> None:
    reply, message = ask(BindingServer(FOUR), *extra)
    assert refused_with(message) == 400
    assert reply.destination == CLIENT


def test_padding_is_returned_in_the_size_it_came() -> None:
    for size in (0, 100, 1500):
        _, message = ask(BindingServer(FOUR), Padding(size))
        assert message.find(Padding) == Padding(size)


# --- RFC 5780 with one address


def test_one_address_changes_the_port_only() -> None:
    reply, message = ask(BindingServer(TWO), ChangeRequest(False, True))
    assert message.message_class is MessageClass.SUCCESS
    assert reply.origin == FIRST_ALT_PORT


def test_behind_a_1_to_1_nat_the_public_addresses_are_announced() -> None:
    site = Site(("10.0.0.5", "10.0.0.6"), (3478, 3479), ("203.0.113.7", "203.0.113.8"))
    change = ChangeRequest(change_ip=True, change_port=True)
    asked = Message.request(Method.BINDING, bytes(12), change).encode()
    reply = BindingServer(site).answer(asked, CLIENT, at=TransportAddress("10.0.0.5", 3478))
    assert reply is not None
    assert reply.origin == TransportAddress("10.0.0.6", 3479)
    answer = Message.decode(reply.data)
    assert answer.find(ResponseOrigin) == ResponseOrigin(TransportAddress("203.0.113.8", 3479))
    assert answer.find(OtherAddress) == OtherAddress(TransportAddress("203.0.113.8", 3479))


@pytest.mark.parametrize("port", [False, True])
def test_one_address_never_pretends_to_have_another(port: bool) -> None:
    reply, message = ask(BindingServer(TWO), ChangeRequest(True, port))
    assert refused_with(message) == 420
    assert reply.origin == FIRST
    assert ask(BindingServer(TWO))[1].find(OtherAddress) is None


def test_two_addresses_with_one_port_have_no_other_address_to_announce() -> None:
    server = BindingServer(Site(("192.0.2.1", "192.0.2.2"), (3478,)))
    assert ask(server)[1].find(OtherAddress) is None
    reply, _ = ask(server, ChangeRequest(True, False))
    assert reply.origin == ALT_IP
    assert refused_with(ask(server, ChangeRequest(True, True))[1]) == 420


@pytest.mark.parametrize(
    ("ips", "ports"),
    [
        ((), (3478,)),
        (("192.0.2.1",), ()),
        (("192.0.2.1", "192.0.2.1"), (3478,)),
        (("192.0.2.1", "192.0.2.2", "192.0.2.3"), (3478,)),
        (("192.0.2.1",), (3478, 3478)),
        (("192.0.2.1", "2001:db8::1"), (3478,)),
    ],
)
def test_impossible_sites_are_refused(ips: tuple[str, ...], ports: tuple[int, ...]) -> None:
    with pytest.raises(UsageError):
        Site(ips, ports)


# --- RFC 3489 clients


def classic(*attributes: Attribute) -> bytes:
    request = Message.request(Method.BINDING, ID, *attributes).encode()
    return request[:4] + b"old!" + request[8:]


def as_modern(reply: Reply | None) -> Message:
    assert reply is not None
    assert reply.data[4:8] == b"old!"
    return Message.decode(reply.data[:4] + bytes.fromhex("2112a442") + reply.data[8:])


def test_classic_client_gets_mapped_address_without_xor() -> None:
    reply = BindingServer().answer(classic(), CLIENT, at=FIRST)
    assert as_modern(reply).attributes == (MappedAddress(CLIENT),)
    assert reply is not None
    assert len(reply.data) == 32


def test_classic_client_gets_the_old_names_of_origin_and_other() -> None:
    request = classic(ChangeRequest(True, True))
    reply = BindingServer(FOUR).answer(request, CLIENT, at=FIRST)
    assert reply is not None
    assert reply.origin == ALT_BOTH
    assert as_modern(reply).attributes == (
        MappedAddress(CLIENT),
        SourceAddress(ALT_BOTH),
        ChangedAddress(ALT_BOTH),
    )


def test_classic_refusal_keeps_the_classic_id() -> None:
    reply = BindingServer(TWO).answer(classic(ChangeRequest(True, False)), CLIENT, at=FIRST)
    assert refused_with(as_modern(reply)) == 420
