"""Whatever the network does to the messages, both sides end up on one path or both give up."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from natkit.ice.candidate import CandidateType
from natkit.ice.events import State
from natkit.ice.pair import TRANSITIONS, Path
from natkit.wire import TransportAddress
from tests.ice.duo import A6, A_RELAY, B6, A, B, Duo, local

DONE = {State.COMPLETED, State.FAILED}


def build(seed: int, loss: float, jitter: float, roles: tuple[bool, bool], relay: bool) -> Duo:
    duo = Duo(seed=seed, loss=loss, jitter=jitter)
    duo.a.agent.role.controlling, duo.b.agent.role.controlling = roles
    duo.give(duo.a, local(A, preference=65534), local(A6))
    duo.give(duo.b, local(B, preference=65534), local(B6))
    if relay:
        duo.give(duo.a, local(A_RELAY, CandidateType.RELAYED))
    duo.end()
    return duo


@pytest.mark.slow
@settings(max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    loss=st.sampled_from([0.0, 0.1, 0.2]),
    jitter=st.sampled_from([0.0, 0.05, 0.6]),
    roles=st.tuples(st.booleans(), st.booleans()),
    relay=st.booleans(),
)
def test_both_sides_choose_the_same_path(
    seed: int, loss: float, jitter: float, roles: tuple[bool, bool], relay: bool
):
    duo = build(seed, loss, jitter, roles, relay)
    duo.start()
    duo.run(90, lambda: duo.a.state in DONE and duo.b.state in DONE)
    assert duo.a.state is State.COMPLETED
    assert duo.b.state is State.COMPLETED
    base, far, _ = duo.a.agent.path(1, now=duo.now)
    assert duo.b.agent.path(1, now=duo.now) == Path(far, base)
    assert duo.a.agent.role.controlling is not duo.b.agent.role.controlling


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.lists(st.binary(max_size=80), max_size=20))
def test_junk_and_replays_between_the_messages_change_nothing(seed: int, junk: list[bytes]):
    duo = build(seed, 0.1, 0.0, (True, False), False)
    duo.start()
    for data in junk:
        for peer, at in ((duo.a, A), (duo.b, B)):
            peer.agent.receive(data, TransportAddress("192.0.2.99", 9), at=at, now=duo.now)
            for out in duo.other(peer).sent[-2:]:
                peer.agent.receive(out.data, out.base, at=out.destination, now=duo.now)
        duo.run(0.05)
    duo.connect()
    assert duo.a.state is State.COMPLETED
    for peer in (duo.a, duo.b):
        for pair in peer.agent.session.pairs.pairs:
            steps = [state for _, state in pair.history.changes]
            assert all(b in TRANSITIONS[a] for a, b in itertools.pairwise(steps))


def test_checks_are_never_closer_than_50_ms_unless_they_nominate():
    duo = build(1, 0.3, 0.05, (True, False), True)
    duo.start()
    times: dict[bytes, float] = {}
    sent = duo.a.agent.session.checks.send

    def spy(transaction_id, check, *, now):
        if not check.nominates:
            times[transaction_id] = now
        sent(transaction_id, check, now=now)

    duo.a.agent.session.checks.send = spy
    duo.run(5)
    starts = sorted(times.values())
    assert len(starts) >= 3
    assert min(b - a for a, b in itertools.pairwise(starts)) >= 0.05 - 1e-9
