"""The data plane in Linux' kernel: a table for XDP, beside the portable plane's own.

Every packet may take either way: what the kernel has an entry for it forwards, all else comes up to
the portable plane, which knows the same channels. Rules of the file:
1. Only channels over UDP have entries, of allocations without a limit on bandwidth, where client
   and peers have the same IP version. The rest is the portable plane's.
2. What the portable plane's table says is mirrored after every fact; nothing else makes entries.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from natkit.dataplane import Counters, Upcalls
from natkit.dataplane.kernel.table import Carried, Ends, Entries
from natkit.dataplane.neighbours import NOBODY, Neighbours
from natkit.dataplane.portable import PortablePlane
from natkit.dataplane.rates import UserLimits
from natkit.dataplane.sockaddr import from_socket
from natkit.dataplane.tables import Channel, Relay
from natkit.machine import Instant
from natkit.turn.forwarding import (
    AllocationClosed,
    AllocationMade,
    AllocationMoved,
    Fact,
    Path,
    Transport,
)
from natkit.wire import TransportAddress


@dataclass(frozen=True, slots=True)
class _Mirrored:
    """A channel's two entries.

    Attributes: up, down: what arrives from the client, and from the peer, each with its slot.
    """

    up: Ends
    up_slot: int
    down: Ends
    down_slot: int


class KernelPlane(PortablePlane):
    """Forwards in the kernel what it can: see `DataPlane`.

    Args: table: with its program attached where packets come in.
    """

    def __init__(
        self,
        upcalls: Upcalls,
        table: Entries,
        *,
        neighbours: Neighbours = NOBODY,
        users: UserLimits | None = None,
    ) -> None:
        super().__init__(upcalls, neighbours=neighbours, users=users)
        self._table = table
        self._paths: dict[TransportAddress, Path] = {}
        self._locals: dict[TransportAddress, TransportAddress] = {}
        self._mirrored: dict[TransportAddress, dict[int, _Mirrored]] = {}

    @property
    def in_kernel(self) -> bool:
        """True: the kernel forwards what it can."""
        return True

    def apply(self, fact: Fact) -> None:
        """Take a fact of the TURN machine into both tables."""
        super().apply(fact)
        if isinstance(fact, AllocationMade | AllocationMoved):
            self._forget(fact.relayed)  # what is there goes another way
            self._paths[fact.relayed] = fact.path
        elif isinstance(fact, AllocationClosed):
            self._paths.pop(fact.relayed, None)
        self._mirror(fact.relayed)

    def remove_relay(self, relayed: TransportAddress) -> None:
        """Close the socket of `relayed`. Unknown ones are ignored."""
        self._forget(relayed)
        self._locals.pop(relayed, None)
        super().remove_relay(relayed)

    def counters(self, relayed: TransportAddress) -> Counters:
        """Return what `relayed` has carried either way."""
        found = Counters()
        found.add(super().counters(relayed))
        for one in self._mirrored.get(relayed, {}).values():
            carried = self._table.carried
            found.add(_counted(carried(one.up_slot), carried(one.down_slot)))
        return found

    def activity(self, relayed: TransportAddress) -> Instant | None:
        """Return when it last carried something; None: never."""
        seen = super().activity(relayed) or 0.0
        for one in self._mirrored.get(relayed, {}).values():
            for slot in (one.up_slot, one.down_slot):
                seen = max(seen, self._table.carried(slot).seen_at)
        return seen or None

    def close(self) -> None:
        """Close every socket, and take the program off."""
        super().close()
        self._table.close()

    def _mirror(self, relayed: TransportAddress) -> None:
        relay, path = self._relays.get(relayed), self._paths.get(relayed)
        channels: dict[int, Channel] = {}
        if relay is not None and path is not None and _is_plain(relay, path):
            channels = {channel.number: channel for channel in relay.peers.values()}
        there = self._mirrored.setdefault(relayed, {})
        for number in there.keys() - channels.keys():
            self._take_out(relayed, there.pop(number))
        for number, channel in channels.items():
            if number in there:
                self._table.prolong(there[number].up_slot, channel.until)
                self._table.prolong(there[number].down_slot, channel.until)
            elif path is not None and (made := self._put_in(relayed, channel, path)) is not None:
                there[number] = made
        if not there:
            del self._mirrored[relayed]

    def _put_in(self, relayed: TransportAddress, channel: Channel, path: Path) -> _Mirrored | None:
        """Make a channel's entries; None: the kernel cannot forward it, or has no room."""
        local = self._locals.get(relayed)
        if local is None:
            local = self._locals[relayed] = from_socket(channel.relay.sock.getsockname())
        peer = from_socket(channel.peer)
        if not _alike(path.client, path.server, local, peer):
            return None
        up = Ends(path.client, path.server, channel.number)
        down = Ends(peer, local, 0)
        up_slot = self._table.put(up, Ends(local, peer, 0), channel.until)
        if up_slot is None:
            return None
        back = Ends(path.server, path.client, channel.number)
        down_slot = self._table.put(down, back, channel.until)
        if down_slot is None:
            self._table.take(up, up_slot)
            return None
        return _Mirrored(up, up_slot, down, down_slot)

    def _forget(self, relayed: TransportAddress) -> None:
        for one in self._mirrored.pop(relayed, {}).values():
            self._take_out(relayed, one)

    def _take_out(self, relayed: TransportAddress, one: _Mirrored) -> None:
        meter = self._meters.get(relayed)
        up, down = self._table.take(one.up, one.up_slot), self._table.take(one.down, one.down_slot)
        if meter is None:
            return
        meter.counters.add(_counted(up, down))
        seen = max(meter.active_at or 0.0, up.seen_at, down.seen_at)
        meter.active_at = seen or None


def _counted(up: Carried, down: Carried) -> Counters:
    packets = up.packets + down.packets
    return Counters(up.packets, up.size, down.packets, down.size, in_kernel=packets)


def _is_plain(relay: Relay, path: Path) -> bool:
    """Tell whether nothing stands between this allocation's channels and the kernel."""
    return path.transport is Transport.UDP and relay.up is None and relay.down is None


def _alike(*addresses: TransportAddress) -> bool:
    """Tell whether all are of one IP version, and none needs an interface named."""
    return len({address.is_ipv6 for address in addresses}) == 1 and not any(
        ipaddress.ip_address(address.ip.partition("%")[0]).is_link_local for address in addresses
    )
