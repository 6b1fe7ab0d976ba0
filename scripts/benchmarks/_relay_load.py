"""The load of the relay benchmark: blocking sockets, so that the generator is not what is measured.

Every client sends from an address of its own in 127/8: no limit per address meets it.
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
STRAGGLERS: Seconds = 1.0

_KEY = long_term_key(USER, REALM, PASSWORD)
_UDP = RequestedTransport(17)
_sources = (str(ipaddress.IPv4Address("127.8.0.0") + number) for number in itertools.count())


class Client:
    """One client with an allocation."""

    def __init__(self, server: TransportAddress) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(5.0)
        self.socket.bind((next(_sources), 0))
        self.socket.connect(server)
        self._nonce = ""

    def challenge(self) -> None:
        """Ask for a nonce."""
        answer = self._exchange(Message.request(Method.ALLOCATE, secrets.token_bytes(12), _UDP))
        nonce = answer.find(Nonce)
        if nonce is None:
            raise NatkitError(f"no nonce from the server, but {answer}")
        self._nonce = nonce.text

    def allocate(self) -> TransportAddress:
        """Allocate; return the relayed address."""
        relayed = self._call(Method.ALLOCATE, _UDP).find(XorRelayedAddress)
        if relayed is None:
            raise NatkitError("a success without a relayed address")
        return relayed.address

    def bind(self, peer: TransportAddress) -> None:
        """Bind the channel, which permits the peer too."""
        self._call(Method.CHANNEL_BIND, ChannelNumber(CHANNEL), XorPeerAddress(peer))

    def _call(self, method: Method, *attributes: Attribute) -> Message:
        who = (Username(USER), Realm(REALM), Nonce(self._nonce))
        request = Message.request(method, secrets.token_bytes(12), *attributes, *who)
        answer = self._exchange(request, _KEY)
        if answer.message_class is not MessageClass.SUCCESS:
            raise NatkitError(f"{method.name} was refused", why=str(answer))
        return answer

    def _exchange(self, request: Message, key: bytes | None = None) -> Message:
        self.socket.send(request.encode(key=key))
        return Message.decode(self.socket.recv(2000))


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


class Carried(NamedTuple):
    """Packets sent, and how many of them arrived."""

    sent: int
    arrived: int


def carry(calls: Sequence[Call], rate: float, duration: Seconds) -> Carried:
    """Send `rate` packets a second, in all and evenly both ways; return what became of them."""
    packet = bytes(SIZE)
    framed = ChannelData(CHANNEL, packet).encode()
    by_descriptor = {end.fileno(): end for call in calls for end in (call.client.socket, call.peer)}
    waiting = select.epoll()
    for descriptor, end in by_descriptor.items():
        end.setblocking(False)
        waiting.register(descriptor, select.EPOLLIN)
    sent = arrived = 0
    total = round(rate * duration)
    began = time.monotonic()
    while sent < total:
        due = min(total, int((time.monotonic() - began) * rate))
        while sent < due:
            call = calls[(sent >> 1) % len(calls)]
            if sent & 1:
                call.client.socket.send(framed)
            else:
                call.peer.sendto(packet, call.relayed)
            sent += 1
        arrived += _drain(waiting, by_descriptor, TICK)
    until = time.monotonic() + STRAGGLERS
    while arrived < sent and time.monotonic() < until:
        arrived += _drain(waiting, by_descriptor, TICK)
    waiting.close()
    return Carried(sent, arrived)


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
