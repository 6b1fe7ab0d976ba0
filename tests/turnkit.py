"""A TURN server under test, and a client that says exactly the bytes it is told to.

The client is no TURN client: it keeps nothing but realm, nonce and key, so that a test can send
whatever a server must survive. Silence is never waited for. A test sends what must stay without an
answer, then something that must have one, and looks at what came first (`RawClient.fence`).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import socket
import ssl
from typing import Self

from natkit.wire import (
    Attribute,
    ChannelData,
    ChannelNumber,
    Data,
    ErrorCode,
    Message,
    MessageClass,
    Method,
    Nonce,
    Realm,
    RequestedTransport,
    TransportAddress,
    Unrecognised,
    Username,
    XorPeerAddress,
    XorRelayedAddress,
    long_term_key,
)
from tests.turnserver import USER, TurnUnderTest

PATIENCE = 5.0
"""Seconds for an answer on loopback from a busy machine; only a failure takes that long."""

UDP = RequestedTransport(17)
TCP = RequestedTransport(6)

_numbers = itertools.count(os.getpid() << 6)
"""Of sources: far enough apart for test processes that run side by side."""

AnyAttribute = Attribute | Unrecognised


def transaction_id() -> bytes:
    """Return a fresh transaction ID."""
    return secrets.token_bytes(12)


def error_of(answer: Message) -> int | None:
    """Return the code of an error response; None for a success."""
    found = answer.find(ErrorCode)
    return None if found is None else found.code


class RawClient:
    """One 5-tuple to a server.

    Attributes:
        realm, nonce: what the server said last; "" until it did.
        user, key:    what requests are signed with.
    """

    def __init__(
        self, server: TurnUnderTest, transport: str = "udp", *, ip: str = "", source: str = ""
    ) -> None:
        """Connect.

        Args:
            transport: "udp", "tcp" or "tls".
            ip:        of the server; "": its first.
            source:    IP to send from; "": one that nobody else uses, so that no limit per source
                       meets what another test did; for IPv6 there is one alone.
        """
        self.server = server
        self.transport = transport
        self.realm = self.nonce = self.user = ""
        self.key = b""
        port = server.tls_port if transport == "tls" else server.port
        self.socket = _connected(TransportAddress(ip or server.ip, port), transport, source, server)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    @property
    def local(self) -> TransportAddress:
        """The client's own address, as the server sees it."""
        return TransportAddress(*self.socket.getsockname()[:2])

    # -- bytes --

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self) -> bytes:
        """Return the next datagram, or the next frame of the stream with its padding."""
        if self.transport == "udp":
            return self.socket.recv(65536)
        head = self._exactly(4)
        length = int.from_bytes(head[2:], "big")
        return head + self._exactly(length + 16 if head[0] < 4 else length + 3 & ~3)

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise EOFError(f"the server closed the connection after {data!r}")
            data += more
        return data

    def is_closed(self) -> bool:
        """Wait for the server to close the stream; whatever it still says is passed over."""
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while self.socket.recv(65536):
                pass
        return True

    # -- messages --

    def exchange(self, data: bytes) -> Message:
        """Send a request's bytes and return the answer to it, with nothing before it."""
        self.send(data)
        answer = Message.decode(self.receive())
        assert answer.transaction_id == data[8:20]
        return answer

    def fence(self) -> list[bytes]:
        """Return what arrived up to now: all that comes before the answer to a Binding request."""
        asked = Message.request(Method.BINDING, transaction_id()).encode()
        self.send(asked)
        came: list[bytes] = []
        while True:
            data = self.receive()
            if data[8:20] == asked[8:20] and data[0] < 4:
                return came
            came.append(data)

    def bare(self, method: Method, *attributes: AnyAttribute) -> Message:
        """Return the answer to a request without credentials."""
        return self.exchange(Message.request(method, transaction_id(), *attributes).encode())

    def challenge(self) -> Message:
        """Fetch realm and nonce by a request without credentials; gives the 401."""
        answer = self.bare(Method.ALLOCATE, UDP)
        realm, nonce = answer.find(Realm), answer.find(Nonce)
        assert realm is not None
        assert nonce is not None
        self.realm, self.nonce = realm.text, nonce.text
        return answer

    def log_in(self, credentials: tuple[str, str] = USER) -> Self:
        """Sign what follows as this user."""
        if not self.nonce:
            self.challenge()
        self.user = credentials[0]
        self.key = long_term_key(credentials[0], self.realm, credentials[1])
        return self

    def signed(
        self, method: Method, *attributes: AnyAttribute, tid: bytes = b"", fingerprint: bool = False
    ) -> bytes:
        """Return the bytes of a request with credentials."""
        who = (Username(self.user), Realm(self.realm), Nonce(self.nonce))
        message = Message.request(method, tid or transaction_id(), *attributes, *who)
        return message.encode(key=self.key, fingerprint=fingerprint)

    def call(self, method: Method, *attributes: AnyAttribute) -> Message:
        """Return the answer to a request with credentials."""
        return self.exchange(self.signed(method, *attributes))

    def code(self, method: Method, *attributes: AnyAttribute) -> int | None:
        """Return the error code that a request with credentials gets; None: it succeeds."""
        return error_of(self.call(method, *attributes))

    # -- what most tests begin with --

    def allocate(self, *attributes: AnyAttribute) -> TransportAddress:
        """Log in if need be, allocate, and return the relayed address."""
        if not self.key:
            self.log_in()
        answer = self.call(Method.ALLOCATE, UDP, *attributes)
        relayed = answer.find(XorRelayedAddress)
        assert relayed is not None, answer
        return relayed.address

    def permit(self, *peers: TransportAddress) -> None:
        answer = self.call(Method.CREATE_PERMISSION, *map(XorPeerAddress, peers))
        assert answer.message_class is MessageClass.SUCCESS, answer

    def bind(self, channel: int, peer: TransportAddress) -> None:
        answer = self.call(Method.CHANNEL_BIND, ChannelNumber(channel), XorPeerAddress(peer))
        assert answer.message_class is MessageClass.SUCCESS, answer

    def send_to(self, peer: TransportAddress, data: bytes) -> None:
        """Send `data` to the peer in a Send indication."""
        attributes = XorPeerAddress(peer), Data(data)
        self.send(Message.indication(Method.SEND, transaction_id(), *attributes).encode())

    def send_on(self, channel: int, data: bytes) -> None:
        """Send `data` in ChannelData."""
        self.send(ChannelData(channel, data).encode(padded=self.transport != "udp"))


def _connected(
    address: TransportAddress, transport: str, source: str, server: TurnUnderTest
) -> socket.socket:
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    made = socket.socket(socket.AF_INET6 if address.is_ipv6 else socket.AF_INET, kind)
    made.settimeout(PATIENCE)
    if source or not address.is_ipv6:
        made.bind((source or server.around.source(next(_numbers)), 0))
    made.connect(tuple(address))
    if transport != "tls":
        return made
    return server.trust.wrap_socket(made, server_hostname="localhost")


class Peer:
    """A UDP socket that relayed packets go to and come from."""

    def __init__(self, ip: str = "127.0.0.1") -> None:
        self.socket = socket.socket(
            socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_DGRAM
        )
        self.socket.settimeout(PATIENCE)
        self.socket.bind((ip, 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    @property
    def address(self) -> TransportAddress:
        return TransportAddress(*self.socket.getsockname()[:2])

    def send(self, data: bytes, to: TransportAddress) -> None:
        self.socket.sendto(data, tuple(to))

    def receive(self) -> tuple[bytes, TransportAddress]:
        data, source = self.socket.recvfrom(65536)
        return data, TransportAddress(*source[:2])

    def await_nobody(self, at: TransportAddress) -> bool:
        """Send until the system says that nobody listens there; False: still somebody after 10 s.

        Linux tells a connected socket of the ICMP error that a closed port answers with.
        """
        self.socket.connect(tuple(at))
        self.socket.settimeout(0.05)
        for _ in range(200):
            try:
                self.socket.send(b"anyone?")
                self.socket.recv(100)
            except TimeoutError:
                continue
            except ConnectionRefusedError:
                return True
        return False
