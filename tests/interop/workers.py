"""Clients at one of several workers: the kernel gives them away, and tickets tell to whom."""

from __future__ import annotations

import pytest

from natkit.turn.handover import mark_of
from natkit.wire import Lifetime, Method, MobilityTicket
from tests.turnkit import UDP, RawClient
from tests.turnserver import TurnUnderTest


def worker_of(client: RawClient) -> int:
    """Return which worker a client reaches: mobility tickets tell."""
    answer = client.log_in().call(Method.ALLOCATE, UDP, MobilityTicket(b""))
    ticket = answer.find(MobilityTicket)
    assert ticket is not None, answer
    assert client.code(Method.REFRESH, Lifetime(0)) is None
    return mark_of(ticket.value[0])


def client_at(server: TurnUnderTest, worker: int, transport: str = "udp") -> RawClient:
    """Return a client, logged in and without allocation, whom the kernel gives to this worker."""
    for _ in range(64):
        client = RawClient(server, transport)
        if worker_of(client) == worker:
            return client
        client.close()
    pytest.fail(f"64 clients in a row reach another worker than {worker}")
