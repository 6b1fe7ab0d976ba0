"""Relaying TCP: RFC 6062 §5."""

from __future__ import annotations

from typing import Any

import pytest

from natkit.turn.credentials import Credentials, rest_password, rest_username
from natkit.turn.events import BindConnection, ClosePeer, ConnectPeer, RequestRefused
from natkit.turn.forwarding import Path
from natkit.turn.quota import Limits
from natkit.wire import (
    ConnectionId,
    Message,
    MessageClass,
    Method,
    TransportAddress,
    XorPeerAddress,
)
from tests.turn.desk import DATA_TCP, EPOCH, OVER_TCP, PEER, PEER6, TCP, UDP, Desk, code

FRIEND = TransportAddress("8.8.8.8", 6000)
FAR = XorPeerAddress(PEER)


@pytest.fixture
def desk() -> Desk:
    """One with a TCP allocation on TCP."""
    desk = Desk()
    desk.allocate(OVER_TCP, path=TCP)
    return desk


def connecting(desk: Desk, peer: TransportAddress = PEER) -> int:
    """Ask to connect. Returns: the connection that the driver is to make."""
    assert desk.put(desk.signed(Method.CONNECT, XorPeerAddress(peer), path=TCP), TCP) == []
    [command] = desk.pop(ConnectPeer)
    assert {command.relayed} == desk.open
    assert command.peer == peer
    return command.connection


def told(desk: Desk, path: Path = TCP) -> Message:
    desk.settle()
    [data] = [sent.data for sent in desk.sent if sent.path == path]
    desk.sent.clear()
    return Message.decode(data)


def connected(desk: Desk, peer: TransportAddress = PEER) -> int:
    """Connect. Returns: the connection, of which the client was told."""
    number = connecting(desk, peer)
    desk.server.peer_connected(number, now=desk.now)
    answer = told(desk)
    assert answer.message_class is MessageClass.SUCCESS
    assert answer.find(ConnectionId) == ConnectionId(number)
    return number


def bind(desk: Desk, number: int, path: Path = DATA_TCP, **who: Any) -> Message:
    said = ConnectionId(number)
    return desk.ask(Method.CONNECTION_BIND, said, path=path, **who)


# --- Connect


def test_connect_answers_once_the_peer_has_taken_it(desk: Desk) -> None:
    number = connected(desk)
    assert code(bind(desk, number)) is None
    assert desk.pop(BindConnection) == [BindConnection(DATA_TCP, number)]


def test_connect_that_fails_is_447(desk: Desk) -> None:
    number = connecting(desk)
    desk.server.peer_failed(number, "refused", now=desk.now)
    assert code(told(desk)) == 447
    assert desk.pop(RequestRefused)[-1].why == f"{PEER}: refused"
    desk.wait(30)
    assert desk.pop(ClosePeer) == []
    connecting(desk)


def test_connect_without_an_answer_is_447_after_30_s(desk: Desk) -> None:
    number = connecting(desk)
    desk.wait(29.9)
    assert desk.sent == []
    desk.wait(0.1)
    assert code(told(desk)) == 447
    assert desk.pop(ClosePeer) == [ClosePeer(number)]
    desk.server.peer_connected(number, now=desk.now)
    desk.settle()
    assert desk.sent == []


def test_connect_without_peer_is_400(desk: Desk) -> None:
    assert code(desk.ask(Method.CONNECT, path=TCP)) == 400


def test_connect_without_allocation_is_437() -> None:
    assert code(Desk().ask(Method.CONNECT, FAR, path=TCP)) == 437


def test_connect_on_a_udp_allocation_is_437() -> None:
    desk = Desk()
    desk.allocate(path=TCP)
    assert code(desk.ask(Method.CONNECT, FAR, path=TCP)) == 437


def test_connect_by_another_user_is_441(desk: Desk) -> None:
    assert code(desk.ask(Method.CONNECT, FAR, path=TCP, user="bob", password="hush")) == 441


def test_connect_to_the_other_family_is_443(desk: Desk) -> None:
    assert code(desk.ask(Method.CONNECT, XorPeerAddress(PEER6), path=TCP)) == 443


@pytest.mark.parametrize("ip", ["10.0.0.1", "127.0.0.1", "169.254.169.254", "0.0.0.0"])
def test_connect_to_a_forbidden_peer_is_403(desk: Desk, ip: str) -> None:
    peer = XorPeerAddress(TransportAddress(ip, 80))
    assert code(desk.ask(Method.CONNECT, peer, path=TCP)) == 403


def test_second_connect_to_a_peer_is_446(desk: Desk) -> None:
    number = connecting(desk)
    assert code(desk.ask(Method.CONNECT, FAR, path=TCP)) == 446
    desk.server.peer_connected(number, now=desk.now)
    assert (
        code(Message.decode(desk.put(desk.signed(Method.CONNECT, FAR, path=TCP), TCP)[-1])) == 446
    )
    bind(desk, number)
    assert code(desk.ask(Method.CONNECT, FAR, path=TCP)) == 446


def test_peer_can_be_connected_again_after_it_closed(desk: Desk) -> None:
    number = connected(desk)
    bind(desk, number)
    desk.server.peer_closed(number, now=desk.now)
    connecting(desk)


def test_connections_of_an_allocation_are_limited() -> None:
    desk = Desk(limits=Limits(connections=1))
    desk.allocate(OVER_TCP, path=TCP)
    connecting(desk)
    assert code(desk.ask(Method.CONNECT, XorPeerAddress(FRIEND), path=TCP)) == 508


# --- ConnectionBind


def test_connection_can_be_bound_until_just_before_30_s(desk: Desk) -> None:
    number = connected(desk)
    desk.wait(29.9)
    assert code(bind(desk, number)) is None


def test_connection_that_nobody_bound_is_closed_at_30_s(desk: Desk) -> None:
    number = connected(desk)
    desk.wait(30.0)
    assert desk.pop(ClosePeer) == [ClosePeer(number)]
    assert code(bind(desk, number)) == 400


def test_bound_connection_does_not_time_out(desk: Desk) -> None:
    bind(desk, connected(desk))
    desk.refresh(3600, path=TCP)
    desk.wait(3000)
    assert desk.pop(ClosePeer) == []


def test_connection_is_bound_once(desk: Desk) -> None:
    number = connected(desk)
    bind(desk, number)
    assert code(bind(desk, number, DATA_TCP._replace(client=PEER))) == 400


def test_bind_of_an_unknown_or_unnamed_connection_is_400(desk: Desk) -> None:
    assert code(bind(desk, 12345)) == 400
    assert code(desk.ask(Method.CONNECTION_BIND, path=DATA_TCP)) == 400


def test_bind_before_the_peer_has_answered_is_400(desk: Desk) -> None:
    assert code(bind(desk, connecting(desk))) == 400


def test_bind_over_udp_is_400(desk: Desk) -> None:
    assert code(bind(desk, connected(desk), UDP)) == 400


def test_bind_on_the_control_connection_is_400(desk: Desk) -> None:
    assert code(bind(desk, connected(desk), TCP)) == 400


def test_bind_on_a_joined_connection_is_400_and_the_first_goes_on(desk: Desk) -> None:
    first, second = connected(desk), connected(desk, FRIEND)
    assert code(bind(desk, first)) is None
    assert code(bind(desk, second)) == 400
    desk.wait(30)
    assert desk.pop(ClosePeer) == [ClosePeer(second)]
    desk.server.path_closed(TCP, now=desk.now)
    desk.settle()
    assert desk.pop(ClosePeer) == [ClosePeer(first)]


def test_bind_by_another_user_is_441(desk: Desk) -> None:
    number = connected(desk)
    assert code(bind(desk, number, user="bob", password="hush")) == 441
    assert code(bind(desk, number)) is None


def test_bind_after_the_rest_name_has_expired() -> None:
    desk = Desk(credentials=Credentials({}, ("key",)))
    name = rest_username("carol", expires=int(EPOCH + desk.now) + 10)
    who: dict[str, Any] = {"user": name, "password": rest_password("key", name)}
    desk.allocate(OVER_TCP, path=TCP, **who)
    desk.put(desk.signed(Method.CONNECT, FAR, path=TCP, **who), TCP)
    [command] = desk.pop(ConnectPeer)
    desk.server.peer_connected(command.connection, now=desk.now)
    desk.wait(20)
    assert code(bind(desk, command.connection, **who)) is None


def test_connection_id_does_not_let_an_expired_name_allocate() -> None:
    desk = Desk(credentials=Credentials({}, ("key",)))
    name = rest_username("carol", expires=int(EPOCH + desk.now) + 10)
    who: dict[str, Any] = {"user": name, "password": rest_password("key", name)}
    desk.allocate(OVER_TCP, path=TCP, **who)
    desk.put(desk.signed(Method.CONNECT, FAR, path=TCP, **who), TCP)
    [command] = desk.pop(ConnectPeer)
    desk.wait(20)
    said = OVER_TCP, ConnectionId(command.connection)
    assert code(desk.ask(Method.ALLOCATE, *said, path=DATA_TCP, **who)) == 401


# --- peers that connect


def accepted(desk: Desk, peer: TransportAddress = PEER) -> int | None:
    [relayed] = desk.open
    desk.sent.clear()
    number = desk.server.peer_accepted(relayed, peer, now=desk.now)
    desk.settle()
    return number


def permit(desk: Desk) -> None:
    desk.ask(Method.CREATE_PERMISSION, FAR, path=TCP)


def test_permitted_peer_that_connects_is_announced(desk: Desk) -> None:
    permit(desk)
    number = accepted(desk)
    assert number is not None
    attempt = told(desk)
    assert attempt.method is Method.CONNECTION_ATTEMPT
    assert attempt.message_class is MessageClass.INDICATION
    assert attempt.attributes == (ConnectionId(number), FAR)
    assert code(bind(desk, number)) is None


def test_peer_without_permission_is_not_let_in(desk: Desk) -> None:
    assert accepted(desk) is None
    assert desk.sent == []


def test_peer_whose_permission_has_ended_is_not_let_in(desk: Desk) -> None:
    permit(desk)
    desk.wait(300)
    assert accepted(desk) is None


def test_peer_beyond_the_limit_is_not_let_in() -> None:
    desk = Desk(limits=Limits(connections=1))
    desk.allocate(OVER_TCP, path=TCP)
    permit(desk)
    assert accepted(desk) is not None
    assert accepted(desk, PEER._replace(port=1)) is None


def test_announced_peer_that_nobody_wants_is_closed_at_30_s(desk: Desk) -> None:
    permit(desk)
    number = accepted(desk)
    desk.wait(29.9)
    assert desk.pop(ClosePeer) == []
    desk.wait(0.1)
    assert [command.connection for command in desk.pop(ClosePeer)] == [number]


# --- the end


def test_end_of_the_allocation_closes_its_connections(desk: Desk) -> None:
    first, second = connected(desk), connected(desk, FRIEND)
    bind(desk, first)
    desk.refresh(0, path=TCP)
    assert {command.connection for command in desk.pop(ClosePeer)} == {first, second}


def test_control_connection_that_closes_takes_all_along(desk: Desk) -> None:
    number = connected(desk)
    bind(desk, number)
    desk.server.path_closed(TCP, now=desk.now)
    desk.settle()
    assert desk.pop(ClosePeer) == [ClosePeer(number)]
    assert not desk.open


def test_data_connection_that_closes_ends_the_peers(desk: Desk) -> None:
    number = connected(desk)
    bind(desk, number)
    desk.server.path_closed(DATA_TCP, now=desk.now)
    desk.settle()
    assert desk.pop(ClosePeer) == [ClosePeer(number)]
    assert len(desk.open) == 1


def test_data_connection_that_closes_after_the_peer_did_is_no_matter(desk: Desk) -> None:
    number = connected(desk)
    bind(desk, number)
    desk.server.peer_closed(number, now=desk.now)
    desk.server.path_closed(DATA_TCP, now=desk.now)
    desk.settle()
    assert desk.pop(ClosePeer) == []
