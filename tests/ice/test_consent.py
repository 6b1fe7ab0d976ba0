"""Consent of the peer: asked for, silence, and the pair that takes over."""

from __future__ import annotations

from dataclasses import replace

import pytest

from natkit.ice.events import (
    PairSelected,
    State,
)
from natkit.ice.pair import Path
from natkit.ice.settings import DEFAULTS
from natkit.wire import Message, MessageClass
from tests.ice.duo import A6, A, B, Duo, local, requests, simple, states


def test_consent_is_asked_every_four_to_six_seconds_and_keeps_the_path():
    duo = simple()
    duo.start()
    duo.connect()
    before = len(requests(duo.a))
    duo.run(300)
    assert 300 / 6 <= len(requests(duo.a)) - before <= 300 / 4
    assert duo.a.state is State.COMPLETED


def test_silence_is_disconnected_after_10_seconds_and_failed_after_30():
    duo = simple()
    duo.start()
    duo.connect()
    duo.run(20)
    duo.drops = lambda _: True
    duo.run(3)
    assert duo.a.state is State.COMPLETED
    duo.run(8)
    assert duo.a.state is State.DISCONNECTED
    assert duo.a.agent.path(1, now=duo.now)
    duo.run(20)
    assert duo.a.state is State.FAILED
    with pytest.raises(ConnectionError):
        duo.a.agent.path(1, now=duo.now)
    sent = len(duo.a.sent)
    duo.run(100)
    assert len(duo.a.sent) == sent


B2 = B._replace(port=2002)


def with_a_spare() -> Duo:
    """Return a call that has a second pair of candidates that has worked, and is not used."""
    duo = Duo(latency=0.1, settings=replace(DEFAULTS, freeing=1e6))
    duo.give(duo.a, local(A))
    duo.give(duo.b, local(B), local(B2, preference=1000))
    duo.end()
    duo.start()
    duo.connect()
    assert duo.a.agent.path(1, now=duo.now) == Path(A, B)
    assert len(duo.a.agent.session.pairs.working(1)) == 2
    return duo


@pytest.mark.parametrize("after", [1, 100])
def test_another_pair_that_works_takes_over_from_one_that_falls_silent(after: float):
    duo = with_a_spare()
    duo.run(after)
    duo.drops = lambda out: B in (out.base, out.destination)
    duo.run(17)
    assert duo.a.agent.path(1, now=duo.now) == Path(A, B2)
    assert duo.b.agent.path(1, now=duo.now) == Path(B2, A)
    assert (duo.a.state, duo.b.state) == (State.COMPLETED, State.COMPLETED)
    duo.run(100)
    assert (duo.a.state, duo.b.state) == (State.COMPLETED, State.COMPLETED)
    assert State.FAILED not in states(duo.a)
    notes = [what for _, what in duo.a.agent.session.pairs.find(Path(A, B)).history.notes]
    assert "silent, while another pair is answered" in notes


def test_pair_that_has_worked_is_not_used_before_it_is_answered_again():
    duo = with_a_spare()
    duo.run(60)
    before = duo.a.events.copy()
    duo.drops = lambda out: out.base != A
    duo.run(29)
    assert [e for e in duo.a.events[len(before) :] if isinstance(e, PairSelected)] == []
    assert any(out.destination == B2 for out in duo.a.sent[-20:])
    duo.run(10)
    assert duo.a.state is State.FAILED


def test_pair_whose_candidate_was_given_back_takes_over_nothing():
    duo = with_a_spare()
    duo.b.agent.session.candidates.keep([Path(B, A)])
    duo.drops = lambda out: B in (out.base, out.destination)
    sent = len(duo.b.sent)
    duo.run(40)
    assert duo.b.state is State.FAILED
    asked = [out for out in duo.b.sent[sent:] if out.base == B2]
    assert all(Message.decode(out.data).message_class is MessageClass.SUCCESS for out in asked)


def test_short_silence_is_forgiven():
    duo = simple()
    duo.start()
    duo.connect()
    duo.drops = lambda _: True
    duo.run(15)
    assert duo.a.state is State.DISCONNECTED
    duo.drops = lambda _: False
    duo.run(10)
    assert duo.a.state is State.COMPLETED


def test_data_is_a_sign_of_life_but_no_consent():
    duo = simple()
    duo.start()
    duo.connect()
    duo.drops = lambda _: True
    for _ in range(29):
        duo.run(1)
        assert duo.a.agent.accepts(B, at=A, now=duo.now)
        assert duo.a.state is State.COMPLETED
    duo.run(3)
    assert duo.a.state is State.FAILED


def test_403_ends_consent_at_once():
    duo = simple()
    duo.start()
    duo.connect()
    duo.run(6)
    asked = requests(duo.a)[-1]
    answer = asked.error(403, "Forbidden").encode(key=duo.b.agent.session.own.key)
    consent = duo.a.agent._consents[1]
    consent._asked[asked.transaction_id] = duo.now  # as if B had not answered it yet
    duo.a.agent.receive(answer, B, at=A, now=duo.now)
    assert duo.a.state is State.FAILED
    with pytest.raises(ConnectionError):
        duo.a.agent.path(1, now=duo.now)


def test_data_of_strangers_is_not_accepted():
    duo = simple()
    duo.start()
    duo.connect()
    assert not duo.a.agent.accepts(A6, at=A, now=duo.now)
