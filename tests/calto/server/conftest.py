"""A database for each test: SQLite, and with `interop` PostgreSQL as well."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path

import pytest

from calto_demo.server.database import Database, open_database
from calto_demo.server.ledger import Ledger
from calto_demo.server.people import People
from tests.calto.real_servers import postgresql
from tests.calto.server.world import World, world_in

REAL = pytest.param(
    "postgresql",
    marks=[pytest.mark.interop, pytest.mark.needs("root", "pg_ctlcluster", "setpriv")],
)


@pytest.fixture(scope="session")
def real_postgresql() -> Iterator[str]:
    with postgresql() as url:
        yield url


@pytest.fixture(params=["sqlite", REAL])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/calto.db"
    return str(request.getfixturevalue("real_postgresql"))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = await open_database(database_url)
    async with opened.writing() as connection:
        # PostgreSQL is started once for all tests: what the one before left is taken away.
        for table in ("keys", "call_paths", "calls", "contacts", "devices", "users"):
            await connection.exec_driver_sql(f"DELETE FROM {table}")
    yield opened
    await opened.close()


@pytest.fixture
def people(database: Database) -> People:
    numbers = count(1)
    return People(database, lambda: f"{next(numbers):04}")


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return Ledger(database)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database without a row: made once, for it takes longer than most tests."""
    path = tmp_path_factory.mktemp("empty") / "calto.db"

    async def make() -> None:
        await (await open_database(f"sqlite:///{path}")).close()

    asyncio.run(make())
    return path


@pytest.fixture
async def world(empty_database: Path, tmp_path: Path) -> AsyncIterator[World]:
    shutil.copy(empty_database, tmp_path)
    async with world_in(tmp_path) as world:
        yield world
