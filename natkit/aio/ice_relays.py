"""Relayed candidates: TURN servers are asked for an address, or for one of each family."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable

from natkit.aio.ice import BothFamilies, IceTransport, Port
from natkit.aio.ice_servers import TurnServer
from natkit.aio.turn_client import RelayedEndpoint, allocate
from natkit.aio.turn_failure import Server
from natkit.errors import NatkitError
from natkit.ice.inquiry import Cause, Inquiry, Kind, Trouble
from natkit.network import Family, Tls
from natkit.turn.client_allocation import Wish
from natkit.turn.client_events import Cause as TurnCause
from natkit.turn.client_events import Failure
from natkit.turn.forwarding import Transport
from natkit.wire import TransportAddress

_CAUSES = {
    TurnCause.REFUSED: Cause.REFUSED,
    TurnCause.SILENT: Cause.TIMEOUT,
    TurnCause.UNREACHABLE: Cause.ICMP,
    TurnCause.DISCONNECTED: Cause.CONNECTION,
    TurnCause.UNPROVED: Cause.LOGIN,
    TurnCause.UNUSABLE: Cause.UNUSABLE,
    TurnCause.NO_LOGIN: Cause.LOGIN,
    TurnCause.BID_DOWN: Cause.LOGIN,
}


def _cause_of(error: NatkitError) -> Cause:
    """Return why a server was not even asked: its connection, or what is on it."""
    match error.__cause__:
        case ssl.SSLError():
            return Cause.TLS
        case TimeoutError():
            return Cause.TIMEOUT
    return Cause.CONNECTION


class Relays:
    """Asks TURN servers for the agent's present session.

    Args:
        reach:       families to go to servers over.
        families:    of the relayed addresses.
        hide_mapped: do not tell the peer where a server sees us.
    """

    def __init__(
        self,
        transport: IceTransport,
        reach: Iterable[Family],
        families: tuple[Family, ...],
        *,
        hide_mapped: bool,
    ) -> None:
        self._transport, self._network = transport, transport.network
        self._generation = transport.generation
        self._gatherer = self._generation.gatherer
        self._reach, self._families = sorted(reach), families
        self._hide_mapped = hide_mapped

    def ask(self, server: TurnServer, place: int, component: int) -> None:
        """Ask the `place`th server for a component; what it says goes to the gatherer."""
        inquiry = self._gatherer.begin(
            Kind.RELAYED,
            server.name,
            component=component,
            in_stream=server.transport.is_stream,
            now=self._network.now(),
        )
        self._generation.spawn(self._ask(inquiry, server, place, self._families))

    async def _ask(
        self, inquiry: Inquiry, server: TurnServer, place: int, families: tuple[Family, ...]
    ) -> None:
        try:
            trouble = await self._allocate(inquiry, server, place, families)
        except NatkitError as error:
            trouble = Trouble(_cause_of(error), str(error))
        if trouble is not None:
            self._gatherer.failed(inquiry, trouble, now=self._network.now())
        self._transport.kick()

    async def _allocate(
        self, inquiry: Inquiry, turn: TurnServer, place: int, families: tuple[Family, ...]
    ) -> Trouble | None:
        """Get relayed addresses from a server; return why there is none."""
        address = await self._find(turn)
        if address is None:
            return Trouble(Cause.RESOLVE, "it has no address")
        tls = None
        if turn.transport is Transport.TLS:
            tls = Tls(turn.parsed.host, turn.verify, turn.ca_file)
        ports = BothFamilies(*(Port(self._transport, inquiry.component) for _ in range(2)))
        relay = await allocate(
            self._network,
            Server(address, turn.transport, tls),
            turn.login,
            ports,
            randomness=self._transport.agent.randomness,
            wish=Wish(families),
        )
        if isinstance(relay, Failure):
            return Trouble(_CAUSES[relay.cause], str(relay), relay.code)
        self._granted(inquiry, turn, place, address, relay, ports)
        if len(families) > len(relay.allocated.relayed) + len(relay.allocated.refused):
            # It does not know RFC 8656's attribute for a second family, as coturn 4.6 does not:
            # then that takes an allocation of its own.
            rest = self._ask(self._again(inquiry), turn, place, (Family.IPV6,))
            self._generation.spawn(rest)
        return None

    def _granted(
        self,
        inquiry: Inquiry,
        turn: TurnServer,
        place: int,
        address: TransportAddress,
        relay: RelayedEndpoint,
        ports: BothFamilies,
    ) -> None:
        """Tell of each address that a server gave, and of the families that it refused."""
        now = self._network.now()
        for number, at in enumerate(relay.allocated.relayed):
            port = ports.v6 if at.is_ipv6 else ports.v4
            port.endpoint = relay
            self._transport.adopt(port, at, self._generation)
            self._gatherer.relayed(
                inquiry if number == 0 else self._again(inquiry),
                at,
                relay.allocated.mapped,
                server=address,
                transport=turn.transport.value,
                preference=turn.preference(place) - at.is_ipv6,
                hide_mapped=self._hide_mapped,
                now=now,
            )
        for refused in relay.allocated.refused:
            why = f"no IPv{refused.family:d} address: {refused.code} {refused.reason}".rstrip()
            trouble = Trouble(Cause.REFUSED, why, refused.code)
            self._gatherer.failed(self._again(inquiry), trouble, now=now)

    def _again(self, inquiry: Inquiry) -> Inquiry:
        """Return another inquiry for the same question: it had two parts."""
        return self._gatherer.begin(
            inquiry.kind,
            inquiry.server,
            component=inquiry.component,
            in_stream=inquiry.in_stream,
            now=inquiry.asked_at,
        )

    async def _find(self, turn: TurnServer) -> TransportAddress | None:
        """Return where a server is, over IPv4 where it has both: more networks carry it."""
        families = self._reach
        found = await asyncio.gather(
            *(self._network.resolve(turn.parsed.host, family) for family in families)
        )
        port = turn.parsed.port_for(turn.transport)
        return next((TransportAddress(ips[0], port) for ips in found if ips), None)
