"""natkit's ICE against aioice's, both ways round, with candidates exchanged as text."""

from __future__ import annotations

import asyncio
from typing import Any

import aioice
import pytest

import natkit

pytestmark = pytest.mark.interop


async def gathered(module: Any, **options: Any) -> Any:
    connection = module.Connection(**options)
    await connection.gather_candidates()
    return connection


async def tell(module: Any, connection: Any, other: Any) -> None:
    """Tell `connection` all about `other`, through text."""
    for line in [candidate.to_sdp() for candidate in other.local_candidates]:
        await connection.add_remote_candidate(module.Candidate.from_sdp(line))
    await connection.add_remote_candidate(None)
    connection.remote_username = other.local_username
    connection.remote_password = other.local_password


async def pair_up(ours_controls: bool, **options: Any) -> tuple[natkit.Connection, Any]:
    ours = await gathered(natkit, ice_controlling=ours_controls, **options)
    peer = await gathered(aioice, ice_controlling=not ours_controls, **options)
    await tell(natkit, ours, peer)
    await tell(aioice, peer, ours)
    return ours, peer


async def exchange(ours: Any, peer: Any, component: int = 1) -> None:
    await ours.sendto(b"ping", component)
    assert await peer.recvfrom() == (b"ping", component)
    await peer.sendto(b"pong", component)
    assert await ours.recvfrom() == (b"pong", component)


@pytest.mark.parametrize("ours_controls", [True, False], ids=["controlling", "controlled"])
async def test_either_role_connects_and_carries_data(ours_controls: bool):
    ours, peer = await pair_up(ours_controls)
    async with asyncio.timeout(10):
        await asyncio.gather(ours.connect(), peer.connect())
        await exchange(ours, peer)
    assert ours.selected_pair().nominated
    await asyncio.gather(ours.close(), peer.close())


@pytest.mark.parametrize("ours_controls", [True, False], ids=["controlling", "controlled"])
async def test_two_components_connect(ours_controls: bool):
    ours, peer = await pair_up(ours_controls, components=2)
    async with asyncio.timeout(10):
        await asyncio.gather(ours.connect(), peer.connect())
        await exchange(ours, peer, 1)
        await exchange(ours, peer, 2)
    await asyncio.gather(ours.close(), peer.close())


@pytest.mark.parametrize("role", [True, False], ids=["both-controlling", "both-controlled"])
async def test_role_conflict_is_settled(role: bool):
    ours = await gathered(natkit, ice_controlling=role)
    peer = await gathered(aioice, ice_controlling=role)
    await tell(natkit, ours, peer)
    await tell(aioice, peer, ours)
    async with asyncio.timeout(10):
        await asyncio.gather(ours.connect(), peer.connect())
        await exchange(ours, peer)
    assert ours.ice_controlling is not peer.ice_controlling
    await asyncio.gather(ours.close(), peer.close())


@pytest.mark.parametrize("late", ["natkit", "aioice"])
async def test_side_that_starts_late_is_waited_for(late: str):
    ours, peer = await pair_up(True)
    first, second = (peer, ours) if late == "natkit" else (ours, peer)
    connecting = asyncio.create_task(first.connect())
    await asyncio.sleep(0.3)
    async with asyncio.timeout(10):
        await asyncio.gather(connecting, second.connect())
        await exchange(ours, peer)
    await asyncio.gather(ours.close(), peer.close())


@pytest.mark.parametrize("ours_controls", [True, False], ids=["controlling", "controlled"])
async def test_candidates_that_trickle_in_after_connect_are_used(ours_controls: bool):
    ours = await gathered(natkit, ice_controlling=ours_controls)
    peer = await gathered(aioice, ice_controlling=not ours_controls)
    for side, other in ((ours, peer), (peer, ours)):
        side.remote_username, side.remote_password = other.local_username, other.local_password
    connecting = asyncio.gather(ours.connect(), peer.connect())
    await asyncio.sleep(0.1)
    await tell(natkit, ours, peer)
    await asyncio.sleep(0.1)
    await tell(aioice, peer, ours)
    async with asyncio.timeout(10):
        await connecting
        await exchange(ours, peer)
    await asyncio.gather(ours.close(), peer.close())


async def test_peer_without_our_candidates_learns_them_from_checks():
    ours = await gathered(natkit, ice_controlling=True)
    peer = await gathered(aioice, ice_controlling=False)
    await tell(natkit, ours, peer)
    peer.remote_username, peer.remote_password = ours.local_username, ours.local_password
    async with asyncio.timeout(10):
        await asyncio.gather(ours.connect(), peer.connect())
        await exchange(ours, peer)
    await asyncio.gather(ours.close(), peer.close())


@pytest.mark.parametrize("ours_controls", [True, False], ids=["controlling", "controlled"])
async def test_consent_holds_on_both_sides(ours_controls: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("aioice.ice.CONSENT_INTERVAL", 0.05)
    monkeypatch.setattr("natkit.ice.consent.INTERVAL", 0.05)
    monkeypatch.setattr("natkit.ice.consent.EXPIRY", 0.5)
    ours, peer = await pair_up(ours_controls)
    async with asyncio.timeout(10):
        await asyncio.gather(ours.connect(), peer.connect())
        await asyncio.sleep(1.5)
        await exchange(ours, peer)
    await asyncio.gather(ours.close(), peer.close())


async def test_peer_that_is_gone_is_noticed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("natkit.ice.consent.INTERVAL", 0.05)
    monkeypatch.setattr("natkit.ice.consent.EXPIRY", 0.5)
    ours, peer = await pair_up(True)
    async with asyncio.timeout(10):
        await asyncio.gather(ours.connect(), peer.connect())
        await peer.close()
        assert isinstance(await ours.get_event(), natkit.ConnectionClosed)
        with pytest.raises(ConnectionError):
            await ours.recv()
    await ours.close()
