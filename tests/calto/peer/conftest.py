"""A Calto server with a relay and the echo contact, and accounts there."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from calto_demo.server.running import Server, running
from tests.calto.server.conftest import empty_database
from tests.calto.server.world import settings_in
from tests.ports import free_port

__all__ = ["empty_database"]


@pytest.fixture
async def server(empty_database: Path, tmp_path: Path) -> AsyncIterator[Server]:
    shutil.copy(empty_database, tmp_path)
    plain = settings_in(tmp_path)
    settings = replace(
        plain, echo=True, turn_uris=(), turn_secret=None, turn_port=free_port(2), secret=None
    )
    async with running(settings) as server:
        yield server
