"""How many NATs: what each observation shows, and what it does not."""

from __future__ import annotations

import pytest

from natkit.nat.behaviour import Measured, Status
from natkit.nat.layers import (
    Hop,
    NatLayers,
    Surroundings,
    Trace,
    count_layers,
    is_private,
    is_shared,
)

OWN, MAPPED = "192.168.1.2", "203.0.113.100"
HOME = "192.168.1.1"


def way(*hops: str | None, arrived: bool = True) -> Trace:
    found = tuple(Hop(n, ip) for n, ip in enumerate(hops, 1))
    return Trace(found, len(hops) + 1 if arrived else None)


def count(
    trace: Trace,
    *wan: tuple[str, str | None],
    own: str | None = OWN,
    mapped: str | None = MAPPED,
) -> Measured[NatLayers]:
    return count_layers(Surroundings(own, mapped, wan, trace))


def bounds(measured: Measured[NatLayers]) -> tuple[int, int | None]:
    assert measured.value is not None, measured.reason
    return measured.value.at_least, measured.value.at_most


def test_a_mapped_address_of_our_own_means_no_nat() -> None:
    assert bounds(count(way("198.51.100.1"), own=MAPPED)) == (0, 0)


@pytest.mark.parametrize(
    "trace",
    [
        way(HOME),
        way(HOME, "10.0.0.1"),
        way(HOME, "25.0.0.1"),
        way(HOME, "203.0.113.1"),
        way(HOME, None, arrived=False),
        way(arrived=True),
        Trace((), None),
    ],
    ids=["one hop", "private", "public, or squatted", "the mapped network", "silent", "0", "none"],
)
def test_hops_give_no_upper_bound(trace: Trace) -> None:
    """Carriers number inside from public space, and a NAT in software hides all behind it."""
    found = count(trace)
    assert bounds(found) == (1, None)
    assert "whether one NAT did it or more" in found.reason


def test_a_carrier_hop_behind_the_router_is_a_second_nat() -> None:
    found = count(way(HOME, "100.64.0.1"))
    assert bounds(found) == (2, None)
    assert found.value is not None
    assert found.value.carrier_grade


def test_a_phone_in_carrier_space_may_be_behind_one_nat() -> None:
    found = count(way("100.64.0.1", "100.64.7.1"), own="100.64.0.2")
    assert bounds(found) == (1, None)
    assert found.value is not None
    assert found.value.carrier_grade


@pytest.mark.parametrize("wan", ["10.9.0.2", "192.168.0.2", "172.31.0.2", "100.64.0.2"])
def test_a_private_outside_address_of_the_gateway_is_a_second_nat(wan: str) -> None:
    found = count(way(HOME, "198.51.100.1"), ("UPnP", wan))
    assert bounds(found) == (2, None)
    assert f"{wan} (UPnP)" in found.reason


def test_a_private_outside_address_counts_where_udp_is_blocked() -> None:
    assert bounds(count(Trace((), None), ("NAT-PMP", "10.9.0.2"), mapped=None)) == (2, None)


@pytest.mark.parametrize("protocol", ["NAT-PMP", "UPnP"])
def test_a_gateway_with_the_mapped_address_is_the_only_nat(protocol: str) -> None:
    """Even where the provider numbers its own routers from private or carrier space."""
    assert bounds(count(way(HOME, "100.64.0.1"), (protocol, MAPPED))) == (1, 1)
    assert bounds(count(way(HOME, None, arrived=False), (protocol, MAPPED))) == (1, 1)


def test_pcp_may_speak_for_the_carrier() -> None:
    """A PCP proxy names the address of the NAT behind it (RFC 7648)."""
    assert bounds(count(way(HOME, "10.0.0.1"), ("PCP", MAPPED))) == (1, None)
    found = count(way(HOME, "10.0.0.1"), ("PCP", MAPPED), ("UPnP", "10.0.0.2"))
    assert bounds(found) == (2, None)


def test_another_public_outside_address_leaves_the_number_open() -> None:
    found = count(way(HOME, "44.0.0.1"), ("UPnP", "44.0.0.7"))
    assert bounds(found) == (1, None)
    assert "44.0.0.7 is not the mapped one" in found.reason


def test_a_gateway_without_an_address_to_offer_before_a_private_hop_is_a_second_nat() -> None:
    assert bounds(count(way(HOME, "10.0.0.1"), ("NAT-PMP", None))) == (2, None)


def test_a_gateway_without_an_address_to_offer_shows_nothing_by_itself() -> None:
    assert bounds(count(way(HOME), ("NAT-PMP", None))) == (1, None)


@pytest.mark.parametrize(("own", "mapped"), [(None, MAPPED), (OWN, None)])
def test_without_both_addresses_nothing_is_counted(own: str | None, mapped: str | None) -> None:
    found = count(way(HOME), own=own, mapped=mapped)
    assert found.status is Status.NOT_MEASURED
    assert found.value is None


def test_the_evidence_shows_hops_and_addresses() -> None:
    found = count(Trace((Hop(1, HOME), Hop(2, None)), 3, "why"), ("UPnP", MAPPED), ("PCP", None))
    assert found.evidence == (
        "own address 192.168.1.2, mapped address 203.0.113.100",
        "UPnP: the gateway's outside address is 203.0.113.100",
        "PCP: the gateway's outside address is none",
        "hops: 1: 192.168.1.1, 2: *, 3: the server",
        "hops: why",
    )


@pytest.mark.parametrize(
    ("bound", "text"), [((1, 1), "1"), ((1, 2), "1 to 2"), ((2, None), "at least 2")]
)
def test_bounds_in_words(bound: tuple[int, int | None], text: str) -> None:
    assert str(NatLayers(*bound, carrier_grade=False)) == text


@pytest.mark.parametrize(
    ("ip", "private", "shared"),
    [
        ("10.255.255.255", True, False),
        ("11.0.0.0", False, False),
        ("172.15.255.255", False, False),
        ("172.16.0.0", True, False),
        ("172.32.0.0", False, False),
        ("192.168.0.0", True, False),
        ("192.0.0.1", True, False),
        ("100.63.255.255", False, False),
        ("100.64.0.0", False, True),
        ("100.127.255.255", False, True),
        ("100.128.0.0", False, False),
        ("203.0.113.1", False, False),
        ("fe80::1%eth0", True, False),
        ("fd00::1", True, False),
        ("2001:db8::1", False, False),
    ],
)
def test_ranges_end_where_they_should(ip: str, private: bool, shared: bool) -> None:
    assert (is_private(ip), is_shared(ip)) == (private, shared)
