"""An allocation that follows its client to another address (RFC 8016)."""

from __future__ import annotations

import pytest

from natkit.wire import ChannelData, Lifetime, Message, Method, MobilityTicket
from tests.turnkit import UDP, Peer, RawClient, error_of
from tests.turnserver import OTHER, TurnUnderTest

pytestmark = pytest.mark.slow

CHANNEL = 0x4000


def ticket_of(answer: Message) -> MobilityTicket:
    found = answer.find(MobilityTicket)
    assert found is not None, answer
    return found


def allocated(client: RawClient) -> MobilityTicket:
    """Allocate and return the ticket."""
    return ticket_of(client.log_in().call(Method.ALLOCATE, UDP, MobilityTicket(b"")))


def test_a_ticket_moves_allocation_permissions_and_channels(
    turn: TurnUnderTest, client: RawClient, peer: Peer
) -> None:
    ticket = allocated(client)
    client.bind(CHANNEL, peer.address)
    client.send_on(CHANNEL, b"before")
    data, relayed = peer.receive()
    assert data == b"before"
    with RawClient(turn, client.transport) as moved:
        answer = moved.log_in().call(Method.REFRESH, ticket)
        assert error_of(answer) is None
        assert ticket_of(answer) != ticket
        moved.send_on(CHANNEL, b"after")
        assert peer.receive() == (b"after", relayed)
        peer.send(b"back", relayed)
        assert ChannelData.decode(moved.receive()) == ChannelData(CHANNEL, b"back")


def test_a_ticket_of_another_user_moves_nothing(turn: TurnUnderTest, client: RawClient) -> None:
    ticket = allocated(client)
    with RawClient(turn, client.transport) as thief:
        assert thief.log_in(OTHER).code(Method.REFRESH, ticket) in (400, 437, 441)
    assert client.code(Method.REFRESH) is None


def test_a_ticket_that_nobody_gave_moves_nothing(client: RawClient) -> None:
    client.log_in()
    assert client.code(Method.REFRESH, MobilityTicket(bytes(32))) in (400, 437)


def test_moving_to_and_fro_opens_no_descriptor(turn: TurnUnderTest) -> None:
    with RawClient(turn) as first:
        ticket = allocated(first)
        before = turn.descriptors
        for _ in range(50):
            with RawClient(turn) as moved:
                ticket = ticket_of(moved.log_in().call(Method.REFRESH, ticket))
        assert turn.descriptors <= before
        with RawClient(turn) as last:
            assert last.log_in().code(Method.REFRESH, ticket, Lifetime(0)) is None
