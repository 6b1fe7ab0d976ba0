"""The whole probe: both IP versions, the verdict over them, and advice that fits."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from natkit.errors import NetworkUnreachable, UsageError
from natkit.lab import sim
from natkit.lab.scenarios import SCENARIOS, STUN
from natkit.lab.servers import stun_servers
from natkit.lab.topology import World
from natkit.nat.behaviour import Filtering, Measured
from natkit.nat.discovery import Findings
from natkit.nat.layers import NatLayers, Surroundings, Trace
from natkit.nat.verdict import (
    ASK_FOR_AN_ADDRESS,
    MAP_A_PORT,
    Behaviour,
    Reach,
    judge,
)
from natkit.network import Family
from natkit.tools import probe as tools_probe
from natkit.tools.probe import REQUIREMENTS, Options, ProbeReport, advise, meets, probe
from tests.campaign import PORTS, serve_natkit


def probed(
    scenario: str, servers: tuple[tuple[str, int], ...] = (("stun", 3478),), **options: Any
) -> ProbeReport:
    from natkit.aio.stun_server import serve_binding

    async def main(world: World) -> ProbeReport:
        ipv6 = ("2001:db8::10", "2001:db8::11")
        await serve_binding(world.network("stun"), (*STUN, *ipv6), PORTS)
        chosen = replace(Options(servers=servers), **options)
        return await probe(world.network("alice"), chosen, randomness=random.Random(1).randbytes)

    return sim.run(SCENARIOS[scenario].topology, main)


def test_both_ip_versions_are_measured_side_by_side() -> None:
    report = probed("dual-stack")
    ipv4, ipv6 = report.findings(Family.IPV4), report.findings(Family.IPV6)
    assert ipv4 is not None
    assert ipv6 is not None
    assert (ipv4.nat.value, ipv6.nat.value) == (True, False)
    assert ipv6.filtering.value is Filtering.ADDRESS_AND_PORT_DEPENDENT
    assert "IPv6" in report.verdict.summary
    assert report.verdict.direct is Reach.MOST


def test_only_the_ip_version_that_was_asked_for_is_probed() -> None:
    report = probed("dual-stack", families=(Family.IPV6,))
    assert report.findings(Family.IPV4) is None
    assert report.verdict.direct is Reach.MOST
    assert report.verdict.summary.startswith("Over IPv6: Calls will go directly with most peers")
    assert meets(report, "direct")


def test_ipv6_is_good_for_few_peers_where_ipv4_is_missing() -> None:
    report = probed("dual-stack", servers=(("2001:db8::10", 3478),))
    assert report.verdict.direct is Reach.SOME
    assert report.verdict.summary.startswith(
        "Without IPv4 (no server has an IPv4 address) this holds only for peers that have IPv6."
    )


def test_blocked_udp_is_told_from_a_dead_server_by_what_tcp_says() -> None:
    async def main(world: World) -> ProbeReport:
        await serve_natkit(world)
        options = Options(servers=(("stun", 3478),))
        return await probe(world.network("alice"), options, randomness=random.Random(1).randbytes)

    silent = sim.run(SCENARIOS["udp-blocked"].topology, main)
    assert silent.verdict.direct is Reach.UNKNOWN
    assert not silent.is_reachable


def test_blocked_udp_is_found_though_the_first_server_is_away() -> None:
    async def main(world: World) -> ProbeReport:
        async with stun_servers(world):
            options = Options(servers=(("203.0.113.222", 3478), ("stun", 3478), ("stun2", 3478)))
            random_bytes = random.Random(1).randbytes
            return await probe(world.network("alice"), options, randomness=random_bytes)

    report = sim.run(SCENARIOS["udp-blocked"].topology, main)
    assert report.verdict.direct is Reach.NONE
    assert report.is_reachable


def test_a_chosen_interface_is_used() -> None:
    report = probed("home", interface="eth0")
    findings = report.findings(Family.IPV4)
    assert findings is not None
    assert findings.local is not None
    assert findings.local.ip == "10.0.1.2"


def test_an_unknown_interface_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="eth9"):
        probed("home", interface="eth9")


def test_without_servers_there_is_nothing_to_ask() -> None:
    with pytest.raises(UsageError, match="no STUN server"):
        probed("home", servers=())


def test_names_that_do_not_resolve_are_unreachable() -> None:
    with pytest.raises(NetworkUnreachable, match="no STUN server has an IPv4 or IPv6 address"):
        probed("home", servers=(("nowhere.invalid", 3478),))


def test_an_ip_version_that_fails_does_not_end_the_others_probe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = tools_probe.discover

    async def without_ipv4(*given: Any, family: Family, **more: Any) -> Findings:
        if family is Family.IPV4:
            raise NetworkUnreachable("cannot use the local address", why="it is gone")
        return await whole(*given, family=family, **more)

    monkeypatch.setattr(tools_probe, "discover", without_ipv4)
    report = probed("dual-stack")
    assert report.families[Family.IPV4] == "cannot use the local address: it is gone"
    assert report.findings(Family.IPV6) is not None
    with pytest.raises(NetworkUnreachable, match="cannot use the local address"):
        probed("home")


@pytest.mark.parametrize(
    ("scenario", "met"),
    [
        ("open", {"direct", "everyone", "udp", "ipv4"}),
        ("home", {"direct", "udp", "ipv4"}),
        ("symmetric", {"udp", "ipv4"}),
        ("dual-stack", {"direct", "udp", "ipv4", "ipv6"}),
        ("udp-blocked", set()),
    ],
)
def test_requirements_hold_where_they_should(scenario: str, met: set[str]) -> None:
    report = probed(scenario)
    assert {name for name in REQUIREMENTS if meets(report, name)} == met


def test_an_unknown_requirement_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="luck"):
        meets(probed("home"), "luck")


# -- advice -------------------------------------------------------------------------------------

PORT_RESTRICTED = judge(Behaviour(True, True, Filtering.ADDRESS_AND_PORT_DEPENDENT, True))


def surroundings(*wan: tuple[str, str]) -> Surroundings:
    return Surroundings("10.0.0.2", "203.0.113.100", wan, Trace((), None))


def layers(count: int) -> Measured[NatLayers]:
    return Measured.found(NatLayers(count, count, False), "counted")


def test_behind_two_nats_nobody_is_sent_to_map_ports() -> None:
    assert MAP_A_PORT in PORT_RESTRICTED.improve
    improve = advise(PORT_RESTRICTED, layers(2), surroundings()).improve
    assert MAP_A_PORT not in improve
    assert ASK_FOR_AN_ADDRESS in improve


def test_a_router_that_maps_ports_already_is_not_asked_to() -> None:
    improve = advise(PORT_RESTRICTED, layers(1), surroundings(("PCP", "203.0.113.100"))).improve
    assert any("maps ports (PCP)" in hint for hint in improve)
    assert MAP_A_PORT not in improve


def test_a_router_with_another_address_than_the_servers_see_gives_no_hope() -> None:
    improve = advise(PORT_RESTRICTED, layers(1), surroundings(("PCP", "198.51.100.1"))).improve
    assert MAP_A_PORT in improve
