"""The way of a call, and where its packets ended, in words; drawings; figures."""

from __future__ import annotations

import pytest

from calto_demo.compare.charts import QUANTITIES, lines, timeline, way
from calto_demo.compare.result import Comparison, Leg, Phase, Sample
from calto_demo.compare.run import phases
from calto_demo.compare.text import as_text, kilobits, milliseconds, percent, size
from calto_demo.compare.words import died, died_words
from calto_demo.peer.peer import Phases
from natkit import Drop


def drop(node: str, why: str, at: float = 0.1) -> Drop:
    return Drop(at, node, why, "203.0.113.7:5", "203.0.113.8:6")


def test_drops_are_counted_by_place_and_reason_most_first():
    rows = died(
        [drop("bob", "lost"), drop("r-bob", "no mapping", 0.2), drop("r-bob", "no mapping")]
    )
    assert [(row["node"], row["packets"]) for row in rows] == [("r-bob", 2), ("bob", 1)]
    assert rows[0]["first_ms"] == 200.0
    assert rows[0]["example"] == "203.0.113.7:5 > 203.0.113.8:6"


@pytest.mark.parametrize(
    ("node", "why", "said"),
    [
        ("r-bob", "no mapping", "A datagram ended at bob's NAT"),
        ("isp-alice", "no mapping", "at the NAT of alice's carrier"),
        ("r-alice", "nobody has this address", "that left alice's NAT went nowhere"),
        ("r-alice", "the firewall does not let this out", "it lets no UDP out"),
        (
            "bob",
            "lost on the link",
            "A datagram ended at bob (203.0.113.7:5 > 203.0.113.8:6): lost",
        ),
    ],
)
def test_a_drop_is_told_with_whose_nat_it_was(node: str, why: str, said: str):
    [sentence] = died_words(died([drop(node, why)]))
    assert said in sentence


FAILED = Leg("failed", "no path")
WORKED = Leg(
    "relayed",
    "a relay",
    phases=[Phase("gathering", 0.0, 0.1), Phase("signalling", 0.0, 0.2)],
    setup=0.3,
    samples=[Sample(0.5, 0.04, 0.0, 0.25, 48_000.0), Sample(1.0, None, None, None, 24_000.0)],
    carried=1_000_000,
)


@pytest.mark.parametrize(
    ("direct", "relay", "said"),
    [
        (FAILED, WORKED, "without the relay"),
        (Leg("direct", ""), WORKED, "Both ways work"),
        (Leg("direct", ""), FAILED, "no relay to fall back on"),
        (FAILED, FAILED, "Neither"),
    ],
)
def test_the_verdict_follows_from_what_worked(direct: Leg, relay: Leg, said: str):
    assert said in Comparison("here", 1.0, direct, relay).verdict


def test_what_the_relay_carried_is_priced_by_the_hour():
    found = Comparison("here", 2.0, FAILED, WORKED, price=0.5)
    assert found.hourly_bytes == 1.8e9
    assert found.hourly_cost == pytest.approx(0.9)
    assert Comparison("here", 2.0, FAILED, WORKED).hourly_cost is None
    assert "1.8 GB an hour, 0.9000 at 0.5 a GB" in as_text(found, 100)


def test_figures_are_told_with_their_unit_and_what_is_unknown_is_none_of_them():
    assert milliseconds(0.0123) == "12.3 ms"
    assert percent(0.031) == "3.1 %"
    assert kilobits(48_100) == "48.1 kb/s"
    assert [size(count) for count in (12, 1_200, 5e6, 2e9)] == [
        "12 B",
        "1.2 kB",
        "5.0 MB",
        "2.0 GB",
    ]
    assert milliseconds(None) == percent(None) == kilobits(None) == "–"


def test_phases_that_were_not_reached_are_left_out():
    found = phases(Phases(1.0, gathered=1.5, told=1.25, heard=1.75), audio=2.0)
    assert found == [Phase("gathering", 0.0, 0.5), Phase("signalling", 0.25, 0.5)]


def test_a_line_has_a_point_for_each_value_that_is_known():
    [round_trip] = [it for it in QUANTITIES if it.title == "Round trip"]
    drawn = lines(round_trip, [FAILED, WORKED])
    [points] = [part.split('"')[3] for part in drawn.splitlines() if "polyline" in part]
    assert len(points.split()) == 1
    assert 'class="line relay"' in drawn
    assert "0 to 50 ms" in drawn  # the axis ends at a round number above 40


def test_a_time_line_has_a_bar_for_each_phase():
    assert timeline([FAILED, WORKED]).count("<rect") == 2


def test_a_way_is_drawn_as_it_went():
    assert "cross" in way(FAILED)
    assert ">relay<" in way(WORKED)
    assert ">relay<" not in way(Leg("direct", ""))
