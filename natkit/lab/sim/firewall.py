"""A router's firewall: what may go out, and what counts as asked for."""

from __future__ import annotations

from enum import Enum

from natkit.lab.sim.packet import Proto
from natkit.lab.topology import Firewall
from natkit.machine import Instant, Seconds
from natkit.wire import TransportAddress

UDP_LIFETIME: Seconds = 120.0
"""RFC 4787 §4.3 REQ-5: at least two minutes; firewalls use the same numbers as NATs."""
TCP_LIFETIME: Seconds = 7440.0
"""RFC 5382 §5 REQ-5: at least 2 hours 4 minutes for an established connection."""


class Refusal(Enum):
    """Why a packet was dropped, in words for the trace."""

    NO_MAPPING = "dropped: no mapping"
    FILTERED = "dropped: filtered, nobody inside asked this sender"
    TABLE_FULL = "dropped: the NAT's table is full"
    NO_OUTSIDE_ADDRESS = "dropped: no outside address is left for this host"
    UNSOLICITED = "dropped: unasked for"
    POLICY = "dropped: the firewall does not let this out"


class FirewallState:
    """The firewall's memory: who inside spoke to whom outside, and until when that counts."""

    def __init__(self, firewall: Firewall) -> None:
        self._firewall = firewall
        self._expires_at: dict[tuple[Proto, TransportAddress, TransportAddress], Instant] = {}

    def allows_out(self, proto: Proto, remote: TransportAddress) -> bool:
        """Tell whether a packet to `remote` may leave."""
        if proto is Proto.UDP:
            return not self._firewall.udp_blocked
        ports = self._firewall.tcp_ports
        return proto is not Proto.TCP or ports is None or remote.port in ports

    def note(
        self, proto: Proto, inside: TransportAddress, remote: TransportAddress, *, now: Instant
    ) -> None:
        """Remember that `inside` sent to `remote`."""
        if not self._firewall.stateful:
            return
        lifetime = TCP_LIFETIME if proto is Proto.TCP else UDP_LIFETIME
        self._expires_at[proto, inside, remote] = now + lifetime

    def admits(
        self, proto: Proto, inside: TransportAddress, remote: TransportAddress, *, now: Instant
    ) -> bool:
        """Tell whether a packet from `remote` to `inside` may come in.

        A flow is alive while now < expires_at.
        """
        if proto is Proto.UDP and self._firewall.udp_blocked:
            return False
        return not self._firewall.stateful or now < self._expires_at.get(
            (proto, inside, remote), now
        )
