"""A hook that knows users: asked by a running server, and what its failures come to."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator

import pytest

from natkit.aio.network import SocketNetwork
from natkit.aio.turn_client import RelayedEndpoint, allocate
from natkit.aio.turn_failure import Server
from natkit.network import IcmpError
from natkit.tools.relay import serve
from natkit.tools.relay_config import read_config
from natkit.turn.client_auth import Login
from natkit.turn.client_events import Failure
from natkit.wire import TransportAddress

OPTIONS = {
    "listen": ["udp://127.0.0.1:0"],
    "user": "alice:wonderland",
    "relay-address": "127.0.0.1",
    "metrics": "off",
}


class Deaf:
    def datagram_received(self, data: bytes, source: TransportAddress) -> None: ...

    def error_received(self, error: IcmpError) -> None: ...


async def database(username: str, realm: str) -> str | None:
    await asyncio.sleep(0.01)
    if username == "broken":
        raise OSError("the database is gone")
    return {"dave": f"cave of {realm}"}.get(username)


@pytest.fixture
async def server() -> AsyncIterator[TransportAddress]:
    relay = await serve(SocketNetwork(), read_config(OPTIONS), lambda _: None, database)
    yield relay.listening[0].address
    await relay.close()


async def outcome(server: TransportAddress, name: str, password: str) -> int | None:
    """Allocate. Returns: the error code; None: it worked."""
    made = await allocate(
        SocketNetwork(),
        Server(server),
        Login(name, password),
        Deaf(),
        randomness=secrets.token_bytes,
        patience=3,
    )
    if isinstance(made, Failure):
        return made.code
    assert isinstance(made, RelayedEndpoint)
    await made.close_and_wait()
    return None


async def test_user_of_the_hook_allocates_beside_those_of_the_configuration(
    server: TransportAddress,
) -> None:
    assert await outcome(server, "dave", "cave of natkit") is None
    assert await outcome(server, "alice", "wonderland") is None


@pytest.mark.parametrize(("name", "password"), [("dave", "wrong"), ("mallory", "cave of natkit")])
async def test_user_whom_the_hook_does_not_know_is_401(
    server: TransportAddress, name: str, password: str
) -> None:
    assert await outcome(server, name, password) == 401


async def test_hook_that_fails_is_logged_and_lets_nobody_in(
    server: TransportAddress, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        assert await outcome(server, "broken", "x") == 401
    assert "the look-up of a user failed" in caplog.text
