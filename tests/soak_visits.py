"""What clients of a soak do: they come, use the server in every way there is, and go in every way.

Each visit raises where an honest client would be disappointed; that one leaves its allocation
behind, as a vanished client does, is part of it.
"""

from __future__ import annotations

import collections
import contextlib
import ipaddress
import itertools
import random
import socket
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

from natkit.wire import (
    Attribute,
    ChannelData,
    ConnectionId,
    Data,
    EvenPort,
    Lifetime,
    Message,
    Method,
    MobilityTicket,
    ReservationToken,
    TransportAddress,
    XorPeerAddress,
    XorRelayedAddress,
)
from tests.turnkit import PATIENCE, TCP, UDP, AnyAttribute, Peer, RawClient
from tests.turnserver import TurnUnderTest

PEERS = "127.0.0.2"
"""Where peers are: on 127.0.0.1 one might get a port that is a listener's, and refused."""

CHANNEL = 0x4000
TRANSPORTS = ("udp", "udp", "tcp", "tls")
STREAMS = ("tcp", "tls")

_FIRST = ipaddress.IPv4Address("127.128.0.0")
_numbers = itertools.count()

A = TypeVar("A", bound=Attribute)

Visit = Callable[[TurnUnderTest, random.Random], None]


def arrive(server: TurnUnderTest, transport: str) -> RawClient:
    """Connect from an IP that was not used lately, and log in."""
    source = str(_FIRST + next(_numbers) % (1 << 20))
    client = RawClient(server, transport, source=source)
    try:
        return client.log_in()
    except BaseException:
        client.close()
        raise


def wanted(answer: Message, kind: type[A]) -> A:
    """Return an attribute that the answer must have."""
    found = answer.find(kind)
    assert found is not None, answer
    return found


def allocated(client: RawClient, *attributes: AnyAttribute) -> tuple[Message, TransportAddress]:
    """Allocate. Returns: the answer, and the relayed address in it."""
    answer = client.call(Method.ALLOCATE, *attributes)
    relayed = answer.find(XorRelayedAddress)
    assert relayed is not None, answer
    return answer, relayed.address


def leave(client: RawClient, chance: random.Random) -> None:
    """End an allocation: give it back, prolong it and then give it back, or only vanish."""
    way = chance.choice(("delete", "refresh", "vanish"))
    if way == "refresh":
        assert client.code(Method.REFRESH, Lifetime(600)) is None
    if way != "vanish":
        assert client.code(Method.REFRESH, Lifetime(0)) is None


def call(server: TurnUnderTest, chance: random.Random) -> None:
    """A call: packets both ways, on a channel and in indications."""
    transport = chance.choice(TRANSPORTS)
    with arrive(server, transport) as client, Peer(PEERS) as peer, Peer(PEERS) as second:
        _, relayed = allocated(client, UDP)
        client.bind(CHANNEL, peer.address)
        client.permit(second.address)
        for _ in range(3):
            client.send_on(CHANNEL, b"to the peer")
            assert peer.receive() == (b"to the peer", relayed)
            peer.send(b"back", relayed)
            assert ChannelData.decode(client.receive()) == ChannelData(CHANNEL, b"back")
        client.send_to(second.address, b"said once")
        assert second.receive() == (b"said once", relayed)
        second.send(b"heard", relayed)
        assert Message.decode(client.receive()).find(Data) == Data(b"heard")
        leave(client, chance)


def reserve(server: TurnUnderTest, chance: random.Random) -> None:
    """Two ports at once; half of those who reserve one come for it."""
    with arrive(server, chance.choice(TRANSPORTS)) as client:
        answer, relayed = allocated(client, UDP, EvenPort(True))
        token = wanted(answer, ReservationToken)
        if chance.random() < 0.5:
            with arrive(server, chance.choice(TRANSPORTS)) as second:
                _, next_to_it = allocated(second, UDP, token)
                assert next_to_it == relayed._replace(port=relayed.port + 1)
                leave(second, chance)
        leave(client, chance)


def move(server: TurnUnderTest, chance: random.Random) -> None:
    """An allocation that follows its client to another address, once in four with nobody there."""
    transport = chance.choice(TRANSPORTS)
    first = arrive(server, transport)
    with first, Peer(PEERS) as peer:
        answer, relayed = allocated(first, UDP, MobilityTicket(b""))
        ticket = wanted(answer, MobilityTicket)
        first.bind(CHANNEL, peer.address)
        if chance.random() < 0.5:
            first.close()
        if chance.random() < 0.25:
            return
        with arrive(server, transport) as second:
            assert second.code(Method.REFRESH, ticket) is None
            second.send_on(CHANNEL, b"from elsewhere")
            assert peer.receive() == (b"from elsewhere", relayed)
            leave(second, chance)


def connect(server: TurnUnderTest, chance: random.Random) -> None:
    """TCP to the peer, from either side; the ends go in any order, and some never meet."""
    with arrive(server, chance.choice(STREAMS)) as control, contextlib.ExitStack() as ends:
        _, relayed = allocated(control, TCP)
        peer, number = (_dial if chance.random() < 0.5 else _await)(control, relayed)
        ends.enter_context(peer)
        if chance.random() < 0.25:
            return
        data = ends.enter_context(arrive(server, control.transport))
        assert data.code(Method.CONNECTION_BIND, number) is None
        data.send(b"x" * 1000)
        assert peer.recv(1000, socket.MSG_WAITALL) == b"x" * 1000
        peer.sendall(b"y" * 1000)
        assert data._exactly(1000) == b"y" * 1000
        last = chance.choice((peer, data, control))
        last.close()


def _dial(control: RawClient, _: TransportAddress) -> tuple[socket.socket, ConnectionId]:
    """Connect from the relay to a peer."""
    with socket.create_server((PEERS, 0)) as listener:
        listener.settimeout(PATIENCE)
        address = TransportAddress(*listener.getsockname()[:2])
        control.permit(address)
        answer = control.call(Method.CONNECT, XorPeerAddress(address))
        peer, _ = listener.accept()
    peer.settimeout(PATIENCE)
    return peer, wanted(answer, ConnectionId)


def _await(control: RawClient, relayed: TransportAddress) -> tuple[socket.socket, ConnectionId]:
    """Connect from a peer to the relay."""
    control.permit(TransportAddress(PEERS, 0))
    peer = socket.create_connection(relayed, PATIENCE, (PEERS, 0))
    return peer, wanted(Message.decode(control.receive()), ConnectionId)


class Lurkers:
    """Connections that say nothing, or half a TLS hello, some until the server shows them out."""

    MOST = 40

    def __init__(self) -> None:
        self._open: collections.deque[socket.socket] = collections.deque()
        self._lock = threading.Lock()

    def visit(self, server: TurnUnderTest, chance: random.Random) -> None:
        source = str(_FIRST + next(_numbers) % (1 << 20))
        port = chance.choice((server.port, server.tls_port))
        made = socket.create_connection((server.ip, port), PATIENCE, (source, 0))
        if port == server.tls_port:
            made.sendall(bytes.fromhex("1603010200010001fc0303"))
        with self._lock:
            self._open.append(made)
            old = self._open.popleft() if len(self._open) > self.MOST else None
        if old is not None:
            old.close()

    def close(self) -> None:
        """Let go of all."""
        for made in self._open:
            made.close()


@contextlib.contextmanager
def visits() -> Iterator[dict[str, Visit]]:
    """Give every kind of visit by its name."""
    lurkers = Lurkers()
    try:
        yield {
            "call": call,
            "reserve": reserve,
            "move": move,
            "connect": connect,
            "lurk": lurkers.visit,
        }
    finally:
        lurkers.close()
