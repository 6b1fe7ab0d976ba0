"""What a stranger can make the server send, and how long anything lives."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from natkit.wire import EvenPort, Lifetime, Message, Method, Nonce
from tests.turnkit import UDP, Peer, RawClient, error_of, transaction_id
from tests.turnserver import TurnUnderTest, turn_server

pytestmark = pytest.mark.slow


# -- 5, 6: amplification ---------------------------------------------------------------------------


def test_a_binding_answer_is_hardly_larger_than_its_request(turn: TurnUnderTest) -> None:
    """20 bytes in, 32 out: nobody gains by forging a victim's address."""
    with RawClient(turn) as client:
        client.send(Message.request(Method.BINDING, transaction_id()).encode())
        assert len(client.receive()) == 32


def test_a_401_is_small(turn: TurnUnderTest) -> None:
    """A bit more than coturn's 100 bytes: it also offers SHA-256."""
    with RawClient(turn) as client:
        client.send(Message.request(Method.ALLOCATE, transaction_id(), UDP).encode())
        assert len(client.receive()) <= 140


def test_401s_to_one_source_are_limited_on_udp(turn: TurnUnderTest) -> None:
    """From many ports: the limit is per address. Another address is answered meanwhile."""
    asked = 1000
    victim = turn.around.source(0x20001)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as forged:
        forged.bind((victim, 0))
        forged.settimeout(0.3)
        for _ in range(asked):
            request = Message.request(Method.ALLOCATE, transaction_id(), UDP)
            forged.sendto(request.encode(), turn.address)
        answered = 0
        try:
            while True:
                forged.recv(2000)
                answered += 1
        except TimeoutError:
            pass
    assert 0 < answered <= asked // 4
    with RawClient(turn) as honest:
        assert honest.allocate()


def test_a_limited_source_is_answered_again_later(turn: TurnUnderTest) -> None:
    with RawClient(turn, source=turn.around.source(0x20002)) as client:
        for _ in range(200):
            client.send(Message.request(Method.ALLOCATE, transaction_id(), UDP).encode())
        client.fence()
        for _ in range(10):
            time.sleep(0.5)
            client.send(Message.request(Method.ALLOCATE, transaction_id(), UDP).encode())
            if client.fence():
                return
    pytest.fail("still silent after 5 s")


def test_401s_are_not_limited_on_tcp(turn: TurnUnderTest) -> None:
    """A connection proves its address."""
    with RawClient(turn, "tcp") as client:
        for _ in range(300):
            assert error_of(client.bare(Method.ALLOCATE, UDP)) == 401


# -- 17: the pool of ports -------------------------------------------------------------------------


def test_every_port_can_be_given_out_and_comes_back(tmp_path: Path) -> None:
    """Three rounds through a pool of ten ports, with EVEN-PORT, which once leaked its neighbour."""
    with turn_server(tmp_path, "--relay-ports", "41000-41009", ips=["127.0.0.1"]) as server:
        for _ in range(3):
            clients = [RawClient(server, "tcp") for _ in range(5)]
            for client in clients:
                assert client.allocate(EvenPort(False)).port % 2 == 0
            others = [RawClient(server, "tcp") for _ in range(5)]
            for client in others:
                assert client.allocate().port % 2 == 1
            with RawClient(server, "tcp") as late:
                assert late.log_in().code(Method.ALLOCATE, UDP) == 508
            for client in clients + others:
                assert client.code(Method.REFRESH, Lifetime(0)) is None
                client.close()


def test_descriptors_come_back(turn: TurnUnderTest) -> None:
    with RawClient(turn) as warm_up:
        warm_up.allocate()
    before = turn.descriptors
    for _ in range(40):
        with RawClient(turn, "tcp") as client:
            client.allocate()
        with RawClient(turn) as datagrams:
            datagrams.allocate()
            assert datagrams.code(Method.REFRESH, Lifetime(0)) is None
    deadline = time.monotonic() + 5
    while turn.descriptors > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert turn.descriptors <= before


# -- 18: uninvited packets -------------------------------------------------------------------------


def test_a_flood_from_a_peer_without_permission_reaches_nobody(
    client: RawClient, peer: Peer
) -> None:
    relayed = client.allocate()
    for _ in range(500):
        peer.send(b"uninvited", relayed)
    time.sleep(0.2)
    assert client.fence() == []


def test_a_challenge_keeps_no_state(turn: TurnUnderTest) -> None:
    """The nonce of one connection is good on a later one from the same address and port."""
    with RawClient(turn, source=turn.around.source(0x20003)) as first:
        first.challenge()
        nonce, port = first.nonce, first.local.port
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind((turn.around.source(0x20003), port))
        again.connect(turn.address)
        again.settimeout(5)
        with RawClient(turn, source=turn.around.source(0x20004)) as signer:
            signer.challenge()
            signer.nonce = nonce
            again.send(signer.log_in().signed(Method.ALLOCATE, UDP))
        answer = Message.decode(again.recv(2000))
    assert error_of(answer) is None
    assert answer.find(Nonce) is None
