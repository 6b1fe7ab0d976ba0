"""The TURN server and the client that the raw-bytes tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.turnkit import Peer, RawClient
from tests.turnserver import PROGRAMS, TurnUnderTest, turn_server


@pytest.fixture(scope="session", params=PROGRAMS)
def turn(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[TurnUnderTest]:
    """A server that relays to 127.0.0.1 to 127.0.0.3 and ::1, where the tests' peers are."""
    where, allow = tmp_path_factory.mktemp("turn"), ("127.0.0.0/30", "::1/128")
    with turn_server(where, allow=allow, program=request.param) as server:
        yield server


@pytest.fixture(params=["udp", "tcp"])
def client(turn: TurnUnderTest, request: pytest.FixtureRequest) -> Iterator[RawClient]:
    """A fresh client over UDP, then one over TCP."""
    with RawClient(turn, request.param) as made:
        yield made


@pytest.fixture
def peer() -> Iterator[Peer]:
    with Peer() as made:
        yield made
