"""Permissions and channels: whom an allocation speaks with (RFC 8656 §9, §10, §12)."""

from __future__ import annotations

import pytest

from natkit.wire import (
    ChannelData,
    ChannelNumber,
    MessageClass,
    Method,
    TransportAddress,
    XorPeerAddress,
)
from tests.turnkit import Peer, RawClient
from tests.turnserver import Around

pytestmark = pytest.mark.slow

IPV6_PEER = TransportAddress("::1", 9)
DENIED = TransportAddress("10.0.0.1", 9)


@pytest.fixture
def nobody(around: Around) -> TransportAddress:
    """A peer that is not there."""
    return TransportAddress(around.peers[0], 9)


def channel_bind(client: RawClient, channel: int, peer: TransportAddress) -> int | None:
    return client.code(Method.CHANNEL_BIND, ChannelNumber(channel), XorPeerAddress(peer))


# -- 30, 31: permissions ---------------------------------------------------------------------------


def test_a_permission_is_for_an_ip_and_any_port(
    client: RawClient, peer: Peer, nobody: TransportAddress
) -> None:
    relayed = client.allocate()
    client.permit(nobody)
    peer.send(b"hello", relayed)
    assert b"hello" in client.receive()


def test_create_permission_without_a_peer_is_400(client: RawClient) -> None:
    client.allocate()
    assert client.code(Method.CREATE_PERMISSION) == 400


def test_a_peer_of_another_family_is_443(client: RawClient) -> None:
    client.allocate()
    assert client.code(Method.CREATE_PERMISSION, XorPeerAddress(IPV6_PEER)) == 443


def test_create_permission_without_an_allocation_is_437(
    client: RawClient, nobody: TransportAddress
) -> None:
    client.log_in()
    assert client.code(Method.CREATE_PERMISSION, XorPeerAddress(nobody)) == 437


@pytest.mark.parametrize("bad", [IPV6_PEER, TransportAddress("224.0.0.1", 9)], ids=str)
@pytest.mark.parametrize("place", [0, 1])
def test_one_bad_peer_in_a_list_refuses_all_of_it(
    client: RawClient,
    peer: Peer,
    bad: TransportAddress,
    place: int,
    nobody: TransportAddress,
    around: Around,
) -> None:
    relayed = client.allocate()
    peers = [XorPeerAddress(nobody)]
    peers.insert(place, XorPeerAddress(bad))
    with Peer(around.peers[2]) as friend:
        client.permit(friend.address)
        assert client.code(Method.CREATE_PERMISSION, *peers) in (403, 443)
        peer.send(b"not permitted", relayed)
        friend.send(b"permitted", relayed)
        assert b"not permitted" not in client.receive()
        client.send_to(peer.address, b"before")
        client.permit(nobody)
        client.send_to(peer.address, b"after")
        assert peer.receive()[0] == b"after"


# -- 32 to 34: channels ----------------------------------------------------------------------------


@pytest.mark.parametrize("channel", [0x4000, 0x4001, 0x4FFF, 0x7FFE])
def test_channels_of_the_range_may_be_bound(
    client: RawClient, channel: int, nobody: TransportAddress
) -> None:
    client.allocate()
    assert channel_bind(client, channel, nobody) is None


@pytest.mark.parametrize("channel", [0x0000, 0x3FFF, 0x7FFF, 0x8000, 0xFFFF])
def test_channels_out_of_the_range_are_400(
    client: RawClient, channel: int, nobody: TransportAddress
) -> None:
    client.allocate()
    assert channel_bind(client, channel, nobody) == 400


def test_channel_bind_needs_channel_and_peer(client: RawClient, nobody: TransportAddress) -> None:
    client.allocate()
    assert client.code(Method.CHANNEL_BIND, ChannelNumber(0x4000)) == 400
    assert client.code(Method.CHANNEL_BIND, XorPeerAddress(nobody)) == 400


def test_channel_bind_without_an_allocation_is_437(
    client: RawClient, nobody: TransportAddress
) -> None:
    client.log_in()
    assert channel_bind(client, 0x4000, nobody) == 437


def test_channel_bind_of_another_family_is_443(client: RawClient) -> None:
    client.allocate()
    assert channel_bind(client, 0x4000, IPV6_PEER) == 443


def test_the_same_binding_again_is_a_refresh(client: RawClient, nobody: TransportAddress) -> None:
    client.allocate()
    assert channel_bind(client, 0x4000, nobody) is None
    assert channel_bind(client, 0x4000, nobody) is None


def test_a_bound_channel_takes_no_other_peer(client: RawClient, nobody: TransportAddress) -> None:
    client.allocate()
    assert channel_bind(client, 0x4000, nobody) is None
    assert channel_bind(client, 0x4000, nobody._replace(port=10)) == 400


def test_a_bound_peer_takes_no_other_channel(client: RawClient, nobody: TransportAddress) -> None:
    client.allocate()
    assert channel_bind(client, 0x4000, nobody) is None
    assert channel_bind(client, 0x4001, nobody) == 400


def test_two_ports_of_a_peer_take_two_channels(client: RawClient, nobody: TransportAddress) -> None:
    client.allocate()
    assert channel_bind(client, 0x4000, nobody) is None
    assert channel_bind(client, 0x4001, nobody._replace(port=10)) is None


def test_a_binding_permits_its_peer(client: RawClient, peer: Peer, around: Around) -> None:
    relayed = client.allocate()
    client.bind(0x4000, peer.address)
    client.send_to(peer.address, b"by indication")
    assert peer.receive() == (b"by indication", relayed)
    with Peer(around.peers[0]) as other_port:
        other_port.send(b"other port", relayed)
        assert b"other port" in client.receive()


def test_channels_are_of_their_allocation_alone(client: RawClient, peer: Peer) -> None:
    client.allocate()
    client.bind(0x4000, peer.address)
    with RawClient(client.server, client.transport) as other:
        relayed = other.allocate()
        other.send_on(0x4000, b"not bound here")
        other.bind(0x4000, peer.address)
        other.send_on(0x4000, b"bound")
        assert peer.receive() == (b"bound", relayed)


def test_a_refused_binding_binds_nothing(client: RawClient, peer: Peer) -> None:
    client.allocate()
    assert channel_bind(client, 0x4000, DENIED) in (403, None)
    answer = client.call(Method.CHANNEL_BIND, ChannelNumber(0x4002), XorPeerAddress(peer.address))
    assert answer.message_class is MessageClass.SUCCESS
    client.send(ChannelData(0x4001, b"none").encode(padded=True))
    client.send_on(0x4002, b"some")
    assert peer.receive()[0] == b"some"
