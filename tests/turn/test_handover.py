"""Which worker a request is for, and that it gets there."""

from __future__ import annotations

import pytest

from natkit.turn.events import HandOver
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
        (Method.ALLOCATE, ReservationToken(bytes([248]) + bytes(7))),
        (Method.REFRESH, MobilityTicket(bytes([248]) + bytes(15))),
        (Method.CONNECTION_BIND, ConnectionId(248 << 24 | 1)),
    ],
)
def test_tokens_tickets_and_ids_name_their_worker(method: Method, said: Attribute) -> None:
    assert worker_of(Message.request(method, ID, said)) == 7


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
    assert worker_of(Message.request(method, ID, said)) is None


def handed_over(desk: Desk) -> list[HandOver]:
    return [event for event in desk.facts if isinstance(event, HandOver)]


def test_token_that_a_worker_made_leads_back_to_it() -> None:
    owner, other = Desk(worker=1, workers=2), Desk(worker=0, workers=2)
    token = owner.ask(Method.ALLOCATE, OVER_UDP, EvenPort(True)).find(ReservationToken)
    assert token is not None
    request = owner.signed(Method.ALLOCATE, OVER_UDP, token, path=OTHER)
    assert other.put(request, OTHER) == []
    assert handed_over(other) == [HandOver(1, OTHER, request)]
    assert code(Message.decode(owner.put(request, OTHER)[0])) is None
    assert handed_over(owner) == []


@pytest.mark.parametrize(("worker", "workers"), [(5, 6), (0, 5), (0, 1)])
def test_request_that_names_no_other_worker_is_answered_here(worker: int, workers: int) -> None:
    desk = Desk(worker=worker, workers=workers)
    answer = desk.ask(Method.ALLOCATE, OVER_UDP, ReservationToken(bytes([250]) + bytes(7)))
    assert code(answer) == 508
    assert handed_over(desk) == []


def test_5_tuple_with_an_allocation_stays_whatever_its_requests_name() -> None:
    desk = Desk(worker=0, workers=2)
    assert code(desk.ask(Method.ALLOCATE, OVER_UDP)) is None
    assert code(desk.ask(Method.REFRESH, MobilityTicket(bytes([1]) + bytes(15)))) is None
    assert code(desk.ask(Method.ALLOCATE, OVER_UDP, ReservationToken(bytes([1]) * 8))) == 437
    assert handed_over(desk) == []
