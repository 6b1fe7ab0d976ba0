"""TURN over TCP and TLS: framing, and who may stay connected (RFC 8489 §6.2.2, RFC 8656 §3.1)."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

import pytest

from natkit.wire import ChannelData, Message, MessageClass, Method, TransportAddress
from tests.turnkit import UDP, Peer, RawClient, transaction_id
from tests.turnserver import TurnUnderTest

pytestmark = pytest.mark.slow

CHANNEL = 0x4000


@pytest.fixture(params=["tcp", "tls"])
def client(turn: TurnUnderTest, request: pytest.FixtureRequest) -> Iterator[RawClient]:
    with RawClient(turn, request.param) as made:
        made.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield made


@pytest.fixture
def relayed(client: RawClient, peer: Peer) -> TransportAddress:
    address = client.allocate()
    client.bind(CHANNEL, peer.address)
    return address


def test_a_request_may_come_byte_by_byte(client: RawClient) -> None:
    for byte in client.log_in().signed(Method.ALLOCATE, UDP):
        client.send(bytes([byte]))
    assert Message.decode(client.receive()).message_class is MessageClass.SUCCESS


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 5, 19, 20, 21])
def test_a_request_may_be_cut_anywhere(client: RawClient, cut: int) -> None:
    asked = Message.request(Method.BINDING, transaction_id()).encode(fingerprint=True)
    client.send(asked[:cut])
    client.send(asked[cut:])
    assert Message.decode(client.receive()).transaction_id == asked[8:20]


def test_several_messages_may_come_in_one_segment(client: RawClient) -> None:
    asked = [Message.request(Method.BINDING, transaction_id()).encode() for _ in range(5)]
    client.send(b"".join(asked))
    answered = [Message.decode(client.receive()).transaction_id for _ in asked]
    assert answered == [data[8:20] for data in asked]


def test_channel_data_and_messages_may_come_mixed(
    client: RawClient, peer: Peer, relayed: TransportAddress
) -> None:
    frames = []
    for number in range(4):
        frames.append(ChannelData(CHANNEL, b"x" * (number + 1)).encode(padded=True))
        frames.append(Message.request(Method.BINDING, transaction_id()).encode())
    everything = b"".join(frames)
    client.send(everything[:33])
    client.send(everything[33:])
    assert [peer.receive()[0] for _ in range(4)] == [b"x", b"xx", b"xxx", b"xxxx"]
    answered = [Message.decode(client.receive()).transaction_id for _ in range(4)]
    assert answered == [frame[8:20] for frame in frames[1::2]]


def test_the_largest_packet_goes_both_ways(
    client: RawClient, peer: Peer, relayed: TransportAddress
) -> None:
    """65,507 bytes are what one IPv4 datagram holds."""
    data = bytes(65507)
    client.send_on(CHANNEL, data)
    assert peer.receive() == (data, relayed)
    peer.send(data, relayed)
    assert ChannelData.decode(client.receive()) == ChannelData(CHANNEL, data)


@pytest.mark.parametrize("first", [4, 63, 128, 255])
def test_a_first_byte_of_something_else_closes_the_connection(
    client: RawClient, first: int
) -> None:
    client.send(bytes([first]) + bytes(30))
    assert client.is_closed()


def test_a_broken_stream_takes_its_allocation_with_it(client: RawClient, peer: Peer) -> None:
    relayed = client.allocate()
    client.permit(peer.address)
    client.send(b"\xff" * 8)
    assert client.is_closed()
    assert peer.await_nobody(relayed)


def test_a_reader_that_stops_loses_media_and_keeps_its_connection(
    client: RawClient, peer: Peer, relayed: TransportAddress
) -> None:
    """More than socket buffers hold: the server drops, its memory does not grow, answers come."""
    before = client.server.resident
    for _ in range(16000):
        peer.send(bytes(1200), relayed)
    assert client.server.resident - before < 16_000_000
    asked = Message.request(Method.BINDING, transaction_id()).encode()
    came = 0
    while True:
        data = client.receive()
        if data[0] < 4:
            break
        came += 1
        if came == 1:
            client.send(asked)
    assert data[8:20] == asked[8:20]
    assert came > 100


# -- 42: TLS ---------------------------------------------------------------------------------------


def handshake(turn: TurnUnderTest, context: ssl.SSLContext) -> ssl.SSLSocket:
    plain = socket.create_connection((turn.ip, turn.tls_port), timeout=5)
    return context.wrap_socket(plain, server_hostname="localhost")


@pytest.mark.parametrize("protocols", [["stun.turn"], ["stun.nat-discovery"], []], ids=str)
def test_tls_takes_the_protocol_names_of_rfc_7443_and_needs_none(
    turn: TurnUnderTest, protocols: list[str]
) -> None:
    context = turn.trust
    if protocols:
        context.set_alpn_protocols(protocols)
    with handshake(turn, context) as made:
        made.sendall(Message.request(Method.BINDING, transaction_id()).encode())
        assert Message.decode(made.recv(1000)).message_class is MessageClass.SUCCESS


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=str)
def test_tls_1_2_and_1_3_are_spoken(turn: TurnUnderTest, version: ssl.TLSVersion) -> None:
    context = turn.trust
    context.minimum_version = context.maximum_version = version
    with handshake(turn, context) as made:
        assert made.version() == {0x303: "TLSv1.2", 0x304: "TLSv1.3"}[version]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tls_1_1_is_refused(turn: TurnUnderTest) -> None:
    context = turn.trust
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        handshake(turn, context)


def test_plain_stun_on_the_tls_port_does_no_harm(turn: TurnUnderTest) -> None:
    """Answered where one port speaks both, closed where it does not."""
    with socket.create_connection((turn.ip, turn.tls_port), timeout=5) as plain:
        plain.sendall(Message.request(Method.BINDING, transaction_id()).encode())
        try:
            answer = plain.recv(1000)
        except ConnectionError:
            answer = b""
    assert answer[:2] in (b"\x01\x01", b"", b"\x15\x03")
