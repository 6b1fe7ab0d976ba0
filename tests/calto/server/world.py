"""A Calto server for a test, and the means to be somebody there."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from httpx2 import Response

from calto_demo.server.running import Server, running
from calto_demo.server.settings import Settings
from tests.calto.clients import SDP, Api, Tab, api

SECRET = "a secret of at least 32 characters"
TURN_SECRET = "what the TURN server knows"


class World(NamedTuple):
    """A server, and the means to be somebody there."""

    server: Server
    api: Api
    stack: AsyncExitStack

    async def tab(self, name: str, **fields: Any) -> Tab:
        """Return an open session of a new guest."""
        user, token = await self.api.guest(name)
        return await self.another(Tab(self.api.url, user, token), **fields)

    async def another(self, like: Tab, **fields: Any) -> Tab:
        """Return one more session of the same user."""
        tab = Tab(like.url, like.user, like.token)
        await tab.open(**fields)
        self.stack.push_async_callback(tab.close)
        return tab

    def new_tab(self, user: str, token: str, name: str | None = None) -> Tab:
        """Return a session that is not open yet."""
        tab = Tab(self.api.url, user, token, name)
        self.stack.push_async_callback(tab.close)
        return tab

    @property
    def static(self) -> Path:
        """Where the web app's files are."""
        return self.server.services.settings.static

    def now(self) -> float:
        """Return the server's time."""
        return time.time()

    async def people(self, tab: Tab) -> dict[str, dict[str, Any]]:
        """Return whom somebody sees, by id."""
        listed = (await self.api.get("/api/people", tab.token))["people"]
        return {person["id"]: person for person in listed}

    async def again(self) -> Api:
        """Return another server like this one."""
        server = await self.stack.enter_async_context(running(self.server.services.settings))
        return await self.stack.enter_async_context(api(server.url))

    async def talking(self) -> tuple[Tab, Tab, str]:
        """Return two who are in a call."""
        ada, bob = await self.tab("Ada"), await self.tab("Bob")
        call = await ada.ring(bob.user)
        await bob.expect("incoming")
        await bob.send("accept", call, sdp=SDP)
        await ada.expect("accepted")
        await ada.send("connected", call)
        await bob.expect("connected")
        return ada, bob, call


def settings_in(where: Path) -> Settings:
    """Return those of a server that has no relay of its own, and all that it keeps in `where`."""
    return Settings(
        port=0,
        database=f"sqlite:///{where}/calto.db",
        secret=SECRET,
        turn_uris=("turn:turn.example.org",),
        turn_secret=TURN_SECRET,
        static=where,
        echo=False,
        origins=("https://app.example.org",),
    )


@asynccontextmanager
async def world_in(where: Path) -> AsyncIterator[World]:
    """Run a server whose database and web app are in a directory."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(running(settings_in(where)))
        yield World(server, await stack.enter_async_context(api(server.url)), stack)


def error_of(response: Response, status: int) -> str:
    """Return the code of an error over HTTP, which has the shape of all of them."""
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"code", "message", "hint"}
    assert error["message"]
    return str(error["code"])
