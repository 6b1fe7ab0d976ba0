"""Refresh: RFC 8656 §8.2, and what comes twice (RFC 8489 §6.3.1)."""

from __future__ import annotations

import pytest

from natkit.turn.events import SendToPeer
from natkit.turn.forwarding import AllocationClosed, ChannelLapsed, CloseReason
from natkit.turn.register import MEMORY
from natkit.wire import (
    ChannelNumber,
    Data,
    Lifetime,
    Message,
    Method,
    RequestedAddressFamily,
    XorPeerAddress,
)
from natkit.wire.attributes import AdditionalAddressFamily
from tests.turn.desk import OTHER, OVER_UDP, PEER, PEER6, TCP, UDP, Desk, code, seconds

IPV4, IPV6 = RequestedAddressFamily(1), RequestedAddressFamily(2)


def test_refresh_prolongs_from_now_on() -> None:
    desk = Desk()
    desk.allocate()
    desk.wait(500)
    assert seconds(desk.refresh(700)) == 700
    desk.wait(699.9)
    assert code(desk.refresh(600)) is None


@pytest.mark.parametrize(("wanted", "granted"), [(1, 600), (3601, 3600), (1000, 1000)])
def test_refresh_is_clamped(wanted: int, granted: int) -> None:
    desk = Desk()
    desk.allocate()
    assert seconds(desk.refresh(wanted)) == granted


def test_refresh_without_lifetime_grants_the_default() -> None:
    desk = Desk()
    desk.allocate()
    assert seconds(desk.ask(Method.REFRESH)) == 600


def test_refresh_can_shorten() -> None:
    desk = Desk()
    desk.allocate(Lifetime(3600))
    desk.refresh(600)
    desk.wait(600.0)
    assert not desk.open


def test_refresh_of_zero_deletes() -> None:
    desk = Desk()
    relayed = desk.allocate()
    assert seconds(desk.refresh(0)) == 0
    closed = AllocationClosed(UDP, relayed, "alice", CloseReason.DELETED)
    assert desk.pop(AllocationClosed) == [closed]
    assert not desk.open


def test_refresh_after_deletion_is_437() -> None:
    desk = Desk()
    desk.allocate()
    desk.refresh(0)
    assert code(desk.refresh(0)) == 437


def test_refresh_without_allocation_is_437() -> None:
    assert code(Desk().refresh(600)) == 437


def test_refresh_by_another_user_is_441() -> None:
    desk = Desk()
    desk.allocate()
    assert code(desk.refresh(0, user="bob", password="hush")) == 441
    assert len(desk.open) == 1


@pytest.mark.parametrize("family", [IPV6, RequestedAddressFamily(3)])
def test_refresh_of_another_family_is_443(family: RequestedAddressFamily) -> None:
    desk = Desk()
    desk.allocate()
    assert code(desk.refresh(0, family)) == 443
    assert len(desk.open) == 1


def test_one_of_two_families_can_be_deleted() -> None:
    desk = Desk()
    desk.allocate(AdditionalAddressFamily(2))
    assert seconds(desk.refresh(0, IPV4)) == 0
    assert [relayed.is_ipv6 for relayed in desk.open] == [True]
    assert code(desk.ask(Method.CREATE_PERMISSION, XorPeerAddress(PEER6))) is None
    assert seconds(desk.refresh(0, IPV6)) == 0
    assert code(desk.refresh(600)) == 437


def test_deleted_family_takes_its_permissions_and_channels_along_and_no_others() -> None:
    desk = Desk()
    desk.allocate(AdditionalAddressFamily(2))
    for number, peer in ((0x4000, PEER), (0x4001, PEER6)):
        desk.ask(Method.CHANNEL_BIND, ChannelNumber(number), XorPeerAddress(peer))
    desk.refresh(0, IPV4)
    [relayed] = desk.open
    for number, peer in ((0x4000, PEER), (0x4001, PEER6)):
        indication = Message.indication(Method.SEND, bytes(12), XorPeerAddress(peer), Data(b""))
        desk.put(indication.encode())
        answer = desk.ask(Method.CHANNEL_BIND, ChannelNumber(number), XorPeerAddress(peer))
        assert code(answer) == (443 if peer is PEER else None)
    assert [(sent.relayed, sent.peer) for sent in desk.pop(SendToPeer)] == [(relayed, PEER6)]
    desk.wait(1000)
    assert [lapsed.channel for lapsed in desk.pop(ChannelLapsed)] == []


def test_closed_stream_ends_its_allocation() -> None:
    desk = Desk()
    relayed = desk.allocate(path=TCP)
    desk.server.path_closed(TCP, now=desk.now)
    desk.settle()
    closed = AllocationClosed(TCP, relayed, "alice", CloseReason.DISCONNECTED)
    assert desk.pop(AllocationClosed) == [closed]
    assert not desk.open


# --- what comes twice


def test_allocate_sent_again_gets_the_same_answer() -> None:
    desk = Desk()
    request = desk.signed(Method.ALLOCATE, OVER_UDP)
    assert desk.put(request) == desk.put(request) != []
    assert len(desk.open) == 1


def test_deletion_sent_again_gets_the_same_answer() -> None:
    desk = Desk()
    desk.allocate()
    request = desk.signed(Method.REFRESH, Lifetime(0))
    first = desk.put(request)
    desk.wait(MEMORY - 0.1)
    assert desk.put(request) == first


def test_deletion_is_forgotten_after_40_s() -> None:
    desk = Desk()
    desk.allocate()
    request = desk.signed(Method.REFRESH, Lifetime(0))
    desk.put(request)
    desk.wait(40.0)
    [again] = desk.put(request)
    assert code(Message.decode(again)) == 437


def test_deletion_sent_again_does_not_touch_a_new_allocation() -> None:
    desk = Desk()
    desk.allocate()
    request = desk.signed(Method.REFRESH, Lifetime(0))
    desk.put(request)
    desk.allocate()
    desk.put(request)
    assert len(desk.open) == 1


def test_what_one_client_sent_is_not_replayed_to_another() -> None:
    desk = Desk()
    desk.allocate()
    request = desk.signed(Method.REFRESH, Lifetime(0))
    desk.put(request)
    [answer] = desk.put(request, OTHER)
    assert code(Message.decode(answer)) == 438
