"""A headless Chromium that is sent from one server of a fleet to another."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from natkit.aio.network import SocketNetwork
from tests.conftest import cannot_run
from tests.interop.conftest import CHROMIUM_ARGUMENTS
from tests.interop.test_turn_fleet import drain, member, minted
from tests.turnkit import RawClient
from tests.turnserver import SECRET, TurnUnderTest

pytestmark = [pytest.mark.interop, pytest.mark.needs("chromium")]

GATHER = """
async ([urls, username, credential]) => {
  const one = new RTCPeerConnection({
    iceServers: [{urls, username, credential}], iceTransportPolicy: 'relay',
  });
  const candidates = [], errors = [];
  one.onicecandidateerror = ({errorCode}) => errors.push(errorCode);
  const done = new Promise((resolve) => {
    one.onicecandidate = ({candidate}) => {
      if (candidate) candidates.push(candidate.candidate); else resolve();
    };
  });
  one.createDataChannel('calls');
  await one.setLocalDescription();
  await done;
  one.close();
  return {candidates, errors};
}
"""


async def gathered(page_url: str, server: TurnUnderTest, transport: str) -> dict[str, Any]:
    """Return the relayed candidates that Chromium gets of a server, and the errors."""
    playwright = pytest.importorskip("playwright.async_api")
    uri = f"turn:{server.ip}:{server.port}?transport={transport}"
    async with playwright.async_playwright() as driver:
        browser = await driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=[*CHROMIUM_ARGUMENTS]
        )
        try:
            page = await browser.new_page()
            await page.goto(page_url)
            return await page.evaluate(GATHER, [[uri], *minted()])
        finally:
            await browser.close()


@pytest.fixture
def ip() -> str:
    """An address of this machine; libwebrtc is not sent to loopback ones."""
    found = [one.ip for one in SocketNetwork().interfaces() if one.name != "lo"]
    usable = [ip for ip in found if ":" not in ip]
    if not usable:
        cannot_run("this machine has no IPv4 address but those of loopback")
    return usable[0]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize(("secret", "gets"), [(SECRET, 1), ("of-another-fleet", 0)])
async def test_chromium_goes_where_it_is_sent_if_its_nonce_is_good_there(
    tmp_path: Path, page_url: str, ip: str, transport: str, secret: str, gets: int
) -> None:
    with contextlib.ExitStack() as stack:
        b = stack.enter_context(member(tmp_path / "b", secret=secret, ips=[ip]))
        words = ("--alternate-server", str(b.address))
        a = stack.enter_context(member(tmp_path / "a", *words, ips=[ip]))
        stack.enter_context(RawClient(a, source=ip)).log_in(minted()).allocate()
        drain(a)
        found = await gathered(page_url, a, transport)
        assert "draining: sent to" in a.log.read_text()
        assert len(found["candidates"]) == gets, found
        assert b.log.read_text().count("allocation made") == gets
