"""What the doctor finds: on this machine's loopback, and on networks that lack something."""

from __future__ import annotations

import asyncio

import pytest

from natkit.aio.network import SocketNetwork
from natkit.errors import NetworkUnreachable
from natkit.network import Family
from natkit.tools import doctor
from natkit.tools.doctor import Finding, examine
from natkit.tools.probe import DEFAULT_SERVERS, STUN_PORT
from natkit.wire import TransportAddress


class Deaf:
    """An endpoint that nothing arrives at."""

    local = TransportAddress("127.0.0.1", 40000)

    def send(self, data: bytes, destination: TransportAddress, *, ttl: int | None = None) -> None:
        pass

    def close(self) -> None:
        pass


class Here(SocketNetwork):
    """This machine, with a name server of its own."""

    async def resolve(self, host: str, family: Family) -> tuple[str, ...]:
        return ("203.0.113.10",) if host == DEFAULT_SERVERS[-1][0] else ()


class Island(SocketNetwork):
    """A machine without routes, whose sockets hear nothing, with IPv6 and one port taken."""

    async def open_datagram(self, receiver, *, local=None, family=Family.IPV4, interface=None):
        if local.is_ipv6 or local.port == STUN_PORT:
            raise NetworkUnreachable(f"cannot bind {local}")
        return Deaf()

    def source_for(self, remote: TransportAddress) -> str | None:
        return None

    def gateways(self, family: Family) -> tuple[str, ...]:
        return ()

    async def resolve(self, host: str, family: Family) -> tuple[str, ...]:
        await asyncio.sleep(60)  # as a resolver does that gets no answer
        return ()


def by_name(findings: tuple[Finding, ...]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


async def test_sockets_on_this_machine_hear_themselves():
    found = by_name(await examine(Here()))
    assert found["UDP sockets, IPv4"].able
    assert found["Python"].able


@pytest.fixture
async def island(monkeypatch: pytest.MonkeyPatch) -> dict[str, Finding]:
    monkeypatch.setattr(doctor, "_PATIENCE", 0.001)
    monkeypatch.setattr(doctor, "RESOLVE_BUDGET", 0.001)
    return by_name(await examine(Island()))


async def test_an_island_lacks_everything_and_nothing_raises(island: dict[str, Finding]):
    lacking = {name for name, finding in island.items() if not finding.able}
    assert lacking >= {
        "UDP sockets, IPv4",
        "UDP sockets, IPv6",
        "route to the internet, IPv4",
        "route to the internet, IPv6",
        "names of STUN servers",
        "ICMP errors with their sender",
        "address of the router",
        "UDP port 3478",
    }


async def test_udp_over_ipv4_and_any_route_are_needed_and_names_are_not(island: dict[str, Finding]):
    assert {name for name, finding in island.items() if finding.needed} >= {
        "UDP sockets, IPv4",
        "route to the internet, IPv4",
        "route to the internet, IPv6",
    }
    assert not island["UDP sockets, IPv6"].needed
    assert not island["names of STUN servers"].needed  # natkit probe --server IP


@pytest.mark.parametrize("routed", ["192.0.2.1", "2001:db8::1"])
async def test_a_route_for_one_ip_version_is_enough(routed: str):
    class OneRoute(Here):
        def source_for(self, remote: TransportAddress) -> str | None:
            return "198.51.100.2" if remote.ip == routed else None

    found = by_name(await examine(OneRoute()))
    routes = [f for name, f in found.items() if name.startswith("route")]
    assert sorted(f.able for f in routes) == [False, True]
    assert not any(f.needed for f in routes)


async def test_one_name_that_resolves_is_enough():
    names = by_name(await examine(Here()))["names of STUN servers"]
    assert (names.able, names.found) == (True, f"{DEFAULT_SERVERS[-1][0]} is 203.0.113.10")


async def test_what_can_be_mended_says_how(island: dict[str, Finding]):
    assert "--listen" in (island["UDP port 3478"].mend or "")
    assert "--server" in (island["names of STUN servers"].mend or "")
    assert "firewall" in (island["UDP sockets, IPv4"].mend or "")


async def test_a_missing_extra_names_its_install_command(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    found = by_name(await examine(Here()))
    assert found["UPnP-IGD port mapping"].mend == "In natkit's clone: pip install '.[upnp]'"


async def test_relaying_in_the_kernel_is_tried_and_not_needed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "fast_path_refusal", lambda: "the process needs CAP_BPF")
    finding = by_name(await examine(Here()))["relaying in the kernel"]
    assert (finding.area, finding.able, finding.needed) == ("relay", False, False)
    assert finding.found == "the process needs CAP_BPF"
