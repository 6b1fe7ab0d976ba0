"""Whom a TURN client talks to: permissions and channels, and when each must be asked for again.

A peer IP goes: asked -> permitted (asked again before it lapses ...) | refused. A channel likewise.
Rule of the file: what lapses on the server is asked for again as long as the allocation lives; the
instants count from when the request was sent, which is never later than the server counts from.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from natkit.machine import Instant, Seconds, soonest
from natkit.wire import TransportAddress
from natkit.wire.channel import CHANNEL_MAX, CHANNEL_MIN

PERMISSION_LIFETIME: Seconds = 300.0
"""RFC 8656 §9; the server never says it."""

CHANNEL_LIFETIME: Seconds = 600.0
"""RFC 8656 §12."""

RENEWAL: Seconds = 60.0
"""Ask again this long before something lapses: more than the 39.5 s that a request may take."""

HELD = 16
"""Datagrams kept for a peer until it is permitted; a network may drop the others."""


@dataclass(slots=True)
class Permission:
    """What a client knows of its permission for one IP.

    Attributes:
        renew_at: when to ask again; None: asked, the answer is on its way.
        granted:  the server has said yes.
        held:     datagrams that wait for that, with their peers.
    """

    renew_at: Instant | None = None
    granted: bool = False
    held: deque[tuple[TransportAddress, bytes]] = field(default_factory=lambda: deque(maxlen=HELD))


@dataclass(slots=True)
class Channel:
    """A channel to one peer; the fields are those of `Permission`."""

    number: int
    renew_at: Instant | None = None
    granted: bool = False


class Peers:
    """The table of one allocation."""

    def __init__(self) -> None:
        self.permissions: dict[str, Permission] = {}
        self.channels: dict[TransportAddress, Channel] = {}
        self._by_number: dict[int, TransportAddress] = {}
        self._next = CHANNEL_MIN

    def new_channel(self, peer: TransportAddress) -> Channel | None:
        """Give `peer` a number; None: all 4096 are taken.

        Numbers are not used twice: one that was refused may still be bound on the server, which
        keeps it from other peers for minutes (RFC 8656 §12).
        """
        if self._next > CHANNEL_MAX:
            return None
        channel = self.channels[peer] = Channel(self._next)
        self._by_number[self._next] = peer
        self._next += 1
        return channel

    def drop_channel(self, peer: TransportAddress) -> None:
        """Send to `peer` without a channel from now on."""
        channel = self.channels.pop(peer, None)
        if channel is not None:
            del self._by_number[channel.number]

    def peer_of(self, number: int) -> TransportAddress | None:
        """Return whom a channel number stands for; None: nobody."""
        return self._by_number.get(number)

    def due_permissions(self, *, now: Instant) -> list[str]:
        """Return the IPs to ask for again."""
        return [ip for ip, it in self.permissions.items() if _due(it.renew_at, now)]

    def due_channels(self, *, now: Instant) -> list[TransportAddress]:
        """Return the peers whose channel is to be bound again."""
        return [peer for peer, it in self.channels.items() if _due(it.renew_at, now)]

    def deadline(self) -> Instant | None:
        """Return when something has to be asked for again."""
        both = (*self.permissions.values(), *self.channels.values())
        return soonest(it.renew_at for it in both)


def _due(at: Instant | None, now: Instant) -> bool:
    return at is not None and at <= now
