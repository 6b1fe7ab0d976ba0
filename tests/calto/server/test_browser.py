"""A page in Chromium calls the echo contact, and hears its own microphone, on either path.

The page is the smallest client there can be of docs/calto-protocol.md.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from calto_demo.server.running import running
from tests.calto.server.world import settings_in
from tests.interop.conftest import CHROMIUM_ARGUMENTS
from tests.ports import free_port

pytestmark = [
    pytest.mark.interop,
    pytest.mark.needs("chromium"),
    pytest.mark.timeout(90),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

CALL = """
async (policy) => {
  const ask = async (path, options = {}) => (await fetch(path, options)).json();
  const {token, me} = await ask('/api/guest', {method: 'POST', body: '{"name": "Ada"}'});
  const call = crypto.randomUUID(), session = crypto.randomUUID();
  const headers = {Authorization: `Bearer ${token}`};
  const {iceServers} = await ask(`/api/ice?call=${call}`, {headers});
  const pc = new RTCPeerConnection({iceServers, iceTransportPolicy: policy});
  const microphone = await navigator.mediaDevices.getUserMedia({audio: true});
  for (const track of microphone.getTracks()) pc.addTrack(track, microphone);
  const sound = document.createElement('audio');
  pc.ontrack = ({streams, track}) => {
    sound.srcObject = new MediaStream([track]);
    sound.autoplay = true;
    document.body.append(sound);
  };
  let seq = 0, accepted = false, early = [];
  const socket = new WebSocket(`ws://${location.host}/ws`);
  await new Promise((open) => { socket.onopen = open; });
  const send = (frame) => socket.send(JSON.stringify({...frame, call, seq: ++seq}));
  const trickle = (candidate) => send({type: 'candidate', candidate});
  pc.onicecandidate = ({candidate}) => {
    const init = candidate ? candidate.toJSON() : null;
    accepted ? trickle(init) : early.push(init);
  };
  const steps = [];
  const ended = new Promise((end, fail) => {
    socket.onclose = fail;
    socket.onmessage = async ({data}) => {
      const frame = JSON.parse(data);
      if (frame.type != 'presence') steps.push(frame.type == 'error' ? frame.code : frame.type);
      if (frame.type == 'accepted') {
        await pc.setRemoteDescription({type: 'answer', sdp: frame.sdp});
        accepted = true;
        early.forEach(trickle);
      }
      if (frame.type == 'candidate') await pc.addIceCandidate(frame.candidate);
      if (frame.type == 'ended') end(frame.record);
    };
  });
  socket.send(JSON.stringify({type: 'hello', token, session}));
  await pc.setLocalDescription();
  send({type: 'ring', to: 'u-echo', sdp: pc.localDescription.sdp, path: 'auto'});
  let heard, pair;
  for (;;) {
    const stats = new Map([...await pc.getStats()]), all = [...stats.values()];
    heard = all.find((it) => it.type == 'inbound-rtp' && it.kind == 'audio');
    const transport = all.find((it) => it.type == 'transport');
    pair = stats.get(transport?.selectedCandidatePairId);
    if (heard?.totalAudioEnergy > 0.001 && pair) { pair = stats.get(pair.localCandidateId); break; }
    await new Promise((later) => setTimeout(later, 100));
  }
  send({type: 'connected'});
  send({type: 'hangup'});
  const record = await ended;
  pc.close();
  return {steps, type: pair.candidateType, state: record.state, reason: record.reason};
}
"""


@pytest.mark.parametrize(("policy", "types"), [("all", {"host", "prflx"}), ("relay", {"relay"})])
async def test_a_page_hears_itself_through_the_echo(
    empty_database: Path, tmp_path: Path, policy: str, types: set[str]
):
    from playwright.async_api import async_playwright

    shutil.copy(empty_database, tmp_path)
    (tmp_path / "index.html").write_text("<!doctype html><title>call</title>")
    settings = replace(
        settings_in(tmp_path),
        echo=True,
        turn_uris=(),
        turn_secret=None,
        turn_port=free_port(2),
        secret=None,
    )
    arguments = [*CHROMIUM_ARGUMENTS, "--use-fake-device-for-media-stream"]
    arguments += ["--use-fake-ui-for-media-stream", "--autoplay-policy=no-user-gesture-required"]
    async with running(settings) as server, async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=arguments
        )
        page = await browser.new_page()
        await page.goto(server.url.replace("127.0.0.1", "localhost") + "/")
        told: dict[str, Any] = await page.evaluate(CALL, policy)
        await browser.close()
    assert told["type"] in types
    assert (told["state"], told["reason"]) == ("ended", "hangup")
    assert told["steps"][:3] == ["welcome", "ringing", "accepted"]
    assert not {"no-such-call", "wrong-state", "bad-frame"} & set(told["steps"])
