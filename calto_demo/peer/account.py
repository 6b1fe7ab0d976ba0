"""Who a headless peer is at a Calto server: HTTP of docs/calto-protocol.md."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from httpx2 import AsyncClient, HTTPError, ReadTimeout, RemoteProtocolError

from calto_demo.peer.peer import Servers
from natkit import NatkitError, TurnServer, UsageError

PATIENCE = 10.0
"""Seconds that a server has for an answer."""


LONGEST_NAME = 40
"""Characters, as docs/calto-protocol.md has it."""


class ServerRefused(NatkitError):
    """The server cannot be reached, or wants none of it."""

    exit_code = 3


class Account:
    """A guest at a server; `sign_in` makes one. Use it as a context manager.

    Attributes:
        url:     of the server, without a slash at the end.
        trust:   of its certificate; None: it has none.
        me:      User of the protocol, once signed in.
        token:   says so to the server.
    """

    def __init__(self, url: str, ca: Path | None = None) -> None:
        self.url = url.rstrip("/")
        if not self.url.startswith(("http://", "https://")):
            hint = "Write it as calto serve does: http://127.0.0.1:8000"
            raise UsageError(f"{url!r} is no server", hint=hint)
        self.trust = _trust(ca) if self.url.startswith("https") else None
        self.me: dict[str, Any] = {}
        self.token = ""
        verify = True if self.trust is None else self.trust
        self._http = AsyncClient(timeout=PATIENCE, verify=verify)

    async def sign_in(self, name: str) -> None:
        """Become a guest of that name. Raises: ServerRefused; UsageError: it is none."""
        if not 1 <= len(name.strip()) <= LONGEST_NAME:
            hint = f"Give --name 1 to {LONGEST_NAME} characters"
            raise UsageError(f"{name!r} cannot be a name", hint=hint)
        answer = await self.ask("POST", "/api/guest", {"name": name})
        self.me, self.token = answer["me"], answer["token"]

    async def ask(self, method: str, path: str, body: object = None) -> Any:
        """Return what the server answers; None: nothing. Raises: ServerRefused."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        try:
            answer = await self._http.request(method, self.url + path, json=body, headers=headers)
        except HTTPError as error:
            raise _unreached(self.url, error) from error
        if answer.is_success:
            return answer.json() if answer.content else None
        raise _refusal(answer.status_code, answer.text, answer.headers)

    async def find(self, who: str) -> dict[str, Any]:
        """Return the Person whose id or name this is. Raises: UsageError: there is not one."""
        people = (await self.ask("GET", "/api/people"))["people"]
        found = [it for it in people if it["id"] == who]
        found = found or [it for it in people if it["name"].casefold() == who.casefold()]
        if len(found) == 1:
            return dict(found[0])
        if found:
            ids = ", ".join(it["id"] for it in found)
            raise UsageError(f"{len(found)} people are called {who!r}", hint=f"Give an id: {ids}")
        names = ", ".join(it["name"] for it in people) or "nobody"
        raise UsageError(f"nobody is called {who!r}", hint=f"There are: {names}")

    async def servers(self, call: str) -> Servers:
        """Return STUN and TURN servers, with a login for this call. Raises: ServerRefused."""
        told = (await self.ask("GET", f"/api/ice?call={call}"))["iceServers"]
        stun: list[str] = []
        turn: list[TurnServer] = []
        for entry in told:
            for uri in [entry["urls"]] if isinstance(entry["urls"], str) else entry["urls"]:
                if uri.startswith("stun"):
                    stun.append(uri)
                else:
                    turn.append(TurnServer(uri, entry["username"], entry["credential"]))
        return Servers(stun, turn)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.aclose()


def _trust(ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if ca is None else str(ca))
    except OSError as error:
        hint = "Give --ca the server's certificate as PEM: -----BEGIN CERTIFICATE-----"
        raise UsageError(f"cannot use the certificate {ca}", why=str(error), hint=hint) from error


def _unreached(url: str, error: HTTPError) -> ServerRefused:
    what, why = f"cannot reach {url}", str(error)
    if isinstance(error, ReadTimeout | RemoteProtocolError):
        what = f"{url} is reached, but does not answer as a Calto server"
        why = why or f"nothing came within {PATIENCE:g} s"
        return ServerRefused(what, why=why, hint="Is the port that of `calto serve`?")
    why = why or f"no connection within {PATIENCE:g} s"
    return ServerRefused(what, why=why, hint="Is it running? calto serve starts one")


def _refusal(status: int, text: str, headers: Mapping[str, str]) -> ServerRefused:
    import json

    try:
        error = json.loads(text)["error"]
        return ServerRefused(error["message"], why=error["code"], hint=error["hint"])
    except (ValueError, KeyError, TypeError):
        what = f"the server answers {status} ({headers.get('content-type', 'nothing')})"
        return ServerRefused(what, hint="Is this a Calto server?")
