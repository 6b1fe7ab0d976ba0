"""The Binding server on real loopback sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from natkit.aio.driver import Driver
from natkit.aio.network import SocketNetwork
from natkit.aio.stun_server import BindingService, serve_binding
from natkit.errors import NetworkUnreachable, UsageError
from natkit.network import Family
from natkit.stun.binding import BindingClient, BindingEvent, BindingFailed, BindingSucceeded
from natkit.stun.transaction import Retransmission
from natkit.wire import (
    Attribute,
    ChangeRequest,
    Message,
    Method,
    Padding,
    ResponsePort,
    TransportAddress,
    XorMappedAddress,
)
from tests.ports import free_port

IPV6 = pytest.mark.needs("ipv6")
ID = b"0123456789ab"


@pytest.fixture
def network() -> SocketNetwork:
    return SocketNetwork()


@asynccontextmanager
async def rfc5780_server(
    network: SocketNetwork, *ips: str, ports: int = 2
) -> AsyncIterator[BindingService]:
    first = free_port(ports, ips[0])
    service = await serve_binding(network, ips, range(first, first + ports))
    try:
        yield service
    finally:
        service.close()


async def ask(
    network: SocketNetwork, server: TransportAddress, *attributes: Attribute
) -> BindingEvent:
    """Ask once, with one retransmission, and return how it ended."""
    ended: asyncio.Queue[BindingEvent] = asyncio.Queue()
    machine = BindingClient(lambda: ID, Retransmission(rto=0.5, count=2, final=2))
    family = Family.IPV6 if server.is_ipv6 else Family.IPV4
    driver = await Driver.open(network, machine, family=family, on_event=ended.put_nowait)
    machine.ask(server, *attributes, now=network.now())
    driver.kick()
    try:
        return await ended.get()
    finally:
        driver.close()


@pytest.mark.parametrize("ip", ["127.0.0.1", pytest.param("::1", marks=IPV6)])
async def test_reply_tells_the_clients_own_address(network: SocketNetwork, ip: str) -> None:
    service = await serve_binding(network, [ip], [0], rfc5780=False)
    (server,) = service.listening
    event = await ask(network, server)
    assert isinstance(event, BindingSucceeded)
    assert event.mapped.ip == ip
    assert event.source == server
    assert event.other_address is None
    assert service.answered == 1
    service.close()
    service.close()


@pytest.mark.parametrize(
    ("ip", "port", "index"), [(False, True, 1), (True, False, 2), (True, True, 3)]
)
async def test_reply_really_comes_from_the_changed_endpoint(
    network: SocketNetwork, ip: bool, port: bool, index: int
) -> None:
    async with rfc5780_server(network, "127.0.0.1", "127.0.0.2") as service:
        event = await ask(network, service.listening[0], ChangeRequest(ip, port))
        assert isinstance(event, BindingSucceeded)
        assert event.source == event.response_origin == service.listening[index]
        assert event.other_address == service.listening[3]


@IPV6
async def test_one_ipv6_address_changes_its_port_and_refuses_more(network: SocketNetwork) -> None:
    async with rfc5780_server(network, "::1") as service:
        event = await ask(network, service.listening[0], ChangeRequest(False, True))
        assert isinstance(event, BindingSucceeded)
        assert event.source == service.listening[1]
        refused = await ask(network, service.listening[0], ChangeRequest(True, True))
        assert isinstance(refused, BindingFailed)
        assert refused.code == 420


@IPV6
async def test_both_ip_versions_are_served_each_with_its_own_alternate(
    network: SocketNetwork,
) -> None:
    async with rfc5780_server(network, "127.0.0.1", "127.0.0.2", "::1") as service:
        assert len(service.listening) == 6


async def test_response_port_reaches_another_socket_of_the_client(network: SocketNetwork) -> None:
    class Inbox(asyncio.Queue[tuple[bytes, TransportAddress]]):
        def datagram_received(self, data: bytes, source: TransportAddress) -> None:
            self.put_nowait((data, source))

        def error_received(self, error: object) -> None:
            raise AssertionError(error)

    asker, hearer = Inbox(), Inbox()
    here = TransportAddress("127.0.0.1", 0)
    asking = await network.open_datagram(asker, local=here)
    hearing = await network.open_datagram(hearer, local=here)
    async with rfc5780_server(network, "127.0.0.1", "127.0.0.2") as service:
        extras = (ResponsePort(hearing.local.port), ChangeRequest(True, True))
        asking.send(Message.request(Method.BINDING, ID, *extras).encode(), service.listening[0])
        data, source = await hearer.get()
        assert source == service.listening[3]
        assert Message.decode(data).find(XorMappedAddress) == XorMappedAddress(asking.local)
        assert asker.empty()
    asking.close()
    hearing.close()


async def test_padding_larger_than_an_ethernet_frame_comes_back(network: SocketNetwork) -> None:
    async with rfc5780_server(network, "127.0.0.1", "127.0.0.2") as service:
        event = await ask(network, service.listening[0], Padding(3000))
        assert isinstance(event, BindingSucceeded)


async def test_rfc_5780_refuses_ports_that_are_not_chosen(network: SocketNetwork) -> None:
    with pytest.raises(UsageError, match="needs chosen ports"):
        await serve_binding(network, ["127.0.0.1"], [0, 0])


async def test_address_in_use_closes_what_was_open_already(network: SocketNetwork) -> None:
    async with rfc5780_server(network, "127.0.0.1", ports=1) as service:
        taken = service.listening[0].port
        free = free_port()
        with pytest.raises(NetworkUnreachable, match="cannot use the local address"):
            await serve_binding(network, ["127.0.0.1"], [free, taken])
        await asyncio.sleep(0)
        again = await serve_binding(network, ["127.0.0.1"], [free])
        again.close()
