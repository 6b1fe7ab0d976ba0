"""natkit's ICE against a headless Chromium's, candidates trickling both ways, in either role.

Nothing speaks DTLS on natkit's side: what comes once ICE is done is Chromium's ClientHello, again
and again, and that is data enough.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from typing import Any

import pytest

import natkit
from tests.interop.conftest import CHROMIUM_ARGUMENTS

pytestmark = [pytest.mark.interop, pytest.mark.needs("chromium"), pytest.mark.timeout(90)]

SHOW_ADDRESSES = "--disable-features=WebRtcHideLocalIpsWithMdns"
"""Else Chromium would ask the whole link for the names it hides them behind."""

HANDSHAKE = 22  # the first byte of a DTLS ClientHello (RFC 9147 §4)

PREPARE = """
() => {
  window.pc = new RTCPeerConnection();
  pc.onicecandidate = ({candidate}) => found(candidate ? candidate.candidate : null);
  window.connected = new Promise((resolve, reject) => {
    setTimeout(() => reject('ICE ' + pc.iceConnectionState), 20000);
    pc.oniceconnectionstatechange = () => {
      if (['connected', 'completed'].includes(pc.iceConnectionState)) resolve(true);
    };
  });
}
"""

OFFER = """
async () => {
  pc.createDataChannel('calls');
  await pc.setLocalDescription();
  return pc.localDescription.sdp;
}
"""

ANSWER = """
async (sdp) => {
  await pc.setRemoteDescription({type: 'offer', sdp});
  await pc.setLocalDescription();
  return pc.localDescription.sdp;
}
"""

PAIRS = """
async () => {
  const stats = new Map([...await pc.getStats()]), found = [];
  for (const entry of stats.values())
    if (entry.type == 'candidate-pair' && entry.nominated)
      found.push([stats.get(entry.localCandidateId).port, stats.get(entry.remoteCandidateId).port]);
  return found;
}
"""


def description(connection: natkit.Connection, setup: str) -> str:
    """Return an SDP for a data channel; its fingerprint is nobody's."""
    lines = (
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "c=IN IP4 0.0.0.0",
        "a=mid:0",
        f"a=ice-ufrag:{connection.local_username}",
        f"a=ice-pwd:{connection.local_password}",
        "a=ice-options:trickle",
        f"a=fingerprint:sha-256 {':'.join(['AA'] * 32)}",
        f"a=setup:{setup}",
        "a=sctp-port:5000",
    )
    return "".join(f"{line}\r\n" for line in lines)


def learn(connection: natkit.Connection, sdp: str) -> None:
    """Take the browser's name and password."""
    told = dict(re.findall(r"^a=(ice-ufrag|ice-pwd):(\S+)", sdp, re.M))
    connection.remote_username = told["ice-ufrag"]
    connection.remote_password = told["ice-pwd"]


class Signalling:
    """Carries candidates between a connection and a page as they are found, of one transport."""

    def __init__(self, page: Any, transport: str) -> None:
        self.page, self.transport = page, transport
        self.from_page: asyncio.Queue[str | None] = asyncio.Queue()
        self.from_us: asyncio.Queue[natkit.Candidate | None] = asyncio.Queue()

    async def to_us(self, connection: natkit.Connection) -> None:
        while True:
            text = await self.from_page.get()
            found = natkit.Candidate.from_sdp(text) if text else None
            if found is None or found.transport == self.transport:
                await connection.add_remote_candidate(found)
            if found is None:
                return

    async def to_page(self) -> None:
        while (found := await self.from_us.get()) is not None:
            if found.transport != self.transport:
                continue
            text = f"candidate:{found.to_sdp()}"
            told = {"candidate": text, "sdpMid": "0", "sdpMLineIndex": 0}
            await self.page.evaluate("(told) => pc.addIceCandidate(told)", told)


@pytest.mark.parametrize("ours_controls", [True, False], ids=["controlling", "controlled"])
async def test_chromium_connects(page_url: str, ours_controls: bool) -> None:
    await visit(page_url, ours_controls, "udp")


@pytest.mark.parametrize("ours_controls", [True, False], ids=["controlling", "controlled"])
async def test_chromium_connects_over_tcp_where_it_is_told_of_nothing_else(
    page_url: str, ours_controls: bool
) -> None:
    """Its candidate is an active one, ours a passive one."""
    await visit(page_url, ours_controls, "tcp")


async def visit(page_url: str, ours_controls: bool, transport: str) -> None:
    playwright = pytest.importorskip("playwright.async_api")
    async with playwright.async_playwright() as driver:
        browser = await driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=[*CHROMIUM_ARGUMENTS, SHOW_ADDRESSES]
        )
        try:
            page = await browser.new_page()
            await page.goto(page_url)
            await converse(page, ours_controls, transport)
        finally:
            await browser.close()


async def converse(page: Any, ours_controls: bool, transport: str) -> None:
    signalling = Signalling(page, transport)
    await page.expose_function("found", signalling.from_page.put_nowait)
    await page.evaluate(PREPARE)
    tcp = ["passive"] if transport == "tcp" else []
    ours = natkit.Connection(ours_controls, on_candidate=signalling.from_us.put_nowait, tcp=tcp)
    if ours_controls:
        learn(ours, await page.evaluate(ANSWER, description(ours, "actpass")))
    else:
        learn(ours, await page.evaluate(OFFER))
        answer = {"type": "answer", "sdp": description(ours, "passive")}
        await page.evaluate("(answer) => pc.setRemoteDescription(answer)", answer)
    try:
        gathering = asyncio.ensure_future(ours.gather_candidates())
        trickling = asyncio.gather(signalling.to_us(ours), signalling.to_page())
        await asyncio.sleep(0)
        async with asyncio.timeout(30):
            await ours.connect()
            await page.evaluate("() => connected")
            data = await ours.recv()
            await gathering
            await trickling
            # Data may go over a pair that works before one is nominated.
            while not (pair := ours.selected_pair()) or not pair.nominated:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert data[0] == HANDSHAKE
        assert ours.ice_controlling is ours_controls
        assert pair.local.transport == transport
        assert [pair.remote.port, pair.local.port] in await page.evaluate(PAIRS)
    finally:
        await ours.close()
