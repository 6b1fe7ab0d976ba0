"""Listening for streams, and the Binding server on them: TCP and TLS on loopback."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trustme

from natkit.aio.listener import Listener
from natkit.aio.network import SocketNetwork
from natkit.aio.stun_stream import answer_stream
from natkit.errors import NetworkUnreachable
from natkit.network import StreamEndpoint, Tls
from natkit.stun.transaction import Retransmission
from natkit.wire import Message, Method, TransportAddress, XorMappedAddress

IPV6 = pytest.mark.needs("ipv6")
REQUEST = Message.request(Method.BINDING, b"0123456789ab").encode()


@pytest.fixture
def network() -> SocketNetwork:
    return SocketNetwork()


@asynccontextmanager
async def listener(
    network: SocketNetwork, ip: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Listener]:
    service = await network.listen_stream(answer_stream, local=TransportAddress(ip, 0), tls=tls)
    try:
        yield service
    finally:
        await service.stop()
        await service.stop()


@pytest.mark.parametrize("ip", ["127.0.0.1", pytest.param("::1", marks=IPV6)])
async def test_tcp_answers_pipelined_and_fragmented_requests(
    network: SocketNetwork, ip: str
) -> None:
    async with listener(network, ip) as service:
        stream = await network.open_stream(service.local)
        await stream.write(REQUEST + REQUEST[:7])
        first = await stream.read()
        await stream.write(REQUEST[7:])
        second = await stream.read()
        assert first == second
        assert Message.decode(first).find(XorMappedAddress) == XorMappedAddress(stream.local)
        await stream.close()


@pytest.mark.parametrize("junk", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\xff" * 40])
async def test_tcp_closes_on_what_is_not_stun(network: SocketNetwork, junk: bytes) -> None:
    async with listener(network) as service:
        stream = await network.open_stream(service.local)
        await stream.write(junk)
        assert await stream.read() == b""
        await stream.close()


async def test_closing_ends_open_streams(network: SocketNetwork) -> None:
    async with listener(network) as service:
        stream = await network.open_stream(service.local)
        await stream.write(REQUEST)
        await stream.read()
        await service.stop()
        assert await stream.read() == b""
        await stream.close()


async def test_streams_over_the_limit_are_turned_away(
    network: SocketNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("natkit.aio.listener.STREAM_LIMIT", 1)
    async with listener(network) as service:
        first = await network.open_stream(service.local)
        await first.write(REQUEST)
        assert await first.read()
        second = await network.open_stream(service.local)
        assert await second.read() == b""
        for stream in (first, second):
            await stream.close()


@pytest.mark.parametrize("verify", [True, False])
async def test_tls_answers(
    network: SocketNetwork, tmp_path_factory: pytest.TempPathFactory, verify: bool
) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("stun.test").configure_cert(context)
    ca_file = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    tls = Tls("stun.test" if verify else "other.test", verify, str(ca_file) if verify else None)
    async with listener(network, tls=context) as service:
        stream = await network.open_stream(service.local, tls=tls)
        await stream.write(REQUEST)
        assert Message.decode(await stream.read()).find(XorMappedAddress) is not None
        await stream.close()


async def test_tls_with_the_wrong_name_is_refused(network: SocketNetwork) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("stun.test").configure_cert(context)
    async with listener(network, tls=context) as service:
        with pytest.raises(NetworkUnreachable, match="certificate verify failed"):
            await network.open_stream(service.local, tls=Tls("other.test"))


async def test_silent_stream_is_closed(
    network: SocketNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = Retransmission(rto=0.05, count=1, final=1)
    monkeypatch.setattr("natkit.aio.stun_stream.RELIABLE", impatient)
    async with listener(network) as service:
        stream = await network.open_stream(service.local)
        await stream.write(REQUEST[:5])
        assert await stream.read() == b""
        await stream.close()


async def test_standing_connection_outlives_the_listener_that_is_only_closed(
    network: SocketNetwork,
) -> None:
    async with listener(network) as service:
        stream = await network.open_stream(service.local)
        await stream.write(REQUEST)
        assert await stream.read()
        service.close()
        await stream.write(REQUEST)
        assert await stream.read()
        await stream.close()


async def test_caller_that_hangs_up_disturbs_nobody(network: SocketNetwork) -> None:
    ended = asyncio.Event()

    async def talkative(stream: StreamEndpoint) -> None:
        try:
            while True:
                await stream.write(bytes(10000))
        finally:
            ended.set()

    service = await network.listen_stream(talkative, local=TransportAddress("127.0.0.1", 0))
    stream = await network.open_stream(service.local)
    await stream.close()
    await ended.wait()
    await service.stop()


async def test_port_in_use_cannot_be_listened_on(network: SocketNetwork) -> None:
    async with listener(network) as service:
        with pytest.raises(NetworkUnreachable, match="in use"):
            await network.listen_stream(answer_stream, local=service.local)
