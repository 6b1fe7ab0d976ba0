"""aioice's documented examples, as its source distribution has them, but for the import."""

from __future__ import annotations

import asyncio
import re
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from tests.interop.source import source_of

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """aioice's source distribution, unpacked: its examples are not in the wheel."""
    return source_of("aioice", tmp_path_factory.mktemp("aioice"))


class Signalling:
    """What the examples' WebSocket server does: pass a message on to everybody else."""

    def __init__(self) -> None:
        self.clients: list[asyncio.Queue[str]] = []

    async def connect(self, _uri: str) -> Any:
        queue: asyncio.Queue[str] = asyncio.Queue()
        self.clients.append(queue)
        return types.SimpleNamespace(
            send=lambda text: self.send(queue, text), recv=queue.get, close=self.close
        )

    async def send(self, sender: asyncio.Queue[str], text: str) -> None:
        for client in self.clients:
            if client is not sender:
                client.put_nowait(text)

    async def close(self) -> None:
        """The others still have their queues."""


def changed(text: str) -> str:
    """Change the import, and nothing else."""
    assert text.count("import aioice") == 1
    return text.replace("import aioice", "import natkit as aioice")


@pytest.mark.parametrize("components", [1, 2])
async def test_the_client_example_runs_both_ways(
    source: Path, components: int, monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    module = types.ModuleType("ice_client")
    monkeypatch.setitem(sys.modules, "websockets", types.ModuleType("websockets"))
    text = (source / "examples" / "ice-client.py").read_text(encoding="utf-8")
    exec(compile(changed(text), "ice-client.py", "exec"), module.__dict__)
    module.websockets = Signalling()
    answering = asyncio.ensure_future(module.answer(components))
    while len(module.websockets.clients) < 1:  # noqa: ASYNC110 - the example tells nobody
        await asyncio.sleep(0.05)
    async with asyncio.timeout(60):
        await asyncio.gather(module.offer(components), answering)
    said = capsys.readouterr().out
    assert "echoing b'hello' on component 1" in said
    assert "received b'hello' on component 1" in said


async def test_the_readme_example_runs(source: Path):
    import natkit

    readme = (source / "README.rst").read_text(encoding="utf-8")
    block = re.search(r"\.\. code:: python\n\n((?:    .*\n|\n)+)", readme)
    assert block is not None
    text = "".join(line[4:] or "\n" for line in block[1].splitlines(keepends=True))
    code = changed(text).replace("asyncio.run(connect_using_ice())\n", "")
    peer = natkit.Connection(ice_controlling=False)
    await peer.gather_candidates()
    told: list[Any] = []
    names = {
        "send_local_info": lambda *info: told.append(info),
        "get_remote_info": lambda: (
            peer.local_candidates,
            peer.local_username,
            peer.local_password,
        ),
    }
    exec(compile(code, "README.rst", "exec"), names)
    running = asyncio.ensure_future(names["connect_using_ice"]())  # type: ignore[operator]
    while not told:  # noqa: ASYNC110 - the example tells nobody
        await asyncio.sleep(0.01)
    candidates, peer.remote_username, peer.remote_password = told[0]
    for candidate in candidates:
        await peer.add_remote_candidate(candidate)
    await peer.add_remote_candidate(None)
    async with asyncio.timeout(20):
        await peer.connect()
        data, component = await peer.recvfrom()
        assert data == b"1234"
        await peer.sendto(data, component)
        await running
    await peer.close()
