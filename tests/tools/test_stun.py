"""Asking a STUN server: which address is tried when, and what each kind of failure says."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from natkit.aio.network import SocketNetwork
from natkit.aio.stun_server import serve_binding
from natkit.errors import AuthenticationFailed, NatkitError, NetworkUnreachable, UsageError
from natkit.machine import Seconds
from natkit.network import DatagramEndpoint, Family, IcmpError, Interface
from natkit.stun.uri import SrvRecord, StunUri
from natkit.tools.stun import QueryReport, SrvLookup, query
from natkit.tools.stun_serve import serve
from natkit.wire import (
    AlternateServer,
    Message,
    MessageClass,
    TransportAddress,
)
from tests.ports import free_port

IPV6 = pytest.mark.needs("ipv6")
LOOPBACK = TransportAddress("127.0.0.1", 0)


class Names(SocketNetwork):
    """Real sockets with a resolver of our own."""

    def __init__(self, **table: tuple[str, ...]) -> None:
        super().__init__()
        self.table = table
        self.asked: list[str] = []

    async def resolve(self, host: str, family: Family) -> tuple[str, ...]:
        self.asked.append(host)
        known = self.table.get(host)
        if known is None:
            return await super().resolve(host, family)
        return tuple(ip for ip in known if (":" in ip) == (family is Family.IPV6))


class Scripted:
    """A UDP server that answers every request as a test says."""

    endpoint: DatagramEndpoint

    def __init__(self, code: int | None, *extra: AlternateServer) -> None:
        self.code = code
        self.extra = extra

    def datagram_received(self, data: bytes, source: TransportAddress) -> None:
        request = Message.decode(data)
        assert request.message_class is MessageClass.REQUEST
        if self.code is None:
            answer = request.success()
        else:
            answer = request.error(self.code, "Because", *self.extra)
        self.endpoint.send(answer.encode(), source)

    def error_received(self, error: IcmpError) -> None:
        raise AssertionError(error)


@asynccontextmanager
async def scripted(code: int | None, *extra: AlternateServer) -> AsyncIterator[TransportAddress]:
    server = Scripted(code, *extra)
    server.endpoint = await SocketNetwork().open_datagram(server, local=LOOPBACK)
    yield server.endpoint.local
    server.endpoint.close()


@asynccontextmanager
async def plain_server(ip: str = "127.0.0.1") -> AsyncIterator[TransportAddress]:
    service = await serve_binding(SocketNetwork(), [ip], [0], rfc5780=False)
    yield service.listening[0]
    service.close()


@asynccontextmanager
async def silence() -> AsyncIterator[TransportAddress]:
    """A UDP port that takes requests and never answers."""

    class Sink:
        def datagram_received(self, data: bytes, source: TransportAddress) -> None:
            """Ignore it."""

        def error_received(self, error: IcmpError) -> None:
            """Ignore it."""

    endpoint = await SocketNetwork().open_datagram(Sink(), local=LOOPBACK)
    yield endpoint.local
    endpoint.close()


async def ask(
    text: str,
    network: SocketNetwork | None = None,
    *,
    families: Sequence[Family] = (Family.IPV4, Family.IPV6),
    patience: Seconds = 5.0,
    look_up_srv: SrvLookup | None = None,
) -> QueryReport:
    return await query(
        network or SocketNetwork(),
        StunUri.parse(text),
        randomness=secrets.token_bytes,
        families=families,
        patience=patience,
        look_up_srv=look_up_srv,
    )


@pytest.mark.parametrize("ip", ["127.0.0.1", pytest.param("::1", marks=IPV6)])
async def test_report_names_server_and_both_sides_of_the_nat(ip: str) -> None:
    async with plain_server(ip) as server:
        report = await ask(f"stun:{server}")
    assert report.server == report.answer.source == server
    assert report.local == report.answer.mapped
    assert 0 < (report.answer.round_trip or 0) <= report.elapsed


async def test_host_without_an_address_is_unreachable() -> None:
    with pytest.raises(NetworkUnreachable, match="found no address for nobody"):
        await ask("stun:nobody", Names(nobody=()))


async def test_literal_of_the_other_ip_version_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"127\.0\.0\.1 is not an IPv6 address"):
        await ask("stun:127.0.0.1", families=[Family.IPV6])


@IPV6
async def test_silent_address_does_not_hold_up_the_next_one() -> None:
    async with silence() as dead, plain_server("::1") as alive:
        records = [SrvRecord(1, 0, dead.port, "dead"), SrvRecord(2, 0, alive.port, "alive")]
        network = Names(dead=("127.0.0.1",), alive=("::1",))
        report = await ask("stun:example.test", network, look_up_srv=table(records))
    assert report.server == alive
    assert report.elapsed < 2.0


@IPV6
async def test_refused_address_gives_way_at_once() -> None:
    async with plain_server("::1") as alive:
        records = [SrvRecord(1, 0, 1, "closed"), SrvRecord(2, 0, alive.port, "alive")]
        network = Names(closed=("127.0.0.1",), alive=("::1",))
        report = await ask("stun:example.test", network, look_up_srv=table(records))
    assert report.server == alive


def table(records: Sequence[SrvRecord], asked: list[str] | None = None) -> SrvLookup:
    async def look_up(name: str) -> Sequence[SrvRecord]:
        if asked is not None:
            asked.append(name)
        return records

    return look_up


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("stun:example.test", "_stun._udp.example.test"),
        ("stun:example.test?transport=tcp", "_stun._tcp.example.test"),
        ("stuns:example.test", "_stuns._tcp.example.test"),
    ],
)
async def test_srv_name_follows_the_transport(uri: str, name: str) -> None:
    asked: list[str] = []
    records = [SrvRecord(1, 1, 1, "nowhere")]
    with pytest.raises(NetworkUnreachable, match="found no address"):
        await ask(uri, Names(nowhere=()), look_up_srv=table(records, asked))
    assert asked == [name]


@pytest.mark.parametrize("uri", ["stun:example.test:3478", "stun:127.0.0.1"])
async def test_srv_is_not_asked_for_a_port_or_a_literal(uri: str) -> None:
    asked: list[str] = []
    network = Names(**{"example.test": (), "127.0.0.1": ()})
    with pytest.raises(NatkitError):
        await ask(uri, network, look_up_srv=table([], asked))
    assert asked == []


async def test_host_itself_is_tried_where_there_is_no_srv_record() -> None:
    network = Names(**{"example.test": ()})
    with pytest.raises(NetworkUnreachable):
        await ask("stun:example.test", network, look_up_srv=table([]))
    assert network.asked == ["example.test"] * 2


async def test_no_answer_says_how_long_it_waited() -> None:
    async with silence() as dead:
        with pytest.raises(NetworkUnreachable, match=r"no answer from .* in 0\.05 s"):
            await ask(f"stun:{dead}", patience=0.05)


async def test_closed_port_is_told_from_silence() -> None:
    async with silence() as gone:
        pass
    await asyncio.sleep(0)
    with pytest.raises(NetworkUnreachable, match="nobody listens on"):
        await ask(f"stun:{gone}")


async def test_wanted_credentials_are_an_authentication_failure() -> None:
    async with scripted(401) as server:
        with pytest.raises(AuthenticationFailed, match="refused with error 401: Because"):
            await ask(f"stun:{server}")


async def test_alternate_server_is_named_in_the_hint() -> None:
    elsewhere = TransportAddress("192.0.2.9", 3478)
    async with scripted(300, AlternateServer(elsewhere)) as server:
        with pytest.raises(NatkitError, match=r"error 300.*ask 192\.0\.2\.9:3478 instead"):
            await ask(f"stun:{server}")


async def test_answer_without_an_address_says_so() -> None:
    async with scripted(None) as server:
        with pytest.raises(NatkitError, match="answered, but its answer holds no address"):
            await ask(f"stun:{server}")


@asynccontextmanager
async def tcp_server(speak: bytes | None) -> AsyncIterator[TransportAddress]:
    """A TCP server that says `speak` to whatever comes; None: it hangs up."""

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        if speak is not None:
            writer.write(speak)
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    yield TransportAddress(*server.sockets[0].getsockname())
    server.close()


@pytest.mark.parametrize(
    ("speak", "complaint"),
    [
        (None, "closed the connection without an answer"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak STUN"),
        (b"", r"no answer from .* in 0\.2 s"),
    ],
)
async def test_tcp_server_that_is_none_is_called_that(speak: bytes | None, complaint: str) -> None:
    async with tcp_server(speak) as server:
        with pytest.raises(NatkitError, match=complaint):
            await ask(f"stun:{server}?transport=tcp", patience=0.2)


async def test_server_tool_answers_over_udp_and_tcp_on_one_port() -> None:
    service = await serve(SocketNetwork(), [TransportAddress("127.0.0.1", free_port(1))])
    ports = {at.port for _, at in service.listening}
    assert len(ports) == 1
    for transport in ("udp", "tcp"):
        report = await ask(f"stun:127.0.0.1:{ports.copy().pop()}?transport={transport}")
        assert report.answer.mapped == report.local
    await service.close()
    await service.close()


async def test_wildcard_is_replaced_by_every_address_of_the_machine() -> None:
    network = SocketNetwork()
    service = await serve(network, [TransportAddress("0.0.0.0", free_port(1))])
    ips = {at.ip for _, at in service.listening}
    assert ips == {entry.ip for entry in network.interfaces() if ":" not in entry.ip}
    await service.close()


class Interfaces(SocketNetwork):
    """Real sockets, with interfaces that a test makes up."""

    def __init__(self, *ips: str) -> None:
        super().__init__()
        self.ips = ips

    def interfaces(self) -> tuple[Interface, ...]:
        return tuple(Interface("any", ip, 24) for ip in self.ips)


async def test_rfc_5780_wildcard_leaves_loopback_and_link_local_out() -> None:
    network = Interfaces("127.0.0.1", "192.0.2.77", "fe80::1", "2001:db8::77")
    with pytest.raises(NetworkUnreachable, match=r"192\.0\.2\.77:33478"):
        await serve(network, [TransportAddress("0.0.0.0", 33478)], alternate_port=33479)
    with pytest.raises(NetworkUnreachable, match=r"\[2001:db8::77\]:33478"):
        await serve(network, [TransportAddress("::", 33478)], alternate_port=33479)


async def test_rfc_5780_refuses_loopback_beside_a_real_address() -> None:
    listen = [TransportAddress(ip, 33478) for ip in ("127.0.0.1", "192.0.2.77")]
    with pytest.raises(UsageError, match="loopback address beside another"):
        await serve(SocketNetwork(), listen, alternate_port=33479)


async def test_rfc_5780_without_any_address_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="given: none"):
        await serve(Interfaces("127.0.0.1"), [TransportAddress("0.0.0.0", 3478)], alternate_port=1)


async def test_rfc_5780_refuses_two_main_ports() -> None:
    listen = [TransportAddress("127.0.0.1", 33478), TransportAddress("127.0.0.2", 33479)]
    with pytest.raises(UsageError, match="one main port"):
        await serve(SocketNetwork(), listen, alternate_port=33480)


async def test_failure_to_listen_leaves_nothing_open() -> None:
    async with silence() as taken:
        with pytest.raises(NetworkUnreachable):
            await serve(SocketNetwork(), [LOOPBACK, taken])
