"""Packets through the relay: ChannelData, Send and Data (RFC 8656 §11, §12)."""

from __future__ import annotations

import socket
import sys
from struct import pack

import pytest

from natkit.wire import (
    ChannelData,
    Data,
    Icmp,
    Message,
    MessageClass,
    Method,
    RequestedAddressFamily,
    TransportAddress,
    XorPeerAddress,
)
from tests.turnkit import Peer, RawClient, transaction_id
from tests.turnserver import Around, TurnUnderTest

pytestmark = pytest.mark.slow

CHANNEL = 0x4000
SIZES = (1, 2, 3, 4, 172, 1200)


@pytest.fixture
def relayed(client: RawClient, peer: Peer) -> TransportAddress:
    """The relayed address of `client`, whose channel 0x4000 is bound to `peer`."""
    address = client.allocate()
    client.bind(CHANNEL, peer.address)
    assert client.fence() == []  # a kernel that forwards knows the channel by now as well
    return address


def indication(data: bytes) -> Message:
    message = Message.decode(data)
    assert (message.method, message.message_class) == (Method.DATA, MessageClass.INDICATION)
    return message


# -- 35: ChannelData -------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_channel_data_goes_both_ways(
    client: RawClient, peer: Peer, relayed: TransportAddress, around: Around, size: int
) -> None:
    """Twice: a kernel that forwards hands the first of each way up, to have neighbours asked."""
    data = bytes(index % 251 for index in range(size))
    may = around.inside is not None and client.transport == "udp"
    for by_kernel in (0, 2 if may else 0):
        before = around.in_kernel()
        client.send_on(CHANNEL, data)
        assert peer.receive() == (data, relayed)
        peer.send(data, relayed)
        assert ChannelData.decode(client.receive()) == ChannelData(CHANNEL, data)
        assert around.in_kernel() - before == by_kernel


@pytest.mark.parametrize("padding", [0, 1, 3])
def test_padded_channel_data_on_udp_is_taken(turn: TurnUnderTest, peer: Peer, padding: int) -> None:
    with RawClient(turn) as client:
        client.allocate()
        client.bind(CHANNEL, peer.address)
        client.send(pack("!HH", CHANNEL, 5) + b"hello" + bytes(padding))
        assert peer.receive()[0] == b"hello"


def test_channel_data_is_padded_on_a_stream_and_not_on_udp(
    client: RawClient, peer: Peer, relayed: TransportAddress
) -> None:
    peer.send(b"ab", relayed)
    padding = b"" if client.transport == "udp" else b"\0\0"
    assert client.receive() == pack("!HH", CHANNEL, 2) + b"ab" + padding


# -- 36: what is dropped, and what is empty --------------------------------------------------------


def test_a_channel_length_beyond_the_datagram_is_dropped(turn: TurnUnderTest, peer: Peer) -> None:
    with RawClient(turn) as client:
        client.allocate()
        client.bind(CHANNEL, peer.address)
        client.send(pack("!HH", CHANNEL, 9) + b"too long")
        client.send(pack("!H", CHANNEL))
        client.send_on(CHANNEL, b"right")
        assert peer.receive()[0] == b"right"


def test_data_on_an_unbound_channel_is_dropped(
    client: RawClient, peer: Peer, relayed: TransportAddress
) -> None:
    client.send_on(CHANNEL + 1, b"nowhere")
    client.send_on(CHANNEL, b"right")
    assert peer.receive() == (b"right", relayed)


def test_an_empty_packet_is_relayed_empty(
    client: RawClient, peer: Peer, relayed: TransportAddress
) -> None:
    client.send_on(CHANNEL, b"")
    client.send_to(peer.address, b"")
    assert peer.receive() == (b"", relayed)
    assert peer.receive() == (b"", relayed)
    peer.send(b"", relayed)
    assert ChannelData.decode(client.receive()) == ChannelData(CHANNEL, b"")


# -- 37: what a peer sends -------------------------------------------------------------------------


def test_a_bound_peer_comes_as_channel_data_and_its_other_port_as_indication(
    client: RawClient, peer: Peer, relayed: TransportAddress, around: Around
) -> None:
    peer.send(b"bound", relayed)
    assert ChannelData.decode(client.receive()).data == b"bound"
    with Peer(around.peers[0]) as other_port:
        other_port.send(b"permitted", relayed)
        came = indication(client.receive())
        assert came.find(Data) == Data(b"permitted")
        assert came.find(XorPeerAddress) == XorPeerAddress(other_port.address)


def test_a_peer_without_permission_is_dropped(
    client: RawClient, peer: Peer, around: Around
) -> None:
    relayed = client.allocate()
    with Peer(around.peers[2]) as friend:
        client.permit(friend.address)
        peer.send(b"uninvited", relayed)
        friend.send(b"invited", relayed)
        assert indication(client.receive()).find(Data) == Data(b"invited")


# -- 38, 39: Send ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_send_and_data_indications_carry_any_size(client: RawClient, peer: Peer, size: int) -> None:
    data = bytes(index % 251 for index in range(size))
    relayed = client.allocate()
    client.permit(peer.address)
    client.send_to(peer.address, data)
    assert peer.receive() == (data, relayed)
    peer.send(data, relayed)
    came = indication(client.receive())
    assert came.find(Data) == Data(data)
    assert came.find(XorPeerAddress) == XorPeerAddress(peer.address)


def test_send_without_a_permission_is_dropped(client: RawClient, peer: Peer) -> None:
    client.allocate()
    client.send_to(peer.address, b"too early")
    client.permit(peer.address)
    client.send_to(peer.address, b"in time")
    assert peer.receive()[0] == b"in time"


def test_send_without_data_or_peer_is_dropped_without_a_word(
    client: RawClient, peer: Peer, relayed: TransportAddress
) -> None:
    for attribute in (XorPeerAddress(peer.address), Data(b"to whom?")):
        client.send(Message.indication(Method.SEND, transaction_id(), attribute).encode())
    assert client.fence() == []
    client.send_on(CHANNEL, b"right")
    assert peer.receive() == (b"right", relayed)


def test_send_without_an_allocation_is_dropped(client: RawClient, peer: Peer) -> None:
    client.send_to(peer.address, b"no allocation")
    client.send_on(CHANNEL, b"no allocation")
    assert client.fence() == []


def test_the_first_of_two_peers_in_a_send_gets_it(
    client: RawClient, peer: Peer, relayed: TransportAddress, around: Around
) -> None:
    with Peer(around.peers[0]) as second:
        peers = XorPeerAddress(peer.address), XorPeerAddress(second.address)
        both = Message.indication(Method.SEND, transaction_id(), *peers, Data(b"for the first"))
        client.send(both.encode())
        client.send_to(second.address, b"for the second")
        assert peer.receive() == (b"for the first", relayed)
        assert second.receive() == (b"for the second", relayed)


# -- 40: what the network says of a peer -----------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells ICMP errors to everybody")
def test_icmp_from_a_peer_is_told_to_the_client(client: RawClient, peer: Peer) -> None:
    client.allocate()
    client.permit(peer.address)
    gone = peer.address
    peer.socket.close()
    client.send_to(gone, b"anybody?")
    came = indication(client.receive())
    assert came.find(XorPeerAddress) == XorPeerAddress(gone)
    icmp = came.find(Icmp)
    assert icmp is not None
    assert (icmp.kind, icmp.code) == (3, 3)  # destination unreachable, port unreachable
    assert came.find(Data) is None


# -- both at once ----------------------------------------------------------------------------------


def test_two_allocations_speak_with_each_other(client: RawClient) -> None:
    """Relay to relay on the server's own addresses: how two browsers behind relays meet."""
    with RawClient(client.server, client.transport) as other:
        here, there = client.allocate(), other.allocate()
        client.bind(CHANNEL, there)
        other.permit(here)
        client.send_on(CHANNEL, b"hello")
        assert indication(other.receive()).find(Data) == Data(b"hello")
        other.send_to(here, b"hello yourself")
        assert ChannelData.decode(client.receive()) == ChannelData(CHANNEL, b"hello yourself")


@pytest.mark.needs("ipv6")
def test_an_ipv6_relay_carries_packets(client: RawClient, around: Around) -> None:
    with Peer(around.peers_ipv6[0]) as peer:
        relayed = client.allocate(RequestedAddressFamily(2))
        client.bind(CHANNEL, peer.address)
        client.send_on(CHANNEL, b"six")
        assert peer.receive() == (b"six", relayed)
        peer.send(b"six", relayed)
        assert ChannelData.decode(client.receive()) == ChannelData(CHANNEL, b"six")


def test_the_relay_sends_with_its_own_relayed_port(client: RawClient, peer: Peer) -> None:
    relayed = client.allocate()
    client.permit(peer.address)
    client.send_to(peer.address, b"from where?")
    assert peer.receive()[1] == relayed
    assert socket.inet_aton(relayed.ip)


# -- 40: DSCP and ECN ------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="marks are copied on Linux alone")
def test_dscp_and_ecn_go_through_the_relay(turn: TurnUnderTest, peer: Peer) -> None:
    expedited = 46 << 2 | 2  # DSCP 46, ECT(0)
    with RawClient(turn) as client:
        relayed = client.allocate()
        client.bind(CHANNEL, peer.address)
        for sock in (client.socket, peer.socket):
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, expedited)
        client.send_on(CHANNEL, b"marked")
        assert mark_of_next(peer.socket) == expedited
        peer.send(b"marked", relayed)
        assert mark_of_next(client.socket) == expedited


def mark_of_next(sock: socket.socket) -> int:
    """Return DSCP and ECN of the next datagram, one byte."""
    _, [(_, kind, value)], _, _ = sock.recvmsg(65536, 64)
    assert kind == socket.IP_TOS
    return value[0]
