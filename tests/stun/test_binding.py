"""The client half of Binding: requests in flight, and every way they end."""

from __future__ import annotations

from itertools import count

import pytest

from natkit.network import IcmpError
from natkit.stun.binding import (
    BindingClient,
    BindingFailed,
    BindingSucceeded,
    BindingTimedOut,
    BindingUnreachable,
)
from natkit.stun.transaction import Retransmission
from natkit.wire import (
    AlternateServer,
    ChangeRequest,
    MappedAddress,
    Message,
    Method,
    OtherAddress,
    ResponseOrigin,
    Software,
    TransportAddress,
    XorMappedAddress,
)

SERVER = TransportAddress("192.0.2.1", 3478)
SERVER6 = TransportAddress("2001:db8::1", 3478)
ELSEWHERE = TransportAddress("192.0.2.2", 3479)
MAPPED = TransportAddress("203.0.113.5", 40000)


def client(**options: Retransmission) -> BindingClient:
    numbers = count(1)
    return BindingClient(lambda: next(numbers).to_bytes(12, "big"), **options)


def only_request(machine: BindingClient) -> Message:
    (transmit,) = machine.transmits()
    return Message.decode(transmit.data)


def test_plain_request_is_twenty_bytes_to_the_server() -> None:
    machine = client()
    machine.ask(SERVER, now=0.0)
    (transmit,) = machine.transmits()
    assert len(transmit.data) == 20
    assert transmit.destination == SERVER
    assert transmit.ttl is None


def test_request_carries_attributes_and_ttl() -> None:
    machine = client()
    machine.ask(SERVER, ChangeRequest(True, False), ttl=3, now=0.0)
    (transmit,) = machine.transmits()
    assert transmit.ttl == 3
    assert Message.decode(transmit.data).find(ChangeRequest) == ChangeRequest(True, False)


def test_success_tells_all_that_the_server_said() -> None:
    machine = client()
    transaction_id = machine.ask(SERVER, now=10.0)
    answer = only_request(machine).success(
        XorMappedAddress(MAPPED),
        MappedAddress(ELSEWHERE),
        OtherAddress(ELSEWHERE),
        ResponseOrigin(SERVER),
        Software("test"),
    )
    machine.receive(answer.encode(), SERVER, now=10.25)
    assert machine.events() == [
        BindingSucceeded(
            transaction_id,
            SERVER,
            SERVER,
            MAPPED,
            plain_mapped=ELSEWHERE,
            round_trip=0.25,
            sent=1,
            other_address=ELSEWHERE,
            response_origin=SERVER,
            software="test",
        )
    ]
    assert machine.deadline() is None


def test_old_server_with_mapped_address_alone_is_understood() -> None:
    machine = client()
    machine.ask(SERVER, now=0.0)
    answer = only_request(machine).success(MappedAddress(MAPPED))
    machine.receive(answer.encode(), SERVER, now=0.1)
    (event,) = machine.events()
    assert isinstance(event, BindingSucceeded)
    assert (event.mapped, event.plain_mapped) == (MAPPED, None)


def test_answer_from_another_address_is_reported_with_its_source() -> None:
    machine = client()
    machine.ask(SERVER, now=0.0)
    answer = only_request(machine).success(XorMappedAddress(MAPPED))
    machine.receive(answer.encode(), ELSEWHERE, now=0.1)
    (event,) = machine.events()
    assert isinstance(event, BindingSucceeded)
    assert (event.server, event.source) == (SERVER, ELSEWHERE)


def test_second_answer_is_ignored() -> None:
    machine = client()
    machine.ask(SERVER, now=0.0)
    answer = only_request(machine).success(XorMappedAddress(MAPPED)).encode()
    machine.receive(answer, SERVER, now=0.1)
    machine.receive(answer, SERVER, now=0.2)
    assert len(machine.events()) == 1


def test_answer_after_giving_up_is_ignored() -> None:
    machine = client(schedule=Retransmission(rto=1.0, count=1, final=1))
    machine.ask(SERVER, now=0.0)
    answer = only_request(machine).success(XorMappedAddress(MAPPED))
    machine.tick(now=1.0)
    machine.receive(answer.encode(), SERVER, now=1.1)
    assert [type(event) for event in machine.events()] == [BindingTimedOut]


def test_requests_in_flight_do_not_disturb_each_other() -> None:
    machine = client()
    ids = [machine.ask(server, now=0.0) for server in (SERVER, SERVER, ELSEWHERE)]
    requests = [Message.decode(transmit.data) for transmit in machine.transmits()]
    for request in reversed(requests):
        answer = request.success(XorMappedAddress(MAPPED)).encode()
        machine.receive(answer, SERVER, now=0.1)
    assert [event.transaction_id for event in machine.events()] == ids[::-1]


def test_sends_seven_times_and_times_out_after_39_5_seconds() -> None:
    machine = client()
    transaction_id = machine.ask(SERVER, now=0.0)
    sent_at = [0.0]
    machine.transmits()
    while (due := machine.deadline()) is not None:
        machine.tick(now=due)
        if machine.transmits():
            sent_at.append(due)
    assert sent_at == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert due is None
    assert machine.events() == [BindingTimedOut(transaction_id, SERVER, 7)]


def test_retransmission_is_the_same_bytes() -> None:
    machine = client()
    machine.ask(SERVER, now=0.0)
    first = machine.transmits()
    machine.tick(now=0.5)
    assert machine.transmits() == first


def test_schedule_of_one_request_may_differ() -> None:
    machine = client()
    machine.ask(SERVER, schedule=Retransmission(rto=0.1, count=1, final=2), now=0.0)
    assert machine.deadline() == pytest.approx(0.2)


def test_error_response_gives_code_reason_and_alternate() -> None:
    machine = client()
    transaction_id = machine.ask(SERVER, now=0.0)
    answer = only_request(machine).error(300, "Try Alternate", AlternateServer(ELSEWHERE))
    machine.receive(answer.encode(), SERVER, now=0.1)
    assert machine.events() == [
        BindingFailed(transaction_id, SERVER, SERVER, 300, "Try Alternate", ELSEWHERE)
    ]


def test_success_without_any_address_is_a_failure_that_says_so() -> None:
    machine = client()
    machine.ask(SERVER, now=0.0)
    machine.receive(only_request(machine).success().encode(), SERVER, now=0.1)
    (event,) = machine.events()
    assert isinstance(event, BindingFailed)
    assert (event.code, event.reason) == (None, "its answer holds no address")


def test_success_that_must_be_understood_and_is_not_is_a_failure() -> None:
    machine = client()
    machine.ask(SERVER, now=0.0)
    answer = bytearray(only_request(machine).success(XorMappedAddress(MAPPED)).encode())
    answer += b"\x7f\xff\x00\x00"
    answer[3] += 4
    machine.receive(bytes(answer), SERVER, now=0.1)
    (event,) = machine.events()
    assert isinstance(event, BindingFailed)
    assert event.reason == "its answer is not understood"


@pytest.mark.parametrize("junk", [b"", b"\x00", b"GET / HTTP/1.1\r\n\r\n", bytes(20), b"\xff" * 64])
def test_garbage_is_ignored(junk: bytes) -> None:
    machine = client()
    machine.ask(SERVER, now=0.0)
    machine.receive(junk, SERVER, now=0.1)
    assert machine.events() == []
    assert machine.deadline() == 0.5


def test_own_request_reflected_is_not_an_answer() -> None:
    machine = client()
    machine.ask(SERVER, now=0.0)
    machine.receive(only_request(machine).encode(), SERVER, now=0.1)
    assert machine.events() == []


def test_strangers_answer_is_ignored() -> None:
    machine = client()
    machine.ask(SERVER, now=0.0)
    stranger = Message.request(Method.BINDING, b"x" * 12).success(XorMappedAddress(MAPPED))
    machine.receive(stranger.encode(), SERVER, now=0.1)
    assert machine.events() == []


@pytest.mark.parametrize(
    ("server", "kind", "code"),
    [(SERVER, 3, 3), (SERVER, 3, 2), (SERVER6, 1, 4), (SERVER6, 1, 1)],
)
def test_hard_icmp_error_fails_at_once(server: TransportAddress, kind: int, code: int) -> None:
    machine = client()
    transaction_id = machine.ask(server, now=0.0)
    error = IcmpError(kind, code, server, server.ip)
    machine.error_received(error)
    assert machine.events() == [BindingUnreachable(transaction_id, server, error)]
    assert machine.deadline() is None


@pytest.mark.parametrize(
    ("server", "kind", "code"),
    [(SERVER, 3, 1), (SERVER, 3, 4), (SERVER, 11, 0), (SERVER6, 1, 0), (SERVER6, 3, 3)],
)
def test_soft_icmp_error_is_waited_out(server: TransportAddress, kind: int, code: int) -> None:
    machine = client()
    machine.ask(server, now=0.0)
    machine.error_received(IcmpError(kind, code, server, None))
    assert machine.events() == []


def test_icmp_error_about_another_destination_changes_nothing() -> None:
    machine = client()
    machine.ask(SERVER, now=0.0)
    machine.error_received(IcmpError(3, 3, ELSEWHERE, None))
    assert machine.events() == []


def test_icmp_error_without_destination_counts_only_for_a_single_server() -> None:
    anonymous = IcmpError(3, 3, None, None)
    machine = client()
    machine.ask(SERVER, now=0.0)
    machine.ask(ELSEWHERE, now=0.0)
    machine.error_received(anonymous)
    assert machine.events() == []
    alone = client()
    alone.ask(SERVER, now=0.0)
    alone.error_received(anonymous)
    assert [type(event) for event in alone.events()] == [BindingUnreachable]
