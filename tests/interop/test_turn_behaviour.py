"""NAT behaviour discovery beside the relay (RFC 5780): all four endpoints answer, or none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from natkit.wire import (
    Attribute,
    ChangeRequest,
    Message,
    Method,
    OtherAddress,
    Padding,
    ResponseOrigin,
    ResponsePort,
    TransportAddress,
    XorMappedAddress,
)
from tests.ports import free_port
from tests.turnkit import Peer, RawClient, error_of, transaction_id
from tests.turnserver import PROGRAMS, TurnUnderTest, turn_server

pytestmark = pytest.mark.slow

IPS = ("127.0.0.1", "127.0.0.2")


@pytest.fixture(scope="module", params=PROGRAMS)
def discovery(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[tuple[TurnUnderTest, int]]:
    """A server with two addresses and two ports, and the second port."""
    alternate = free_port()
    words = "--alternate-port", str(alternate)
    where = tmp_path_factory.mktemp("discovery")
    with turn_server(where, *words, ips=IPS, program=request.param) as server:
        yield server, alternate


def asked(*attributes: Attribute) -> bytes:
    return Message.request(Method.BINDING, transaction_id(), *attributes).encode()


def answer_at(peer: Peer, to: TransportAddress, *attributes: Attribute) -> tuple[Message, object]:
    peer.send(asked(*attributes), to)
    data, source = peer.receive()
    return Message.decode(data), source


def test_every_endpoint_answers_and_names_its_opposite(
    discovery: tuple[TurnUnderTest, int], peer: Peer
) -> None:
    server, alternate = discovery
    for ip, other_ip in (IPS, IPS[::-1]):
        for port, other_port in ((server.port, alternate), (alternate, server.port)):
            at = TransportAddress(ip, port)
            answer, source = answer_at(peer, at)
            assert source == at
            assert answer.find(ResponseOrigin) == ResponseOrigin(at)
            other = TransportAddress(other_ip, other_port)
            assert answer.find(OtherAddress) == OtherAddress(other)


@pytest.mark.parametrize("change_ip", [False, True])
@pytest.mark.parametrize("change_port", [False, True])
def test_change_request_is_answered_from_where_it_asks_for(
    discovery: tuple[TurnUnderTest, int], peer: Peer, change_ip: bool, change_port: bool
) -> None:
    server, alternate = discovery
    change = ChangeRequest(change_ip=change_ip, change_port=change_port)
    _, source = answer_at(peer, server.address, change)
    assert source == TransportAddress(IPS[change_ip], alternate if change_port else server.port)


def test_response_port_goes_to_the_port_and_never_with_padding(
    discovery: tuple[TurnUnderTest, int], peer: Peer
) -> None:
    server, _ = discovery
    with Peer() as elsewhere:
        peer.send(asked(ResponsePort(elsewhere.address.port)), server.address)
        data, _ = elsewhere.receive()
        mapped = Message.decode(data).find(XorMappedAddress)
        assert mapped == XorMappedAddress(peer.address)
    both = ResponsePort(peer.address.port), Padding(bytes(100))
    answer, _ = answer_at(peer, server.address, *both)
    assert error_of(answer) == 400


def test_server_that_was_not_told_to_offers_nothing_and_refuses_the_request(
    turn: TurnUnderTest, peer: Peer
) -> None:
    answer, _ = answer_at(peer, turn.address)
    assert answer.find(OtherAddress) is None
    answer, source = answer_at(peer, turn.address, ChangeRequest(change_ip=True, change_port=True))
    assert error_of(answer) == 420
    assert source == turn.address


def test_over_tcp_nothing_of_it_is_offered(discovery: tuple[TurnUnderTest, int]) -> None:
    server, _ = discovery
    with RawClient(server, "tcp") as client:
        assert client.bare(Method.BINDING).find(OtherAddress) is None
