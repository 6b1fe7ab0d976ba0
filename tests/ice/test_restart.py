"""Another session after the first one, and what is given back once a pair was chosen."""

from __future__ import annotations

from natkit.ice.candidate import CandidateType
from natkit.ice.events import (
    CandidatesFreed,
    State,
)
from natkit.ice.pair import Path
from natkit.wire import IceControlling
from tests.ice.duo import A_RELAY, A, B, Duo, Peer, local, simple


def test_restart_finds_a_new_path_while_data_takes_the_old_one():
    duo = simple()
    duo.start()
    duo.connect()
    old = duo.a.agent.session.own
    for peer in (duo.a, duo.b):
        peer.agent.restart(now=duo.now)
    assert duo.a.agent.session.own.ufrag != old.ufrag
    assert duo.a.state is State.NEW
    assert duo.a.agent.path(1, now=duo.now) == Path(A, B)
    new_a = A._replace(port=1111)
    duo.give(duo.a, local(new_a))
    duo.give(duo.b, local(B))
    duo.end()
    duo.start()
    duo.connect()
    assert duo.a.agent.path(1, now=duo.now) == Path(new_a, B)
    assert duo.b.agent.path(1, now=duo.now) == Path(B, new_a)


def test_consent_for_the_old_path_is_given_during_a_restart():
    duo = simple()
    duo.start()
    duo.connect()
    duo.b.agent.restart(now=duo.now)
    duo.run(60)
    assert duo.a.state is State.COMPLETED


def test_restart_brings_a_failed_connection_back():
    duo = simple()
    duo.start()
    duo.connect()
    duo.drops = lambda _: True
    duo.run(60)
    assert duo.a.state is State.FAILED
    duo.drops = lambda _: False
    for peer in (duo.a, duo.b):
        peer.agent.restart(now=duo.now)
    duo.give(duo.a, local(A))
    duo.give(duo.b, local(B))
    duo.end()
    duo.start()
    duo.connect()
    assert duo.a.state is State.COMPLETED


def test_role_survives_a_restart():
    duo = simple()
    duo.a.agent.restart(now=0.0)
    assert duo.a.agent.role.attribute() == IceControlling(duo.a.agent.role.tie_breaker)


def host_and_relay() -> Duo:
    """Return a connected pair, one of whom has a relay that it does not need."""
    duo = Duo()
    duo.give(duo.a, local(A), local(A_RELAY, CandidateType.RELAYED))
    duo.give(duo.b, local(B))
    duo.end()
    duo.start()
    duo.connect()
    return duo


def freed(peer: Peer) -> list[CandidatesFreed]:
    return [event for event in peer.events if isinstance(event, CandidatesFreed)]


def test_candidates_that_were_not_chosen_are_freed_three_seconds_after_the_choice():
    duo = host_and_relay()
    duo.run(2.9)
    assert freed(duo.a) == freed(duo.b) == []
    duo.run(0.2)
    assert freed(duo.a) == [CandidatesFreed(frozenset({Path(A, B)}))]
    assert freed(duo.b) == [CandidatesFreed(frozenset({Path(B, A)}))]
    duo.run(60)
    assert len(freed(duo.a)) == 1
    assert duo.a.state is State.COMPLETED


def test_candidates_are_not_freed_while_gathering_goes_on():
    duo = Duo()
    duo.give(duo.a, local(A))
    duo.give(duo.b, local(B))
    duo.start()
    duo.connect()
    duo.run(10)
    assert freed(duo.a) == []
    duo.end()
    assert len(freed(duo.a)) == 0
    duo.run(0.1)
    assert len(freed(duo.a)) == 1


def test_freed_candidate_is_paired_with_nothing_that_comes_later():
    duo = host_and_relay()
    duo.run(4)
    late = local(B._replace(port=9999))
    duo.a.agent.add_remote(late.candidate, now=duo.now)
    bases = {p.local.base for p in duo.a.agent.session.pairs.pairs if p.remote.address.port == 9999}
    assert bases == {A}


def test_restart_frees_anew():
    duo = simple()
    duo.start()
    duo.connect()
    duo.run(4)
    duo.a.agent.restart(now=duo.now)
    duo.b.agent.restart(now=duo.now)
    duo.give(duo.a, local(A))
    duo.give(duo.b, local(B))
    duo.end()
    duo.start()
    duo.connect()
    duo.run(4)
    assert len(freed(duo.a)) == 2
