"""Ask the gateway which port-mapping protocols it speaks, and what its external address is.

The three are asked at once. Only PCP needs a mapping to name an external address: one is made for
the port that asks, and deleted again right away.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, TypeAlias

from natkit.aio.gateway_line import GatewayLine, open_line, search_upnp
from natkit.aio.upnp import ask_gateway
from natkit.errors import NetworkUnreachable, Unsupported
from natkit.machine import Seconds
from natkit.nat.behaviour import Measured
from natkit.network import Family, Network
from natkit.portmap import natpmp, pcp, ssdp
from natkit.portmap.client import (
    Answered,
    Backoff,
    GatewayClient,
    Outcome,
    Randomness,
    Refused,
    Unanswered,
)
from natkit.portmap.pcp import VersionRefused
from natkit.wire import TransportAddress

SHORTEST_LEASE = 120
"""Seconds asked for the mapping that reveals PCP's external address. Servers are told to grant no
less (RFC 6887 §15), and a delete that gets lost leaves it behind for no more than this."""

LEFT_BEHIND = f"and the delete was not confirmed: it goes by itself in {SHORTEST_LEASE} s"


@dataclass(frozen=True, slots=True)
class MappingService:
    """What is known of one port-mapping protocol on the gateway.

    Attributes:
        present:     True: the gateway answered in this protocol; False: it refused it; open where
                     nothing came back, since a firewall or loss looks the same.
        external_ip: the gateway's outside address, as the gateway says it.
        withheld:    True: it answered that it has no outside address to offer.
        silent:      True: asked, and nothing at all came back.
    """

    present: Measured[bool]
    external_ip: Measured[str]
    withheld: bool = False
    silent: bool = False


@dataclass(frozen=True, slots=True)
class PortMappingReport:
    """The three port-mapping protocols, each asked by itself.

    Attributes:
        gateway: the router that was asked; None: this host has none, or it is not known.
        own:     the local IP that it was asked from; None: it was not asked.
    """

    gateway: str | None
    own: str | None
    pcp: MappingService
    nat_pmp: MappingService
    upnp: MappingService

    def wan_addresses(self) -> tuple[tuple[str, str | None], ...]:
        """Return (protocol, external IP) of every protocol that named one.

        None instead of an IP: it answered that the gateway has none to offer.
        """
        named = (("PCP", self.pcp), ("NAT-PMP", self.nat_pmp), ("UPnP", self.upnp))
        return tuple(
            (name, service.external_ip.value)
            for name, service in named
            if service.external_ip.value is not None or service.withheld
        )

    def wan_addresses_on_the_way(self, own: str | None) -> tuple[tuple[str, str | None], ...]:
        """Return `wan_addresses` if packets from `own` (None: unknown) pass the gateway.

        Where packets to the internet leave from another address than the gateway was asked from
        (a VPN, a second line), they do not, and it says nothing about them: empty.
        """
        return self.wan_addresses() if own is None or own == self.own else ()


async def find_port_mapping(
    network: Network,
    *,
    interface: str | None = None,
    randomness: Randomness,
    budget: Seconds = 1.0,
) -> PortMappingReport:
    """Ask the first IPv4 gateway for PCP, NAT-PMP and UPnP-IGD, all at once.

    Args:
        interface:  ask the first gateway on this one's network; None: the first of all.
        randomness: for nonces and for the spacing of requests.
        budget:     seconds to wait for a protocol's first answer; where there is one, the
                    questions that follow have as long again.
    """
    gateway = _gateway(network, interface)
    if gateway is None:
        where = "" if interface is None else f" on {interface}"
        return _nobody_asked(None, f"no IPv4 gateway is known{where}")
    own = network.source_for(TransportAddress(gateway, pcp.PORT))
    if own is None:
        return _nobody_asked(gateway, f"no route to the gateway {gateway}")
    asking = _Asking(network, gateway, own, randomness, budget)
    found = await asyncio.gather(
        *(_tried(find(asking)) for find in (_find_pcp, _find_nat_pmp, _find_upnp))
    )
    return PortMappingReport(gateway, own, *found)


def _gateway(network: Network, interface: str | None) -> str | None:
    named = (i for i in network.interfaces() if i.name == interface and ":" not in i.ip)
    links = [ipaddress.ip_network(f"{i.ip}/{i.prefix}", strict=False) for i in named]
    for gateway in network.gateways(Family.IPV4):
        if interface is None or any(ipaddress.ip_address(gateway) in link for link in links):
            return gateway
    return None


async def _tried(finding: Awaitable[MappingService]) -> MappingService:
    try:
        return await finding
    except NetworkUnreachable as error:
        return _unasked(str(error))


def _unasked(reason: str) -> MappingService:
    return MappingService(Measured.not_measured(reason), Measured.not_measured(reason))


def _nobody_asked(gateway: str | None, reason: str) -> PortMappingReport:
    return PortMappingReport(gateway, None, *[_unasked(reason)] * 3)


@dataclass(frozen=True, slots=True)
class _Asking:
    """Who asks whom, and with how much patience."""

    network: Network
    gateway: str
    own: str
    randomness: Randomness
    budget: Seconds

    def client(self, port: int) -> GatewayClient[Any]:
        """Return a client that asks the gateway on `port`."""
        return GatewayClient(
            TransportAddress(self.gateway, port),
            backoff=Backoff.within(self.budget),
            randomness=self.randomness,
        )


PcpLine: TypeAlias = GatewayLine[pcp.Reply | VersionRefused]
PcpOutcome: TypeAlias = Outcome[pcp.Reply | VersionRefused]


async def _find_pcp(asking: _Asking) -> MappingService:
    """ANNOUNCE tells whether it is there; a mapping, made and deleted, tells the address."""
    line: PcpLine
    async with open_line(asking.network, asking.client(pcp.PORT), asking.own) as line:
        outcome = await line.ask(pcp.Announce(asking.own))
        present = _presence("PCP", asking.gateway, outcome)
        if not present.value:
            return _absent(present, outcome)
        nonce = asking.randomness(pcp.NONCE_SIZE)
        mapping = pcp.Mapping(nonce, pcp.Protocol.UDP, line.local_port, pcp.ANY_IPV4)
        made, deleted = await _map_and_delete(line, asking.own, mapping)
    farewell = "deleted again" if _is_success(deleted) else LEFT_BEHIND
    match made:
        case Answered(reply=pcp.Reply(result=0, mapping=pcp.Mapping(external=external))):
            evidence = f"mapped UDP port {mapping.internal_port} to {external}, {farewell}"
            return _named(present, "PCP MAP", external.ip, evidence)
        case Answered(reply=pcp.Reply(result=code)):
            reason = f"PCP MAP answered {pcp.result_name(code)}"
            withheld = code == pcp.ResultCode.NETWORK_FAILURE
            return MappingService(present, Measured.inconclusive(reason), withheld)
        case _:
            reason = f"PCP MAP went unanswered, {farewell}"
            return MappingService(present, Measured.inconclusive(reason))


async def _map_and_delete(
    line: PcpLine, own: str, mapping: pcp.Mapping
) -> tuple[PcpOutcome, PcpOutcome | None]:
    """Return how both went; None for the delete where the gateway refused to map."""
    delete = pcp.Map(own, 0, mapping)
    try:
        made = await line.ask(pcp.Map(own, SHORTEST_LEASE, mapping))
        if isinstance(made, Answered) and not _is_success(made):
            return made, None
        # Deleted even if nothing came back: a lost answer may have left a mapping.
        return made, await line.ask(delete)
    except asyncio.CancelledError:
        line.say(delete)  # once: there is no time left to wait for an answer
        raise


def _is_success(outcome: PcpOutcome | None) -> bool:
    match outcome:
        case Answered(reply=pcp.Reply(result=pcp.ResultCode.SUCCESS)):
            return True
    return False


async def _find_nat_pmp(asking: _Asking) -> MappingService:
    """Opcode 0 tells both."""
    line: GatewayLine[natpmp.ExternalAddress | VersionRefused]
    async with open_line(asking.network, asking.client(pcp.PORT), asking.own) as line:
        outcome = await line.ask(natpmp.AskExternalAddress())
    present = _presence("NAT-PMP", asking.gateway, outcome)
    match outcome:
        case Answered(reply=natpmp.ExternalAddress(ip=str() as ip)):
            return _named(present, "NAT-PMP", ip)
        case Answered(reply=natpmp.ExternalAddress(result=code)):
            reason = f"NAT-PMP answered {natpmp.result_name(code)}"
            withheld = code == natpmp.ResultCode.NETWORK_FAILURE
            return MappingService(present, Measured.inconclusive(reason), withheld)
        case _:
            return _absent(present, outcome)


async def _find_upnp(asking: _Asking) -> MappingService:
    """SSDP tells whether it is there; a library asks for the address."""
    outcome = await search_upnp(
        asking.network,
        asking.gateway,
        asking.own,
        patience=asking.budget,
        randomness=asking.randomness,
    )
    present = _presence("UPnP", asking.gateway, outcome)
    if not isinstance(outcome, Answered):
        return _absent(present, outcome)
    location = outcome.reply.location
    if not ssdp.is_at(location, asking.gateway):
        reason = f"its description is at {location}, which is not the gateway"
        return MappingService(present, Measured.not_measured(reason))
    try:
        gateway = await ask_gateway(asking.network, location, patience=2 * asking.budget)
    except Unsupported as error:
        return MappingService(present, Measured.not_measured(str(error)))
    except NetworkUnreachable as error:
        return MappingService(present, Measured.inconclusive(str(error)))
    wan = f"{gateway.connection_type}, {gateway.status}"
    evidence = f"{outcome.reply.server or 'gateway'}: {wan}"
    if gateway.external_ip is None:
        reason = "UPnP named no external address"
        return MappingService(present, Measured.inconclusive(reason, evidence), withheld=True)
    return _named(present, "UPnP", gateway.external_ip, evidence)


def _named(present: Measured[bool], protocol: str, ip: str, *evidence: str) -> MappingService:
    """The service named its outside address; 0.0.0.0 means that it has none."""
    if ipaddress.ip_address(ip).is_unspecified:
        reason = f"{protocol} named {ip}: the gateway has no outside address to offer"
        return MappingService(present, Measured.inconclusive(reason, *evidence), withheld=True)
    return MappingService(present, Measured.found(ip, f"{protocol} named it", *evidence))


def _absent(present: Measured[bool], outcome: Outcome[object]) -> MappingService:
    silent = isinstance(outcome, Unanswered) and outcome.garbage is None
    return MappingService(present, Measured.not_measured(present.reason), silent=silent)


def _presence(protocol: str, gateway: str, outcome: Outcome[object]) -> Measured[bool]:
    """Say in words what an outcome shows. Silence shows nothing: there is no control beside it."""
    match outcome:
        case Answered(reply=VersionRefused(offered=offered)):
            spoken = "NAT-PMP" if offered == natpmp.VERSION else f"PCP version {offered}"
            return Measured.found(False, f"{gateway} refused {protocol} and offered {spoken}")
        case Answered(rtt=rtt):
            return Measured.found(True, f"{gateway} answered in {rtt * 1000:.0f} ms")
        case Refused():
            return Measured.found(False, f"{gateway} has no {protocol} (ICMP port unreachable)")
        case Unanswered(tries=tries, waited=waited, garbage=None):
            return Measured.inconclusive(
                f"no answer from {gateway} to {tries} requests in {waited * 1000:.0f} ms"
            )
        case Unanswered(garbage=garbage):
            return Measured.inconclusive(f"{gateway} answered nonsense: {garbage}")
