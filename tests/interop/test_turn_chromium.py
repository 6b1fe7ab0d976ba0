"""Two peers in a headless Chromium that may only use relayed candidates."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest

from tests.interop.conftest import CHROMIUM_ARGUMENTS
from tests.turnfixtures import beyond
from tests.turnserver import USER, TurnUnderTest

OPEN = "--disable-features=WebRtcHideLocalIpsWithMdns"
"""A peer's own addresses are no names, which somebody would have to resolve."""

pytestmark = [pytest.mark.interop, pytest.mark.needs("chromium")]

CALL = """
async ([urls, username, credential, both]) => {
  const relay = {
    iceServers: [{urls, username, credential}], iceTransportPolicy: 'relay',
  };
  const one = new RTCPeerConnection(relay), two = new RTCPeerConnection(both ? relay : {});
  const candidates = [];
  one.onicecandidate = ({candidate}) => {
    if (candidate) { candidates.push(candidate.candidate); two.addIceCandidate(candidate); }
  };
  two.onicecandidate = ({candidate}) => { if (candidate) one.addIceCandidate(candidate); };
  two.ondatachannel = ({channel}) => {
    channel.onmessage = ({data}) => channel.send('echo ' + data);
  };
  const channel = one.createDataChannel('calls');
  const echoes = [];
  const done = new Promise((resolve, reject) => {
    setTimeout(() => reject('no echo, ICE ' + one.iceConnectionState + ' ' + candidates), 20000);
    channel.onopen = () => { for (let n = 0; n < 50; n++) channel.send('ping ' + n); };
    channel.onmessage = ({data}) => { if (echoes.push(data) == 50) resolve(); };
  });
  await one.setLocalDescription();
  await two.setRemoteDescription(one.localDescription);
  await two.setLocalDescription();
  await one.setRemoteDescription(two.localDescription);
  await done;
  // A pair is "in-progress" for a moment whenever its next check is under way.
  let pairs = [];
  for (let look = 0; look < 50 && !pairs.length; look++) {
    if (look) await new Promise((resolve) => setTimeout(resolve, 100));
    const stats = new Map([...await one.getStats()]);
    for (const entry of stats.values())
      if (entry.type == 'candidate-pair' && entry.nominated && entry.state == 'succeeded') {
        const local = stats.get(entry.localCandidateId);
        pairs.push({type: local.candidateType, protocol: local.relayProtocol, url: local.url});
      }
  }
  one.close();
  two.close();
  return {echoes, candidates, pairs};
}
"""


async def call(page_url: str, uri: str, *, both: bool) -> dict[str, Any]:
    """Return what a call was like; `both` peers may use relayed candidates alone, or one."""
    playwright = pytest.importorskip("playwright.async_api")
    async with playwright.async_playwright() as driver:
        browser = await driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=[*CHROMIUM_ARGUMENTS, OPEN]
        )
        try:
            page = await browser.new_page()
            await page.goto(page_url)
            found: dict[str, Any] = await page.evaluate(CALL, [[uri], *USER, both])
        finally:
            await browser.close()
    assert found["echoes"] == [f"echo ping {number}" for number in range(50)]
    return found


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_chromium_calls_through_the_relay(
    turn: TurnUnderTest, page_url: str, transport: str
) -> None:
    uri = {
        "udp": f"turn:{turn.ip}:{turn.port}?transport=udp",
        "tcp": f"turn:{turn.ip}:{turn.port}?transport=tcp",
        "tls": f"turns:{turn.ip}:{turn.tls_port}?transport=tcp",
    }[transport]
    found = await call(page_url, uri, both=True)
    assert all(" typ relay " in candidate for candidate in found["candidates"])
    (pair, *_) = found["pairs"]
    assert (pair["type"], pair["protocol"]) == ("relay", transport), json.dumps(found["pairs"])


@beyond
async def test_chromiums_packets_go_by_the_kernel(turn: TurnUnderTest, page_url: str) -> None:
    """From one peer by the relay to the other: what two relayed addresses say to each other never
    leaves the machine, and so goes the slow way.
    """
    before = turn.around.in_kernel()
    found = await call(page_url, f"turn:{turn.ip}:{turn.port}?transport=udp", both=False)
    assert [pair["type"] for pair in found["pairs"]] == ["relay"]
    # Chromium may put several messages into a packet; but some go each way, and checks besides.
    assert turn.around.in_kernel() - before > 10
