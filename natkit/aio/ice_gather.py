"""Open the sockets of an ICE session, and ask the servers for what the world sees of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from natkit.aio.ice import Generation, IceTransport, Port
from natkit.aio.ice_servers import TurnServer, host_addresses
from natkit.aio.turn_client import allocate
from natkit.aio.turn_failure import Server
from natkit.errors import NatkitError
from natkit.ice.candidate import Candidate, CandidateType, Local, Origin
from natkit.ice.inquiry import Inquiry, Kind
from natkit.ice.priority import local_preferences, priority
from natkit.network import Family, Interface, Tls
from natkit.stun.uri import StunUri
from natkit.turn.client_events import Failure
from natkit.turn.forwarding import Transport
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


async def gather(transport: IceTransport, plan: GatherPlan) -> None:
    """Gather candidates for the agent's present session; return when no more will come."""
    gathering = Gathering(transport, plan)
    if plan.hosts:
        await gathering.open_hosts()
    if gathering.generation.ended.is_set():  # closed, or restarted, in the meantime
        return
    gathering.ask_all()
    transport.kick()
    await gathering.generation.ended.wait()


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
                await self._open_host(interface, component, preferences[interface.ip])

    async def _open_host(self, interface: Interface, component: int, preference: int) -> None:
        port = Port(self._transport, component)
        local = TransportAddress(interface.ip, 0)
        try:
            port.endpoint = await self._network.open_datagram(port, local=local)
        except NatkitError as error:
            inquiry = self._gatherer.begin(
                Kind.HOST, "this host", local, interface.name, now=self._network.now()
            )
            self._gatherer.failed(inquiry, str(error), now=self._network.now())
            return
        base = port.endpoint.local
        self._transport.adopt(port, base, self.generation)
        kind = CandidateType.HOST
        foundation = self._gatherer.foundations.of(kind, base.ip)
        value = priority(kind, preference, component)
        shown = base.ip if self.plan.hide is None else self.plan.hide(base.ip)
        candidate = Candidate(foundation, component, "udp", value, shown, base.port, kind)
        host = Local(candidate, base, Origin(self._network.now(), interface.name))
        self._hosts.append(host)
        self._gatherer.host(host)
        self._transport.kick()

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
        for place, server in enumerate(self.plan.turn):
            for component in self.plan.components:
                inquiry = self._gatherer.begin(
                    Kind.RELAYED,
                    server.name,
                    component=component,
                    in_stream=server.transport.is_stream,
                    now=self._network.now(),
                )
                self.generation.spawn(self._ask_turn(inquiry, server, place))
        self._gatherer.complete(now=self._network.now())

    def _begin(self, uri: StunUri, host: Local) -> Inquiry:
        interface, now = host.origin.interface, self._network.now()
        return self._gatherer.begin(Kind.REFLEXIVE, str(uri), host.base, interface, now=now)

    async def _ask_stun(
        self, uri: StunUri, family: Family, asked: list[tuple[Inquiry, Local]]
    ) -> None:
        found = await self._network.resolve(uri.host, family)
        now = self._network.now()
        for inquiry, host in asked:
            if found:
                server = TransportAddress(found[0], uri.port or uri.transport.port)
                self._gatherer.ask(inquiry, host, server, now=now)
            else:
                self._gatherer.failed(inquiry, f"it has no IPv{family:d} address", now=now)
        self._transport.kick()

    async def _ask_turn(self, inquiry: Inquiry, server: TurnServer, place: int) -> None:
        try:
            why = await self._allocate(inquiry, server, place)
        except NatkitError as error:
            why = str(error)
        if why is not None:
            self._gatherer.failed(inquiry, why, now=self._network.now())
        self._transport.kick()

    async def _allocate(self, inquiry: Inquiry, turn: TurnServer, place: int) -> str | None:
        """Get a relayed address from a server; return why there is none."""
        address = await self._find(turn)
        if address is None:
            return "it has no address"
        tls = None
        if turn.transport is Transport.TLS:
            tls = Tls(turn.parsed.host, turn.verify, turn.ca_file)
        port = Port(self._transport, inquiry.component)
        relay = await allocate(
            self._network,
            Server(address, turn.transport, tls),
            turn.login,
            port,
            randomness=self._transport.randomness,
        )
        if isinstance(relay, Failure):
            return str(relay)
        port.endpoint = relay
        self._transport.adopt(port, relay.local, self.generation)
        self._gatherer.relayed(
            inquiry,
            relay.local,
            relay.allocated.mapped,
            server=address,
            transport=turn.transport.value,
            preference=turn.preference(place),
            hide_mapped=self.plan.hide_mapped,
            now=self._network.now(),
        )
        return None

    async def _find(self, turn: TurnServer) -> TransportAddress | None:
        """Return where a server is, over IPv4 where it has both: more networks carry it."""
        families = sorted(self.plan.families)
        found = await asyncio.gather(
            *(self._network.resolve(turn.parsed.host, family) for family in families)
        )
        port = turn.parsed.port_for(turn.transport)
        return next((TransportAddress(ips[0], port) for ips in found if ips), None)
