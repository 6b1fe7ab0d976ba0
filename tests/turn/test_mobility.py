"""Mobility: RFC 8016, and the holes that others had."""

from __future__ import annotations

from typing import Any

from natkit.turn.credentials import Credentials, rest_password, rest_username
from natkit.turn.forwarding import AllocationMoved, Path, Transport
from natkit.turn.quota import Limits
from natkit.wire import (
    Lifetime,
    Message,
    Method,
    MobilityTicket,
    TransportAddress,
    XorPeerAddress,
)
from tests.turn.desk import (
    EPOCH,
    LISTENER,
    OTHER,
    OVER_TCP,
    OVER_UDP,
    PEER,
    TCP,
    UDP,
    Desk,
    code,
    seconds,
)

WANTED = MobilityTicket(b"")
THIRD = Path(TransportAddress("203.0.113.7", 1), LISTENER, Transport.UDP)


def ticket_in(answer: Message) -> MobilityTicket:
    found = answer.find(MobilityTicket)
    assert found is not None, answer
    return found


def mobile(desk: Desk, path: Path = UDP) -> MobilityTicket:
    return ticket_in(desk.ask(Method.ALLOCATE, OVER_UDP, WANTED, path=path))


def test_ticket_is_given_to_who_asks() -> None:
    desk = Desk()
    assert len(mobile(desk).value) == 16
    assert desk.ask(Method.ALLOCATE, OVER_UDP, path=OTHER).find(MobilityTicket) is None


def test_mobility_that_is_switched_off_is_405() -> None:
    desk = Desk(mobility=False)
    assert code(desk.ask(Method.ALLOCATE, OVER_UDP, WANTED)) == 405
    assert code(desk.refresh(600, MobilityTicket(bytes(16)))) == 405


def test_allocate_with_a_ticket_that_is_not_empty_is_400() -> None:
    assert code(Desk().ask(Method.ALLOCATE, OVER_UDP, MobilityTicket(bytes(16)))) == 400


def test_ticket_moves_the_allocation() -> None:
    desk = Desk()
    ticket = mobile(desk)
    [relayed] = desk.open
    answer = desk.refresh(700, ticket, path=OTHER)
    assert seconds(answer) == 700
    assert ticket_in(answer) != ticket
    assert desk.pop(AllocationMoved) == [AllocationMoved(relayed, UDP, OTHER)]
    assert code(desk.refresh(600)) == 437
    assert code(desk.refresh(600, path=OTHER)) is None


def test_permissions_move_too() -> None:
    desk = Desk()
    ticket = mobile(desk)
    desk.ask(Method.CREATE_PERMISSION, XorPeerAddress(PEER))
    desk.refresh(600, ticket, path=OTHER)
    [relayed] = desk.open
    desk.sent.clear()
    desk.server.from_peer(relayed, b"hi", PEER, now=desk.now)
    desk.settle()
    assert [sent.path for sent in desk.sent] == [OTHER]


def test_unknown_ticket_is_400() -> None:
    desk = Desk()
    mobile(desk)
    for value in (b"", b"x", bytes(16)):
        assert code(desk.refresh(600, MobilityTicket(value), path=OTHER)) == 400


def test_ticket_of_another_user_is_441_and_moves_nothing() -> None:
    desk = Desk()
    ticket = mobile(desk)
    answer = desk.refresh(600, ticket, path=OTHER, user="bob", password="hush")
    assert code(answer) == 441
    assert desk.pop(AllocationMoved) == []
    assert code(desk.refresh(600)) is None


def test_ticket_of_another_user_does_not_delete() -> None:
    desk = Desk()
    ticket = mobile(desk)
    desk.refresh(0, ticket, path=OTHER, user="bob", password="hush")
    assert len(desk.open) == 1


def test_ticket_on_its_own_5_tuple_is_an_ordinary_refresh() -> None:
    desk = Desk()
    ticket = mobile(desk)
    assert desk.refresh(600, ticket).find(MobilityTicket) is None
    assert code(desk.refresh(600, ticket, path=OTHER)) is None


def test_ticket_does_not_displace_the_allocation_of_where_it_goes() -> None:
    desk = Desk()
    ticket = mobile(desk)
    desk.allocate(path=OTHER)
    desk.refresh(600, ticket, path=OTHER)
    assert code(desk.refresh(600)) is None
    assert len(desk.open) == 2


def test_move_while_an_allocate_is_under_way_there_is_437() -> None:
    desk = Desk()
    ticket = mobile(desk)
    desk.held = []
    desk.put(desk.signed(Method.ALLOCATE, OVER_UDP, path=OTHER), OTHER)
    assert code(desk.refresh(600, ticket, path=OTHER)) == 437


def test_move_sent_again_gets_the_same_answer() -> None:
    desk = Desk()
    ticket = mobile(desk)
    request = desk.signed(Method.REFRESH, Lifetime(600), ticket, path=OTHER)
    first = desk.put(request, OTHER)
    assert desk.put(request, OTHER) == first != []
    assert len(desk.pop(AllocationMoved)) == 1


def test_ticket_whose_answer_was_lost_moves_once_more() -> None:
    desk = Desk()
    ticket = mobile(desk)
    desk.refresh(600, ticket, path=OTHER)
    assert code(desk.refresh(600, ticket, path=THIRD)) is None


def test_ticket_is_void_once_the_next_one_was_used() -> None:
    desk = Desk()
    first = mobile(desk)
    second = ticket_in(desk.refresh(600, first, path=OTHER))
    desk.refresh(600, second, path=THIRD)
    assert code(desk.refresh(600, first)) == 400


def test_move_with_lifetime_zero_deletes() -> None:
    desk = Desk()
    ticket = mobile(desk)
    assert seconds(desk.refresh(0, ticket, path=OTHER)) == 0
    assert not desk.open


def test_moving_to_and_fro_makes_no_state() -> None:
    desk = Desk()
    ticket = mobile(desk)
    for turn in range(200):
        ticket = ticket_in(desk.refresh(600, ticket, path=(OTHER, UDP)[turn % 2]))
    desk.refresh(0)
    desk.wait(40)
    assert desk.server.deadline() is None
    assert not desk.open


def test_client_whose_stream_closed_can_come_back() -> None:
    desk = Desk()
    ticket = mobile(desk, TCP)
    desk.server.path_closed(TCP, now=desk.now)
    desk.settle()
    assert len(desk.open) == 1
    assert code(desk.refresh(600, ticket)) is None


def test_client_who_is_gone_counts_until_the_allocation_expires() -> None:
    desk = Desk(limits=Limits(allocations_per_user=1))
    mobile(desk, TCP)
    desk.server.path_closed(TCP, now=desk.now)
    assert code(desk.ask(Method.ALLOCATE, OVER_UDP, path=OTHER)) == 486
    desk.wait(600)
    assert not desk.open
    assert code(desk.ask(Method.ALLOCATE, OVER_UDP, path=OTHER)) is None


def test_disconnecting_and_allocating_again_does_not_evade_the_quota() -> None:
    desk = Desk(limits=Limits(allocations_per_user=3))
    granted = 0
    for port in range(20):
        path = TCP._replace(client=TCP.client._replace(port=1024 + port))
        granted += code(desk.ask(Method.ALLOCATE, OVER_UDP, WANTED, path=path)) is None
        desk.server.path_closed(path, now=desk.now)
    assert granted == 3
    assert len(desk.open) == 3


def test_port_used_again_ends_what_strayed_from_it() -> None:
    desk = Desk()
    mobile(desk, TCP)
    desk.server.path_closed(TCP, now=desk.now)
    desk.allocate(path=TCP)
    assert len(desk.open) == 1


def test_old_stream_that_closes_after_the_move_ends_nothing() -> None:
    desk = Desk()
    ticket = mobile(desk, TCP)
    desk.refresh(600, ticket)
    desk.server.path_closed(TCP, now=desk.now)
    assert code(desk.refresh(600)) is None


def test_tcp_allocation_does_not_move_to_datagrams() -> None:
    desk = Desk()
    ticket = ticket_in(desk.ask(Method.ALLOCATE, OVER_TCP, WANTED, path=TCP))
    assert code(desk.refresh(600, ticket)) == 400


def test_ticket_does_not_let_an_expired_name_allocate() -> None:
    desk = Desk(credentials=Credentials({}, ("key",)))
    name = rest_username("carol", expires=int(EPOCH) + 1060)
    who: dict[str, Any] = {"user": name, "password": rest_password("key", name)}
    ticket = ticket_in(desk.ask(Method.ALLOCATE, OVER_UDP, WANTED, **who))
    desk.wait(100)
    assert code(desk.ask(Method.ALLOCATE, OVER_UDP, ticket, path=OTHER, **who)) == 401


def test_move_works_after_the_rest_name_has_expired() -> None:
    desk = Desk(credentials=Credentials({}, ("key",)))
    name = rest_username("carol", expires=int(EPOCH) + 1060)
    who: dict[str, Any] = {"user": name, "password": rest_password("key", name)}
    ticket = ticket_in(desk.ask(Method.ALLOCATE, OVER_UDP, WANTED, **who))
    desk.wait(100)
    assert code(desk.refresh(600, ticket, path=OTHER, **who)) is None
