"""Port mappings for ICE: the gateway is asked for an outside port of a socket of ours.

PCP or NAT-PMP first (`natkit.portmap.lease`), UPnP where they get nothing; its search, which
changes nothing, goes out at the same time. A mapping is renewed while it is held, and deleted in
the end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import NamedTuple

from natkit.aio.driver import Driver
from natkit.aio.gateway_line import search_upnp
from natkit.aio.upnp import UpnpMapping
from natkit.errors import NatkitError, NetworkUnreachable
from natkit.machine import Seconds
from natkit.nat.addresses import is_local
from natkit.network import Family, Network
from natkit.portmap import pcp, ssdp
from natkit.portmap.client import Answered, Randomness
from natkit.portmap.lease import LIFETIME, Deleted, Granted, Lease, LeaseEvent, Lost, NotGranted
from natkit.wire import TransportAddress

PATIENCE: Seconds = 0.4
"""For each question to the gateway, which is on the same link."""

UPNP_PATIENCE: Seconds = 2.0
"""For a conversation in HTTP and XML with a small router."""


class Mapped(NamedTuple):
    """An outside address that leads to us, and which protocol made it."""

    external: TransportAddress
    protocol: str


def gateway_of(network: Network, ip: str) -> str | None:
    """Return the router that packets from our address `ip` go to; None: none that is known."""
    for gateway in network.gateways(Family.IPV4):
        if network.source_for(TransportAddress(gateway, pcp.PORT)) == ip:
            return gateway
    return None


class PortMapping:
    """A mapping of one UDP socket of ours on one gateway.

    Args:
        internal: the address of the socket.
        on_lost:  told in words when the mapping was not renewed.
    """

    def __init__(
        self,
        network: Network,
        gateway: str,
        internal: TransportAddress,
        randomness: Randomness,
        on_lost: Callable[[str], None],
    ) -> None:
        self.gateway, self._on_lost = gateway, on_lost
        self._network, self._internal, self._randomness = network, internal, randomness
        self._lease = Lease(
            gateway, internal.ip, internal.port, patience=PATIENCE, randomness=randomness
        )
        self._driver: Driver[LeaseEvent] | None = None
        self._answer: asyncio.Future[LeaseEvent] = asyncio.get_running_loop().create_future()
        self._deleted = asyncio.Event()
        self._upnp: UpnpMapping | None = None
        self._renewing: asyncio.Task[None] | None = None

    async def open(self) -> Mapped:
        """Get the mapping. `close` is due afterwards, however it went.

        Raises: NetworkUnreachable: the gateway gives none; the words say what it said.
        """
        searching = asyncio.ensure_future(self._search())
        try:
            answer = await self._ask()
            if isinstance(answer, Granted):
                found = Mapped(answer.external, answer.protocol)
            else:
                location = await searching
                found = Mapped(await self._map_by_upnp(location, answer), "UPnP")
        finally:
            searching.cancel()
        if is_local(found.external.ip):
            why = f"its outside address {found.external.ip} is private: there is another NAT"
            raise NetworkUnreachable("the gateway's mapping leads nowhere", why=why)
        return found

    async def close(self) -> None:
        """Delete the mapping, or what may have become one."""
        if self._renewing is not None:
            self._renewing.cancel()
        if self._upnp is not None:
            with contextlib.suppress(NatkitError):  # it goes by itself in time
                await self._upnp.delete()
        if self._driver is not None:
            self._lease.delete(now=self._network.now())
            self._driver.kick()
            await self._deleted.wait()
            self._driver.close()

    async def _ask(self) -> LeaseEvent:
        lease, network = self._lease, self._network
        self._driver = await Driver.open(
            network,
            lease,
            local=TransportAddress(self._internal.ip, 0),
            on_event=self._heard,
            on_error=lambda error: lease.error_received(error, now=network.now()),
        )
        lease.begin(now=network.now())
        self._driver.kick()
        return await self._answer

    def _heard(self, event: LeaseEvent) -> None:
        if isinstance(event, Deleted):
            self._deleted.set()
        elif isinstance(event, Lost):
            self._on_lost(event.why)
        elif not self._answer.done():
            self._answer.set_result(event)

    async def _search(self) -> str | None:
        """Return the URL of the gateway's UPnP description; None: it has none."""
        try:
            outcome = await search_upnp(
                self._network,
                self.gateway,
                self._internal.ip,
                patience=PATIENCE,
                randomness=self._randomness,
            )
        except NetworkUnreachable:
            return None
        if isinstance(outcome, Answered) and ssdp.is_at(outcome.reply.location, self.gateway):
            return outcome.reply.location
        return None

    async def _map_by_upnp(self, location: str | None, before: LeaseEvent) -> TransportAddress:
        why = before.why if isinstance(before, NotGranted) else ""
        if location is None:
            raise NetworkUnreachable(f"{why}, and no UPnP gateway answered")
        self._upnp = UpnpMapping(
            self._network,
            location,
            self._internal,
            lifetime=LIFETIME,
            patience=UPNP_PATIENCE,
        )
        try:
            external = await self._upnp.make()
        except NatkitError as error:
            raise NetworkUnreachable(why, why=f"UPnP: {error}") from None
        self._renewing = asyncio.ensure_future(self._renew(self._upnp))
        return external

    async def _renew(self, mapping: UpnpMapping) -> None:
        while True:
            await self._network.sleep(LIFETIME / 3)  # there is time for another attempt
            try:
                await mapping.make()
            except NatkitError as error:
                self._on_lost(str(error))
