"""aiortc on natkit's ICE against libdatachannel, whose ICE is libjuice: both roles, trickling."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest
from aiortc import RTCConfiguration, RTCSessionDescription
from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.sdp import candidate_from_sdp, candidate_to_sdp

from natkit.aiortc import RTCPeerConnection
from tests.interop.talker import Talker, talker

pytest.importorskip("pylibdatachannel")

pytestmark = [pytest.mark.interop, pytest.mark.timeout(90)]


class Signalling:
    """Carries descriptions and candidates between a peer of ours and libdatachannel's."""

    def __init__(self, ours: RTCPeerConnection, theirs: Talker) -> None:
        self.ours, self.theirs = ours, theirs
        self.trickled: dict[str, list[Any]] = {"ours": [], "theirs": []}
        self.their_states: list[str] = []
        ours.on("icecandidate", self._to_them)

    async def offer(self) -> None:
        await self.ours.setLocalDescription()
        self._describe()

    def _describe(self) -> None:
        described = self.ours.localDescription
        self.theirs.tell(sdp=described.sdp, type=described.type)

    def _to_them(self, candidate: Any) -> None:
        self.trickled["ours"].append(candidate)
        if candidate is not None:
            text = f"a=candidate:{candidate_to_sdp(candidate)}"
            # Signalling takes a while; a candidate must not come before the description.
            asyncio.get_running_loop().call_later(
                0.05, lambda: self.theirs.tell(candidate=text, mid=candidate.sdpMid)
            )

    async def from_them(self) -> None:
        async for said in self.theirs.said():
            if "sdp" in said:
                await self.ours.setRemoteDescription(
                    RTCSessionDescription(said["sdp"], said["type"])
                )
                if said["type"] == "offer":
                    await self.ours.setLocalDescription()
                    self._describe()
            elif "candidate" in said:
                self.trickled["theirs"].append(said["candidate"])
                candidate = candidate_from_sdp(said["candidate"].partition(":")[2])
                candidate.sdpMid = said["mid"]
                await self.ours.addIceCandidate(candidate)
            else:
                self.their_states.append(said["ice"])


@pytest.mark.parametrize("role", ["answer", "offer"], ids=["we-control", "they-control"])
async def test_libdatachannel_connects_and_carries_data(
    role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its certificates call themselves X.509 version 2, which the library that aiortc reads them
    # with refuses. Who is there is not what is asked here.
    monkeypatch.setattr(RTCDtlsTransport, "_validate_peer_identity", lambda _self, _told: None)
    ours = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    channels: asyncio.Queue[Any] = asyncio.Queue()
    ours.on("datachannel", channels.put_nowait)
    async with talker(sys.executable, "-m", "tests.interop.libjuice_peer", role) as theirs:
        signalling = Signalling(ours, theirs)
        listening = asyncio.create_task(signalling.from_them())
        try:
            if role == "answer":
                channels.put_nowait(ours.createDataChannel("calls"))
                await signalling.offer()
            async with asyncio.timeout(30):
                assert await echoed(await channels.get()) == "hello"
                await nominated(ours, we_control=role == "answer")
            assert signalling.trickled["theirs"]
            assert len(signalling.trickled["ours"]) > 1
            assert "failed" not in signalling.their_states
        finally:
            await ours.close()
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


async def echoed(channel: Any) -> str:
    """Return what comes back of what is said."""
    heard: asyncio.Queue[str] = asyncio.Queue()
    channel.on("message", heard.put_nowait)
    if channel.readyState != "open":
        opened = asyncio.Event()
        channel.on("open", opened.set)
        await opened.wait()
    channel.send("hello")
    return await heard.get()


async def nominated(ours: RTCPeerConnection, *, we_control: bool) -> None:
    """Wait until the controlling side has nominated, which libjuice does after a while."""
    ice = ours.sctp.transport.transport.gatherer.connection
    assert ice.ice_controlling is we_control
    while not ice.selected_pair().nominated:  # noqa: ASYNC110 - aiortc tells nobody
        await asyncio.sleep(0.05)
