"""Clients of one server that call each other, where it is behind a 1:1 NAT.

They know each other's relayed addresses by the public IP, which this machine does not have, and few
NATs send a packet back to where it came from. So these packets go straight to the local address,
and bear the public one on arrival. The neighbour may be on another worker: what counts is that the
port is one to relay from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from natkit.dataplane.sockaddr import from_socket, to_socket
from natkit.wire import TransportAddress


class Neighbours:
    """Tells where packets to a relayed address of this server go.

    Args:
        public: advertised IPs by the local ones they stand for; the same ones may be left out.
        ports:  those that are relayed from.
    """

    def __init__(self, public: Mapping[str, str], ports: range) -> None:
        self._public = {ip: known for ip, known in public.items() if ip != known}
        self._local = {known: ip for ip, known in self._public.items()}
        self._ports = ports

    def address_to(self, peer: TransportAddress) -> Any:
        """Return where to send what is for `peer`, as the socket module writes it."""
        local = self._local.get(peer.ip)
        if local is None or peer.port not in self._ports:
            return to_socket(peer)
        return to_socket(TransportAddress(local, peer.port))

    def peer_at(self, source: Any) -> TransportAddress:
        """Return whom a packet from `source`, as the socket module writes it, is from."""
        peer = from_socket(source)
        known = self._public.get(peer.ip)
        if known is None or peer.port not in self._ports:
            return peer
        return TransportAddress(known, peer.port)


NOBODY = Neighbours({}, range(0))
"""For a server whose relayed addresses are its own."""
