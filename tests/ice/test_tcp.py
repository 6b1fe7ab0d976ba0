"""Candidates over TCP (RFC 6544): who connects, what is learnt, and how it ends."""

from __future__ import annotations

from natkit.ice.candidate import Candidate, CandidateType, Local, Origin, TcpType
from natkit.ice.credentials import Credentials
from natkit.ice.events import State
from natkit.ice.pair import Path
from natkit.ice.priority import parts, tcp_priority
from natkit.wire import TransportAddress
from tests.ice.duo import A, B, Duo, local, requests

ACTIVE = TransportAddress(A.ip, 9)
"""Where A's connections leave from, as the agent sees it."""
OUTSIDE = TransportAddress("198.51.100.77", 50001)
"""The same, as B sees it: there is a NAT."""
LISTENS = TransportAddress(B.ip, 443)


def tcp(base: TransportAddress, tcptype: TcpType) -> Local:
    value = tcp_priority(tcptype, 65535, 1)
    candidate = Candidate(
        f"{tcptype}{base.ip}", 1, "tcp", value, base.ip, base.port, "host", tcptype=tcptype
    )
    return Local(candidate, base, Origin(0.0, "eth0"))


def only_tcp() -> Duo:
    """A behind a NAT connects, B listens, and no UDP passes."""
    duo = Duo()
    duo.seen_as[ACTIVE] = OUTSIDE
    duo.routes[OUTSIDE] = (duo.a, ACTIVE)
    duo.drops = lambda out: not out.tcp
    duo.give(duo.a, local(A), tcp(ACTIVE, TcpType.ACTIVE))
    duo.give(duo.b, local(B), tcp(LISTENS, TcpType.PASSIVE))
    duo.end()
    duo.start()
    return duo


def test_active_and_passive_connect_where_no_udp_passes():
    duo = only_tcp()
    duo.connect()
    assert duo.a.state is duo.b.state is State.COMPLETED
    assert duo.a.agent.path(1, now=duo.now) == Path(ACTIVE, LISTENS, tcp=True)
    assert duo.b.agent.path(1, now=duo.now) == Path(LISTENS, OUTSIDE, tcp=True)


def test_who_is_connected_to_learns_the_other_end_as_a_peer_reflexive_candidate():
    duo = only_tcp()
    duo.connect()
    learnt = duo.b.agent.session.selected(1).remote.candidate
    assert (learnt.type, learnt.transport, learnt.tcptype) == ("prflx", "tcp", "active")
    assert learnt.port == OUTSIDE.port
    seen = duo.a.agent.session.selected(1).seen_as.candidate
    assert (seen.type, seen.tcptype, seen.port) == ("prflx", "active", OUTSIDE.port)


def test_active_candidate_that_nobody_translates_is_a_host_candidate_whatever_its_port():
    duo = only_tcp()
    duo.seen_as[ACTIVE] = direct = TransportAddress(A.ip, 50001)
    duo.routes[direct] = (duo.a, ACTIVE)
    duo.connect()
    assert duo.a.agent.session.selected(1).seen_as.candidate.type == CandidateType.HOST


def test_check_over_tcp_is_sent_once():
    duo = only_tcp()
    duo.drops = lambda _: True
    duo.run(39)
    over_tcp = [out for out in duo.a.sent if out.tcp]
    assert len(over_tcp) == 1
    assert len(requests(duo.a)) > 5


def test_connection_that_is_refused_fails_its_pair_at_once():
    duo = only_tcp()
    duo.drops = lambda _: True
    duo.run(0.5)
    why = "cannot connect: refused"
    duo.a.agent.broken(Path(ACTIVE, LISTENS, tcp=True), why, now=duo.now)
    (pair,) = [pair for pair in duo.a.agent.session.pairs.pairs if pair.is_tcp]
    assert pair.state.value == "failed"
    assert pair.history.notes[-1][1] == why
    assert duo.a.state is State.CHECKING


def test_chosen_connection_that_ends_is_a_failure_at_once():
    duo = only_tcp()
    duo.connect()
    path = duo.a.agent.path(1, now=duo.now)
    duo.a.agent.broken(path, "the other end closed the connection", now=duo.now)
    assert duo.a.state is State.FAILED
    assert duo.a.agent.reason == "the other end closed the connection"


def test_connection_that_ends_before_the_choice_leaves_hope_for_others():
    duo = only_tcp()
    # No answer to the nomination, so that the pair works and is not chosen.
    duo.run(60, lambda: duo.a.state is State.CONNECTED)
    path = duo.a.agent.path(1, now=duo.now)
    duo.a.agent.broken(path, "reset", now=duo.now)
    assert duo.a.state is State.CHECKING


def test_both_connect_at_once_where_both_offer_it():
    duo = Duo()
    ours, theirs = TransportAddress(A.ip, 7001), TransportAddress(B.ip, 7002)
    duo.give(duo.a, tcp(ours, TcpType.SIMULTANEOUS_OPEN))
    duo.give(duo.b, tcp(theirs, TcpType.SIMULTANEOUS_OPEN))
    duo.end()
    duo.start()
    duo.connect()
    assert duo.a.agent.path(1, now=duo.now) == Path(ours, theirs, tcp=True)


def test_consent_is_asked_over_the_connection():
    duo = only_tcp()
    duo.connect()
    asked = len(requests(duo.a))
    duo.run(60)
    assert duo.a.state is State.COMPLETED
    assert len(requests(duo.a)) - asked >= 10
    assert all(out.tcp for out in duo.a.sent[-10:])


def test_udp_is_chosen_where_both_work_though_tcp_was_first():
    duo = Duo()
    duo.give(duo.a, local(A), tcp(ACTIVE, TcpType.ACTIVE))
    duo.give(duo.b, local(B), tcp(LISTENS, TcpType.PASSIVE))
    duo.end()
    duo.drops = lambda out: not out.tcp and duo.now < 0.4
    duo.start()
    duo.connect()
    assert duo.a.agent.path(1, now=duo.now) == Path(A, B)


def test_priorities_are_the_rfcs_and_below_those_of_direct_udp():
    active, passive, both = (tcp_priority(kind, 65535, 1) for kind in TcpType)
    assert parts(active) == (90, (6 << 13) + 8191, 1)
    assert active > passive > both
    assert parts(tcp_priority(TcpType.ACTIVE, 65533, 2)) == (90, (6 << 13) + 8189, 2)


def test_answer_over_tcp_that_is_signed_with_another_password_ends_the_check_at_once():
    duo = only_tcp()
    duo.a.agent.set_remote(Credentials(duo.b.agent.session.own.ufrag, "x" * 22), now=duo.now)
    duo.run(5)
    (pair,) = [pair for pair in duo.a.agent.session.pairs.pairs if pair.is_tcp]
    assert pair.state.value == "failed"
    assert "not signed with the peer's password (error 401)" in pair.history.notes[-1][1]
