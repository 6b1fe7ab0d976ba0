"""The echo contact, called by a peer on aiortc: the tone that is sent comes back."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from aiortc import RTCConfiguration, RTCIceServer, RTCIceTransportPolicy, RTCSessionDescription
from aiortc.sdp import candidate_from_sdp

from calto_demo.server.running import running
from calto_demo.server.settings import Settings
from natkit.aiortc import RTCPeerConnection
from tests.aiortc.calls import Ear, Tone
from tests.calto.clients import Api, Tab, api, new_call
from tests.calto.server.world import settings_in
from tests.ports import free_port

ECHO = "u-echo"


async def ada(stack: AsyncExitStack, settings: Settings) -> tuple[Api, Tab]:
    """Return somebody at a server that runs as long as the stack."""
    server = await stack.enter_async_context(running(settings))
    web = await stack.enter_async_context(api(server.url))
    tab = Tab(web.url, *await web.guest("Ada"))
    await tab.open()
    stack.push_async_callback(tab.close)
    return web, tab


async def answered(tab: Tab, peer: RTCPeerConnection, call: str) -> None:
    """Ring the echo with a peer's offer, and hand its answer and candidates to the peer."""
    await peer.setLocalDescription(await peer.createOffer())
    await tab.send("ring", call, to=ECHO, sdp=peer.localDescription.sdp)
    await tab.expect("ringing", call=call)
    answer = (await tab.expect("accepted", call=call))["sdp"]
    await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    await trickled(tab, peer, call)


async def trickled(tab: Tab, peer: RTCPeerConnection, call: str) -> None:
    while (init := (await tab.expect("candidate", call=call))["candidate"]) is not None:
        candidate = candidate_from_sdp(init["candidate"].removeprefix("candidate:"))
        candidate.sdpMid, candidate.sdpMLineIndex = init["sdpMid"], init["sdpMLineIndex"]
        await peer.addIceCandidate(candidate)


async def chosen(peer: RTCPeerConnection) -> str:
    """Return the type of the selected pair's candidate on our side."""
    stats = await peer.getStats()
    [transport] = [one for one in stats.values() if one.type == "transport"]
    pair = stats[transport.selectedCandidatePairId]
    return str(stats[pair.localCandidateId].candidateType)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["ALL", "RELAY"])
async def test_what_is_said_to_the_echo_comes_back_on_either_path(tmp_path: Path, policy: str):
    settings = replace(
        settings_in(tmp_path),
        echo=True,
        turn_uris=(),
        turn_secret=None,
        turn_port=free_port(2),
        secret=None,
    )
    async with AsyncExitStack() as stack:
        web, tab = await ada(stack, settings)
        call = new_call()
        given = (await web.get(f"/api/ice?call={call}", tab.token))["iceServers"]
        servers = [
            RTCIceServer(one["urls"], one.get("username"), one.get("credential")) for one in given
        ]
        peer = RTCPeerConnection(RTCConfiguration(servers, RTCIceTransportPolicy[policy]))
        stack.push_async_callback(peer.close)
        ear = Ear(peer)
        peer.addTrack(Tone())
        await answered(tab, peer, call)
        await tab.expect("connected", call=call)
        async with asyncio.timeout(20):
            await ear.hears()
        assert await chosen(peer) == ("relay" if policy == "RELAY" else "host")
        await tab.send("hangup", call)
        ended = await tab.expect("ended", call=call, reason="hangup")
        assert ended["record"]["connected_at"] is not None


@pytest.mark.slow
@pytest.mark.parametrize("sdp", ["garbage", "v=0\r\n"])
async def test_an_offer_that_cannot_be_used_is_one_warning_and_the_caller_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, sdp: str
):
    settings = replace(settings_in(tmp_path), echo=True)
    async with AsyncExitStack() as stack:
        _, tab = await ada(stack, settings)
        call = new_call()
        await tab.send("ring", call, to=ECHO, sdp=sdp)
        ended = await tab.expect("ended", call=call, reason="failed")
        assert ended["message"] == "this call's offer cannot be used"
    [warning] = [it for it in caplog.records if it.name == "calto.echo"]
    assert (warning.levelname, warning.exc_info) == ("WARNING", None)
