"""Ask the gateway which port-mapping protocols it speaks, and what its external address is.

The three are asked at once. Only PCP needs a mapping to name an external address: one is made for
the port that asks, and deleted again right away.
"""

from __future__ import annotations

import asyncio
import ipaddress
from dataclasses import dataclass
from typing import Generic, TypeVar

from natkit.aio.driver import Driver
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
    Question,
    Randomness,
    Refused,
    Unanswered,
)
from natkit.portmap.pcp import VersionRefused
from natkit.wire import TransportAddress

Reply = TypeVar("Reply")

SHORTEST_LEASE = 120
"""Seconds asked for the mapping that reveals PCP's external address. Servers are told to grant no
less (RFC 6887 §15), and a delete that gets lost leaves it behind for no more than this."""

LEFT_BEHIND = f"and the delete was not confirmed: it goes by itself in {SHORTEST_LEASE} s"


@dataclass(frozen=True, slots=True)
class MappingService:
    """What is known of one port-mapping protocol on the gateway.

    Attributes:
        present:     True: the gateway answered in this protocol; False: asked, and it did not.
        external_ip: the gateway's outside address, as the gateway says it.
        withheld:    True: it answered that it has no outside address to offer.
    """

    present: Measured[bool]
    external_ip: Measured[str]
    withheld: bool = False


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
    network: Network, *, randomness: Randomness, budget: Seconds = 1.0
) -> PortMappingReport:
    """Ask the first IPv4 gateway for PCP, NAT-PMP and UPnP-IGD, all at once.

    Args:
        randomness: for nonces and for the spacing of requests.
        budget:     seconds to wait for a protocol's first answer; where there is one, the
                    questions that follow have as long again.
    """
    gateway = next(iter(network.gateways(Family.IPV4)), None)
    if gateway is None:
        return _nobody_asked(None, "no IPv4 gateway is known")
    own = network.source_for(TransportAddress(gateway, pcp.PORT))
    if own is None:
        return _nobody_asked(gateway, f"no route to the gateway {gateway}")
    asking = _Asking(network, gateway, own, randomness, budget)
    try:
        found = await asyncio.gather(_find_pcp(asking), _find_nat_pmp(asking), _find_upnp(asking))
    except NetworkUnreachable as error:
        return _nobody_asked(gateway, str(error))
    return PortMappingReport(gateway, own, *found)


def _nobody_asked(gateway: str | None, reason: str) -> PortMappingReport:
    unasked = MappingService(Measured.not_measured(reason), Measured.not_measured(reason))
    return PortMappingReport(gateway, None, unasked, unasked, unasked)


@dataclass(frozen=True, slots=True)
class _Asking:
    """Who asks whom, and with how much patience."""

    network: Network
    gateway: str
    own: str
    randomness: Randomness
    budget: Seconds


class _Line(Generic[Reply]):
    """A socket of its own for the questions of one protocol."""

    def __init__(self, asking: _Asking, port: int, also: tuple[TransportAddress, ...] = ()) -> None:
        self._asking = asking
        self._client: GatewayClient[Reply] = GatewayClient(
            TransportAddress(asking.gateway, port),
            also=also,
            backoff=Backoff.within(asking.budget),
            randomness=asking.randomness,
        )
        self._outcome: asyncio.Future[Outcome[Reply]]
        self._driver: Driver[Outcome[Reply]]

    async def __aenter__(self) -> _Line[Reply]:
        self._driver = await Driver.open(
            self._asking.network,
            self._client,
            local=TransportAddress(self._asking.own, 0),
            on_event=self._hear,
            on_error=self._client.error_received,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._driver.close()

    @property
    def local_port(self) -> int:
        return self._driver.endpoint.local.port

    async def ask(self, question: Question[Reply]) -> Outcome[Reply]:
        self._outcome = asyncio.get_running_loop().create_future()
        self._client.ask(question, now=self._asking.network.now())
        self._driver.kick()
        return await self._outcome

    def _hear(self, outcome: Outcome[Reply]) -> None:
        if not self._outcome.done():  # it is when the one who asked was cancelled
            self._outcome.set_result(outcome)


async def _find_pcp(asking: _Asking) -> MappingService:
    """ANNOUNCE tells whether it is there; a mapping, made and deleted, tells the address."""
    line: _Line[pcp.Reply | VersionRefused] = _Line(asking, pcp.PORT)
    async with line:
        present = _presence("PCP", asking.gateway, await line.ask(pcp.Announce(asking.own)))
        if not present.value:
            return MappingService(present, Measured.not_measured(present.reason))
        nonce = asking.randomness(pcp.NONCE_SIZE)
        mapping = pcp.Mapping(nonce, pcp.Protocol.UDP, line.local_port, pcp.ANY_IPV4)
        made = await line.ask(pcp.Map(asking.own, SHORTEST_LEASE, mapping))
        if isinstance(made, Answered) and not _is_success(made):
            return _not_mapped(present, made.reply)
        # Deleted even if nothing came back: a lost answer may have left a mapping.
        deleted = await line.ask(pcp.Map(asking.own, 0, mapping))
    farewell = "deleted again" if _is_success(deleted) else LEFT_BEHIND
    match made:
        case Answered(reply=pcp.Reply(mapping=pcp.Mapping(external=external))):
            evidence = f"mapped UDP port {mapping.internal_port} to {external}, {farewell}"
            return _named(present, "PCP MAP", external.ip, evidence)
        case _:
            reason = f"PCP MAP went unanswered, {farewell}"
            return MappingService(present, Measured.inconclusive(reason))


def _is_success(outcome: Outcome[pcp.Reply | VersionRefused]) -> bool:
    match outcome:
        case Answered(reply=pcp.Reply(result=pcp.ResultCode.SUCCESS)):
            return True
    return False


def _not_mapped(present: Measured[bool], reply: pcp.Reply | VersionRefused) -> MappingService:
    if isinstance(reply, VersionRefused):
        reason = f"PCP MAP was refused for version {reply.offered}"
        return MappingService(present, Measured.inconclusive(reason))
    reason = f"PCP MAP answered {pcp.result_name(reply.result)}"
    withheld = reply.result == pcp.ResultCode.NETWORK_FAILURE
    return MappingService(present, Measured.inconclusive(reason), withheld)


async def _find_nat_pmp(asking: _Asking) -> MappingService:
    """Opcode 0 tells both."""
    line: _Line[natpmp.ExternalAddress | VersionRefused] = _Line(asking, pcp.PORT)
    async with line:
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
            return MappingService(present, Measured.not_measured(present.reason))


async def _find_upnp(asking: _Asking) -> MappingService:
    """SSDP tells whether it is there; a library asks for the address."""
    line: _Line[ssdp.Found] = _Line(asking, ssdp.PORT, also=(ssdp.MULTICAST,))
    async with line:
        outcome = await line.ask(ssdp.SearchGateway())
    present = _presence("UPnP", asking.gateway, outcome)
    if not isinstance(outcome, Answered):
        return MappingService(present, Measured.not_measured(present.reason))
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


def _presence(protocol: str, gateway: str, outcome: Outcome[object]) -> Measured[bool]:
    """Say in words what an outcome shows. Silence is a finding, worded as what it is."""
    match outcome:
        case Answered(reply=VersionRefused(offered=offered)):
            spoken = "NAT-PMP" if offered == natpmp.VERSION else f"PCP version {offered}"
            return Measured.found(False, f"{gateway} refused {protocol} and offered {spoken}")
        case Answered(rtt=rtt):
            return Measured.found(True, f"{gateway} answered in {rtt * 1000:.0f} ms")
        case Refused():
            return Measured.found(False, f"{gateway} has no {protocol} (ICMP port unreachable)")
        case Unanswered(tries=tries, waited=waited, garbage=None):
            return Measured.found(
                False, f"no answer from {gateway} to {tries} requests in {waited * 1000:.0f} ms"
            )
        case Unanswered(garbage=garbage):
            return Measured.inconclusive(f"{gateway} answered nonsense: {garbage}")
