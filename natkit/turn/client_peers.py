"""Whom a TURN client talks to: permissions and channels, kept alive, and the frames of their data.

A peer IP goes: asked -> permitted (asked again before it lapses ...) | refused. A channel likewise.
Rule of the file: what lapses on the server is asked for again as long as the allocation lives; the
instants count from when the request was sent, which is never later than the server counts from.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from natkit.machine import Instant, Seconds, soonest
from natkit.turn.client_events import (
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
from natkit.wire import (
    Attribute,
    ChannelData,
    ChannelNumber,
    Data,
    Icmp,
    Message,
    Method,
    TransportAddress,
    XorPeerAddress,
)
from natkit.wire.channel import CHANNEL_MIN

PERMISSION_LIFETIME: Seconds = 300.0
"""RFC 8656 §9; the server never says it."""

CHANNEL_LIFETIME: Seconds = 600.0
"""RFC 8656 §12."""

RENEWAL: Seconds = 60.0
"""Ask again this long before something lapses: more than the 39.5 s that a request may take."""

HELD = 16
"""Datagrams kept for a peer until it is permitted: 0.3 s of speech, longer than most round trips to
a server take. A network may drop the others."""

BARRED: Seconds = 30.0
"""How long data does not ask again for a permission that was refused, so that a stream of packets
does not become a stream of requests."""

LARGEST = 65_463
"""Bytes of data in a Send indication to an IPv6 peer that fills an IPv4 UDP datagram."""

LAST_CHANNEL = 0x4FFF
"""4096 channels: RFC 8656 §12 leaves clients no other numbers."""


@dataclass(frozen=True, slots=True)
class Permit:
    """The purpose of a CreatePermission request."""

    ip: str


@dataclass(frozen=True, slots=True)
class Bind:
    """The purpose of a ChannelBind request."""

    peer: TransportAddress


PeerPurpose: TypeAlias = Permit | Bind


class Ask(Protocol):
    """Starts a request: `Exchanges.start`."""

    def __call__(
        self, purpose: PeerPurpose, method: Method, /, *attributes: Attribute, now: Instant
    ) -> None:
        """Send it; `Peers.answered` or `Peers.failed` follows."""


@dataclass(slots=True)
class _Permission:
    """What is known of the permission for one IP.

    Attributes:
        renew_at: when to ask again; None: asked, the answer is on its way.
        granted:  the server has said yes.
        held:     datagrams that wait for that, with their peers.
    """

    renew_at: Instant | None = None
    granted: bool = False
    held: deque[tuple[TransportAddress, bytes]] = field(default_factory=lambda: deque(maxlen=HELD))


@dataclass(slots=True)
class _Channel:
    """A channel to one peer; the fields are those of a permission."""

    number: int
    renew_at: Instant | None = None
    granted: bool = False


class Peers:
    """The peers of one allocation.

    Args:
        padded: ChannelData is filled up to four bytes, as streams need.
    Attributes:
        outgoing: frames of data for the server, to be taken out.
    """

    def __init__(self, ask: Ask, transaction_id: Callable[[], bytes], *, padded: bool) -> None:
        self._ask = ask
        self._transaction_id = transaction_id
        self._padded = padded
        self._permissions: dict[str, _Permission] = {}
        self._barred: dict[str, Instant] = {}
        self._channels: dict[TransportAddress, _Channel] = {}
        self._by_number: dict[int, TransportAddress] = {}
        self._next = CHANNEL_MIN
        self.outgoing: list[bytes] = []

    def permit(self, ip: str, *, now: Instant) -> None:
        """Ask for a permission, or prolong it."""
        self._barred.pop(ip, None)
        permission = self._permissions.setdefault(ip, _Permission())
        permission.renew_at = None
        peer = XorPeerAddress(TransportAddress(ip, 0))
        self._ask(Permit(ip), Method.CREATE_PERMISSION, peer, now=now)

    def open_channel(self, peer: TransportAddress, *, now: Instant) -> list[ClientEvent]:
        """Ask for a channel, or prolong it."""
        channel = self._channels.get(peer) or self._new_channel(peer)
        if channel is None:
            why = Failure(Method.CHANNEL_BIND, Cause.UNUSABLE, reason="all 4096 numbers are used")
            return [ChannelRefused(peer, why)]
        channel.renew_at = None
        attributes = (ChannelNumber(channel.number), XorPeerAddress(peer))
        self._ask(Bind(peer), Method.CHANNEL_BIND, *attributes, now=now)
        return []

    def send(self, peer: TransportAddress, data: bytes, *, now: Instant) -> None:
        """Put data into a frame, or keep it until its peer is permitted, or drop it."""
        channel = self._channels.get(peer)
        if len(data) > LARGEST or now < self._barred.get(peer.ip, now):
            return
        if channel is not None and channel.granted:
            framed = ChannelData(channel.number, data).encode(padded=self._padded)
            self.outgoing.append(framed)
            return
        if peer.ip not in self._permissions:
            self.permit(peer.ip, now=now)
        permission = self._permissions[peer.ip]
        if not permission.granted:
            permission.held.append((peer, data))
            return
        attributes = (XorPeerAddress(peer), Data(data))
        told = Message.indication(Method.SEND, self._transaction_id(), *attributes)
        self.outgoing.append(told.encode())

    def from_channel(self, frame: ChannelData) -> list[ClientEvent]:
        """Take ChannelData; on an unknown channel it is dropped.

        A channel counts from when it is asked for: data may overtake the answer.
        """
        peer = self._by_number.get(frame.channel)
        return [] if peer is None else [DataReceived(peer, frame.data, frame.channel)]

    def from_indication(self, message: Message) -> list[ClientEvent]:
        """Take a Data indication (RFC 8656 §11.4, §11.6); that of a stranger is dropped."""
        peer, data, icmp = (message.find(kind) for kind in (XorPeerAddress, Data, Icmp))
        if message.method is not Method.DATA or message.unknown_required:
            return []
        if not isinstance(peer, XorPeerAddress) or peer.address.ip not in self._permissions:
            return []
        if isinstance(icmp, Icmp):
            return [PeerUnreachable(peer.address, icmp.kind, icmp.code)]
        return [DataReceived(peer.address, data.value)] if isinstance(data, Data) else []

    def answered(
        self,
        purpose: PeerPurpose,
        began_at: Instant,
        round_trip: Seconds | None,
        *,
        now: Instant,
    ) -> list[ClientEvent]:
        """Take that a request of ours, sent first at `began_at`, has succeeded."""
        if isinstance(purpose, Permit):
            self._permitted(purpose.ip, began_at, now)
            return [PeerPermitted(purpose.ip, round_trip)]
        peer = purpose.peer
        channel = self._channels.get(peer)
        if channel is None:  # asked for twice, and refused once
            return []
        channel.renew_at = began_at + CHANNEL_LIFETIME - RENEWAL
        was, channel.granted = channel.granted, True
        self._permitted(peer.ip, began_at, now)
        opened = [] if was else [ChannelOpened(peer, channel.number)]
        return [*opened, PeerPermitted(peer.ip, round_trip)]

    def failed(self, purpose: PeerPurpose, failure: Failure, *, now: Instant) -> list[ClientEvent]:
        """Take that a request of ours has failed; channels are of no use without a permission."""
        if isinstance(purpose, Bind):
            self._drop_channel(purpose.peer)
            return [ChannelRefused(purpose.peer, failure)]
        self._permissions.pop(purpose.ip, None)
        self._barred = {ip: until for ip, until in self._barred.items() if now < until}
        self._barred[purpose.ip] = now + BARRED
        gone = [peer for peer in self._channels if peer.ip == purpose.ip]
        for peer in gone:
            self._drop_channel(peer)
        lost = [ChannelRefused(peer, failure) for peer in gone]
        return [PermissionRefused(purpose.ip, failure), *lost]

    def renew(self, *, now: Instant) -> None:
        """Ask again for what would lapse."""
        for ip, permission in self._permissions.items():
            if _due(permission.renew_at, now):
                self.permit(ip, now=now)
        for peer, channel in self._channels.items():
            if _due(channel.renew_at, now):
                self.open_channel(peer, now=now)

    def deadline(self) -> Instant | None:
        """Return when something has to be asked for again."""
        permissions = (permission.renew_at for permission in self._permissions.values())
        channels = (channel.renew_at for channel in self._channels.values())
        return soonest((*permissions, *channels))

    def _permitted(self, ip: str, began_at: Instant, now: Instant) -> None:
        """Note a permission, and send what has waited for it."""
        permission = self._permissions.setdefault(ip, _Permission())
        permission.granted = True
        permission.renew_at = began_at + PERMISSION_LIFETIME - RENEWAL
        held = [*permission.held]
        permission.held.clear()
        for peer, data in held:
            self.send(peer, data, now=now)

    def _new_channel(self, peer: TransportAddress) -> _Channel | None:
        """Give `peer` a number; None: all are taken.

        Numbers are not used twice: one that was refused may still be bound on the server, which
        keeps it from other peers for minutes (RFC 8656 §12).
        """
        if self._next > LAST_CHANNEL:
            return None
        channel = self._channels[peer] = _Channel(self._next)
        self._by_number[self._next] = peer
        self._next += 1
        return channel

    def _drop_channel(self, peer: TransportAddress) -> None:
        """Send to `peer` without a channel from now on."""
        channel = self._channels.pop(peer, None)
        if channel is not None:
            del self._by_number[channel.number]


def _due(at: Instant | None, now: Instant) -> bool:
    return at is not None and at <= now
