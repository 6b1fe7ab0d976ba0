"""When a check is sent again and given up, and what a peer that nominates several pairs brings."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from natkit.ice import messages
from natkit.ice.events import State
from natkit.ice.messages import Outgoing
from natkit.ice.pair import Path
from natkit.ice.role import Role
from natkit.wire import Message, TransportAddress, UseCandidate
from tests.ice.duo import A, B, Duo, local, simple

A2 = A._replace(ip="192.0.2.7")


def sends_to(duo: Duo, address: TransportAddress, seconds: float) -> list[float]:
    """Return when A sends to an address while nothing arrives anywhere."""
    times: list[float] = []

    def lose(out: Outgoing) -> bool:
        if (out.base, out.destination) == (A, address):
            times.append(duo.now)
        return True

    duo.drops = lose
    duo.start()
    duo.run(seconds)
    return times


def test_check_is_sent_seven_times_as_stun_says_and_given_up_at_39_5_seconds():
    duo = simple()
    # RFC 8489 §6.2.1: RTO 500 ms, doubled each time, Rc 7, Rm 16.
    assert sends_to(duo, B, 39.4) == pytest.approx([0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5])
    assert duo.a.state is State.CHECKING
    duo.run(0.2)
    assert duo.a.state is State.FAILED


def test_checks_are_sent_again_the_more_slowly_the_more_of_them_there_are():
    duo = Duo()
    duo.give(duo.a, local(A))
    hosts = [B._replace(port=B.port + n) for n in range(20)]
    for n, host in enumerate(hosts):
        duo.give(duo.b, local(host, foundation=f"host{n}", preference=60000 - n))
    duo.end()
    # RFC 8445 §14.3: RTO = max(500 ms, Ta * (pairs that wait or are checked)), 20 here.
    times = sends_to(duo, hosts[0], 16)
    assert [later - first for first, later in pairwise(times)] == pytest.approx([1, 2, 4, 8])


def several(duo: Duo) -> None:
    """Have A be on two addresses, of which A is the better, and nominate nothing by itself."""
    duo.give(duo.a, local(A), local(A2, preference=1000))
    duo.give(duo.b, local(B))
    duo.drops = lambda out: Message.decode(out.data).find(UseCandidate) is not None
    duo.start()
    duo.run(1)


def nominate(duo: Duo, base: TransportAddress) -> None:
    """Have B get a check from `base` that nominates, and settle what follows."""
    rng, peer = random.Random(base.ip), duo.b.agent.session.own
    role = Role(rng.randbytes, controlling=True)
    check = messages.check(
        rng.randbytes(12), duo.a.agent.session.own, peer, role, 1, nominates=True
    )
    duo.b.agent.receive(check, base, at=B, now=duo.now)
    duo.run(1)


@pytest.mark.parametrize("order", [(A, A2), (A2, A)], ids=["best-first", "best-last"])
def test_of_several_nominated_pairs_the_best_is_sent_on_and_data_is_taken_from_all(
    order: tuple[TransportAddress, ...],
):
    # RFC 8445 §8.1.1: the pair of the highest priority; §12.2: data on any of them. So it is when
    # a controlling Chromium nominates again and again, and itself sends on another pair.
    duo = Duo()
    several(duo)
    for base in order:
        nominate(duo, base)
        assert duo.b.state is State.COMPLETED
    assert duo.b.agent.path(1, now=duo.now) == Path(B, A)
    for base in order:
        assert duo.b.agent.accepts(base, at=B, now=duo.now)
    duo.run(60)
    assert duo.b.state is State.COMPLETED
