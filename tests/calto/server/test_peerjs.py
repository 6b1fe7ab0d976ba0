"""PeerJS: HTTP and frames raw, and the stock client in Chromium."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.calto.server.world import World, world_in
from tests.interop.conftest import CHROMIUM_ARGUMENTS

pytestmark = pytest.mark.slow

PEERJS = "peerjs@1.5.5"


def address(world: World, **query: str) -> str:
    text = "&".join(f"{key}={value}" for key, value in query.items())
    return f"{world.api.url.replace('http', 'ws', 1)}/peer/peerjs?{text}"


async def frame(socket: ClientConnection) -> Any:
    async with asyncio.timeout(10):
        return json.loads(await socket.recv())


@asynccontextmanager
async def peer(world: World, name: str, token: str = "t") -> AsyncIterator[ClientConnection]:
    where = address(world, key="peerjs", id=name, token=token, version="1.5.5")
    async with connect(where, proxy=None, close_timeout=1) as socket:
        assert await frame(socket) == {"type": "OPEN"}
        yield socket


async def test_the_http_side_answers_as_the_stock_server_does(world: World):
    assert await world.api.get("/peer/") == {
        "name": "PeerJS Server",
        "description": "A server side element to broker connections between PeerJS clients.",
        "website": "https://peerjs.com/",
    }
    origin = {"Origin": "https://anywhere.example"}
    one, other = [
        await world.api.ask("GET", "/peer/peerjs/id?ts=1&version=1.5.5", headers=origin)
        for _ in range(2)
    ]
    assert one.headers["content-type"] == "text/html; charset=utf-8"
    assert one.headers["access-control-allow-origin"] == "https://anywhere.example"
    assert len(one.text) == 36
    assert one.text != other.text
    peers = await world.api.ask("GET", "/peer/peerjs/peers")
    assert (peers.status_code, peers.text) == (401, "Unauthorized")


@pytest.mark.parametrize(
    ("query", "kind", "message"),
    [
        ({"id": "ada", "token": "t"}, "ERROR", "No id, token, or key supplied"),
        ({"key": "peerjs", "id": "", "token": "t"}, "ERROR", "No id, token, or key supplied"),
        ({"key": "x", "id": "ada", "token": "t"}, "ERROR", "Invalid key provided"),
        ({"key": "peerjs", "id": "u-echo", "token": "t"}, "ID-TAKEN", "ID is taken"),
    ],
)
async def test_who_does_not_come_in_is_told_why_and_closed(world: World, query, kind, message):
    async with connect(address(world, **query), proxy=None, close_timeout=1) as socket:
        told = await frame(socket)
        assert told["type"] == kind
        assert told["payload"]["msg"].startswith(message)
        await socket.wait_closed()


async def test_an_offer_goes_across_and_its_sender_cannot_be_another(world: World):
    async with peer(world, "ada") as ada, peer(world, "bob") as bob:
        offer = {"type": "OFFER", "src": "eve", "dst": "bob", "payload": {"sdp": {}}}
        await ada.send(json.dumps(offer))
        assert await frame(bob) == {**offer, "src": "ada"}


async def test_a_users_id_is_had_with_the_users_token_alone(world: World):
    user, token = await world.api.guest("Ada")
    _, other = await world.api.guest("Eve")
    async with peer(world, user, token):
        pass
    where = address(world, key="peerjs", id=user, token=other)
    async with connect(where, proxy=None, close_timeout=1) as socket:
        assert (await frame(socket))["type"] == "ID-TAKEN"


@pytest.fixture(scope="session")
def stock_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stock client's code, as npm has it."""
    where = tmp_path_factory.mktemp("npm")
    done = subprocess.run(
        ["npm", "install", "--no-save", "--no-audit", "--no-fund", PEERJS],
        cwd=where,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return where / "node_modules" / "peerjs" / "dist" / "peerjs.min.js"


PREPARE = """
async (id) => {
  const port = Number(location.port);
  window.peer = new Peer(id, {host: location.hostname, port, path: '/peer', config: {}});
  window.heard = [];
  peer.on('connection', (connection) => connection.on('data', (data) => {
    heard.push(data);
    connection.send(data);
  }));
  peer.on('call', async (call) => {
    call.answer(await navigator.mediaDevices.getUserMedia({audio: true}));
    window.call = call;
  });
  return await new Promise((open, fail) => { peer.on('open', open); peer.on('error', fail); });
}
"""

SAY = """
([to, serialization, data]) => new Promise((heard, fail) => {
  const connection = peer.connect(to, {serialization, reliable: true});
  peer.on('error', fail);
  connection.on('open', () => connection.send(data));
  connection.on('data', heard);
})
"""

CALL = """
async (to) => {
  window.call = peer.call(to, await navigator.mediaDevices.getUserMedia({audio: true}));
  const stream = await new Promise((come) => call.on('stream', come));
  const sound = document.createElement('audio');
  sound.srcObject = stream;
  sound.autoplay = true;
  document.body.append(sound);
}
"""

HEARS = """
async () => {
  for (;;) {
    const stats = [...(await call.peerConnection.getStats()).values()];
    const sound = stats.find((it) => it.type == 'inbound-rtp' && it.kind == 'audio');
    if (sound?.totalAudioEnergy > 0.001) return true;
    await new Promise((later) => setTimeout(later, 100));
  }
}
"""

RECONNECT = """
async () => {
  peer.disconnect();
  peer.reconnect();
  return await new Promise((open) => peer.on('open', open));
}
"""

NOBODY = """
(to) => new Promise((told) => {
  const began = performance.now();
  peer.on('error', (error) => told([error.type, performance.now() - began]));
  peer.connect(to);
})
"""


@pytest.fixture
async def pages(
    stock_client: Path, empty_database: Path, tmp_path: Path
) -> AsyncIterator[tuple[Any, Any]]:
    """Two pages with the stock client, ids "ada" and "bob"."""
    from playwright.async_api import async_playwright

    shutil.copy(empty_database, tmp_path)
    shutil.copy(stock_client, tmp_path)
    (tmp_path / "index.html").write_text('<!doctype html><script src="/peerjs.min.js"></script>')
    arguments = [*CHROMIUM_ARGUMENTS, "--use-fake-device-for-media-stream"]
    arguments += ["--use-fake-ui-for-media-stream", "--autoplay-policy=no-user-gesture-required"]
    async with world_in(tmp_path) as world, async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=arguments
        )
        made = [await browser.new_page() for _ in range(2)]
        for page, name in zip(made, ("ada", "bob"), strict=True):
            await page.goto(world.api.url.replace("127.0.0.1", "localhost") + "/")
            assert await page.evaluate(PREPARE, name) == name
        yield made[0], made[1]
        await browser.close()


stock = [
    pytest.mark.interop,
    pytest.mark.needs("chromium", "npm"),
    pytest.mark.timeout(90),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.mark.parametrize("serialization", ["binary", "binary-utf8", "json", "raw"])
class TestStockData:
    pytestmark = stock

    async def test_stock_clients_exchange_data(self, pages: tuple[Any, Any], serialization: str):
        ada, _ = pages
        data = "text" if serialization == "raw" else {"text": "grüezi", "numbers": [1, 2, 3]}
        assert await ada.evaluate(SAY, ["bob", serialization, data]) == data


class TestStock:
    pytestmark = stock

    async def test_stock_clients_hear_each_other(self, pages: tuple[Any, Any]):
        ada, _ = pages
        await ada.evaluate(CALL, "bob")
        async with asyncio.timeout(30):
            assert await ada.evaluate(HEARS)

    async def test_a_stock_client_keeps_its_id_when_it_connects_again(self, pages: tuple[Any, Any]):
        ada, bob = pages
        assert await bob.evaluate(RECONNECT) == "bob"
        assert await ada.evaluate(SAY, ["bob", "json", "after"]) == "after"

    async def test_a_stock_client_learns_at_once_that_nobody_is_there(self, pages: tuple[Any, Any]):
        ada, _ = pages
        kind, milliseconds = await ada.evaluate(NOBODY, "cleo")
        assert kind == "peer-unavailable"
        assert milliseconds < 4000, "the stock server takes five seconds"
