"""A headless Chromium calls aiortc on natkit's ICE, and is called: sound and data, trickling."""

from __future__ import annotations

import asyncio
import shutil
from typing import Any

import pytest
from aiortc import RTCConfiguration, RTCSessionDescription
from aiortc.sdp import candidate_from_sdp, candidate_to_sdp

from natkit.aiortc import RTCPeerConnection
from tests.aiortc.calls import Ear, Tone
from tests.interop.conftest import CHROMIUM_ARGUMENTS

pytestmark = [pytest.mark.interop, pytest.mark.needs("chromium"), pytest.mark.timeout(90)]

MICROPHONE = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
"""It beeps, and nobody is asked. Who may hear may know addresses, so host candidates have them."""

PREPARE = """
async ([offers]) => {
  window.pc = new RTCPeerConnection();
  pc.onicecandidate = ({candidate}) => found(candidate ? candidate.toJSON() : null);
  pc.ontrack = ({track}) => {
    const sound = document.createElement('audio');
    sound.srcObject = new MediaStream([track]);
    sound.autoplay = true;
    document.body.append(sound);
  };
  const use = (channel) => {
    window.channel = channel;
    channel.onmessage = ({data}) => channel.send('echo ' + data);
  };
  pc.ondatachannel = ({channel}) => use(channel);
  const microphone = await navigator.mediaDevices.getUserMedia({audio: true});
  for (const track of microphone.getTracks()) pc.addTrack(track, microphone);
  if (offers) use(pc.createDataChannel('calls'));
}
"""

TELL = """
async (description) => {
  if (description) await pc.setRemoteDescription(description);
  if (pc.signalingState == 'stable' && description) return null;
  await pc.setLocalDescription();
  return {type: pc.localDescription.type, sdp: pc.localDescription.sdp};
}
"""

STATS = """
async () => {
  const stats = new Map([...await pc.getStats()]), entries = [...stats.values()];
  // A controlling Chromium nominates one pair after the other as they succeed, and may stay with
  // another one than its peer; both work.
  const pairs = entries.filter((it) => it.type == 'candidate-pair' && it.nominated);
  const port = (id) => stats.get(id).port;
  const sound = entries.find((it) => it.type == 'inbound-rtp' && it.kind == 'audio');
  return {
    pairs: pairs.map((it) => [it.localCandidateId, it.remoteCandidateId].map(port)),
    energy: sound.totalAudioEnergy, packets: sound.packetsReceived,
    lost: sound.packetsLost, state: pc.connectionState,
  };
}
"""


class Page:
    """A peer in the browser, and the signalling to ours."""

    def __init__(self, page: Any, ours: RTCPeerConnection) -> None:
        self.page, self.ours = page, ours
        self.told: dict[str, list[Any]] = {"page": [], "ours": []}
        self._from_page: asyncio.Queue[Any] = asyncio.Queue()
        self._from_ours: asyncio.Queue[Any] = asyncio.Queue()
        ours.on("icecandidate", self._from_ours.put_nowait)
        self._carrying: list[asyncio.Task[None]] = []

    async def prepare(self, *, offers: bool) -> None:
        await self.page.expose_function("found", self._from_page.put_nowait)
        await self.page.evaluate(PREPARE, [offers])

    async def negotiate(self, *, page_offers: bool) -> None:
        """Offer and answer; candidates go as they are found."""
        if page_offers:
            await self.ours.setRemoteDescription(described(await self.page.evaluate(TELL, None)))
            await self.ours.setLocalDescription()
            await self.page.evaluate(TELL, vars(self.ours.localDescription))
        else:
            await self.ours.setLocalDescription()
            answer = await self.page.evaluate(TELL, vars(self.ours.localDescription))
            await self.ours.setRemoteDescription(described(answer))
        if not self._carrying:
            self._carrying = [
                asyncio.create_task(self._to_ours()),
                asyncio.create_task(self._to_page()),
            ]

    async def _to_ours(self) -> None:
        while True:
            told = await self._from_page.get()
            self.told["page"].append(told)
            candidate = None
            if told is not None and told["candidate"]:
                candidate = candidate_from_sdp(told["candidate"].removeprefix("candidate:"))
                candidate.sdpMid = told["sdpMid"]
                candidate.sdpMLineIndex = told["sdpMLineIndex"]
            await self.ours.addIceCandidate(candidate)

    async def _to_page(self) -> None:
        while True:
            candidate = await self._from_ours.get()
            self.told["ours"].append(candidate)
            told = None
            if candidate is not None:
                text = f"candidate:{candidate_to_sdp(candidate)}"
                told = {
                    "candidate": text,
                    "sdpMid": candidate.sdpMid,
                    "sdpMLineIndex": candidate.sdpMLineIndex,
                }
            await self.page.evaluate("(told) => pc.addIceCandidate(told)", told)

    async def hears(self) -> dict[str, Any]:
        """Wait until the page has heard our tone; return its statistics."""
        while True:
            stats: dict[str, Any] = await self.page.evaluate(STATS)
            if stats["packets"] >= 25 and stats["energy"] > 0.001:
                return stats
            await asyncio.sleep(0.1)

    async def close(self) -> None:
        for task in self._carrying:
            task.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)


def described(told: dict[str, str]) -> RTCSessionDescription:
    return RTCSessionDescription(told["sdp"], told["type"])


@pytest.mark.parametrize("page_offers", [True, False], ids=["page-calls", "we-call"])
async def test_sound_and_data_go_both_ways_and_a_restart_finds_another_path(
    page_url: str, page_offers: bool
) -> None:
    playwright = pytest.importorskip("playwright.async_api")
    async with playwright.async_playwright() as driver:
        browser = await driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=[*CHROMIUM_ARGUMENTS, *MICROPHONE]
        )
        ours = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        page = Page(await browser.new_page(), ours)
        try:
            await page.page.goto(page_url)
            await converse(page, page_offers)
        finally:
            await page.close()
            await ours.close()
            await browser.close()


async def converse(page: Page, page_offers: bool) -> None:
    ours, ear, read = page.ours, Ear(page.ours), asyncio.Queue[str]()
    ours.addTrack(Tone())
    channels: asyncio.Queue[Any] = asyncio.Queue()
    ours.on("datachannel", channels.put_nowait)
    if not page_offers:
        channels.put_nowait(ours.createDataChannel("calls"))
    await page.prepare(offers=page_offers)
    await page.negotiate(page_offers=page_offers)
    async with asyncio.timeout(30):
        channel = await channels.get()
        channel.on("message", read.put_nowait)
        before = await both_hear(page, ear)
        await page.page.evaluate("() => channel.send('hello')")
        assert await read.get() == "hello"
        channel.send("here")
        assert await read.get() == "echo here"
    for side, told in page.told.items():
        assert len(told) > 1, side
        assert told[-1] is None, side
    assert not [it for it in page.told["page"][:-1] if ".local" in it["candidate"]]
    if page_offers:
        await page.page.evaluate("() => pc.restartIce()")
    else:
        ours.restartIce()
    await page.negotiate(page_offers=page_offers)
    async with asyncio.timeout(30):
        while before & await both_hear(page, ear):
            pass
    assert ours.connectionState == "connected"
    ear.stop()


async def both_hear(page: Page, ear: Ear) -> set[int]:
    """Wait until both hear each other; return the ports of our path, which the page knows, too."""
    await ear.hears()
    stats = await page.hears()
    assert (stats["state"], stats["lost"]) == ("connected", 0)
    ours = await page.ours.getStats()
    (transport,) = (it for it in ours.values() if it.type == "transport")
    pair = ours[transport.selectedCandidatePairId]
    ports = [ours[pair.remoteCandidateId].port, ours[pair.localCandidateId].port]
    assert ports in stats["pairs"]
    return set(ports)
