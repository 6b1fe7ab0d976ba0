"""Two peers in a headless Chromium that may only use relayed candidates."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.interop.conftest import CHROMIUM_ARGUMENTS
from tests.turnserver import USER, TurnUnderTest

pytestmark = [pytest.mark.interop, pytest.mark.needs("chromium")]

CALL = """
async ([urls, username, credential]) => {
  const configuration = {
    iceServers: [{urls, username, credential}], iceTransportPolicy: 'relay',
  };
  const one = new RTCPeerConnection(configuration), two = new RTCPeerConnection(configuration);
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


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_chromium_calls_through_the_relay(
    turn: TurnUnderTest, page_url: str, transport: str, tmp_path: Path
) -> None:
    playwright = pytest.importorskip("playwright.async_api")
    uri = {
        "udp": f"turn:127.0.0.1:{turn.port}?transport=udp",
        "tcp": f"turn:127.0.0.1:{turn.port}?transport=tcp",
        "tls": f"turns:localhost:{turn.tls_port}?transport=tcp",
    }[transport]
    async with playwright.async_playwright() as driver:
        browser = await driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=[*CHROMIUM_ARGUMENTS]
        )
        try:
            page = await browser.new_page()
            await page.goto(page_url)
            found = await page.evaluate(CALL, [[uri], *USER])
        finally:
            await browser.close()
    assert found["echoes"] == [f"echo ping {number}" for number in range(50)]
    assert all(" typ relay " in candidate for candidate in found["candidates"])
    (pair, *_) = found["pairs"]
    assert (pair["type"], pair["protocol"]) == ("relay", transport), json.dumps(found["pairs"])
