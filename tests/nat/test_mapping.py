"""What samples show together: agreement, exceptions, pools, and nothing at all."""

from __future__ import annotations

import pytest

from natkit.nat.behaviour import Mapping, Status
from natkit.nat.mapping import Sample, judge
from natkit.wire import TransportAddress

A = TransportAddress("192.0.2.1", 3478)
B = TransportAddress("192.0.2.2", 3478)
C = TransportAddress("192.0.2.2", 3479)
D = TransportAddress("192.0.2.1", 3479)
TARGETS = (A, B, C, D)

EI, AD, APD = Mapping


def sample(
    *ports: int, ip: str = "203.0.113.7", targets: tuple[TransportAddress, ...] = TARGETS
) -> Sample:
    """A socket that each target saw with one of `ports`, in order."""
    mapped = (TransportAddress(ip, port) for port in ports)
    return Sample(
        TransportAddress("10.0.0.2", 5000), {t: (m,) for t, m in zip(targets, mapped, strict=False)}
    )


INDEPENDENT = sample(1, 1, 1, 1)
BY_ADDRESS = sample(1, 2, 2, 1)
BY_PORT = sample(1, 2, 3, 4)


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        ((1, 1, 1, 1), EI),
        ((1, 2, 2, 1), AD),
        ((1, 2, 3, 4), APD),
        ((1, 1, 1, 4), APD),
        ((1, 2, 3, 1), APD),
        ((1, 1), EI),
        ((1, 2), None),
        ((1,), None),
        ((1, 2, 2), AD),
    ],
)
def test_one_sample_is_classified_by_what_its_mapping_depends_on(
    ports: tuple[int, ...], expected: Mapping | None
) -> None:
    assert sample(*ports).classify() is expected


def test_two_ports_of_one_server_cannot_show_independence() -> None:
    assert sample(1, 1, targets=(A, D)).classify() is None


@pytest.mark.parametrize(("one", "value"), [(INDEPENDENT, EI), (BY_ADDRESS, AD), (BY_PORT, APD)])
def test_three_samples_that_agree_settle_it(one: Sample, value: Mapping) -> None:
    assert judge([one] * 3).value is value


def test_two_samples_are_too_few() -> None:
    assert judge([INDEPENDENT] * 2).status is Status.INCONCLUSIVE


def test_a_few_collisions_do_not_make_a_nat_symmetric() -> None:
    assert judge([INDEPENDENT] * 6 + [BY_PORT] * 6).value is EI


def test_a_chance_agreement_does_not_make_a_nat_independent() -> None:
    assert judge([INDEPENDENT] * 2 + [BY_PORT] * 10).value is APD


def test_in_between_it_says_so() -> None:
    found = judge([INDEPENDENT] * 4 + [BY_PORT] * 8)
    assert found.status is Status.INCONCLUSIVE
    assert "4 look independent" in found.reason


def test_with_a_pool_half_is_not_enough() -> None:
    elsewhere = sample(1, 1, 1, 1, ip="203.0.113.8")
    assert judge([elsewhere] + [INDEPENDENT] * 5 + [BY_PORT] * 6).status is Status.INCONCLUSIVE
    assert judge([elsewhere] + [INDEPENDENT] * 8 + [BY_PORT] * 3).value is EI


def test_a_mapping_that_changes_under_the_eyes_is_inconclusive() -> None:
    flapping = Sample(
        None,
        {
            A: (TransportAddress("203.0.113.7", 1), TransportAddress("203.0.113.7", 2)),
            B: (TransportAddress("203.0.113.7", 1),),
        },
    )
    assert judge([flapping] * 3).status is Status.INCONCLUSIVE


def test_two_plain_servers_that_disagree_show_dependence_but_not_which() -> None:
    found = judge([sample(1, 2)] * 3)
    assert found.status is Status.INCONCLUSIVE
    assert "depends on the destination" in found.reason


def test_one_server_measures_nothing() -> None:
    assert judge([sample(1)] * 3).status is Status.NOT_MEASURED


def test_the_evidence_names_every_socket() -> None:
    found = judge([INDEPENDENT, BY_PORT, BY_PORT])
    assert len(found.evidence) == 3
    assert "local port 5000 is 203.0.113.7:1 to all of" in found.evidence[0]
    assert "203.0.113.7:2 to 192.0.2.2:3478" in found.evidence[1]
