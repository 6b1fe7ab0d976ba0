"""A UDP socket that clients send to: ChannelData goes on at once, all else goes up."""

from __future__ import annotations

import socket
from functools import partial
from typing import Any

from natkit.dataplane import Upcalls
from natkit.dataplane.bulk import DATA, SLOT, Head, Inbox
from natkit.dataplane.marks import send_marked
from natkit.dataplane.reading import Way
from natkit.dataplane.routes import Route
from natkit.dataplane.sockaddr import from_socket
from natkit.dataplane.tables import HEADER_SIZE, Client
from natkit.machine import Instant
from natkit.wire import TransportAddress

PAYLOAD = DATA + HEADER_SIZE
"""Where in a slot the payload of ChannelData begins."""


class Listener:
    """A socket, bound to `server`, and those of its clients that relay."""

    __slots__ = ("clients", "reader", "sendto", "server", "sock", "upcalls", "way")

    def __init__(
        self, server: TransportAddress, sock: socket.socket, upcalls: Upcalls, way: Way
    ) -> None:
        self.server = server
        self.sock = sock
        self.sendto = sock.sendto
        self.upcalls = upcalls
        self.way = way
        self.clients: dict[Any, Client] = {}
        self.reader = way.reader(sock, self, ipv6=server.is_ipv6)

    def received(self, data: bytes, source: Any, now: Instant, mark: int) -> None:
        """Take a client's datagram."""
        if len(data) < HEADER_SIZE:
            return
        if data[0] & 0xC0 == 0x40:
            client = self.clients.get(source)
            if client is not None:
                client.forward(data, now, mark)
        else:
            client_address = from_socket(self.way.address(source))
            self.upcalls.client_datagram(data, client_address, self.server, now)

    def received_many(
        self, inbox: Inbox, head: Head, at: int, lengths: list[int], now: Instant
    ) -> None:
        """Take clients' datagrams as they lie in slots."""
        data, clients, here = inbox.data, self.clients, inbox.address + PAYLOAD
        depart = inbox.waiting.append
        for length in lengths:
            source, mark, number, size = head(data, at)
            client = clients.get(source)
            channel = None if client is None else client.channels.get(number)
            if channel is None or mark or channel.relay.up is not None:
                inbox.flush()  # what came before leaves before
                start = at + DATA
                self.received(bytes(inbox.view[start : start + length]), source, now, mark)
            elif now < channel.until and size <= length - HEADER_SIZE:
                relay = channel.relay
                depart((channel.route, here + at, size, channel))
                counters = relay.counters
                counters.to_peers += 1
                counters.to_peers_bytes += size
                relay.active_at = now
            at += SLOT
        inbox.used = at // SLOT

    def failed(self, _now: Instant) -> None:
        """Take that an error waits on the socket: nobody asked for any."""

    def send(self, client: Any, data: bytes, mark: int = 0) -> bool:
        """Send one datagram; False: it was dropped."""
        self.way.flush()  # what came before leaves before
        try:
            if mark:
                send_marked(self.sock, data, client, mark)
            else:
                self.sendto(data, client)
        except OSError:
            return False
        return True

    def admit(self, source: Any) -> Client:
        """Return a table for a client that sends from `source`, as the socket module writes it."""
        key = self.way.key(source)
        client = self.clients[key] = Client(partial(self.send, source), padded=False)
        if isinstance(key, bytes):
            client.route = Route(self.sock.fileno(), key)
        return client

    def dismiss(self, source: Any) -> None:
        """Forget a client."""
        self.clients.pop(self.way.key(source), None)
