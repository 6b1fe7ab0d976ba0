"""Pings: one a second, answered or lost, and an end that both sides reach."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from natkit.rendezvous.ping import HEAD_START, PingAnswered, Pinger, PingLost

KEY = bytes(32)
WAY = 0.02


def pair(count_a: int = 3, count_b: int = 3) -> tuple[Pinger, Pinger]:
    return Pinger(KEY, b"a", b"b", count_a), Pinger(KEY, b"b", b"a", count_b)


def started(count: int = 3) -> Pinger:
    """Return one that has sent its first ping at 0."""
    pinger, _ = pair(count)
    pinger.start(now=-HEAD_START)
    pinger.tick(now=0.0)
    return pinger


def keep_all(_: int) -> bool:
    return True


def run(
    a: Pinger, b: Pinger, arrives: Callable[[int], bool] = keep_all, until: float = 60.0
) -> float:
    """Carry datagrams, the nth of which `arrives` or not; return when nothing is left to do."""
    now, number = 0.0, 0
    a.start(now=now)
    b.start(now=now)
    under_way: list[tuple[float, Pinger, bytes]] = []
    while now < until:
        for sender, receiver in ((a, b), (b, a)):
            for data in sender.outgoing():
                if arrives(number):
                    under_way.append((now + WAY, receiver, data))
                number += 1
        due = [at for at, _, _ in under_way]
        due += [at for pinger in (a, b) if (at := pinger.deadline()) is not None]
        if not due:
            return now
        now = min(due)
        for arrival in [it for it in under_way if it[0] <= now]:
            under_way.remove(arrival)
            arrival[1].receive(arrival[2], now=now)
        a.tick(now=now)
        b.tick(now=now)
    raise AssertionError("they never end")


def test_every_ping_is_answered_in_a_round_trip():
    a, b = pair()
    run(a, b)
    assert [ping.round_trip for ping in a.pings] == pytest.approx([2 * WAY] * 3)
    assert [ping.sent_at for ping in a.pings] == [0.25, 1.25, 2.25]
    assert [event.number for event in a.events() if isinstance(event, PingAnswered)] == [0, 1, 2]


def test_both_end_soon_after_the_last_answer():
    a, b = pair()
    assert run(a, b) < 2.5
    assert a.finished
    assert b.finished


def test_who_has_fewer_waits_for_the_other():
    a, b = pair(1, 5)
    run(a, b)
    assert [ping.round_trip for ping in b.pings] == pytest.approx([2 * WAY] * 5)


def test_a_path_that_carries_nothing_loses_all_and_ends():
    a, b = pair()
    assert run(a, b, lambda _: False) < 10
    assert a.events() == [PingLost(0), PingLost(1), PingLost(2)]
    assert all(ping.round_trip is None for ping in a.pings)


def test_one_lost_ping_is_one_lost_ping():
    a, b = pair()
    run(a, b, lambda number: number != 0)
    assert [ping.round_trip is None for ping in a.pings] == [True, False, False]


@pytest.mark.parametrize("period", [2, 3, 5])
def test_both_end_with_a_part_of_all_lost(period: int):
    a, b = pair(5, 5)
    assert run(a, b, lambda number: number % period != 0) < 20


def test_an_answer_counts_up_to_its_patience():
    a, b = started(1), pair()[1]
    [ping] = a.outgoing()
    b.receive(ping, now=0.0)
    [pong] = b.outgoing()
    late = started(1)
    a.receive(pong, now=4.9)
    late.tick(now=5.0)
    late.receive(pong, now=5.0)
    assert a.pings[0].round_trip == 4.9
    assert late.pings[0].round_trip is None


def test_pings_are_answered_before_we_start():
    a, b = started(), pair()[1]
    b.receive(a.outgoing()[0], now=0.0)
    assert b.peer_started
    assert len(b.outgoing()) == 1


def test_what_is_not_the_peers_is_ignored():
    a, b = started(), pair()[1]
    [ping] = a.outgoing()
    stranger = Pinger(bytes(31) + b"x", b"b", b"a", 1)
    stranger.start(now=-HEAD_START)
    stranger.tick(now=0.0)
    forged = stranger.outgoing()
    for data in (ping, b"", ping[:-1], ping + b"x", b"\0" * 25, *forged):  # ping: sent back to us
        a.receive(data, now=0.1)
    b.receive(ping[:8] + b"\xff" + ping[9:], now=0.1)
    assert a.outgoing() == []
    assert b.outgoing() == []
    assert not a.peer_started
