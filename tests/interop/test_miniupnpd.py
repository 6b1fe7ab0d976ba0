"""miniupnpd in a router's namespace: found over all three protocols, and what its WAN side says."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from natkit.aio.stun_server import serve_binding
from natkit.lab.netns import NamespaceWorld
from natkit.lab.scenarios import HOME, INTERNET
from natkit.lab.topology import Host, Nat, Router, Segment, Topology
from natkit.nat.behaviour import Measured, Status
from natkit.nat.layers import NatLayers
from natkit.network import Family
from natkit.tools.gateway import MappingService, PortMappingReport
from natkit.tools.probe import STUN_PORT, Options, ProbeReport, probe
from tests.interop.gateway import finished, start_miniupnpd

pytestmark = [
    pytest.mark.root,
    pytest.mark.interop,
    pytest.mark.needs("root", "nft", "ip", "tc", "setpriv", "miniupnpd"),
]


@dataclass(frozen=True)
class Seen:
    """What alice found, and the rules that she left in the router."""

    port_mapping: PortMappingReport
    layers: Measured[NatLayers]
    rules: str


def behind(wan: Segment, inside: str, outside: str) -> Topology:
    """Alice behind a home router whose WAN side is `wan`, and that behind another NAT."""
    alice = Host("alice", "home", ("10.0.1.2",))
    stun = Host("stun", "internet", ("203.0.113.10",))
    return Topology(
        (INTERNET, HOME, wan),
        (alice, stun),
        (
            Router("home", "home", wan.name, ("10.0.1.1",), (outside,), Nat()),
            Router("outer", wan.name, "internet", (inside,), ("203.0.113.100",), Nat()),
        ),
    )


def directly(wan: str) -> Topology:
    """Alice behind a home router, whose WAN side is the internet."""
    internet = Segment("internet", "44.0.0.0/16")
    hosts = (Host("alice", "home", ("10.0.1.2",)), Host("stun", "internet", ("44.0.0.10",)))
    return Topology(
        (internet, HOME), hosts, (Router("home", "home", "internet", ("10.0.1.1",), (wan,), Nat()),)
    )


def look(topology: Topology, directory: Path) -> Seen:
    """Start miniupnpd in the home router, and look from alice."""
    with NamespaceWorld(topology) as world:
        start_miniupnpd(world, directory)
        report = asyncio.run(measure(world))
        rules = finished(world.spawn("home", ["nft", "list", "ruleset"]))
        return Seen(report.port_mapping, report.layers, rules)


async def measure(world: NamespaceWorld) -> ProbeReport:
    (address,) = await world.network("alice").resolve("stun", Family.IPV4)
    server = await serve_binding(world.network("stun"), [address], rfc5780=False)
    options = Options((("stun", STUN_PORT),), (Family.IPV4,))
    report = await probe(world.network("alice"), options, randomness=Random(1).randbytes)
    server.close()
    return report


def services(found: PortMappingReport) -> tuple[MappingService, MappingService, MappingService]:
    return found.pcp, found.nat_pmp, found.upnp


@pytest.fixture(scope="module")
def public_wan(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """A WAN address that miniupnpd takes for public, with another NAT behind it all the same."""
    wan = Segment("squat", "44.0.0.0/16")
    return look(behind(wan, "44.0.0.1", "44.0.0.7"), tmp_path_factory.mktemp("miniupnpd"))


@pytest.fixture(scope="module")
def private_wan(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """A home router behind the router of a modem."""
    wan = Segment("modem", "192.168.0.0/24")
    return look(behind(wan, "192.168.0.1", "192.168.0.2"), tmp_path_factory.mktemp("miniupnpd"))


def test_all_three_protocols_are_found(public_wan: Seen) -> None:
    assert [service.present.value for service in services(public_wan.port_mapping)] == [True] * 3


def test_all_three_protocols_name_the_outside_address(public_wan: Seen) -> None:
    named = public_wan.port_mapping.wan_addresses()
    assert named == (("PCP", "44.0.0.7"), ("NAT-PMP", "44.0.0.7"), ("UPnP", "44.0.0.7"))


def test_the_mapping_that_pcp_needed_is_gone(public_wan: Seen) -> None:
    assert "deleted again" in public_wan.port_mapping.pcp.external_ip.evidence[0]
    assert "dport" not in public_wan.rules
    assert "10.0.1.2" not in public_wan.rules


def test_another_public_wan_address_leaves_the_number_of_nats_open(public_wan: Seen) -> None:
    assert public_wan.layers.value == NatLayers(1, None, carrier_grade=False)
    assert "44.0.0.7 is not the mapped one" in public_wan.layers.reason


def test_a_wan_address_that_servers_see_is_reported_as_the_only_nat(tmp_path: Path) -> None:
    layers = look(directly("44.0.0.7"), tmp_path).layers
    assert layers.value == NatLayers(1, 1, carrier_grade=False)
    assert layers.reason == "the gateway's outside address is the mapped one"


def test_behind_a_private_wan_address_all_three_are_found(private_wan: Seen) -> None:
    assert [service.present.value for service in services(private_wan.port_mapping)] == [True] * 3


def test_a_private_wan_address_that_is_not_named_stays_unknown(private_wan: Seen) -> None:
    """miniupnpd will not name it, so neither do we."""
    for service in services(private_wan.port_mapping):
        assert service.external_ip.value is None
        assert service.external_ip.status is Status.INCONCLUSIVE
    assert private_wan.port_mapping.nat_pmp.external_ip.reason == "NAT-PMP answered NETWORK_FAILURE"


def test_a_private_wan_address_is_reported_as_a_second_nat(private_wan: Seen) -> None:
    assert private_wan.layers.value == NatLayers(2, None, carrier_grade=False)
    assert "192.168.0.1 is private" in private_wan.layers.reason
