"""Strangers by the thousand: memory and descriptors stay bounded, and an honest call goes on."""

from __future__ import annotations

import collections
import contextlib
import ipaddress
import random
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator

import pytest

from natkit.aio.turn_door import WAITING_LIMIT, WAITING_PER_IP
from natkit.wire import (
    Lifetime,
    Message,
    MessageClass,
    Method,
    Nonce,
    Realm,
    TransportAddress,
    Username,
)
from tests.turnkit import PATIENCE, UDP, Peer, RawClient, transaction_id
from tests.turnserver import TurnUnderTest, turn_server

pytestmark = pytest.mark.slow

SOURCES = 10_000
BOUND = 10_000_000
"""Bytes by which a flood may make the server grow."""

CHANNEL = 0x4000
EVERY = 0.02
"""Seconds between two packets of a call: what speech has."""


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TurnUnderTest]:
    """A server of its own, so that nobody else's memory is measured."""
    where = tmp_path_factory.mktemp("target")
    with turn_server(where, ips=["127.0.0.1"], allow=["127.0.0.1/32"]) as server:
        warm_up(server)
        yield server


def warm_up(server: TurnUnderTest) -> None:
    """Make the server load what it loads with its first clients."""
    for transport in ("udp", "tcp", "tls"):
        for _ in range(5):
            with RawClient(server, transport) as client:
                client.allocate()
    flood(server, 500, b"")


class Call:
    """A call in progress: a packet each way every 20 ms, and a count of those that arrive."""

    def __init__(self, server: TurnUnderTest) -> None:
        self.client, self.peer = RawClient(server), Peer()
        self.relayed = self.client.allocate()
        self.client.bind(CHANNEL, self.peer.address)
        self.sent = self.to_peer = self.to_client = 0
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=run) for run in (self._send, self._at_peer, self._at_client)
        ]
        for thread in self._threads:
            thread.start()

    def _send(self) -> None:
        while not self._over.wait(EVERY):
            self.client.send_on(CHANNEL, bytes(172))
            self.peer.send(bytes(172), self.relayed)
            self.sent += 1

    def _at_peer(self) -> None:
        with contextlib.suppress(TimeoutError):
            while True:
                self.peer.receive()
                self.to_peer += 1

    def _at_client(self) -> None:
        with contextlib.suppress(TimeoutError):
            while True:
                self.client.receive()
                self.to_client += 1

    def end(self) -> None:
        """Stop sending, give what is on its way the time to arrive."""
        self._over.set()
        self.client.socket.settimeout(1.0)
        self.peer.socket.settimeout(1.0)
        for thread in self._threads:
            thread.join()
        self.client.socket.settimeout(PATIENCE)
        assert self.client.code(Method.REFRESH, Lifetime(0)) is None
        self.client.close()
        self.peer.socket.close()


@contextlib.contextmanager
def call_unharmed(server: TurnUnderTest) -> Iterator[None]:
    """Hold a call during the block; it must lose nothing."""
    call = Call(server)
    try:
        time.sleep(0.1)
        yield
    finally:
        call.end()
    assert call.sent > 5
    assert (call.to_peer, call.to_client) == (call.sent, call.sent)


@contextlib.contextmanager
def bounded(server: TurnUnderTest) -> Iterator[None]:
    """Hold memory, at its most, and descriptors to their bounds; these may return a little late."""
    memory, descriptors = server.resident, server.descriptors
    seen, over = [memory], threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            seen.append(server.resident)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()
    assert max(*seen, server.resident) - memory < BOUND
    deadline = time.monotonic() + 20
    while server.descriptors > descriptors and time.monotonic() < deadline:
        time.sleep(0.1)
    assert server.descriptors <= descriptors


def flood(server: TurnUnderTest, sources: int, garbage: bytes) -> None:
    """Send an Allocate from each of many addresses of 127/8, at a pace that sockets can hold.

    Args: garbage: key to sign with; empty: unsigned.
    """
    who = Username("user"), Realm("example.org"), Nonce("obMatJos2AAAAnot-a-nonce")
    first = int(ipaddress.IPv4Address("127.64.0.0"))
    for number in range(sources):
        attributes = (UDP, *who) if garbage else (UDP,)
        asked = Message.request(Method.ALLOCATE, transaction_id(), *attributes)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind((str(ipaddress.IPv4Address(first + number)), 0))
            stranger.sendto(asked.encode(key=garbage or None), server.address)
        if number % 50 == 0:
            time.sleep(0.01)


# -- 7, 8: datagrams -------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [b"", b"garbage"], ids=["unsigned", "wrongly signed"])
def test_ten_thousand_sources_leave_nothing_behind(target: TurnUnderTest, key: bytes) -> None:
    with bounded(target), call_unharmed(target):
        flood(target, SOURCES, key)


def test_noise_from_everywhere_leaves_nothing_behind(target: TurnUnderTest) -> None:
    noise = random.Random(4)
    stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with bounded(target), call_unharmed(target), stranger:
        stranger.bind(("127.65.0.1", 0))
        for number in range(SOURCES):
            stranger.sendto(noise.randbytes(noise.randint(0, 200)), target.address)
            if number % 50 == 0:
                time.sleep(0.01)


def hello(cookie: bytes = b"") -> bytes:
    """Return a DTLS 1.2 ClientHello (RFC 6347 §4.2.1)."""
    body = b"\xfe\xfd" + bytes(32) + b"\0" + bytes([len(cookie)]) + cookie
    body += b"\0\4\xc0\x2b\xc0\x2f" + b"\1\0"
    length = len(body).to_bytes(3, "big")
    handshake = b"\1" + length + bytes(5) + length + body
    return b"\x16\xfe\xff" + bytes(8) + len(handshake).to_bytes(2, "big") + handshake


def test_a_dtls_hello_gets_a_cookie_no_larger_than_itself(target: TurnUnderTest) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.settimeout(PATIENCE)
        stranger.sendto(hello(), (target.ip, target.tls_port))
        answer = stranger.recv(2000)
    assert answer[13] == 3  # HelloVerifyRequest
    assert len(answer) <= len(hello())


@pytest.mark.parametrize("cookie", [b"", b"guessed cookie"], ids=["no cookie", "wrong cookie"])
def test_ten_thousand_dtls_hellos_leave_nothing_behind(
    target: TurnUnderTest, cookie: bytes
) -> None:
    first = int(ipaddress.IPv4Address("127.80.0.0"))
    with bounded(target), call_unharmed(target):
        for number in range(SOURCES):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                stranger.bind((str(ipaddress.IPv4Address(first + number)), 0))
                stranger.sendto(hello(cookie), (target.ip, target.tls_port))
            if number % 50 == 0:
                time.sleep(0.01)


# -- 9: connections --------------------------------------------------------------------------------


def connections(address: TransportAddress, count: int, first: str) -> list[socket.socket]:
    """Open connections from as many sources, as far as the server lets them stay."""
    start = int(ipaddress.IPv4Address(first))
    made = []
    for number in range(count):
        source = str(ipaddress.IPv4Address(start + number))
        with contextlib.suppress(OSError):
            made.append(socket.create_connection(address, 5, (source, 0)))
    return made


def close(sockets: Iterable[socket.socket]) -> None:
    for made in sockets:
        made.close()


CLIENT_HELLO = bytes.fromhex("1603010200010001fc0303")


def tls_hello() -> bytes:
    """Return a whole ClientHello: the server answers with its certificate, and a signature."""
    says = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(
        ssl.MemoryBIO(), says, server_hostname="localhost"
    )
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return says.read()


@pytest.mark.parametrize("what", ["silent", "a TLS hello"])
def test_ten_thousand_connections_leave_nothing_behind(target: TurnUnderTest, what: str) -> None:
    """From as many sources, and more open at a time than the server lets wait."""
    said = tls_hello() if what == "a TLS hello" else b""
    port = target.tls_port if said else target.port
    first = int(ipaddress.IPv4Address("127.96.0.0"))
    crowd: collections.deque[socket.socket] = collections.deque()
    with bounded(target), call_unharmed(target):
        for number in range(SOURCES):
            source = str(ipaddress.IPv4Address(first + number))
            stranger = socket.create_connection((target.ip, port), PATIENCE, (source, 0))
            with contextlib.suppress(ConnectionError):
                stranger.sendall(said)
            crowd.append(stranger)
            if len(crowd) > 1.5 * WAITING_LIMIT:
                crowd.popleft().close()
        with RawClient(target, "tcp") as honest:
            assert honest.bare(Method.BINDING).message_class is MessageClass.SUCCESS
        close(crowd)


@pytest.mark.parametrize(
    "what", ["silent", "half a message", "half of a huge message", "half a TLS hello"]
)
def test_connections_that_say_nothing_leave_nothing_behind(
    target: TurnUnderTest, what: str
) -> None:
    port = target.tls_port if "TLS" in what else target.port
    said = {
        "silent": b"",
        "half a message": b"\0\x03\0\x08",
        "half of a huge message": b"\0\x03\xff\xfc\x21\x12\xa4\x42" + bytes(60_000),
        "half a TLS hello": CLIENT_HELLO,
    }
    with bounded(target), call_unharmed(target):
        made = connections(TransportAddress("127.0.0.1", port), 400, "127.66.0.0")
        for stranger in made:
            with contextlib.suppress(OSError):
                stranger.sendall(said[what])
        with RawClient(target, "tcp") as honest:
            assert honest.bare(Method.BINDING).message_class is MessageClass.SUCCESS
        close(made)


@pytest.mark.parametrize("drip", [False, True], ids=["silent", "a byte at a time"])
def test_a_connection_without_a_client_is_closed(target: TurnUnderTest, drip: bool) -> None:
    """Within half a minute: time enough for a client on a bad line, too short to collect many."""
    asked = Message.request(Method.ALLOCATE, transaction_id(), UDP).encode()
    with socket.create_connection(target.address, 5) as stranger:
        stranger.settimeout(1.0)
        started = time.monotonic()
        for number in range(35):
            try:
                if drip:
                    stranger.send(asked[number % 16 : number % 16 + 1] if number else asked[:1])
                if stranger.recv(100) == b"":
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break
        else:
            pytest.fail("still open")
        assert time.monotonic() - started > 1


def still_open(made: socket.socket) -> bool:
    """Tell whether the server has not closed a connection on which it says nothing."""
    made.setblocking(False)
    try:
        return made.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def test_one_source_cannot_take_all_connections(target: TurnUnderTest) -> None:
    made = []
    with bounded(target), contextlib.ExitStack() as stack:
        for _ in range(600):
            with contextlib.suppress(OSError):
                stranger = socket.create_connection(target.address, 5, ("127.67.0.1", 0))
                made.append(stack.enter_context(stranger))
        with RawClient(target, "tcp", source="127.67.0.2") as honest:
            assert honest.allocate()
        deadline = time.monotonic() + PATIENCE
        while (left := sum(map(still_open, made))) > WAITING_PER_IP and time.monotonic() < deadline:
            time.sleep(0.05)
        assert 0 < left <= WAITING_PER_IP
