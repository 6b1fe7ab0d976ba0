"""One socket that asks: every try has its id, every answer its try, every clock its argument."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest

from natkit.nat.asker import (
    Answered,
    Asked,
    Asker,
    Garbled,
    Pace,
    Question,
    Refused,
    Strayed,
)
from natkit.nat.silence import Tally
from natkit.wire import (
    ChangeRequest,
    MappedAddress,
    Message,
    Method,
    OtherAddress,
    Padding,
    ResponsePort,
    Software,
    TransportAddress,
    XorMappedAddress,
)

SERVER = TransportAddress("192.0.2.1", 3478)
OTHER = TransportAddress("192.0.2.2", 3479)
MAPPED = TransportAddress("203.0.113.7", 40001)
PLAIN = Question.plain(SERVER)


def numbered(first: int = 128) -> Callable[[], bytes]:
    """Return a source of ids; their first byte spreads the tries, 128 not at all."""
    ids = count(1)
    return lambda: bytes([first]) + next(ids).to_bytes(11, "big")


@pytest.fixture
def asker() -> Asker:
    return Asker(numbered())


def sent(asker: Asker) -> list[Message]:
    return [Message.decode(t.data) for t in asker.transmits()]


def only(asker: Asker, kind: type) -> list[object]:
    return [event for event in asker.events() if isinstance(event, kind)]


def test_it_asks_at_its_pace_and_stops_after_its_tries(asker: Asker) -> None:
    asker.ask(PLAIN, Pace(0.1, 3), now=0.0)
    assert len(sent(asker)) == 1
    for now, expected in ((0.099, 0), (0.1, 1), (0.2, 1), (0.3, 0), (9.0, 0)):
        asker.tick(now=now)
        assert len(sent(asker)) == expected, now
    assert asker.deadline() is None


def test_every_try_has_an_id_of_its_own(asker: Asker) -> None:
    asker.ask(PLAIN, Pace(0.1, 3), now=0.0)
    asker.tick(now=0.1)
    first, second = sent(asker)
    assert first.transaction_id != second.transaction_id


def test_a_stall_is_not_made_up_for_with_a_burst(asker: Asker) -> None:
    asker.ask(PLAIN, Pace(0.1, 100), now=0.0)
    sent(asker)
    asker.tick(now=5.0)
    assert len(sent(asker)) == 1
    assert asker.deadline() == pytest.approx(5.1)


@pytest.mark.parametrize(("first", "interval"), [(0, 0.75), (128, 1.0), (255, 1.248)])
def test_tries_are_spread_so_that_no_socket_always_comes_first(first: int, interval: float) -> None:
    asker = Asker(numbered(first))
    asker.ask(PLAIN, Pace(1.0, 2), now=0.0)
    assert asker.deadline() == pytest.approx(interval, abs=1e-3)


def test_a_stopped_question_still_takes_answers(asker: Asker) -> None:
    asker.ask(PLAIN, Pace(0.1, 5), now=0.0)
    [request] = sent(asker)
    asker.stop(PLAIN)
    assert asker.deadline() is None
    asker.receive(request.success(XorMappedAddress(MAPPED)).encode(), SERVER, now=3.0)
    [answer] = only(asker, Answered)
    assert isinstance(answer, Answered)
    assert (answer.mapped, answer.round_trip, answer.misplaced) == (MAPPED, 3.0, False)


def test_a_late_answer_belongs_to_its_own_try(asker: Asker) -> None:
    asker.ask(PLAIN, Pace(1.0, 5), now=0.0)
    [first] = sent(asker)
    asker.tick(now=1.0)
    asker.receive(first.success(XorMappedAddress(MAPPED)).encode(), SERVER, now=1.5)
    [answer] = only(asker, Answered)
    assert isinstance(answer, Answered)
    assert answer.round_trip == 1.5


def test_a_duplicate_answer_counts_once(asker: Asker) -> None:
    asker.ask(PLAIN, Pace(1.0, 5), now=0.0)
    [request] = sent(asker)
    reply = request.success(XorMappedAddress(MAPPED)).encode()
    for now in (0.1, 0.2):
        asker.receive(reply, SERVER, now=now)
    assert len(only(asker, Answered)) == 1
    assert asker.tally(PLAIN, before=1.0) == Tally(1, 1)


def test_the_tally_leaves_out_tries_too_young_to_judge(asker: Asker) -> None:
    asker.ask(PLAIN, Pace(0.1, 5), now=0.0)
    asker.tick(now=0.1)
    assert asker.tally(PLAIN, before=0.1) == Tally(1, 0)
    assert asker.tally(PLAIN, before=0.11) == Tally(2, 0)
    assert asker.tally(Question.plain(OTHER), before=9.0) == Tally(0, 0)


def test_an_answer_from_the_wrong_address_is_misplaced(asker: Asker) -> None:
    question = Question(SERVER, OTHER, change_ip=True, change_port=True)
    asker.ask(question, Pace(1.0, 1), now=0.0)
    [request] = sent(asker)
    asker.receive(request.success(XorMappedAddress(MAPPED)).encode(), SERVER, now=0.1)
    [answer] = only(asker, Answered)
    assert isinstance(answer, Answered)
    assert answer.misplaced


def test_a_question_is_encoded_with_all_it_asks_for(asker: Asker) -> None:
    asker.ask(Question(SERVER, OTHER, True, False, 4711, 64), Pace(1.0, 1), now=0.0)
    [request] = sent(asker)
    assert request.method is Method.BINDING
    assert request.find(ChangeRequest) == ChangeRequest(True, False)
    assert request.find(ResponsePort) == ResponsePort(4711)
    assert request.find(Padding) is not None


def test_what_the_server_says_of_itself_is_kept(asker: Asker) -> None:
    asker.ask(PLAIN, Pace(1.0, 1), now=0.0)
    [request] = sent(asker)
    rewritten = TransportAddress("10.0.0.1", 40001)
    reply = request.success(
        XorMappedAddress(MAPPED), MappedAddress(rewritten), OtherAddress(OTHER), Software("x")
    )
    asker.receive(reply.encode(), SERVER, now=0.1)
    [answer] = only(asker, Answered)
    assert isinstance(answer, Answered)
    assert (answer.answer.plain_mapped, answer.answer.other, answer.answer.software) == (
        rewritten,
        OTHER,
        "x",
    )


def test_a_classic_server_is_understood(asker: Asker) -> None:
    asker.ask(PLAIN, Pace(1.0, 1), now=0.0)
    [request] = sent(asker)
    asker.receive(request.success(MappedAddress(MAPPED)).encode(), SERVER, now=0.1)
    [answer] = only(asker, Answered)
    assert isinstance(answer, Answered)
    assert (answer.mapped, answer.answer.plain_mapped) == (MAPPED, None)


def test_an_error_is_reported_with_its_code(asker: Asker) -> None:
    asker.ask(PLAIN, Pace(1.0, 1), now=0.0)
    [request] = sent(asker)
    asker.receive(request.error(420, "Unknown Attribute").encode(), SERVER, now=0.1)
    assert only(asker, Refused) == [Refused(PLAIN, 420, "Unknown Attribute")]


@pytest.mark.parametrize(
    "mapped", [None, TransportAddress("203.0.113.7", 0)], ids=["none", "port zero"]
)
def test_a_success_without_a_usable_address_is_garbled(
    asker: Asker, mapped: TransportAddress | None
) -> None:
    asker.ask(PLAIN, Pace(1.0, 1), now=0.0)
    [request] = sent(asker)
    extras = [] if mapped is None else [XorMappedAddress(mapped)]
    asker.receive(request.success(*extras).encode(), SERVER, now=0.1)
    assert len(only(asker, Garbled)) == 1
    assert asker.tally(PLAIN, before=1.0) == Tally(1, 0)


def test_bytes_that_are_not_stun_are_garbled(asker: Asker) -> None:
    asker.receive(b"HTTP/1.1 200 OK", SERVER, now=0.0)
    assert len(only(asker, Garbled)) == 1


def test_an_answer_to_another_socket_is_a_stray(asker: Asker) -> None:
    elsewhere = Message.request(Method.BINDING, b"another sock")
    asker.receive(elsewhere.success(XorMappedAddress(MAPPED)).encode(), SERVER, now=0.0)
    assert only(asker, Strayed) == [Strayed(SERVER, b"another sock")]


def test_asking_again_changes_the_pace(asker: Asker) -> None:
    asker.ask(PLAIN, Pace(1.0, 1), now=0.0)
    asker.ask(PLAIN, Pace(0.1, 5), now=0.5)
    assert len(only(asker, Asked)) == 2
    assert asker.deadline() == pytest.approx(0.6)
    assert asker.last_asked_at == 0.5
