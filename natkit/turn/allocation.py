"""One allocation: whose it is, its addresses, and whom it admits (RFC 8656 §3.2, §9, §12).

Rule of the file: alive while `now < expires_at`, for allocations, permissions and channels alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from natkit.machine import Instant, Seconds
from natkit.network import Family
from natkit.turn.answers import Client
from natkit.turn.forwarding import (
    ChannelBound,
    ChannelLapsed,
    Fact,
    Path,
    PermissionGranted,
    PermissionLapsed,
    Relaying,
)
from natkit.wire import TransportAddress

PERMISSION_LIFETIME: Seconds = 300
"""RFC 8656 §9: "MUST be 300 seconds (= 5 minutes)"."""

CHANNEL_LIFETIME: Seconds = 600
"""RFC 8656 §12: "a channel binding lasts for 10 minutes unless refreshed"."""

CHANNEL_QUARANTINE: Seconds = 300
"""Between the end of a binding and another one of its channel or its peer: what is still under way
for the old one must not reach the new one (RFC 8656 §12: five minutes)."""


def family_of(ip: str) -> Family:
    """Return the family of an IP in text form."""
    return Family.IPV6 if ":" in ip else Family.IPV4


@dataclass(slots=True)
class Channel:
    """A binding; past `expires_at` it only keeps others away.

    Attributes:
        announced: false once it was told to have lapsed.
    """

    peer: TransportAddress
    expires_at: Instant
    announced: bool = True

    @property
    def free_at(self) -> Instant:
        """When channel and peer may be bound otherwise."""
        return self.expires_at + CHANNEL_QUARANTINE

    @property
    def ends_next(self) -> Instant:
        """When something about it changes."""
        return self.expires_at if self.announced else self.free_at


@dataclass(slots=True, eq=False)
class Allocation:
    """What a client has.

    Attributes:
        path:        where the client is; changes with mobility.
        relays:      its relayed address by family, one or two.
        made_by:     transaction id of the Allocate request.
        answer:      what that was answered, for when it comes again.
        permissions: when each ends, by peer IP.
        channels:    bindings by channel number, those in quarantine too.
        peers:       the channel of each peer in `channels`.
        tickets:     mobility tickets that are good, the newest last (RFC 8016).
        connections: TCP connections with peers (RFC 6062).
    """

    path: Path
    relaying: Relaying
    client: Client
    expires_at: Instant
    made_by: bytes
    relays: dict[Family, TransportAddress]
    answer: bytes = b""
    permissions: dict[str, Instant] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    peers: dict[TransportAddress, int] = field(default_factory=dict)
    tickets: tuple[bytes, ...] = ()
    connections: frozenset[int] = frozenset()

    def relay_to(self, ip: str) -> TransportAddress | None:
        """Return the relayed address that reaches `ip`; None: none of that family."""
        return self.relays.get(family_of(ip))

    def admits(self, ip: str, *, now: Instant) -> bool:
        """Tell whether there is a permission for `ip`."""
        return now < self.permissions.get(ip, now)

    def permit(self, ip: str, *, now: Instant) -> tuple[Fact, ...]:
        """Install or prolong a permission. Keyed by IP alone: it ignores ports (§9)."""
        relayed, until = self.relays[family_of(ip)], now + PERMISSION_LIFETIME
        self.permissions[ip] = until
        return (PermissionGranted(relayed, ip, until),)

    def binding_conflict(self, number: int, peer: TransportAddress, *, now: Instant) -> str | None:
        """Return why `number` and `peer` cannot be bound; None: they can (§12.2)."""
        held = self.channels.get(number)
        if held is not None and held.peer != peer and now < held.free_at:
            return f"channel {number:#06x} is, or was until lately, that of {held.peer}"
        other = self.peers.get(peer)
        if other is not None and other != number and now < self.channels[other].free_at:
            return f"{peer} has, or had until lately, channel {other:#06x}"
        return None

    def bind(self, number: int, peer: TransportAddress, *, now: Instant) -> tuple[Fact, ...]:
        """Bind or prolong a channel, and with it the permission (§12.2)."""
        permitted = self.permit(peer.ip, now=now)
        expires_at = now + CHANNEL_LIFETIME
        self.channels[number] = Channel(peer, expires_at)
        self.peers[peer] = number
        relayed = self.relays[family_of(peer.ip)]
        return (*permitted, ChannelBound(relayed, number, peer, self.path, expires_at))

    def ends_next(self) -> Instant:
        """Return when the first thing in here ends."""
        ends = [self.expires_at, *self.permissions.values()]
        ends += [channel.ends_next for channel in self.channels.values()]
        return min(ends)

    def lapse(self, *, now: Instant) -> Iterator[Fact]:
        """Let go of permissions and channels that have ended."""
        for ip in [ip for ip, end in self.permissions.items() if now >= end]:
            yield from self.revoke(ip)
        for number, channel in list(self.channels.items()):
            if channel.announced and now >= channel.expires_at:
                channel.announced = False
                yield self._unbound(number, channel)
            if now >= channel.free_at:
                self._forget(number, channel)

    def revoke(self, ip: str) -> Iterator[Fact]:
        """End a permission."""
        del self.permissions[ip]
        yield PermissionLapsed(self.relays[family_of(ip)], ip)

    def unbind(self, number: int) -> Iterator[Fact]:
        """End a channel at once, without quarantine."""
        channel = self.channels[number]
        self._forget(number, channel)
        if channel.announced:
            yield self._unbound(number, channel)

    def drop_family(self, family: Family) -> TransportAddress:
        """Give up one of two relayed addresses, with all that goes by it. Returns: the address."""
        for ip in [ip for ip in self.permissions if family_of(ip) == family]:
            del self.permissions[ip]
        for number, channel in list(self.channels.items()):
            if family_of(channel.peer.ip) == family:
                self._forget(number, channel)
        return self.relays.pop(family)

    def _forget(self, number: int, channel: Channel) -> None:
        del self.channels[number]
        self.peers.pop(channel.peer, None)

    def _unbound(self, number: int, channel: Channel) -> ChannelLapsed:
        relayed = self.relays[family_of(channel.peer.ip)]
        return ChannelLapsed(relayed, number, channel.peer, self.path)
