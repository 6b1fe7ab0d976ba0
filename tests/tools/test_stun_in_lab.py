"""Asking a STUN server from simulated networks: NATs, loss, blackholes, and the RFC's patience."""

from __future__ import annotations

from random import Random

import pytest

from natkit.errors import NetworkUnreachable
from natkit.lab import sim
from natkit.lab.scenarios import WAN, scenario
from natkit.lab.servers import stun_servers
from natkit.lab.topology import World
from natkit.network import Family
from natkit.stun.uri import StunUri
from natkit.tools.stun import QueryReport, query
from natkit.wire import TransportAddress


def ask(
    name: str, uri: str, *, loss: float = 0.0, seed: int = 1, family: Family = Family.IPV4
) -> QueryReport:
    """Ask `uri` from alice's place in the scenario called `name`."""

    async def main(world: World) -> QueryReport:
        async with stun_servers(world):
            return await query(
                world.network("alice"),
                StunUri.parse(uri),
                randomness=Random(seed).randbytes,
                families=[family],
            )

    return sim.run(scenario(name).with_loss(loss).topology, main, seed=seed)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_mapped_address_behind_a_nat_is_the_routers(transport: str) -> None:
    report = ask("home", f"stun:stun?transport={transport}")
    assert report.local is not None
    assert report.local.ip == "10.0.1.2"
    assert report.answer.mapped == TransportAddress(WAN, report.local.port)
    assert report.answer.round_trip == pytest.approx(0.02, abs=0.005)


def test_ipv6_without_a_nat_keeps_its_address() -> None:
    report = ask("dual-stack", "stun:stun", family=Family.IPV6)
    assert report.local == report.answer.mapped


def test_loss_is_overcome_by_asking_again() -> None:
    reports = [ask("home", "stun:stun", loss=0.3, seed=seed) for seed in range(20)]
    again = [report for report in reports if report.answer.sent > 1]
    assert 5 <= len(again) <= 15  # 1 - 0.7**2 is about half of them
    assert all(report.answer.round_trip is None for report in again)


def test_blocked_udp_is_given_up_after_39_5_seconds() -> None:
    started: list[float] = []

    async def main(world: World) -> None:
        network = world.network("alice")
        started.append(network.now())
        try:
            await query(network, StunUri.parse("stun:stun"), randomness=Random(1).randbytes)
        finally:
            started.append(network.now())

    with pytest.raises(NetworkUnreachable, match=r"no answer from 203\.0\.113\.10:3478 in 39\.5 s"):
        sim.run(scenario("udp-blocked").topology, main, seed=1)
    # The server has several addresses; the last of them began a quarter of a second after the
    # one before.
    assert started[1] - started[0] == pytest.approx(39.5 + 0.25, abs=0.01)
