"""A headless peer's session, with a socket that does what a test says."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from websockets.asyncio.client import ClientConnection

from calto_demo.peer.account import Account
from calto_demo.peer.session import Session


class Scripted:
    """A socket. Attributes: coming: what it will receive next."""

    def __init__(self) -> None:
        self.coming: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def recv(self) -> str:
        said, self.coming = await self.coming, asyncio.get_running_loop().create_future()
        return said

    async def send(self, _data: str) -> None:
        raise AssertionError("nothing is due yet")


async def test_a_frame_that_comes_as_the_session_ends_does_not_keep_it_alive():
    async with Account("http://127.0.0.1:9") as account:
        session, socket = Session(account), Scripted()
        listening = asyncio.create_task(session._listen(cast("ClientConnection", socket)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        socket.coming.set_result('{"type": "presence", "seq": 1}')
        listening.cancel()
        done, _ = await asyncio.wait([listening], timeout=1)
        try:
            assert done == {listening}
            with pytest.raises(asyncio.CancelledError):
                listening.result()
        finally:
            listening.cancel()
