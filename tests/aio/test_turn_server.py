"""A whole TURN server in this process, spoken to over every transport: what the wiring decides."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from natkit.aio import turn_door
from natkit.aio.network import SocketNetwork
from natkit.aio.turn_door import Doorkeeper
from natkit.aio.turn_dtls import DATAGRAM, datagrams, is_dtls
from natkit.aio.turn_peers import PeerConnections, _Peer
from natkit.aio.turn_ports import PortsExhausted, RelayAddress, RelayPorts, share_of
from natkit.aio.turn_report import Report
from natkit.dataplane.meter import Meter
from natkit.errors import UsageError
from natkit.network import Family
from natkit.tools.relay import Relay
from natkit.tools.relay import serve as serve_relay
from natkit.tools.relay_config import read_config
from natkit.turn.forwarding import Path as TurnPath
from natkit.turn.forwarding import Relaying, Transport
from natkit.wire import Message, MessageClass, Method, TransportAddress, XorMappedAddress
from tests.ports import free_port

LOOPBACK = RelayAddress("127.0.0.1", "127.0.0.1")
REQUEST = Message(Method.BINDING, MessageClass.REQUEST, b"0123456789ab", ())


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def certificate(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("certificate") / "both.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(file))
    return file


@contextlib.asynccontextmanager
async def serving(*listen: str, certificate: Path | None = None) -> AsyncIterator[Relay]:
    reports: list[Report] = []
    options = {
        "listen": [f"{kind}://127.0.0.1:0" for kind in listen],
        "user": "alice:wonderland",
        "relay-address": "127.0.0.1",
        "metrics": "off",
        "tls-cert": None if certificate is None else str(certificate),
    }
    relay = await serve_relay(SocketNetwork(), read_config(options), reports.append)
    try:
        yield relay
    finally:
        await relay.close()


def port_of(relay: Relay, transport: Transport) -> int:
    return next(one.address.port for one in relay.listening if one.transport is transport)


async def answer_on(reader: asyncio.StreamReader) -> Message:
    async with asyncio.timeout(5):
        header = await reader.readexactly(20)
        return Message.decode(header + await reader.readexactly(int.from_bytes(header[2:4])))


async def test_messages_over_tcp_are_found_at_any_split():
    async with serving("tcp") as relay:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(relay, Transport.TCP))
        for byte in REQUEST.encode() * 2:
            writer.write(bytes([byte]))
            await writer.drain()
        for _ in range(2):
            assert (await answer_on(reader)).find(XorMappedAddress) is not None
        writer.close()


async def test_tls_and_plain_are_told_apart_on_one_port(authority: trustme.CA, certificate: Path):
    port = free_port()
    options = {
        "listen": [f"tcp://127.0.0.1:{port}", f"tls://127.0.0.1:{port}"],
        "user": "alice:wonderland",
        "relay-address": "127.0.0.1",
        "metrics": "off",
        "tls-cert": str(certificate),
    }
    relay = await serve_relay(SocketNetwork(), read_config(options), lambda _: None)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.set_alpn_protocols(["stun.turn"])
    for tls in (None, context):
        name = None if tls is None else "localhost"
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=tls, server_hostname=name
        )
        writer.write(REQUEST.encode())
        assert (await answer_on(reader)).find(XorMappedAddress) is not None
        if tls is not None:
            secured = writer.get_extra_info("ssl_object")
            assert secured.selected_alpn_protocol() == "stun.turn"
        writer.close()
        await writer.wait_closed()
    await relay.close()


async def test_a_renewed_certificate_is_taken_and_a_broken_one_is_not(
    authority: trustme.CA, tmp_path: Path
):
    file = tmp_path / "both.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(file))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with serving("tls", certificate=file) as relay:
        assert not relay.renew_certificate()
        file.write_text("half of it")
        os.utime(file, (1, 1))
        with pytest.raises(UsageError, match="cannot use the certificate"):
            relay.renew_certificate()
        authority.issue_cert("other").private_key_and_cert_chain_pem.write_to_path(str(file))
        os.utime(file, (2, 2))
        assert relay.renew_certificate()
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port_of(relay, Transport.TLS), ssl=context, server_hostname="other"
        )
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n\r\n" * 9, b"\x16\x03\x01", b"\xff" * 20])
async def test_another_protocol_is_hung_up_on(said: bytes):
    async with serving("tcp") as relay:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(relay, Transport.TCP))
        writer.write(said)
        with contextlib.suppress(ConnectionError):
            writer.write_eof()
            async with asyncio.timeout(5):
                assert await reader.read() == b""
        writer.close()


async def test_who_says_nothing_is_shown_the_door(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(turn_door, "SILENT_LIMIT", 0.1)
    async with serving("tcp") as relay:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(relay, Transport.TCP))
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(5):
                assert await reader.read() == b""
        writer.close()


class Visitor:
    def __init__(self, ip: str, door: Doorkeeper) -> None:
        self.remote = TransportAddress(ip, 1)
        self.gone = False
        self._door = door

    def abort(self) -> None:
        self.gone = True
        self._door.forget(self)


def test_one_ip_has_room_for_so_many_that_wait_and_no_more():
    door = Doorkeeper(lambda: None)
    some = [Visitor("192.0.2.1", door) for _ in range(turn_door.WAITING_PER_IP)]
    assert all(door.let_in(one, "192.0.2.1", 0.0) for one in some)
    assert not door.let_in(Visitor("192.0.2.1", door), "192.0.2.1", 0.0)
    assert door.let_in(Visitor("192.0.2.2", door), "192.0.2.2", 0.0)
    door.forget(some[0])
    assert door.let_in(some[0], "192.0.2.1", 0.0)


def test_when_too_many_wait_the_oldest_goes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(turn_door, "WAITING_LIMIT", 3)
    door = Doorkeeper(lambda: None)
    visitors = [Visitor(f"192.0.2.{n}", door) for n in range(4)]
    for visitor in visitors:
        assert door.let_in(visitor, visitor.remote.ip, 0.0)
    assert [visitor.gone for visitor in visitors] == [True, False, False, False]


def test_the_door_closes_on_who_waited_too_long_and_not_before():
    door = Doorkeeper(lambda: None)
    visitor = Visitor("192.0.2.1", door)
    door.let_in(visitor, "192.0.2.1", 0.0)
    assert door.deadline() == turn_door.SILENT_LIMIT
    door.sweep(turn_door.SILENT_LIMIT - 0.1)
    assert not visitor.gone
    door.sweep(turn_door.SILENT_LIMIT)
    assert visitor.gone
    assert door.deadline() is None


async def test_dtls_carries_stun_after_the_cookie(certificate: Path):
    ssl_ = pytest.importorskip("OpenSSL.SSL")
    async with serving("dtls", certificate=certificate) as relay:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            await loop.sock_connect(sock, ("127.0.0.1", port_of(relay, Transport.DTLS)))
            client = ssl_.Connection(ssl_.Context(ssl_.DTLS_CLIENT_METHOD), None)
            client.set_connect_state()
            await shake(ssl_, client, sock)
            client.send(REQUEST.encode())
            sock.send(client.bio_read(65536))
            async with asyncio.timeout(5):
                client.bio_write(await loop.sock_recv(sock, 65536))
            answer = Message.decode(client.recv(65536))
            assert answer.find(XorMappedAddress) is not None
            sock.send(REQUEST.encode())  # in the open: not on a dtls:// listener
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await loop.sock_recv(sock, 65536)


async def shake(ssl_: object, client: object, sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while True:
        try:
            client.do_handshake()  # type: ignore[attr-defined]
            done = True
        except ssl_.WantReadError:  # type: ignore[attr-defined]
            done = False
        with contextlib.suppress(ssl_.WantReadError):  # type: ignore[attr-defined]
            for datagram in datagrams(client.bio_read(65536)):  # type: ignore[attr-defined]
                sock.send(datagram)
        if done:
            return
        async with asyncio.timeout(5):
            client.bio_write(await loop.sock_recv(sock, 65536))  # type: ignore[attr-defined]


async def test_a_first_dtls_hello_gets_a_cookie_and_leaves_nothing(certificate: Path):
    ssl_ = pytest.importorskip("OpenSSL.SSL")
    async with serving("dtls", certificate=certificate) as relay:
        client = ssl_.Connection(ssl_.Context(ssl_.DTLS_CLIENT_METHOD), None)
        client.set_connect_state()
        with pytest.raises(ssl_.WantReadError):
            client.do_handshake()
        hello = client.bio_read(65536)
        loop = asyncio.get_running_loop()
        for _ in range(10):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                await loop.sock_connect(sock, ("127.0.0.1", port_of(relay, Transport.DTLS)))
                sock.send(hello)
                async with asyncio.timeout(5):
                    answer = await loop.sock_recv(sock, 65536)
                assert answer[13] == 3  # HelloVerifyRequest
                assert len(answer) < len(hello)
        assert relay.workforce.worker.service.waiting == 0


def test_dtls_records_are_packed_whole():
    record = bytes([23]) + bytes(10) + (500).to_bytes(2, "big") + bytes(500)
    packed = datagrams(record * 5)
    assert [len(one) for one in packed] == [1026, 1026, 513]
    assert b"".join(packed) == record * 5
    assert max(map(len, packed)) <= DATAGRAM
    assert is_dtls(record)
    assert not is_dtls(REQUEST.encode())


def test_ports_are_drawn_from_the_range_and_come_back():
    first = free_port(4)
    ports = RelayPorts([LOOPBACK], range(first, first + 4))
    opened = [ports.open(Family.IPV4, Relaying.UDP, even=False, reserve=False) for _ in range(4)]
    assert {one.relayed.port for [one] in opened} == set(range(first, first + 4))
    with pytest.raises(PortsExhausted, match=f"{first}-{first + 3} are taken"):
        ports.open(Family.IPV4, Relaying.UDP, even=False, reserve=False)
    for [one] in opened:
        one.sock.close()
        ports.release(one.relayed)
    assert ports.used == 0


def test_an_address_without_a_free_port_does_not_hide_those_of_the_next():
    port = free_port()
    two = [RelayAddress(ip, ip) for ip in ("127.0.0.1", "127.0.0.2")]
    for _ in range(8):  # whichever is drawn first
        ports = RelayPorts(two, range(port, port + 1))
        opened = [ports.open(Family.IPV4, Relaying.UDP, even=False, reserve=False) for _ in two]
        assert {one.relayed.ip for [one] in opened} == {"127.0.0.1", "127.0.0.2"}
        with pytest.raises(PortsExhausted):
            ports.open(Family.IPV4, Relaying.UDP, even=False, reserve=False)
        for [one] in opened:
            one.sock.close()


@pytest.mark.parametrize(("reserve", "expected"), [(False, {1, 3}), (True, {1, 2, 3, 4})])
def test_even_ports_and_the_ones_above_them(reserve: bool, expected: set[int]):
    odd = free_port(6) | 1
    ports = RelayPorts([LOOPBACK], range(odd, odd + 5))
    opened = []
    with contextlib.suppress(PortsExhausted):
        while True:
            opened += ports.open(Family.IPV4, Relaying.UDP, even=True, reserve=reserve)
    assert {one.relayed.port - odd for one in opened} == expected
    for one in opened:
        one.sock.close()


def test_a_port_that_relays_udp_is_not_given_for_tcp():
    """An allocation is known by its relayed address: two with the same would be mixed up."""
    first = free_port()
    ports = RelayPorts([LOOPBACK], range(first, first + 1))
    [one] = ports.open(Family.IPV4, Relaying.UDP, even=False, reserve=False)
    with one.sock, pytest.raises(PortsExhausted):
        ports.open(Family.IPV4, Relaying.TCP, even=False, reserve=False)


def test_what_is_due_at_once_is_armed_on_uvloop(monkeypatch: pytest.MonkeyPatch):
    """Its handles do not tell when they are for, least of all those that are due."""
    uvloop = pytest.importorskip("uvloop")

    async def main() -> None:
        async with serving("tcp") as relay:
            with monkeypatch.context() as patched:
                patched.setattr(relay.workforce.worker.service._server, "deadline", lambda: 0.0)
                relay.workforce.worker.service._arm()
                relay.workforce.worker.service._arm()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


@pytest.mark.parametrize("ports", [range(49152, 65536), range(50001, 50008), range(7, 21)])
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_ports_are_shared_out_whole_and_evenly(ports: range, workers: int):
    shares = [share_of(ports, worker, workers) for worker in range(workers)]
    assert [port for share in shares for port in share] == list(ports)
    assert max(map(len, shares)) - min(map(len, shares)) <= 3
    assert all(share.start % 2 == 0 for share in shares[1:])


def test_a_family_without_a_relay_address_has_no_ports():
    ports = RelayPorts([LOOPBACK], range(61000, 61004))
    with pytest.raises(PortsExhausted, match="no relay address has IPv6"):
        ports.open(Family.IPV6, Relaying.UDP, even=False, reserve=False)


class SilentLine:
    """A client's connection that takes everything and says nothing."""

    def __init__(self, path: TurnPath) -> None:
        self.path: TurnPath | None = path
        self.remote = path.client
        self.said: list[bytes] = []

    def send(self, data: bytes) -> None:
        self.said.append(data)

    def send_media(self, frame: bytes) -> bool:
        return True

    def admit(self) -> None: ...
    def wait_again(self) -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...


async def test_late_end_of_a_connection_does_not_take_the_next_one_from_the_same_port_along():
    async with serving("tcp") as relay:
        service = relay.workforce.worker.service
        client = TransportAddress("127.0.0.1", 40000)
        path = TurnPath(client, relay.listening[0].address, Transport.TCP)
        old, new = SilentLine(path), SilentLine(path)
        service.stream_ready(old)
        service.stream_ready(new)
        service.stream_closed(old)
        service.stream_message(REQUEST.encode(), new, asyncio.get_running_loop().time())
        assert len(new.said) == 1
        assert old.said == []


async def test_peer_whose_allocation_ends_before_its_connection_is_made_is_closed():
    one, other = socket.socketpair()
    peer = _Peer(1, PeerConnections(None, lambda _: None), Meter(TransportAddress("127.0.0.1", 1)))
    peer.close()
    await asyncio.get_running_loop().connect_accepted_socket(lambda: peer, one)
    other.settimeout(2)
    assert await asyncio.get_running_loop().run_in_executor(None, other.recv, 1) == b""
    other.close()
