"""Which worker a request is for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natkit.turn.handover import worker_of
from natkit.wire import (
    Attribute,
    ConnectionId,
    EvenPort,
    Lifetime,
    Message,
    Method,
    MobilityTicket,
    ReservationToken,
)
from tests.turn.desk import OTHER, OVER_UDP, Desk, code

ID = bytes(12)


@pytest.mark.parametrize(
    ("method", "said"),
    [
        (Method.ALLOCATE, ReservationToken(bytes([7]) + bytes(7))),
        (Method.REFRESH, MobilityTicket(bytes([7]) + bytes(15))),
        (Method.CONNECTION_BIND, ConnectionId(7 << 24 | 1)),
    ],
)
def test_tokens_tickets_and_ids_name_their_worker(method: Method, said: Attribute) -> None:
    assert worker_of(Message.request(method, ID, said).encode()) == 7


@pytest.mark.parametrize(
    ("method", "said"),
    [
        (Method.ALLOCATE, MobilityTicket(b"")),
        (Method.REFRESH, MobilityTicket(b"")),
        (Method.REFRESH, Lifetime(0)),
        (Method.REFRESH, ReservationToken(bytes(8))),
        (Method.CHANNEL_BIND, ConnectionId(7 << 24)),
    ],
)
def test_other_requests_are_for_whoever_gets_them(method: Method, said: Attribute) -> None:
    assert worker_of(Message.request(method, ID, said).encode()) is None


@given(st.binary(max_size=40))
def test_garbage_is_for_whoever_gets_it(data: bytes) -> None:
    assert worker_of(data) is None


def test_token_that_a_worker_made_leads_back_to_it() -> None:
    desk = Desk(worker=201)
    answer = desk.ask(Method.ALLOCATE, OVER_UDP, EvenPort(True))
    token = answer.find(ReservationToken)
    assert token is not None
    request = desk.signed(Method.ALLOCATE, OVER_UDP, token, path=OTHER)
    assert worker_of(request) == 201
    assert code(Message.decode(desk.put(request, OTHER)[0])) is None
