"""The filtering test by itself: who hears what decides, and nothing else does."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from natkit.nat.asker import Asked, Question
from natkit.nat.behaviour import Filtering, Measured, Status
from natkit.nat.filtering import FilteringTest, Rfc5780Server
from natkit.nat.sockets import ProbeSocket, Workbench
from natkit.wire import Message, TransportAddress, XorMappedAddress

SERVER = Rfc5780Server(TransportAddress("192.0.2.1", 3478), TransportAddress("192.0.2.2", 3479))
MAPPED = TransportAddress("203.0.113.7", 40000)
ROUND_TRIP = 0.02

Hears = Callable[[ProbeSocket, Question], bool]
"""Says whether an answer to that question reaches that socket."""


def opened(socket: ProbeSocket) -> bool:
    return socket.label.startswith("opened")


def is_plain(question: Question) -> bool:
    return question == Question.plain(question.destination)


def through_a_filter(value: Filtering) -> Hears:
    """Return what a NAT that filters so lets through."""

    def hears(socket: ProbeSocket, question: Question) -> bool:
        if opened(socket) or is_plain(question):
            return True
        if value is Filtering.ENDPOINT_INDEPENDENT:
            return True
        same_ip = question.answers_from.ip == SERVER.primary.ip
        return same_ip and value is Filtering.ADDRESS_DEPENDENT

    return hears


def run(
    hears: Hears, *, seconds: float = 5.0, source: TransportAddress | None = None
) -> tuple[Measured[Filtering], int]:
    """Play the test against a NAT and a server; return what it found and how many it asked.

    Args: source: where every changed answer comes from; None: from where it should.
    """
    dice = random.Random(1)
    bench = Workbench(lambda: dice.randbytes(12))
    test = FilteringTest(bench, SERVER, now=0.0)
    step, now, tries = 0.005, 0.0, 0
    due: list[tuple[float, ProbeSocket, bytes, TransportAddress]] = []
    while test.result is None and now < seconds:
        for socket in bench.sockets:
            socket.asker.tick(now=now)
            asked = [e.question for e in _take(bench, socket) if isinstance(e, Asked)]
            tries += len(asked)
            for question, packet in zip(asked, socket.asker.transmits(), strict=True):
                if hears(socket, question):
                    reply = Message.decode(packet.data).success(XorMappedAddress(MAPPED))
                    origin = question.answers_from
                    if source is not None and not is_plain(question):
                        origin = source
                    due.append((now + ROUND_TRIP, socket, reply.encode(), origin))
        for at, socket, data, origin in due:
            if now - step < at <= now:
                socket.asker.receive(data, origin, now=now)
                _take(bench, socket)
        test.review(now=now)
        now += step
    test.close(now=now)
    assert test.result is not None
    return test.result, tries


def _take(bench: Workbench, socket: ProbeSocket) -> list[object]:
    events = socket.asker.events()
    for event in events:
        bench.take(socket, event)
    return list(events)


@pytest.mark.parametrize("value", Filtering)
def test_each_filter_is_told_by_what_it_lets_through(value: Filtering) -> None:
    found, tries = run(through_a_filter(value))
    assert found.value is value, found
    assert tries < 200


def test_a_fresh_socket_that_hears_nobody_at_all_is_no_witness_of_a_filter() -> None:
    found, _ = run(lambda socket, _: opened(socket))
    assert found.status is Status.INCONCLUSIVE, found


def test_silence_without_controls_settles_nothing_but_the_server() -> None:
    found, _ = run(lambda _, question: is_plain(question))
    assert found.status is Status.NOT_MEASURED
    assert "never answered a CHANGE-REQUEST" in found.reason


def test_a_silent_alternate_address_is_the_servers_fault() -> None:
    found, _ = run(
        lambda _, question: question.destination == SERVER.primary and is_plain(question)
    )
    assert found.status is Status.NOT_MEASURED
    assert "which is silent" in found.reason


def test_an_answer_from_the_wrong_address_is_the_servers_fault() -> None:
    found, _ = run(lambda *_: True, source=SERVER.primary)
    assert found.status is Status.NOT_MEASURED
    assert "ignores CHANGE-REQUEST" in found.reason


def test_one_port_that_an_earlier_run_had_opened_does_not_open_the_filter() -> None:
    closed = through_a_filter(Filtering.ADDRESS_AND_PORT_DEPENDENT)
    found, _ = run(lambda socket, q: socket.label == "fresh 1" or closed(socket, q))
    assert found.value is Filtering.ADDRESS_AND_PORT_DEPENDENT


def test_one_port_shared_with_another_host_does_not_close_the_filter() -> None:
    def hears(socket: ProbeSocket, question: Question) -> bool:
        return is_plain(question) or socket.label != "fresh 2"

    assert run(hears)[0].value is Filtering.ENDPOINT_INDEPENDENT


def test_half_of_the_sockets_against_the_other_half_stays_open() -> None:
    def hears(socket: ProbeSocket, question: Question) -> bool:
        return opened(socket) or is_plain(question) or socket.label[-1] in "1357"

    assert run(hears)[0].status is Status.INCONCLUSIVE


def test_losing_every_other_packet_costs_tries_and_not_the_answer() -> None:
    dice = random.Random(7)
    closed = through_a_filter(Filtering.ADDRESS_DEPENDENT)
    found, _ = run(lambda socket, q: closed(socket, q) and dice.random() < 0.5)
    assert found.value is Filtering.ADDRESS_DEPENDENT
