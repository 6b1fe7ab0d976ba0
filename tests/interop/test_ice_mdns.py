"""Hidden host addresses: aioice looks up our names, and we look up its responder's."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import aioice
import pytest
from aioice import mdns

import natkit
from natkit.aio import mdns as ours_module
from natkit.aio.mdns import Mdns
from natkit.aio.network import SocketNetwork
from natkit.wire import TransportAddress
from tests.interop.test_ice_aioice import exchange, gathered, tell

pytestmark = pytest.mark.interop


@pytest.fixture(autouse=True)
def nothing_leaves_this_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every multicast a TTL of 0."""
    joined, create = ours_module._joined, mdns.create_mdns_protocol

    def confined(sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 0)

    def join(ips: tuple[str, ...]) -> socket.socket:
        sock = joined(ips)
        confined(sock)
        return sock

    async def create_confined() -> Any:
        protocol = await create()
        confined(protocol.transport.get_extra_info("socket"))
        return protocol

    monkeypatch.setattr(ours_module, "_joined", join)
    monkeypatch.setattr(mdns, "create_mdns_protocol", create_confined)


@pytest.fixture
async def responder() -> AsyncIterator[Any]:
    """aioice's mDNS responder."""
    protocol = await mdns.create_mdns_protocol()
    yield protocol
    await protocol.close()


@pytest.fixture
async def ours() -> AsyncIterator[Mdns]:
    names = await Mdns.open(SocketNetwork())
    yield names
    names.close()


@pytest.mark.parametrize("ip", ["192.0.2.77", "2001:db8::77"])
async def test_name_published_by_aioice_is_found(responder: Any, ours: Mdns, ip: str):
    name = mdns.create_mdns_hostname()
    await responder.publish(name, ip)
    assert await ours.resolve(name) == ip


@pytest.mark.parametrize("ip", ["192.0.2.77", "2001:db8::77"])
async def test_name_that_we_publish_is_found_by_aioice(responder: Any, ours: Mdns, ip: str):
    name = ours.publish(bytes, ip)
    assert name == "00000000-0000-4000-8000-000000000000.local"
    assert await responder.resolve(name) == ip


async def test_name_of_nobody_is_given_up(ours: Mdns, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("natkit.aio.mdns.ASK_AGAIN", 0.1)
    monkeypatch.setattr("natkit.aio.mdns.PATIENCE", 0.2)
    assert await ours.resolve("nobody-has-this.local") is None


async def test_junk_on_the_group_is_ignored(ours: Mdns):
    for junk in (b"", b"\0" * 11, b"\xff" * 40, b"\0\0\x84\0\0\0\0\1\0\0\0\0\xc0\x0c"):
        ours.datagram_received(junk, TransportAddress("192.0.2.1", 5353))
    assert await ours.resolve(ours.publish(bytes, "192.0.2.78")) == "192.0.2.78"


async def test_our_hidden_addresses_connect_to_aioice():
    ours = await gathered(natkit, ice_controlling=True, hide_addresses=True)
    peer = await gathered(aioice, ice_controlling=False)
    assert all(candidate.host.endswith(".local") for candidate in ours.local_candidates)
    async with asyncio.timeout(20):
        await tell(aioice, peer, ours)
        await tell(natkit, ours, peer)
        await asyncio.gather(ours.connect(), peer.connect())
        await exchange(ours, peer)
    pair = ours.selected_pair()
    assert pair is not None
    assert pair.local.host.endswith(".local")  # not a peer-reflexive one that tells the address
    await asyncio.gather(ours.close(), peer.close())


async def test_hidden_addresses_of_both_sides_connect():
    a = await gathered(natkit, ice_controlling=True, hide_addresses=True)
    b = await gathered(natkit, ice_controlling=False, hide_addresses=True)
    async with asyncio.timeout(20):
        await asyncio.gather(tell(natkit, a, b), tell(natkit, b, a))
        assert [c.host for c in a.remote_candidates] == [c.host for c in b.local_candidates]
        await asyncio.gather(a.connect(), b.connect())
        await exchange(a, b)
    await asyncio.gather(a.close(), b.close())
