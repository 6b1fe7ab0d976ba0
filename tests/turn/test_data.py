"""Send and Data indications, and ICMP errors: RFC 8656 §11."""

from __future__ import annotations

import pytest

from natkit.network import IcmpError
from natkit.turn.events import SendToPeer
from natkit.turn.forwarding import Path
from natkit.wire import (
    Attribute,
    ChannelNumber,
    Data,
    DontFragment,
    Icmp,
    Lifetime,
    Message,
    MessageClass,
    Method,
    Priority,
    RequestedAddressFamily,
    TransportAddress,
    Unrecognised,
    XorPeerAddress,
)
from tests.turn.desk import OTHER, OVER_TCP, PEER, PEER6, TCP, UDP, Desk, code

FRIEND = TransportAddress("8.8.8.8", 6000)


@pytest.fixture
def desk() -> Desk:
    """One whose client may talk with PEER."""
    desk = Desk()
    desk.allocate()
    desk.ask(Method.CREATE_PERMISSION, XorPeerAddress(PEER))
    desk.sent.clear()
    return desk


def send(desk: Desk, *attributes: Attribute | Unrecognised) -> list[SendToPeer]:
    """Send an indication. Returns: what goes to the peer."""
    assert desk.put(Message.indication(Method.SEND, bytes(12), *attributes).encode()) == []
    return desk.pop(SendToPeer)


def heard(desk: Desk) -> list[Message]:
    """Return the indications that came to the client."""
    desk.settle()
    found = [Message.decode(sent.data) for sent in desk.sent if sent.path == UDP]
    desk.sent.clear()
    return found


def test_send_goes_to_the_peer_from_the_relayed_address(desk: Desk) -> None:
    [relayed] = desk.open
    assert send(desk, XorPeerAddress(PEER), Data(b"hello")) == [
        SendToPeer(relayed, PEER, b"hello", dont_fragment=False)
    ]


def test_send_of_nothing_sends_an_empty_datagram(desk: Desk) -> None:
    [command] = send(desk, XorPeerAddress(PEER), Data(b""))
    assert command.data == b""


def test_send_with_dont_fragment_asks_for_df(desk: Desk) -> None:
    [command] = send(desk, XorPeerAddress(PEER), Data(b"x"), DontFragment())
    assert command.dont_fragment


@pytest.mark.parametrize(("path", "kept"), [(UDP, False), (TCP, True)])
def test_dont_fragment_to_an_ipv6_peer_is_ignored_but_from_a_stream(path: Path, kept: bool) -> None:
    desk = Desk()
    desk.allocate(RequestedAddressFamily(2), path=path)
    desk.ask(Method.CREATE_PERMISSION, XorPeerAddress(PEER6), path=path)
    sent = Message.indication(
        Method.SEND, bytes(12), XorPeerAddress(PEER6), Data(b"x"), DontFragment()
    )
    desk.put(sent.encode(), path)
    [command] = desk.pop(SendToPeer)
    assert command.dont_fragment is kept


def test_send_with_dont_fragment_that_cannot_be_done_is_dropped() -> None:
    desk = Desk(dont_fragment=False)
    desk.allocate()
    desk.ask(Method.CREATE_PERMISSION, XorPeerAddress(PEER))
    assert send(desk, XorPeerAddress(PEER), Data(b"x"), DontFragment()) == []
    assert send(desk, XorPeerAddress(PEER), Data(b"x")) != []


@pytest.mark.parametrize(
    "attributes",
    [
        (),
        (Data(b"x"),),
        (XorPeerAddress(PEER),),
        (XorPeerAddress(FRIEND), Data(b"x")),
        (XorPeerAddress(PEER6), Data(b"x")),
        (XorPeerAddress(PEER), Data(b"x"), Unrecognised(0x7FFF, b"")),
        (XorPeerAddress(PEER), Data(b"x"), Priority(1)),
    ],
)
def test_send_that_breaks_a_rule_is_dropped(
    desk: Desk, attributes: tuple[Attribute | Unrecognised, ...]
) -> None:
    assert send(desk, *attributes) == []


def test_unknown_optional_attribute_in_send_is_ignored(desk: Desk) -> None:
    assert send(desk, XorPeerAddress(PEER), Data(b"x"), Unrecognised(0xFFFF, b"")) != []


def test_first_of_two_peers_in_send_counts(desk: Desk) -> None:
    [command] = send(desk, XorPeerAddress(PEER), XorPeerAddress(FRIEND), Data(b"x"))
    assert command.peer == PEER
    assert send(desk, XorPeerAddress(FRIEND), XorPeerAddress(PEER), Data(b"x")) == []


def test_send_without_allocation_is_dropped(desk: Desk) -> None:
    indication = Message.indication(Method.SEND, bytes(12), XorPeerAddress(PEER), Data(b"x"))
    desk.put(indication.encode(), OTHER)
    assert desk.pop(SendToPeer) == []


def test_send_on_a_tcp_allocation_is_dropped() -> None:
    desk = Desk()
    desk.allocate(OVER_TCP, path=TCP)
    desk.ask(Method.CREATE_PERMISSION, XorPeerAddress(PEER), path=TCP)
    indication = Message.indication(Method.SEND, bytes(12), XorPeerAddress(PEER), Data(b"x"))
    desk.put(indication.encode(), TCP)
    assert desk.pop(SendToPeer) == []


def test_peer_behind_the_signature_of_a_request_does_not_count(desk: Desk) -> None:
    request = Message.decode(desk.signed(Method.CREATE_PERMISSION))
    smuggled = XorPeerAddress(FRIEND).packed(request.transaction_id)
    signed = bytearray(desk.signed(Method.CREATE_PERMISSION) + smuggled)
    signed[2:4] = (len(signed) - 20).to_bytes(2, "big")
    [answer] = desk.put(bytes(signed))
    assert code(Message.decode(answer)) == 400


def test_lifetime_behind_the_signature_does_not_count(desk: Desk) -> None:
    signed = bytearray(desk.signed(Method.REFRESH) + Lifetime(0).packed(bytes(12)))
    signed[2:4] = (len(signed) - 20).to_bytes(2, "big")
    desk.put(bytes(signed))
    assert len(desk.open) == 1


# --- from peers


def test_permitted_peer_is_heard_whatever_its_port(desk: Desk) -> None:
    [relayed] = desk.open
    peer = PEER._replace(port=7)
    desk.server.from_peer(relayed, b"hi", peer, now=desk.now)
    [message] = heard(desk)
    assert (message.method, message.message_class) == (Method.DATA, MessageClass.INDICATION)
    assert message.attributes == (XorPeerAddress(peer), Data(b"hi"))


def test_empty_datagram_of_a_peer_is_relayed(desk: Desk) -> None:
    [relayed] = desk.open
    desk.server.from_peer(relayed, b"", PEER, now=desk.now)
    [message] = heard(desk)
    assert message.find(Data) == Data(b"")


def test_peer_without_permission_is_not_heard(desk: Desk) -> None:
    [relayed] = desk.open
    desk.server.from_peer(relayed, b"hi", FRIEND, now=desk.now)
    assert heard(desk) == []


def test_peer_is_not_heard_once_its_permission_has_ended(desk: Desk) -> None:
    [relayed] = desk.open
    desk.now += 300.0
    desk.server.from_peer(relayed, b"hi", PEER, now=desk.now)
    assert heard(desk) == []


def test_peer_of_an_allocation_that_is_gone_is_not_heard(desk: Desk) -> None:
    [relayed] = desk.open
    desk.refresh(0)
    desk.sent.clear()
    desk.server.from_peer(relayed, b"hi", PEER, now=desk.now)
    assert heard(desk) == []


def test_peer_is_heard_on_the_relayed_address_it_sent_to() -> None:
    desk = Desk()
    first = desk.allocate()
    desk.allocate(path=OTHER)
    desk.ask(Method.CREATE_PERMISSION, XorPeerAddress(PEER), path=OTHER)
    desk.sent.clear()
    desk.server.from_peer(first, b"hi", PEER, now=desk.now)
    desk.settle()
    assert desk.sent == []


# --- ICMP


@pytest.mark.parametrize(("kind", "code"), [(3, 0), (3, 1), (3, 3), (3, 4), (3, 13), (11, 0)])
def test_icmp_error_is_told_to_the_client(desk: Desk, kind: int, code: int) -> None:
    [relayed] = desk.open
    desk.server.peer_error(relayed, IcmpError(kind, code, PEER, "9.9.9.1"), now=desk.now)
    [message] = heard(desk)
    assert (message.method, message.message_class) == (Method.DATA, MessageClass.INDICATION)
    assert message.attributes == (XorPeerAddress(PEER), Icmp(kind, code))


def test_icmp_error_tells_the_mtu_where_there_is_one(desk: Desk) -> None:
    [relayed] = desk.open
    desk.server.peer_error(relayed, IcmpError(3, 4, PEER, None, 1280), now=desk.now)
    [message] = heard(desk)
    assert message.find(Icmp) == Icmp(3, 4, b"\0\0\x05\0")


@pytest.mark.parametrize("kind", [1, 2, 3])
def test_icmpv6_error_is_told_to_the_client(kind: int) -> None:
    desk = Desk()
    relayed = desk.allocate(RequestedAddressFamily(2))
    desk.ask(Method.CREATE_PERMISSION, XorPeerAddress(PEER6))
    desk.sent.clear()
    desk.server.peer_error(relayed, IcmpError(kind, 0, PEER6, None), now=desk.now)
    [message] = heard(desk)
    assert message.find(Icmp) == Icmp(kind, 0)


@pytest.mark.parametrize("kind", [0, 4, 5, 8, 12])
def test_icmp_messages_of_other_kinds_are_not_told(desk: Desk, kind: int) -> None:
    [relayed] = desk.open
    desk.server.peer_error(relayed, IcmpError(kind, 0, PEER, None), now=desk.now)
    assert heard(desk) == []


@pytest.mark.parametrize("destination", [None, FRIEND])
def test_icmp_about_nobody_permitted_is_not_told(
    desk: Desk, destination: TransportAddress | None
) -> None:
    [relayed] = desk.open
    desk.server.peer_error(relayed, IcmpError(3, 3, destination, None), now=desk.now)
    assert heard(desk) == []


def test_channel_does_not_stop_indications(desk: Desk) -> None:
    desk.ask(Method.CHANNEL_BIND, ChannelNumber(0x4000), XorPeerAddress(PEER))
    assert send(desk, XorPeerAddress(PEER), Data(b"x")) != []
