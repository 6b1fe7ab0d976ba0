"""The servers that the attacks are aimed at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.turnfixtures import around, beside, client, peer, turn  # noqa: F401 - for pytest
from tests.turnserver import TurnUnderTest, turn_server


@pytest.fixture(scope="session")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TurnUnderTest]:
    """A server as one is by default: no peer is allowed that the list of denied ones names."""
    with turn_server(tmp_path_factory.mktemp("strict"), relay=("127.0.0.2", "::1")) as server:
        yield server
