"""Permissions and channels: RFC 8656 §9, §10.2, §12.2."""

from __future__ import annotations

import pytest

from natkit.turn.events import SendToPeer
from natkit.turn.forwarding import (
    ChannelBound,
    ChannelLapsed,
    PermissionGranted,
    PermissionLapsed,
)
from natkit.turn.quota import Limits
from natkit.wire import (
    Attribute,
    ChannelNumber,
    Data,
    Message,
    Method,
    RequestedAddressFamily,
    TransportAddress,
    XorPeerAddress,
)
from tests.turn.desk import LISTENER, OVER_TCP, PEER, PEER6, RELAY_IP, TCP, UDP, Desk, code

FRIEND = TransportAddress("8.8.8.8", 6000)
PRIVATE = TransportAddress("10.0.0.1", 6000)


def permit(desk: Desk, *peers: TransportAddress) -> Message:
    return desk.ask(Method.CREATE_PERMISSION, *(XorPeerAddress(peer) for peer in peers))


def bind(desk: Desk, number: int, peer: TransportAddress = PEER) -> Message:
    return desk.ask(Method.CHANNEL_BIND, ChannelNumber(number), XorPeerAddress(peer))


def reaches(desk: Desk, peer: TransportAddress = PEER) -> bool:
    """Tell whether a Send indication gets to `peer`."""
    said = XorPeerAddress(peer), Data(b"hello")
    desk.put(Message.indication(Method.SEND, bytes(12), *said).encode())
    return bool(desk.pop(SendToPeer))


@pytest.fixture
def desk() -> Desk:
    """One with an allocation."""
    desk = Desk()
    desk.allocate()
    return desk


# --- CreatePermission


def test_permission_lets_peers_of_that_ip_in_whatever_their_port(desk: Desk) -> None:
    assert not reaches(desk)
    assert code(permit(desk, PEER)) is None
    assert reaches(desk)
    assert reaches(desk, PEER._replace(port=1))
    assert not reaches(desk, FRIEND)


def test_permission_is_told_to_the_data_plane(desk: Desk) -> None:
    permit(desk, PEER)
    [granted] = desk.pop(PermissionGranted)
    assert (granted.peer_ip, granted.expires_at) == (PEER.ip, desk.now + 300)


def test_permission_lives_until_just_before_300_s(desk: Desk) -> None:
    permit(desk, PEER)
    desk.wait(299.9)
    assert reaches(desk)


def test_permission_is_gone_at_300_s(desk: Desk) -> None:
    permit(desk, PEER)
    desk.wait(300.0)
    assert not reaches(desk)
    [lapsed] = desk.pop(PermissionLapsed)
    assert lapsed.peer_ip == PEER.ip


def test_permission_is_gone_at_300_s_although_nobody_ticked(desk: Desk) -> None:
    permit(desk, PEER)
    desk.now += 300.0
    assert not reaches(desk)


def test_permission_is_not_prolonged_by_traffic(desk: Desk) -> None:
    permit(desk, PEER)
    desk.wait(200)
    assert reaches(desk)
    desk.wait(100)
    assert not reaches(desk)


def test_permission_is_prolonged_by_create_permission(desk: Desk) -> None:
    permit(desk, PEER)
    desk.wait(200)
    permit(desk, PEER)
    desk.wait(299.9)
    assert reaches(desk)
    assert desk.pop(PermissionLapsed) == []


def test_permission_is_prolonged_by_channel_bind(desk: Desk) -> None:
    permit(desk, PEER)
    desk.wait(200)
    bind(desk, 0x4000)
    desk.wait(299.9)
    assert reaches(desk)


def test_several_permissions_in_one_request(desk: Desk) -> None:
    assert code(permit(desk, PEER, FRIEND)) is None
    assert reaches(desk)
    assert reaches(desk, FRIEND)


def test_permission_without_peer_is_400(desk: Desk) -> None:
    assert code(permit(desk)) == 400


def test_permission_for_the_other_family_is_443(desk: Desk) -> None:
    assert code(permit(desk, PEER6)) == 443


def test_permission_for_ipv4_on_an_ipv6_allocation_is_443() -> None:
    desk = Desk()
    desk.allocate(RequestedAddressFamily(2))
    assert code(permit(desk, PEER)) == 443
    assert code(permit(desk, PEER6)) is None


@pytest.mark.parametrize("bad", [PRIVATE, PEER6])
def test_one_bad_peer_and_no_permission_is_installed(desk: Desk, bad: TransportAddress) -> None:
    assert code(permit(desk, PEER, bad)) == (403 if bad is PRIVATE else 443)
    assert not reaches(desk)
    assert desk.pop(PermissionGranted) == []


def test_permission_without_allocation_is_437() -> None:
    assert code(permit(Desk(), PEER)) == 437


def test_permission_by_another_user_is_441(desk: Desk) -> None:
    said = XorPeerAddress(PEER)
    assert code(desk.ask(Method.CREATE_PERMISSION, said, user="bob", password="hush")) == 441


def test_permissions_on_an_allocation_are_limited() -> None:
    desk = Desk(limits=Limits(permissions=2))
    desk.allocate()
    permit(desk, PEER, FRIEND)
    assert code(permit(desk, TransportAddress("8.8.8.9", 1))) == 508
    assert code(permit(desk, PEER)) is None


# --- ChannelBind


@pytest.mark.parametrize("number", [0x4000, 0x4FFF, 0x7FFE])
def test_channel_is_bound_with_its_permission(desk: Desk, number: int) -> None:
    assert code(bind(desk, number)) is None
    [bound] = desk.pop(ChannelBound)
    assert (bound.channel, bound.peer, bound.path) == (number, PEER, UDP)
    assert bound.expires_at == desk.now + 600
    [granted] = desk.pop(PermissionGranted)
    assert granted.peer_ip == PEER.ip
    assert reaches(desk)


@pytest.mark.parametrize("number", [0, 0x3FFF, 0x7FFF, 0x8000, 0xFFFF])
def test_channel_out_of_range_is_400(desk: Desk, number: int) -> None:
    assert code(bind(desk, number)) == 400


@pytest.mark.parametrize("said", [(), (ChannelNumber(0x4000),), (XorPeerAddress(PEER),)])
def test_channel_without_number_or_peer_is_400(desk: Desk, said: tuple[Attribute, ...]) -> None:
    assert code(desk.ask(Method.CHANNEL_BIND, *said)) == 400


def test_same_binding_again_prolongs_it(desk: Desk) -> None:
    bind(desk, 0x4000)
    desk.wait(500)
    assert code(bind(desk, 0x4000)) is None
    desk.pop(PermissionLapsed)
    desk.refresh(3600)
    desk.wait(599.9)
    assert desk.pop(ChannelLapsed) == []


def test_channel_ends_at_600_s(desk: Desk) -> None:
    desk.refresh(3600)
    bind(desk, 0x4000)
    desk.wait(599.9)
    assert desk.pop(ChannelLapsed) == []
    desk.wait(0.1)
    [lapsed] = desk.pop(ChannelLapsed)
    assert (lapsed.channel, lapsed.peer) == (0x4000, PEER)


def test_channel_outlives_its_permission(desk: Desk) -> None:
    bind(desk, 0x4000)
    desk.wait(300)
    assert len(desk.pop(PermissionLapsed)) == 1
    assert desk.pop(ChannelLapsed) == []


def test_channel_of_another_peer_is_400(desk: Desk) -> None:
    bind(desk, 0x4000)
    assert code(bind(desk, 0x4000, FRIEND)) == 400
    assert code(bind(desk, 0x4000, PEER._replace(port=1))) == 400


def test_peer_with_another_channel_is_400(desk: Desk) -> None:
    bind(desk, 0x4000)
    assert code(bind(desk, 0x4001)) == 400


def test_two_ports_of_a_peer_have_two_channels(desk: Desk) -> None:
    bind(desk, 0x4000)
    assert code(bind(desk, 0x4001, PEER._replace(port=1))) is None


@pytest.mark.parametrize(("number", "peer"), [(0x4000, FRIEND), (0x4001, PEER)])
def test_ended_binding_keeps_channel_and_peer_for_five_minutes(
    desk: Desk, number: int, peer: TransportAddress
) -> None:
    desk.refresh(3600)
    bind(desk, 0x4000)
    desk.wait(899.9)
    assert code(bind(desk, number, peer)) == 400
    desk.wait(0.1)
    assert code(bind(desk, number, peer)) is None


def test_ended_binding_can_be_had_again_at_once(desk: Desk) -> None:
    desk.refresh(3600)
    bind(desk, 0x4000)
    desk.wait(600)
    desk.pop(ChannelBound)
    assert code(bind(desk, 0x4000)) is None
    assert len(desk.pop(ChannelBound)) == 1


def test_channel_for_the_other_family_is_443(desk: Desk) -> None:
    assert code(bind(desk, 0x4000, PEER6)) == 443


def test_channel_without_allocation_is_437() -> None:
    assert code(bind(Desk(), 0x4000)) == 437


def test_channel_by_another_user_is_441(desk: Desk) -> None:
    said = ChannelNumber(0x4000), XorPeerAddress(PEER)
    assert code(desk.ask(Method.CHANNEL_BIND, *said, user="bob", password="hush")) == 441


def test_channel_on_a_tcp_allocation_is_400() -> None:
    desk = Desk()
    desk.allocate(OVER_TCP, path=TCP)
    said = ChannelNumber(0x4000), XorPeerAddress(PEER)
    assert code(desk.ask(Method.CHANNEL_BIND, *said, path=TCP)) == 400


def test_channels_on_an_allocation_are_limited() -> None:
    desk = Desk(limits=Limits(channels=1))
    desk.allocate()
    bind(desk, 0x4000)
    assert code(bind(desk, 0x4001, FRIEND)) == 508
    assert code(bind(desk, 0x4000)) is None


def test_channels_keep_the_limit_on_permissions() -> None:
    desk = Desk(limits=Limits(permissions=1))
    desk.allocate()
    bind(desk, 0x4000)
    assert code(bind(desk, 0x4001, FRIEND)) == 508


def test_binding_again_keeps_the_limit_on_permissions() -> None:
    desk = Desk(limits=Limits(permissions=1))
    desk.allocate()
    bind(desk, 0x4000)
    desk.wait(300)
    permit(desk, FRIEND)
    assert code(bind(desk, 0x4000)) == 508


# --- what the policy refuses, on every way in


@pytest.mark.parametrize(
    "ip", ["10.0.0.1", "127.0.0.1", "0.0.0.0", "169.254.169.254", "224.0.0.1", "255.255.255.255"]
)
def test_forbidden_peer_is_403_by_permission_and_channel(desk: Desk, ip: str) -> None:
    peer = TransportAddress(ip, 6000)
    assert code(permit(desk, peer)) == 403
    assert code(bind(desk, 0x4000, peer)) == 403


@pytest.mark.parametrize("ip", ["::ffff:10.0.0.1", "::10.0.0.1", "64:ff9b::a00:1", "::1", "::"])
def test_forbidden_peer_in_ipv6_clothes_is_403(ip: str) -> None:
    desk = Desk()
    desk.allocate(RequestedAddressFamily(2))
    peer = TransportAddress(ip, 6000)
    assert code(permit(desk, peer)) == 403
    assert code(bind(desk, 0x4000, peer)) == 403


def test_mapped_peer_on_an_ipv4_allocation_is_443(desk: Desk) -> None:
    assert code(permit(desk, TransportAddress("::ffff:8.8.4.4", 1))) == 443


def test_peer_port_zero_cannot_be_bound_or_sent_to(desk: Desk) -> None:
    permit(desk, PEER)
    assert code(bind(desk, 0x4000, PEER._replace(port=0))) == 403
    assert not reaches(desk, PEER._replace(port=0))


def test_own_relayed_address_is_a_good_peer_and_the_listener_is_none(desk: Desk) -> None:
    other = TransportAddress(RELAY_IP, 60000)
    ssh = TransportAddress(RELAY_IP, 22)
    assert code(permit(desk, other)) is None
    assert reaches(desk, other)
    assert not reaches(desk, ssh)
    assert code(bind(desk, 0x4000, ssh)) == 403
    assert code(bind(desk, 0x4000, LISTENER)) == 403
    assert code(bind(desk, 0x4000, other)) is None
