"""The data plane in Python: one look-up and one send for every datagram that comes in."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from typing import Any, assert_never

from natkit.dataplane import Counters, Upcalls
from natkit.dataplane.bulk import InBulk, can_bulk
from natkit.dataplane.listening import Listener
from natkit.dataplane.meter import Meter
from natkit.dataplane.neighbours import NOBODY, Neighbours
from natkit.dataplane.rates import BothWays, Bucket, LocalUserLimits, Narrower, UserLimits
from natkit.dataplane.reading import OneByOne, Way
from natkit.dataplane.sockaddr import to_socket
from natkit.dataplane.tables import Channel, Client, Relay
from natkit.machine import Instant
from natkit.turn.forwarding import (
    AllocationClosed,
    AllocationMade,
    AllocationMoved,
    ChannelBound,
    ChannelLapsed,
    Fact,
    Path,
    PermissionGranted,
    PermissionLapsed,
    Transport,
)
from natkit.wire import TransportAddress

_IP_MTU_DISCOVER = 10  # linux/in.h; Python names none of these four
_IPV6_MTU_DISCOVER = 23  # linux/in6.h
_PMTUDISC_DONT, _PMTUDISC_DO = 0, 2

CAN_SET_DF = sys.platform == "linux"


class PortablePlane:
    """Forwards by tables, wherever Python runs: see `DataPlane`.

    Args:
        upcalls:    takes what the plane does not decide.
        neighbours: relayed addresses of this server that are known by other ones.
        users:      the limits that the allocations of a user share.

    Attributes:
        max_rate:      bytes a second that a new allocation may carry each way; None: no limit.
        max_user_rate: the same for all allocations of a user that get a new one.
    """

    def __init__(
        self,
        upcalls: Upcalls,
        *,
        neighbours: Neighbours = NOBODY,
        users: UserLimits | None = None,
    ) -> None:
        self.max_rate: int | None = None
        self.max_user_rate: int | None = None
        self._upcalls = upcalls
        loop = asyncio.get_running_loop()
        self._time = loop.time
        self._way: Way = InBulk(loop) if can_bulk() else OneByOne(loop)
        self._neighbours = neighbours
        self._users = users or LocalUserLimits()
        self._meters: dict[TransportAddress, Meter] = {}  # of relays, and of what others relay
        self._shared: dict[Meter, list[str]] = {}  # by what names they have part in limits
        self._listeners: dict[TransportAddress, Listener] = {}
        self._relays: dict[TransportAddress, Relay] = {}
        self._clients: dict[Path, Client] = {}
        self._streams: set[Path] = set()

    @property
    def in_kernel(self) -> bool:
        """True if the kernel forwards what it can: it does not."""
        return False

    def add_listener(self, server: TransportAddress, sock: socket.socket) -> None:
        """Read clients' datagrams from `sock`, bound to `server`; own it."""
        self._listeners[server] = Listener(server, sock, self._upcalls, self._way)

    def add_relay(self, relayed: TransportAddress, sock: socket.socket) -> None:
        """Read peers' datagrams from `sock`, known to clients as `relayed`; own it."""
        ipv6 = relayed.is_ipv6
        set_dont_fragment(sock, False, ipv6=ipv6)
        relay = Relay(relayed, sock, self._upcalls, self._neighbours, self._way, ipv6=ipv6)
        self._relays[relayed] = self._meters[relayed] = relay

    def measure(self, relayed: TransportAddress) -> Meter:
        """Keep account of a relayed address whose bytes somebody else moves."""
        meter = self._meters[relayed] = Meter(relayed)
        return meter

    def visiting(self, relayed: TransportAddress, user: str) -> Meter:
        """Return what counts for a connection whose allocation is on another worker."""
        meter = Meter(relayed)
        self._limit(meter, user)
        return meter

    def release(self, meter: Meter) -> None:
        """Take that a meter counts no more: its user shares with others again what it had."""
        for name in self._shared.pop(meter, ()):
            self._users.leave(name, self._time())

    def remove_relay(self, relayed: TransportAddress) -> None:
        """Close the socket of `relayed`. Unknown ones are ignored."""
        self._meters.pop(relayed, None)
        relay = self._relays.pop(relayed, None)
        if relay is not None:
            relay.reader.stop()
            del relay.reader  # they name each other: without it, only the collector would end them

    def add_stream(
        self, path: Path, write: Callable[[bytes], bool]
    ) -> Callable[[bytes, Instant], None]:
        """Serve a client whose bytes somebody else reads; returns what takes its ChannelData."""
        client = self._clients[path] = Client(
            lambda data, _: write(data), padded=path.transport.is_stream
        )
        self._streams.add(path)
        return client.forward

    def remove_stream(self, path: Path) -> None:
        """Forget a client added by `add_stream`. Unknown ones are ignored."""
        self._streams.discard(path)
        self._clients.pop(path, None)

    def divert(self, path: Path, take: Callable[[bytes], None] | None) -> None:
        """Hand ChannelData along `path` to `take`; None: no longer."""
        client = self._client(path)
        if client is None:
            return
        client.diverted = take
        if take is None and client.relays == 0:
            self._drop(path)

    def apply(self, fact: Fact) -> None:
        """Take a fact of the TURN machine into the table. What it names and is gone is ignored."""
        if isinstance(fact, AllocationMade | AllocationClosed):
            self._account(fact)
        relay = self._relays.get(fact.relayed)
        if relay is None:
            return
        match fact:
            case PermissionGranted(peer_ip=ip, expires_at=until):
                relay.permit(ip, until)
            case ChannelBound():
                _bind(relay, fact, self._neighbours.address_to(fact.peer))
            case AllocationMade(path=path):
                self._join(relay, path)
            case PermissionLapsed(peer_ip=ip):
                relay.permit(ip, 0.0)
                del relay.permissions[ip]
            case ChannelLapsed(channel=number, peer=peer):
                relay.peers.pop(self._way.key(self._neighbours.address_to(peer)), None)
                if relay.client is not None:
                    relay.client.channels.pop(number, None)
            case AllocationMoved(old=old, path=path):
                self._move(relay, old, path)
            case AllocationClosed(path=path):
                self._part(relay, path)
            case _:
                assert_never(fact)

    def to_client(self, path: Path, data: bytes) -> None:
        """Send a STUN message along `path`, from the address that the client asked."""
        listener = self._listeners.get(path.server) if path.transport is Transport.UDP else None
        if listener is not None:
            listener.send(to_socket(path.client), data)
        elif (client := self._clients.get(path)) is not None:
            client.write(data, 0)

    def to_peer(
        self,
        relayed: TransportAddress,
        peer: TransportAddress,
        data: bytes,
        *,
        dont_fragment: bool,
        now: Instant,
    ) -> None:
        """Send one datagram from a relayed address (a Send indication's)."""
        relay = self._relays.get(relayed)
        if relay is None:
            return
        if not dont_fragment:
            relay.send(data, self._neighbours.address_to(peer), now)
            return
        self._way.flush()
        set_dont_fragment(relay.sock, True, ipv6=relayed.is_ipv6)
        relay.send(data, self._neighbours.address_to(peer), now)
        set_dont_fragment(relay.sock, False, ipv6=relayed.is_ipv6)

    def counters(self, relayed: TransportAddress) -> Counters:
        """Return what `relayed` has carried; live. All zero where it is unknown."""
        meter = self._meters.get(relayed)
        return Counters() if meter is None else meter.counters

    def activity(self, relayed: TransportAddress) -> Instant | None:
        """Return when it last carried something; None: never."""
        meter = self._meters.get(relayed)
        return None if meter is None else meter.active_at

    def close(self) -> None:
        """Close every socket."""
        for relayed in list(self._relays):
            self.remove_relay(relayed)
        for listener in self._listeners.values():
            listener.reader.stop()
        self._listeners.clear()
        self._clients.clear()
        self._way.close()

    def _join(self, relay: Relay, path: Path) -> None:
        client = self._client(path)
        if client is not None:
            client.relays += 1
            relay.client = client

    def _account(self, fact: AllocationMade | AllocationClosed) -> None:
        """Take that a user has a relayed address more, or less."""
        meter = self._meters.get(fact.relayed)
        if meter is not None and isinstance(fact, AllocationMade):
            self._limit(meter, fact.user)
        elif meter is not None:
            self.release(meter)

    def _limit(self, meter: Meter, user: str) -> None:
        """Give a user's allocation its limits."""
        meter.user = user
        if self.max_rate is not None:
            self._narrow(meter, self._of_allocation(meter, self.max_rate))
        if self.max_user_rate is not None:
            self._narrow(meter, self._share(meter, user, self.max_user_rate))

    def _of_allocation(self, meter: Meter, rate: int) -> BothWays:
        """Return an allocation's own limits, which the connections of one that relays TCP share,
        on whichever workers they are.
        """
        if isinstance(meter, Relay):
            return BothWays(Bucket(rate), Bucket(rate))
        return self._share(meter, f"\0{meter.relayed}", rate)  # no user's name: it has a NUL

    def _share(self, meter: Meter, name: str, rate: int) -> BothWays:
        self._shared.setdefault(meter, []).append(name)
        return self._users.of(name, rate)

    def _narrow(self, meter: Meter, limits: BothWays) -> None:
        meter.up = limits.up if meter.up is None else Narrower(meter.up, limits.up)
        meter.down = limits.down if meter.down is None else Narrower(meter.down, limits.down)

    def _client(self, path: Path) -> Client | None:
        """Return the table of `path`, made where it is missing; None: its stream is gone."""
        client = self._clients.get(path)
        listener = self._listeners.get(path.server)
        if client is None and path.transport is Transport.UDP and listener is not None:
            client = self._clients[path] = listener.admit(to_socket(path.client))
        return client

    def _move(self, relay: Relay, old: Path, path: Path) -> None:
        before, client = relay.client, self._client(path)
        relay.client = client
        for channel in relay.peers.values():
            if before is not None:
                before.channels.pop(channel.number, None)
            if client is not None:
                client.channels[channel.number] = channel
        if client is not None:
            client.relays += 1
        self._leave(before, old)

    def _part(self, relay: Relay, path: Path) -> None:
        client, relay.client = relay.client, None
        for channel in relay.peers.values():
            if client is not None:
                client.channels.pop(channel.number, None)
        relay.peers.clear()
        relay.permissions.clear()
        self._leave(client, path)

    def _leave(self, client: Client | None, path: Path) -> None:
        """Forget a client over UDP with its last relayed address; a stream is its reader's."""
        if client is None:
            return
        client.relays -= 1
        if client.relays == 0:
            self._drop(path)

    def _drop(self, path: Path) -> None:
        if path in self._streams:
            return
        self._clients.pop(path, None)
        if path.server in self._listeners:
            self._listeners[path.server].dismiss(to_socket(path.client))


def _bind(relay: Relay, fact: ChannelBound, peer: Any) -> None:
    if relay.client is None:
        return
    key = relay.way.key(peer)
    channel = relay.peers.get(key)
    if channel is None:
        channel = relay.peers[key] = Channel(relay, fact.channel, peer, key)
        relay.client.channels[fact.channel] = channel
    channel.expires_at = fact.expires_at
    channel.until = min(fact.expires_at, relay.permissions.get(fact.peer.ip, 0.0))


def set_dont_fragment(sock: socket.socket, wanted: bool, *, ipv6: bool) -> None:
    """Set or clear DF on what `sock` sends, where the system can (RFC 8656 §14)."""
    if not CAN_SET_DF:
        return
    value = _PMTUDISC_DO if wanted else _PMTUDISC_DONT
    if ipv6:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, value)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, value)
