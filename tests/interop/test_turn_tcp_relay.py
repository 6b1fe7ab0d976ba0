"""TCP to the peer as well: Connect, ConnectionBind and ConnectionAttempt (RFC 6062)."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from natkit.wire import (
    ConnectionId,
    Data,
    Lifetime,
    Message,
    MessageClass,
    Method,
    TransportAddress,
    XorPeerAddress,
    XorRelayedAddress,
)
from tests.turnkit import PATIENCE, TCP, RawClient, error_of, transaction_id
from tests.turnserver import OTHER, USER, Around, TurnUnderTest, turn_server

pytestmark = pytest.mark.slow


@pytest.fixture(params=["tcp", "tls"])
def control(turn: TurnUnderTest, request: pytest.FixtureRequest) -> Iterator[RawClient]:
    """A client with a TCP allocation."""
    with RawClient(turn, request.param) as made:
        made.log_in()
        yield made


@pytest.fixture
def relayed(control: RawClient) -> TransportAddress:
    answer = control.call(Method.ALLOCATE, TCP)
    found = answer.find(XorRelayedAddress)
    assert found is not None, answer
    return found.address


@pytest.fixture
def listener(around: Around) -> Iterator[socket.socket]:
    """A peer that waits for connections."""
    with socket.create_server((around.peers[0], 0)) as made:
        made.settimeout(PATIENCE)
        yield made


def address_of(made: socket.socket) -> TransportAddress:
    return TransportAddress(*made.getsockname()[:2])


def connection_id(answer: Message) -> ConnectionId:
    found = answer.find(ConnectionId)
    assert found is not None, answer
    return found


@contextlib.contextmanager
def bound(
    control: RawClient, connection: ConnectionId, early: bytes = b""
) -> Iterator[socket.socket]:
    """Bind a connection of our own to the peer's; `early` goes out with the request."""
    with RawClient(control.server, control.transport) as data:
        data.log_in()
        request = data.signed(Method.CONNECTION_BIND, connection)
        data.send(request + early)
        answer = Message.decode(data.receive())
        assert answer.message_class is MessageClass.SUCCESS, answer
        yield data.socket


def exactly(made: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += made.recv(size - len(data))
    return data


def test_a_connection_to_a_peer_carries_bytes_both_ways(
    control: RawClient, relayed: TransportAddress, listener: socket.socket
) -> None:
    control.permit(address_of(listener))
    answer = control.call(Method.CONNECT, XorPeerAddress(address_of(listener)))
    peer, source = listener.accept()
    assert TransportAddress(*source) == relayed
    with peer, bound(control, connection_id(answer)) as data:
        data.sendall(b"to the peer")
        assert exactly(peer, 11) == b"to the peer"
        peer.sendall(b"\0\1back\xff")
        assert exactly(data, 7) == b"\0\1back\xff"


def test_what_is_sent_before_the_binding_is_not_lost(
    control: RawClient, relayed: TransportAddress, listener: socket.socket
) -> None:
    control.permit(address_of(listener))
    answer = control.call(Method.CONNECT, XorPeerAddress(address_of(listener)))
    peer, _ = listener.accept()
    with peer:
        peer.sendall(b"waiting already")
        with bound(control, connection_id(answer), early=b"at once") as data:
            assert exactly(data, 15) == b"waiting already"
            assert exactly(peer, 7) == b"at once"


def test_a_peer_that_connects_is_announced(
    control: RawClient, relayed: TransportAddress, around: Around
) -> None:
    with socket.socket() as peer:
        peer.settimeout(PATIENCE)
        peer.bind((around.peers[0], 0))
        control.permit(address_of(peer))
        peer.connect(relayed)
        attempt = Message.decode(control.receive())
        assert attempt.method is Method.CONNECTION_ATTEMPT
        assert attempt.find(XorPeerAddress) == XorPeerAddress(address_of(peer))
        with bound(control, connection_id(attempt)) as data:
            peer.sendall(b"hello")
            assert exactly(data, 5) == b"hello"


def test_a_peer_without_permission_is_closed_and_not_announced(
    control: RawClient, relayed: TransportAddress, around: Around
) -> None:
    peer = socket.create_connection(relayed, PATIENCE, (around.peers[2], 0))
    with peer, contextlib.suppress(ConnectionError):
        assert peer.recv(10) == b""
    assert control.fence() == []


def test_when_one_end_closes_the_other_is_closed(
    control: RawClient, relayed: TransportAddress, listener: socket.socket
) -> None:
    control.permit(address_of(listener))
    answer = control.call(Method.CONNECT, XorPeerAddress(address_of(listener)))
    peer, _ = listener.accept()
    with bound(control, connection_id(answer)) as data:
        peer.close()
        assert data.recv(10) == b""


@pytest.mark.parametrize("ip", ["10.0.0.1", "127.0.0.9", "169.254.169.254", "224.0.0.1"])
def test_connect_to_a_denied_peer_is_403(
    control: RawClient, relayed: TransportAddress, ip: str
) -> None:
    peer = XorPeerAddress(TransportAddress(ip, 80))
    assert control.code(Method.CONNECT, peer) == 403


def test_connect_to_the_servers_own_listener_is_403(
    control: RawClient, relayed: TransportAddress
) -> None:
    assert control.code(Method.CONNECT, XorPeerAddress(control.server.address)) == 403


def test_connect_where_nobody_listens_is_447(
    control: RawClient, relayed: TransportAddress, listener: socket.socket
) -> None:
    nobody = address_of(listener)
    listener.close()
    control.permit(nobody)
    assert control.code(Method.CONNECT, XorPeerAddress(nobody)) == 447


def test_a_second_connection_to_a_peer_is_446(
    control: RawClient, relayed: TransportAddress, listener: socket.socket
) -> None:
    peer = XorPeerAddress(address_of(listener))
    control.permit(peer.address)
    connection_id(control.call(Method.CONNECT, peer))
    assert control.code(Method.CONNECT, peer) == 446


def test_connect_without_an_allocation_is_437(control: RawClient) -> None:
    assert control.code(Method.CONNECT, XorPeerAddress(TransportAddress("8.8.8.8", 80))) == 437


def test_connect_on_a_udp_allocation_is_400_or_437(control: RawClient) -> None:
    control.allocate()
    peer = XorPeerAddress(TransportAddress("127.0.0.1", 80))
    assert control.code(Method.CONNECT, peer) in (400, 437)


def test_another_user_cannot_take_a_connection(
    control: RawClient, relayed: TransportAddress, listener: socket.socket
) -> None:
    control.permit(address_of(listener))
    answer = control.call(Method.CONNECT, XorPeerAddress(address_of(listener)))
    with RawClient(control.server, "tcp") as thief:
        assert thief.log_in(OTHER).code(Method.CONNECTION_BIND, connection_id(answer)) in (400, 441)
    with bound(control, connection_id(answer)):
        assert control.user == USER[0]


def test_an_unknown_connection_is_400(control: RawClient, relayed: TransportAddress) -> None:
    with RawClient(control.server, "tcp") as data:
        code = data.log_in().code(Method.CONNECTION_BIND, ConnectionId(0xFF020304))
        assert code == 400


def test_a_send_indication_does_not_reach_a_tcp_peer(
    control: RawClient, relayed: TransportAddress, listener: socket.socket
) -> None:
    peer = XorPeerAddress(address_of(listener))
    control.permit(peer.address)
    control.send(Message.indication(Method.SEND, transaction_id(), peer, Data(b"x")).encode())
    assert control.fence() == []
    listener.settimeout(0.2)
    with pytest.raises(TimeoutError):
        listener.accept()


def test_a_connection_bind_without_credentials_is_challenged(turn: TurnUnderTest) -> None:
    with RawClient(turn, "tcp") as data:
        assert error_of(data.bare(Method.CONNECTION_BIND, ConnectionId(0xFF000001))) == 401


@pytest.mark.parametrize("option", ["--max-bps", "--user-max-bps"])
@pytest.mark.parametrize("program", ["natkit", "natkit-crew"])
def test_limit_slows_a_connection_down_and_loses_nothing(
    tmp_path: Path, listener: socket.socket, option: str, program: str
) -> None:
    """A second's worth goes at once; all but the last that is read of the rest has to wait."""
    words = option, "400000"
    with (
        turn_server(tmp_path, *words, allow=("127.0.0.1",), program=program) as server,
        RawClient(server, "tcp") as control,
    ):
        assert control.log_in().code(Method.ALLOCATE, TCP) is None
        control.permit(address_of(listener))
        answer = control.call(Method.CONNECT, XorPeerAddress(address_of(listener)))
        peer, _ = listener.accept()
        with peer, bound(control, connection_id(answer)) as data:
            for one, other in ((data, peer), (peer, data)):
                began = time.monotonic()
                sending = threading.Thread(target=one.sendall, args=[bytes(1_000_000)])
                sending.start()
                assert len(exactly(other, 1_000_000)) == 1_000_000
                sending.join()
                assert time.monotonic() - began > 0.5


def test_log_says_what_a_tcp_allocation_carried(tmp_path: Path, listener: socket.socket) -> None:
    with (
        turn_server(tmp_path, allow=("127.0.0.1",), program="natkit") as server,
        RawClient(server, "tcp") as control,
    ):
        assert control.log_in().code(Method.ALLOCATE, TCP) is None
        control.permit(address_of(listener))
        answer = control.call(Method.CONNECT, XorPeerAddress(address_of(listener)))
        peer, _ = listener.accept()
        with peer, bound(control, connection_id(answer)) as data:
            data.sendall(bytes(1234))
            exactly(peer, 1234)
            peer.sendall(bytes(321))
            exactly(data, 321)
        assert control.code(Method.REFRESH, Lifetime(0)) is None
        for _ in range(100):
            if "allocation ended" in server.log.read_text():
                break
            time.sleep(0.05)
        assert "to_peers_bytes=1234" in server.log.read_text()
        assert "from_peers_bytes=321" in server.log.read_text()
