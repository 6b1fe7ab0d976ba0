"""The servers that the attacks are aimed at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.turnkit import Peer, RawClient
from tests.turnserver import PROGRAMS, TurnUnderTest, turn_server


@pytest.fixture(scope="session")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TurnUnderTest]:
    """A server as one is by default: no peer is allowed that the list of denied ones names."""
    with turn_server(tmp_path_factory.mktemp("strict"), relay=("127.0.0.2", "::1")) as server:
        yield server


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
