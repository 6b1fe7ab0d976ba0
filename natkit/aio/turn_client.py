"""A datagram endpoint on a TURN server: what it sends leaves from there, what comes there arrives.

relay = await RelayedEndpoint.open(network, server, login, receiver, randomness=token_bytes)
relay.local                        # the relayed address: tell it to the peer
await relay.permit(peer.ip)        # or just send: the first datagrams wait for the permission
relay.send(b"hello", peer)
await relay.close_and_wait()
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import TypeAlias

from natkit.aio.driver import Driver
from natkit.aio.stream_carrier import StreamCarrier
from natkit.aio.turn_failure import Server, error_of
from natkit.machine import Seconds
from natkit.network import DatagramReceiver, Family, IcmpError, Network
from natkit.turn.client import ALLOCATION_MISMATCH, TurnClient
from natkit.turn.client_allocation import PLAIN, Wish
from natkit.turn.client_auth import Login
from natkit.turn.client_events import (
    Allocated,
    AllocationDeleted,
    AllocationFailed,
    AllocationLost,
    AllocationRefreshed,
    Cause,
    ChannelOpened,
    ChannelRefused,
    ClientEvent,
    DataReceived,
    Failure,
    PeerPermitted,
    PeerUnreachable,
    PermissionRefused,
)
from natkit.wire import MessageClass, Method, TransportAddress

Randomness: TypeAlias = Callable[[int], bytes]

PATIENCE: Seconds = 10.0
"""For each request of an allocation: five sends over UDP. The RFC's 39.5 s are more than a person,
or ICE, waits for a relay."""

PORTS = 3
"""Local ports to try where the server has an allocation for the first (437, RFC 8656 §7.4)."""

HOPS = 3
"""Alternate servers to follow (300); a fleet needs one, and a circle must end."""

FAREWELL: Seconds = 2.0
"""For an answer that nobody waits for any more: an allocation that it grants would stay for ten
minutes. As long as a deletion is waited for."""

TRY_ALTERNATE = 300

_INDICATION = MessageClass.INDICATION.to_bytes(2, "big")[1]


async def allocate(
    network: Network,
    server: Server,
    login: Login | None,
    receiver: DatagramReceiver,
    *,
    randomness: Randomness,
    wish: Wish = PLAIN,
    patience: Seconds = PATIENCE,
    on_lost: Callable[[Failure], None] | None = None,
) -> RelayedEndpoint | Failure:
    """Make an allocation, and say how it failed where it did.

    An alternate server is gone to, and another local port tried where the server asks for it.

    Args:
        receiver:   hears what peers send, and the ICMP errors that came back to the server.
        randomness: returns that many unpredictable bytes.
        patience:   seconds to connect, and for each request.
        on_lost:    told when the allocation has ended without `close`.
    Raises: NetworkUnreachable: no socket here, or no connection there.
    """
    visited = [server.address]
    ports = 1
    while True:
        relay = RelayedEndpoint(network, server, login, receiver, randomness, on_lost)
        failure = await relay.start(wish, patience)
        if failure is None:
            return relay
        if failure.code == ALLOCATION_MISMATCH and ports < PORTS:
            ports += 1
        elif (
            failure.code == TRY_ALTERNATE
            and failure.alternate is not None
            and failure.alternate not in visited
            and len(visited) <= HOPS
        ):
            visited.append(failure.alternate)
            server = _alternate(server, failure.alternate, failure.domain)
        else:
            return failure


def _alternate(server: Server, address: TransportAddress, domain: str | None) -> Server:
    """Return whom to ask instead; its certificate bears `domain`, or the same name (§10)."""
    tls = server.tls
    if tls is not None and domain is not None:
        tls = replace(tls, server_name=domain)
    return replace(server, address=address, tls=tls)


class RelayedEndpoint:
    """A `natkit.network.DatagramEndpoint` on a TURN server; made by `open` or `allocate`.

    Attributes:
        server:    the server that granted it (an alternate one, perhaps).
        allocated: what was granted.
    """

    allocated: Allocated

    def __init__(
        self,
        network: Network,
        server: Server,
        login: Login | None,
        receiver: DatagramReceiver,
        randomness: Randomness,
        on_lost: Callable[[Failure], None] | None,
    ) -> None:
        self.server = server
        self._network = network
        self._receiver = receiver
        self._on_lost = on_lost
        self._machine = TurnClient(
            server.address,
            login,
            lambda: randomness(12),
            reliable=server.transport.is_stream,
        )
        self._driver: Driver[ClientEvent] | None = None
        self._carrier: StreamCarrier | None = None
        self._waiting: dict[Hashable, list[asyncio.Future[Failure | None]]] = defaultdict(list)
        self._over = asyncio.Event()
        self._leaving: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls,
        network: Network,
        server: Server,
        login: Login | None,
        receiver: DatagramReceiver,
        *,
        randomness: Randomness,
        wish: Wish = PLAIN,
        patience: Seconds = PATIENCE,
        on_lost: Callable[[Failure], None] | None = None,
    ) -> RelayedEndpoint:
        """Make an allocation: see `allocate`.

        Raises: AuthenticationFailed: the server wants another user name or password.
                NetworkUnreachable:   it cannot be reached, or does not answer.
                NatkitError:          it refused for another reason.
        """
        made = await allocate(
            network,
            server,
            login,
            receiver,
            randomness=randomness,
            wish=wish,
            patience=patience,
            on_lost=on_lost,
        )
        if isinstance(made, Failure):
            raise error_of(made, server)
        return made

    @property
    def local(self) -> TransportAddress:
        """The relayed address (the first one, where there are two)."""
        return self.allocated.relayed[0]

    @property
    def base(self) -> TransportAddress:
        """The local address that the server is asked from."""
        return self._running.endpoint.local

    def send(self, data: bytes, destination: TransportAddress, *, ttl: int | None = None) -> None:
        """Relay one datagram, or drop it as a network would: never blocks, never raises.

        Args: ttl: ignored: a relay sends with its own.
        """
        del ttl
        self._machine.send(destination, data, now=self._network.now())
        self._running.kick()

    async def permit(self, ip: str) -> None:
        """Let peers at `ip` send here, and be sent to.

        Raises: NatkitError: the server does not, or does not answer.
        """
        failure = await self.try_to_permit(ip)
        if failure is not None:
            raise error_of(failure, self.server)

    async def try_to_permit(self, ip: str) -> Failure | None:
        """Like `permit`, but return how it failed."""
        self._machine.permit(ip, now=self._network.now())
        return await self._outcome(ip)

    async def open_channel(self, peer: TransportAddress) -> None:
        """Save overhead on what goes to `peer` and comes from it (36 bytes down to 4).

        Raises: NatkitError: the server does not, or does not answer.
        """
        failure = await self.try_to_open_channel(peer)
        if failure is not None:
            raise error_of(failure, self.server)

    async def try_to_open_channel(self, peer: TransportAddress) -> Failure | None:
        """Like `open_channel`, but return how it failed."""
        self._machine.open_channel(peer, now=self._network.now())
        return await self._outcome(peer)

    def close(self) -> None:
        """Give the allocation back, and close the socket when that is answered, or after 2 s."""
        self._machine.delete(now=self._network.now())
        self._running.kick()

    async def close_and_wait(self) -> None:
        """Close, and wait until it is done."""
        self.close()
        await self._over.wait()
        if self._carrier is not None:
            await self._carrier.wait_closed()

    async def start(self, wish: Wish, patience: Seconds) -> Failure | None:
        """Make the allocation; return how it failed, with everything closed again."""
        driver = self._driver = Driver(self._machine, on_event=self._heard, on_error=self._icmp)
        if self.server.transport.is_stream:
            stream = await self._network.open_stream(
                self.server.address, tls=self.server.tls, patience=patience
            )
            self._carrier = StreamCarrier(stream, driver, self._stream_ended, is_relayed)
            driver.attach(self._carrier)
        else:
            family = Family.IPV6 if self.server.address.is_ipv6 else Family.IPV4
            driver.attach(await self._network.open_datagram(driver, family=family))
        self._machine.allocate(wish, patience=patience, now=self._network.now())
        driver.kick()
        try:
            return await self._outcome(Allocated)
        except asyncio.CancelledError:
            self._leaving = asyncio.create_task(self._give_back())
            raise
        except BaseException:
            self._shut()
            raise

    async def _give_back(self) -> None:
        """Wait a little for what was asked for and is not wanted any more, to delete it."""
        try:
            async with asyncio.timeout(FAREWELL):
                if await self._outcome(Allocated) is None:
                    await self.close_and_wait()
        except TimeoutError:
            pass
        finally:
            self._shut()

    @property
    def _running(self) -> Driver[ClientEvent]:
        if self._driver is None:
            raise RuntimeError("a relayed endpoint is made by RelayedEndpoint.open")
        return self._driver

    async def _outcome(self, key: Hashable) -> Failure | None:
        """Carry out what the machine was told, and wait for what becomes of it."""
        waiting: asyncio.Future[Failure | None] = asyncio.get_running_loop().create_future()
        if self._over.is_set():
            return Failure(Method.ALLOCATE, Cause.DISCONNECTED, reason="it has ended")
        self._waiting[key].append(waiting)
        self._running.kick()
        return await waiting

    def _settle(self, key: Hashable, failure: Failure | None) -> None:
        for waiting in self._waiting.pop(key, ()):
            if not waiting.done():
                waiting.set_result(failure)

    def _heard(self, event: ClientEvent) -> None:
        match event:
            case DataReceived():
                self._receiver.datagram_received(event.data, event.peer)
            case PeerUnreachable():
                error = IcmpError(event.kind, event.code, event.peer, None)
                self._receiver.error_received(error)
            case Allocated():
                self.allocated = event
                self._settle(Allocated, None)
            case PeerPermitted():
                self._settle(event.ip, None)
            case PermissionRefused():
                self._settle(event.ip, event.failure)
            case ChannelOpened():
                self._settle(event.peer, None)
            case ChannelRefused():
                self._settle(event.peer, event.failure)
            case AllocationRefreshed():
                pass
            case AllocationFailed():
                self._ended(event.failure)
            case AllocationLost():
                self._ended(event.failure)
                if self._on_lost is not None:
                    self._on_lost(event.failure)
            case AllocationDeleted():
                self._ended(Failure(Method.ALLOCATE, Cause.DISCONNECTED, reason="it was closed"))

    def _icmp(self, error: IcmpError) -> None:
        self._machine.error_received(error, now=self._network.now())

    def _stream_ended(self, why: str) -> None:
        self._machine.disconnected(why)
        self._running.kick()

    def _ended(self, failure: Failure) -> None:
        for key in [*self._waiting]:
            self._settle(key, failure)
        self._shut()

    def _shut(self) -> None:
        self._running.close()
        self._over.set()


def is_relayed(frame: bytes) -> bool:
    """Tell ChannelData and indications from requests, which are never dropped."""
    return frame[0] >= 0x40 or bool(frame[1] & _INDICATION)
