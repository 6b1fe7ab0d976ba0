"""Links: loss, delay, order, copies and rate, each by itself."""

from __future__ import annotations

from random import Random

import pytest

from natkit.lab.sim.channel import QUEUE_LIMIT, Channel
from natkit.lab.topology import Link


def arrivals(link: Link, count: int = 2000, gap: float = 1.0, size: int = 100) -> list[list[float]]:
    """Return each packet's delays, sent every `gap` seconds."""
    channel = Channel(link, Random(1))
    sent = [n * gap for n in range(count)]
    return [[at - now for at in channel.arrivals(size, now=now)] for now in sent]


def test_an_even_link_delays_by_its_latency() -> None:
    assert arrivals(Link(latency=0.25), 3) == [[0.25]] * 3


def test_loss_loses_its_share() -> None:
    lost = sum(not times for times in arrivals(Link(loss=0.3)))
    assert lost == pytest.approx(600, rel=0.1)


def test_jitter_spreads_delays_between_latency_and_latency_plus_jitter() -> None:
    delays = [times[0] for times in arrivals(Link(latency=0.25, jitter=0.5))]
    assert 0.25 <= min(delays) < 0.26
    assert 0.74 < max(delays) <= 0.75


def test_reordering_holds_its_share_back_by_one_latency() -> None:
    delays = [round(times[0], 6) for times in arrivals(Link(latency=0.25, reorder=0.2))]
    assert set(delays) == {0.25, 0.5}
    assert delays.count(0.5) == pytest.approx(400, rel=0.15)


def test_duplication_delivers_its_share_twice() -> None:
    copies = [len(times) for times in arrivals(Link(duplicate=0.2))]
    assert set(copies) == {1, 2}
    assert copies.count(2) == pytest.approx(400, rel=0.15)


def test_a_rate_spaces_packets_out() -> None:
    delays = arrivals(Link(latency=0.0, rate=8000), 3, gap=0.0, size=100)
    assert delays == [[pytest.approx(0.1)], [pytest.approx(0.2)], [pytest.approx(0.3)]]


def test_a_full_queue_drops_what_comes_later() -> None:
    delays = arrivals(Link(latency=0.0, rate=8000), 6, gap=0.0, size=100)
    assert [len(times) for times in delays] == [1, 1, 1, 0, 0, 0]
    assert QUEUE_LIMIT < 0.3


def test_a_slow_sender_waits_for_nobody() -> None:
    delays = arrivals(Link(latency=0.0, rate=8000), 3, gap=1.0, size=100)
    assert delays == [[pytest.approx(0.1)]] * 3
