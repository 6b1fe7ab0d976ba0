"""Calls that only a relay carries: over UDP, TCP and TLS, on coturn and on natkit's own server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import aioice
import pytest

import natkit
from tests.interop.test_ice_aioice import tell
from tests.turnserver import USER, TurnUnderTest, turn_server

pytestmark = [pytest.mark.interop, pytest.mark.needs("turnserver")]


@pytest.fixture(scope="module", params=["coturn", "natkit"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TurnUnderTest]:
    where = tmp_path_factory.mktemp(request.param)
    allowed = ("127.0.0.1/32",)
    with turn_server(where, ips=("127.0.0.1",), allow=allowed, program=request.param) as running:
        yield running


def named(server: TurnUnderTest, transport: str) -> natkit.TurnServer:
    if transport == "tls":
        uri = f"turns:localhost:{server.tls_port}"
    else:
        uri = f"turn:127.0.0.1:{server.port}?transport={transport}"
    return natkit.TurnServer(uri, *USER, ca_file=str(server.ca_file))


def relayed(controls: bool, *servers: natkit.TurnServer) -> natkit.Connection:
    policy = natkit.TransportPolicy.RELAY
    return natkit.Connection(controls, turn_servers=servers, transport_policy=policy)


async def exchange(a: Any, b: Any) -> None:
    for size in (1, 1200):
        await a.send(b"x" * size)
        assert await b.recv() == b"x" * size
        await b.send(b"y" * size)
        assert await a.recv() == b"y" * size


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_relay_carries_the_call_over(server: TurnUnderTest, transport: str):
    a, b = (relayed(controls, named(server, transport)) for controls in (True, False))
    async with asyncio.timeout(30):
        await asyncio.gather(a.gather_candidates(), b.gather_candidates())
        (only,) = a.local_candidates
        assert (str(only.type), only.transport) == ("relay", "udp")
        await tell(natkit, a, b)
        await tell(natkit, b, a)
        await asyncio.gather(a.connect(), b.connect())
        await exchange(a, b)
        pair = a.selected_pair()
        assert pair is not None
        assert pair.is_relayed
        await asyncio.gather(a.close(), b.close())


@pytest.fixture(scope="module", params=["coturn", "natkit"])
def dual(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TurnUnderTest]:
    """A server that relays from IPv4 and IPv6."""
    where = tmp_path_factory.mktemp(f"{request.param}-dual")
    allowed = ("127.0.0.1/32", "::1/128")
    with turn_server(where, allow=allowed, program=request.param) as running:
        yield running


async def test_relay_gives_an_address_of_each_family_and_a_call_takes_the_ipv6_one(
    dual: TurnUnderTest,
):
    a, b = (
        natkit.Connection(
            controls,
            turn_servers=[named(dual, "udp")],
            transport_policy=natkit.TransportPolicy.RELAY,
            interfaces=["lo"],
        )
        for controls in (True, False)
    )
    async with asyncio.timeout(30):
        await asyncio.gather(a.gather_candidates(), b.gather_candidates())
        assert [":" in c.host for c in a.local_candidates] == [False, True]
        first, second = a.local_candidates
        assert first.priority > second.priority
        for ours, theirs in ((a, b), (b, a)):
            await ours.add_remote_candidate(theirs.local_candidates[1])
            await ours.add_remote_candidate(None)
            ours.remote_username = theirs.local_username
            ours.remote_password = theirs.local_password
        await asyncio.gather(a.connect(), b.connect())
        await exchange(a, b)
        pair = a.selected_pair()
        assert pair is not None
        assert pair.remote.host == "::1"
        await asyncio.gather(a.close(), b.close())


async def test_relay_without_ipv6_says_so_in_the_report(server: TurnUnderTest):
    a = natkit.Connection(True, turn_servers=[named(server, "udp")], interfaces=["lo"])
    async with asyncio.timeout(30):
        await a.gather_candidates()
    assert [c.host for c in a.local_candidates if c.type == "relay"] == ["127.0.0.1"]
    errors = [it["error"] for it in a.report()["inquiries"]]
    assert errors[0] is None
    assert "440" in errors[1]
    await a.close()


async def test_wrong_password_leaves_no_candidate_and_the_report_says_why(server: TurnUnderTest):
    good = named(server, "udp")
    a = relayed(True, natkit.TurnServer(good.uri, USER[0], "wrong"))
    async with asyncio.timeout(30):
        await a.gather_candidates()
    assert a.local_candidates == []
    (inquiry,) = a.report()["inquiries"]
    assert "401" in inquiry["error"]
    await a.close()


@pytest.mark.parametrize("ours_controls", [True, False], ids=["controlling", "controlled"])
async def test_aioice_on_the_other_side_of_the_relay(server: TurnUnderTest, ours_controls: bool):
    ours = relayed(ours_controls, named(server, "udp"))
    peer = aioice.Connection(
        ice_controlling=not ours_controls,
        turn_server=("127.0.0.1", server.port),
        turn_username=USER[0],
        turn_password=USER[1],
        transport_policy=aioice.TransportPolicy.RELAY,
    )
    async with asyncio.timeout(30):
        await asyncio.gather(ours.gather_candidates(), peer.gather_candidates())
        await tell(natkit, ours, peer)
        await tell(aioice, peer, ours)
        await asyncio.gather(ours.connect(), peer.connect())
        await exchange(ours, peer)
        await asyncio.gather(ours.close(), peer.close())
