"""Which pairs are made, frozen, checked next and thrown away."""

from __future__ import annotations

from dataclasses import replace

import pytest

from natkit.ice.candidate import Candidate, CandidateType, Local, Origin, Remote
from natkit.ice.checklist import LIMIT, CheckList
from natkit.ice.pair import (
    FAILED,
    FROZEN,
    IN_PROGRESS,
    SUCCEEDED,
    TRANSITIONS,
    WAITING,
    Pair,
    PairState,
    Path,
)
from natkit.wire import TransportAddress
from tests.ice.duo import A6, A_RELAY, B6, A, B, local

RELAY = CandidateType.RELAYED


def remote(
    at: TransportAddress = B, *, foundation: str = "r", value: int = 100, component: int = 1
) -> Remote:
    candidate = Candidate(foundation, component, "udp", value, at.ip, at.port, "host")
    return Remote(candidate, at, 0.0)


def port(number: int) -> TransportAddress:
    return B._replace(port=number)


def add(pairs: CheckList, ours: Local, theirs: Remote) -> Pair | None:
    return pairs.add(ours, theirs, controlling=True, now=0.0)


def states(pairs: CheckList) -> list[PairState]:
    return [pair.state for pair in pairs.pairs]


def test_pairs_stand_in_the_order_of_priority():
    pairs = CheckList()
    for number in (5, 9, 7):
        add(pairs, local(A), remote(port(number), value=number))
    assert [pair.remote.address.port for pair in pairs.pairs] == [9, 7, 5]


def test_same_path_twice_is_one_pair_and_the_report_says_why():
    pairs = CheckList()
    add(pairs, local(A), remote())
    assert add(pairs, local(A, foundation="other"), remote()) is None
    assert [it.why for it in pairs.unpaired] == [
        "the path is checked already, from the same base to the same address"
    ]


@pytest.mark.parametrize(("ours", "theirs"), [(A, B6), (A6, B)])
def test_ip_versions_do_not_mix(ours: TransportAddress, theirs: TransportAddress):
    pairs = CheckList()
    assert add(pairs, local(ours), remote(theirs)) is None
    assert pairs.unpaired == []


def test_components_do_not_mix():
    assert add(CheckList(), local(A), remote(component=2)) is None


def test_link_local_pairs_with_link_local_alone():
    pairs = CheckList()
    near = TransportAddress("fe80::1%eth0", 5)
    assert add(pairs, local(near), remote(B6)) is None
    assert add(pairs, local(near), remote(TransportAddress("fe80::2", 5))) is not None


def test_relay_is_not_told_an_address_that_a_name_hides():
    pairs = CheckList()
    named = Candidate("r", 1, "udp", 1, "x.local", 5, "host")
    assert add(pairs, local(A_RELAY, RELAY), Remote(named, B, 0.0)) is None
    assert add(pairs, local(A), Remote(named, B, 0.0)) is not None


def over_tcp(tcptype: str, address: TransportAddress = B, kind: str = "host") -> Candidate:
    return Candidate(tcptype, 1, "tcp", 1, address.ip, address.port, kind, tcptype=tcptype)


@pytest.mark.parametrize(
    ("ours", "theirs", "pairs_up"),
    [
        ("active", "passive", True),
        ("so", "so", True),
        ("passive", "active", False),  # it is the peer that connects
        ("active", "active", False),
        ("passive", "passive", False),
        ("active", "so", False),
        ("active", None, False),
    ],
)
def test_tcp_pairs_where_one_side_connects_and_the_other_listens(
    ours: str, theirs: str | None, pairs_up: bool
):
    pairs = CheckList()
    tcp = Local(over_tcp(ours, A), A, Origin(0.0))
    there = Remote(replace(over_tcp("passive"), tcptype=theirs), B, 0.0)
    assert (add(pairs, tcp, there) is not None) is pairs_up
    assert len(pairs.unpaired) is int(not pairs_up)


def test_tcp_and_udp_from_and_to_the_same_numbers_are_two_paths():
    pairs = CheckList()
    assert add(pairs, local(A), remote(B)) is not None
    tcp = Local(over_tcp("active", A), A, Origin(0.0))
    assert add(pairs, tcp, Remote(over_tcp("passive"), B, 0.0)) is not None
    assert pairs.unpaired == []


def test_unknown_transport_is_not_checked_and_the_report_says_so():
    pairs = CheckList()
    sctp = Candidate("r", 1, "sctp", 1, B.ip, B.port, "host")
    assert add(pairs, local(A), Remote(sctp, B, 0.0)) is None
    assert pairs.unpaired[0].why == "natkit does not check over sctp"


def test_one_pair_of_each_foundation_is_waiting_at_the_start():
    pairs = CheckList()
    add(pairs, local(A), remote(port(1), value=3))
    add(pairs, local(A), remote(port(2), value=2))
    add(pairs, local(A), remote(port(3), value=1, foundation="s"))
    assert states(pairs) == [FROZEN] * 3
    pairs.start(now=0.0)
    assert states(pairs) == [WAITING, FROZEN, WAITING]


def test_first_component_goes_first_within_a_foundation():
    pairs = CheckList()
    add(pairs, local(A, foundation="h", component=2), remote(port(2), component=2, value=999))
    add(pairs, local(A, foundation="h"), remote(port(1)))
    pairs.start(now=0.0)
    assert [p.component for p in pairs.pairs if p.state is WAITING] == [1]


def test_success_thaws_its_foundation():
    pairs = CheckList()
    first = add(pairs, local(A), remote(port(1), value=2))
    add(pairs, local(A), remote(port(2), value=1))
    pairs.start(now=0.0)
    assert first is not None
    pairs.succeeded(first, now=0.0)
    assert states(pairs) == [SUCCEEDED, WAITING]


def test_newcomer_waits_frozen_unless_it_leads_or_its_foundation_works():
    """RFC 8838 §12, rules 1 to 3."""
    pairs = CheckList()
    lead = add(pairs, local(A), remote(port(1), value=5))
    pairs.start(now=0.0)
    later = add(pairs, local(A), remote(port(2), value=4))
    assert later is not None
    assert later.state is FROZEN  # rule 3
    top = add(pairs, local(A), remote(port(3), value=9))
    assert top is not None
    assert top.state is WAITING  # rule 1
    assert lead is not None
    pairs.succeeded(lead, now=0.0)
    last = add(pairs, local(A), remote(port(4), value=1))
    assert last is not None
    assert last.state is WAITING  # rule 2


def test_next_is_triggered_first_then_the_best_then_a_frozen_one():
    pairs = CheckList()
    made = [add(pairs, local(A), remote(port(n), value=9 - n)) for n in range(3)]
    best, middle, worst = made
    assert best is not None
    assert middle is not None
    assert worst is not None
    pairs.start(now=0.0)
    pairs.trigger(worst, now=0.0)
    order = []
    while (pair := pairs.next(now=0.0)) is not None:
        order.append(pair)
        pair.become(IN_PROGRESS, now=0.0)
        if pair is best:
            pair.become(FAILED, now=0.0)
        if pair is worst:
            pair.become(FAILED, now=0.0)
    assert order == [worst, best, middle]


def test_frozen_pair_waits_while_one_of_its_foundation_is_checked():
    pairs = CheckList()
    first = add(pairs, local(A), remote(port(1), value=2))
    add(pairs, local(A), remote(port(2), value=1))
    pairs.start(now=0.0)
    assert first is not None
    first.become(IN_PROGRESS, now=0.0)
    assert not pairs.has_next()


def test_nothing_is_checked_before_the_start():
    pairs = CheckList()
    add(pairs, local(A), remote())
    assert pairs.next(now=0.0) is None


def test_failed_pair_gets_another_chance_when_the_peer_checks_it():
    pairs = CheckList()
    pair = add(pairs, local(A), remote())
    assert pair is not None
    pairs.start(now=0.0)
    pair.become(IN_PROGRESS, now=0.0)
    pair.become(FAILED, now=0.0)
    pairs.trigger(pair, now=0.0)
    assert pairs.next(now=0.0) is pair


def test_no_more_than_a_hundred_pairs_and_the_worst_goes_first():
    pairs = CheckList()
    for number in range(1, LIMIT + 1):
        add(pairs, local(A), remote(port(number), value=number))
    assert add(pairs, local(A), remote(port(200), value=0)) is None
    assert pairs.unpaired[-1].why == f"there are {LIMIT} better pairs"
    assert add(pairs, local(A), remote(port(201), value=500)) is not None
    assert len(pairs.pairs) == LIMIT
    assert pairs.find(Path(A, port(1))) is None


def test_pair_that_the_peer_has_checked_finds_room_among_better_ones_that_are_unproved():
    pairs = CheckList()
    for number in range(1, LIMIT + 1):
        add(pairs, local(A), remote(port(number), value=number))
    found = remote(port(200), value=0)
    checked = pairs.add(local(A), found, controlling=True, checked=True, now=0.0)
    assert checked in pairs.pairs
    assert len(pairs.pairs) == LIMIT


def test_failed_pairs_make_room_first():
    pairs = CheckList()
    for number in range(1, LIMIT + 1):
        add(pairs, local(A), remote(port(number), value=number))
    pairs.start(now=0.0)
    best = pairs.pairs[0]
    best.become(IN_PROGRESS, now=0.0)
    best.become(FAILED, now=0.0)
    add(pairs, local(A), remote(port(200), value=0))
    assert best not in pairs.pairs


def test_state_changes_that_the_table_has_not_are_refused():
    pair = add(CheckList(), local(A), remote())
    assert pair is not None
    for state in set(PairState) - TRANSITIONS[FROZEN]:
        with pytest.raises(ValueError, match="cannot go"):
            pair.become(state, now=0.0)
