"""Real sockets on loopback, seen through the `Network` seam."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from natkit.aio import datagram
from natkit.aio.network import SocketNetwork
from natkit.errors import NetworkUnreachable, UsageError
from natkit.network import Family, IcmpError, Tls
from natkit.wire import TransportAddress

LOOPBACK = {Family.IPV4: "127.0.0.1", Family.IPV6: "::1"}
both_families = pytest.mark.parametrize(
    "family", [Family.IPV4, pytest.param(Family.IPV6, marks=pytest.mark.needs("ipv6"))]
)
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's error queue")


class Inbox:
    """Keeps what an endpoint calls back with."""

    def __init__(self) -> None:
        self.datagrams: asyncio.Queue[tuple[bytes, TransportAddress]] = asyncio.Queue()
        self.errors: asyncio.Queue[IcmpError] = asyncio.Queue()

    def datagram_received(self, data: bytes, source: TransportAddress) -> None:
        self.datagrams.put_nowait((data, source))

    def error_received(self, error: IcmpError) -> None:
        self.errors.put_nowait(error)


@pytest.fixture(params=["read by the loop", "read by a task"])
def network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> SocketNetwork:
    """Both ways to read a UDP socket: Windows needs the second."""
    monkeypatch.setattr(datagram, "LOOP_HAS_NO_READERS", request.param == "read by a task")
    return SocketNetwork()


def closed_port(family: Family) -> TransportAddress:
    """Return a loopback address that nothing is bound to just now."""
    kind = socket.AF_INET6 if family is Family.IPV6 else socket.AF_INET
    with socket.socket(kind, socket.SOCK_DGRAM) as sock:
        sock.bind((LOOPBACK[family], 0))
        return TransportAddress(*sock.getsockname()[:2])


@both_families
async def test_datagram_arrives_with_its_source_address(
    network: SocketNetwork, family: Family
) -> None:
    inbox = Inbox()
    here = TransportAddress(LOOPBACK[family], 0)
    receiver = await network.open_datagram(inbox, local=here)
    sender = await network.open_datagram(Inbox(), local=here)
    sender.send(b"hello", receiver.local)
    assert await inbox.datagrams.get() == (b"hello", sender.local)
    receiver.close()
    sender.close()


@both_families
async def test_wildcard_endpoint_has_an_ephemeral_port(
    network: SocketNetwork, family: Family
) -> None:
    endpoint = await network.open_datagram(Inbox(), family=family)
    assert endpoint.local.ip == ("::" if family is Family.IPV6 else "0.0.0.0")
    assert endpoint.local.port > 0
    endpoint.close()
    endpoint.close()


async def test_sending_never_raises(network: SocketNetwork) -> None:
    endpoint = await network.open_datagram(Inbox(), local=TransportAddress("127.0.0.1", 0))
    endpoint.send(b"x", TransportAddress("::1", 9))  # wrong family
    endpoint.send(b"x" * 70000, TransportAddress("127.0.0.1", 9))  # larger than any datagram
    endpoint.send(b"x", TransportAddress("127.0.0.1", 0))
    endpoint.send(b"x", TransportAddress("127.0.0.1", 70000))
    endpoint.send(b"x", TransportAddress("127.0.0.1", 9), ttl=1000)
    endpoint.close()
    endpoint.send(b"x", TransportAddress("127.0.0.1", 9))


@both_families
async def test_ttl_is_for_one_datagram_only(network: SocketNetwork, family: Family) -> None:
    inbox = Inbox()
    here = TransportAddress(LOOPBACK[family], 0)
    receiver = await network.open_datagram(inbox, local=here)
    sender = await network.open_datagram(Inbox(), local=here)
    option = (
        (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS)
        if family is Family.IPV6
        else (socket.IPPROTO_IP, socket.IP_TTL)
    )
    before = sender._sock.getsockopt(*option)
    sender.send(b"low", receiver.local, ttl=3)
    assert (await inbox.datagrams.get())[0] == b"low"
    assert sender._sock.getsockopt(*option) == before
    receiver.close()
    sender.close()


@linux_only
@both_families
async def test_port_unreachable_names_destination_and_reporter(
    network: SocketNetwork, family: Family
) -> None:
    here = TransportAddress(LOOPBACK[family], 0)
    nobody = closed_port(family)
    inbox = Inbox()
    endpoint = await network.open_datagram(inbox, local=here)
    endpoint.send(b"anyone?", nobody)
    kind, code = (1, 4) if family is Family.IPV6 else (3, 3)
    assert await inbox.errors.get() == IcmpError(kind, code, nobody, LOOPBACK[family])
    endpoint.close()


@linux_only
async def test_an_icmp_error_does_not_eat_the_next_datagram(network: SocketNetwork) -> None:
    here = TransportAddress("127.0.0.1", 0)
    nobody = closed_port(Family.IPV4)
    received, errors = Inbox(), Inbox()
    receiver = await network.open_datagram(received, local=here)
    sender = await network.open_datagram(errors, local=here)
    for _ in range(3):  # on loopback the error is there before the next send
        sender.send(b"lost", nobody)
        sender.send(b"kept", receiver.local)
    assert [(await received.datagrams.get())[0] for _ in range(3)] == [b"kept"] * 3
    assert (await errors.errors.get()).destination == nobody
    receiver.close()
    sender.close()


async def test_binding_a_foreign_address_says_so(network: SocketNetwork) -> None:
    with pytest.raises(NetworkUnreachable, match=r"cannot use the local address 192\.0\.2\.1:0"):
        await network.open_datagram(Inbox(), local=TransportAddress("192.0.2.1", 0))


async def test_unknown_interface_lists_the_known_ones(network: SocketNetwork) -> None:
    with pytest.raises(UsageError, match=r"no interface is called 'nosuch0'.*There are:"):
        await network.open_datagram(Inbox(), interface="nosuch0")


async def test_interface_binds_its_address(network: SocketNetwork) -> None:
    name = next(entry.name for entry in network.interfaces() if entry.ip == "127.0.0.1")
    endpoint = await network.open_datagram(Inbox(), interface=name)
    assert endpoint.local.ip == "127.0.0.1"
    endpoint.close()


async def test_clock_is_the_event_loops(network: SocketNetwork) -> None:
    before = asyncio.get_running_loop().time()
    assert before <= network.now() <= asyncio.get_running_loop().time()


@both_families
async def test_literals_resolve_without_a_resolver(network: SocketNetwork, family: Family) -> None:
    expected = ("192.0.2.1",) if family is Family.IPV4 else ()
    assert await network.resolve("192.0.2.1", family) == expected
    expected = ("2001:db8::1",) if family is Family.IPV6 else ()
    assert await network.resolve("[2001:DB8:0::1]", family) == expected


async def test_localhost_resolves_and_nonsense_does_not(network: SocketNetwork) -> None:
    assert await network.resolve("localhost", Family.IPV4) == ("127.0.0.1",)
    assert await network.resolve("nobody..invalid", Family.IPV4) == ()


def test_nobody_waits_for_a_look_up_that_was_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answer.wait(10) and [])

    async def give_up() -> None:
        async with asyncio.timeout(0.05):
            await SocketNetwork().resolve("slow.example", Family.IPV4)

    began = time.monotonic()
    with pytest.raises(TimeoutError):
        asyncio.run(give_up())
    took = time.monotonic() - began
    answer.set()
    assert took < 5


async def test_source_for_loopback_is_loopback(network: SocketNetwork) -> None:
    assert network.source_for(TransportAddress("127.0.0.1", 9)) == "127.0.0.1"
    assert network.source_for(TransportAddress("::1", 9)) == "::1"


async def test_placement_goes_through_the_given_thread() -> None:
    with ThreadPoolExecutor(1, thread_name_prefix="elsewhere") as pool:
        network = SocketNetwork(in_thread=pool.submit)
        inbox = Inbox()
        here = TransportAddress("127.0.0.1", 0)
        endpoint = await network.open_datagram(inbox, local=here)
        endpoint.send(b"self", endpoint.local)
        assert await inbox.datagrams.get() == (b"self", endpoint.local)
        assert "127.0.0.1" in [entry.ip for entry in network.interfaces()]
        assert await network.in_thread(lambda: 42) == 42
        endpoint.close()


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.read(100))
    await writer.drain()
    writer.close()


@both_families
async def test_stream_echoes_and_ends(network: SocketNetwork, family: Family) -> None:
    server = await asyncio.start_server(_echo, LOOPBACK[family], 0)
    remote = TransportAddress(*server.sockets[0].getsockname()[:2])
    stream = await network.open_stream(remote)
    assert stream.remote == remote
    assert stream.local.ip == LOOPBACK[family]
    await stream.write(b"ping")
    assert await stream.read() == b"ping"
    assert await stream.read() == b""
    await stream.close()
    await stream.close()
    server.close()


async def test_two_streams_may_share_a_local_address(network: SocketNetwork) -> None:
    servers = [await asyncio.start_server(_echo, "127.0.0.1", 0) for _ in range(2)]
    first, second = (TransportAddress(*s.sockets[0].getsockname()[:2]) for s in servers)
    one = await network.open_stream(first)
    two = await network.open_stream(second, local=one.local)
    assert two.local == one.local
    for stream in (one, two):
        await stream.close()
    for server in servers:
        server.close()


async def test_refused_stream_is_unreachable(network: SocketNetwork) -> None:
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    remote = TransportAddress(*server.sockets[0].getsockname()[:2])
    server.close()
    await server.wait_closed()
    with pytest.raises(NetworkUnreachable, match="cannot connect to 127"):
        await network.open_stream(remote)


async def test_tls_to_a_server_that_says_nothing_runs_out_of_patience(
    network: SocketNetwork,
) -> None:
    quiet = asyncio.Event()

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await quiet.wait()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    remote = TransportAddress(*server.sockets[0].getsockname()[:2])
    with pytest.raises(NetworkUnreachable, match=r"no answer in 0\.05 s"):
        await network.open_stream(remote, tls=Tls("localhost"), patience=0.05)
    quiet.set()
    server.close()
