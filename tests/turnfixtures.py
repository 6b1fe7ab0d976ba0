"""Fixtures of the tests that speak raw bytes with a TURN server; for conftest files to import."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.turnbeyond import turn_server_beyond
from tests.turnkit import Peer, RawClient
from tests.turnserver import (
    BEYOND,
    LOOPBACK,
    ONLY_BEYOND,
    SERVERS,
    Around,
    TurnUnderTest,
    turn_server,
)


@pytest.fixture(scope="session", params=SERVERS)
def turn(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[TurnUnderTest]:
    """A server that relays to where the tests' peers are."""
    where = tmp_path_factory.mktemp("turn")
    if request.param == BEYOND:
        running = turn_server_beyond(where)
    else:
        allow = ("127.0.0.0/30", "::1/128")
        running = turn_server(where, allow=allow, program=request.param)
    with running as server:
        yield server


beyond = pytest.mark.parametrize("turn", [ONLY_BEYOND], indirect=True)
"""A test that is about the fast path alone."""


@pytest.fixture
def around(request: pytest.FixtureRequest) -> Around:
    """Where a test's clients and peers are: where those of `turn` are, if it speaks with that."""
    if "turn" in request.fixturenames:
        return request.getfixturevalue("turn").around
    return LOOPBACK


@pytest.fixture(autouse=True)
def beside(around: Around) -> Iterator[None]:
    """Run a test where the clients are."""
    with around.entered():
        yield


@pytest.fixture(params=["udp", "tcp"])
def client(turn: TurnUnderTest, request: pytest.FixtureRequest) -> Iterator[RawClient]:
    """A fresh client over UDP, then one over TCP."""
    with RawClient(turn, request.param) as made:
        yield made


@pytest.fixture
def peer(around: Around) -> Iterator[Peer]:
    """A peer that the server lets in where it lets any."""
    with Peer(around.peers[0]) as made:
        yield made
