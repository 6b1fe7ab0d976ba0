"""Open the sockets of an ICE session, and ask the servers for what the world sees of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from natkit.aio.ice import Generation, IceTransport, Port
from natkit.aio.ice_relays import Relays
from natkit.aio.ice_servers import TurnServer, host_addresses, relay_families
from natkit.aio.ice_tcp import TcpEndpoint
from natkit.aio.port_mapping import PortMapping, gateway_of
from natkit.errors import NatkitError
from natkit.ice.candidate import DISCARD_PORT, Candidate, CandidateType, Local, Origin, TcpType
from natkit.ice.inquiry import Cause, Inquiry, Kind, Trouble
from natkit.ice.priority import local_preferences, priority, tcp_priority
from natkit.network import Family, Interface
from natkit.stun.uri import StunUri
from natkit.wire import TransportAddress


@dataclass(frozen=True, slots=True)
class GatherPlan:
    """What to gather.

    Attributes:
        components:  which.
        families:    of host candidates.
        hosts:       False: no host candidates, and so no reflexive ones either.
        stun, turn:  servers; all are asked at once.
        hide_mapped: do not tell the peer where a TURN server sees us.
        wanted:      tells by its name whether an interface may be used; None: the usual rules.
        thorough:    wait for every server, as a report does.
        hide:        publishes a name for a host address, and returns it; None: tell addresses.
        tcp:         which host candidates over TCP.
        mapping:     ask the gateway for an outside port (PCP, NAT-PMP, UPnP).
    """

    components: tuple[int, ...] = (1,)
    families: tuple[Family, ...] = (Family.IPV4, Family.IPV6)
    hosts: bool = True
    stun: tuple[StunUri, ...] = ()
    turn: tuple[TurnServer, ...] = ()
    hide_mapped: bool = False
    wanted: Callable[[str], bool] | None = None
    thorough: bool = False
    hide: Callable[[str], str] | None = None
    tcp: tuple[TcpType, ...] = ()
    mapping: bool = False


async def gather(transport: IceTransport, plan: GatherPlan) -> None:
    """Gather candidates for the agent's present session; return when no more will come."""
    gathering = Gathering(transport, plan)
    if plan.hosts:
        await gathering.open_hosts()
    if gathering.generation.ended.done():  # closed, or restarted, in the meantime
        return
    gathering.ask_all()
    transport.kick()
    await asyncio.wait([gathering.generation.ended])


class Gathering:
    """One run of gathering."""

    def __init__(self, transport: IceTransport, plan: GatherPlan) -> None:
        self.plan = plan
        self.generation: Generation = transport.generation
        self._transport, self._network = transport, transport.network
        self._gatherer = self.generation.gatherer
        self._gatherer.thorough = plan.thorough
        self._hosts: list[Local] = []

    async def open_hosts(self) -> None:
        """Open a socket on every address, for every component; each is a candidate at once."""
        found = host_addresses(self._network, self.plan.families, self.plan.wanted)
        preferences = local_preferences(interface.ip for interface in found)
        for interface in sorted(found, key=lambda it: -preferences[it.ip]):
            for component in self.plan.components:
                preference = preferences[interface.ip]
                await self._open_host(interface, component, preference)
                for tcptype in self.plan.tcp:
                    await self._open_tcp(interface, component, preference, tcptype)

    async def _open_host(self, interface: Interface, component: int, preference: int) -> None:
        port = Port(self._transport, component)
        local = TransportAddress(interface.ip, 0)
        try:
            port.endpoint = await self._network.open_datagram(port, local=local)
        except NatkitError as error:
            self._closed_to_us(local, interface, error)
            return
        at, value = port.endpoint.local, priority(CandidateType.HOST, preference, component)
        self._hosts.append(self._host(port, at, interface, self._candidate(port, at, value)))

    async def _open_tcp(
        self, interface: Interface, component: int, preference: int, tcptype: TcpType
    ) -> None:
        port = Port(self._transport, component, tcp=True)
        try:
            port.endpoint = await TcpEndpoint.open(
                self._network, port, tcptype, interface.ip, component
            )
        except NatkitError as error:
            self._closed_to_us(TransportAddress(interface.ip, 0), interface, error)
            return
        at, value = port.endpoint.local, tcp_priority(tcptype, preference, component)
        told = at if tcptype is not TcpType.ACTIVE else TransportAddress(at.ip, DISCARD_PORT)
        candidate = self._candidate(port, told, value)
        self._host(port, at, interface, replace(candidate, tcptype=tcptype))

    def _closed_to_us(
        self, local: TransportAddress, interface: Interface, error: NatkitError
    ) -> None:
        """Report that no socket could be opened at `local`."""
        now = self._network.now()
        inquiry = self._gatherer.begin(Kind.HOST, "this host", local, interface.name, now=now)
        self._gatherer.failed(inquiry, Trouble(Cause.LOCAL, str(error)), now=now)

    def _candidate(self, port: Port, at: TransportAddress, value: int) -> Candidate:
        kind, transport = CandidateType.HOST, "tcp" if port.tcp else "udp"
        foundation = self._gatherer.foundations.of(kind, at.ip, transport=transport)
        shown = at.ip if self.plan.hide is None else self.plan.hide(at.ip)
        return Candidate(foundation, port.component, transport, value, shown, at.port, kind)

    def _host(
        self, port: Port, base: TransportAddress, interface: Interface, candidate: Candidate
    ) -> Local:
        """Take in an open port, and tell its candidate at once."""
        self._transport.adopt(port, base, self.generation)
        host = Local(candidate, base, Origin(self._network.now(), interface.name))
        self._gatherer.host(host)
        self._transport.kick()
        return host

    def ask_all(self) -> None:
        """Ask every server from everywhere."""
        for uri in self.plan.stun:
            for family in Family:
                if uri.is_literal and (":" in uri.host) is not (family is Family.IPV6):
                    continue
                of_family = [h for h in self._hosts if h.base.is_ipv6 is (family is Family.IPV6)]
                asked = [(self._begin(uri, host), host) for host in of_family]
                if asked:
                    self.generation.spawn(self._ask_stun(uri, family, asked))
        families = relay_families(self._network, self.plan.families, self.plan.wanted)
        relays = Relays(
            self._transport, self.plan.families, families, hide_mapped=self.plan.hide_mapped
        )
        for place, server in enumerate(self.plan.turn):
            for component in self.plan.components:
                relays.ask(server, place, component)
        if self.plan.mapping:
            self._ask_gateways()
        self._gatherer.complete(now=self._network.now())

    def _ask_gateways(self) -> None:
        """Ask the gateway of each address for an outside port. It is an IPv4 matter."""
        hosts = [host for host in self._hosts if not host.base.is_ipv6]
        for host in hosts:
            gateway = gateway_of(self._network, host.base.ip)
            inquiry = self._gatherer.begin(
                Kind.MAPPED,
                gateway or "the gateway",
                host.base,
                host.origin.interface,
                component=host.candidate.component,
                now=self._network.now(),
            )
            if gateway is None:
                why = Trouble(Cause.GATEWAY, "no gateway of this address is known")
                self._gatherer.failed(inquiry, why, now=self._network.now())
            else:
                self.generation.spawn(self._ask_gateway(inquiry, host, gateway))

    async def _ask_gateway(self, inquiry: Inquiry, host: Local, gateway: str) -> None:
        def lost(why: str) -> None:
            inquiry.trouble = Trouble(Cause.GATEWAY, f"the mapping was not renewed: {why}")

        random = self._transport.agent.randomness
        mapping = PortMapping(self._network, gateway, host.base, random, on_lost=lost)
        self.generation.mappings[host.base] = mapping  # it is closed with the socket
        try:
            found = await mapping.open()
        except NatkitError as error:
            trouble = Trouble(Cause.GATEWAY, str(error))
            self._gatherer.failed(inquiry, trouble, now=self._network.now())
        else:
            inquiry.server = f"{gateway} by {found.protocol}"
            self._gatherer.mapped(inquiry, host, found.external, now=self._network.now())
        self._transport.kick()

    def _begin(self, uri: StunUri, host: Local) -> Inquiry:
        interface, now = host.origin.interface, self._network.now()
        return self._gatherer.begin(Kind.REFLEXIVE, str(uri), host.base, interface, now=now)

    async def _ask_stun(
        self, uri: StunUri, family: Family, asked: list[tuple[Inquiry, Local]]
    ) -> None:
        found = await self._network.resolve(uri.host, family)
        now = self._network.now()
        if not found:
            trouble = Trouble(Cause.RESOLVE, f"it has no IPv{family:d} address")
            for inquiry, _ in asked:
                self._gatherer.failed(inquiry, trouble, now=now)
            self._transport.kick()
            return
        server = TransportAddress(found[0], uri.port or uri.transport.port)
        source = self._network.source_for(server)
        leads_there = {host.base.ip for _, host in asked} & {source}
        for inquiry, host in asked:
            inquiry.on_route = not leads_there or host.base.ip == source
            self._gatherer.ask(inquiry, host, server, now=now)
        self._transport.kick()
