"""Two agents find a path, agree on it, keep it, and give up when they should."""

from __future__ import annotations

import pytest

from natkit.errors import UsageError
from natkit.ice.candidate import CandidateType
from natkit.ice.credentials import Credentials
from natkit.ice.events import (
    PairSelected,
    RoleSwitched,
    State,
)
from natkit.ice.messages import Outgoing
from natkit.ice.pair import PairState, Path, Side
from natkit.wire import Message, MessageClass, UseCandidate
from tests.ice.duo import A6, A_RELAY, B6, B_RELAY, A, B, Duo, Peer, local, requests, simple, states

SRFLX, RELAY = CandidateType.SERVER_REFLEXIVE, CandidateType.RELAYED


def test_two_hosts_connect_in_two_round_trips():
    duo = simple()
    duo.start()
    duo.connect()
    assert duo.now == pytest.approx(0.04)
    assert states(duo.a) == [State.CHECKING, State.CONNECTED, State.COMPLETED]
    assert states(duo.b) == states(duo.a)


def test_first_check_leaves_at_once_and_nominates_nothing():
    duo = simple()
    duo.start()
    assert [len(requests(peer)) for peer in (duo.a, duo.b)] == [1, 1]
    assert requests(duo.a)[0].find(UseCandidate) is None


def test_nomination_is_a_second_check_of_the_controlling_side():
    duo = simple()
    duo.start()
    duo.connect()
    nominating = [r for r in requests(duo.a) if r.find(UseCandidate) is not None]
    assert len(nominating) == 1
    assert not [r for r in requests(duo.b) if r.find(UseCandidate) is not None]
    pair = duo.a.agent.session.selected(1)
    assert pair is not None
    assert pair.history.nominated_by is Side.US
    assert duo.b.agent.session.selected(1).history.nominated_by is Side.PEER


def test_nomination_lost_again_and_again_is_repeated_while_the_peer_is_heard():
    duo = simple()
    duo.drops = lambda out: duo.now < 45 and Message.decode(out.data).find(UseCandidate) is not None
    duo.start()
    duo.run(60)
    (pair,) = duo.a.agent.session.pairs.working(1)
    assert pair.nominated
    assert PairState.FAILED not in [state for _, state in pair.history.changes]
    assert duo.a.state is duo.b.state is State.COMPLETED


def test_nomination_is_not_repeated_for_a_peer_that_has_gone():
    duo = simple()
    nominated: list[float] = []

    def drops(out: Outgoing) -> bool:
        if Message.decode(out.data).find(UseCandidate) is not None:
            nominated.append(duo.now)
        return bool(nominated)

    duo.drops = drops
    duo.start()
    duo.run(45)
    assert duo.a.state is State.FAILED
    assert nominated[-1] - nominated[0] < 39.5


@pytest.mark.parametrize("heard", [True, False], ids=["peer's check came", "peer silent"])
def test_check_is_repeated_evenly_once_the_peers_own_has_come(heard: bool):
    duo = simple()
    sent: list[float] = []

    def drops(out: Outgoing) -> bool:
        if out.base == A and Message.decode(out.data).message_class is MessageClass.REQUEST:
            sent.append(round(duo.now, 2))
            return True
        return not heard

    duo.drops = drops
    duo.start()
    duo.run(3.9)
    even = [0.05, 0.55, 1.05, 1.55, 2.05, 2.55, 3.05, 3.55]
    assert [at for at in sent if at] == (even if heard else [0.5, 1.5, 3.5])


def test_both_sides_send_on_the_same_path():
    duo = simple()
    duo.start()
    duo.connect()
    assert duo.a.agent.path(1, now=duo.now) == Path(A, B)
    assert duo.b.agent.path(1, now=duo.now) == Path(B, A)


def test_starting_without_the_peers_credentials_is_refused():
    duo = simple()
    with pytest.raises(UsageError):
        duo.a.agent.start(now=0.0)


def test_there_is_no_path_before_there_is_one():
    duo = simple()
    with pytest.raises(ConnectionError):
        duo.a.agent.path(1, now=0.0)


def test_checks_that_come_before_the_start_count():
    duo = simple()
    duo.introduce()
    duo.a.agent.start(now=0.0)
    duo.run(0.015)
    duo.b.agent.start(now=duo.now)
    duo.connect()
    # The early check has made B's own a triggered one; nothing waited for a retransmission.
    assert duo.now < 0.1


def test_controlled_side_is_not_connected_before_the_other_has_started():
    duo = simple()
    duo.introduce()
    duo.b.agent.start(now=0.0)
    duo.run(1.0)
    assert duo.b.agent.session.usable(1) is not None
    assert duo.b.state is State.CHECKING
    duo.a.agent.start(now=duo.now)
    duo.connect()
    assert (duo.a.state, duo.b.state) == (State.COMPLETED, State.COMPLETED)


def test_same_role_on_both_sides_is_settled_by_the_tie_breaker():
    for a_controls in (True, False):
        duo = simple()
        duo.a.agent.role.controlling = duo.b.agent.role.controlling = True
        duo.a.agent.role.tie_breaker = 2 if a_controls else 1
        duo.b.agent.role.tie_breaker = 1 if a_controls else 2
        duo.start()
        duo.connect()
        assert (duo.a.state, duo.b.state) == (State.COMPLETED, State.COMPLETED)
        assert duo.a.agent.role.controlling is a_controls
        assert duo.b.agent.role.controlling is not a_controls
        loser = duo.b if a_controls else duo.a
        assert RoleSwitched(controlling=False) in loser.events


def test_two_controlled_sides_find_out_who_decides():
    duo = simple()
    duo.a.agent.role.controlling = False
    duo.a.agent.role.tie_breaker, duo.b.agent.role.tie_breaker = 2, 1
    duo.start()
    duo.connect()
    assert duo.a.state is State.COMPLETED
    assert duo.a.agent.role.controlling


def test_role_conflict_is_repaired_by_the_487_when_the_other_way_is_blocked():
    duo = simple()
    duo.b.agent.role.controlling = True
    duo.a.agent.role.tie_breaker, duo.b.agent.role.tie_breaker = 1, 2

    def lost(out):
        message = Message.decode(out.data)
        asks = message.message_class.name == "REQUEST"
        return asks and out.base == B and duo.a.agent.role.controlling

    duo.drops = lost
    duo.start()
    duo.connect()
    assert duo.a.state is State.COMPLETED
    assert not duo.a.agent.role.controlling
    # Drawn anew, so that two agents cannot refuse each other for ever.
    assert duo.a.agent.role.tie_breaker != 1


def behind_nat() -> Duo:
    """A is behind a NAT that B sees as A_RELAY's address; A has not been told."""
    duo = Duo()
    duo.seen_as[A] = A_RELAY
    duo.give(duo.a, local(A))
    duo.give(duo.b, local(B))
    duo.routes[A_RELAY] = (duo.a, A)
    del duo.routes[A]
    duo.end()
    return duo


def test_address_learnt_from_a_check_is_peer_reflexive_on_both_sides():
    duo = behind_nat()
    duo.start()
    duo.connect()
    remote = duo.b.agent.session.selected(1).remote.candidate
    assert (remote.type, remote.address) == (CandidateType.PEER_REFLEXIVE, A_RELAY)
    ours = duo.a.agent.session.selected(1).seen_as.candidate
    assert (ours.type, ours.address) == (CandidateType.PEER_REFLEXIVE, A_RELAY)
    assert ours.priority == remote.priority
    assert (ours.related_address, ours.related_port) == A


def test_peer_reflexive_candidate_takes_its_name_when_it_is_signalled_later():
    duo = behind_nat()
    duo.start()
    duo.connect()
    signalled = local(A, SRFLX, at=A_RELAY).candidate
    duo.b.agent.add_remote(signalled, now=duo.now)
    duo.settle()
    assert duo.b.agent.session.selected(1).remote.candidate == signalled
    selected = [event for event in duo.b.events if isinstance(event, PairSelected)]
    assert selected[-1].remote == signalled


def test_server_reflexive_candidate_is_recognised_in_the_answer():
    duo = behind_nat()
    duo.give(duo.a, local(A, SRFLX, at=A_RELAY))
    duo.start()
    duo.connect()
    assert duo.a.agent.session.selected(1).seen_as.candidate.type == SRFLX
    assert duo.b.agent.session.selected(1).remote.candidate.type == SRFLX


def test_direct_path_that_comes_late_beats_a_relayed_one_that_works():
    duo = Duo()
    duo.give(duo.a, local(A), local(A_RELAY, RELAY))
    duo.give(duo.b, local(B))
    duo.end()
    duo.drops = lambda out: {out.base, out.destination} == {A, B} and duo.now < 0.4
    duo.start()
    duo.run(0.4)
    assert duo.a.state is State.CONNECTED  # data may flow over the relay meanwhile
    assert duo.a.agent.path(1, now=duo.now) == Path(A_RELAY, B)
    duo.connect()
    assert duo.now < 1.0
    assert duo.a.agent.path(1, now=duo.now) == Path(A, B)


def test_relayed_path_is_taken_when_no_direct_one_comes_in_time():
    duo = Duo()
    duo.give(duo.a, local(A), local(A_RELAY, RELAY))
    duo.give(duo.b, local(B))
    duo.end()
    duo.drops = lambda out: {out.base, out.destination} == {A, B}
    duo.start()
    duo.connect()
    assert 4.0 < duo.now < 4.2
    assert duo.b.agent.path(1, now=duo.now) == Path(B, A_RELAY)


def test_relayed_path_is_taken_at_once_when_there_is_no_other():
    duo = Duo()
    duo.give(duo.a, local(A_RELAY, RELAY))
    duo.give(duo.b, local(B))
    duo.end()
    duo.start()
    duo.connect()
    assert duo.now < 0.1


def test_peer_reflexive_address_at_the_peers_relay_is_no_direct_path():
    duo = Duo()
    duo.give(duo.a, local(A))
    duo.give(duo.b, local(B), local(B_RELAY, RELAY))
    duo.end()
    # A NAT before A gives what comes from B's relay another port.
    duo.seen_as[B_RELAY] = B_RELAY._replace(port=9)
    duo.routes[B_RELAY._replace(port=9)] = (duo.b, B_RELAY)
    duo.drops = lambda out: {out.base, out.destination} == {A, B} or out.destination == B_RELAY
    duo.start()
    duo.run(1.0)
    pair = duo.a.agent.session.usable(1)
    assert pair is not None
    assert pair.remote.candidate.type == CandidateType.PEER_REFLEXIVE
    assert pair.is_relayed
    assert not pair.nominated  # a direct one may still come


def test_ipv6_is_chosen_where_both_work():
    duo = Duo()
    duo.give(duo.a, local(A, preference=65534), local(A6))
    duo.give(duo.b, local(B, preference=65534), local(B6))
    duo.end()
    duo.start()
    duo.connect()
    assert duo.a.agent.path(1, now=duo.now) == Path(A6, B6)


def test_ipv4_is_chosen_50_ms_later_where_ipv6_is_dead():
    duo = Duo()
    duo.give(duo.a, local(A, preference=65534), local(A6))
    duo.give(duo.b, local(B, preference=65534), local(B6))
    del duo.routes[A6], duo.routes[B6]
    duo.end()
    duo.start()
    duo.connect()
    assert duo.a.agent.path(1, now=duo.now) == Path(A, B)
    assert duo.now == pytest.approx(0.09)


def test_candidates_trickled_after_the_start_are_checked():
    duo = Duo()
    duo.introduce()
    duo.a.agent.start(now=0.0)
    duo.b.agent.start(now=0.0)
    duo.run(1.0)
    duo.give(duo.a, local(A))
    duo.run(1.0)
    assert duo.a.state is State.CHECKING
    duo.give(duo.b, local(B))
    duo.connect()
    assert duo.a.state is State.COMPLETED
    assert duo.now == pytest.approx(2.04)


def test_two_components_connect_each_on_its_own_path():
    duo = Duo(components=2)
    for component in (1, 2):
        for peer, base in ((duo.a, A), (duo.b, B)):
            place = base._replace(port=base.port + component)
            duo.give(peer, local(place, component=component))
    duo.end()
    duo.start()
    duo.connect()
    assert duo.a.agent.path(2, now=duo.now) == Path(
        A._replace(port=1002),
        B._replace(port=2002),
    )


def test_component_that_the_peer_has_no_candidates_for_is_left_out():
    duo = Duo(components=2)
    duo.give(duo.a, local(A), local(A._replace(port=1002), component=2))
    duo.give(duo.b, local(B))
    duo.end()
    duo.b.agent.session.components = {1}
    duo.start()
    duo.connect()
    assert duo.a.state is State.COMPLETED


def test_lite_agent_answers_and_takes_the_pair_it_is_told():
    duo = Duo()
    duo.b.agent._lite = True
    duo.b.agent.session.lite = True
    duo.give(duo.a, local(A))
    duo.give(duo.b, local(B))
    duo.end()
    duo.start()
    duo.connect()
    assert (duo.a.state, duo.b.state) == (State.COMPLETED, State.COMPLETED)
    assert requests(duo.b) == []
    assert duo.b.agent.path(1, now=1e6) == Path(B, A)


def test_full_agent_controls_a_lite_one_whatever_it_was():
    duo = simple()
    duo.a.agent.role.controlling = False
    duo.a.agent.set_remote(duo.b.agent.session.own, lite=True, now=0.0)
    assert duo.a.agent.role.controlling


def test_two_lite_agents_agree_without_a_packet():
    duo = Duo(lite=True)
    duo.give(duo.a, local(A))
    duo.give(duo.b, local(B))
    duo.end()
    for peer in (duo.a, duo.b):
        peer.agent.set_remote(duo.other(peer).agent.session.own, lite=True, now=0.0)
        peer.agent.start(now=0.0)
    assert duo.a.state is State.COMPLETED
    assert duo.a.sent == []


def test_silence_ends_in_failure_after_39_5_seconds_and_not_before():
    duo = simple()
    duo.drops = lambda _: True
    duo.start()
    duo.run(39.4)
    assert duo.a.state is State.CHECKING
    duo.run(0.2)
    assert duo.a.state is State.FAILED
    pair = duo.a.agent.session.pairs.pairs[0]
    assert pair.state is PairState.FAILED
    assert pair.history.sent == 7
    assert pair.history.notes[-1][1] == "no answer to a check that was sent 7 times"


def test_no_candidates_at_all_fail_only_when_no_check_can_come_any_more():
    duo = Duo()
    duo.give(duo.a, local(A))
    duo.end()
    duo.start()
    duo.run(39.4)
    assert duo.a.state is State.CHECKING
    duo.run(0.2)
    assert duo.a.state is State.FAILED


def test_check_of_an_unknown_peer_connects_one_that_was_told_no_candidates():
    duo = Duo()
    duo.give(duo.a, local(A), signal=False)
    duo.give(duo.b, local(B))
    duo.end()
    duo.start()
    duo.connect()
    assert duo.b.state is State.COMPLETED


def test_while_candidates_may_come_it_does_not_fail():
    duo = Duo()
    duo.give(duo.a, local(A))
    duo.give(duo.b, local(B))
    duo.drops = lambda _: True
    duo.start()
    duo.run(300)
    assert duo.a.state is State.CHECKING


def test_wrong_password_is_answered_with_401_and_never_connects():
    duo = simple()
    duo.introduce()
    wrong = Credentials(duo.b.agent.session.own.ufrag, "x" * 22)
    duo.a.agent.set_remote(wrong, now=0.0)
    duo.a.agent.start(now=0.0)
    duo.run(60)
    assert duo.a.state is State.FAILED
    notes = [what for _, what in duo.a.agent.session.pairs.pairs[0].history.notes]
    assert "an answer that the peer's password does not sign was ignored: error 401" in notes
    assert notes[-1] == "the only answers were not signed with the peer's password (error 401)"
    assert duo.a.agent.reason == (
        "no pair of candidates works; the peer does not know the password that we were told (401)"
    )


@pytest.mark.parametrize("side", ["a", "b"])
def test_wrong_password_is_found_while_the_peers_own_checks_go_on(side: str):
    duo = simple()
    duo.introduce()
    misled: Peer = getattr(duo, side)
    right = duo.other(misled).agent.session.own
    misled.agent.set_remote(Credentials(right.ufrag, "x" * 22), now=0.0)
    for peer in (duo.a, duo.b):
        peer.agent.start(now=0.0)
    duo.run(39)
    assert misled.state is State.CHECKING
    duo.run(2)
    assert misled.state is State.FAILED
    duo.run(60)
    assert duo.other(misled).agent.path(1, now=duo.now)
    assert states(misled) == [State.CHECKING, State.FAILED]
    assert "the password that we were told (401)" in misled.agent.reason


def test_second_component_that_fails_ends_the_call_while_the_first_is_silent():
    duo = Duo(components=2)
    for component in (1, 2):
        port = 1000 + component
        duo.give(duo.a, local(A._replace(port=port), component=component))
        duo.give(duo.b, local(B._replace(port=port), component=component))
    duo.drops = lambda out: duo.now > 25 or 1002 in (out.base.port, out.destination.port)
    duo.end()
    duo.start()
    duo.run(38)
    assert duo.a.state is State.DISCONNECTED
    duo.run(5)
    assert duo.a.state is State.FAILED
    assert duo.a.agent.reason == "no pair of candidates works"
