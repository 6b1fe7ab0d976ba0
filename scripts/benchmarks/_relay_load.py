"""Clients of a TURN server, and the load of the workers' benchmark: blocking sockets, so that the
generator is not what is measured.

Where no socket is given, every client sends from an address of its own in 127/8: no limit per
address meets it.
"""

from __future__ import annotations

import ipaddress
import itertools
import secrets
import select
import socket
import time
from collections.abc import Sequence
from typing import NamedTuple

from natkit.errors import NatkitError
from natkit.machine import Seconds
from natkit.wire import (
    Attribute,
    ChannelData,
    ChannelNumber,
    Message,
    MessageClass,
    Method,
    Nonce,
    Realm,
    RequestedTransport,
    TransportAddress,
    Username,
    XorPeerAddress,
    XorRelayedAddress,
    long_term_key,
)
from scripts.benchmarks._relay_server import PASSWORD, PEERS, REALM, USER

CHANNEL = 0x4000
SIZE = 172
"""Bytes of a packet of speech: 20 ms of G.711 or a frame of Opus, and RTP's header."""

TICK: Seconds = 0.005
FILLING: Seconds = 1.0
"""Until the buffers on the way are as full as they stay."""

_KEY = long_term_key(USER, REALM, PASSWORD)
_UDP = RequestedTransport(17)
_numbers = itertools.count()


def bound(number: int) -> socket.socket:
    """Return a socket on the address with that number, which nobody else may have."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((str(ipaddress.IPv4Address("127.8.0.0") + number), 0))
    return sock


class Client:
    """One client with an allocation.

    Args: own: a bound socket; None: it makes one, on an address of its own.
    """

    def __init__(self, server: TransportAddress, own: socket.socket | None = None) -> None:
        self.socket = bound(next(_numbers)) if own is None else own
        self.socket.settimeout(5.0)
        self.socket.connect(server)
        self._nonce = ""

    def challenge(self) -> None:
        """Ask for a nonce."""
        self.ask_for_challenge()
        self.take_challenge()

    def allocate(self) -> TransportAddress:
        """Allocate; return the relayed address."""
        self.ask_for_allocation()
        return self.take_allocation()

    def bind(self, peer: TransportAddress) -> None:
        """Bind the channel, which permits the peer too."""
        self.ask_for_channel(peer)
        self.take_success()

    def ask_for_challenge(self) -> None:
        """Send a request without credentials."""
        request = Message.request(Method.ALLOCATE, secrets.token_bytes(12), _UDP)
        self.socket.send(request.encode())

    def take_challenge(self) -> None:
        """Wait for the nonce."""
        answer = Message.decode(self.socket.recv(2000))
        nonce = answer.find(Nonce)
        if nonce is None:
            raise NatkitError(f"no nonce from the server, but {answer}")
        self._nonce = nonce.text

    def ask_for_allocation(self) -> None:
        """Send an Allocate request."""
        self._ask(Method.ALLOCATE, _UDP)

    def take_allocation(self) -> TransportAddress:
        """Wait for the relayed address."""
        relayed = self.take_success().find(XorRelayedAddress)
        if relayed is None:
            raise NatkitError("a success without a relayed address")
        return relayed.address

    def ask_for_channel(self, peer: TransportAddress) -> None:
        """Send a ChannelBind request."""
        self._ask(Method.CHANNEL_BIND, ChannelNumber(CHANNEL), XorPeerAddress(peer))

    def take_success(self) -> Message:
        """Wait for the success response."""
        answer = Message.decode(self.socket.recv(2000))
        if answer.message_class is not MessageClass.SUCCESS:
            raise NatkitError(f"{answer.method.name} was refused", why=str(answer))
        return answer

    def _ask(self, method: Method, *attributes: Attribute) -> None:
        who = (Username(USER), Realm(REALM), Nonce(self._nonce))
        request = Message.request(method, secrets.token_bytes(12), *attributes, *who)
        self.socket.send(request.encode(key=_KEY))


class Call(NamedTuple):
    """A client, its peer, and where the peer sends to."""

    client: Client
    peer: socket.socket
    relayed: TransportAddress

    @classmethod
    def make(cls, server: TransportAddress) -> Call:
        """Allocate, and open a channel to a peer."""
        client, peer = Client(server), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        peer.bind((PEERS, 0))
        client.challenge()
        relayed = client.allocate()
        client.bind(TransportAddress(*peer.getsockname()))
        return cls(client, peer, relayed)

    def close(self) -> None:
        """Leave the allocation to expire."""
        self.client.socket.close()
        self.peer.close()


def flow(calls: Sequence[Call], rate: float, duration: Seconds) -> float:
    """Send `rate` packets a second, in all and evenly both ways, more than arrives.

    Returns: how many arrive a second, once it is steady.
    """
    load = _Load(calls, rate)
    load.run(FILLING)
    before, began = load.arrived, time.monotonic()
    load.run(duration)
    return (load.arrived - before) / (time.monotonic() - began)


class _Load:
    """Packets under way over some calls.

    Attributes: sent, arrived: how many, up to now.
    """

    def __init__(self, calls: Sequence[Call], rate: float) -> None:
        self.sent = self.arrived = 0
        self._calls = calls
        self._rate = rate
        self._packet = bytes(SIZE)
        self._framed = ChannelData(CHANNEL, self._packet).encode()
        ends = [end for call in calls for end in (call.client.socket, call.peer)]
        self._by_descriptor = {end.fileno(): end for end in ends}
        self._waiting = select.epoll()
        for descriptor, end in self._by_descriptor.items():
            end.setblocking(False)
            self._waiting.register(descriptor, select.EPOLLIN)

    def run(self, duration: Seconds) -> None:
        """Send for so long, and take in what arrives."""
        began, before = time.monotonic(), self.sent
        total = round(self._rate * duration)
        while (sent := self.sent - before) < total:
            due = int((time.monotonic() - began) * self._rate)
            self._send(min(total, due) - sent)
            self._drain()

    def _send(self, count: int) -> None:
        calls, framed, packet = self._calls, self._framed, self._packet
        for number in range(self.sent, self.sent + count):
            call = calls[(number >> 1) % len(calls)]
            if number & 1:
                call.client.socket.send(framed)
            else:
                call.peer.sendto(packet, call.relayed)
        self.sent += count

    def _drain(self) -> None:
        self.arrived += _drain(self._waiting, self._by_descriptor, TICK)


def _drain(
    waiting: select.epoll, by_descriptor: dict[int, socket.socket], patience: Seconds
) -> int:
    """Take in what has arrived, waiting a bit for the first; return how many packets."""
    count = 0
    for descriptor, _ in waiting.poll(patience):
        receive = by_descriptor[descriptor].recv
        try:
            while True:
                receive(2000)
                count += 1
        except BlockingIOError:
            pass
    return count
